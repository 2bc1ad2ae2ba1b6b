#!/usr/bin/env bash
# Sees to it that the named tools are on this machine: rustfmt and clippy by rustup, the rest by apt-get where there is
# one. A tool that neither brings is named in one line, with exit code 2.
set -euo pipefail

have() {
  case $1 in
    rustfmt) cargo fmt --version ;;
    clippy) cargo clippy --version ;;
    # Debian's python3 comes without the module that fills a new venv.
    venv) python3 -c 'import ensurepip, venv' ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

packages() {
  case $1 in
    # The newest Rust that Debian has; its plain packages are older than this project needs.
    cargo) echo cargo-web rustc-web ;;
    clippy) echo rust-web-clippy ;;
    rustfmt) echo rustfmt-web ;;
    c++) echo g++ ;;
    go) echo golang-go ;;
    node) echo nodejs ;;
    ps) echo procps ;;
    venv) echo python3-venv ;;
    *) echo "$1" ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

for tool; do
  have "$tool" && continue
  echo "need: installing $tool" >&2
  case $tool in rustfmt | clippy) rustup component add "$tool" >&2 || true ;; esac
  if ! have "$tool" && command -v apt-get >/dev/null; then
    read -ra names <<<"$(packages "$tool")"
    # A fresh machine has no package lists yet, an old one has lists of versions that are gone.
    as_root apt-get update -qq >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${names[@]}" >&2 || true
  fi
  have "$tool" || { echo "need: $tool is missing and could not be installed; please install it" >&2; exit 2; }
done
