//! Other filters before and after the plugin: what it judges and filters is what it would without them, and what they
//! answer themselves has an end. On the way back the filters are passed in the other order.

use super::support::envoy::Envoy;
use super::support::ext_proc::{Ask, Processor};
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup, exchange};
use super::support::upstream::{Answer, Received, Upstream, result};
use super::unreadable::stored_gzip;
use serde_json::{Value, json};

const MAX_BODY_BYTES: usize = 32 << 10;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"admin_x"},{"name":"a"}],"nextCursor":"n"}}"#;
const SHOWN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"n"}}"#;
const DENIED: &str = r#"[POLICY DENIED] Tool "denied" is denied by policy"#;

/// Reads both bodies whole, and writes them anew.
const LUA_WHOLE: &str = r#"
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    local body = handle:body()
                    if body == nil then return end
                    handle:headers():replace("content-length", body:setBytes(body:getBytes(0, body:length())))
                  end
                  function envoy_on_response(handle)
                    local body = handle:body()
                    if body == nil then return end
                    handle:headers():replace("content-length", body:setBytes(body:getBytes(0, body:length())))
                  end"#;

/// Reads both bodies as they come.
const LUA_CHUNKS: &str = r#"
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    for chunk in handle:bodyChunks() do handle:logTrace(chunk:length()) end
                  end
                  function envoy_on_response(handle)
                    for chunk in handle:bodyChunks() do handle:logTrace(chunk:length()) end
                  end"#;

/// Writes `denied` for `alias` into requests, and a hidden tool for `a` into answers.
const LUA_EDITS: &str = r#"
          - name: lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  local function edit(handle, from, to)
                    local body = handle:body(true)
                    local text = body:getBytes(0, body:length()):gsub(from, to)
                    handle:headers():replace("content-length", body:setBytes(text))
                  end
                  function envoy_on_request(handle) edit(handle, '"alias"', '"denied"') end
                  function envoy_on_response(handle) edit(handle, '{"name":"a"}', '{"name":"a"},{"name":"admin_y"}') end"#;

const GZIP: &str = r#"
          - name: compressor
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor
              response_direction_config:
                common_config: { min_content_length: 1, content_type: [application/json, text/event-stream] }
              compressor_library:
                name: gzip
                typed_config: { "@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip }"#;

/// Both ways; asks for gzip, so that a compressor after it has something to do.
const GUNZIP: &str = r#"
          - name: decompressor
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor
              request_direction_config: { advertise_accept_encoding: true }
              decompressor_library:
                name: gzip
                typed_config: { "@type": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip }"#;

const RBAC: &str = r#"
          - name: rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules: { action: ALLOW, policies: {} }"#;

const RATE_LIMIT: &str = r#"
          - name: rate_limit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: rate_limit
              token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s }
              filter_enabled: { default_value: { numerator: 100 } }
              filter_enforced: { default_value: { numerator: 100 } }"#;

fn ext_proc(body_mode: &str) -> String {
    format!(
        r#"
          - name: ext_proc
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
              grpc_service: {{ envoy_grpc: {{ cluster_name: ext_proc }}, timeout: 10s }}
              message_timeout: 10s
              processing_mode: {{ request_body_mode: {body_mode}, response_body_mode: {body_mode} }}"#
    )
}

/// The Envoy file with these filters around the plugin.
fn file(name: &str, mode: Mode, upstream: &Upstream, before: &str, after: &str) -> String {
    let policy =
        json!({ "version": "1", "default": "allow", "hide": ["admin_*"], "tools": { "denied": { "action": "deny" } } });
    let setup = Setup::new(&policy).mode(mode).with("max_body_bytes", MAX_BODY_BYTES);
    let mut file = setup.render(name, upstream.address);
    for (filters, place) in [(before, "- name: envoy.filters.http.wasm"), (after, "- name: envoy.filters.http.router")]
    {
        let filters = filters.trim_start();
        let gap = if filters.is_empty() { "" } else { "\n          " };
        file = exchange(&file, place, &format!("{filters}{gap}{place}"));
    }
    file
}

/// The same with the cluster of a processor.
fn with_processor(file: &str, processor: &Processor) -> String {
    let (address, port) = (processor.address.ip(), processor.address.port());
    let cluster = format!(
        r#"- name: ext_proc
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: ext_proc
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: "{address}", port_value: {port} }} }} }}
  - name: mcp_server"#
    );
    exchange(file, "- name: mcp_server", &cluster)
}

