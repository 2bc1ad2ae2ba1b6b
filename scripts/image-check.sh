#!/usr/bin/env bash
# Checks an image of the plugin as it is used: image-check.sh DIST PLUGIN CLI. It is pushed to a registry, fetched again
# by the library with which Istio and Envoy Gateway fetch it, and comes back byte by byte; Envoy loads it, lets one call
# pass and refuses another.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$1 plugin=$2 cli=$3
: "${CRANE_VERSION:=$(sed -n 's/^export CRANE_VERSION *:= *//p' Makefile)}"
work=$PWD/target/image-check
fail() { echo "image-check: $1" >&2; exit 1; }

scripts/need.sh node curl
crane=$(scripts/go-tool.sh github.com/google/go-containerregistry/cmd/crane "$CRANE_VERSION")
registry=$(scripts/registry.sh)
envoy=$(scripts/envoy.sh)
rm -rf "$work"
mkdir -p "$work"

children=()
stop() {
  local child
  for child in ${children[@]+"${children[@]}"}; do kill "$child" 2>/dev/null || true; done
  for child in ${children[@]+"${children[@]}"}; do wait "$child" 2>/dev/null || true; done
}
trap stop EXIT
# Waits for the first line of a log that a program says its port in, and prints that.
port_in() { # port_in LOG EXPRESSION
  local port=
  for _ in {1..300}; do
    port=$(sed -nE "$2" "$1" | head -n 1)
    if [ -n "$port" ]; then echo "$port"; return; fi
    sleep 0.1
  done
  cat "$1" >&2
  return 1
}

cat >"$work/registry.yml" <<END
version: 0.1
storage: { filesystem: { rootdirectory: "$work/registry" } }
http: { addr: "127.0.0.1:0" }
END
"$registry" serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
children+=($!)
port=$(port_in "$work/registry.log" 's/.*listening on 127\.0\.0\.1:([0-9]+).*/\1/p')
version=$(sed -n 's/.*"org.opencontainers.image.ref.name":"\([^"]*\)".*/\1/p' "$dist/oci/index.json")
name=127.0.0.1:$port/mcp-policy:$version

"$crane" push "$dist/oci" "$name" >/dev/null 2>"$work/crane.log" || { cat "$work/crane.log" >&2; exit 1; }
digest=$(cat "$dist"/mcp-policy-*-oci.digest)
[ "$("$crane" digest "$name")" = "$digest" ] || fail "the registry has another digest than $digest"
"$crane" validate --remote "$name" >/dev/null || fail "what the registry has is no image"
"$crane" manifest "$name" | cmp - "$dist/oci/blobs/sha256/${digest#sha256:}" || fail "the manifest has changed on its way"
# What both look for: the last layer, its type, and one file in it.
layer=$("$crane" manifest "$name" | node -e '
  const { layers } = JSON.parse(require("fs").readFileSync(0));
  const last = layers.at(-1);
  if (last.mediaType !== "application/vnd.oci.image.layer.v1.tar+gzip") throw new Error(last.mediaType);
  console.log(last.digest)')
"$crane" blob "${name%:*}@$layer" | tar -xzf - -C "$work" plugin.wasm
cmp "$work/plugin.wasm" "$plugin" || fail "the plugin that comes back is another one"
"$crane" export "$name" - | tar -xOf - plugin.wasm | cmp - "$plugin" || fail "an unpacked image has another plugin"

node -e '
  const server = require("http").createServer((request, response) => {
    request.resume().on("end", () => {
      response.setHeader("content-type", "application/json");
      const content = [{ type: "text", text: "from the server" }];
      response.end(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content } }));
    });
  });
  server.listen(0, "127.0.0.1", () => console.log("port " + server.address().port))' >"$work/server.log" 2>&1 &
children+=($!)
upstream=$(port_in "$work/server.log" 's/^port ([0-9]+)$/\1/p')
"$cli" render envoy --policy policies/reference-server.json --wasm "$work/plugin.wasm" \
  --upstream "http://127.0.0.1:$upstream/mcp" --port 1 | sed 's/port_value: 1 }/port_value: 0 }/' >"$work/envoy.yaml"
"$envoy" -c "$work/envoy.yaml" --concurrency 1 --disable-hot-restart --log-level warn \
  --config-yaml "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }" \
  --admin-address-path "$work/admin" >"$work/envoy.log" 2>&1 &
children+=($!)
for _ in {1..300}; do [ ! -s "$work/admin" ] || break; sleep 0.1; done
[ -s "$work/admin" ] || { cat "$work/envoy.log" >&2; exit 1; }
listener=
for _ in {1..300}; do
  listener=$(curl -sm 5 "http://$(cat "$work/admin")/listeners" | sed -nE 's/.*::(127\.0\.0\.1:[0-9]+)$/\1/p' | head -n 1)
  [ -z "$listener" ] || break
  sleep 0.1
done
call() { # call TOOL
  curl -sSm 20 "http://$listener/mcp" -H 'content-type: application/json' \
    -H 'accept: application/json, text/event-stream' \
    -d "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"$1\",\"arguments\":{}}}"
}
call echo | grep -qF "from the server" || { cat "$work/envoy.log" >&2; fail "an allowed call does not pass"; }
call get-sum | grep -qF "[POLICY DENIED]" || { cat "$work/envoy.log" >&2; fail "a denied call is not refused"; }
echo "image-check: $digest comes back as it is, and Envoy judges by it"
