//! Three real clients before the reference server: each sees the list without the hidden tool, calls an allowed tool,
//! is refused a denied one and reads why, and runs into a rate limit.

use super::support::clients::{Client, Outcome, Step, python, rust, typescript};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::parts::Parts;
use super::support::setup::{Mode, Setup};
use super::support::wait;
use serde_json::json;
use std::time::Duration;

const HIDDEN: &str = "get-env";

fn policy() -> serde_json::Value {
    json!({
        "version": "1",
        "default": "allow",
        "hide": [HIDDEN],
        "tools": {
            "get-sum": { "action": "deny", "reason": "No sums today." },
            "echo": { "limits": [{ "counter": "echo_rate", "window": "hour", "max": 2, "scope": "grant" }] }
        }
    })
}

fn is_served_within_the_policy(name: &str, client: Client) {
    let Some(parts) = Parts::with_peers() else { return };
    let server = Everything::start(&format!("{name}.server"));
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, server.address));
    wait::for_room_in_hour(Duration::from_secs(60));

    let direct = client(&server.url(), &[Step::List]);
    let [Outcome::Tools(tools)] = direct.as_slice() else { panic!("the server's own list: {direct:?}") };
    assert!(tools.iter().any(|tool| tool == HIDDEN), "the server has the tool that is to be hidden: {tools:?}");
    let visible: Vec<String> = tools.iter().filter(|tool| *tool != HIDDEN).cloned().collect();

    let echo = |text: &str| Step::Call("echo", json!({ "message": text }));
    let refused = |message: &str| Outcome::Result(true, format!("[POLICY DENIED] {message}"));
    let rows = [
        (Step::List, Outcome::Tools(visible.clone())),
        (echo("one"), Outcome::Result(false, "Echo: one".to_owned())),
        (Step::Call("get-sum", json!({ "a": 1, "b": 2 })), refused("No sums today.")),
        (Step::Call(HIDDEN, json!({})), refused("Tool \"get-env\" is hidden by policy")),
        (echo("two"), Outcome::Result(false, "Echo: two".to_owned())),
        (echo("three"), refused("Rate limit of 2 per hour reached. Try again later.")),
        (Step::List, Outcome::Tools(visible)),
    ];
    let steps: Vec<Step> = rows.iter().map(|(step, _)| step.clone()).collect();
    let outcomes = client(&envoy.url(), &steps);
    assert_eq!(outcomes.len(), rows.len(), "{outcomes:?}");
    for ((step, expected), outcome) in rows.iter().zip(&outcomes) {
        match (outcome, expected) {
            // It also says when there is room again, which depends on the hour.
            (Outcome::Result(true, text), Outcome::Result(true, expected)) if expected.contains("Rate limit") => {
                assert!(text.starts_with(&format!("{expected} (0 of 2 left in this hour, room again in ")), "{text}");
            }
            _ => assert_eq!(outcome, expected, "{step:?}"),
        }
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn the_typescript_sdk_is_served_within_the_policy() {
    is_served_within_the_policy("client-typescript", typescript);
}

#[test]
fn the_python_sdk_is_served_within_the_policy() {
    is_served_within_the_policy("client-python", python);
}

#[test]
fn rmcp_is_served_within_the_policy() {
    is_served_within_the_policy("client-rust", rust);
}

#[test]
fn a_real_client_is_served_without_held_headers() {
    let Some(parts) = Parts::with_peers() else { return };
    let name = "client-fallback";
    let server = Everything::start(&format!("{name}.server"));
    let setup = Setup::new(&policy()).mode(Mode::Fallback);
    let envoy = Envoy::start(&parts, name, &setup.render(name, server.address));
    let outcomes = rust(
        &envoy.url(),
        &[Step::Call("echo", json!({ "message": "one" })), Step::Call("get-sum", json!({ "a": 1, "b": 2 }))],
    );
    let expected = [
        Outcome::Result(false, "Echo: one".to_owned()),
        Outcome::Result(true, "[POLICY DENIED] No sums today.".to_owned()),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(envoy.traps(), 0);
}
