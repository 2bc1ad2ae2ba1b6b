#!/usr/bin/env bash
# Serves a policy from start to end: builds what is missing, and runs `mcp-policy run` with POLICY before UPSTREAM (or,
# without one, before the reference MCP server) on PORT, as `make run` passes them on. Prints what to try meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
policy=${POLICY:-policies/reference-server.json} port=${PORT:-10000}
export CARGO_TARGET_DIR=$PWD/target

scripts/need.sh cargo
# In the profile of the tests: the one that ships takes minutes.
cargo build --locked --bin mcp-policy
scripts/wasm.sh
ENVOY=$(scripts/envoy.sh)
export ENVOY

try() { # try TITLE METHOD PARAMS
  printf '\n# %s\n%s\n' "$1" "curl -sS http://127.0.0.1:$port/mcp -H 'content-type: application/json' \\
  -H 'accept: application/json, text/event-stream' -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$2\",\"params\":$3}'"
}

if [ -n "${UPSTREAM:-}" ]; then
  server=(--url "$UPSTREAM")
else
  scripts/peers.sh npm
  server=(-- node target/peers/node_modules/@modelcontextprotocol/server-everything/dist/index.js stdio)
  hidden='' denied=''
  if [ "$policy" = policies/reference-server.json ]; then hidden=': get-env is hidden' denied=': denied'; fi
  {
    printf '\nOnce it serves, try in another terminal:\n'
    try "the tools that clients see$hidden" tools/list '{}'
    try "call echo" tools/call '{"name":"echo","arguments":{"message":"hello"}}'
    try "call get-sum$denied" tools/call '{"name":"get-sum","arguments":{"a":1,"b":2}}'
    echo
  } >&2
fi
exec cargo run --quiet --locked -- run --policy "$policy" --port "$port" "${server[@]}"
