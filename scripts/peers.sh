#!/usr/bin/env bash
# Installs the real MCP servers and clients that tests/peers pins into target/peers; `peers.sh npm` only those for node,
# which is all that `make run` needs. `peers.sh conformance` brings the conformance suites too, with a node of their own,
# and `peers.sh inspector` no more than what docs/getting-started.md runs by npx.
# What is there already, of the same versions, is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=target/peers
mkdir -p "$peers"
cp -R tests/peers/. "$peers/"

install_node_packages() { # install_node_packages DIRECTORY
  # The lock it was installed from lies inside each installation, so it goes when that goes.
  if cmp -s "$1/package-lock.json" "$1/node_modules/.installed-from"; then return; fi
  scripts/need.sh node npm
  echo "peers: installing the node packages into $1/node_modules" >&2
  npm_config_cache=$PWD/target/cache/npm npm ci --prefix "$1" --no-audit --no-fund --no-update-notifier >&2
  cp "$1/package-lock.json" "$1/node_modules/.installed-from"
}

if [ "${1:-}" = inspector ]; then
  install_node_packages "$peers/inspector"
  exit
fi
install_node_packages "$peers"
[ "${1:-}" != npm ] || exit 0
[ "${1:-}" != conformance ] || install_node_packages "$peers/conformance"
if ! cmp -s "$peers/requirements.txt" "$peers/venv/installed-from"; then
  scripts/need.sh python3 venv
  echo "peers: installing the Python packages into $peers/venv" >&2
  python3 -m venv --clear "$peers/venv"
  export PIP_CACHE_DIR=$PWD/target/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
  "$peers/venv/bin/pip" install -q -r "$peers/requirements.txt" >&2
  cp "$peers/requirements.txt" "$peers/venv/installed-from"
fi
