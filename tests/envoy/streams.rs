//! Event streams flow: each event is passed on before the next one exists, and GET streams are filtered like answers.

use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Answer, Upstream};
use serde_json::json;
use std::sync::{Mutex, PoisonError, mpsc};

const LISTED: &str = r#"data: {"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"admin_x"},{"name":"a"}]}}"#;
const FILTERED: &str = r#"data: {"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a"}]}}"#;

fn setup() -> Setup {
    Setup::new(&json!({ "version": "1", "default": "allow", "hide": ["admin_*", "get-env"] }))
}

/// A server whose one stream sends what comes through the channel.
fn live_upstream() -> (Upstream, mpsc::Sender<Vec<u8>>) {
    let (sender, events) = mpsc::channel();
    let events = Mutex::new(Some(events));
    let upstream = Upstream::start(move |_| {
        let events = events.lock().unwrap_or_else(PoisonError::into_inner).take();
        Answer::live(events.expect("one stream"))
    });
    (upstream, sender)
}

/// Reads on until so many bytes have come.
pub(crate) fn read(connection: &mut Connection, length: usize) -> String {
    let mut text = Vec::new();
    while text.len() < length {
        text.extend(connection.piece().expect("a stream that goes on"));
    }
    String::from_utf8(text).expect("UTF-8")
}

/// Sends event after event, each one only when the one before has come out, in what form it is due.
fn each_event_passes_at_once(name: &str, request: &Request) {
    let Some(parts) = Parts::gateway() else { return };
    let (upstream, sender) = live_upstream();
    let envoy = Envoy::start(&parts, name, &setup().render(name, upstream.address));
    let mut connection = envoy.connect();
    connection.send(&request.bytes());
    let send = |text: &str| sender.send(text.as_bytes().to_vec()).expect("an upstream that listens");
    send(": open\n\n");
    assert_eq!(connection.head().text("content-type"), "text/event-stream");
    assert_eq!(read(&mut connection, 8), ": open\n\n");
    let listed = format!("id: 9\r\n{LISTED}\r\n\r\n");
    let filtered = format!("id: 9\r\n{FILTERED}\r\n\r\n");
    for (event, expected) in [
        ("id: 1\ndata: \n\n", "id: 1\ndata: \n\n"),
        ("retry: 10\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n", ""),
        (": keepalive\n\n", ""),
        ("data: {\"jsonrpc\":\"2.0\",\n\tdata: not a field\ndata: \"method\":\"y\"}\r\r", ""),
        (&listed, &filtered),
        ("data: {\"jsonrpc\":\"2.0\",\"method\":\"z\"}\n\n", ""),
    ] {
        let expected = if expected.is_empty() { event } else { expected };
        send(event);
        assert_eq!(read(&mut connection, expected.len()), expected);
    }
    // An event in halves leaves whole, with its second half.
    let (first, rest) = listed.split_at(60);
    send(first);
    send(rest);
    assert_eq!(read(&mut connection, filtered.len()), filtered);
    drop(sender);
    assert_eq!(connection.piece(), None);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn the_answer_to_a_post_is_not_held_back() {
    each_event_passes_at_once("streams-post", &Request::post(mcp::list("7")));
}

#[test]
fn a_get_stream_is_not_held_back() {
    each_event_passes_at_once("streams-get", &Request::stream());
}

#[test]
fn a_stream_that_ends_within_an_event_hides_what_it_has() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "streams-cut";
    let upstream = Upstream::start(|_| Answer::events(format!(": a\n\n{LISTED}"), 1000));
    let envoy = Envoy::start(&parts, name, &setup().render(name, upstream.address));
    let text = envoy.connect().exchange(&Request::stream()).text();
    assert!(text.starts_with(": a\n\n") && !text.contains("admin_x"), "{text}");
    assert_eq!(envoy.traps(), 0);
}

/// With the reference server, whose event store replays the answer to a POST on a GET stream.
#[test]
fn a_list_that_is_replayed_on_a_get_stream_is_filtered() {
    let Some(parts) = Parts::with_peers() else { return };
    let name = "streams-replay";
    let server = Everything::start(&format!("{name}.server"));
    let envoy = Envoy::start(&parts, name, &setup().render(name, server.address));
    let (session, replayed_direct) = replay(&mut Connection::open(server.address));
    assert!(replayed_direct.contains("\"get-env\""), "{session}: the server replays the list: {replayed_direct}");
    let (_, replayed) = replay(&mut envoy.connect());
    assert!(replayed.contains("\"get-sum\"") && !replayed.contains("get-env\""), "{replayed}");
    assert_eq!(envoy.traps(), 0);
}

/// Begins a session, lists the tools, and has the answer replayed; returns the session's id and what was replayed.
fn replay(connection: &mut Connection) -> (String, String) {
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
    let response = connection.exchange(&Request::post(initialize));
    let session = response.head.text("mcp-session-id");
    assert!(!session.is_empty(), "{response:?}");
    let within = |request: Request| request.with("mcp-session-id", &session).with("mcp-protocol-version", "2025-11-25");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(connection.exchange(&within(Request::post(initialized))).status, 202);

    // The first event only names the place in the stream from which it may be resumed.
    let listed = connection.exchange(&within(Request::post(mcp::list("2")))).text();
    let place = listed.lines().find_map(|line| line.strip_prefix("id: ")).expect("an event with an id");
    connection.send(&within(Request::stream().with("last-event-id", place)).bytes());
    let head = connection.head();
    assert_eq!(head.text("content-type"), "text/event-stream", "{head:?}");
    let mut text = String::new();
    while !text.contains("\"tools\"") || !text.ends_with("\n\n") {
        text += &String::from_utf8(connection.piece().expect("a stream that goes on")).expect("UTF-8");
    }
    (session, text)
}
