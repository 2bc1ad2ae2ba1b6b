//! What is asked of a server, read exactly or refused.

use super::super::jsonrpc::parse;
use super::*;

fn classified(method: &str, params: &str) -> Result<String, i32> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let message = parse(body.as_bytes()).map_err(|malformed| malformed.code)?;
    let operation = classify(&message).map_err(|malformed| malformed.code)?;
    if let Operation::Use { method, named: Named { name, token, arguments, feature, .. } } = operation {
        if let Some(token) = token {
            assert_eq!(body.get(token.span()), Some(token.as_str()));
        }
        assert_eq!(feature == Feature::Tool, method == "tools/call");
        return Ok(format!("{feature:?} {name} {}", arguments.map_or("-", Raw::as_str)).to_lowercase());
    }
    if let Operation::Listen { uris, .. } = &operation {
        return Ok(std::iter::once("listen").chain(uris.iter().map(AsRef::as_ref)).collect::<Vec<_>>().join(" "));
    }
    Ok(operation.method().to_owned())
}

#[test]
fn tools_call_is_read_exactly() {
    for (params, expected) in [
        (r#"{"name":"a","arguments":{"x":1}}"#, Ok(r#"tool a {"x":1}"#)),
        (r#"{"name":"a\u0062"}"#, Ok("tool ab -")),
        (r#"{"name":"a","arguments":null}"#, Ok("tool a -")),
        (r#"{"name":""}"#, Ok("tool  -")),
        ("{}", Err(INVALID_PARAMS)),
        (r#"{"name":1}"#, Err(INVALID_PARAMS)),
        (r#"{"name":"\ud800"}"#, Err(INVALID_PARAMS)),
        (r#"{"name":"a\u0000"}"#, Err(INVALID_PARAMS)),
        (r#"{"name":"a","arguments":[]}"#, Err(INVALID_PARAMS)),
        (r#"{"name":"a","arguments":"{}"}"#, Err(INVALID_PARAMS)),
        (r#"{"name":"a","Arguments":{}}"#, Err(INVALID_REQUEST)),
        (r#"{"NAME":"a"}"#, Err(INVALID_REQUEST)),
        (r#"{"name":"a","_meta":{"x":1,"X":2}}"#, Err(INVALID_REQUEST)),
    ] {
        assert_eq!(classified("tools/call", params), expected.map(str::to_owned), "{params}");
    }
}

#[test]
fn prompts_and_resources_are_read_exactly() {
    let completion = "completion/complete";
    for (method, params, expected) in [
        ("prompts/get", r#"{"name":"p","arguments":{"x":"1"}}"#, Ok(r#"prompt p {"x":"1"}"#)),
        ("prompts/get", "{}", Err(INVALID_PARAMS)),
        ("prompts/get", r#"{"name":["p"]}"#, Err(INVALID_PARAMS)),
        ("prompts/get", r#"{"name":"p","Name":"q"}"#, Err(INVALID_REQUEST)),
        ("resources/read", r#"{"uri":"file:\/\/\/a"}"#, Ok("resource file:///a -")),
        ("resources/read", r#"{"name":"p"}"#, Err(INVALID_PARAMS)),
        ("resources/read", r#"{"uri":null}"#, Err(INVALID_PARAMS)),
        ("resources/read", r#"{"URI":"a"}"#, Err(INVALID_REQUEST)),
        ("resources/subscribe", r#"{"uri":"a:b"}"#, Ok("resource a:b -")),
        ("resources/subscribe", "{}", Ok("resource  -")),
        ("resources/subscribe", r#"{"Uri":"a:b"}"#, Err(INVALID_REQUEST)),
        ("resources/unsubscribe", "{}", Ok("resource  -")),
        ("resources/unsubscribe", r#"{"uri":1}"#, Err(INVALID_PARAMS)),
        (completion, r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, Ok("prompt p -")),
        (completion, r#"{"ref":{"type":"ref/resource","uri":"a:{b}"}}"#, Ok("resource a:{b} -")),
        (completion, r#"{"ref":{"type":"ref/tool","name":"p"}}"#, Err(INVALID_PARAMS)),
        (completion, r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#, Err(INVALID_PARAMS)),
        (completion, r#"{"ref":{"type":"ref/prompt","name":"p","type":"ref/resource"}}"#, Err(INVALID_REQUEST)),
        (completion, r#"{"ref":{"type":"ref/prompt","name":"p","NAME":"q"}}"#, Err(INVALID_REQUEST)),
        (completion, r#"{"ref":{"Type":"ref/prompt","name":"p"}}"#, Err(INVALID_REQUEST)),
        (completion, r#"{"ref":"p"}"#, Err(INVALID_PARAMS)),
        ("subscriptions/listen", "{}", Ok("listen")),
        ("subscriptions/listen", r#"{"notifications":{"toolsListChanged":true}}"#, Ok("listen")),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":["a:b","c\u003ad"]}}"#,
            Ok("listen a:b c:d"),
        ),
        ("subscriptions/listen", r#"{"notifications":[]}"#, Err(INVALID_PARAMS)),
        ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":"a:b"}}"#, Err(INVALID_PARAMS)),
        ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":["a:b",1]}}"#, Err(INVALID_PARAMS)),
        ("subscriptions/listen", r#"{"notifications":{"ResourceSubscriptions":["a:b"]}}"#, Err(INVALID_REQUEST)),
        (completion, r#"{"Ref":{"type":"ref/prompt","name":"p"}}"#, Err(INVALID_REQUEST)),
    ] {
        assert_eq!(classified(method, params), expected.map(str::to_owned), "{method} {params}");
    }
}

#[test]
fn other_methods_are_told_by_their_exact_spelling() {
    for (method, expected) in [
        ("tools/list", Ok("tools/list")),
        ("tools/callx", Ok("tools/callx")),
        ("resources/templates/list", Ok("resources/templates/list")),
        ("Tools/Call", Err(INVALID_REQUEST)),
        ("prompts/GET", Err(INVALID_REQUEST)),
        ("tool\\u017f/list", Err(INVALID_REQUEST)),
    ] {
        assert_eq!(classified(method, "{}"), expected.map(str::to_owned), "{method}");
    }
}

#[test]
fn names_and_uris_are_bounded() {
    for (method, member, most) in [
        ("tools/call", "name", MAX_NAME_BYTES),
        ("prompts/get", "name", MAX_NAME_BYTES),
        ("resources/read", "uri", MAX_URI_BYTES),
    ] {
        let named = |bytes: usize| classified(method, &format!("{{\"{member}\":\"{}\"}}", "a".repeat(bytes)));
        assert!(named(most).is_ok(), "{method}");
        assert_eq!(named(most + 1), Err(INVALID_PARAMS), "{method}");
    }
}
