//! A call that a person must approve, from its refusal to its run, with the shipped file: two listeners of one Envoy.

use super::grants::{sha256, shipped};
use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::{Parts, root};
use super::support::request::Request;
use super::support::setup::exchange;
use super::support::upstream::{Answer, Upstream, result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(super) const TOKEN: &str = "token-of-the-one-who-approves";
const NO_TOKEN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An Envoy on the shipped file, as [`file`] has it.
pub(super) fn start(parts: &Parts, name: &str, upstream: &Upstream, edits: &[(&str, &str)]) -> Envoy {
    Envoy::start(parts, name, &file(upstream, edits))
}

/// The shipped file with a token that is known, and with each text of `edits` exchanged for the other.
pub(super) fn file(upstream: &Upstream, edits: &[(&str, &str)]) -> String {
    file_before(upstream.address, edits)
}

/// The same before another server.
pub(super) fn file_before(server: SocketAddr, edits: &[(&str, &str)]) -> String {
    let mut file = shipped("approvals.yaml", server);
    file = exchange(&file, "port_value: 10001", "port_value: 0");
    file = exchange(&file, NO_TOKEN, &sha256(TOKEN));
    for (from, to) in edits {
        file = exchange(&file, from, to);
    }
    file
}

/// A person's way to the admin side.
pub(super) struct Person(pub(super) SocketAddr);

impl Person {
    pub(super) fn ask(&self, request: &Request) -> (u16, Value) {
        let response = Connection::open(self.0).exchange(request);
        (response.status, response.json())
    }

    pub(super) fn bearing(request: Request) -> Request {
        request.with("authorization", format!("Bearer {TOKEN}"))
    }

    pub(super) fn list(&self, state: &str) -> Vec<Value> {
        let (status, body) = self.ask(&Self::bearing(Request::get(&format!("/v1/approvals?state={state}"))));
        assert_eq!(status, 200, "{body}");
        body["approvals"].as_array().expect("a list").clone()
    }

    pub(super) fn decide(&self, id: &str, verb: &str, body: &str) -> (u16, Value) {
        self.ask(&Self::bearing(Request::post(body).to(&format!("/v1/approvals/{id}/{verb}"))))
    }
}

/// What comes of a sum.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Ran,
    Waits(String),
    Refused(String),
}

pub(super) fn sum(connection: &mut Connection, a: u64, b: u64) -> Came {
    came(&connection.exchange(&Request::post(mcp::call_with("1", "get-sum", &json!({ "a": a, "b": b })))).json())
}

pub(super) fn came(answer: &Value) -> Came {
    let result = &answer["result"];
    if result["isError"] != true {
        return Came::Ran;
    }
    match result["_meta"]["mcp-policy/approval"]["id"].as_str() {
        Some(id) => Came::Waits(id.to_owned()),
        None => Came::Refused(result["content"][0]["text"].as_str().expect("words").to_owned()),
    }
}

