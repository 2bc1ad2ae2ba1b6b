//! Answers, rewritten: any cut of the same bytes into chunks gives the same output, and where nothing is
//! hidden every byte stays.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use mcp_policy::exchange::{LONG_LIST_BYTES, Reading, Step};
use serde::Deserialize;
use support::{Driver, gate, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HIDING: &str = r#"{"version":"1","default":"allow","hide":["hidden_*"],"prompts":{"hide":["hidden_*"]},
    "resources":{"hide":["file:///hidden/*"]},"methods":{"deny":["sampling/*"]}}"#;
const OPEN: &str = r#"{"version":"1","default":"allow"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    name: String,
    /// `list` (of tools), `call`, `GET`, or the method of a list.
    request: String,
    #[serde(default = "ok")]
    status: String,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// How many characters stand for `FILLER` on both sides.
    filler: Option<usize>,
    server: String,
    /// The same as `server` when absent.
    client: Option<String>,
}

fn ok() -> String {
    "200".to_owned()
}

fn through(policy: &str, stream: &Stream, chunks: &[&[u8]]) -> String {
    let mut store = store();
    let gate = gate(policy);
    let mut driver = Driver::new(&gate, &mut store, 0);
    match stream.request.as_str() {
        "call" => drop(driver.post(CALL)),
        "GET" => drop(driver.request(&support::headers(&[(":method", "GET")]), &[], false)),
        list => {
            let method = if list == "list" { "tools/list" } else { list };
            drop(driver.post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#)));
        }
    }
    let mut lines = vec![(":status", stream.status.as_str())];
    lines.extend(stream.content_type.as_deref().map(|value| ("content-type", value)));
    lines.extend(stream.content_encoding.as_deref().map(|value| ("content-encoding", value)));
    String::from_utf8(driver.answer_with(&lines, chunks)).unwrap()
}

fn streams() -> Vec<Stream> {
    let mut streams: Vec<Stream> = serde_json::from_str(include_str!("cases/streams.json")).unwrap();
    for stream in &mut streams {
        let filler = "x".repeat(stream.filler.unwrap_or(0));
        stream.server = stream.server.replace("FILLER", &filler);
        stream.client = stream.client.as_ref().map(|client| client.replace("FILLER", &filler));
    }
    streams
}

/// `text` cut at these places, each chunk's end but the last.
fn cut<'t>(text: &'t str, places: &[usize]) -> Vec<&'t [u8]> {
    let (mut chunks, mut from) = (Vec::new(), 0);
    for place in places {
        chunks.push(&text.as_bytes()[from..*place]);
        from = *place;
    }
    chunks.push(&text.as_bytes()[from..]);
    chunks
}

#[test]
fn every_cut_gives_the_same_output() {
    for stream in streams() {
        let server = stream.server.as_str();
        let client = stream.client.as_deref().unwrap_or(server);
        assert_eq!(through(HIDING, &stream, &cut(server, &[])), client, "{}", stream.name);
        if stream.filler.is_some() {
            // Too long for every cut; in the pieces that a network makes of it.
            let places: Vec<usize> = (1..server.len()).step_by(1460).collect();
            assert_eq!(through(HIDING, &stream, &cut(server, &places)), client, "{}, in packets", stream.name);
            continue;
        }
        let bytes: Vec<usize> = (1..server.len()).collect();
        assert_eq!(through(HIDING, &stream, &cut(server, &bytes)), client, "{}, byte by byte", stream.name);
        for first in 1..server.len() {
            assert_eq!(through(HIDING, &stream, &cut(server, &[first])), client, "{}, cut at {first}", stream.name);
            for second in (first + 1..server.len()).step_by(7) {
                let chunks = cut(server, &[first, second]);
                assert_eq!(through(HIDING, &stream, &chunks), client, "{}, at {first}, {second}", stream.name);
            }
        }
    }
}

