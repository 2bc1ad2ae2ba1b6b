//! Limits hold exactly, however many connections and workers reach for the last call of one at once.

use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Upstream, result};
use super::support::wait;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 32;
const CALLS: usize = 20_000;

/// An Envoy that lets `max` calls in each scope pass within the hour, and the server behind it.
fn start(name: &str, max: usize, scope: &str) -> Option<(Upstream, Envoy)> {
    let parts = Parts::gateway()?;
    let limit = json!({ "counter": "calls", "window": "hour", "max": max, "scope": scope });
    let policy = json!({ "version": "1", "default": "allow", "all_tools": { "limits": [limit] } });
    let upstream = Upstream::running_every_call();
    let config = Setup::new(&policy).with("log", "none").render(name, upstream.address);
    let envoy = Envoy::start(&parts, name, &config);
    wait::for_room_in_hour(Duration::from_secs(60));
    Some((upstream, envoy))
}

/// Runs `call` on so many connections at once and adds up what they return.
pub(super) fn at_once(connections: usize, call: impl Fn(usize) -> usize + Send + Sync + 'static) -> usize {
    let call = Arc::new(call);
    let callers: Vec<_> = (0..connections)
        .map(|caller| {
            let call = Arc::clone(&call);
            thread::spawn(move || call(caller))
        })
        .collect();
    callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).sum()
}

/// Makes one call; tells whether it was run. Otherwise it was refused by the limit, in the right words.
fn runs(connection: &mut Connection, id: usize, max: usize, session: &str) -> bool {
    let id = id.to_string();
    let request = mcp::call(&id, "work");
    let response = connection.exchange(&Request::post(&request).with("mcp-session-id", session));
    assert_eq!(response.status, 200, "{response:?}");
    let text = response.text();
    if text == result(request.as_bytes(), r#"{"content":[{"type":"text","text":"ran"}]}"#) {
        return true;
    }
    let refused = format!("[POLICY DENIED] Rate limit of {max} per hour reached. Try again later.");
    assert!(mcp::is_limited(&text, &id, &refused), "{text}");
    false
}

/// Waits until so many have arrived. Not a `Barrier`, at which the others would wait for ever when one of them fails.
pub(super) fn meet(arrived: &AtomicUsize, expected: usize) {
    let start = Instant::now();
    arrived.fetch_add(1, Ordering::SeqCst);
    while arrived.load(Ordering::SeqCst) < expected {
        assert!(start.elapsed() < wait::DEADLINE, "the other callers do not arrive");
        thread::yield_now();
    }
}

/// 20,000 calls over 32 connections on 2 workers.
fn lets_exactly_so_many_through(name: &str, max: usize) {
    let Some((upstream, envoy)) = start(name, max, "grant") else { return };
    let address = envoy.address;
    let allowed = at_once(CONNECTIONS, move |caller| {
        let mut connection = Connection::open(address);
        let ids = (0..CALLS / CONNECTIONS).map(|call| caller * CALLS + call);
        ids.filter(|id| runs(&mut connection, *id, max, "s")).count()
    });
    assert_eq!(allowed, max, "calls that were answered by the server");
    assert_eq!(upstream.count(), max, "calls that reached the server");
    assert_eq!(envoy.stat("cluster.mcp_server.upstream_rq_total"), max as u64, "calls that Envoy sent on");
    let workers: Vec<_> = envoy.stats(".worker_");
    let busy = workers.iter().filter(|(name, count)| name.ends_with(".downstream_cx_total") && *count > 0).count();
    assert_eq!(busy, 2, "both workers had connections: {workers:?}");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_limit_of_1000_lets_exactly_1000_of_20000_calls_through() {
    lets_exactly_so_many_through("load-1000", 1_000);
}

/// Fifteen times as many writes to the counter, each of which the other worker could overwrite.
#[test]
fn a_limit_of_15000_lets_exactly_15000_of_20000_calls_through() {
    lets_exactly_so_many_through("load-15000", 15_000);
}

/// A counter that does not exist yet is a case of its own in the host's compare-and-swap.
#[test]
fn of_the_first_calls_in_a_session_exactly_one_passes_a_limit_of_1() {
    const CALLERS: usize = 8;
    const SESSIONS: usize = 1000;
    let Some((upstream, envoy)) = start("load-first", 1, "session") else { return };
    let (address, arrived) = (envoy.address, AtomicUsize::new(0));
    let allowed = at_once(CALLERS, move |caller| {
        let mut connection = Connection::open(address);
        let mut first = |session: usize| {
            meet(&arrived, (session + 1) * CALLERS);
            runs(&mut connection, caller, 1, &format!("session-{session}"))
        };
        (0..SESSIONS).filter(|session| first(*session)).count()
    });
    assert_eq!((allowed, upstream.count()), (SESSIONS, SESSIONS));
    assert_eq!(envoy.traps(), 0);
}
