//! What reaches the server: nothing at all of a refused call, or no byte of its body where the host cannot hold headers;
//! every byte of an allowed one.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::Upstream;
use super::support::wait;
use serde_json::json;
use std::time::Duration;

/// Refused calls, each by another way through the decision, and what they are told.
const REFUSED: [(&str, &str); 3] = [
    ("hidden", r#"Tool "hidden" is hidden by policy"#),
    ("denied", r#"Tool "denied" is denied by policy"#),
    ("limited", "Rate limit of 0 per hour reached. Try again later."),
];

fn setup(mode: Mode) -> Setup {
    let policy = json!({
        "version": "1",
        "default": "allow",
        "hide": ["hidden"],
        "tools": {
            "denied": { "action": "deny" },
            "limited": { "limits": [{ "counter": "none", "window": "hour", "max": 0, "scope": "grant" }] }
        }
    });
    Setup::new(&policy).mode(mode)
}

/// Sends every refused call, whole and in halves, sized and chunked, and checks the answers.
fn send_refused_calls(envoy: &Envoy) {
    let mut connection = envoy.connect();
    for (tool, message) in REFUSED {
        let body = mcp::call_with("1", tool, &json!({ "padding": "x".repeat(5000) }));
        let (said, is_limit) = (format!("[POLICY DENIED] {message}"), message.starts_with("Rate limit"));
        let is_expected = |text: &str| {
            if is_limit { mcp::is_limited(text, "1", &said) } else { text == mcp::refused("1", &said) }
        };
        for request in [Request::post(&body), Request::post(&body).chunked()] {
            let response = connection.exchange(&request);
            assert!(response.status == 200 && is_expected(&response.text()), "{tool}: {response:?}");

            // Half of the body first: Envoy must have read it before the rest follows.
            let bytes = request.bytes();
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            let read_before = envoy.stat("http.mcp.downstream_cx_rx_bytes_total");
            connection.send(first);
            wait::until("Envoy has read half of the request", || {
                envoy.stat("http.mcp.downstream_cx_rx_bytes_total") >= read_before + first.len() as u64
            });
            connection.send(rest);
            let response = connection.response();
            assert!(response.status == 200 && is_expected(&response.text()), "{tool}, in halves: {response:?}");
        }
    }
}

#[test]
fn with_held_headers_nothing_of_a_refused_call_reaches_the_server() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "forwarding-held";
    let upstream = Upstream::running_every_call();
    let envoy = Envoy::start(&parts, name, &setup(Mode::Held).render(name, upstream.address));
    send_refused_calls(&envoy);
    assert_eq!(envoy.stat("cluster.mcp_server.upstream_rq_total"), 0);
    assert_eq!(envoy.stat("cluster.mcp_server.upstream_cx_total"), 0);
    assert_eq!(envoy.traps(), 0);
    drop(envoy);
    assert_eq!((upstream.settled().len(), upstream.connections()), (0, 0));
}

#[test]
fn without_held_headers_no_byte_of_a_refused_body_reaches_the_server() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "forwarding-fallback";
    let upstream = Upstream::running_every_call();
    let envoy = Envoy::start(&parts, name, &setup(Mode::Fallback).render(name, upstream.address));
    send_refused_calls(&envoy);
    assert_eq!(envoy.traps(), 0);
    drop(envoy);
    for request in upstream.settled() {
        assert!(!request.is_whole && request.body.is_empty(), "{request:?}");
    }
}

#[test]
fn an_allowed_call_reaches_the_server_byte_for_byte() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "allowed-held"), (Mode::Fallback, "allowed-fallback")] {
        let upstream = Upstream::running_every_call();
        let envoy = Envoy::start(&parts, name, &setup(mode).render(name, upstream.address));
        let mut connection = envoy.connect();
        // Odd spacing, an escaped name, numbers that no float holds, members nobody knows.
        let body = " {\"params\" :{\"n\\u0061me\":\"fr\\u0065e\",\"arguments\":{\"n\":1e400,\"s\":\"\\ud800\"},\"x\":[ ]},\
                    \n\"method\":\"tools/call\",\"id\":9007199254740991, \"jsonrpc\":\"2.0\",\"y\":{}} ";
        for request in [Request::post(body), Request::post(body).chunked()] {
            let request = request.with("accept-encoding", "gzip, br").with("x-kept", b"\xFF\xFE");
            // What answers does not matter, as long as something does.
            assert_eq!(connection.exchange(&request).status, 200, "{mode:?}");
        }
        drop(envoy);
        let requests = upstream.settled();
        assert_eq!(requests.len(), 2, "{mode:?}");
        for request in requests {
            assert!(request.is_whole);
            assert_eq!(String::from_utf8_lossy(&request.body), body, "{mode:?}");
            assert_eq!(request.head.all("x-kept"), [b"\xFF\xFE"], "{mode:?}");
            assert_eq!(request.header("accept-encoding"), "identity", "{mode:?}");
        }
    }
}

#[test]
fn trailers_are_no_way_around_the_policy() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "trailers-held"), (Mode::Fallback, "trailers-fallback")] {
        let upstream = Upstream::running_every_call();
        // Otherwise Envoy's HTTP/1.1 drops them; its HTTP/2 does not.
        let with_trailers =
            ("stat_prefix: mcp", "stat_prefix: mcp\n          http_protocol_options: { enable_trailers: true }");
        let setup = setup(mode).edit(with_trailers.0, with_trailers.1);
        let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
        let mut connection = envoy.connect();
        let response = connection.exchange(&Request::post(mcp::call("1", "denied")).with_trailer("x-trailer", "1"));
        let expected = mcp::refused("1", r#"[POLICY DENIED] Tool "denied" is denied by policy"#);
        assert_eq!((response.status, response.text()), (200, expected), "{mode:?}");
        let response = envoy.connect().exchange(&Request::post(mcp::call("2", "free")).with_trailer("x-trailer", "1"));
        assert_eq!(response.json()["result"]["content"][0]["text"], "ran", "{mode:?}");
        assert_eq!(envoy.traps(), 0);
        drop(envoy);
        upstream.settled();
        assert_eq!(upstream.count(), 1, "{mode:?}");
    }
}

#[test]
fn a_limit_counts_calls_and_nothing_else() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "forwarding-limit";
    let policy = json!({
        "version": "1",
        "default": "allow",
        "tools": { "work": { "limits": [{ "counter": "work", "window": "hour", "max": 2, "scope": "session" }] } }
    });
    let upstream = Upstream::running_every_call();
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy).render(name, upstream.address));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut connection = envoy.connect();
    let mut is_refused = |session: &str, tool: &str| {
        let request = Request::post(mcp::call("1", tool)).with("mcp-session-id", session);
        connection.exchange(&request).json()["result"]["isError"] == true
    };
    // Other tools and other sessions spend nothing of it.
    let refused: Vec<bool> = ["a work", "a other", "b work", "a work", "a other", "a work", "b work", "b work"]
        .iter()
        .filter_map(|row| row.split_once(' '))
        .map(|(session, tool)| is_refused(session, tool))
        .collect();
    assert_eq!(refused, [false, false, false, false, false, true, false, true]);
    assert_eq!(envoy.stat("cluster.mcp_server.upstream_rq_total"), 6);
}
