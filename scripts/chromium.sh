#!/usr/bin/env bash
# Prints the path of a Chromium that runs without a screen: $CHROMIUM if set, else one in the PATH, else (and with --own
# always) Debian's chromium-headless-shell, unpacked under target/chromium with its chromedriver and whatever they need
# that this machine lacks. Needs no root. What else it has to say goes to stderr.
set -euo pipefail
[ -z "${CHROMIUM:-}" ] || CHROMIUM=$(realpath "$(command -v "$CHROMIUM" || echo "$CHROMIUM")")
cd "$(dirname "$0")/.."

# Prints the path and ends, if that is a browser that starts.
offer() {
  local version
  # Not --headless --version: Chrome takes that for a page to show.
  if version=$("$1" --version 2>/dev/null </dev/null) && [[ $version =~ [0-9]+\.[0-9]+\.[0-9]+ ]]; then
    echo "chromium: $1, version ${BASH_REMATCH[0]}" >&2
    echo "$1"
    exit
  fi
  echo "chromium: $1 is not a Chromium that runs here" >&2
}

place=$PWD/target/chromium
if [ "${1:-}" = --own ]; then
  [ ! -x "$place/chromedriver" ] || offer "$place/chromium"
else
  if [ -n "${CHROMIUM:-}" ]; then
    offer "$CHROMIUM"
    exit 2
  fi
  for name in chromium-headless-shell chromium google-chrome-stable google-chrome; do
    if path=$(command -v "$name"); then offer "$path"; fi
  done
  [ ! -x "$place/chromium" ] || offer "$place/chromium"
fi
command -v apt-get >/dev/null || { echo "chromium: no Chromium here, nor apt-get; please install one" >&2; exit 2; }
echo "chromium: unpacking Debian's chromium-headless-shell" >&2
rm -rf "$place"
mkdir -p "$place/deb"
cd "$place/deb"
apt=(apt-get -qq -o APT::Sandbox::User="$(id -un)")
# What an installation would bring is what this machine lacks (and the browser itself, even if it is there). That is only
# listed here, and needs no root. The driver comes beside it, because its own dependencies are another whole browser.
download() {
  local missing
  missing=$("${apt[@]}" install --reinstall --print-uris --no-install-recommends chromium-headless-shell |
    sed -nE "s/^'[^']*' ([^_]+)_.*/\1/p")
  [ -n "$missing" ] || return 1
  # shellcheck disable=SC2086
  "${apt[@]}" download $missing chromium-driver >&2
}
# A machine may have lists of versions that are gone, or none, in directories that only root may fill.
if ! download; then
  mkdir -p ../lists/partial
  apt+=(-o Dir::State::Lists="$place/lists" -o Dir::Cache="$place")
  "${apt[@]}" update >&2
  rm -f ./*.deb
  download
fi
for package in ./*.deb; do dpkg-deb -x "$package" ../root; done
cd ..
rm -rf deb lists ./*.bin
libraries=$(find "$PWD/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
wrap() { # wrap PROGRAM NAME
  {
    echo '#!/bin/sh'
    echo "export LD_LIBRARY_PATH='$libraries'"
    # Fonts too may be among what was missing, and where to look for them.
    [ ! -d root/usr/share/fonts ] || echo "export XDG_DATA_HOME='$PWD/root/usr/share'"
    [ ! -f root/etc/fonts/fonts.conf ] || echo "export FONTCONFIG_FILE='$PWD/root/etc/fonts/fonts.conf'"
    echo "exec '$1' \"\$@\""
  } >"$2"
  chmod +x "$2"
}
wrap "$(find "$PWD/root" -type f -name chromium-headless-shell -path '*/lib/*')" chromium
wrap "$(find "$PWD/root" -type f -name chromedriver -path '*/bin/*')" chromedriver
offer "$PWD/chromium"
exit 2
