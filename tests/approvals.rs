//! Calls that a person must approve, as the exchange refuses them and lets them go on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::approvals::Id;
use mcp_policy::approvals::book;
use mcp_policy::config::Gate;
use mcp_policy::policy::{MemoryStore, Outcome};
use serde_json::{Value, json};
use std::rc::Rc;
use support::{Driver, Fate, gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_795_243_342_000;
const URL: &str = "https://approve.example/";

fn configuration(change: impl Fn(&mut Value)) -> Rc<Gate> {
    let mut configuration = json!({
        "policies": { "p": {
            "version": "1",
            "default": "allow",
            "hide": ["secret"],
            "tools": { "send": { "action": "require_approval", "reason": "Mail is read first" } }
        } },
        "default_policy": "p",
        "approvals": { "url": URL, "redact": ["args.token"] }
    });
    change(&mut configuration);
    gate(&configuration.to_string())
}

fn call(params: &Value) -> String {
    request("tools/call", params)
}

fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// What comes of one request: the bytes that go on, or our answer; and how it is recorded.
fn send(
    gate: &Rc<Gate>,
    store: &mut MemoryStore,
    body: &str,
    more: &[(&str, &str)],
) -> (Result<Value, Value>, Outcome) {
    let lines: Vec<(&str, &str)> = support::POST.iter().chain(more).copied().collect();
    let mut driver = Driver::new(gate, store, NOW);
    let fate = match driver.request(&headers(&lines), &[body.as_bytes()], false) {
        Fate::Forwarded(bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
        Fate::Replied(reply) => Err(serde_json::from_slice(&reply.body).unwrap()),
    };
    let outcome = driver.exchange.record().unwrap().outcome;
    if fate.is_ok() {
        driver.answer("200", Some("application/json"), &[br#"{"jsonrpc":"2.0","id":1,"result":{}}"#]);
        driver.end("via_upstream");
    }
    (fate, outcome)
}

/// The id under which this waits.
fn waits(answer: &Value) -> String {
    let data = if answer["result"].is_object() { &answer["result"]["_meta"] } else { &answer["error"]["data"] };
    let id = data["mcp-policy/approval"]["id"].as_str();
    id.unwrap_or_else(|| panic!("it does not wait: {answer}")).to_owned()
}

fn decide(id: &str, approves: bool, store: &mut MemoryStore) {
    book::decide(Id::parse(id).unwrap(), approves, None, NOW, store).unwrap();
}

#[test]
fn prompts_resources_and_subscriptions_wait_like_tools() {
    let gate = configuration(|all| {
        all["policies"]["p"]["prompts"] = json!({ "items": { "p": { "action": "require_approval" } } });
        all["policies"]["p"]["resources"] = json!({ "items": { "x:*": { "action": "require_approval" } } });
    });
    for (method, params) in [
        ("prompts/get", json!({ "name": "p", "arguments": { "a": "1" } })),
        ("resources/read", json!({ "uri": "x:1" })),
        ("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": ["x:1", "y:2", "x:3"] } })),
    ] {
        let (mut store, body) = (store(), request(method, &params));
        let (answer, outcome) = send(&gate, &mut store, &body, &[]);
        assert_eq!(outcome, Outcome::ApprovalRequired, "{method}");
        let answer = answer.unwrap_err();
        assert_eq!(answer["error"]["code"], 403, "{method}: {answer}");
        decide(&waits(&answer), true, &mut store);
        assert_eq!(send(&gate, &mut store, &body, &[]).1, Outcome::Allowed, "{method}");
        assert_eq!(send(&gate, &mut store, &body, &[]).1, Outcome::ApprovalRequired, "{method}");
    }
    // All that it reaches is part of it.
    let listen =
        |uris: Value| request("subscriptions/listen", &json!({ "notifications": { "resourceSubscriptions": uris } }));
    let mut store = store();
    let first = waits(&send(&gate, &mut store, &listen(json!(["x:1", "x:2"])), &[]).0.unwrap_err());
    decide(&first, true, &mut store);
    let second = waits(&send(&gate, &mut store, &listen(json!(["x:1", "x:3"])), &[]).0.unwrap_err());
    assert_ne!(first, second);
}

#[test]
fn whatever_a_server_is_sent_is_part_of_what_is_approved() {
    let gate = configuration(|_| {});
    let base = json!({ "name": "send", "arguments": { "to": "a" }, "_meta": { "progressToken": 1 } });
    let with = |member: &str, value: Value| {
        let mut params = base.clone();
        params[member] = value;
        call(&params)
    };
    let mut store = store();
    let id = waits(&send(&gate, &mut store, &call(&base), &[]).0.unwrap_err());
    decide(&id, true, &mut store);
    for (member, value) in [
        ("task", json!({ "ttl": 1 })),
        ("inputResponses", json!({ "confirm": { "action": "accept" } })),
        ("requestState", json!("the server's own")),
        ("more", json!(null)),
    ] {
        let (answer, _) = send(&gate, &mut store, &with(member, value), &[]);
        assert_ne!(waits(&answer.unwrap_err()), id, "{member} was not approved");
    }
    // What only the client's own side reads is not.
    assert_eq!(send(&gate, &mut store, &with("_meta", json!({ "progressToken": 2 })), &[]).1, Outcome::Allowed);
}

#[test]
fn an_edit_of_the_policy_needs_a_new_approval() {
    let (before, after) =
        (configuration(|_| {}), configuration(|all| all["policies"]["p"]["description"] = "x".into()));
    let (mut store, body) = (store(), call(&json!({ "name": "send" })));
    let id = waits(&send(&before, &mut store, &body, &[]).0.unwrap_err());
    decide(&id, true, &mut store);
    assert_ne!(waits(&send(&after, &mut store, &body, &[]).0.unwrap_err()), id);
    assert_eq!(send(&before, &mut store, &body, &[]).1, Outcome::Allowed);
}

#[test]
fn a_limit_that_refuses_leaves_the_approval() {
    let gate = configuration(|all| {
        all["policies"]["p"]["all_tools"] = json!({ "limits": [{ "counter": "c", "window": "hour", "max": 1 }] });
    });
    let (mut store, body) = (store(), call(&json!({ "name": "send" })));
    assert_eq!(
        send(&gate, &mut store, &call(&json!({ "name": "other" })), &[]).1,
        Outcome::Allowed,
        "the limit is spent"
    );
    let id = waits(&send(&gate, &mut store, &body, &[]).0.unwrap_err());
    decide(&id, true, &mut store);
    let (answer, outcome) = send(&gate, &mut store, &body, &[]);
    assert_eq!(outcome, Outcome::Denied);
    assert_eq!(answer.unwrap_err()["result"]["_meta"]["mcp-policy/rule"], "/all_tools/limits/c");
    let all = book::list(NOW, &mut store).unwrap();
    assert_eq!((all.len(), all[0].0.state.as_str()), (1, "approved"));
}

#[test]
fn a_hidden_tool_waits_like_one_that_does_not_exist() {
    let gate = configuration(|all| {
        all["hidden_reply"] = "unknown_tool".into();
        all["policies"]["p"]["all_tools"] = json!({ "require_approval": true });
    });
    let mut store = store();
    let mut shapes = Vec::new();
    for tool in ["secret", "nosuch"] {
        let body = call(&json!({ "name": tool }));
        let answer = send(&gate, &mut store, &body, &[]).0.unwrap_err();
        let id = waits(&answer);
        shapes.push(answer.to_string().replace(&id, "ID").replace(tool, "TOOL"));
        decide(&id, true, &mut store);
        let sent = send(&gate, &mut store, &body, &[]).0.unwrap();
        assert_eq!(sent["params"]["name"] == tool, tool == "nosuch", "a hidden name goes nowhere: {sent}");
        waits(&send(&gate, &mut store, &body, &[]).0.unwrap_err());
    }
    assert_eq!(shapes[0], shapes[1]);
}

#[test]
fn what_nobody_is_to_see_is_not_shown() {
    let (gate, mut store) = (configuration(|_| {}), store());
    let body = call(&json!({ "name": "send", "arguments": { "token": "s3cret", "to": "a" } }));
    send(&gate, &mut store, &body, &[]).0.unwrap_err();
    let shown = book::list(NOW, &mut store).unwrap()[0].1.clone().unwrap();
    assert_eq!(shown.arguments.as_deref(), Some(r#"{"to":"a","token":"[redacted]"}"#));
}

/// A call of 2026-07-28 by a client with these capabilities.
fn modern(capabilities: &Value, more: &Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities
    });
    let mut params = json!({ "name": "send", "arguments": { "to": "a" }, "_meta": meta });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    call(&params)
}

const MIRRORS: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "send")];

