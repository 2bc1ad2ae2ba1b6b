#!/usr/bin/env bash
# Prints a list of flags for rustc, in TOML, because paths may have spaces: places.sh RUSTC [FLAG...]. A program tells in
# its panics where the sources of each crate lie; by these flags those places have names of their own, so that equal
# sources make equal programs in whichever directory they lie.
set -euo pipefail
cd "$(dirname "$0")/.."
rustc=$1
shift

flags=("$@")
while IFS='>' read -r from to; do flags+=("--remap-path-prefix=$from=$to"); done <<END
$("$rustc" --print sysroot)/lib/rustlib/src/rust>/rustc/$("$rustc" -vV | sed -n 's/^commit-hash: //p')
${CARGO_HOME:-$HOME/.cargo}/registry/src>/registry
$PWD>/mcp-policy
END
echo "[$(printf "'%s', " "${flags[@]}")]"
