//! The plugin in Envoy decides as `mcp-policy decide` does: the same outcome, rule and message for random policies and
//! calls, new ones in each run. What a run was made of is left in `target/e2e/random.config.json` and `random.calls`.

#[allow(dead_code, reason = "most of it is for `tests/properties.rs`")]
#[path = "../support/random.rs"]
mod values;

use super::support::envoy::Envoy;
use super::support::parts::{Parts, scratch};
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::Upstream;
use super::support::wait;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use values::Call;

const POLICIES: usize = 300;
/// Of each policy, one after the other, so that its limits count.
const CALLS: usize = 4;

fn some<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("a value").current()
}

/// A policy whose decisions are the same all through an hour, and by what `decide` is told of a call.
fn policy(runner: &mut TestRunner) -> Value {
    let text = some(&values::policy(), runner).to_string();
    let text = text.replace(r#""window":"minute""#, r#""window":"hour""#).replace(r#""window":60"#, r#""window":3600"#);
    let text = text.replace("/minute", "/hour").replace("header.accept", "header.none");
    serde_json::from_str(&text).expect("JSON")
}

/// The call as a line for `decide`.
fn line(grant: &str, call: &Call, at: u128) -> String {
    let mut line = json!({ "tool": call.tool, "grant": grant, "at": at });
    if let Some(session) = call.session {
        line["session"] = session.into();
    }
    with(&line, call)
}

/// The call as a message.
fn message(call: &Call) -> String {
    let params = with(&json!({ "name": call.tool }), call);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

/// `object` with the call's arguments as they were written, which no JSON value holds.
fn with(object: &Value, call: &Call) -> String {
    let mut text = object.to_string();
    if let Some(arguments) = &call.arguments {
        text.pop();
        text += &format!(r#","arguments":{arguments}}}"#);
    }
    text
}

/// What `mcp-policy decide` answers.
fn decide(config: &str, calls: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-policy"))
        .args(["decide", "--config", config, "--calls", calls])
        .output()
        .expect("the command line tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn decide_and_the_plugin_give_the_same_decision() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, upstream, mut runner) = ("random", Upstream::running_every_call(), TestRunner::default());
    let (mut policies, mut grants, mut calls) = (Map::new(), Vec::new(), Vec::new());
    for index in 0..POLICIES {
        let name = format!("p{index}");
        policies.insert(name.clone(), policy(&mut runner));
        let header = json!({ "name": "x-policy", "equals": name });
        grants.push(json!({ "id": name, "match": { "header": header }, "policy": name }));
        calls.extend((0..CALLS).map(|_| (name.clone(), some(&values::call(), &mut runner))));
    }
    let setup = Setup::new(&Value::Null).with("policies", policies).with("grants", grants);
    let file = setup.with("default_policy", Value::Null).with("log", "none").render(name, upstream.address);
    let mut envoy = Envoy::start(&parts, name, &file);

    wait::for_room_in_hour(Duration::from_secs(60));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
    let lines: Vec<String> = calls.iter().map(|(grant, call)| line(grant, call, now)).collect();
    let (config, file) = (scratch("random.config.json"), scratch("random.calls"));
    fs::write(&file, lines.join("\n")).expect("a file in target/e2e");
    let expected = decide(config.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));

    let mut connection = envoy.connect();
    for (grant, call) in &calls {
        let mut request = Request::post(message(call)).with("x-policy", grant);
        if let Some(session) = call.session {
            request = request.with("mcp-session-id", session);
        }
        connection.exchange(&request);
    }
    let (mut outcomes, mut rules) = (BTreeSet::new(), BTreeSet::new());
    let records = envoy.access_log(calls.len());
    assert_eq!((records.len(), expected.len()), (calls.len(), calls.len()));
    for ((record, expected), line) in records.iter().zip(&expected).zip(&lines) {
        let record: Value = serde_json::from_str(record["decision"].as_str().expect("a record")).expect("JSON");
        for member in ["outcome", "rule", "message"] {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            assert_eq!(text(&record[member]), text(&expected[member]), "{member} of {line}: {record}");
        }
        outcomes.insert(expected["outcome"].as_str().expect("an outcome").to_owned());
        rules.insert(expected["rule"].as_str().expect("a rule").to_owned());
    }
    assert_eq!(envoy.traps(), 0);
    assert_eq!(outcomes.len(), 4, "every outcome was met: {outcomes:?}");
    assert!(rules.len() > 20, "{} rules decided", rules.len());
    println!("{} calls under {POLICIES} policies: {outcomes:?} by {} rules", calls.len(), rules.len());
}
