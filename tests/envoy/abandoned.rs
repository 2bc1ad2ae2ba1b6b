//! Clients and servers that leave in the middle: what was in flight ends, and no worker is harmed.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{Answer, NOWHERE, Upstream};
use super::support::wait;
use serde_json::json;
use std::sync::{Mutex, PoisonError, mpsc};

fn setup(mode: Mode) -> Setup {
    let policy =
        json!({ "version": "1", "default": "allow", "hide": ["admin_*"], "tools": { "denied": { "action": "deny" } } });
    Setup::new(&policy).mode(mode)
}

fn active_requests(envoy: &Envoy) -> u64 {
    envoy.stat("http.mcp.downstream_rq_active")
}

fn a_client_leaves(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    // One stream that stays open for as long as the test runs; every other request is answered.
    let (sender, events) = mpsc::channel();
    let events = Mutex::new(Some(events));
    let upstream = Upstream::start(move |request| {
        if request.header("accept") == "text/event-stream" {
            let events = events.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Answer::live(events.expect("one stream"));
        }
        Answer::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
    });
    let mut envoy = Envoy::start(&parts, name, &setup(mode).render(name, upstream.address));

    // Within the body of a request.
    for tool in ["free", "denied"] {
        let bytes = Request::post(mcp::call("1", tool)).bytes();
        let mut connection = envoy.connect();
        connection.send(&bytes[..bytes.len() - 5]);
        wait::until("Envoy has the request", || active_requests(&envoy) == 1);
        drop(connection);
        wait::until("Envoy has given the request up", || active_requests(&envoy) == 0);
    }
    // Within an event of a stream.
    let mut connection = envoy.connect();
    connection.send(&Request::stream().bytes());
    sender.send(b": open\n\ndata: {".to_vec()).expect("an upstream that listens");
    assert_eq!(connection.head().text("content-type"), "text/event-stream");
    assert_eq!(connection.piece().as_deref(), Some(b": open\n\n".as_slice()));
    drop(connection);
    wait::until("Envoy has given the stream up", || active_requests(&envoy) == 0);

    let response = envoy.connect().exchange(&Request::post(mcp::call("1", "free")));
    assert_eq!(response.status, 200);
    envoy.access_log(4);
    assert_eq!(envoy.traps(), 0);
    drop((envoy, sender));
    let whole = upstream.settled().iter().filter(|request| request.is_whole && !request.body.is_empty()).count();
    assert_eq!(whole, 1, "only the last request came whole");
}

#[test]
fn a_client_that_leaves_harms_no_worker() {
    a_client_leaves("abandoned-held", Mode::Held);
}

#[test]
fn a_client_that_leaves_harms_no_worker_without_held_headers() {
    a_client_leaves("abandoned-fallback", Mode::Fallback);
}

#[test]
fn a_server_that_is_not_there_is_an_error_and_no_list() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "no-server-held"), (Mode::Fallback, "no-server-fallback")] {
        let envoy = Envoy::start(&parts, name, &setup(mode).render(name, NOWHERE));
        let mut connection = envoy.connect();
        let response = connection.exchange(&Request::post(mcp::list("7")));
        let error = response.json();
        assert_eq!((mcp::error_code(&error), &error["id"]), (-32603, &json!(7)), "{mode:?}: {response:?}");
        let response = connection.exchange(&Request::post(mcp::call("8", "free")));
        assert_eq!(response.status, 503, "{mode:?}: {response:?}");
        let refused = mcp::refused("9", r#"[POLICY DENIED] Tool "denied" is denied by policy"#);
        assert_eq!(connection.exchange(&Request::post(mcp::call("9", "denied"))).text(), refused, "{mode:?}");
        assert_eq!(envoy.traps(), 0);
    }
}
