//! A case's calls as they are on the wire: requests with what the case states of them, under a configuration that knows
//! their callers, and the answers of the server.

use super::{Driver, Fate, Proxy, headers, message};
use mcp_policy::cases::{Call, CallCase, Case, Upstream};
use mcp_policy::config::Gate;
use mcp_policy::policy::{MemoryStore, Principal};
use mcp_policy::record::Record;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Tells the test's callers apart.
const GRANT: &str = "x-grant-of-the-case";

/// Those that are about calls.
pub fn call_cases(cases: Vec<Case>) -> Vec<CallCase> {
    let call = |case| if let Case::Call(case) = case { Some(*case) } else { None };
    cases.into_iter().filter_map(call).collect()
}

/// The calls of a case, in order; each is made as often as it says.
pub fn calls(case: &CallCase) -> impl Iterator<Item = &Call> {
    case.after.iter().chain([&case.call])
}

/// A configuration with this policy for every caller in `cases`.
pub fn gate(document: &str, cases: &[CallCase]) -> Rc<Gate> {
    let ids: BTreeSet<&str> = cases.iter().flat_map(calls).map(|call| call.grant.as_str()).collect();
    let grant = |id| json!({ "id": id, "match": { "header": { "name": GRANT, "equals": id } }, "policy": "p" });
    let grants: Vec<Value> = ids.into_iter().filter(|id| *id != Principal::ANONYMOUS).map(grant).collect();
    let grants = Value::from(grants);
    // The document as it is written: its numbers may be too long for others to keep.
    super::gate(&format!(r#"{{"policies":{{"p":{document}}},"grants":{grants},"default_policy":"p"}}"#))
}

/// Makes the call once, and ends it as it says; returns what came of it, what is on record, and what was sent.
pub fn make(call: &Call, gate: &Rc<Gate>, store: &mut MemoryStore) -> (Fate, Record, String) {
    let stated = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let is_stated = |header: &str| call.headers.iter().any(|(name, _)| name == header);
    let mut lines: Vec<(&str, &str)> = super::POST.into_iter().filter(|(name, _)| !is_stated(name)).collect();
    lines.extend(stated.chain([(GRANT, call.grant.as_str())]));
    lines.extend(call.session.as_deref().map(|session| ("mcp-session-id", session)));
    let claims = call.claims.as_ref().map(|claims| serde_json::from_str(&claims.compact()).unwrap());
    let proxy = Proxy { claims: claims.unwrap_or_default(), san: None };
    let mut driver = Driver::verified_by(proxy, gate, store, call.at.millis());
    let body = message(call);
    let fate = driver.request(&headers(&lines), &[body.as_bytes()], false);
    if matches!(fate, Fate::Forwarded(_)) {
        let (status, content_type, answer, details) = answer(call.upstream);
        let got = driver.answer(status, Some(content_type), &[answer.as_bytes()]);
        assert_eq!(String::from_utf8(got).unwrap(), answer, "the answer is the server's own");
        driver.end(details);
    }
    let record = driver.exchange.record().expect("each call leaves a record").clone();
    (fate, record, body)
}

/// Status, type and body of the server's answer, or of Envoy's where there is no server, and Envoy's word on it.
fn answer(upstream: Upstream) -> (&'static str, &'static str, &'static str, &'static str) {
    let (json, text) = ("application/json", "text/plain");
    // An empty list of every kind, so that it answers whatever was asked.
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"tools":[],"prompts":[],"resources":[],"resourceTemplates":[]}}"#;
    let tool_error =
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"it failed"}],"isError":true}}"#;
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"it failed"}}"#;
    match upstream {
        Upstream::Success => ("200", json, result, "via_upstream"),
        Upstream::ToolError => ("200", json, tool_error, "via_upstream"),
        Upstream::JsonRpcError => ("200", json, error, "via_upstream"),
        Upstream::HttpError => ("500", text, "it failed", "via_upstream"),
        Upstream::Unreachable => {
            ("503", text, "no connection", "upstream_reset_before_response_started{connection_failure}")
        }
        Upstream::InDoubt => ("504", text, "timeout", "upstream_response_timeout"),
    }
}
