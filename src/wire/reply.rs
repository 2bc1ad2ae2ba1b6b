//! The JSON-RPC answers we author ourselves.
//!
//! One template serves every revision and was tried on every official client: HTTP 200, the request's
//! id token verbatim, `resultType` for 2026-07-28 (older clients ignore it).

/// A tool result that says why the call was refused; clients hand it to the model. `id` is a raw token.
#[must_use]
pub fn refused_call(id: &str, text: &str) -> Vec<u8> {
    let text = string(text);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#
    )
    .into_bytes()
}

/// The same, with `_meta`, the text of a JSON object.
#[must_use]
pub fn refused_call_with(id: &str, text: &str, meta: &str) -> Vec<u8> {
    let text = string(text);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"isError":true,"_meta":{meta}}}}}"#
    )
    .into_bytes()
}

/// A JSON-RPC error with `data`, the text of a JSON value.
#[must_use]
pub fn error_with(id: &str, code: i32, message: &str, data: &str) -> Vec<u8> {
    let message = string(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":{data}}}}}"#).into_bytes()
}

/// A JSON-RPC error; `id` is a raw token, `null` where none can be trusted.
#[must_use]
pub fn error(id: Option<&str>, code: i32, message: &str) -> Vec<u8> {
    let id = id.unwrap_or("null");
    let message = string(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#).into_bytes()
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::jsonrpc::parse;
    use super::*;

    #[test]
    fn answers_are_json_and_echo_the_id_token() {
        let message = parse(br#"{"jsonrpc":"2.0","id":"\u0041\"","method":"a"}"#).unwrap();
        let answer = String::from_utf8(refused_call(message.id.unwrap().as_str(), "say \"no\"\n")).unwrap();
        assert!(answer.contains(r#""id":"\u0041\"","#), "{answer}");
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(value["result"]["content"][0]["text"], "say \"no\"\n");
        assert_eq!((&value["result"]["isError"], &value["result"]["resultType"]), (&true.into(), &"complete".into()));
        let value: serde_json::Value = serde_json::from_slice(&error(None, -32700, "x")).unwrap();
        assert_eq!((&value["id"], &value["error"]["code"]), (&serde_json::Value::Null, &(-32700).into()));
    }
}
