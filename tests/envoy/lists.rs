//! A list of 1,000 tools loses exactly the hidden ones, whatever it travels in and however it is cut.

use super::support::envoy::Envoy;
use super::support::http::Response;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{Answer, Upstream};
use serde_json::json;

const TOOLS: usize = 1000;
const HIDDEN: usize = 300;

/// Whether the policy hides the tool of this number: also the first, also neighbours.
fn is_hidden(number: usize) -> bool {
    number % 10 < 3
}

/// One tool's definition, about 700 bytes of it.
fn tool(number: usize) -> String {
    let kind = if is_hidden(number) { "admin" } else { "user" };
    // Text that looks like what is looked for, and numbers that would not survive being parsed.
    let description = format!(r#"No. {number}: ],\"tools\":[{{\"name\":\"admin\"}} — {}"#, "é".repeat(200));
    format!(
        r#" {{"title":"T{number}", "name":"{kind}_{number}","description":"{description}","inputSchema":{{"type":"object","properties":{{"name":{{"type":"string"}},"n":{{"maximum":1e400}}}}}}}}"#
    )
}

/// The answer to the list with id 7, of these tools.
fn answer(tools: impl Iterator<Item = usize>) -> String {
    let tools: Vec<String> = tools.map(tool).collect();
    format!(
        r#"{{ "result":{{"_meta":{{"x/y":[1.10,{{"tools":[]}}]}},"tools":[{}],"nextCursor":"","ttlMs" : 5}},"jsonrpc":"2.0","id":7}}"#,
        tools.join(",")
    )
}

/// The same as the middle one of three events, with everything that event streams may have around it.
fn events(answer: &str) -> String {
    format!(
        ": open\n\nid: 1\ndata: \n\nretry: 500\nevent: message\r\nid: 2\r\n: note\r\ndata: {answer}\r\n\r\n\
         data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{}}}}\n\n: end"
    )
}

/// The same without the unfinished event at the end, which no client takes for an event.
fn whole_events(answer: &str) -> String {
    events(answer).trim_end_matches(": end").to_owned()
}

/// Asks for the list through a new Envoy before a server that answers with `script`.
fn lists(name: &str, mode: Mode, script: impl Fn() -> Answer + Send + Sync + 'static) -> Option<Response> {
    let parts = Parts::gateway()?;
    let policy = json!({ "version": "1", "default": "allow", "hide": ["admin_*"] });
    let upstream = Upstream::start(move |_| script());
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy).mode(mode).render(name, upstream.address));
    let response = envoy.connect().exchange(&Request::post(mcp::list("7")));
    assert_eq!(envoy.traps(), 0);
    Some(response)
}

/// Compares without printing a megabyte.
fn assert_same(actual: &[u8], expected: &str) {
    let expected = expected.as_bytes();
    let at = actual.iter().zip(expected).position(|(a, b)| a != b).unwrap_or_else(|| actual.len().min(expected.len()));
    let around =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(100)..bytes.len().min(at + 100)]).into_owned();
    assert!(actual == expected, "differs at byte {at}: got {:?}, not {:?}", around(actual), around(expected));
}

