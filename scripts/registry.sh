#!/usr/bin/env bash
# Prints the path of a container registry: the docker-registry in the PATH, or else Debian's, unpacked under
# target/registry. Needs no root. What else it has to say goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$PWD/target/registry
if command -v docker-registry; then exit; fi
registry=$place/root/usr/bin/docker-registry
if [ ! -x "$registry" ]; then
  command -v apt-get >/dev/null || { echo "registry: docker-registry is missing; please install it" >&2; exit 2; }
  echo "registry: unpacking Debian's docker-registry" >&2
  mkdir -p "$place/lists/partial"
  cd "$place"
  rm -f ./*.deb
  apt=(apt-get -qq -o APT::Sandbox::User="$(id -un)")
  # A machine may have lists of versions that are gone, or none, in directories that only root may fill.
  if ! "${apt[@]}" download docker-registry >&2; then
    apt+=(-o Dir::State::Lists="$place/lists" -o Dir::Cache="$place")
    "${apt[@]}" update >&2
    rm -f ./*.deb
    "${apt[@]}" download docker-registry >&2
  fi
  dpkg-deb -x ./*.deb root
  rm -rf lists ./*.deb ./*.bin
fi
echo "$registry"