pub(super) fn waits(came: Came) -> String {
    match came {
        Came::Waits(id) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_approved_call_runs_once() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "approvals-once", &upstream, &[]);
    let (person, mut agent) = (Person(envoy.admin_side()), envoy.connect());
    assert_eq!(sum(&mut agent, 1, 2), Came::Ran, "only large sums need a person");
    let answer = agent.exchange(&Request::post(mcp::call_with("7", "get-sum", &json!({ "a": 500, "b": 1 })))).json();
    let text = answer["result"]["content"][0]["text"].as_str().expect("words");
    assert!(text.starts_with("[POLICY DENIED] Approval required: sums above 100 are checked by a person"), "{text}");
    let id = waits(came(&answer));
    assert!(text.contains(&id) && answer["result"]["_meta"]["mcp-policy/rule"].is_string(), "{answer}");
    assert_eq!(waits(sum(&mut envoy.connect(), 500, 1)), id, "a repeat on another connection waits with it");

    let waiting = person.list("pending");
    let shown = &waiting[0];
    assert_eq!(waiting.len(), 1);
    assert_eq!((&shown["id"], &shown["target"]), (&json!(id), &json!("get-sum")));
    assert_eq!(
        (&shown["arguments"], &shown["rule"]),
        (&json!({ "a": 500, "b": 1 }), &answer["result"]["_meta"]["mcp-policy/rule"])
    );
    let (status, approved) = person.decide(&id, "approve", r#"{"note":"go on"}"#);
    assert_eq!((status, &approved["state"], &approved["note"]), (200, &json!("approved"), &json!("go on")));
    assert_eq!(approved["arguments"], Value::Null, "they are forgotten");
    assert_eq!(person.decide(&id, "deny", "{}").0, 409, "it was decided before");

    let before = upstream.count();
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    let next = waits(sum(&mut agent, 500, 1));
    assert_ne!(next, id, "a second run needs another approval");
    assert_eq!(upstream.count(), before + 1);
    assert_eq!(person.decide(&next, "deny", r#"{"note":"once was enough"}"#).0, 200);
    let denied = Came::Refused("[POLICY DENIED] Approval denied: once was enough".to_owned());
    assert_eq!(sum(&mut agent, 500, 1), denied, "the model reads why");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn of_200_repeats_of_one_approved_call_one_runs() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "approvals-race", &upstream, &[]);
    let person = Person(envoy.admin_side());
    for round in 0..5 {
        let id = waits(sum(&mut envoy.connect(), 1000 + round, 0));
        assert_eq!(person.decide(&id, "approve", "").0, 200);
        let before = upstream.count();
        let ran = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let mut agent = envoy.connect();
                    let runs = (0..5).filter(|_| sum(&mut agent, 1000 + round, 0) == Came::Ran).count();
                    ran.fetch_add(runs, Ordering::Relaxed);
                });
            }
        });
        assert_eq!((ran.into_inner(), upstream.count() - before), (1, 1), "round {round}");
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn an_approval_is_for_one_grant_one_tool_and_one_set_of_arguments() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let grant = |id: &str| {
        let with = json!({ "header": { "name": "x-agent", "equals": id } });
        json!({ "id": id, "match": with, "policy": "default" })
    };
    let grants = format!(r#""grants": {}, "hold_request_headers": true"#, json!([grant("a"), grant("b")]));
    let tools = r#""tools": { "echo": { "require_approval": true },"#;
    let edits = [(r#""hold_request_headers": true"#, grants.as_str()), (r#""tools": {"#, tools)];
    let envoy = start(&parts, "approvals-bound", &upstream, &edits);
    let person = Person(envoy.admin_side());
    let call = |agent: &str, tool: &str, arguments: &Value| {
        let request = Request::post(mcp::call_with("1", tool, arguments)).with("x-agent", agent);
        came(&envoy.connect().exchange(&request).json())
    };
    let arguments = json!({ "a": 500, "b": 1 });
    let id = waits(call("a", "get-sum", &arguments));
    assert_eq!(person.decide(&id, "approve", "{}").0, 200);
    let mut ids = vec![id];
    for (what, came) in [
        ("another grant", call("b", "get-sum", &arguments)),
        ("another tool", call("a", "echo", &arguments)),
        ("another argument", call("a", "get-sum", &json!({ "a": 500, "b": 2 }))),
        ("one more argument", call("a", "get-sum", &json!({ "a": 500, "b": 1, "c": null }))),
    ] {
        let id = waits(came);
        assert!(!ids.contains(&id), "{what} needs an approval of its own");
        ids.push(id);
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(call("a", "get-sum", &json!({ "b": 1.0, "a": 5e2 })), Came::Ran, "however it is written");
    let rounded = call("a", "get-sum", &serde_json::from_str("{\"a\":9007199254740993}").expect("JSON"));
    assert!(matches!(rounded, Came::Refused(text) if text.contains("more than one reading")));
}

#[test]
fn what_surely_did_not_run_may_be_repeated() {
    let Some(parts) = Parts::gateway() else { return };
    let calls = AtomicUsize::new(0);
    let upstream = Upstream::start(move |request| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::json("{}").status(503),
        _ => Answer::json(result(&request.body, "{}")),
    });
    let envoy = start(&parts, "approvals-given-back", &upstream, &[]);
    let person = Person(envoy.admin_side());
    let mut agent = envoy.connect();
    let id = waits(sum(&mut agent, 500, 1));
    assert_eq!(person.decide(&id, "approve", "{}").0, 200);
    let body = mcp::call_with("1", "get-sum", &json!({ "a": 500, "b": 1 }));
    assert_eq!(agent.exchange(&Request::post(&body)).status, 503);
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran, "the approval was given back");
    waits(sum(&mut agent, 500, 1));
}

#[test]
fn the_admin_side_answers_only_who_may_ask() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "approvals-door", &upstream, &[]);
    let side = envoy.admin_side();
    let person = Person(side);
    let list = || Request::get("/v1/approvals");
    let (host, own) = (side.to_string(), format!("http://{side}"));
    let id = waits(sum(&mut envoy.connect(), 500, 1));
    let approve = |content_type: &str| {
        let request = Request::post("{}").to(&format!("/v1/approvals/{id}/approve")).without("content-type");
        Person::bearing(request.with("content-type", content_type))
    };
    for (what, request, status) in [
        ("alive", Request::get("/healthz"), 200),
        ("the token", Person::bearing(list()), 200),
        (
            "a page of its own",
            Person::bearing(list())
                .without("host")
                .with("host", &host)
                .with("origin", &own)
                .with("sec-fetch-site", "same-origin"),
            200,
        ),
        ("by name", Person::bearing(list()).without("host").with("host", "localhost:1"), 200),
        ("no token", list(), 401),
        ("another token", list().with("authorization", "Bearer token-of-the-one-who-approve"), 401),
        ("another scheme", list().with("authorization", format!("Basic {TOKEN}")), 401),
        ("a name that points here", Person::bearing(list()).without("host").with("host", "evil.example:10001"), 403),
        (
            "a name that ends like ours",
            Person::bearing(list()).without("host").with("host", "127.0.0.1.evil.example"),
            403,
        ),
        ("another site", Person::bearing(list()).with("origin", "https://evil.example"), 403),
        ("another port's site", Person::bearing(list()).with("origin", "http://127.0.0.1:1"), 403),
        ("no site", Person::bearing(list()).with("origin", "null"), 403),
        ("another site's page", Person::bearing(list()).with("sec-fetch-site", "cross-site"), 403),
        ("health from elsewhere", Request::get("/healthz").without("host").with("host", "evil.example"), 403),
        ("a form", approve("application/x-www-form-urlencoded"), 415),
        ("text", approve("text/plain"), 415),
        ("another method", Person::bearing(Request::get(&format!("/v1/approvals/{id}/approve"))), 405),
        ("no such approval", Person::bearing(Request::get("/v1/approvals/ap_x")), 404),
        ("no such thing", Person::bearing(Request::get("/v1/nothing")), 404),
        ("another state", Person::bearing(Request::get("/v1/approvals?state=all")), 400),
        ("no note", Person::bearing(Request::post("[1]").to(&format!("/v1/approvals/{id}/approve"))), 400),
        ("too much", Person::bearing(Request::post(" ".repeat(9000)).to(&format!("/v1/approvals/{id}/approve"))), 413),
    ] {
        let response = Connection::open(side).exchange(&request);
        assert_eq!(response.status, status, "{what}: {}", response.text());
        assert_eq!(response.head.text("cache-control"), "no-store", "{what}");
        assert!(status < 400 || response.json()["error"]["code"].is_string(), "{what}");
    }
    assert_eq!(person.list("pending").len(), 1, "nothing of that approved it");
    let (_, policy) = person.ask(&Person::bearing(Request::get("/v1/policy")));
    assert_eq!((&policy["policies"][0]["name"], &policy["refused"]), (&json!("default"), &Value::Null));
    // What guesses, guesses slowly; whoever knows the token waits with it.
    let guess = || list().with("authorization", "Bearer guess");
    let statuses: Vec<u16> = (0..30).map(|_| person.ask(&guess()).0).collect();
    assert!(statuses.contains(&401) && statuses.ends_with(&[429]), "{statuses:?}");
    assert_eq!((upstream.count(), envoy.traps()), (0, 0));
}

