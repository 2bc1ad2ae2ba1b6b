#!/usr/bin/env bash
# Serves a policy from start to end: builds what is missing, starts Envoy with the plugin before UPSTREAM (or, without
# one, before the reference MCP server), shows what to try, and stays until Ctrl-C ends all of it. Meanwhile each save
# of POLICY takes hold for the next call, or is refused. UPSTREAM, POLICY and PORT come from the environment, as `make
# run` passes them on. Logs and what it makes lie in target/run.
set -euo pipefail
cd "$(dirname "$0")/.."
upstream=${UPSTREAM:-} policy=${POLICY:-policies/reference-server.json} port=${PORT:-10000}
run=target/run
# By port, which is ours alone: what Envoy takes up while it runs must not be another run's.
plugin=$run/plugin-$port.yaml admin=$run/admin-$port.sock
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

# What the policy says now, told by its contents, because editors write into a file as well as replace it.
contents() { cksum "$policy" 2>/dev/null || echo none; }
# Puts the plugin and the policy where Envoy looks, in one step, unless the policy has a problem.
put() { target/release/mcp-policy render plugin --policy "$policy" --output "$plugin"; }
# How often Envoy has taken up a plugin file (`success`), or refused one (`rejected`).
updates() {
  local stat=extension_config_discovery.http_filter.mcp-policy.update_$1 count=
  until [ -n "$count" ]; do
    # A busy Envoy may be late to answer, which is no reason to end it.
    count=$(curl -sm 5 --unix-socket "$admin" "http://envoy/stats?filter=$stat" | sed -n "s/^$stat: //p") || true
    [ -n "$count" ] || { check_children && sleep 0.1; }
  done
  echo "$count"
}

taken=$(contents)
put || fail 2 "the policy $policy cannot be served"
target/release/mcp-policy render envoy --plugin-file "$plugin" --upstream "$upstream" --port "$port" \
  >"$run/envoy.yaml" || fail 2 "no Envoy file can be made of the upstream $upstream"
# The access log is its standard output; by default it would be written only every 10 seconds. Its statistics are for
# this user alone.
"$envoy" -c "$run/envoy.yaml" --config-yaml "admin: { address: { pipe: { path: $admin, mode: 384 } } }" \
  --concurrency 2 --disable-hot-restart --file-flush-interval-msec 200 \
  --log-level warn --component-log-level wasm:info >"$run/access.log" 2>"$run/envoy.log" &
children+=("$! Envoy $run/envoy.log")
wait_for "$port" Envoy
check_children
[ "$(updates success)" = 1 ] || fail 1 "Envoy refuses the plugin, and with it every call; see $run/envoy.log"

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
printf '\nEdit %s and save it: the next call is judged by it. Ctrl-C ends it.\n' "$policy"

milliseconds() {
  # Before bash 5 the time is known in whole seconds.
  local time=${EPOCHREALTIME:-$SECONDS.000000}
  echo $((10#${time/[.,]/} / 1000))
}

reload() { # reload SINCE: the policy was seen to change at SINCE milliseconds
  local successes refusals kept="$policy is refused, and the policy before stays in force"
  successes=$(updates success) refusals=$(updates rejected)
  if ! put >"$run/problems" 2>&1; then
    echo "run: $kept:" >&2
    cat "$run/problems" >&2
    return
  fi
  for _ in {1..200}; do
    check_children
    if [ "$(updates success)" != "$successes" ]; then
      echo "run: $policy is in force, $(($(milliseconds) - $1)) ms after its edit was seen"
      return
    fi
    # Not to be expected: the command line has judged the policy by the code of the plugin.
    if [ "$(updates rejected)" != "$refusals" ]; then echo "run: $kept; see $run/envoy.log" >&2 && return; fi
    sleep 0.05
  done
  echo "run: Envoy has not taken up $plugin within 10 seconds; see $run/envoy.log" >&2
}

seen=$taken since=0
while check_children; do
  # In the background, because bash acts on a signal at once only while it waits.
  sleep 0.25 &
  wait $! || true
  now=$(contents)
  if [ "$now" != "$seen" ]; then
    # It waits for the next look, in case an editor is still writing.
    seen=$now since=$(milliseconds)
  elif [ "$now" != "$taken" ]; then
    taken=$now
    reload "$since"
  fi
done