fn is_filtered_as_json(name: &str, mode: Mode, piece: usize) {
    let script = move || Answer::json(answer(0..TOOLS)).in_pieces_of(piece);
    let Some(response) = lists(name, mode, script) else { return };
    assert_eq!((response.status, response.head.text("content-type").as_str()), (200, "application/json"));
    assert_same(&response.body, &answer((0..TOOLS).filter(|number| !is_hidden(*number))));
    assert_eq!(response.text().matches(r#""title":"T"#).count(), TOOLS - HIDDEN);
}

fn is_filtered_as_events(name: &str, mode: Mode, piece: usize) {
    let script = move || Answer::events(events(&answer(0..TOOLS)), piece);
    let Some(response) = lists(name, mode, script) else { return };
    assert_eq!((response.status, response.head.text("content-type").as_str()), (200, "text/event-stream"));
    assert_same(&response.body, &events(&answer((0..TOOLS).filter(|number| !is_hidden(*number)))));
}

#[test]
fn as_json_in_pieces_of_1_byte() {
    is_filtered_as_json("lists-json-1", Mode::Held, 1);
}

#[test]
fn as_json_in_pieces_of_64_kib() {
    is_filtered_as_json("lists-json-64k", Mode::Held, 64 << 10);
}

#[test]
fn as_json_without_held_headers() {
    is_filtered_as_json("lists-json-fallback", Mode::Fallback, 64 << 10);
}

#[test]
fn as_events_in_chunks_of_1_byte() {
    is_filtered_as_events("lists-events-1", Mode::Held, 1);
}

#[test]
fn as_events_in_chunks_of_64_kib() {
    is_filtered_as_events("lists-events-64k", Mode::Held, 64 << 10);
}

#[test]
fn as_events_without_held_headers() {
    is_filtered_as_events("lists-events-fallback", Mode::Fallback, 64 << 10);
}

#[test]
fn where_nothing_is_hidden_every_byte_stays() {
    let shown = || answer((0..TOOLS).filter(|number| !is_hidden(*number)));
    if let Some(response) = lists("lists-same-json", Mode::Held, move || Answer::json(shown())) {
        assert_same(&response.body, &shown());
    }
    if let Some(response) = lists("lists-same-events", Mode::Held, move || Answer::events(events(&shown()), 1000)) {
        assert_same(&response.body, &events(&shown()));
    }
}

/// Where Envoy may hold 4 MiB, and some 30 MB are to come.
#[test]
fn fifty_thousand_tools_flow_through_little_memory() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "lists-flow";
    let policy = json!({ "version": "1", "default": "allow", "hide": ["admin_*"] });
    let setup = Setup::new(&policy)
        .edit("per_connection_buffer_limit_bytes: 17825792", "per_connection_buffer_limit_bytes: 4194304");
    let upstream = Upstream::start(|request| match request.header("x-wanted").as_str() {
        "event" => Answer::events(events(&answer(0..15_000)), 64 << 10),
        _ => Answer::json(answer(0..50_000)),
    });
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    let mut connection = envoy.connect();
    connection.exchange(&Request::post(mcp::call("1", "warm")));
    let (response, grown) = envoy.memory_of(|| connection.exchange(&Request::post(mcp::list("7"))));
    assert_same(&response.body, &answer((0..50_000).filter(|number| !is_hidden(*number))));
    eprintln!("{} bytes flowed, Envoy's memory grew by {grown} KiB", response.body.len());
    assert!(grown < 8 << 10, "{grown} KiB");
    // The measure sees what is held: an event is, until it is whole.
    let event = Request::post(mcp::list("7")).with("x-wanted", "event");
    let (_, grown) = envoy.memory_of(|| connection.exchange(&event));
    assert!(grown > 8 << 10, "{grown} KiB");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn with_trailers_after_it() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "lists-trailers";
    let policy = json!({ "version": "1", "default": "allow", "hide": ["admin_*"] });
    let upstream = Upstream::start(|request| {
        let answered = answer(0..TOOLS);
        let is_stream = request.header("x-wanted") == "events";
        if is_stream { Answer::events(whole_events(&answered), 1) } else { Answer::json(answered) }.with_trailer()
    });
    // Otherwise Envoy's HTTP/1.1 drops them; its HTTP/2 does not.
    let with_trailers = "- name: mcp_server\n    typed_extension_protocol_options:\n      \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
         explicit_http_config: { http_protocol_options: { enable_trailers: true } }";
    let setup = Setup::new(&policy).edit("- name: mcp_server", with_trailers);
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    let mut connection = envoy.connect();
    let shown = answer((0..TOOLS).filter(|number| !is_hidden(*number)));
    assert_same(&connection.exchange(&Request::post(mcp::list("7"))).body, &shown);
    let wanted = Request::post(mcp::list("7")).with("x-wanted", "events");
    assert_same(&connection.exchange(&wanted).body, &whole_events(&shown));
    assert_eq!(envoy.traps(), 0);
}