#[test]
fn where_nothing_is_hidden_a_readable_answer_is_the_identity() {
    let mut checked = 0;
    for stream in streams() {
        let is_rewritten = stream.client.as_ref().is_some_and(|client| !client.contains("not passed on"));
        let topic = stream.name.split_once(": ").map_or(stream.name.as_str(), |(weakness, rest)| {
            if weakness.starts_with('W') { rest } else { &stream.name }
        });
        if stream.client.is_none() || is_rewritten && topic.starts_with("hidden") {
            assert_eq!(through(OPEN, &stream, &cut(&stream.server, &[])), stream.server, "{}", stream.name);
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} streams were compared");
}

/// 1,000 tools of about 700 bytes, 300 of them hidden.
fn big_list() -> (String, String) {
    let tool = |index: usize| {
        let name = if index % 10 < 3 { format!("hidden_{index}") } else { format!("tool_{index}") };
        let filler = "x".repeat(560);
        format!(r#"{{"name":"{name}","description":"{filler}","inputSchema":{{"type":"object","properties":{{}}}}}}"#)
    };
    let list = |tools: Vec<String>| {
        let tools = tools.join(",");
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}],"nextCursor":"c","_meta":{{"a":1.50}}}}}}"#)
    };
    let shown = (0..1000).filter(|index| index % 10 >= 3);
    (list((0..1000).map(tool).collect()), list(shown.map(tool).collect()))
}

#[test]
fn a_thousand_tools_come_out_right_in_small_and_large_chunks() {
    let (server, client) = big_list();
    assert!(server.len() > 600_000);
    for (content_type, before, after) in [("application/json", "", ""), ("text/event-stream", "id: 7\ndata: ", "\n\n")]
    {
        let stream = Stream {
            name: "big".into(),
            request: "list".into(),
            status: ok(),
            content_encoding: None,
            filler: None,
            content_type: Some(content_type.into()),
            server: format!("{before}{server}{after}"),
            client: None,
        };
        for size in [1, 64 * 1024] {
            let chunks: Vec<&[u8]> = stream.server.as_bytes().chunks(size).collect();
            let out = through(HIDING, &stream, &chunks);
            assert!(out == format!("{before}{client}{after}"), "{content_type} in chunks of {size}");
        }
    }
}

