#!/usr/bin/env bash
# Prints the path of wasm-bindgen-test-runner, by which tests run as wasm under node. It must be of exactly the version
# of wasm-bindgen in Cargo.lock; another one, or none, is exchanged for it under target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
runner=$PWD/target/tools/bin/wasm-bindgen-test-runner
version=$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"$/\1/p;}' Cargo.lock)
[ -n "$version" ] || { echo "wasm-bindgen: Cargo.lock has no wasm-bindgen" >&2; exit 2; }

scripts/need.sh node
if [ "$("$runner" --version 2>/dev/null | awk '{ print $2 }')" != "$version" ]; then
  echo "wasm-bindgen: installing wasm-bindgen-test-runner $version into target/tools" >&2
  # The dev profile, because it compiles in a fraction of the time. Not --locked, because its lock names versions that
  # not every registry still serves.
  CARGO_PROFILE_DEV_DEBUG=0 cargo install -q --debug --force --root target/tools --target-dir target/tools/build \
    --bin wasm-bindgen-test-runner --version "=$version" wasm-bindgen-cli >&2
  rm -rf target/tools/build
fi
echo "$runner"
