//! What a person asks of a running proxy: decisions, limits and policies, over two listeners of one Envoy with two workers.

use super::approvals::{Person, file, start};
use super::reload::{Discovered, updates};
use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::{Parts, root, scratch};
use super::support::request::Request;
use super::support::setup::with_text;
use super::support::upstream::{Answer, Upstream, result};
use super::support::wait;
use mcp_policy::config::Gate;
use serde_json::{Value, json};
use std::fs;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

const SECRET: &str = "s3cret-value";
/// One tool for each outcome, beside those of the shipped file.
const TOOLS: &str = concat!(
    r#""tools": { "echo": { "limits": [{ "counter": "echoes", "window": "hour", "max": 10 }] }, "#,
    r#""never": { "action": "deny" }, "#,
    r#""trial": { "mode": "shadow", "require": [{ "conditions": [{ "path": "args.a", "op": "not_exists" }] }] },"#,
);
/// Tool, and what its record says: outcome, rule, what the server said.
const OUTCOMES: [(&str, &str, &str, Option<u64>); 4] = [
    ("never", "denied", "/tools/never/action", None),
    ("get-env", "denied", "(hidden)", None),
    ("trial", "shadow_denied", "/tools/trial/require/args.a-not_exists", Some(200)),
    ("get-sum", "approval_required", "/tools/get-sum/require_approval/large", None),
];

fn call(envoy: &Envoy, tool: &str) {
    let body = mcp::call_with("1", tool, &json!({ "a": 500, "b": SECRET }));
    envoy.connect().exchange(&Request::post(body).with("mcp-session-id", "session-1"));
}

