//! Many connections that call at once, and what the server and Envoy say of it afterwards.

use super::super::load::{at_once, meet};
use super::super::support::envoy::Envoy;
use super::super::support::http::Connection;
use super::super::support::parts::Parts;
use super::super::support::request::Request;
use super::super::support::setup::Setup;
use super::super::support::upstream::Upstream;
use super::GRANT;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub(super) const CONNECTIONS: usize = 64;
pub(super) const WORKERS: u32 = 4;

/// What a call's answer says when it was run.
const RAN: &str = r#""result":{"content":[{"type":"text","text":"ran"}]}"#;
/// What it says when a limit has no room left.
const LIMITED: &str = "[POLICY DENIED] Rate limit of ";

/// An access log of nothing but what failed: of millions of calls it would fill the disk.
pub(super) const QUIET: (&str, &str) = (
    "- name: envoy.access_loggers.stdout",
    "- name: envoy.access_loggers.stdout\n            \
     filter: { status_code_filter: { comparison: { op: GE, value: { default_value: 500, runtime_key: none } } } }",
);

/// An Envoy with four workers and these policies and grants.
pub(super) fn start(parts: &Parts, name: &str, (policies, grants): (Value, Value), upstream: &Upstream) -> Envoy {
    Envoy::start_with(parts, name, &file(name, (policies, grants), upstream.address), WORKERS)
}

/// The same as a file.
pub(super) fn file(name: &str, (policies, grants): (Value, Value), upstream: SocketAddr) -> String {
    let setup = Setup::new(&Value::Null).with("policies", policies).with("grants", grants);
    let setup = setup.with("default_policy", Value::Null).with("log", "none");
    setup.edit(QUIET.0, QUIET.1).render(name, upstream)
}

/// A call of this grant and session, as bytes.
pub(super) fn request(grant: &str, session: &str, body: &str) -> Vec<u8> {
    Request::post(body).with(GRANT, grant).with("mcp-session-id", session).bytes()
}

/// Makes one call; whether it was run. Otherwise a limit refused it, and nothing else did.
pub(super) fn runs(connection: &mut Connection, request: &[u8]) -> bool {
    connection.send(request);
    let response = connection.response();
    let text = response.text();
    let ran = text.contains(RAN);
    assert!(ran || text.contains(LIMITED), "{response:?}");
    ran
}

/// Has every connection do its part of `calls`, all beginning at the same moment; how many calls were run. `request` makes
/// a call of a connection and its how-manieth this is.
pub(super) fn call(
    envoy: &Envoy,
    calls: usize,
    request: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + 'static,
) -> usize {
    let (address, arrived) = (envoy.address, AtomicUsize::new(0));
    let request = Arc::new(request);
    at_once(CONNECTIONS, move |caller| {
        let mut connection = Connection::open(address);
        meet(&arrived, CONNECTIONS);
        (0..calls / CONNECTIONS).filter(|call| runs(&mut connection, &request(caller, *call))).count()
    })
}

/// Fails unless every worker had connections and none trapped.
pub(super) fn check(envoy: &Envoy) {
    let workers = envoy.stats(".worker_");
    let busy = workers.iter().filter(|(name, count)| name.ends_with(".downstream_cx_total") && *count > 0).count();
    assert_eq!(busy, WORKERS as usize, "workers that had connections: {workers:?}");
    assert_eq!(envoy.traps(), 0);
}
