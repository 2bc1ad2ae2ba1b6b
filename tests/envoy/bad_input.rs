//! Bad input, as a table: each row is refused by the right status, JSON-RPC code and id, leaves one record, reaches no
//! server, and harms no worker.

use super::support::envoy::Envoy;
use super::support::http::Response;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::Upstream;
use super::support::wait;
use serde_json::{Value, json};

const MAX_BODY_BYTES: usize = 4096;

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;

/// Bodies that are not JSON: 400, no id. Each `name, body`; the rest of the request is in order.
const NOT_JSON: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("blank", b" \r\n"),
    ("not JSON", b"hello"),
    ("broken off", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free""#),
    ("trailing bytes", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free"}} x"#),
    ("two messages", br#"{"jsonrpc":"2.0","id":7,"method":"ping"}{"jsonrpc":"2.0","id":8,"method":"ping"}"#),
    ("a NUL after it", b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\0"),
    ("a byte order mark", b"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}"),
    ("not UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"x\":\"\xFF\"}"),
    ("UTF-16", b"{\0}\0"),
    ("no number", br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":NaN}}"#),
    ("a comment", br#"{"jsonrpc":"2.0","id":7,"method":"ping"/**/}"#),
];

/// Bodies that are JSON, with no id to answer under: 400.
const WITHOUT_ID: &[(&str, &[u8])] = &[
    ("a batch", br#"[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free"}}]"#),
    ("an empty batch", b"[]"),
    ("a string", br#""tools/call""#),
    ("null", b"null"),
    ("an id of null", br#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#),
    ("a fractional id", br#"{"jsonrpc":"2.0","id":7.0,"method":"tools/list"}"#),
    ("an id that is an object", br#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#),
    ("two ids", br#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#),
    ("id and ID", br#"{"jsonrpc":"2.0","id":7,"ID":8,"method":"ping"}"#),
    ("a response without an id", br#"{"jsonrpc":"2.0","result":{}}"#),
];

/// Messages that are none, or that parsers could read differently, under the id 7: 200.
const AMBIGUOUS: &[(&str, &[u8])] = &[
    ("no version", br#"{"id":7,"method":"ping"}"#),
    ("another version", br#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#),
    ("a version that is a number", br#"{"jsonrpc":2.0,"id":7,"method":"ping"}"#),
    ("no method", br#"{"jsonrpc":"2.0","id":7}"#),
    ("a method that is no string", br#"{"jsonrpc":"2.0","id":7,"method":["tools/call"]}"#),
    ("method and result", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","result":{}}"#),
    ("method and error", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","error":{}}"#),
    ("two methods", br#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call"}"#),
    ("two methods, one escaped", br#"{"jsonrpc":"2.0","id":7,"method":"ping","m\u0065thod":"tools/call"}"#),
    ("method and Method", br#"{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/call"}"#),
    ("PARAMS", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","PARAMS":{"name":"denied"}}"#),
    ("two params", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free"},"params":{}}"#),
    ("two names", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","name":"denied"}}"#),
    ("name and Name", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","Name":"denied"}}"#),
    ("Name alone", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"Name":"denied"}}"#),
    ("Arguments", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","Arguments":{}}}"#),
];

/// Requests whose `params` are not what the method takes, under the id 7: 200.
const BAD_PARAMS: &[(&str, &[u8])] = &[
    ("params that are a list", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["free"]}"#),
    ("params that are null", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":null}"#),
    ("params that are a string", br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}"#),
    ("no params", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#),
    ("no name", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}"#),
    ("a name that is null", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":null}}"#),
    ("a name that is a number", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":1}}"#),
    ("a name that is no text", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"\ud800"}}"#),
    ("a list", br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","arguments":[]}}"#),
];

/// What a row's answer has to be.
enum Expected {
    /// A JSON-RPC error: HTTP status, code, id.
    Error(u16, i64, Value),
    /// Nothing: HTTP status.
    Empty(u16),
}

struct Row {
    name: String,
    request: Request,
    expected: Expected,
}

fn row(name: &str, request: Request, expected: Expected) -> Row {
    Row { name: name.to_owned(), request, expected }
}

fn rows() -> Vec<Row> {
    use Expected::{Empty, Error};
    let free = || Request::post(mcp::call("7", "free"));
    let without_type = || free().without("content-type");
    let refused = |status| Error(status, INVALID_REQUEST, Value::Null);
    let large = |size: usize| {
        let call = mcp::call("7", "free");
        Request::post(format!("{call}{}", " ".repeat(size - call.len())))
    };
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let no_id = br#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#;
    let mut rows = vec![
        row("no content type", without_type(), refused(415)),
        row("another content type", without_type().with("content-type", "text/plain"), refused(415)),
        row("a +json type", without_type().with("content-type", "application/x+json"), refused(415)),
        row("another charset", without_type().with("content-type", "application/json; charset=utf-16"), refused(415)),
        row("two content types", free().with("content-type", "text/plain"), refused(415)),
        row(
            "two content types in one",
            without_type().with("content-type", "application/json, text/plain"),
            refused(415),
        ),
        row("0xFF in the content type", without_type().with("content-type", b"application/json\xFF"), refused(415)),
        row("gzip", free().with("content-encoding", "gzip"), refused(415)),
        row("an unknown encoding", free().with("content-encoding", b"\xFF"), refused(415)),
        row(
            "two encodings",
            free().with("content-encoding", "identity").with("content-encoding", "gzip"),
            refused(415),
        ),
        row("one byte too many", large(MAX_BODY_BYTES + 1), refused(413)),
        row("one byte too many, not announced", large(MAX_BODY_BYTES + 1).chunked(), refused(413)),
        row("far too large", large(100 * MAX_BODY_BYTES), refused(413)),
        row("far too large, not announced", large(100 * MAX_BODY_BYTES).chunked(), refused(413)),
        row("nested too deep", Request::post(deep), Error(400, PARSE_ERROR, Value::Null)),
        row("PUT", free().by("PUT"), refused(405)),
        row("PATCH", free().by("PATCH"), refused(405)),
        row("PUT without a body", Request::get("/mcp").by("PUT"), refused(405)),
        row("GET with a body", free().by("GET"), refused(400)),
        row("DELETE with a body", free().by("DELETE"), refused(400)),
        row(
            "no body, no length",
            Request::get("/mcp").by("POST").with("content-type", "application/json"),
            Error(400, PARSE_ERROR, Value::Null),
        ),
        row("0xFF in the session id", free().with("mcp-session-id", b"a\xFF"), Error(200, INVALID_REQUEST, json!(7))),
        row(
            "two session ids",
            free().with("mcp-session-id", "a").with("mcp-session-id", "b"),
            Error(200, INVALID_REQUEST, json!(7)),
        ),
        row("tools/call without an id", Request::post(no_id), Empty(202)),
    ];
    for (bodies, status, code, id) in [
        (NOT_JSON, 400, PARSE_ERROR, Value::Null),
        (WITHOUT_ID, 400, INVALID_REQUEST, Value::Null),
        (AMBIGUOUS, 200, INVALID_REQUEST, json!(7)),
        (BAD_PARAMS, 200, INVALID_PARAMS, json!(7)),
    ] {
        rows.extend(bodies.iter().map(|(name, body)| row(name, Request::post(body), Error(status, code, id.clone()))));
    }
    rows
}

/// Header lines with the byte 0xFF that mean nothing to the policy. The call is judged as if they were not there.
const ODD_HEADERS: &[&str] = &[
    "x-anything",
    "accept",
    "accept-encoding",
    "authorization",
    "cookie",
    "last-event-id",
    "mcp-name",
    "mcp-method",
    "mcp-protocol-version",
    "origin",
    "traceparent",
    "user-agent",
    "x-forwarded-for",
    "x-request-id",
];

fn start(parts: &Parts, name: &str, mode: Mode, upstream: &Upstream) -> Envoy {
    let policy = json!({ "version": "1", "default": "allow", "tools": { "denied": { "action": "deny" } } });
    let setup = Setup::new(&policy).mode(mode).with("max_body_bytes", MAX_BODY_BYTES).with("log", "refusals");
    Envoy::start(parts, name, &setup.render(name, upstream.address))
}

fn is_as_expected(name: &str, expected: &Expected, response: &Response) {
    match expected {
        Expected::Error(status, code, id) => {
            assert_eq!(response.status, *status, "{name}: {response:?}");
            let error = response.json();
            assert_eq!((mcp::error_code(&error), &error["id"]), (*code, id), "{name}: {error}");
            assert_eq!(response.head.text("content-type"), "application/json", "{name}");
        }
        Expected::Empty(status) => assert_eq!((response.status, response.text().as_str()), (*status, ""), "{name}"),
    }
    if response.status == 405 {
        assert!(response.head.text("allow").contains("POST"), "{name}: {:?}", response.head);
    }
}

fn records(envoy: &Envoy) -> usize {
    envoy.log().lines().filter(|line| line.contains(r#""outcome":"denied""#)).count()
}

fn is_refused(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, name, mode, &upstream);
    let rows = rows();
    for (count, Row { name, request, expected }) in rows.iter().enumerate() {
        // A connection of its own, because Envoy closes some of them after an error.
        is_as_expected(name, expected, &envoy.connect().exchange(request));
        wait::until(&format!("{name}: the log has its line"), || records(&envoy) > count);
        assert_eq!(records(&envoy), count + 1, "{name}: lines in the log");
        let good = envoy.connect().exchange(&Request::post(mcp::call("1", "free")));
        assert_eq!(good.json()["result"]["content"][0]["text"], "ran", "after {name}");
    }
    assert_eq!(envoy.traps(), 0);
    if mode == Mode::Held {
        assert_eq!(envoy.stat("cluster.mcp_server.upstream_rq_total"), rows.len() as u64, "only the good calls");
    }
    drop(envoy);
    let requests = upstream.settled();
    let whole: Vec<_> = requests.iter().filter(|request| request.is_whole).collect();
    assert_eq!(whole.len(), rows.len(), "only the good calls arrived whole");
    let others = requests.iter().filter(|request| !request.is_whole);
    others.for_each(|request| assert!(mode == Mode::Fallback && request.body.is_empty(), "{request:?}"));
}

#[test]
fn each_row_is_refused_with_held_headers() {
    is_refused("bad-input-held", Mode::Held);
}

#[test]
fn each_row_is_refused_without_held_headers() {
    is_refused("bad-input-fallback", Mode::Fallback);
}

#[test]
fn odd_bytes_in_other_headers_change_no_decision() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "odd-headers-held"), (Mode::Fallback, "odd-headers-fallback")] {
        let upstream = Upstream::running_every_call();
        let envoy = start(&parts, name, mode, &upstream);
        for header in ODD_HEADERS {
            let call = |tool| {
                let request = Request::post(mcp::call("1", tool)).with(header, b"\xFF\xC3(");
                envoy.connect().exchange(&request)
            };
            let response = call("free");
            assert_eq!(response.json()["result"]["content"][0]["text"], "ran", "{header}: {response:?}");
            let refused = mcp::refused("1", r#"[POLICY DENIED] Tool "denied" is denied by policy"#);
            assert_eq!(call("denied").text(), refused, "{header}");
        }
        // Exactly the limit is allowed, announced or not.
        let call = mcp::call("1", "free");
        let full = Request::post(format!("{call}{}", " ".repeat(MAX_BODY_BYTES - call.len())));
        for request in [full.clone(), full.chunked()] {
            assert_eq!(envoy.connect().exchange(&request).json()["result"]["content"][0]["text"], "ran");
        }
        assert_eq!(envoy.traps(), 0);
    }
}
