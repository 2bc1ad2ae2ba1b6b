//! Hostile sizes, depths and numbers: a policy that holds them is refused at load, a call that holds them is
//! judged or refused within bounds, and nothing ever panics.
#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

use mcp_policy::config::Gate;
use mcp_policy::policy::Policy;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Driver, Fate, gate, store};

/// Generous: a build without optimization on a busy machine still takes a part of it, and what grows faster than its
/// input takes hours.
const SOON: Duration = Duration::from_secs(60);

fn with_rule(rule: &Value) -> String {
    json!({"version": "1", "default": "allow", "all_tools": {"deny_if": [rule]}}).to_string()
}

fn problems(text: &str) -> String {
    let started = Instant::now();
    let problems = Gate::load(text.as_bytes()).expect_err("refused").to_string();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    problems
}

#[test]
fn a_regex_bomb_is_refused_at_load() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), "){9}".repeat(depth));
    let bombs = [
        "(((a{100}){100}){100}){100}".to_owned(),
        "a{100000}".to_owned(),
        "(a|b|c|d|e|f|g|h){1,30000}".to_owned(),
        nested(20),
        nested(5000),
        format!("{}a", "(".repeat(100_000)),
        "(?i)é{50000}".to_owned(),
        "a|".repeat(1_000_000),
    ];
    for bomb in bombs {
        let found = problems(&with_rule(&json!({"path": "args.a", "op": "regex", "value": bomb})));
        assert!(found.contains("invalid regex") && found.len() < 1000, "{} bytes: {found}", found.len());
    }
}

