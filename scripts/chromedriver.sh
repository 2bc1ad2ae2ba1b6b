#!/usr/bin/env bash
# Prints the path of a chromedriver for a Chromium that runs without a screen: $CHROMEDRIVER or the one in the PATH where
# it is of the version of chromium.sh's Chromium, else Debian's pair of both, under target/chromium. Leaves beside that,
# in webdriver.json, what a test runner has to ask the driver for. What else it has to say goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

version() { "$1" --version 2>/dev/null </dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1; }

# Writes down the Chromium for the driver, prints the driver and ends, if both are of one version.
offer() { # offer DRIVER CHROMIUM
  local version
  version=$(version "$1") && [ "$version" = "$(version "$2")" ] || return 0
  mkdir -p target/chromium
  printf '{"goog:chromeOptions":{"binary":"%s"}}\n' "$2" >target/chromium/webdriver.json
  echo "chromedriver: $1, version $version" >&2
  echo "$1"
  exit
}

chromium=$(scripts/chromium.sh)
for name in "${CHROMEDRIVER:-chromedriver}" "$PWD/target/chromium/chromedriver"; do
  if path=$(command -v "$name"); then offer "$path" "$chromium"; fi
done
echo "chromedriver: there is none here for $chromium" >&2
chromium=$(scripts/chromium.sh --own)
offer "$PWD/target/chromium/chromedriver" "$chromium"
echo "chromedriver: no chromedriver that runs here; please install that of your Chromium" >&2
exit 2
