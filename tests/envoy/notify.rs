//! A receiver that is told of approvals, as an operator would run one: behind a cluster of the same Envoy, with the library
//! that Standard Webhooks has for it.

use super::approvals::{Came, Person, file, sum, waits};
use super::reload::{Discovered, updates};
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{PEERS, Parts, root, scratch};
use super::support::relay::Relay;
use super::support::request::Request;
use super::support::upstream::{Answer, Fault, Received, Upstream, result};
use super::support::wait;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError, mpsc};
use std::{fs, iter};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ARGUMENT: &str = "s3cret-value";

/// The shipped file with a receiver that is told, under these settings beside the required ones.
fn telling(upstream: &Upstream, receiver: SocketAddr, settings: &str, edits: &[(&str, &str)]) -> String {
    let member = r#""approvals": {"#;
    let with = format!(
        r#"{member} "notify": {{ "cluster": "events", "path": "/approvals", "hmac_sha256": "{SECRET}"{settings} }}, "#
    );
    let edits: Vec<(&str, &str)> = iter::once((member, with.as_str())).chain(edits.iter().copied()).collect();
    let (address, port) = (receiver.ip(), receiver.port());
    let cluster = format!(
        "  - name: events\n    type: STATIC\n    load_assignment:\n      cluster_name: events\n      endpoints:\n      \
         - lb_endpoints:\n        - endpoint: {{ address: {{ socket_address: \
         {{ address: \"{address}\", port_value: {port} }} }} }}\n"
    );
    format!("{}{cluster}", file(upstream, &edits))
}

fn decide(person: &Person, id: &str, verb: &str, note: &str) -> u16 {
    let body = json!({ "note": note }).to_string();
    person.ask(&Person::bearing(Request::post(body).to(&format!("/v1/approvals/{id}/{verb}")))).0
}

/// What the library makes of these requests.
fn receive(requests: &[Received]) -> Output {
    let requests: Vec<Value> = requests
        .iter()
        .map(|request| {
            let header = |name| (name, request.header(name));
            let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
            json!({ "headers": headers.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                "body": String::from_utf8_lossy(&request.body) })
        })
        .collect();
    let mut command = Command::new("node");
    command.arg(root().join(PEERS).join("webhook.mjs")).args([SECRET, &Value::from(requests).to_string()]);
    command.output().expect("node runs")
}

/// The bodies of requests, all of them genuine.
fn genuine(requests: &[Received]) -> Vec<Value> {
    let output = receive(requests);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a list")
}

fn body(request: &Received) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

/// What a receiver was told so far of one approval, in order.
fn told(receiver: &Upstream, id: &str) -> Vec<String> {
    let bodies: Vec<Value> = receiver.requests().iter().filter(|request| request.is_whole).map(body).collect();
    let of_it = bodies.iter().filter(|body| body["data"]["id"] == id);
    of_it.map(|body| body["type"].as_str().expect("a type").to_owned()).collect()
}

