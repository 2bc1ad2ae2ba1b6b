//! Refusals on the transport of 2024-11-05 (HTTP+SSE): nobody reads the answer to a POST there, and clients give up on
//! some. The server answers every message on the stream of another exchange, so it is made to say the refusal.
//!
//! In the place of the refused request goes one under the same id that no server can run: the call of a tool whose name
//! is the text of the refusal, without arguments, or a method of that name. Its server has no such thing, says so on the
//! stream on which the client waits, and names what it does not have.

use super::{Headers, Reply};
use crate::wire::json::{Kind, Raw, Reader, Text};
use crate::wire::members::Members;
use crate::wire::reply::string;

/// Whether a POST is one of that transport: its session stands in the URL, and not in a header. `MCP-Protocol-Version`
/// some of its clients send.
pub(super) fn is_legacy(headers: &Headers) -> bool {
    let path = headers.first(":path").unwrap_or_default();
    let query = path.iter().position(|byte| *byte == b'?').and_then(|at| path.get(at + 1..)).unwrap_or_default();
    // `sessionId`, `session_id`, `sessionid`: each SDK has its own.
    let names_session = |pair: &[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.iter().filter(|byte| !matches!(byte, b'_' | b'-')).map(u8::to_ascii_lowercase).eq(*b"sessionid")
    };
    headers.first("mcp-session-id").is_none() && query.split(|byte| *byte == b'&').any(names_session)
}

/// The request that makes its server say what `reply` says; `None` where that has no id to answer under, or is about
/// the caller and not about the message.
pub(super) fn instead_of(reply: &Reply) -> Option<Vec<u8>> {
    if !matches!(reply.status, 200 | 400) {
        return None;
    }
    let answer = object(Reader::new(std::str::from_utf8(&reply.body).ok()?).value().ok()?)?;
    let id = answer.get("id").filter(|id| id.kind() != Kind::Null)?.as_str();
    let request = match answer.get("error") {
        Some(error) => {
            let method = text(object(error)?.get("message")?)?;
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{{}}}}"#)
        }
        None => {
            let mut content = Vec::new();
            let list = object(answer.get("result")?)?.get("content")?;
            let read = Reader::new(list.as_str()).array::<crate::wire::json::Error>(|reader| {
                content.push(reader.value()?);
                Ok(())
            });
            read.ok()?;
            let name = text(object(*content.first()?)?.get("text")?)?;
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{name},"arguments":{{}}}}}}"#
            )
        }
    };
    Some(request.into_bytes())
}

/// `request` with blanks after it, so that it is as long as `length`; `None` when it is longer.
pub(super) fn fitted(mut request: Vec<u8>, length: usize) -> Option<Vec<u8>> {
    if request.len() > length {
        return None;
    }
    request.resize(length, b' ');
    Some(request)
}

fn object(raw: Raw<'_>) -> Option<Members<'_>> {
    if raw.kind() == Kind::Object { Members::read(&mut Reader::new(raw.as_str())).ok() } else { None }
}

fn text(raw: Raw<'_>) -> Option<String> {
    raw.string().and_then(Text::decode).map(|text| string(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_is_told_by_the_session_in_its_url() {
        let path = |path: &str, more: &[(&str, &str)]| {
            let lines = [(":path", path)].into_iter().chain(more.iter().copied());
            is_legacy(&Headers::new(lines.map(|(name, value)| (name.into(), value.into())).collect()))
        };
        for legacy in ["/message?sessionId=1", "/messages/?session_id=a", "/sse?sessionid=a&b", "/m?x=1&SESSIONID"] {
            assert!(path(legacy, &[]), "{legacy}");
            assert!(path(legacy, &[("mcp-protocol-version", "2025-11-25")]), "{legacy}");
            assert!(!path(legacy, &[("mcp-session-id", "a")]), "{legacy}");
        }
        for later in ["/mcp", "/sessionId=1", "/mcp?session=1", "/mcp?x=sessionId", ""] {
            assert!(!path(later, &[]), "{later}");
        }
    }

    #[test]
    fn a_refusal_becomes_a_request_that_no_server_can_run() {
        let call = crate::wire::reply::refused_call(
            crate::wire::jsonrpc::parse(br#"{"jsonrpc":"2.0","id":"\u0041","method":"a"}"#)
                .unwrap()
                .id
                .unwrap()
                .as_str(),
            "no: \"x\"\n",
        );
        let error = crate::wire::reply::error(Some("7"), -32600, "Invalid Request: a");
        let reply = |status, body: &[u8]| Reply { status, headers: Vec::new(), body: body.to_vec(), details: "" };
        let request = |reply: &Reply| instead_of(reply).map(|request| String::from_utf8(request).unwrap());
        assert_eq!(
            request(&reply(200, &call)).as_deref(),
            Some(
                r#"{"jsonrpc":"2.0","id":"\u0041","method":"tools/call","params":{"name":"no: \"x\"\n","arguments":{}}}"#
            )
        );
        assert_eq!(
            request(&reply(400, &error)).as_deref(),
            Some(r#"{"jsonrpc":"2.0","id":7,"method":"Invalid Request: a","params":{}}"#)
        );
        assert_eq!(request(&reply(401, &error)), None, "that is for the caller");
        assert_eq!(request(&reply(400, &crate::wire::reply::error(None, -32700, "a"))), None);
        assert_eq!(request(&reply(202, b"")), None);
        assert_eq!(fitted(b"ab".to_vec(), 4), Some(b"ab  ".to_vec()));
        assert_eq!(fitted(b"abc".to_vec(), 2), None);
    }
}