/// A list of 50,000 tools in JSON flows, and what is held of it at any time is bounded.
#[test]
fn a_list_of_any_length_flows() {
    let tool = |index: usize| {
        let name = if index % 10 < 3 { format!("hidden_{index}") } else { format!("tool_{index}") };
        format!(r#"{{"name":"{name}","description":"{}"}}"#, "x".repeat(600))
    };
    let (mut store, mut shared) = (store(), store());
    let gate = gate(HIDING);
    let mut driver = Driver::new(&gate, &mut store, 0);
    driver.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let headers = support::headers(&[(":status", "200"), ("content-type", "application/json")]);
    driver.exchange.answer_headers(&headers, false);
    let mut held = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#.to_vec();
    let (mut came, mut passed, mut most) = (0, 0, 0);
    for index in 0..50_000 {
        held.extend_from_slice(tool(index).as_bytes());
        held.extend_from_slice(if index < 49_999 { b"," } else { b"]}}" });
        if held.len() < 16 << 10 && index < 49_999 {
            continue;
        }
        came += held.len();
        let step = match driver.exchange.answer_reading() {
            Reading::Whole if driver.exchange.answer_may_open(held.len()) => {
                driver.exchange.answer_opens(&held, &mut shared)
            }
            Reading::Whole => driver.exchange.answer_grows(held.len()),
            _ => driver.exchange.answer_chunk(&held, index == 49_999, &mut shared),
        };
        match step {
            Step::Replace(out) => {
                assert!(!out.windows(8).any(|part| part == b"\"hidden_"));
                passed += out.len();
                held.clear();
            }
            step => {
                assert_eq!(step, Step::Wait);
                came -= held.len();
            }
        }
        most = most.max(held.len());
    }
    assert!(most <= LONG_LIST_BYTES && came > 30_000_000, "{most} of {came} bytes were held");
    let shown: usize = (0..50_000).filter(|index| index % 10 >= 3).map(|index| tool(index).len() + 1).sum();
    assert_eq!(passed, shown - 1 + r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#.len());
}

#[test]
fn an_event_reaches_the_client_before_the_next_is_sent() {
    let (mut store, mut shared) = (store(), store());
    let gate = gate(HIDING);
    let mut driver = Driver::new(&gate, &mut store, 0);
    driver.post(CALL);
    let headers = support::headers(&[(":status", "200"), ("content-type", "text/event-stream")]);
    driver.exchange.answer_headers(&headers, false);
    for event in ["data: {\"method\":\"a\"}\n\n", "data: {\"method\":\"b\"}\r\n\r\n", ": ping\n\n"] {
        let step = driver.exchange.answer_chunk(event.as_bytes(), false, &mut shared);
        assert_eq!(step, Step::Continue, "{event:?}");
    }
}

/// A request of the server, and what is on record of its fate.
fn asked_of_the_client(policy: &str, request: &str) -> (String, Option<String>) {
    let mut store = store();
    let gate = gate(policy);
    let mut driver = Driver::new(&gate, &mut store, 0);
    drop(driver.request(&support::headers(&[(":method", "GET")]), &[], false));
    let out = driver.answer("200", Some("text/event-stream"), &[format!("data: {request}\n\n").as_bytes()]);
    let record = driver.exchange.record().and_then(|record| record.answer.clone());
    (String::from_utf8(out).unwrap(), record)
}

#[test]
fn a_refused_request_of_the_server_is_on_record() {
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#;
    let event = format!("data: {request}\n\n");
    let policy = |mode: &str| {
        format!(r#"{{"version":"1","default":"allow","mode":"{mode}","methods":{{"deny":["sampling/*"]}}}}"#)
    };
    let what = r#"the server's request "sampling/createMessage", by /methods/deny/sampling~1*"#;
    let (out, record) = asked_of_the_client(&policy("enforce"), request);
    assert_eq!((out.as_str(), record), ("", Some(format!("not passed on: {what}"))));
    let (out, record) = asked_of_the_client(&policy("shadow"), request);
    assert_eq!((out, record), (event.clone(), Some(format!("passed on in shadow mode: {what}"))));
    let only_ping = r#"{"version":"1","default":"allow","methods":{"default":"deny","allow":["ping"]}}"#;
    let (out, record) = asked_of_the_client(only_ping, request);
    let what = what.replace("/deny/sampling~1*", "/default");
    assert_eq!((out.as_str(), record), ("", Some(format!("not passed on: {what}"))));
    assert_eq!(asked_of_the_client(only_ping, &request.replace("sampling/createMessage", "ping")).1, None);
    assert_eq!(asked_of_the_client(OPEN, request), (event, None));
}

/// Where headers are not held, a server may answer before it has seen a byte of the body.
#[test]
fn an_answer_that_comes_before_the_request_is_judged_is_filtered_and_lets_nothing_through() {
    let mut store = store();
    let gate = gate(HIDING);
    let mut driver = Driver::new(&gate, &mut store, 0);
    let now = mcp_policy::timestamp::Timestamp::from_millis(0);
    driver.exchange.request_headers(&support::headers(&support::POST), false, now);
    let list = br#"{"id":1,"result":{"tools":[{"name":"hidden_x"}]}}"#;
    let out = driver.answer("200", Some("application/json"), &[list]);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"id":1,"result":{"tools":[]}}"#);
    let hidden = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hidden_x"}}"#;
    let mut other = mcp_policy::policy::MemoryStore::default();
    let step = driver.exchange.request_whole(hidden, now, &mut other);
    assert!(matches!(step, Step::Reply(_)), "{step:?}");
    assert_eq!(driver.exchange.request_whole(hidden, now, &mut other), Step::Wait);
}
