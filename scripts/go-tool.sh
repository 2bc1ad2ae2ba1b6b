#!/usr/bin/env bash
# Prints the path of a program that Go builds from its module: go-tool.sh PACKAGE VERSION. Another version of it, or
# none, is exchanged for it under target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1 version=$2
tool=$PWD/target/tools/bin/${package##*/}

if ! go version -m "$tool" 2>/dev/null | awk '$1 == "mod" { print $3 }' | grep -qx "$version"; then
  scripts/need.sh go
  echo "go-tool: building ${package##*/} $version into target/tools" >&2
  GOFLAGS=-buildvcs=false GOBIN=${tool%/*} go install "$package@$version" >&2
fi
echo "$tool"
