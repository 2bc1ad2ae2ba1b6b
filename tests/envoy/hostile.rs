//! Hostile sizes, depths and numbers in a real Envoy: `tests/bounds.rs` in the sandbox, whose stack and memory are
//! others. They are judged or refused, and no worker traps.

use super::support::envoy::{Envoy, validate};
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Setup, with_text};
use super::support::upstream::{NOWHERE, Upstream};
use serde_json::{Value, json};

/// Below the buffer of the shipped file.
const MAX_BODY_BYTES: usize = 16 << 20;

const LARGE: &str = r#"[POLICY DENIED] Denied by rule "large""#;
const NO_AMOUNT: &str = r#"[POLICY DENIED] Missing or invalid amount at "args.amount""#;
const NO_TEXT: &str = r#"[POLICY DENIED] Denied by rule "text""#;
const DEEP: &str = "nested deeper than 128 levels";

fn policy() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "all_tools": {
            "deny_if": [
                { "id": "large", "conditions": [{ "path": "args.amount", "op": "gt", "value": 100 }] },
                { "id": "text", "conditions": [{ "all": [
                    { "path": "args.text", "op": "exists" }, { "path": "args.text", "op": "contains", "value": "y" }
                ] }] },
                { "id": "element", "conditions": [{ "path": "args.list[*]", "op": "eq", "value": 2 }] }
            ],
            "limits": [{ "counter": "spend", "window": "session", "scope": "session", "max": 1000,
                         "increment_from": "args.amount" }]
        }
    })
}

/// Arguments, and what is said of them; nothing where the call goes on.
fn rows() -> Vec<(String, String, Option<&'static str>)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, arguments: String, said| rows.push((name.to_owned(), arguments, said));
    let lists = |depth: usize| format!(r#"{{"amount":1,"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#"{{"amount":1,"x":{}1{}}}"#, r#"{"x":"#.repeat(depth), "}".repeat(depth));
    // The message, its `params` and the arguments take three levels of the 128.
    for depth in [1, 125] {
        row(&format!("{depth} lists deep"), lists(depth), None);
        row(&format!("{depth} objects deep"), objects(depth), None);
    }
    for depth in [126, 128, 10_000, 2_000_000] {
        row(&format!("{depth} lists deep"), lists(depth), Some(DEEP));
        row(&format!("{depth} objects deep"), objects(depth), Some(DEEP));
    }
    let members: Vec<String> = (0..1_000_000).map(|index| format!(r#""m{index}":1"#)).collect();
    let members = members.join(",");
    row("a million members", format!(r#"{{{members},"amount":1}}"#), None);
    row("a million members and a rule's", format!(r#"{{{members},"amount":101}}"#), Some(LARGE));
    let twice = format!(r#"{{"amount":1,{members},"Amount":2}}"#);
    row("a million members, two of them in one fold", twice, Some("differ only in case"));
    let ones = vec!["1"; 1_000_000].join(",");
    row("a million elements", format!(r#"{{"amount":1,"list":[{ones}]}}"#), None);
    let last = Some(r#"[POLICY DENIED] Denied by rule "element""#);
    row("a million elements and one that is denied", format!(r#"{{"amount":1,"list":[{ones},2]}}"#), last);
    let digits = "9".repeat(1_000_000);
    for (amount, said) in [
        ("1e400", Some(LARGE)),
        ("1e-400", None),
        ("-1e400", Some(NO_AMOUNT)),
        ("1e99999999999999999999", Some(LARGE)),
        ("1e-99999999999999999999", None),
        ("100.0000000000000000000000000000000001", Some(LARGE)),
        (digits.as_str(), Some(LARGE)),
        (&format!("0.{digits}"), None),
        (&format!("1e{digits}"), Some(LARGE)),
        (&format!("0e{digits}"), None),
    ] {
        row(&format!("the amount {amount:.30}"), format!(r#"{{"amount":{amount}}}"#), said);
    }
    for half in [r"\ud800", r"\udc00", r"\ud800\u0041", r"\ud800\ud800"] {
        row(&format!("{half} where a rule reads"), format!(r#"{{"amount":1,"text":"{half}"}}"#), Some(NO_TEXT));
        row(&format!("{half} where none reads"), format!(r#"{{"amount":1,"other":"{half}"}}"#), None);
        row(&format!("{half} in a name"), format!(r#"{{"amount":1,"{half}":1}}"#), Some("`arguments`"));
    }
    row("a whole pair", r#"{"amount":1,"text":"\ud83d\ude00"}"#.to_owned(), None);
    rows
}

#[test]
fn each_is_judged_or_refused_and_nothing_traps() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "hostile";
    let upstream = Upstream::running_every_call();
    let setup = Setup::new(&policy()).with("max_body_bytes", MAX_BODY_BYTES).with("log", "none");
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    for (index, (row, arguments, said)) in rows().into_iter().enumerate() {
        let message = |id: &str, arguments: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
            )
        };
        let ask = |id: &str, arguments: &str| {
            let request = Request::post(message(id, arguments)).with("mcp-session-id", format!("{index}-{id}"));
            envoy.connect().exchange(&request)
        };
        let answer = ask("1", &arguments).json();
        let found = answer["error"]["message"].as_str().or(answer["result"]["content"][0]["text"].as_str());
        let found = found.unwrap_or_default();
        match said {
            None => assert_eq!(found, "ran", "{row}"),
            Some(said) => assert!(found.contains(said), "{row}: {found}"),
        }
        let after = ask("2", r#"{"amount":1}"#);
        assert_eq!(after.json()["result"]["content"][0]["text"], "ran", "after {row}");
        assert_eq!(envoy.traps(), 0, "after {row}");
    }
}

#[test]
fn a_bomb_in_a_policy_is_refused_at_load_and_nothing_traps() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "hostile-policy";
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), "){9}".repeat(depth));
    let bombs = [
        "(((a{100}){100}){100}){100}".to_owned(),
        "a{100000}".to_owned(),
        "(a|b|c|d|e|f|g|h){1,30000}".to_owned(),
        nested(20),
        nested(5000),
        format!("{}a", "(".repeat(100_000)),
        "a|".repeat(200_000),
    ];
    let count = bombs.len();
    let rules: Vec<Value> =
        bombs.into_iter().map(|bomb| json!({ "path": "args.a", "op": "regex", "value": bomb })).collect();
    let policy = json!({ "version": "1", "default": "allow", "all_tools": { "deny_if": rules } });
    let deep = |depth: usize| {
        let test = r#"{"path":"args.a","op":"exists"}"#;
        let condition = format!("{}{test}{}", r#"{"not":"#.repeat(depth), "}".repeat(depth));
        format!(r#"{{"version":"1","default":"allow","all_tools":{{"deny_if":[{{"conditions":[{condition}]}}]}}}}"#)
    };
    let good = Setup::new(&json!({ "version": "1", "default": "deny" })).render(name, NOWHERE);
    for (row, text, said, times) in [
        ("regexes", policy.to_string(), "invalid regex", count),
        ("nested conditions", deep(200), DEEP, 1),
        ("more of them", deep(500_000), DEEP, 1),
        ("lists", "[".repeat(1_000_000), DEEP, 1),
    ] {
        let (status, log) = validate(&parts, name, &with_text(&good, &text));
        assert!(!status.success(), "{row} is loaded");
        assert_eq!(log.matches(said).count(), times, "{row}: {said}");
        assert!(!log.contains("Uncaught"), "{row} traps: {log:.2000}");
    }
    // The deepest that is read.
    let (status, log) = validate(&parts, name, &with_text(&good, &deep(100)));
    assert!(status.success(), "{log:.2000}");
}
