#!/usr/bin/env bash
# Installs func-e for the tests: target/func-e/func-e, built by Go from its module at $FUNC_E_VERSION. What it has to say
# goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUNC_E_VERSION:=$(sed -n 's/^export FUNC_E_VERSION *:= *//p' Makefile)}"
place=$PWD/target/func-e
mkdir -p "$place"

if [ "$(cat "$place/version" 2>/dev/null || true)" != "$FUNC_E_VERSION" ]; then
  scripts/need.sh go
  echo "func-e: building $FUNC_E_VERSION" >&2
  GOFLAGS=-buildvcs=false GOBIN=$place go install "github.com/tetratelabs/func-e/cmd/func-e@$FUNC_E_VERSION" >&2
  echo "$FUNC_E_VERSION" >"$place/version"
fi
