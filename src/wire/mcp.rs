//! Classify: [`Message`] → [`Operation`], reading only what the method needs (MCP, tools).

use super::json::{Kind, Raw, Reader, Text};
use super::jsonrpc::{Content, INVALID_PARAMS, INVALID_REQUEST, Malformed, Message};
use super::members::{Members, folds_to};
use std::borrow::Cow;

/// The methods that are judged by more than their name.
const JUDGED: [&str; 2] = ["tools/call", "tools/list"];
/// Members of `params` that some method gives a meaning to.
const PARAMS: [&str; 5] = ["name", "arguments", "_meta", "uri", "cursor"];

/// How long a tool's name may be, in bytes; the specification recommends 128. It bounds the matching of patterns.
pub const MAX_NAME_BYTES: usize = 1024;

/// What a client's message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `tools/call`
    CallTool {
        /// `params.name`, unescaped; compared code point for code point.
        name: Cow<'a, str>,
        /// `params.name` as it was written.
        name_token: Raw<'a>,
        /// `params.arguments`, an object; `null` counts as absent.
        arguments: Option<Raw<'a>>,
        /// `params._meta`.
        meta: Option<Raw<'a>>,
    },
    /// `tools/list`
    ListTools,
    /// Any other request or notification.
    Other {
        /// As sent.
        method: Cow<'a, str>,
    },
    /// The answer to a request that the server made.
    Response,
}

impl Operation<'_> {
    /// The JSON-RPC method; empty for a response.
    #[must_use]
    pub fn method(&self) -> &str {
        match self {
            Self::CallTool { .. } => "tools/call",
            Self::ListTools => "tools/list",
            Self::Other { method } => method,
            Self::Response => "",
        }
    }
}

/// Tells what `message` asks for.
///
/// # Errors
/// [`INVALID_PARAMS`] when a `tools/call` names no tool or its arguments are no object,
/// [`INVALID_REQUEST`] when `params`, `_meta` or the method's spelling is ambiguous.
pub fn classify<'a>(message: Message<'a>) -> Result<Operation<'a>, Malformed<'a>> {
    let id = message.id;
    let ambiguous = |reason: String| Malformed::new(INVALID_REQUEST, format!("Invalid Request: {reason}"), id);
    let invalid = |reason: &str| Malformed::new(INVALID_PARAMS, format!("Invalid params: {reason}"), id);

    let (method, params) = match message.content {
        Content::Call { method, params } => (method, params.unwrap_or_default()),
        Content::Response => return Ok(Operation::Response),
    };
    if let Some(judged) = JUDGED.into_iter().find(|judged| method != *judged && folds_to(&method, judged)) {
        return Err(ambiguous(format!("the method differs from `{judged}` only in case")));
    }
    if let Some(name) = params.misspelt(&PARAMS) {
        return Err(ambiguous(format!("a member of `params` differs from `{name}` only in case")));
    }
    if let Some(meta) = params.get("_meta") {
        check_meta(meta).map_err(ambiguous)?;
    }
    match method.as_ref() {
        "tools/call" => {
            let no_name = || invalid("`name` must be a string that names a tool");
            let name_token = params.get("name").ok_or_else(no_name)?;
            let is_name = |name: &Cow<'_, str>| !name.contains('\0') && name.len() <= MAX_NAME_BYTES;
            let name = name_token.string().and_then(Text::decode).filter(is_name);
            let name = name.ok_or_else(no_name)?;
            let arguments = params.get("arguments").filter(|raw| raw.kind() != Kind::Null);
            if arguments.is_some_and(|raw| raw.kind() != Kind::Object) {
                return Err(invalid("`arguments` must be an object"));
            }
            Ok(Operation::CallTool { name, name_token, arguments, meta: params.get("_meta") })
        }
        "tools/list" => Ok(Operation::ListTools),
        _ => Ok(Operation::Other { method }),
    }
}

fn check_meta(meta: Raw<'_>) -> Result<(), String> {
    if meta.kind() != Kind::Object {
        // Servers refuse or ignore it; it carries nothing that is judged.
        return Ok(());
    }
    match Members::read(&mut Reader::new(meta.as_str())) {
        Ok(members) => members.fault().map_or(Ok(()), |fault| Err(format!("`_meta` {}", fault.reason()))),
        Err(error) => Err(format!("`_meta` is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::jsonrpc::parse;
    use super::*;

    fn classified(method: &str, params: &str) -> Result<String, i32> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let message = parse(body.as_bytes()).map_err(|malformed| malformed.code)?;
        let operation = classify(message).map_err(|malformed| malformed.code)?;
        if let Operation::CallTool { name, name_token, arguments, .. } = operation {
            assert_eq!(body.get(name_token.span()), Some(name_token.as_str()));
            return Ok(format!("call {name} {}", arguments.map_or("-", Raw::as_str)));
        }
        Ok(operation.method().to_owned())
    }

    #[test]
    fn tools_call_is_read_exactly() {
        for (params, expected) in [
            (r#"{"name":"a","arguments":{"x":1}}"#, Ok(r#"call a {"x":1}"#)),
            (r#"{"name":"a\u0062"}"#, Ok("call ab -")),
            (r#"{"name":"a","arguments":null}"#, Ok("call a -")),
            (r#"{"name":""}"#, Ok("call  -")),
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
    fn other_methods_are_told_by_their_exact_spelling() {
        for (method, expected) in [
            ("tools/list", Ok("tools/list")),
            ("tools/callx", Ok("tools/callx")),
            ("Tools/Call", Err(INVALID_REQUEST)),
            ("tool\\u017f/list", Err(INVALID_REQUEST)),
        ] {
            assert_eq!(classified(method, "{}"), expected.map(str::to_owned), "{method}");
        }
    }
}
