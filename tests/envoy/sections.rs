//! Prompts, resources and methods in a real Envoy: refused requests never reach the server, lists are filtered, and
//! refused requests of the server never reach the client.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Answer, Received, Upstream, result};
use serde_json::{Value, json};

const SAMPLING: &str = r#"{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}"#;
const ROOTS: &str = r#"{"jsonrpc":"2.0","id":"s2","method":"roots/list"}"#;

fn policy() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "prompts": { "hide": ["internal-*"] },
        "resources": { "default": "deny", "items": { "crm://lists/*": {} } },
        "methods": { "deny": ["sampling/*", "logging/*"] }
    })
}

fn request(method: &str, params: &Value) -> Request {
    Request::post(json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": params }).to_string())
}

/// Lists prompts, and asks its client for two things before it answers a call.
fn serve(request: &Received) -> Answer {
    if request.body.windows(14).any(|part| part == br#""prompts/list""#) {
        return Answer::json(result(&request.body, r#"{"prompts":[{"name":"internal-a"},{"name":"b"}],"ttlMs":1}"#));
    }
    let done = result(&request.body, "{}");
    Answer::events(format!("data: {SAMPLING}\n\ndata: {ROOTS}\n\ndata: {done}\n\n"), 7)
}

#[test]
fn what_is_refused_reaches_neither_side() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "sections";
    let upstream = Upstream::start(serve);
    let mut envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, upstream.address));
    let mut connection = envoy.connect();
    let rows = [
        ("prompts/get", json!({ "name": "internal-a" }), "(hidden)"),
        ("resources/read", json!({ "uri": "file:///etc/passwd" }), "(default deny)"),
        ("resources/subscribe", json!({ "uri": "crm://deals/1" }), "(default deny)"),
        ("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "internal-a" } }), "(hidden)"),
        ("logging/setLevel", json!({ "level": "debug" }), "/methods/deny/logging~1*"),
    ];
    for (method, params, rule) in &rows {
        let response = connection.exchange(&request(method, params));
        let answer: Value = serde_json::from_str(&response.text()).expect("JSON");
        assert_eq!(
            (response.status, mcp::error_code(&answer), &answer["id"]),
            (200, 403, &json!(5)),
            "{method}: {rule}"
        );
        assert!(
            answer["error"]["message"].as_str().is_some_and(|text| text.starts_with("[POLICY DENIED] ")),
            "{answer}"
        );
    }
    let listed = connection.exchange(&request("prompts/list", &json!({})));
    let expected = r#"{"jsonrpc":"2.0","id":5,"result":{"prompts":[{"name":"b"}],"ttlMs":1}}"#;
    assert_eq!(listed.text(), expected);
    let read = connection.exchange(&request("resources/read", &json!({ "uri": "crm://lists/1" })));
    let done = r#"{"jsonrpc":"2.0","id":5,"result":{}}"#;
    assert_eq!(read.text(), format!("data: {ROOTS}\n\ndata: {done}\n\n"));

    let lines = envoy.access_log(rows.len() + 2);
    let records =
        lines.iter().map(|line| serde_json::from_str(line["decision"].as_str().expect("a record")).expect("JSON"));
    let records: Vec<Value> = records.collect();
    for ((method, _, rule), record) in rows.iter().zip(&records) {
        assert_eq!((&record["method"], &record["rule"]), (&json!(method), &json!(rule)), "{record}");
    }
    assert_eq!((&records[0]["prompt"], &records[1]["resource"]), (&json!("internal-a"), &json!("file:///etc/passwd")));
    let noted = r#"not passed on: the server's request "sampling/createMessage", by /methods/deny/sampling~1*"#;
    assert_eq!(records[6]["answer"], noted);
    assert_eq!(envoy.traps(), 0);
    drop(connection);
    drop(envoy);
    assert_eq!(upstream.settled().len(), 2, "refused requests reached the server");
}