#[test]
fn a_client_that_can_show_an_address_is_asked_to() {
    let (gate, mut store) = (configuration(|_| {}), store());
    let urls = json!({ "elicitation": { "url": {} } });
    let first = modern(&urls, &json!({}));
    let (answer, outcome) = send(&gate, &mut store, &first, &MIRRORS);
    let result = &answer.unwrap_err()["result"];
    let id = result["requestState"].as_str().unwrap().to_owned();
    assert_eq!((&result["resultType"], outcome), (&json!("input_required"), Outcome::ApprovalRequired));
    let asked = &result["inputRequests"]["approval"];
    assert_eq!((&asked["method"], &asked["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    assert_eq!(asked["params"]["url"], format!("{URL}#{id}"));
    assert_eq!(asked["params"]["message"], "Approval required: Mail is read first");

    // Who has shown it, and comes back too early, is told in words.
    let shown = json!({ "requestState": id, "inputResponses": { "approval": { "action": "accept" } } });
    let again = modern(&urls, &shown);
    let answer = send(&gate, &mut store, &again, &MIRRORS).0.unwrap_err();
    assert_eq!((waits(&answer), &answer["result"]["isError"]), (id.clone(), &json!(true)));

    decide(&id, true, &mut store);
    let sent = send(&gate, &mut store, &again, &MIRRORS).0.unwrap();
    let expected: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(sent, expected, "the server reads nothing of it");

    // A state of ours does not carry another call.
    let forged = modern(&urls, &json!({ "requestState": id, "arguments": { "to": "b" } }));
    assert_ne!(waits(&send(&gate, &mut store, &forged, &MIRRORS).0.unwrap_err()), id);
}

/// What it is about, the change of the configuration, the client's capabilities, and its headers.
type Row<'r> = (&'r str, &'r dyn Fn(&mut Value), Value, &'r [(&'r str, &'r str)]);

#[test]
fn a_client_that_cannot_is_told_in_words() {
    let urls = json!({ "elicitation": { "url": {} } });
    let none = |_: &mut Value| {};
    let without_url = |all: &mut Value| all["approvals"] = json!({});
    let no_elicitation = |all: &mut Value| all["policies"]["p"]["methods"] = json!({ "deny": ["elicitation/create"] });
    let rows: [Row<'_>; 5] = [
        ("no capability", &none, json!({}), &MIRRORS),
        ("forms only", &none, json!({ "elicitation": { "form": {} } }), &MIRRORS),
        ("no address", &without_url, urls.clone(), &MIRRORS),
        ("no such requests", &no_elicitation, urls.clone(), &MIRRORS),
        ("an older revision", &none, urls, &[]),
    ];
    for (what, change, capabilities, headers) in rows {
        let body = if headers.is_empty() {
            call(&json!({ "name": "send", "_meta": { "io.modelcontextprotocol/clientCapabilities": capabilities } }))
        } else {
            modern(&capabilities, &json!({}))
        };
        let answer = send(&configuration(change), &mut store(), &body, headers).0.unwrap_err();
        assert_eq!(answer["result"]["isError"], true, "{what}: {answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("[POLICY DENIED] Approval required: Mail is read first (ask a person"),
            "{what}: {text}"
        );
    }
}

#[test]
fn a_person_is_told_when_a_call_says_more_than_is_shown() {
    let gate = configuration(|all| {
        all["policies"]["p"]["resources"] = json!({ "items": { "x:*": { "action": "require_approval" } } });
    });
    let says_more = |method: &str, params: Value| {
        let mut store = store();
        waits(&send(&gate, &mut store, &request(method, &params), &[]).0.unwrap_err());
        let all = book::list(NOW, &mut store).unwrap();
        all[0].1.as_ref().unwrap().says_more
    };
    assert!(!says_more("tools/call", json!({ "name": "send", "arguments": { "to": "a" }, "_meta": {} })));
    assert!(says_more("tools/call", json!({ "name": "send", "inputResponses": { "scope": { "action": "accept" } } })));
    assert!(says_more("tools/call", json!({ "name": "send", "task": { "ttl": 1 } })));
    assert!(!says_more("resources/read", json!({ "uri": "x:1" })));
    assert!(says_more("resources/read", json!({ "uri": format!("x:{}", "1".repeat(400)) })));
}

#[test]
fn our_own_state_makes_no_call_a_continuation() {
    let gate = configuration(|all| {
        all["policies"]["p"]["tools"] = json!({ "ask": { "limits": [
            { "counter": "c", "window": "hour", "max": 1, "continuations": 5 }] } });
    });
    let (mut store, id) = (store(), waits_somewhere());
    let with_state = request("tools/call", &json!({ "name": "ask", "requestState": id }));
    assert_eq!(send(&gate, &mut store, &with_state, &[]).1, Outcome::Allowed);
    assert_eq!(send(&gate, &mut store, &with_state, &[]).1, Outcome::Denied, "it counts as a call");
}

/// The name of an approval, as a caller may know one.
fn waits_somewhere() -> String {
    let mut store = store();
    waits(&send(&configuration(|_| {}), &mut store, &call(&json!({ "name": "send" })), &[]).0.unwrap_err())
}
