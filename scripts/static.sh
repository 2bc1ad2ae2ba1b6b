#!/usr/bin/env bash
# Builds the command line as one file that needs no libraries of the machine it runs on, and prints its path. musl is
# what is linked, whose standard library rustup ships; where that cannot be had it is glibc, which still looks names up
# by libraries of its own version. MCP_POLICY_STATIC_ROUTE=musl|glibc forces one. Says on stderr which one it took.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$PWD/target
scripts/need.sh cargo cc

host=$(rustc -vV | sed -n 's/^host: //p')
case $host in *-linux-*) ;; *) echo "static: only Linux has static programs, this is $host" >&2; exit 2 ;; esac
musl=${host%-*}-musl
has_musl() {
  [ -d "$(rustc --print sysroot)/lib/rustlib/$musl/lib" ] && return
  command -v rustup >/dev/null && RUST_BACKTRACE=0 rustup target add "$musl" >&2
}
route=${MCP_POLICY_STATIC_ROUTE:-}
case $route in
  '') if has_musl; then route=musl; else route=glibc; fi ;;
  musl) has_musl || { echo "static: rustup cannot add the target $musl" >&2; exit 2; } ;;
  glibc) ;;
  *) echo "static: MCP_POLICY_STATIC_ROUTE is musl or glibc, not $route" >&2; exit 2 ;;
esac

target=$host
if [ "$route" = musl ]; then
  target=$musl
  # The C in ring calls nothing of a C library, so the compiler that is there does, and no musl-gcc has to be installed.
  export "CC_${target//-/_}=cc"
fi
echo "static: $target ($(rustc --version))" >&2
flags=$(scripts/places.sh rustc -C target-feature=+crt-static)
cargo build --profile cli --locked --bin mcp-policy --target "$target" --config "target.$target.rustflags = $flags" >&2
echo "target/$target/cli/mcp-policy"
