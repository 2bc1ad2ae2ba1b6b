//! The headers that mirror a message (MCP 2026-07-28, Streamable HTTP): `MCP-Protocol-Version`, `Mcp-Method` and
//! `Mcp-Name` must say what the body says, or the request is refused as the revision asks.
//!
//! What is called is read from the body alone, in every revision: the headers are only held against it. A message of
//! an older revision that claims no version in its `_meta` mirrors nothing, and its `Mcp-` headers mean nothing.

use super::json::{Kind, Raw, Reader, Text};
use super::jsonrpc::{Content, HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, Malformed, Message};
use super::members::Members;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// The member of `params._meta` that claims a revision.
const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
/// The last revision without mirrored headers.
const LAST_UNMIRRORED: &str = "2025-11-25";

/// The values of the mirroring headers, each given once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Mirrors {
    /// `MCP-Protocol-Version`.
    pub version: Option<Vec<u8>>,
    /// `Mcp-Method`.
    pub method: Option<Vec<u8>>,
    /// `Mcp-Name`.
    pub name: Option<Vec<u8>>,
}

/// Holds the headers against `message`. Without `has_mirrors` its transport is one that has none (HTTP+SSE), and nothing
/// is asked of it but that it does not contradict itself.
///
/// # Errors
/// [`HEADER_MISMATCH`] when one says something else, or is missing where the revision asks for it; [`INVALID_PARAMS`]
/// when the body does not claim the revision that the header names; [`INVALID_REQUEST`] when its claim is ambiguous. Each
/// goes with HTTP status 400.
pub fn check<'a>(message: &Message<'a>, mirrors: &Mirrors, has_mirrors: bool) -> Result<(), Malformed<'a>> {
    let id = message.id;
    // An answer of the client claims nothing; it goes to who asked.
    let Content::Call { method, params } = &message.content else { return Ok(()) };
    let mismatch = |reason: &str| Malformed::new(HEADER_MISMATCH, format!("Header mismatch: {reason}"), id);
    let claim = claim(params.as_ref()).map_err(|reason| Malformed::new(INVALID_REQUEST, reason, id))?;
    let version = mirrors.version.as_deref().map(<[u8]>::trim_ascii);
    let is_later = version.is_some_and(is_mirrored);
    // Nothing is asked of a notification either.
    let is_complete = has_mirrors && id.is_some();
    match (claim, version) {
        (Some(claim), Some(version)) if claim.as_bytes() == version => {}
        (Some(_), Some(_)) => return Err(mismatch("`MCP-Protocol-Version` is not what `_meta` claims")),
        (Some(_), None) if is_complete => return Err(mismatch("`MCP-Protocol-Version` is missing")),
        (None, Some(_)) if is_later && is_complete => {
            let reason = format!("Invalid params: `_meta` must have `{CLAIM}`, as `MCP-Protocol-Version` says");
            return Err(Malformed::new(INVALID_PARAMS, reason, id));
        }
        (Some(_) | None, None) | (None, Some(_)) => {}
    }
    if !is_later {
        return Ok(());
    }
    match mirrors.method.as_deref().map(<[u8]>::trim_ascii) {
        Some(value) if value == method.as_bytes() => {}
        Some(_) => return Err(mismatch("`Mcp-Method` is not the method of the message")),
        None if is_complete => return Err(mismatch("`Mcp-Method` is missing")),
        None => {}
    }
    let Some((member, is_needed)) = named_by(method) else { return Ok(()) };
    let value = params.as_ref().and_then(|params| params.get(member));
    // What names nothing is refused, or means nothing to the method.
    let Some(value) = value.and_then(Raw::string).and_then(Text::decode) else { return Ok(()) };
    match mirrors.name.as_deref().map(<[u8]>::trim_ascii) {
        Some(header) if decoded(header).is_some_and(|header| *header == *value.as_bytes()) => Ok(()),
        Some(_) => Err(mismatch(&format!("`Mcp-Name` is not `{member}`"))),
        None if is_needed && is_complete => Err(mismatch("`Mcp-Name` is missing")),
        None => Ok(()),
    }
}

/// Whether messages of the revision that `MCP-Protocol-Version` names have mirrors: revisions are dates, and a later one
/// keeps what it is not known to drop.
#[must_use]
pub fn is_mirrored(version: &[u8]) -> bool {
    let version = version.trim_ascii();
    let is_date = version.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    version.len() == LAST_UNMIRRORED.len() && is_date && version > LAST_UNMIRRORED.as_bytes()
}

/// The member of `params` that `Mcp-Name` mirrors, and whether it must.
fn named_by(method: &str) -> Option<(&'static str, bool)> {
    match method {
        "tools/call" | "prompts/get" => Some(("name", true)),
        "resources/read" => Some(("uri", true)),
        // The extension `io.modelcontextprotocol/tasks`.
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(("taskId", false)),
        _ => None,
    }
}

/// The revision that the message claims.
fn claim<'a>(params: Option<&Members<'a>>) -> Result<Option<Cow<'a, str>>, String> {
    let meta = params.and_then(|params| params.get("_meta")).filter(|meta| meta.kind() == Kind::Object);
    // Most messages of older revisions have none, and the others are short.
    let Some(meta) = meta else { return Ok(None) };
    let ambiguous = || "Invalid Request: `_meta` claims no single protocol version".to_owned();
    let members = Members::read(&mut Reader::new(meta.as_str())).map_err(|_| ambiguous())?;
    if members.fault().is_some() || members.misspelt(&[CLAIM]).is_some() {
        return Err(ambiguous());
    }
    match members.get(CLAIM) {
        None => Ok(None),
        Some(claim) => claim.string().and_then(Text::decode).map(Some).ok_or_else(ambiguous),
    }
}

