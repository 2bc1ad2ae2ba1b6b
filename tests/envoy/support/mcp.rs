//! The MCP messages that tests send, and the answers they expect of the gateway.

use serde_json::Value;

/// A `tools/call` whose id is this raw token.
pub(crate) fn call(id: &str, tool: &str) -> String {
    call_with(id, tool, &Value::Object(serde_json::Map::new()))
}

/// A `tools/call` with arguments.
pub(crate) fn call_with(id: &str, tool: &str, arguments: &Value) -> String {
    let tool = Value::from(tool);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{tool},"arguments":{arguments}}}}}"#)
}

/// A `tools/list` whose id is this raw token.
pub(crate) fn list(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
}

/// Whether this is the answer to a call that a limit refuses with these words, and tells what is left of it.
pub(crate) fn is_limited(answer: &str, id: &str, text: &str) -> bool {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return false };
    let (result, limit) = (&answer["result"], &answer["result"]["_meta"]["mcp-policy/budget"]);
    let words = result["content"][0]["text"].as_str().unwrap_or_default();
    let (remaining, seconds) = (&limit["remaining"], &limit["reset_seconds"]);
    serde_json::from_str::<Value>(id).is_ok_and(|id| answer["id"] == id)
        && result["isError"] == true
        && words.starts_with(&format!("{text} ({remaining} of {} left in th", limit["limit"]))
        && (seconds.is_null() || words.contains(&format!("room again in {seconds} second")))
}

/// The answer to a refused call, byte for byte. `text` includes the prefix.
pub(crate) fn refused(id: &str, text: &str) -> String {
    let text = Value::from(text);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#
    )
}

/// The code of the JSON-RPC error that `message` is, after checking that it has the envelope of one.
pub(crate) fn error_code(message: &Value) -> i64 {
    assert_eq!(message["jsonrpc"], "2.0", "{message}");
    assert!(message.get("id").is_some(), "an error without an id, which clients wait for: {message}");
    assert!(message.get("result").is_none(), "{message}");
    let text = message["error"]["message"].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "an error that does not say why: {message}");
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error code in {message}"))
}
