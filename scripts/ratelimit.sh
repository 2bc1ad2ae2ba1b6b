#!/usr/bin/env bash
# Installs Envoy's rate limit service and the Redis that it counts in, for the tests: target/ratelimit/ratelimit, built
# by Go from its module at $RATELIMIT_VERSION, and target/ratelimit/redis-server, which is the one in the PATH or else
# Debian's package, unpacked with what it needs beside it. Needs no root. What it has to say goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${RATELIMIT_VERSION:=$(sed -n 's/^export RATELIMIT_VERSION *:= *//p' Makefile)}"
place=$PWD/target/ratelimit
mkdir -p "$place"

if [ "$(cat "$place/version" 2>/dev/null || true)" != "$RATELIMIT_VERSION" ]; then
  command -v go >/dev/null || { echo "ratelimit: go is missing, which builds the service; please install it" >&2; exit 2; }
  echo "ratelimit: building $RATELIMIT_VERSION" >&2
  GOFLAGS=-buildvcs=false GOBIN=$place/bin go install "github.com/envoyproxy/ratelimit/src/service_cmd@$RATELIMIT_VERSION" >&2
  mv "$place/bin/service_cmd" "$place/ratelimit"
  echo "$RATELIMIT_VERSION" >"$place/version"
fi

[ ! -x "$place/redis-server" ] || exit 0
if redis=$(command -v redis-server); then
  ln -sf "$redis" "$place/redis-server"
  exit 0
fi
command -v apt-get >/dev/null || { echo "ratelimit: redis-server is missing; please install it" >&2; exit 2; }
echo "ratelimit: unpacking Debian's redis-server" >&2
mkdir -p "$place/deb"
cd "$place/deb"
rm -f ./*.deb
download() { apt-get download -qq -o APT::Sandbox::User="$(id -un)" redis-server redis-tools libjemalloc2 liblzf1 libatomic1 >&2; }
# A machine may have lists of versions that are gone, or none, in directories that only root may fill.
if ! download; then
  mkdir -p lists/partial
  apt-get update -qq -o Dir::State::Lists="$PWD/lists" -o APT::Sandbox::User="$(id -un)" >&2
  rm -f ./*.deb
  apt-get download -qq -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD" -o APT::Sandbox::User="$(id -un)" \
    redis-server redis-tools libjemalloc2 liblzf1 libatomic1 >&2
fi
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(dirname "$(find "$PWD/root" -name 'libjemalloc.so.2')")
# One program is Redis and its tools, and tells by its path which one to be.
cp "$(readlink -f root/usr/bin/redis-server)" "$PWD/redis"
cat >"$place/redis-server" <<END
#!/bin/sh
LD_LIBRARY_PATH="$libraries" exec "$PWD/redis" "\$@"
END
chmod +x "$place/redis-server"
