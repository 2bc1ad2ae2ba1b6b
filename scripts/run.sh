#!/usr/bin/env bash
# Serves a policy from start to end: builds what is missing, starts Envoy with the plugin before UPSTREAM (or, without
# one, before the reference MCP server), shows what to try, and stays until Ctrl-C ends all of it. UPSTREAM, POLICY and
# PORT come from the environment, as `make run` passes them on. Logs and what it makes lie in target/run.
set -euo pipefail
cd "$(dirname "$0")/.."
upstream=${UPSTREAM:-} policy=${POLICY:-policies/reference-server.json} port=${PORT:-10000}
run=target/run
export CARGO_TARGET_DIR=$PWD/target

fail() { # fail CODE MESSAGE
  echo "run: $2" >&2
  exit "$1"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
  fail 2 "PORT must be a number from 1 to 65535, not $port"
fi
# Asked first, because two Envoys may share a port, and then each would answer some of the calls.
! listens "$port" || fail 2 "port $port on 127.0.0.1 is taken; choose another, such as: make run PORT=10001"
if ! [ -f "$policy" ] || ! [ -r "$policy" ]; then fail 2 "the policy $policy is not a file that can be read"; fi

scripts/need.sh cargo curl
cargo build --release --locked --bin mcp-policy
scripts/wasm.sh
envoy=$(scripts/envoy.sh)
[ -n "$upstream" ] || scripts/peers.sh npm
mkdir -p "$run"

# What was started, each as `PID NAME LOG`.
children=()

stop() {
  local code=$? child pid
  trap '' EXIT INT TERM HUP
  for child in ${children[@]+"${children[@]}"}; do kill -TERM "${child%% *}" 2>/dev/null || true; done
  for child in ${children[@]+"${children[@]}"}; do
    pid=${child%% *}
    # Both end at once on TERM; what has not after 5 seconds is ended for it.
    for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  exit "$code"
}
trap stop EXIT
trap 'exit 130' INT TERM HUP

check_children() {
  local child pid name log
  for child in "${children[@]}"; do
    read -r pid name log <<<"$child"
    kill -0 "$pid" 2>/dev/null && continue
    echo "run: $name has ended; the end of $log:" >&2
    tail -n 15 "$log" >&2
    exit 1
  done
}

wait_for() { # wait_for PORT NAME
  for _ in {1..300}; do
    check_children
    if listens "$1"; then return; fi
    sleep 0.1
  done
  fail 1 "$2 does not listen on port $1 after 30 seconds; see $run"
}

if [ -z "$upstream" ]; then
  server_port=$(node -e '
    const server = require("net").createServer();
    server.listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })')
  PORT=$server_port node --require ./target/peers/loopback.cjs \
    target/peers/node_modules/@modelcontextprotocol/server-everything/dist/index.js streamableHttp \
    >"$run/server.log" 2>&1 &
  children+=("$! server-everything $run/server.log")
  wait_for "$server_port" server-everything
  upstream=http://127.0.0.1:$server_port/mcp
fi

# In two steps, so that a policy that is refused leaves no half a file.
target/release/mcp-policy render envoy --policy "$policy" --upstream "$upstream" --port "$port" >"$run/envoy.new" ||
  fail 2 "no Envoy file can be made of the policy $policy and the upstream $upstream"
mv "$run/envoy.new" "$run/envoy.yaml"
# The access log is its standard output; by default it would be written only every 10 seconds.
"$envoy" -c "$run/envoy.yaml" --concurrency 2 --disable-hot-restart --file-flush-interval-msec 200 \
  --log-level warn --component-log-level wasm:info >"$run/access.log" 2>"$run/envoy.log" &
children+=("$! Envoy $run/envoy.log")
wait_for "$port" Envoy
check_children

path=/${upstream#*://}
case $path in /*/*) path=/${path#/*/} ;; *) path=/ ;; esac
address=http://127.0.0.1:$port$path
printf '%s\n' 'content-type: application/json' 'accept: application/json, text/event-stream' >"$run/headers"

# The commands to try, run here exactly as they are printed.
post="curl -sSm 20 $address -H @$run/headers"
params='{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}'
initialize="{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":$params}"
# A server without sessions sends no id, and of a header without a value curl sends nothing.
session="SESSION=\$($post -D - -o $run/initialize -d '$initialize' | tr -d '\\r' | sed -n 's/^mcp-session-id: //p')"
post+=" -H \"mcp-session-id: \$SESSION\""
list="$post -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}' | grep -o '\"name\":\"[^\"]*\"'"
call() { # call ID TOOL ARGUMENTS
  local params="{\"name\":\"$2\",\"arguments\":$3}"
  echo "$post -d '{\"jsonrpc\":\"2.0\",\"id\":$1,\"method\":\"tools/call\",\"params\":$params}'"
}

show() { printf '\n# %s\n%s\n' "$1" "$2"; }
try() { # try TITLE COMMAND
  show "$1" "$2"
  # Whatever comes of it is what a person would see: it ends nothing.
  printf '%s\n' "$(eval "$2" 2>&1 || echo "(exit code $?)")"
}

echo
echo "mcp-policy serves $policy before $upstream"
echo "  point your MCP client at   $address"
echo "  the decisions are in       $run/access.log"
echo "  Envoy runs                 $run/envoy.yaml, its log is $run/envoy.log"
hidden='' allowed='' denied=''
if [ "$policy" = policies/reference-server.json ]; then
  hidden=': get-env is hidden' allowed=': allowed' denied=': denied'
fi
if [ -n "${UPSTREAM:-}" ]; then
  show "open a session" "$session"
  show "the tools that clients see" "$list"
else
  show "open a session" "$session"
  eval "$session"
  try "the tools that clients see$hidden" "$list"
  try "call echo$allowed" "$(call 2 echo '{"message":"hello"}')"
  try "call get-sum$denied" "$(call 3 get-sum '{"a":1,"b":2}')"
fi

[ -z "${MCP_POLICY_RUN_ONCE:-}" ] || exit 0
trap 'exit 0' INT TERM HUP
printf '\nCtrl-C ends it.\n'
while check_children; do
  # In the background, because bash acts on a signal at once only while it waits.
  sleep 1 &
  wait $! || true
done
