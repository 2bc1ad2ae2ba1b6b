#!/usr/bin/env bash
# Builds all that a release has, and leaves it in target/dist: the plugin, an OCI image of it, the command line as a
# static program that carries the plugin, its manual and completions, bills of materials, licences and SHA256SUMS. Equal
# sources make equal files, for the same compilers. With MCP_POLICY_PLUGIN, the path of a plugin, that one is packed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cargo python3
# The one time that is in the files: that of the commit, unless it is given. Not for the compilers, of which some would
# build anew whenever it changes.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}
unset SOURCE_DATE_EPOCH

plugin=${MCP_POLICY_PLUGIN:-}
if [ -z "$plugin" ]; then
  scripts/wasm.sh
  plugin=$PWD/target/wasm32-wasip1/release/mcp_policy.wasm
fi
cli=$(MCP_POLICY_PLUGIN=$plugin scripts/static.sh)
target=${cli#target/}
SOURCE_DATE_EPOCH=$epoch scripts/dist.py "$plugin" "$cli" "${target%%/*}" target/dist
