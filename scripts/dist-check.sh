#!/usr/bin/env bash
# Checks what a release has. `dist-check.sh` builds all of it twice, the second time from a copy of the sources in
# another directory, and compares byte by byte. `dist-check.sh packing` packs what the tests have built, the command line
# in their profile, and takes seconds. Both then look at the files as those do who get them.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$PWD/target
plugin=$PWD/target/wasm32-wasip1/release/mcp_policy.wasm
work=$PWD/target/dist-check
fail() { echo "dist-check: $1" >&2; exit 1; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

scripts/need.sh cargo python3 strip
rm -rf "$work"
mkdir -p "$work"
if [ "${1:-}" = packing ]; then
  dist=$work/first
  cargo build --quiet --locked --bin mcp-policy
  strip -o "$work/mcp-policy" target/debug/mcp-policy
  target=$(rustc -vV | sed -n 's/^host: //p')
  scripts/dist.py "$plugin" "$work/mcp-policy" "$target" "$dist" >"$work/first.log"
  # Whatever differs from one machine to another must not show.
  (umask 077 && TZ=Pacific/Kiritimati LC_ALL=C \
    scripts/dist.py "$plugin" "$work/mcp-policy" "$target" "$work/second" >"$work/second.log")
else
  dist=$PWD/target/dist
  scripts/dist.sh
  mkdir "$work/elsewhere"
  git ls-files -co --exclude-standard -z | tar --null -T - -cf - | tar -xf - -C "$work/elsewhere"
  began=$SECONDS
  "$work/elsewhere/scripts/dist.sh" >"$work/elsewhere.log" 2>&1 || { cat "$work/elsewhere.log" >&2; exit 1; }
  echo "dist-check: built elsewhere in $((SECONDS - began)) s"
  mv "$work/elsewhere/target/dist" "$work/second"
fi
diff -r "$dist" "$work/second" || fail "a second time there are other files"

(cd "$dist" && sha256sum --quiet -c SHA256SUMS) || fail "SHA256SUMS is wrong"
there=$(find "$dist" -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | LC_ALL=C sort)
[ "$(cut -c67- "$dist/SHA256SUMS")" = "$there" ] || fail "SHA256SUMS does not have every file"

mkdir "$work/unpacked"
tar -xzf "$dist"/*.tar.gz -C "$work/unpacked" --strip-components 1
cli=$work/unpacked/mcp-policy
"$cli" validate policies/reference-server.json || fail "the command line does not run"
released=("$dist"/*.wasm)
if [ "${1:-}" != packing ]; then
  released+=("$cli")
  ! readelf -d "$cli" | grep NEEDED || fail "the command line needs libraries"
  carries='import sys; cli, plugin = (open(path, "rb").read() for path in sys.argv[1:]); sys.exit(plugin not in cli)'
  python3 -c "$carries" "$cli" "$dist"/*.wasm || fail "the command line does not carry the plugin"
fi
! grep -laF -e "$PWD/" -e "${CARGO_HOME:-$HOME/.cargo}/" "${released[@]}" ||
  fail "a program names directories of this machine"
for verb in $("$cli" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  [ "$verb" = help ] || [ -s "$work/unpacked/man/man1/mcp-policy-$verb.1" ] || fail "there is no manual page of $verb"
done
bash -uc 'source "$1" && complete -p mcp-policy' bash "$work/unpacked/completions/bash/mcp-policy" >"$work/complete.log" ||
  fail "bash does not take its completions"

# docs/install.md is followed as it stands. In the place of what only a release has: curl takes files from here, skopeo
# knows the digest, and cosign looks for something to verify, and no further.
mkdir -p "$work/followed/bin" "$work/followed/home"
stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$work/followed/bin/$1" && chmod +x "$work/followed/bin/$1"; }
stand_in curl "for url; do :; done
case \$url in *.sigstore.json) : >\"\${url##*/}\" ;; *) cp '$dist/'\"\${url##*/}\" . ;; esac"
stand_in skopeo "[ \"\$1\" != inspect ] || cat '$dist'/*.digest"
stand_in cosign 'for what; do :; done; case $what in *@sha256:*) ;; *) [ -s "$what" ] ;; esac'
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml) archive=$(cd "$dist" && echo *.tar.gz)
grep -qx "version=$version" docs/install.md || fail "docs/install.md is of another version than $version"
target=${archive#"mcp-policy-$version-"}
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' docs/install.md |
  sed "s/^target=.*/target=${target%.tar.gz}/" >"$work/followed/page.sh"
(cd "$work/followed" && HOME=$work/followed/home PATH=$work/followed/bin:$PATH bash -euo pipefail page.sh) ||
  fail "docs/install.md does not lead to the end"
"$work/followed/home/.local/bin/mcp-policy" --version || fail "docs/install.md installs no command line"

scripts/image-check.sh "$dist" "$plugin" "$cli"
echo "dist-check: passed"
