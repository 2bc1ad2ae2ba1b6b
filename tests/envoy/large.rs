//! A policy as large as any is loaded by every worker, and judges the first call.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::Upstream;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

const TOOLS: usize = 5_000;

/// Four rules and a limit.
fn entry(index: usize) -> Value {
    json!({
        "require": [{ "id": "own", "conditions": [{ "path": "args.to", "op": "ends_with", "value": "@example.com" }] }],
        "deny_if": [
            { "id": "large", "conditions": [{ "path": "args.amount", "op": "gt", "value": index }] },
            { "id": "html", "conditions": [{ "path": "args.text", "op": "regex", "value": "(?i)<script" }] },
            { "id": "kind", "conditions": [{ "path": "args.kind", "op": "in", "value": ["a", "b"] }] }
        ],
        "limits": [{ "counter": "calls", "window": "day", "max": 1_000_000 }]
    })
}

/// Names, prefixes, suffixes, both ends, a quarter each.
fn key(index: usize) -> String {
    match index % 4 {
        0 => format!("tool_{index}"),
        1 => format!("group_{index}_*"),
        2 => format!("*_kind{index}"),
        _ => format!("get_*_of{index}"),
    }
}

#[test]
fn a_policy_of_5000_tools_and_20000_rules_judges_the_first_call() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "large";
    let tools: Map<String, Value> = (0..TOOLS).map(|index| (key(index), entry(index))).collect();
    let policy = json!({ "version": "1", "default": "deny", "tools": tools });
    let upstream = Upstream::running_every_call();
    let file = Setup::new(&policy).render(name, upstream.address);

    let started = Instant::now();
    let mut envoy = Envoy::start(&parts, name, &file);
    let ready = started.elapsed();
    let mut connection = envoy.connect();
    let mut call = |tool: &str, amount: usize| {
        let arguments = json!({ "to": "a@example.com", "amount": amount, "text": "hello", "kind": "c" });
        connection.exchange(&Request::post(mcp::call_with("1", tool, &arguments))).text()
    };
    let denied = |text: &str| mcp::refused("1", &format!("[POLICY DENIED] {text}"));
    assert_eq!(call("tool_4996", 4997), denied(r#"Denied by rule "large""#), "the first call");
    let first = started.elapsed();
    for (tool, amount) in [("tool_4996", 4996), ("group_4997_x", 4997), ("x_kind4998", 4998), ("get_x_of4999", 4999)] {
        assert!(call(tool, amount).contains(r#""ran""#), "{tool}");
        assert_eq!(call(tool, amount + 1), denied(r#"Denied by rule "large""#), "{tool}");
    }
    assert_eq!(call("tool_1", 0), denied(r#"Tool "tool_1" is not permitted by policy"#));

    let records = envoy.access_log(1);
    let record: Value = serde_json::from_str(records[0]["decision"].as_str().expect("a record")).expect("JSON");
    assert_eq!(record["rule"], "/tools/tool_4996/deny_if/large");
    assert_eq!(envoy.traps(), 0);
    // Configuring holds Envoy's main thread and each worker; well below what a readiness probe waits.
    assert!(ready < Duration::from_secs(20), "Envoy took {ready:?} to be ready");
    let size = policy.to_string().len() / 1024;
    println!("{TOOLS} tools with {} rules ({size} KiB): ready in {ready:.1?}, first call in {first:.1?}", 4 * TOOLS);
}