/// A list above what is held whole, and the same without what is hidden.
fn long() -> (String, String) {
    let list = |kinds: &[&str]| {
        let tools = (0..1000).flat_map(|number| kinds.iter().map(move |kind| (number, kind)));
        let tools = tools.map(|(number, kind)| format!(r#"{{"name":"{kind}_{number}","x":"{}"}}"#, "x".repeat(200)));
        LIST.replace(r#"{"name":"admin_x"},{"name":"a"}"#, &tools.collect::<Vec<_>>().join(","))
    };
    (list(&["admin", "user"]), list(&["user"]))
}

fn script(request: &Received) -> Answer {
    match request.header("x-wanted").as_str() {
        "json" => Answer::json(LIST).in_pieces_of(7),
        "long" => Answer::json(long().0),
        "events" => Answer::events(format!(": open\n\ndata: {LIST}\n\n"), 7),
        "gzip" => Answer::json(stored_gzip(LIST.as_bytes())).with("content-encoding", "gzip"),
        "gzip events" => Answer::new("text/event-stream", stored_gzip(format!("data: {LIST}\n\n").as_bytes()))
            .with("content-encoding", "gzip"),
        "nothing" => Answer::new("", "").status(202),
        _ => Answer::json(result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#)),
    }
}

/// Sends what honest and other clients send, and checks what comes of it; returns how many records are due.
fn works(what: &str, envoy: &Envoy, upstream: &Upstream) -> usize {
    let ask = |request: Request| envoy.connect().exchange(&request);
    let padding = json!({ "x": "x".repeat(20_000) });
    for request in
        [Request::post(mcp::call_with("1", "free", &padding)), Request::post(mcp::call("1", "free")).chunked()]
    {
        let response = ask(request);
        assert_eq!(response.json()["result"]["content"][0]["text"], "ran", "{what}: {response:?}");
    }
    let ran = upstream.count();
    let denied = Request::post(mcp::call_with("1", "denied", &padding));
    for request in [denied.clone(), denied.chunked()] {
        let response = ask(request);
        assert_eq!((response.status, response.text()), (200, mcp::refused("1", DENIED)), "{what}");
    }
    assert_eq!(ask(Request::post("")).status, 400, "{what}");
    assert_eq!(ask(Request::post(" ".repeat(MAX_BODY_BYTES + 1)).chunked()).status, 413, "{what}");
    assert_eq!(upstream.count(), ran, "{what}: something refused was sent on");
    let (_, long_shown) = long();
    let events = format!(": open\n\ndata: {SHOWN}\n\n");
    for (wanted, shown) in [("json", SHOWN), ("long", &long_shown), ("events", &events)] {
        for request in [Request::post(mcp::list("1")), Request::stream()] {
            let response = ask(request.with("x-wanted", wanted));
            assert!(response.text() == shown, "{what}, {wanted}: {response:?}");
        }
    }
    // On the transport of 2024-11-05 the server is made to say the refusal.
    let legacy = Request::post(mcp::call_with("1", "denied", &padding)).to("/message?sessionId=1");
    assert_eq!(ask(legacy.with("x-wanted", "nothing")).status, 202, "{what}");
    let said = upstream.requests().pop().expect("a request").body;
    let said: Value = serde_json::from_slice(&said).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(said["params"], json!({ "name": DENIED, "arguments": {} }), "{what}");
    10
}

fn checked(name: &str, before: &str, after: &str, processor: Option<&Processor>, more: impl Fn(&Envoy)) {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, suffix) in [(Mode::Held, "held"), (Mode::Fallback, "fallback")] {
        let name = format!("neighbours-{name}-{suffix}");
        let upstream = Upstream::start(script);
        let mut file = file(&name, mode, &upstream, before, after);
        if let Some(processor) = processor {
            file = with_processor(&file, processor);
        }
        let mut envoy = Envoy::start(&parts, &name, &file);
        let due = works(&name, &envoy, &upstream);
        more(&envoy);
        let lines = envoy.access_log(due + 3);
        let records = lines.iter().filter(|line| line["decision"].is_string()).count();
        assert!(records >= due, "{name}: {records} records, not {due}: {lines:?}");
        assert_eq!(envoy.traps(), 0, "{name}");
    }
}

#[test]
fn lua_that_reads_bodies() {
    checked("lua-before", LUA_WHOLE, "", None, |_| {});
    checked("lua-after", "", LUA_CHUNKS, None, |_| {});
    checked("lua-around", LUA_CHUNKS, LUA_WHOLE, None, |_| {});
}

/// What was changed before the plugin is judged as it was changed, on both ways.
#[test]
fn lua_that_edits_bodies() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "neighbours-edit-held"), (Mode::Fallback, "neighbours-edit-fallback")] {
        let upstream = Upstream::start(script);
        let envoy = Envoy::start(&parts, name, &file(name, mode, &upstream, LUA_EDITS, LUA_EDITS));
        let ask = |request: Request| envoy.connect().exchange(&request).text();
        assert_eq!(ask(Request::post(mcp::call("1", "alias"))), mcp::refused("1", DENIED), "{mode:?}");
        assert_eq!(upstream.count(), 0, "{mode:?}");
        for wanted in ["json", "events"] {
            let text = ask(Request::post(mcp::list("1")).with("x-wanted", wanted));
            // The one before the plugin adds to what it has filtered, which is its own business; the one after it did
            // not get through.
            assert_eq!(text.matches("admin_").count(), 1, "{mode:?}: {text}");
        }
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn a_compressor_before_it_compresses_what_was_filtered() {
    let before = format!("{GUNZIP}{GZIP}");
    checked("compressor-before", &before, "", None, |envoy| {
        let compressed =
            envoy.stats("compressor.").into_iter().find(|(name, _)| name.ends_with(".response.compressed"));
        let compressed = compressed.unwrap_or_else(|| panic!("{:?}", envoy.stats("compressor."))).1;
        assert!(compressed > 5, "{compressed} answers");
    });
}

#[test]
fn a_compressor_after_it_is_asked_for_plain_answers() {
    checked("compressor-after", "", GZIP, None, |envoy| {
        let plain = Request::post(mcp::list("1")).with("x-wanted", "json").with("accept-encoding", "gzip");
        assert_eq!(envoy.connect().exchange(&plain).text(), SHOWN);
    });
}

#[test]
fn a_decompressor_after_it_makes_events_readable() {
    checked("decompressor-after", "", GUNZIP, None, |envoy| {
        let response = envoy.connect().exchange(&Request::post(mcp::list("1")).with("x-wanted", "gzip events"));
        assert_eq!(response.text(), format!("data: {SHOWN}\n\n"), "{response:?}");
    });
}

/// Envoy's decompressor adds trailers to what it has unpacked, and Envoy tells no filter that holds the body of them. So
/// an answer that has to be held never becomes whole, and the stream ends when it has been idle for too long.
#[test]
fn what_a_decompressor_after_it_unpacks_and_it_holds_ends_when_idle() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "neighbours-decompressor-idle";
    let upstream = Upstream::start(script);
    let file = file(name, Mode::Held, &upstream, "", GUNZIP);
    let file = exchange(&file, "stream_idle_timeout: 3600s", "stream_idle_timeout: 0.5s");
    let mut envoy = Envoy::start(&parts, name, &file);
    let mut connection = envoy.connect();
    connection.send(&Request::post(mcp::list("1")).with("x-wanted", "gzip").bytes());
    let outcome = connection.outcome();
    assert_eq!((outcome.text().as_str(), outcome.is_whole), ("", false));
    assert!(envoy.access_log(1)[0]["decision"].is_string());
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_decompressor_before_it_makes_requests_readable() {
    checked("decompressor-before", GUNZIP, "", None, |envoy| {
        let ask = |tool: &str| {
            let request = Request::post(stored_gzip(mcp::call("1", tool).as_bytes())).with("content-encoding", "gzip");
            envoy.connect().exchange(&request).text()
        };
        assert!(ask("free").contains(r#""ran""#), "{}", ask("free"));
        assert_eq!(ask("denied"), mcp::refused("1", DENIED));
        // What is no gzip is not guessed at.
        let other = Request::post(mcp::call("1", "free")).with("content-encoding", "gzip");
        assert!(!envoy.connect().exchange(&other).text().contains(r#""ran""#));
    });
}

#[test]
fn ext_proc_that_reads_bodies() {
    if Parts::gateway().is_none() {
        return;
    }
    for (name, mode) in [("whole", "BUFFERED"), ("streamed", "STREAMED")] {
        let processor = Processor::start(None);
        checked(&format!("ext-proc-{name}"), &ext_proc(mode), &ext_proc(mode), Some(&processor), |_| {});
        assert!(processor.asked() > 50, "{}", processor.asked());
    }
}

/// Local replies of filters on either side pass back through the plugin: what they say ends, and hides nothing.
#[test]
fn what_other_filters_answer_themselves_has_an_end() {
    let Some(parts) = Parts::gateway() else { return };
    let streamed = ext_proc("STREAMED");
    let whole = ext_proc("BUFFERED");
    /// `name, filters before, filters after, what the processor answers, the status`; 0 where that depends.
    type Row<'a> = (&'a str, &'a str, &'a str, Option<Ask>, u16);
    let rows: &[Row<'_>] = &[
        ("rbac-after", "", RBAC, None, 403),
        ("rbac-before", RBAC, "", None, 403),
        ("limit-after", "", RATE_LIMIT, None, 429),
        ("limit-before", RATE_LIMIT, "", None, 429),
        ("request-headers-after", "", &whole, Some(Ask::RequestHeaders), 403),
        ("request-headers-before", &whole, "", Some(Ask::RequestHeaders), 403),
        ("request-body-after", "", &whole, Some(Ask::RequestBody), 403),
        ("request-body-before", &whole, "", Some(Ask::RequestBody), 403),
        ("response-headers-after", "", &whole, Some(Ask::ResponseHeaders), 403),
        ("response-headers-before", &whole, "", Some(Ask::ResponseHeaders), 403),
        ("response-body-after", "", &whole, Some(Ask::ResponseBody), 403),
        ("response-body-before", &whole, "", Some(Ask::ResponseBody), 403),
        ("response-chunk-after", "", &streamed, Some(Ask::ResponseBody), 0),
        ("response-chunk-before", &streamed, "", Some(Ask::ResponseBody), 0),
    ];
    for (what, before, after, answers, status) in rows {
        let is_after = what.ends_with("after");
        // What is before it answers before it is asked, whatever the mode.
        let modes: &[_] = if is_after { &[Mode::Held, Mode::Fallback] } else { &[Mode::Held] };
        for mode in modes {
            let name = format!("neighbours-{what}-{}", if *mode == Mode::Held { "held" } else { "fallback" });
            let upstream = Upstream::start(script);
            let processor = Processor::start(*answers);
            let file = with_processor(&file(&name, *mode, &upstream, before, after), &processor);
            let mut envoy = Envoy::start(&parts, &name, &file);
            let mut count = 0;
            if what.starts_with("limit") {
                // The one call that is within it.
                envoy.connect().exchange(&Request::post(mcp::call("1", "free")));
                count = envoy.access_log(1).len();
            }
            for (kind, request) in [
                ("call", Request::post(mcp::call("1", "free"))),
                ("denied", Request::post(mcp::call("1", "denied"))),
                ("list", Request::post(mcp::list("1")).with("x-wanted", "json")),
                ("long", Request::post(mcp::list("1")).with("x-wanted", "long")),
                ("events", Request::post(mcp::list("1")).with("x-wanted", "events")),
                ("stream", Request::stream().with("x-wanted", "events")),
            ] {
                let mut connection = envoy.connect();
                connection.send(&request.bytes());
                let outcome = connection.outcome();
                let text = outcome.text();
                assert!(!text.contains("admin_"), "{name}, {kind}: a hidden name passed: {text:.300}");
                // A filter that answers requests never sees one that was refused before it. Those that answer answers
                // see the refusal, as any other.
                let answers_requests = !what.starts_with("response");
                let is_list = ["list", "long", "events"].contains(&kind);
                if *status == 0 {
                    // Where headers have passed already, a reset is all that is left.
                } else if kind == "stream" && what.starts_with("request-body") {
                    assert_eq!(outcome.status, 200, "{name}: {outcome:?}");
                } else if kind == "denied" && is_after && answers_requests && *mode == Mode::Held {
                    assert_eq!(text, mcp::refused("1", DENIED), "{name}");
                } else if is_list && is_after && answers_requests && *mode == Mode::Held {
                    let error: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert_eq!((mcp::error_code(&error), &error["id"]), (-32603, &json!(1)), "{name}, {kind}");
                    assert_eq!(outcome.status, *status, "{name}, {kind}");
                } else if *mode == Mode::Held {
                    assert_eq!(outcome.status, *status, "{name}, {kind}: {outcome:?}");
                }
                count += 1;
                let line = envoy.access_log(count).swap_remove(count - 1);
                // Where headers are not held, others may answer before there is anything to judge.
                let is_judged = line["details"] == "via_upstream" || is_after && *mode == Mode::Held;
                assert!(!is_judged || kind == "stream" || line["decision"].is_string(), "{name}, {kind}: {line}");
            }
            assert_eq!(envoy.traps(), 0, "{name}");
        }
    }
}