#[test]
fn a_regex_that_makes_others_backtrack_is_judged_at_once() {
    let policy = with_rule(&json!({"id": "r", "conditions": [{"path": "args.a", "op": "regex", "value": "^(a+)+$"}]}));
    let started = Instant::now();
    let reply = call(&policy, &format!(r#"{{"a":"{}b"}}"#, "a".repeat(500_000)));
    assert!(reply.is_none(), "{reply:?}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// There is no expression of names that takes long to match or to compile, so a long one is only long.
#[test]
fn a_pattern_bomb_is_no_bomb() {
    let bomb = format!("{}b", "*a".repeat(500));
    let policy = json!({"version": "1", "default": "allow", "hide": [bomb, "?".repeat(100_000)]}).to_string();
    let started = Instant::now();
    let gate = gate(&policy);
    for _ in 0..10 {
        let mut store = store();
        let mut driver = Driver::new(&gate, &mut store, 0);
        let name = "a".repeat(1024);
        driver.post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#));
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
fn a_document_that_nests_too_deep_is_refused() {
    let condition = |depth: usize| {
        let test = r#"{"path":"args.a","op":"exists"}"#;
        let nested = format!("{}{test}{}", r#"{"not":"#.repeat(depth), "}".repeat(depth));
        format!(r#"{{"version":"1","default":"allow","all_tools":{{"deny_if":[{{"conditions":[{nested}]}}]}}}}"#)
    };
    assert!(Policy::load("deep", &condition(100)).is_ok());
    assert!(problems(&condition(200)).contains("nested deeper than 128 levels"));
    assert!(problems(&condition(1_000_000)).contains("nested deeper than 128 levels"));
    assert!(problems(&"[".repeat(5_000_000)).contains("nested deeper than 128 levels"));
}

#[test]
fn many_faults_are_reported_all_in_bounded_time() {
    let tools: Vec<String> =
        (0..20_000).map(|index| format!(r#""t{index}":{{"requires":[],"limits":[{{}}]}}"#)).collect();
    let found = problems(&format!(r#"{{"version":"1","default":"deny","tools":{{{}}}}}"#, tools.join(",")));
    assert_eq!(found.lines().count(), 80_000);
}

/// The text of our answer to a call with these arguments, or nothing when it went on.
fn call(policy: &str, arguments: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let configuration = json!({"policies": {"p": policy}, "default_policy": "p", "max_body_bytes": 64 << 20});
    let gate = gate(&configuration.to_string());
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#);
    let started = Instant::now();
    let mut store = store();
    let mut driver = Driver::new(&gate, &mut store, 0);
    let fate = driver.request(&support::headers(&support::POST), &[body.as_bytes()], false);
    assert!(started.elapsed() < SOON, "{} bytes: {:?}", body.len(), started.elapsed());
    match fate {
        Fate::Forwarded(sent) => {
            assert!(sent == body.as_bytes(), "what was judged is what is sent");
            None
        }
        Fate::Replied(reply) => {
            let answer: Value = serde_json::from_slice(&reply.body).unwrap();
            let text = answer["error"]["message"].as_str().or(answer["result"]["content"][0]["text"].as_str());
            Some(text.unwrap().to_owned())
        }
    }
}

const MANY_AMOUNTS: &str = r#"{"version":"1","default":"allow","all_tools":{
    "deny_if":[{"id":"large","conditions":[{"path":"args.amount","op":"gt","value":100}]}],
    "limits":[{"counter":"spend","window":"day","max":1000,"increment_from":"args.amount"}]}}"#;

#[test]
fn arguments_that_nest_deep_are_judged_up_to_the_bound_and_refused_beyond() {
    // The message, its `params` and the arguments take three levels of the 128.
    let deep = |depth: usize| format!(r#"{{"amount":1,"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#"{{"amount":1,"x":{}1{}}}"#, r#"{"x":"#.repeat(depth), "}".repeat(depth));
    for depth in [1, 100, 125] {
        assert_eq!(call(MANY_AMOUNTS, &deep(depth)), None, "{depth}");
        assert_eq!(call(MANY_AMOUNTS, &objects(depth)), None, "{depth}");
    }
    for depth in [126, 128, 129, 100_000, 5_000_000] {
        let refused = call(MANY_AMOUNTS, &deep(depth)).expect("refused");
        assert!(refused.contains("nested deeper than 128 levels"), "{depth}: {refused}");
        assert!(call(MANY_AMOUNTS, &objects(depth)).is_some(), "{depth}");
    }
    // A path as long as the arguments are deep.
    let path = format!("args{}", ".x".repeat(120));
    let rule = with_rule(&json!({"id": "deep", "conditions": [{"path": path, "op": "eq", "value": 1}]}));
    assert_eq!(call(&rule, &objects(118)).as_deref(), None, "one level less");
    let refused = call(&rule, &format!(r#"{{"x":{}1{}}}"#, r#"{"x":"#.repeat(119), "}".repeat(119)));
    assert_eq!(refused.as_deref(), Some("[POLICY DENIED] Denied by rule \"deep\""));
}

#[test]
fn a_million_members_are_judged() {
    let members: Vec<String> = (0..1_000_000).map(|index| format!(r#""m{index}":1"#)).collect();
    let members = members.join(",");
    let refused = call(MANY_AMOUNTS, &format!(r#"{{{members},"amount":101}}"#));
    assert_eq!(refused.as_deref(), Some("[POLICY DENIED] Denied by rule \"large\""));
    // Two that fold to one, as far apart as can be.
    let refused = call(MANY_AMOUNTS, &format!(r#"{{"amount":1,{members},"Amount":2}}"#)).unwrap();
    assert!(refused.contains("differ only in case"), "{refused}");
    let elements = vec!["1"; 1_000_000].join(",");
    let policy = with_rule(&json!({"id": "all", "conditions": [{"path": "args.list[*]", "op": "eq", "value": 2}]}));
    assert_eq!(call(&policy, &format!(r#"{{"list":[{elements}]}}"#)), None);
    assert!(call(&policy, &format!(r#"{{"list":[{elements},2]}}"#)).is_some());
}

#[test]
fn numbers_of_any_size_are_compared_and_counted_exactly() {
    let digits = "9".repeat(1_000_000);
    for (amount, outcome) in [
        ("1e400", Some("[POLICY DENIED] Denied by rule \"large\"")),
        ("1e-400", None),
        ("1e99999999999999999999", Some("[POLICY DENIED] Denied by rule \"large\"")),
        ("1e-99999999999999999999", None),
        ("-1e400", Some("[POLICY DENIED] Missing or invalid amount at \"args.amount\"")),
        ("-0.0", None),
        ("100.0000000000000000000000000000000001", Some("[POLICY DENIED] Denied by rule \"large\"")),
        (digits.as_str(), Some("[POLICY DENIED] Denied by rule \"large\"")),
        (&format!("0.{digits}"), None),
        (&format!("{digits}e-999999"), None),
        (&format!("1e{digits}"), Some("[POLICY DENIED] Denied by rule \"large\"")),
        (&format!("0e{digits}"), None),
    ] {
        let start: String = amount.chars().take(40).collect();
        assert_eq!(call(MANY_AMOUNTS, &format!(r#"{{"amount":{amount}}}"#)).as_deref(), outcome, "{start}");
    }
}

#[test]
fn half_surrogates_never_pass_where_a_rule_reads_them() {
    let rule = |op: &str| with_rule(&json!({"id": "x", "conditions": [{"path": "args.x", "op": op, "value": "y"}]}));
    let denied = Some("[POLICY DENIED] Denied by rule \"x\"");
    for half in [r#""\ud800""#, r#""\udc00y""#, r#""y\ud800\u0041""#] {
        // No operator on text can judge it, so that it may be what is denied.
        for op in ["contains", "regex", "starts_with", "ends_with", "not_regex", "gt"] {
            let (policy, arguments) = (rule(op), format!(r#"{{"x":{half}}}"#));
            let policy = if op == "gt" { policy.replace(r#""value":"y""#, r#""value":1"#) } else { policy };
            assert_eq!(call(&policy, &arguments).as_deref(), denied, "{op} {half}");
        }
        // As a member's name it has no reading at all.
        let refused = call(&rule("eq"), &format!(r#"{{{half}:1,"x":"z"}}"#)).expect("refused");
        assert!(refused.contains("`arguments`"), "{refused}");
    }
    // A whole pair is a character like any other.
    assert_eq!(call(&rule("contains"), r#"{"x":"\ud83d\ude00"}"#), None);
    assert_eq!(call(&rule("contains"), r#"{"x":"\ud83d\ude00y"}"#).as_deref(), denied);
}
