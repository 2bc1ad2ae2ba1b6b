#!/usr/bin/env bash
# Checks `make run` as a person meets it: its three commands show a tool missing from the list, a call allowed and one
# denied; Ctrl-C ends all of it; a save of the policy takes hold, or is refused; a taken port, a bad policy and an Envoy
# that dies are each told clearly.
set -euo pipefail
cd "$(dirname "$0")/.."
run=target/run
output=$run/check.txt
mkdir -p "$run"
scripts/need.sh node
unset UPSTREAM POLICY PORT MCP_POLICY_RUN_ONCE
# Jobs get process groups of their own, so that an INT reaches what Ctrl-C would reach, and no more.
set -m
pid=
trap '[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null' EXIT

passed=0
expect() { # expect WHAT COMMAND...
  if "${@:2}"; then passed=$((passed + 1)) && return; fi
  echo "run-check: failed: $1; it printed:" >&2
  cat "$output" >&2
  exit 1
}
prints() { grep -qF -- "$1" "$output"; }
lacks() { ! prints "$1"; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
is_free() { ! listens "$1"; }
ends_with() { # ends_with CODE VARIABLE=VALUE...: runs to its end
  local code=0
  env "${@:2}" scripts/run.sh >"$output" 2>&1 || code=$?
  [ "$code" = "$1" ]
}
free_port() {
  node -e '
    const server = require("net").createServer();
    server.listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })'
}

starts() { # starts VARIABLE=VALUE...: in the background, as $pid
  : >"$output"
  env "$@" scripts/run.sh >"$output" 2>&1 &
  pid=$!
  until prints "Ctrl-C ends it."; do
    kill -0 "$pid" 2>/dev/null || expect "stays until it is ended" false
    sleep 0.2
  done
}
interrupt() { # As Ctrl-C does; its exit code is $code
  code=0
  kill -INT -- "-$pid"
  wait "$pid" || code=$?
  pid=
}

port=$(free_port)
starts "PORT=$port"
expect "lists a tool" prints '"name":"echo"'
expect "hides a tool" lacks '"name":"get-env"'
expect "allows a call" prints 'Echo: hello'
expect "denies a call" prints '[POLICY DENIED] Sums are switched off here. Add the numbers yourself.'
expect "logs the decisions" timeout 10 sh -c "until grep -q denied $run/access.log; do sleep 0.1; done"

server_port=$(sed -n 's|^mcp-policy serves .* before http://127.0.0.1:\([0-9]*\)/mcp$|\1|p' "$output")
expect "runs the reference server" listens "$server_port"
cp "$output" "$run/check-first.txt"
expect "refuses a taken port" ends_with 2 "PORT=$port"
expect "says so in one line" [ "$(wc -l <"$output")" = 1 ]
expect "names the port" prints "port $port on 127.0.0.1 is taken"

interrupt
cp "$run/check-first.txt" "$output"
expect "ends cleanly on Ctrl-C" [ "$code" = 0 ]
expect "ends Envoy" is_free "$port"
expect "ends the reference server" is_free "$server_port"

policy=$run/edited.json
cp policies/reference-server.json "$policy"
starts "PORT=$port" "POLICY=$policy"
reason() { sed "s/Sums are switched off here/$1/" policies/reference-server.json; }
says() { # says TEXT TIMES: within 20 seconds
  timeout 20 sh -c "until [ \"\$(grep -cF '$1' $output)\" = $2 ]; do sleep 0.1; done"
}
denies_with() { # denies_with REASON: the next call of get-sum
  curl -sSm 20 "http://127.0.0.1:$port/mcp" -H @"$run/headers" \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get-sum"}}' | grep -qF "$1"
}
expect "judges by the policy" denies_with "Sums are switched off here"
reason "No sums today" >"$policy"
expect "sees a file that is written to" says "$policy is in force" 1
expect "judges by it" denies_with "No sums today"
reason "No sums tomorrow" | sed 's/"hide"/"hides"/' >"$run/edited.new"
mv "$run/edited.new" "$policy"
expect "refuses a broken edit" says "$policy is refused, and the policy before stays in force" 1
expect "names its problem" prints 'unknown field "hides"; did you mean "hide"?'
expect "keeps the policy before" denies_with "No sums today"
rm "$policy"
expect "survives a policy that is away" says "$policy is refused, and the policy before stays in force" 2
expect "keeps the policy before" denies_with "No sums today"
reason "No sums tomorrow" >"$run/edited.new"
mv "$run/edited.new" "$policy"
expect "sees a file that is moved into its place" says "$policy is in force" 2
expect "judges by that" denies_with "No sums tomorrow"
sed -n "s/^run: .* is in force, /run-check: in force /p" "$output"
interrupt
expect "ends cleanly after edits" [ "$code" = 0 ]

expect "refuses a port that is none" ends_with 2 PORT=70000
expect "refuses a missing policy" ends_with 2 POLICY=policies/none.json "PORT=$port"
echo '{"version": "1", "default": "allow", "hides": []}' >"$run/bad.json"
expect "refuses a bad policy" ends_with 2 "POLICY=$run/bad.json" "PORT=$port"
expect "names the problem" prints hides
expect "refuses a bad upstream" ends_with 2 UPSTREAM=ws://mcp.example.com/mcp "PORT=$port"

cat >"$run/envoy-that-dies" <<'END'
#!/bin/sh
[ "$1" != --version ] || { echo "envoy  version: 0/1.40.0/Clean/"; exit; }
echo "this Envoy dies" >&2
exit 1
END
chmod +x "$run/envoy-that-dies"
expect "ends when Envoy does" ends_with 1 "ENVOY=$run/envoy-that-dies" "PORT=$port"
expect "shows its last words" prints "this Envoy dies"

expect "serves a given upstream" ends_with 0 MCP_POLICY_RUN_ONCE=1 UPSTREAM=http://localhost:9/deep/mcp "PORT=$port"
expect "keeps its path" prints "http://127.0.0.1:$port/deep/mcp"
echo "run-check: $passed passed, 0 failed"