/// A header's value as it was before it was encoded: `=?base64?…?=` is its UTF-8 in Base64, anything else itself. `None`
/// where the markers hold no Base64.
fn decoded(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(encoded) => STANDARD.decode(encoded).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::jsonrpc::parse;
    use super::*;

    fn code(body: &str, version: Option<&str>, method: Option<&str>, name: Option<&str>) -> Option<i32> {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let mirrors = Mirrors { version: bytes(version), method: bytes(method), name: bytes(name) };
        check(&parse(body.as_bytes()).unwrap(), &mirrors, true).err().map(|malformed| malformed.code)
    }

    fn call(name: &str, meta: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","_meta":{meta}}}}}"#)
    }

    const NEW: &str = "2026-07-28";
    const CLAIMED: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

    #[test]
    fn names_are_held_against_the_body_in_every_form() {
        let encoded = call("\u{14b}ukaj", CLAIMED);
        for (body, name, expected) in [
            (&call("a", CLAIMED), Some("a"), None),
            (&call("a", CLAIMED), Some(" a\t"), None),
            (&call("a", CLAIMED), Some("=?base64?YQ==?="), None),
            (&call("a", CLAIMED), Some("=?base64?YQ?="), Some(HEADER_MISMATCH)),
            (&call("a", CLAIMED), Some("=?BASE64?YQ==?="), Some(HEADER_MISMATCH)),
            (&call("a", CLAIMED), Some("A"), Some(HEADER_MISMATCH)),
            (&call("a", CLAIMED), Some(""), Some(HEADER_MISMATCH)),
            (&call("a", CLAIMED), None, Some(HEADER_MISMATCH)),
            (&encoded, Some("=?base64?xYt1a2Fq?="), None),
            (&encoded, Some("=?base64?xYt1a2Fr?="), Some(HEADER_MISMATCH)),
            (&encoded, Some("\u{14b}ukaj"), None),
            (&call("=?base64?YQ==?=", CLAIMED), Some("=?base64?YQ==?="), Some(HEADER_MISMATCH)),
        ] {
            assert_eq!(code(body, Some(NEW), Some("tools/call"), name), expected, "{body} {name:?}");
        }
    }

    #[test]
    fn the_revision_is_said_twice_or_not_at_all() {
        let other = r#"{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}"#;
        for (meta, version, expected) in [
            (CLAIMED, Some(NEW), None),
            (CLAIMED, None, Some(HEADER_MISMATCH)),
            (CLAIMED, Some("2025-11-25"), Some(HEADER_MISMATCH)),
            (CLAIMED, Some("2026-07-29"), Some(HEADER_MISMATCH)),
            ("{}", Some(NEW), Some(INVALID_PARAMS)),
            ("{}", None, None),
            ("{}", Some("2025-11-25"), None),
            (other, Some("2025-11-25"), None),
            (r#"{"io.modelcontextprotocol/protocolversion":"2026-07-28"}"#, None, Some(INVALID_REQUEST)),
            (r#"{"io.modelcontextprotocol/protocolVersion":1}"#, None, Some(INVALID_REQUEST)),
            ("[]", None, None),
        ] {
            assert_eq!(code(&call("a", meta), version, Some("tools/call"), Some("a")), expected, "{meta} {version:?}");
        }
        assert_eq!(code(&call("a", "{}"), None, Some("ping"), Some("b")), None, "older revisions mirror nothing");
    }

    #[test]
    fn methods_are_mirrored_and_notifications_only_if_they_are() {
        let message = |rest: &str| format!(r#"{{"jsonrpc":"2.0",{rest},"params":{{"_meta":{CLAIMED}}}}}"#);
        let list = message(r#""id":"a","method":"tools/list""#);
        let note = message(r#""method":"notifications/x""#);
        for (body, method, name, expected) in [
            (&list, Some("tools/list"), Some("junk"), None),
            (&list, Some("tools/List"), None, Some(HEADER_MISMATCH)),
            (&list, None, None, Some(HEADER_MISMATCH)),
            (&note, None, None, None),
            (&note, Some("notifications/x"), None, None),
            (&note, Some("tools/call"), None, Some(HEADER_MISMATCH)),
        ] {
            assert_eq!(code(body, Some(NEW), method, name), expected, "{body} {method:?}");
        }
        assert_eq!(code(&note, None, None, None), None);
        let task = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t","_meta":META}}"#;
        let task = task.replace("META", CLAIMED);
        assert_eq!(code(&task, Some(NEW), Some("tasks/get"), None), None);
        assert_eq!(code(&task, Some(NEW), Some("tasks/get"), Some("u")), Some(HEADER_MISMATCH));
        let list = parse(list.as_bytes()).unwrap();
        assert!(check(&list, &Mirrors::default(), false).is_ok(), "no header is asked for on HTTP+SSE");
        let other = Mirrors { version: Some(b"2025-11-25".to_vec()), ..Mirrors::default() };
        assert!(check(&list, &other, false).is_err());
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Some(NEW), None, None), None);
    }
}
