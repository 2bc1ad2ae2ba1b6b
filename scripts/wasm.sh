#!/usr/bin/env bash
# Builds the plugin, target/wasm32-wasip1/release/mcp_policy.wasm, with the playground's engine in it, and prints the sizes
# of both. With arguments for cargo, as `--example do_nothing`, it then builds that too. The way it is built is chosen by
# cargo-wasm.sh, which says which one it was.
set -euo pipefail
cd "$(dirname "$0")/.."
plugin=target/wasm32-wasip1/release/mcp_policy.wasm
engine=target/wasm32-unknown-unknown/playground/mcp_policy.wasm

size() { wc -c <"$1" | tr -d ' '; }

# --lib, because the CLI would come out beside it as mcp-policy.wasm.
scripts/cargo-wasm.sh wasm32-unknown-unknown build --profile playground --locked --lib
# The engine is compressed here, and once: without its name and time, so that equal engines make equal plugins.
export MCP_POLICY_PLAYGROUND=$PWD/target/playground.wasm.gz
gzip -9nc "$engine" >"$MCP_POLICY_PLAYGROUND.new"
# An equal one keeps its time, by which cargo goes, so that nothing is linked anew.
if cmp -s "$MCP_POLICY_PLAYGROUND.new" "$MCP_POLICY_PLAYGROUND"; then
  rm "$MCP_POLICY_PLAYGROUND.new"
else
  mv "$MCP_POLICY_PLAYGROUND.new" "$MCP_POLICY_PLAYGROUND"
fi
build=(scripts/cargo-wasm.sh wasm32-wasip1 build --release --locked)
"${build[@]}" --lib
# Apart, because what else there is has features that the plugin does without.
[ $# = 0 ] || "${build[@]}" "$@"
echo "wasm: $plugin, $(size "$plugin") bytes, $(size "$MCP_POLICY_PLAYGROUND") of them the playground's engine" >&2
