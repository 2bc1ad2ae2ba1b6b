//! Calls that are held while a person is asked: two workers of a real Envoy, and the console's side of it beside them.

use super::approvals::{Came, Person, came, file, start, sum, waits};
use super::reload::{Discovered, updates};
use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::{Parts, scratch};
use super::support::ratelimit::{self, CLUSTER, DOMAIN, RateLimit};
use super::support::request::Request;
use super::support::upstream::Upstream;
use super::support::wait;
use serde_json::{Value, json};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for any decision here, so that only what is tested ends it.
const LONG: &str = r#""timeout": "30m", "wait": "4m""#;
const SHORT: &str = r#""timeout": "30m", "wait": 1"#;

fn holding(parts: &Parts, name: &str, upstream: &Upstream, terms: &str, more: &[(&str, &str)]) -> Envoy {
    let edits = [&[(r#""timeout": "30m""#, terms)][..], more].concat();
    start(parts, name, upstream, &edits)
}

fn request(a: u64, b: u64) -> Request {
    Request::post(mcp::call_with("1", "get-sum", &json!({ "a": a, "b": b })))
}

/// The ids of what waits, when there are so many.
fn pending(person: &Person, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    wait::until(&format!("{count} calls wait"), || {
        let waiting = person.list("pending");
        ids = waiting.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        ids.len() == count
    });
    ids
}

#[test]
fn a_held_call_goes_on_when_it_is_approved_and_not_before() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = holding(&parts, "held", &upstream, LONG, &[]);
    let person = Person(envoy.admin_side());
    // Enough to reach both workers.
    thread::scope(|scope| {
        let (told, answers) = mpsc::channel();
        for n in 0..12 {
            let (told, envoy) = (told.clone(), &envoy);
            scope.spawn(move || told.send((n, sum(&mut envoy.connect(), 500 + n, n))));
        }
        let ids = pending(&person, 12);
        assert_eq!(upstream.count(), 0, "nothing goes on before");
        assert!(answers.try_recv().is_err(), "nor is anything answered");
        for id in &ids {
            assert_eq!(person.decide(id, "approve", "{}").0, 200);
        }
        for _ in 0..12 {
            let (n, came) = answers.recv().expect("an answer");
            assert_eq!(came, Came::Ran, "{n}");
        }
    });
    assert_eq!((upstream.count(), envoy.traps()), (12, 0));
    waits_once(&envoy, &person);
}

/// Of two that are held for one approval, one goes on; the other is told to ask again.
fn waits_once(envoy: &Envoy, person: &Person) {
    let came: Vec<Came> = thread::scope(|scope| {
        let calls: Vec<_> = (0..2).map(|_| scope.spawn(|| sum(&mut envoy.connect(), 900, 9))).collect();
        let ids = pending(person, 1);
        assert_eq!(person.decide(&ids[0], "approve", "{}").0, 200);
        calls.into_iter().map(|call| call.join().expect("an answer")).collect()
    });
    assert_eq!(came.iter().filter(|came| **came == Came::Ran).count(), 1, "{came:?}");
    assert!(came.iter().any(|came| matches!(came, Came::Waits(_))), "{came:?}");
}

#[test]
fn a_held_call_is_told_of_a_denial_and_of_the_end_of_its_wait() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = holding(&parts, "held-denied", &upstream, LONG, &[]);
    let person = Person(envoy.admin_side());
    let denied = thread::scope(|scope| {
        let call = scope.spawn(|| sum(&mut envoy.connect(), 500, 1));
        let ids = pending(&person, 1);
        assert_eq!(person.decide(&ids[0], "deny", r#"{"note":"ask for less"}"#).0, 200);
        call.join().expect("an answer")
    });
    assert_eq!(denied, Came::Refused("[POLICY DENIED] Approval denied: ask for less".to_owned()));

    let mut envoy = holding(&parts, "held-short", &upstream, SHORT, &[]);
    let (mut agent, since) = (envoy.connect(), Instant::now());
    let answer = agent.exchange(&request(500, 1));
    let (took, id) = (since.elapsed(), waits(came(&answer.json())));
    assert!(took >= Duration::from_secs(1), "it was held for {took:?}");
    let line = envoy.access_log(1).remove(0);
    let record: Value = serde_json::from_str(line["decision"].as_str().expect("a record")).expect("JSON");
    assert_eq!((&record["approval"], &record["outcome"]), (&json!(id), &json!("approval_required")));
    assert!(record["held_ms"].as_u64().is_some_and(|held| held >= 1000), "{record}");
    // The connection is as good as new, and an approval that came late is not lost.
    assert_eq!(Person(envoy.admin_side()).decide(&id, "approve", "{}").0, 200);
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}

/// How many calls are on record as such that wait for a person.
fn refusals(person: &Person) -> usize {
    let (status, body) = person.ask(&Person::bearing(Request::get("/v1/decisions")));
    assert_eq!(status, 200, "{body}");
    let decisions = body["decisions"].as_array().expect("a list");
    decisions.iter().filter(|one| one["outcome"] == "approval_required").count()
}

#[test]
fn a_client_that_leaves_makes_room_and_the_next_one_without_any_is_refused_at_once() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let room = [(r#""approvals": {"#, r#""approvals": { "max_held": 1,"#)];
    let envoy = holding(&parts, "held-room", &upstream, LONG, &room);
    let person = Person(envoy.admin_side());
    // Two workers with a place each: of so many calls at once two are held.
    let mut all: Vec<Connection> = (0..12).map(|_| envoy.connect()).collect();
    for (n, agent) in (0..).zip(&mut all) {
        agent.send(&request(500, n).bytes());
    }
    pending(&person, 12);
    wait::until("all but those in a place are answered", || refusals(&person) >= 10);
    assert_eq!((refusals(&person), upstream.count()), (10, 0), "and two are held");
    // All clients leave. Those that were held leave a record, too.
    drop(all);
    wait::until("the held calls are on record", || refusals(&person) == 12);
    // There is room again: this one is answered when a person has decided, and not before.
    let came = thread::scope(|scope| {
        let call = scope.spawn(|| sum(&mut envoy.connect(), 700, 1));
        let ids = pending(&person, 13);
        assert_eq!(person.decide(&ids[0], "approve", "{}").0, 200, "the newest comes first");
        call.join().expect("an answer")
    });
    assert_eq!(came, Came::Ran);
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}

#[test]
fn a_held_call_goes_through_whatever_carries_its_body() {
    let Some(parts) = Parts::gateway() else { return };
    for (name, hold) in [("held-chunked", "true"), ("held-unheld", "false")] {
        let upstream = Upstream::running_every_call();
        let setting = format!(r#""hold_request_headers": {hold}"#);
        let edits = [(r#""hold_request_headers": true"#, setting.as_str())];
        let envoy = holding(&parts, name, &upstream, LONG, &edits);
        let person = Person(envoy.admin_side());
        let padding = "x".repeat(300_000);
        let body = mcp::call_with("1", "get-sum", &json!({ "a": 500, "b": 1, "padding": padding }));
        let came = thread::scope(|scope| {
            let call = scope
                .spawn(|| came(&envoy.connect().exchange(&Request::post(&body).with_trailer("x-end", "1")).json()));
            let ids = pending(&person, 1);
            // Headers that are not held have gone.
            let has_body = upstream.requests().iter().any(|request| !request.body.is_empty());
            assert!(!has_body, "{name}: nothing of the body goes on before");
            assert_eq!(person.decide(&ids[0], "approve", "{}").0, 200);
            call.join().expect("an answer")
        });
        assert_eq!(came, Came::Ran, "{name}");
        assert_eq!(upstream.requests()[0].body, body.as_bytes(), "{name}: it is the body that was approved");
        assert_eq!((upstream.count(), envoy.traps()), (1, 0), "{name}");
    }
}

#[test]
fn a_held_call_outlives_the_time_that_its_request_had_to_arrive() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let terms = r#""timeout": "30m", "wait": 3"#;
    let envoy = holding(&parts, "held-timeout", &upstream, terms, &[("request_timeout: 30s", "request_timeout: 1s")]);
    let since = Instant::now();
    waits(sum(&mut envoy.connect(), 500, 1));
    assert!(since.elapsed() >= Duration::from_secs(2), "it was held for {:?}", since.elapsed());
    assert_eq!((upstream.count(), envoy.traps()), (0, 0));
}

#[test]
fn a_held_call_outlives_a_reload_and_is_judged_by_the_policy_that_held_it() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, upstream) = ("held-reload", Upstream::running_every_call());
    let file = |more: &str| file(&upstream, &[(r#""timeout": "30m""#, LONG), (r#""hide": ["get-env"],"#, more)]);
    let discovered = Discovered { watched: scratch("held-reload.ecds.yaml") };
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&file(r#""hide": ["get-env"],"#)));
    let person = Person(envoy.admin_side());
    let came = thread::scope(|scope| {
        let call = scope.spawn(|| sum(&mut envoy.connect(), 500, 1));
        let ids = pending(&person, 1);
        let before = updates(&envoy, "success");
        discovered.exchange(&file(r#""hide": ["get-env", "get-sum"],"#));
        wait::until("the new policy is in force", || updates(&envoy, "success") > before);
        let hidden = sum(&mut envoy.connect(), 1, 2);
        assert!(matches!(hidden, Came::Refused(_)), "{hidden:?}");
        assert_eq!(person.decide(&ids[0], "approve", "{}").0, 200);
        call.join().expect("an answer")
    });
    assert_eq!(came, Came::Ran);
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}

#[test]
fn a_held_call_whose_limits_a_service_keeps_is_counted_when_it_goes_on() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    wait::for_room_in(86_400, Duration::from_secs(60));
    let (name, upstream) = ("held-counted", Upstream::running_every_call());
    let service = RateLimit::start(&parts, name, "");
    let limit = r#""all_tools": { "limits": [{ "counter": "calls", "window": "day", "max": 2 }] },"#;
    let limits = json!({ "store": "rate_limit_service", "cluster": CLUSTER, "domain": DOMAIN, "timeout_ms": 2000 });
    let limits = format!(r#""limits": {limits}, "hold_request_headers": true"#);
    let edits = [
        (r#""timeout": "30m""#, LONG),
        (r#""hide": ["get-env"],"#, limit),
        (r#""hold_request_headers": true"#, limits.as_str()),
    ];
    let envoy = Envoy::start(&parts, name, &ratelimit::cluster(&file(&upstream, &edits), service.address));
    let person = Person(envoy.admin_side());
    let came: Vec<Came> = thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|n| (n, &envoy)).collect();
        let calls: Vec<_> =
            calls.into_iter().map(|(n, envoy)| scope.spawn(move || sum(&mut envoy.connect(), 500, n))).collect();
        for id in pending(&person, 4) {
            assert_eq!(person.decide(&id, "approve", "{}").0, 200);
        }
        calls.into_iter().map(|call| call.join().expect("an answer")).collect()
    });
    assert_eq!(came.iter().filter(|came| **came == Came::Ran).count(), 2, "{came:?}");
    assert!(!came.iter().any(|came| matches!(came, Came::Waits(_))), "the others are over the limit: {came:?}");
    assert_eq!((upstream.count(), envoy.traps()), (2, 0));
}