#[test]
fn a_receiver_is_told_once_that_an_approval_waits_and_once_that_it_is_settled() {
    let Some(parts) = Parts::with(&["target/peers/node_modules/standardwebhooks"]) else { return };
    let (upstream, receiver) = (Upstream::running_every_call(), Upstream::start(|_| Answer::new("", "").status(204)));
    let short = r#""tools": { "echo": { "require_approval": [{ "conditions": [], "timeout": "6s" }] },"#;
    let settings = r#", "authority": "hooks.example.com""#;
    let file = telling(&upstream, receiver.address, settings, &[(r#""tools": {"#, short)]);
    let envoy = Envoy::start(&parts, "notify", &file);
    let person = Person(envoy.admin_side());
    let echo = mcp::call_with("1", "echo", &json!({ "message": ARGUMENT }));
    let echo = Request::post(echo).with("mcp-session-id", "s3cret-session");
    let expires = waits(super::approvals::came(&envoy.connect().exchange(&echo).json()));
    let approved = waits(sum(&mut envoy.connect(), 500, 1));
    let denied = waits(sum(&mut envoy.connect(), 500, 2));
    for id in [&expires, &approved, &denied] {
        wait::until("somebody is told that it waits", || told(&receiver, id) == ["approval.pending"]);
    }
    assert_eq!(decide(&person, &approved, "approve", "checked"), 200);
    assert_eq!(decide(&person, &denied, "deny", "not that"), 200);
    assert_eq!(sum(&mut envoy.connect(), 500, 1), Came::Ran);
    for (id, end) in [(&approved, "approved"), (&denied, "denied"), (&expires, "expired")] {
        let all = ["approval.pending".to_owned(), format!("approval.{end}")];
        wait::until("somebody is told of its end", || told(&receiver, id) == all);
    }

    let requests = receiver.requests();
    assert_eq!(requests.len(), 6, "each event once, with two workers and a main thread that look");
    let ids: BTreeSet<String> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 6);
    for request in &requests {
        assert!(request.head.start.starts_with("POST /approvals "), "{:?}", request.head);
        assert_eq!(
            (request.header("host"), request.header("content-type")),
            ("hooks.example.com".into(), "application/json".into())
        );
        assert!(!String::from_utf8_lossy(&request.body).contains("s3cret"), "{request:?}");
    }
    let bodies = genuine(&requests);
    let of = |id: &str, end: &str| {
        let kind = format!("approval.{end}");
        let found = bodies.iter().find(|body| body["data"]["id"] == id && body["type"] == kind.as_str());
        found.unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let pending = of(&approved, "pending");
    assert_eq!((&pending["data"]["target"], &pending["data"]["state"]), (&json!("get-sum"), &json!("pending")));
    assert_eq!(pending["data"]["url"], format!("http://127.0.0.1:10001/#{approved}"));
    assert_eq!(of(&denied, "denied")["data"]["note"], "not that");
    assert_eq!(of(&approved, "approved")["data"]["note"], "checked");
    assert_eq!(of(&expires, "expired")["data"]["state"], "expired");

    let mut forged = requests[0].clone();
    forged.body.extend(b" ");
    assert!(!receive(&[forged]).status.success(), "the library looks at the body");
    let mut replayed = requests[0].clone();
    replayed.head = requests[1].head.clone();
    assert!(!receive(&[replayed]).status.success(), "and at the id");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_receiver_that_is_down_delays_no_call_and_is_told_when_it_is_up() {
    let Some(parts) = Parts::gateway() else { return };
    let (upstream, receiver) = (Upstream::running_every_call(), Upstream::start(|_| Answer::json("{}")));
    let relay = Relay::start("notify-down");
    let file = telling(&upstream, relay.address, r#", "attempts": 10"#, &[]);
    let envoy = Envoy::start(&parts, "notify-down", &file);
    let id = waits(sum(&mut envoy.connect(), 500, 1));
    wait::until("a first attempt", || envoy.stat("cluster.events.upstream_cx_total") > 0);
    assert_eq!(waits(sum(&mut envoy.connect(), 500, 1)), id);
    fs::write(&relay.target, receiver.address.to_string()).expect("a file in target/e2e");
    wait::until("it is told", || !told(&receiver, &id).is_empty());
    assert_eq!(decide(&Person(envoy.admin_side()), &id, "approve", ""), 200);
    wait::until("the end is told", || told(&receiver, &id) == ["approval.pending", "approval.approved"]);
    assert_eq!(sum(&mut envoy.connect(), 500, 1), Came::Ran);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_receiver_that_always_fails_is_asked_so_often_and_the_approval_holds() {
    let Some(parts) = Parts::gateway() else { return };
    let (upstream, receiver) = (Upstream::running_every_call(), Upstream::start(|_| Answer::json("{}").status(500)));
    let file = telling(&upstream, receiver.address, r#", "attempts": 2"#, &[]);
    let envoy = Envoy::start(&parts, "notify-failing", &file);
    let id = waits(sum(&mut envoy.connect(), 500, 1));
    let line = |event: &str| {
        format!("nobody was told approval.{event} of {id}: attempt 2 was the last, and was answered with status 500")
    };
    wait::until("the last attempt is logged", || envoy.log().contains(&line("pending")));
    assert_eq!(told(&receiver, &id), ["approval.pending", "approval.pending"]);
    let requests = receiver.requests();
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(decide(&Person(envoy.admin_side()), &id, "approve", ""), 200);
    assert_eq!(sum(&mut envoy.connect(), 500, 1), Came::Ran);
    wait::until("the last attempt is logged", || envoy.log().contains(&line("approved")));
    assert_eq!(receiver.count(), 4);
    assert!(!envoy.log().contains(&SECRET[6..]));
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_cluster_that_cannot_be_asked_is_logged_and_the_approval_holds() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let file = telling(&upstream, upstream.address, r#", "attempts": 1"#, &[]);
    let start = file.rfind("      endpoints:").expect("the receiver's");
    for (name, file) in [
        ("notify-no-cluster", file.replace("- name: events", "- name: others")),
        ("notify-no-endpoint", file[..start].to_owned()),
    ] {
        let envoy = Envoy::start(&parts, name, &file);
        let id = waits(sum(&mut envoy.connect(), 500, 1));
        let line = format!("of {id}: attempt 1 was the last, and could not be made");
        wait::until("it is logged", || envoy.log().contains(&line));
        assert_eq!(decide(&Person(envoy.admin_side()), &id, "approve", ""), 200);
        assert_eq!(sum(&mut envoy.connect(), 500, 1), Came::Ran);
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn a_receiver_that_never_answers_holds_nobody_up() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let receiver = Upstream::start(|_| Answer::json("{}").with_fault(Fault::Silence));
    // Longer than the test may wait for anything.
    let file = telling(&upstream, receiver.address, r#", "timeout_ms": 60000"#, &[]);
    let envoy = Envoy::start(&parts, "notify-silent", &file);
    let person = Person(envoy.admin_side());
    let first = waits(sum(&mut envoy.connect(), 500, 1));
    wait::until("the receiver is asked", || !told(&receiver, &first).is_empty());
    let mut agent = envoy.connect();
    for b in 2..40 {
        waits(sum(&mut agent, 500, b));
    }
    assert_eq!(decide(&person, &first, "approve", ""), 200);
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    // Two workers and the main thread, four each.
    wait::until("they have their hands full", || envoy.stat("cluster.events.upstream_rq_active") == 12);
    assert_eq!(told(&receiver, &first), ["approval.pending"], "its end waits for its beginning");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_new_configuration_takes_up_what_is_untold_and_the_old_one_is_silent() {
    let Some(parts) = Parts::gateway() else { return };
    let (events, stream) = mpsc::channel();
    let stream = Mutex::new(Some(stream));
    let upstream = Upstream::start(move |request| {
        if request.head.start.starts_with("GET") {
            let events = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Answer::live(events.expect("one stream"));
        }
        Answer::json(result(&request.body, "{}"))
    });
    let receiver = Upstream::start(|request| {
        Answer::json("{}").status(if request.head.start.contains("/approvals ") { 500 } else { 200 })
    });
    let old = telling(&upstream, receiver.address, r#", "attempts": 10"#, &[]);
    let new = old.replace("/approvals\"", "/events\"");
    let folder = scratch("notify-watched");
    fs::create_dir_all(&folder).expect("a folder in target/e2e");
    let discovered = Discovered { watched: folder.join("plugin.yaml") };
    let envoy = Envoy::start(&parts, "notify-reload", &discovered.envoy_file(&old));
    // The old configuration lives as long as this stream.
    let mut client = envoy.connect();
    client.send(&Request::stream().bytes());
    assert_eq!(client.head().status(), 200);
    let id = waits(sum(&mut envoy.connect(), 500, 1));
    wait::until("a first attempt", || !told(&receiver, &id).is_empty());

    let before = updates(&envoy, "success");
    discovered.exchange(&new);
    wait::until("the next configuration is in force", || updates(&envoy, "success") > before);
    let paths = || -> Vec<String> {
        let line = |request: &Received| request.head.start.split(' ').nth(1).unwrap_or_default().to_owned();
        receiver.requests().iter().map(line).collect()
    };
    wait::until("the new path is told", || paths().contains(&"/events".to_owned()));
    let asked = paths().iter().filter(|path| *path == "/approvals").count();
    // More than all but one of those who look can tell at a time.
    let mut agent = envoy.connect();
    let ids: Vec<String> = (2..62).map(|b| waits(sum(&mut agent, 500, b))).collect();
    for id in ids {
        wait::until("it is told", || told(&receiver, &id) == ["approval.pending"]);
    }
    assert_eq!(paths().iter().filter(|path| *path == "/approvals").count(), asked, "{:?}", paths());
    assert_eq!(paths().iter().filter(|path| *path == "/events").count(), 61);
    drop(events);
    assert_eq!(envoy.traps(), 0);
}