fn get(person: &Person, path: &str) -> Value {
    let (status, body) = person.ask(&Person::bearing(Request::get(path)));
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// The last decisions, as soon as there are so many.
fn decisions(person: &Person, count: usize) -> Vec<Value> {
    let list = || get(person, "/v1/decisions")["decisions"].as_array().expect("a list").clone();
    wait::until(&format!("{count} decisions"), || list().len() >= count);
    list()
}

/// The configuration of the gate, as the file has it.
fn configuration(file: &str) -> &str {
    let (_, after) = file.split_once("value: |").expect("a configuration");
    after.split_once("vm_config:").expect("an end").0
}

#[test]
fn both_workers_decisions_limits_and_policies_are_told() {
    let Some(parts) = Parts::gateway() else { return };
    wait::for_room_in_hour(Duration::from_secs(60));
    let upstream = Upstream::running_every_call();
    let edits = [(r#""tools": {"#, TOOLS)];
    let envoy = start(&parts, "admin-side", &upstream, &edits);
    let person = Person(envoy.admin_side());
    // Each on a connection of its own, so that both workers have some.
    for _ in 0..6 {
        call(&envoy, "echo");
    }
    for (tool, ..) in OUTCOMES {
        call(&envoy, tool);
    }
    let told = decisions(&person, 10);
    assert_eq!(told.len(), 10, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0]["ts"].as_str() >= pair[1]["ts"].as_str()), "the newest first");
    assert!(!json!(told).to_string().contains(SECRET), "an argument's value in {told:?}");
    let of = |tool: &str| told.iter().filter(|line| line["tool"] == tool).collect::<Vec<_>>();
    for line in of("echo") {
        assert_eq!((&line["outcome"], &line["upstream_status"]), (&json!("allowed"), &json!(200)), "{line}");
        assert_eq!((&line["arg_keys"], &line["session"]), (&json!(["a", "b"]), &json!("session-1")));
        assert!(line["latency_ms"].is_u64(), "{line}");
    }
    assert_eq!(of("echo").len(), 6);
    for (tool, outcome, rule, status) in OUTCOMES {
        let [line] = of(tool)[..] else { panic!("{tool} in {told:?}") };
        assert_eq!((&line["outcome"], &line["rule"]), (&json!(outcome), &json!(rule)));
        assert_eq!(line["upstream_status"].as_u64(), status, "{line}");
    }
    assert!(of("get-sum")[0]["approval"].as_str().is_some_and(|id| id.starts_with("ap_")), "{told:?}");

    // Whichever worker is asked, however often.
    for _ in 0..8 {
        assert_eq!(decisions(&person, 10), told);
        let limits = get(&person, "/v1/limits");
        let [limit] = limits["limits"].as_array().expect("a list").as_slice() else { panic!("{limits}") };
        let numbers = ["limit", "used", "remaining"].map(|member| limit[member].as_u64());
        assert_eq!(numbers, [Some(10), Some(6), Some(4)], "{limit}");
        assert_eq!((&limit["rule"], &limit["grant"]), (&json!("/tools/echo/limits/echoes"), &json!("anonymous")));
        assert!(limit["reset_seconds"].as_u64().is_some_and(|seconds| seconds <= 3600), "{limit}");
    }
    let file = file(&upstream, &edits);
    let gate = Gate::load(configuration(&file).as_bytes()).expect("a configuration");
    let written: Value = serde_json::from_str(configuration(&file)).expect("JSON");
    let told = get(&person, "/v1/policy");
    let policy = &told["policies"][0];
    assert_eq!((&policy["document"], &told["refused"]), (&written["policies"]["default"], &Value::Null));
    assert_eq!(policy["version"].as_str(), gate.policies().next().map(|policy| policy.version()));
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn the_playgrounds_engine_is_served_as_it_was_built() {
    let Some(parts) = Parts::gateway() else { return };
    let envoy = start(&parts, "admin-side-engine", &Upstream::running_every_call(), &[]);
    // Without a token: the page that needs it has none yet.
    let response = Connection::open(envoy.admin_side()).exchange(&Request::get("/playground.wasm"));
    assert_eq!(response.status, 200, "{}", response.text());
    let header = |name: &str| response.head.text(name);
    assert_eq!((header("content-type").as_str(), header("content-encoding").as_str()), ("application/wasm", "gzip"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    let built = fs::read(root().join("target/playground.wasm.gz")).expect("what scripts/wasm.sh has built");
    assert!(response.body == built && built.len() > 100_000, "{} bytes of {}", response.body.len(), built.len());
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_call_whose_answer_goes_on_is_told_before_its_end_and_once() {
    let Some(parts) = Parts::gateway() else { return };
    let (events, receiver) = mpsc::channel();
    let stream = Mutex::new(Some(receiver));
    let upstream = Upstream::start(move |request| match stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(events) => Answer::live(events),
        None => Answer::json(result(&request.body, "{}")),
    });
    let envoy = start(&parts, "admin-side-stream", &upstream, &[]);
    let person = Person(envoy.admin_side());
    let mut connection = envoy.connect();
    connection.send(&Request::post(mcp::call("1", "echo")).bytes());
    events.send(b": open\n\n".to_vec()).expect("an upstream that listens");
    let early = decisions(&person, 1);
    assert_eq!((early.len(), &early[0]["latency_ms"]), (1, &Value::Null), "{early:?}");
    drop(events);
    wait::until("the call's end", || decisions(&person, 1)[0]["latency_ms"].is_u64());
    assert_eq!(decisions(&person, 1).len(), 1);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_configuration_that_was_refused_is_told_until_another_takes_force() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let file = file(&upstream, &[]);
    // Envoy looks at every file of the folder.
    let folder = scratch("admin-side-watched");
    fs::create_dir_all(&folder).expect("a folder in target/e2e");
    let discovered = Discovered { watched: folder.join("plugin.yaml") };
    let envoy = Envoy::start(&parts, "admin-side-refused", &discovered.envoy_file(&file));
    let person = Person(envoy.admin_side());
    let before = get(&person, "/v1/policy");
    assert_eq!(before["refused"], Value::Null);

    let written: Value = serde_json::from_str(configuration(&file)).expect("JSON");
    let mut faulty = written.clone();
    faulty["policies"]["default"]["tols"] = json!({});
    discovered.exchange(&with_text(&file, &faulty.to_string()));
    wait::until("Envoy has refused the configuration", || updates(&envoy, "rejected") >= 1);
    let told = get(&person, "/v1/policy");
    let problem = json!(r#"/policies/default: unknown field "tols"; did you mean "tools"?"#);
    assert_eq!((&told["refused"]["problems"], &told["policies"]), (&json!([problem]), &before["policies"]));
    assert!(told["refused"]["at"].as_str().is_some_and(|at| at.starts_with("20")), "{told}");

    let mut next = written;
    next["policies"]["default"]["hide"] = json!([]);
    discovered.exchange(&with_text(&file, &next.to_string()));
    wait::until("the next configuration is in force", || get(&person, "/v1/policy")["refused"].is_null());
    wait::until("its policy is told", || {
        get(&person, "/v1/policy")["policies"][0]["document"] == next["policies"]["default"]
    });
    assert_eq!(envoy.traps(), 0);
}
