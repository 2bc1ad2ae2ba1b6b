#!/usr/bin/env bash
# Runs cargo for a wasm target, whichever way this machine allows: cargo-wasm.sh TARGET COMMAND [ARGS]. Route `rustup`
# is plain cargo with the standard library that rustup ships; where that cannot be had, route `debian` lets Debian's
# compiler build it from source. MCP_POLICY_WASM_ROUTE=rustup|debian forces one. Says on stderr which one it took. Vector
# instructions (simd128), which Envoy's V8, node and browsers have, are left out by MCP_POLICY_SIMD=off.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 command=$2
shift 2
export CARGO_TARGET_DIR=$PWD/target

has_standard_library() {
  command -v rustc >/dev/null || return 1
  [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && return
  command -v rustup >/dev/null && RUST_BACKTRACE=0 rustup target add "$target" >&2
}

route=${MCP_POLICY_WASM_ROUTE:-}
case $route in
  '') if has_standard_library; then route=rustup; else route=debian; fi ;;
  rustup) has_standard_library || { echo "cargo-wasm: rustup cannot add the target $target" >&2; exit 2; } ;;
  debian) ;;
  *) echo "cargo-wasm: MCP_POLICY_WASM_ROUTE is rustup or debian, not $route" >&2; exit 2 ;;
esac

flags=()
[ "${MCP_POLICY_SIMD:-}" = off ] || flags=(-C target-feature=+simd128)
name=$(tr 'a-z-' 'A-Z_' <<<"$target")
# Only what is kept has names of its own for places: no test need be built anew for it.
set_flags() { # set_flags RUSTC
  if [ "$command" = build ]; then
    arguments=(--config "target.$target.rustflags = $(scripts/places.sh "$1" ${flags[@]+"${flags[@]}"})")
  else
    arguments=()
    export "CARGO_TARGET_${name}_RUSTFLAGS=${flags[*]-}"
  fi
}

if [ "$route" = rustup ]; then
  echo "cargo-wasm: $target by route rustup ($(rustc --version))" >&2
  set_flags rustc
  exec cargo "$command" ${arguments[@]+"${arguments[@]}"} --target "$target" "$@"
fi

packages=(cargo-web rustc-web rust-web-src wasi-libc lld-19)
[ "$command" != clippy ] || packages+=(rust-web-clippy)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  command -v apt-get >/dev/null ||
    { echo "cargo-wasm: this machine has neither the Rust target $target (rustup target add) nor apt-get" >&2; exit 2; }
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >&2
fi
echo "cargo-wasm: $target by route debian ($(/usr/bin/rustc --version))" >&2

# Debian ships no standard library for the target, so cargo builds it; that is not for stable compilers, hence
# RUSTC_BOOTSTRAP. Flags go by target: RUSTFLAGS would reach build scripts too, and would silence these.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
export "CARGO_TARGET_${name}_LINKER=wasm-ld-19"
case $target in *wasi*) flags+=(-L native=/usr/lib/wasm32-wasi) ;; esac
set_flags "$RUSTC"
# Its own directory, so that the two routes do not rebuild each other's work.
export CARGO_TARGET_DIR=$PWD/target/debian
cargo=/usr/bin/cargo
# Cargo would take the clippy in the user's ~/.cargo/bin, which is another compiler's.
[ "$command" != clippy ] || cargo=/usr/bin/cargo-clippy
"$cargo" "$command" ${arguments[@]+"${arguments[@]}"} -Zbuild-std=std,panic_abort --target "$target" "$@"

# A module belongs where the other route leaves it. Removed first, because cargo links that name to its own copy.
[ "$command" = build ] || exit 0
for module in target/debian/"$target"/{release,playground}/{,examples/}*.wasm; do
  [ -f "$module" ] || continue
  place=target/${module#target/debian/}
  mkdir -p "${place%/*}"
  rm -f "$place"
  cp "$module" "$place"
done
