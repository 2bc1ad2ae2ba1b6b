#!/usr/bin/env bash
# Checks `make run` as a person meets it: what it tells to try shows a tool missing from the list, a call allowed and one
# denied; Ctrl-C ends all of it; a save of the policy takes hold, or is refused; a taken port, a bad policy and an Envoy
# that dies are each told clearly.
set -euo pipefail
cd "$(dirname "$0")/.."
run=target/run
# What programs read, and what people read.
records=$run/records.txt output=$run/check.txt
mkdir -p "$run"
scripts/need.sh node curl ps
unset UPSTREAM POLICY PORT
# What a run that fails leaves to be looked into.
TMPDIR=$(mktemp -d)
export TMPDIR
# Jobs get process groups of their own, so that an INT reaches what Ctrl-C would reach, and no more.
set -m
pid=
trap '[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null; rm -rf "$TMPDIR"' EXIT

passed=0
expect() { # expect WHAT COMMAND...
  if "${@:2}"; then passed=$((passed + 1)) && return; fi
  echo "run-check: failed: $1; it printed:" >&2
  cat "$output" >&2
  exit 1
}
prints() { grep -qF -- "$1" "$output"; }
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
  # No terminal, so the standard output has records.
  env "$@" scripts/run.sh >"$records" 2>"$output" &
  pid=$!
  until prints "Ctrl-C ends it."; do
    kill -0 "$pid" 2>/dev/null || expect "stays until it is ended" false
    sleep 0.2
  done
}
interrupt() { # As Ctrl-C does; its exit code is $code, and those that it had started are $children
  code=0
  read -ra children <<<"$(ps -o pid= --ppid "$pid" | tr '\n' ' ')"
  kill -INT -- "-$pid"
  wait "$pid" || code=$?
  pid=
}
are_gone() { # are_gone PID...
  local child
  for child; do ! kill -0 "$child" 2>/dev/null || return 1; done
}
# Runs the command that was told under a title.
try() { eval "$(grep -F -A 2 "# $1" "$output" | tail -n 2)" | sed 's/^data: //'; }
answers() { # answers TITLE WORDS
  try "$1" | grep -qF -- "$2"
}
lacks() { # lacks TITLE WORDS
  ! answers "$1" "$2"
}
records() { timeout 10 sh -c "until grep -qF '$1' $records; do sleep 0.1; done"; }

port=$(free_port)
starts "PORT=$port"
expect "tells the address" prints "http://127.0.0.1:$port/mcp"
expect "tells what clients need" prints "claude mcp add --transport http reference-server http://127.0.0.1:$port/mcp"
expect "tells what is hidden" grep -qxF "  get-env" "$output"
expect "lists a tool" answers "the tools that clients see: get-env is hidden" '"name":"echo"'
expect "hides a tool" lacks "the tools that clients see: get-env is hidden" '"name":"get-env"'
expect "allows a call" answers "call echo" 'Echo: hello'
expect "denies a call" answers "call get-sum: denied" '[POLICY DENIED] Sums are switched off here.'
expect "gives the decisions to a pipe" records '"outcome":"denied","rule":"/tools/get-sum/action"'
every_line_is_json() {
  node -e 'require("fs").readFileSync(0, "utf8").trim().split("\n").forEach((line) => JSON.parse(line))' <"$records"
}
expect "gives nothing else to a pipe" every_line_is_json

cp "$output" "$run/check-first.txt"
expect "refuses a taken port" ends_with 2 "PORT=$port"
expect "names the port" prints "mcp-policy: port $port on 127.0.0.1 is taken; choose another: --port N"

interrupt
cp "$run/check-first.txt" "$output"
expect "ends cleanly on Ctrl-C" [ "$code" = 0 ]
expect "frees the port" is_free "$port"
expect "had started Envoy and servers" [ "${#children[@]}" -ge 2 ]
expect "leaves nothing" rmdir "$TMPDIR"
mkdir "$TMPDIR"
expect "ends them" are_gone "${children[@]}"

policy=$run/edited.json
cp policies/reference-server.json "$policy"
starts "PORT=$port" "POLICY=$policy"
reason() { sed "s/Sums are switched off here/$1/" policies/reference-server.json; }
says() { # says TEXT TIMES: within 20 seconds
  timeout 20 sh -c "until [ \"\$(grep -cF '$1' $output)\" = $2 ]; do sleep 0.1; done"
}
denies_with() { # denies_with REASON: the next call of get-sum
  answers "call get-sum" "$1"
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
sed -n "s/^.* is in force, /run-check: in force /p" "$output"
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

starts UPSTREAM=http://localhost:9/deep/mcp "PORT=$port"
expect "keeps the path of a given upstream" prints "http://127.0.0.1:$port/deep/mcp"
expect "says that it does not answer" prints "The server does not list its tools now: "
interrupt
expect "ends cleanly before it" [ "$code" = 0 ]
echo "run-check: $passed passed, 0 failed"
