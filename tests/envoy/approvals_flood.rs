//! More calls that wait than anybody can decide on, and an approval whose policy is edited.

use super::approvals::{Came, Person, came, file, start, sum, waits};
use super::reload::{Discovered, updates};
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{Parts, scratch};
use super::support::request::Request;
use super::support::upstream::Upstream;
use super::support::wait;
use serde_json::json;
use std::thread;

#[test]
fn of_100_000_calls_that_wait_none_takes_the_place_of_an_approval_or_of_another_grant() {
    const CALLERS: u64 = 16;
    const CALLS: u64 = 6_250;
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let grant = |id: &str| {
        let with = json!({ "header": { "name": "x-agent", "equals": id } });
        json!({ "id": id, "match": with, "policy": "default" })
    };
    let grants = format!(
        r#""grants": {}, "log": "none", "decisions": 1024, "hold_request_headers": true"#,
        json!([grant("quiet"), grant("loud")])
    );
    let edits = [(r#""hold_request_headers": true"#, grants.as_str())];
    let envoy = start(&parts, "approvals-flood", &upstream, &edits);
    let person = Person(envoy.admin_side());
    let request = |agent: &str, a: u64, b: u64| {
        Request::post(mcp::call_with("1", "get-sum", &json!({ "a": a, "b": b }))).with("x-agent", agent)
    };
    let call = |agent: &str, a: u64, b: u64| came(&envoy.connect().exchange(&request(agent, a, b)).json());
    let approved = waits(call("loud", 500, 1));
    assert_eq!(person.decide(&approved, "approve", "{}").0, 200);
    let waiting = waits(call("quiet", 500, 2));

    let flood = || {
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (envoy, request) = (&envoy, &request);
                scope.spawn(move || {
                    let mut agent = envoy.connect();
                    for call in 0..CALLS {
                        waits(came(&agent.exchange(&request("loud", 1000 + caller, call)).json()));
                    }
                });
            }
        });
    };
    let ((), grown) = envoy.memory_of(flood);
    eprintln!("100,000 calls that wait: {grown} KiB more at most");
    assert!(grown < 48 * 1024, "{grown} KiB");
    assert_eq!(upstream.count(), 0);
    let pending = person.list("pending");
    assert!(pending.len() < 256 && pending.iter().any(|one| one["id"] == json!(waiting)), "{} wait", pending.len());
    let (_, body) = person.ask(&Person::bearing(Request::get("/v1/decisions")));
    let decisions = body["decisions"].as_array().expect("decisions");
    assert!(decisions.iter().all(|one| one["dropped_approval"].is_string()), "each that gave way is on record");
    assert_eq!(call("loud", 500, 1), Came::Ran, "an approval that was given stands");
    assert_eq!(waits(call("quiet", 500, 2)), waiting);
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}

#[test]
fn an_approval_is_for_one_version_of_the_policy() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, upstream) = ("approvals-edited", Upstream::running_every_call());
    let file = |hidden: &str| file(&upstream, &[(r#""hide": ["get-env"],"#, hidden)]);
    let discovered = Discovered { watched: scratch("approvals-edited.ecds.yaml") };
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&file(r#""hide": ["get-env"],"#)));
    let (person, mut agent) = (Person(envoy.admin_side()), envoy.connect());
    let id = waits(sum(&mut agent, 500, 1));
    assert_eq!(person.decide(&id, "approve", "{}").0, 200);
    let before = updates(&envoy, "success");
    discovered.exchange(&file(r#""hide": ["get-env", "other"],"#));
    wait::until("the edited policy is in force", || updates(&envoy, "success") > before);
    assert_ne!(waits(sum(&mut agent, 500, 1)), id, "what was approved was approved under another policy");
    // Taken back, the edit has changed nothing.
    let before = updates(&envoy, "success");
    discovered.exchange(&file(r#""hide": ["get-env"],"#));
    wait::until("the first policy is in force again", || updates(&envoy, "success") > before);
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}
