//! HTTP/1.1 that lies about where a body begins and ends. Most of it is answered by Envoy itself; what matters is that
//! each connection gets an end, and that no byte reaches the server that was not judged.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::setup::{Mode, Setup};
use super::support::upstream::Upstream;
use serde_json::json;

const MAX_BODY_BYTES: usize = 4096;

/// What comes of a row's bytes.
enum Expected {
    /// Envoy or the plugin refuses it: one of these statuses, or the connection is closed.
    Refused(&'static [u16]),
    /// So many allowed calls, each answered with this status.
    Calls(usize),
    /// Answers in this order: a call that ran or, as `false`, one that was denied.
    Said(&'static [bool]),
}

/// Raw bytes: the head's lines after the common ones, and the body as it goes over the wire.
fn request(lines: &str, body: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lines}\r\n{body}")
}

fn sized(body: &str) -> String {
    request(&format!("content-length: {}\r\n", body.len()), body)
}

fn rows() -> Vec<(&'static str, String, Expected)> {
    use Expected::{Calls, Refused, Said};
    let free = mcp::call("1", "free");
    let denied = mcp::call("1", "denied");
    let (length, hex) = (free.len(), format!("{:x}", free.len()));
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let bytes: String = free.bytes().map(|byte| format!("1\r\n{}\r\n", char::from(byte))).collect();
    let both = format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n");
    vec![
        ("in chunks of one byte", request("transfer-encoding: chunked\r\n", &format!("{bytes}0\r\n\r\n")), Calls(1)),
        (
            "chunk extensions",
            request("transfer-encoding: chunked\r\n", &format!("{hex};a=\"b\";c\r\n{free}\r\n0;d\r\n\r\n")),
            Calls(1),
        ),
        (
            "chunk sizes with zeros before them",
            request("transfer-encoding: chunked\r\n", &format!("0000{hex}\r\n{free}\r\n000\r\n\r\n")),
            Calls(1),
        ),
        ("chunked in odd case", request("transfer-encoding: Chunked\r\n", &chunked(&free)), Calls(1)),
        ("two requests in one", sized(&free) + &sized(&free), Calls(2)),
        ("a denied one after an allowed one", sized(&free) + &sized(&denied), Said(&[true, false])),
        ("an allowed one after a denied one", sized(&denied) + &sized(&free), Said(&[false, true])),
        (
            "one after a chunked one",
            request("transfer-encoding: chunked\r\n", &chunked(&free)) + &sized(&denied),
            Said(&[true, false]),
        ),
        ("a request within a body", sized(&format!("{denied}{}", sized(&free))), Refused(&[400])),
        ("another after too short a length", request("content-length: 4\r\n", &sized(&free)), Refused(&[400])),
        ("an empty body", request("content-length: 0\r\n", ""), Refused(&[400])),
        ("an empty body, in chunks", request("transfer-encoding: chunked\r\n", "0\r\n\r\n"), Refused(&[400])),
        ("an empty body, then a request", request("content-length: 0\r\n", &sized(&denied)), Refused(&[400])),
        ("no length", request("", ""), Refused(&[400])),
        (
            "two lengths that are the same",
            request(&format!("content-length: {length}\r\ncontent-length: {length}\r\n"), &free),
            Refused(&[400]),
        ),
        (
            "two lengths that differ",
            request(&format!("content-length: 4\r\ncontent-length: {length}\r\n"), &free),
            Refused(&[400]),
        ),
        (
            "two lengths in one line",
            request(&format!("content-length: {length}, {length}\r\n"), &free),
            Refused(&[400]),
        ),
        ("a length below zero", request("content-length: -1\r\n", &free), Refused(&[400])),
        ("a length with a sign", request(&format!("content-length: +{length}\r\n"), &free), Refused(&[400])),
        ("a length that is none", request("content-length: 0x10\r\n", &free), Refused(&[400])),
        ("a length beyond 64 bits", request("content-length: 18446744073709551617\r\n", &free), Refused(&[400, 413])),
        ("length and chunks", request(&both, &chunked(&free)), Refused(&[400])),
        ("length and chunks, a body of that length", request(&both, &free), Refused(&[400])),
        ("another encoding", request("transfer-encoding: gzip\r\n", &free), Refused(&[400, 501])),
        ("two encodings", request("transfer-encoding: gzip, chunked\r\n", &chunked(&free)), Refused(&[400, 501])),
        (
            "two encodings in two lines",
            request("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", &chunked(&free)),
            Refused(&[400, 501]),
        ),
        ("chunked twice", request("transfer-encoding: chunked, chunked\r\n", &chunked(&free)), Refused(&[400, 501])),
        (
            "an encoding with a tab",
            request("transfer-encoding: \x0bchunked\r\n", &chunked(&free)),
            Refused(&[400, 501]),
        ),
        ("a chunk size that is none", request("transfer-encoding: chunked\r\n", "x\r\n"), Refused(&[400])),
        (
            "a chunk size beyond 64 bits",
            request("transfer-encoding: chunked\r\n", "10000000000000001\r\n"),
            Refused(&[400, 413]),
        ),
        (
            "a chunk longer than its size",
            request("transfer-encoding: chunked\r\n", &format!("4\r\n{free}\r\n0\r\n\r\n")),
            Refused(&[400]),
        ),
        (
            "lines that end with a line feed",
            request("transfer-encoding: chunked\r\n", &format!("{hex}\n{free}\n0\n\n")),
            Refused(&[400]),
        ),
        ("a blank before a colon", request(&format!("content-length : {length}\r\n"), &free), Refused(&[400])),
        // Envoy unfolds it.
        ("a folded line", request(&format!("content-length:\r\n {length}\r\n"), &free), Calls(1)),
    ]
}

fn each_has_an_end(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let policy = json!({ "version": "1", "default": "allow", "tools": { "denied": { "action": "deny" } } });
    let setup = Setup::new(&policy).mode(mode).with("max_body_bytes", MAX_BODY_BYTES);
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    let mut ran = 0;
    let refused = mcp::refused("1", r#"[POLICY DENIED] Tool "denied" is denied by policy"#);
    for (row, bytes, expected) in rows() {
        let mut connection = envoy.connect();
        connection.send(bytes.as_bytes());
        match expected {
            Expected::Refused(statuses) => {
                let outcome = connection.outcome();
                let status = outcome.status;
                assert!(status == 0 || statuses.contains(&status), "{row}: {outcome:?}");
            }
            Expected::Calls(count) => {
                for _ in 0..count {
                    assert!(connection.response().text().contains(r#""ran""#), "{row}");
                }
                ran += count;
            }
            Expected::Said(answers) => {
                for is_run in answers {
                    let text = connection.response().text();
                    assert!(if *is_run { text.contains(r#""ran""#) } else { text == refused }, "{row}: {text}");
                    ran += usize::from(*is_run);
                }
            }
        }
    }
    // A client that waits for the word to go on gets it before it has sent a byte of its body, and is judged.
    for (tool, is_run) in [("free", true), ("denied", false)] {
        let body = mcp::call("1", tool);
        let mut connection = envoy.connect();
        connection.send(request(&format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len()), "").as_bytes());
        let head = connection.head();
        assert!(head.start.starts_with("HTTP/1.1 100"), "{head:?}");
        connection.send(body.as_bytes());
        let text = connection.response().text();
        assert!(if is_run { text.contains(r#""ran""#) } else { text == refused }, "expects, {tool}: {text}");
        ran += usize::from(is_run);
    }
    assert_eq!(envoy.traps(), 0);
    drop(envoy);
    let requests = upstream.settled();
    let free = mcp::call("1", "free");
    let whole: Vec<_> = requests.iter().filter(|request| request.is_whole).collect();
    assert!(whole.iter().all(|request| request.body == free.as_bytes()), "{whole:?}");
    assert_eq!(whole.len(), ran);
    let others = requests.iter().filter(|request| !request.is_whole);
    others.for_each(|request| assert!(mode == Mode::Fallback && request.body.is_empty(), "{request:?}"));
}

#[test]
fn each_framing_has_an_end_and_nothing_passes_unjudged() {
    each_has_an_end("framing-held", Mode::Held);
}

#[test]
fn each_framing_has_an_end_and_nothing_passes_unjudged_without_held_headers() {
    each_has_an_end("framing-fallback", Mode::Fallback);
}
