//! The record of each decision, where Envoy's access log and Envoy's own log print it.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::Upstream;
use super::support::wait;
use serde_json::{Value, json};

const SECRET: &str = "s3cret-value";

fn policy() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "hide": ["hidden"],
        "tools": {
            "denied": { "action": "deny" },
            "limited": { "limits": [{ "counter": "none", "window": "hour", "max": 0, "scope": "grant" }] }
        }
    })
}

/// `tool`, then what its record says: outcome, rule, message.
const ROWS: [(&str, &str, &str, &str); 4] = [
    ("free", "allowed", "", ""),
    ("hidden", "denied", "(hidden)", r#"Tool "hidden" is hidden by policy"#),
    ("denied", "denied", "/tools/denied/action", r#"Tool "denied" is denied by policy"#),
    ("limited", "denied", "/tools/limited/limits/none", "Rate limit of 0 per hour reached. Try again later."),
];

/// Makes one call for each row.
fn call_all(envoy: &Envoy) {
    let mut connection = envoy.connect();
    for (tool, ..) in ROWS {
        let body = mcp::call_with("1", tool, &json!({ "token": SECRET, "amount": 5 }));
        connection.exchange(&Request::post(body).with("mcp-session-id", "session-1"));
    }
}

#[test]
fn the_access_log_prints_the_record_of_each_decision() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "records-access";
    let upstream = Upstream::running_every_call();
    let mut envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, upstream.address));
    call_all(&envoy);
    let lines = envoy.access_log(ROWS.len());
    assert_eq!(lines.len(), ROWS.len());
    for ((tool, outcome, rule, message), line) in ROWS.into_iter().zip(&lines) {
        assert!(!line.to_string().contains(SECRET), "an argument's value in {line}");
        let record: Value = serde_json::from_str(line["decision"].as_str().expect("a record")).expect("JSON");
        let allowed = outcome == "allowed";
        for (member, expected) in [
            ("tool", json!(tool)),
            ("method", json!("tools/call")),
            ("outcome", json!(outcome)),
            ("rule", json!(rule)),
            ("message", if message.is_empty() { Value::Null } else { json!(message) }),
            ("policy", json!("default")),
            ("grant", json!("anonymous")),
            ("session", json!("session-1")),
            ("arg_keys", json!(["amount", "token"])),
            ("upstream_status", if allowed { json!(200) } else { Value::Null }),
            ("request_id", line["request_id"].clone()),
        ] {
            assert_eq!(record[member], expected, "{tool}: {member} in {record}");
        }
        assert_eq!(record["policy_version"].as_str().map(str::len), Some(12), "{record}");
        assert!(record["ts"].as_str().is_some_and(|ts| ts.starts_with("20") && ts.ends_with('Z')), "{record}");
        assert_eq!(record["latency_ms"].is_u64(), allowed, "{record}");
        assert_eq!(line["upstream"].is_string(), allowed, "{line}");
        assert_eq!(line["details"] == "via_upstream", allowed, "{line}");
    }
}

#[test]
fn the_setting_log_says_which_records_envoys_own_log_gets() {
    let Some(parts) = Parts::gateway() else { return };
    let is_record = |line: &&str| line.contains(r#""outcome":""#);
    for (setting, expected) in [("refusals", 3), ("all", 4), ("none", 0)] {
        let name = format!("records-log-{setting}");
        let upstream = Upstream::running_every_call();
        let setup = Setup::new(&policy()).with("log", setting);
        let mut envoy = Envoy::start(&parts, &name, &setup.render(&name, upstream.address));
        call_all(&envoy);
        // When the access log has them, nothing more is to come.
        envoy.access_log(ROWS.len());
        wait::until("the log has its lines", || envoy.log().lines().filter(is_record).count() >= expected);
        let log = envoy.log();
        assert_eq!(log.lines().filter(is_record).count(), expected, "{setting}");
        assert!(!log.contains(SECRET), "an argument's value in the log");
    }
}
