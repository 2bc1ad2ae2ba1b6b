#!/usr/bin/env bash
# Installs the real MCP servers and clients that tests/peers pins into target/peers; `peers.sh npm` only those for node,
# which is all that `make run` needs. What is there already, of the same versions, is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=target/peers
mkdir -p "$peers"
cp -R tests/peers/. "$peers/"

# The lock it was installed from lies inside each installation, so it goes when that goes.
if ! cmp -s "$peers/package-lock.json" "$peers/node_modules/.installed-from"; then
  scripts/need.sh node npm
  echo "peers: installing the node packages into $peers/node_modules" >&2
  npm_config_cache=$PWD/target/cache/npm npm ci --prefix "$peers" --no-audit --no-fund --no-update-notifier >&2
  cp "$peers/package-lock.json" "$peers/node_modules/.installed-from"
fi

[ "${1:-}" != npm ] || exit 0
if ! cmp -s "$peers/requirements.txt" "$peers/venv/installed-from"; then
  scripts/need.sh python3 venv
  echo "peers: installing the Python packages into $peers/venv" >&2
  python3 -m venv --clear "$peers/venv"
  export PIP_CACHE_DIR=$PWD/target/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
  "$peers/venv/bin/pip" install -q -r "$peers/requirements.txt" >&2
  cp "$peers/requirements.txt" "$peers/venv/installed-from"
fi
