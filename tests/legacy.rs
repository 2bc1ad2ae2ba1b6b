//! Refusals on the transport of 2024-11-05, where a server answers on another exchange than the one that is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use mcp_policy::policy::Outcome;
use serde_json::{Value, json};
use support::{Driver, Fate, gate, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn configuration(held: bool) -> String {
    let policy = json!({
        "version": "1", "default": "allow", "hide": ["delete_everything"],
        "tools": { "pay": { "deny_if": [{ "path": "args.amount", "op": "gt", "value": 5, "on_deny": "Too much." }] } },
        "methods": { "deny": ["logging/*"] }
    });
    json!({ "policies": { "p": policy }, "default_policy": "p", "hold_request_headers": held }).to_string()
}

/// What becomes of a POST to the endpoint that a server of that time names.
fn posted(held: bool, body: &str) -> (Fate, Outcome) {
    let (gate, mut store) = (gate(&configuration(held)), store());
    let mut driver = Driver::new(&gate, &mut store, 0);
    let mut lines = support::POST.to_vec();
    lines.push((":path", "/message?sessionId=3f2a"));
    let fate = driver.request(&support::headers(&lines), &[body.as_bytes()], false);
    (fate, driver.exchange.record().unwrap().outcome)
}

fn call(tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

#[test]
fn a_server_is_made_to_say_what_policy_says() {
    let long = format!(r#"{{"amount":6,"why":"{}"}}"#, "x".repeat(100));
    for (body, name) in [
        (call("delete_everything", "{}"), r#"[POLICY DENIED] Tool "delete_everything" is hidden by policy"#),
        (call("pay", &long), "[POLICY DENIED] Too much."),
    ] {
        let (fate, outcome) = posted(true, &body);
        let Fate::Forwarded(sent) = fate else { panic!("forwarded") };
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let params = json!({ "name": name, "arguments": {} });
        assert_eq!(sent, json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params }));
        assert_eq!(outcome, Outcome::Denied);
    }
    for (body, method) in [
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"logging/setLevel"}"#,
            r#"[POLICY DENIED] Method "logging/setLevel" is not permitted by policy"#,
        ),
        (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[]}"#, "Invalid params: `params` must be an object"),
    ] {
        let Fate::Forwarded(sent) = posted(true, body).0 else { panic!("forwarded") };
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent, json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": {} }));
    }
}

#[test]
fn where_the_headers_have_gone_the_length_stays() {
    let body = call("pay", &format!(r#"{{"amount":6,"why":"{}"}}"#, "x".repeat(100)));
    let Fate::Forwarded(sent) = posted(false, &body).0 else { panic!("forwarded") };
    assert_eq!(sent.len(), body.len());
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["params"]["name"], "[POLICY DENIED] Too much.");
    // Too short to hold it.
    assert!(matches!(posted(false, &call("pay", r#"{"amount":6}"#)).0, Fate::Replied(_)));
}

#[test]
fn what_is_allowed_or_has_no_id_is_as_everywhere() {
    let body = call("pay", r#"{"amount":5}"#);
    assert_eq!(posted(true, &body), (Fate::Forwarded(body.into_bytes()), Outcome::Allowed));
    for (body, status) in [
        ("{", 400),
        (r#"{"jsonrpc":"2.0","method":"logging/off"}"#, 202),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#, 202),
    ] {
        let Fate::Replied(reply) = posted(true, body).0 else { panic!("replied") };
        assert_eq!(reply.status, status, "{body}");
    }
}

/// The answer comes on another exchange, so no name can be put back in it.
#[test]
fn a_hidden_tool_that_answers_as_an_unknown_one_has_no_name_of_its_own_there() {
    for (default, tool, method, name) in [
        ("allow", "secret", "tools/call", "~~~~~~"),
        ("deny", "secret", "tools/call", r#"[POLICY DENIED] Tool "secret" is not permitted by policy"#),
        ("allow", "s", "Unknown tool: s", ""),
    ] {
        let policy = json!({ "version": "1", "default": default, "hide": ["s*"] });
        let configuration = json!({
            "policies": { "p": policy }, "default_policy": "p", "hidden_reply": "unknown_tool", "hold_request_headers": true
        });
        let (gate, mut store) = (gate(&configuration.to_string()), store());
        let mut driver = Driver::new(&gate, &mut store, 0);
        let mut lines = support::POST.to_vec();
        lines.push((":path", "/message?sessionId=3f2a"));
        let body = call(tool, "{}");
        let Fate::Forwarded(sent) = driver.request(&support::headers(&lines), &[body.as_bytes()], false) else {
            panic!("forwarded")
        };
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!((&sent["method"], &sent["id"]), (&method.into(), &"a".into()));
        assert_eq!(sent["params"]["name"].as_str().unwrap_or_default(), name);
    }
}