/// `mcp-policy approvals` at this admin side.
pub(super) fn by_command_line(side: SocketAddr, arguments: &[&str], token: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.current_dir(root()).arg("approvals").args(arguments).args(["--admin", &format!("http://{side}")]);
    command.env("MCP_POLICY_ADMIN_TOKEN", token).output().expect("the command line tool runs")
}

#[test]
fn the_command_line_lists_approves_and_denies() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "approvals-cli", &upstream, &[]);
    let run = |arguments: &[&str], token: &str| by_command_line(envoy.admin_side(), arguments, token);
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let mut agent = envoy.connect();
    let (yes, no) = (waits(sum(&mut agent, 500, 1)), waits(sum(&mut agent, 500, 2)));
    let padded = json!({ "a": 500, "b": 3, "padding": "x".repeat(9000) });
    waits(came(&agent.exchange(&Request::post(mcp::call_with("1", "get-sum", &padded))).json()));
    let listed = run(&["list"], TOKEN);
    assert_eq!(text(&listed).matches("its arguments are too long to be shown").count(), 1, "{listed:?}");
    assert!(listed.status.success() && text(&listed).contains(&yes) && text(&listed).contains(&no), "{listed:?}");
    let machine: Value = serde_json::from_str(&text(&run(&["list", "--format", "json"], TOKEN))).expect("JSON");
    assert_eq!(machine["approvals"].as_array().map(Vec::len), Some(3));
    assert!(run(&["approve", &yes, "--note", "fine"], TOKEN).status.success());
    assert!(run(&["deny", &no, "--note", "not that"], TOKEN).status.success());
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    assert_eq!(sum(&mut agent, 500, 2), Came::Refused("[POLICY DENIED] Approval denied: not that".to_owned()));
    let again = run(&["approve", &yes], TOKEN);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let stranger = run(&["list"], "another");
    assert_eq!(stranger.status.code(), Some(2), "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("token"), "{stranger:?}");
}
