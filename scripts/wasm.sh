#!/usr/bin/env bash
# Builds the plugin, target/wasm32-wasip1/release/mcp_policy.wasm, and prints its size. The way it is built is chosen by
# cargo-wasm.sh, which says which one it was.
set -euo pipefail
cd "$(dirname "$0")/.."
plugin=target/wasm32-wasip1/release/mcp_policy.wasm
# --lib, because the CLI would come out beside it as mcp-policy.wasm.
scripts/cargo-wasm.sh wasm32-wasip1 build --release --locked --lib
echo "wasm: $plugin, $(wc -c <"$plugin" | tr -d ' ') bytes" >&2
