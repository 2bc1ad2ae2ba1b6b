#!/usr/bin/env bash
# Installs and builds the servers of tests/differential into target/differential, each from its own lock. What is there
# already, of the same sources, is left alone. The Python server runs on the packages that peers.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
servers=tests/differential/servers
out=$PWD/target/differential
mkdir -p "$out/node"
scripts/need.sh node npm go cargo
scripts/peers.sh

cp "$servers"/node/* "$out/node/"
cp "$servers/python/server.py" "$out/"
if ! cmp -s "$out/node/package-lock.json" "$out/node/node_modules/.installed-from"; then
  echo "differential: installing the node packages into $out/node/node_modules" >&2
  npm_config_cache=$PWD/target/cache/npm npm ci --prefix "$out/node" --no-audit --no-fund --no-update-notifier >&2
  cp "$out/node/package-lock.json" "$out/node/node_modules/.installed-from"
fi

# Both tools know by themselves what is built already.
(cd "$servers/go" && go build -trimpath -o "$out/go-server" .)
cargo build --locked --manifest-path "$servers/rust/Cargo.toml" --target-dir "$out/rust"
