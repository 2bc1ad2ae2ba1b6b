//! Parse: one request body → one [`Message`], borrowed (JSON-RPC 2.0 §4, as MCP narrows it).
//!
//! Strict where servers differ: the table of what five SDKs do with each disguise is why. Batches are
//! refused; no revision of MCP since 2025-06-18 has them, and no official client sends them.

use super::json::{self, Kind, Raw, Reader};
use super::members::Members;
use std::borrow::Cow;

/// The body is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The body is JSON but not one JSON-RPC message.
pub const INVALID_REQUEST: i32 = -32600;
/// `params` are not what the method takes.
pub const INVALID_PARAMS: i32 = -32602;
/// A fault of ours, or of an answer that cannot be passed on.
pub const INTERNAL_ERROR: i32 = -32603;
/// A header does not say what the body says (MCP 2026-07-28).
pub const HEADER_MISMATCH: i32 = -32020;
/// Ours: policy refuses what was asked. JSON-RPC and MCP leave codes outside -32768 to -32000 to
/// applications; no official client does anything on this one but tell its caller.
pub const POLICY_DENIED: i32 = 403;
/// Ours: a limit has no room left.
pub const LIMIT_REACHED: i32 = 429;

const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The largest integer that every parser keeps as it is, 2^53 - 1.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// An `id` that may be echoed: the token as it was written, a string or an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// The token, quotes and all.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// A string, or an integer literal without fraction or exponent that no parser rounds.
    fn of(raw: Raw<'a>) -> Option<Self> {
        let text = raw.as_str();
        match raw.kind() {
            Kind::String => raw.string()?.decode().map(|_| Self(text)),
            Kind::Number => text.parse().ok().filter(|id: &i64| id.unsigned_abs() <= MAX_INTEGER).map(|_| Self(text)),
            _ => None,
        }
    }
}

/// One message from a client.
#[derive(Debug)]
pub struct Message<'a> {
    /// Absent on a notification.
    pub id: Option<Id<'a>>,
    /// What it is.
    pub content: Content<'a>,
}

/// Request and notification differ only in the `id`.
#[derive(Debug)]
pub enum Content<'a> {
    /// A request or a notification.
    Call {
        /// Unescaped.
        method: Cow<'a, str>,
        /// Absent or an object.
        params: Option<Members<'a>>,
    },
    /// The answer to a request that the server made.
    Response,
}

/// A body that is refused, with all that is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// The JSON-RPC error code.
    pub code: i32,
    /// What is wrong, for a person or a model to act on.
    pub reason: String,
    /// The id to answer under, where the body had exactly one that can be trusted.
    pub id: Option<Id<'a>>,
}

impl<'a> Malformed<'a> {
    /// A refusal under `id`.
    pub fn new(code: i32, reason: impl Into<String>, id: Option<Id<'a>>) -> Self {
        Self { code, reason: reason.into(), id }
    }
}

/// Reads one whole body.
///
/// # Errors
/// [`PARSE_ERROR`] when it is not strict JSON in UTF-8, [`INVALID_REQUEST`] when it is not exactly one
/// unambiguous message, [`INVALID_PARAMS`] when `params` is no object.
pub fn parse(body: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
    let not_json = |reason: String| Malformed::new(PARSE_ERROR, reason, None);
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(not_json("Parse error: the body starts with a byte order mark".into()));
    }
    let text = std::str::from_utf8(body).map_err(|_| not_json("Parse error: the body is not UTF-8".into()))?;
    let envelope = read(text).map_err(|error| not_json(format!("Parse error: {error}")))?;
    let Some((envelope, params)) = envelope else {
        let reason = if text.trim_start().starts_with('[') {
            "Invalid Request: batches are not accepted, send one message a request"
        } else {
            "Invalid Request: the body must be a JSON-RPC object"
        };
        return Err(Malformed::new(INVALID_REQUEST, reason, None));
    };
    check(&envelope, params)
}

/// The envelope, and its `params` where they are an object; `None` when the text is no object.
type Envelope<'a> = Option<(Members<'a>, Option<Members<'a>>)>;

fn read(text: &str) -> Result<Envelope<'_>, json::Error> {
    let mut reader = Reader::new(text);
    let (mut envelope, mut params) = (Members::default(), None);
    let is_object = reader.kind()? == Kind::Object;
    if is_object {
        reader.object::<json::Error>(|reader, name| {
            let is_params = name.is("params") && reader.kind()? == Kind::Object;
            let value = if is_params {
                let start = reader.position();
                params = Some(Members::read(reader)?);
                reader.since(start)
            } else {
                reader.value()?
            };
            envelope.push(name, value);
            Ok(())
        })?;
    } else {
        reader.value()?;
    }
    reader.end()?;
    Ok(is_object.then_some((envelope, params)))
}

fn check<'a>(envelope: &Members<'a>, params: Option<Members<'a>>) -> Result<Message<'a>, Malformed<'a>> {
    let id = envelope.only("id").and_then(Id::of);
    let invalid = |reason: &str| Malformed::new(INVALID_REQUEST, format!("Invalid Request: {reason}"), id);

    if let Some(fault) = envelope.fault() {
        return Err(invalid(&format!("the message {}", fault.reason())));
    }
    if let Some(name) = envelope.misspelt(&ENVELOPE) {
        return Err(invalid(&format!("a member's name differs from `{name}` only in case")));
    }
    if envelope.get("id").is_some() && id.is_none() {
        return Err(invalid("`id` must be a string or an integer of at most 53 bits"));
    }
    if !envelope.get("jsonrpc").and_then(Raw::string).is_some_and(|version| version.is("2.0")) {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    let answers = envelope.get("result").is_some() || envelope.get("error").is_some();
    let Some(method) = envelope.get("method") else {
        return match (answers, id) {
            (true, Some(_)) => Ok(Message { id, content: Content::Response }),
            (true, None) => Err(invalid("a response must have an `id`")),
            (false, _) => Err(invalid("`method` is missing")),
        };
    };
    if answers {
        return Err(invalid("`method` cannot stand beside `result` or `error`"));
    }
    let Some(method) = method.string().and_then(json::Text::decode) else {
        return Err(invalid("`method` must be a string"));
    };
    if envelope.get("params").is_some() && params.is_none() {
        return Err(Malformed::new(INVALID_PARAMS, "Invalid params: `params` must be an object", id));
    }
    if let Some(fault) = params.as_ref().and_then(Members::fault) {
        return Err(invalid(&format!("`params` {}", fault.reason())));
    }
    Ok(Message { id, content: Content::Call { method, params } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests_notifications_and_responses() {
        let message = parse(br#" {"jsonrpc":"2.0","id":007e,"method":"x"}"#);
        assert!(message.is_err());
        let message = parse(br#"{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}"#).unwrap();
        assert_eq!(message.id.unwrap().as_str(), "-9007199254740991");
        let message = parse(br#"{"jsonrpc":"2.0","method":"a","params":{"x":1},"id":"a\"b"}"#).unwrap();
        assert_eq!(message.id.unwrap().as_str(), r#""a\"b""#);
        let Content::Call { method, params } = message.content else { panic!("a call") };
        assert_eq!((method.as_ref(), params.unwrap().get("x").unwrap().as_str()), ("a", "1"));
        let message = parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        assert!(matches!(message.content, Content::Response));
        assert!(parse(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap().id.is_none());
    }

    #[test]
    fn refuses_what_parsers_read_differently() {
        let rows: &[(&str, &[u8], i32, Option<&str>)] = &[
            ("empty", b"", PARSE_ERROR, None),
            ("blank", b"  ", PARSE_ERROR, None),
            ("byte order mark", b"\xEF\xBB\xBF{}", PARSE_ERROR, None),
            ("not UTF-8", b"{\"jsonrpc\":\"\xFF\"}", PARSE_ERROR, None),
            ("UTF-16", b"{\0}\0", PARSE_ERROR, None),
            ("trailing", br#"{"jsonrpc":"2.0","id":1,"method":"a"} x"#, PARSE_ERROR, None),
            ("two values", br#"{"jsonrpc":"2.0","id":1,"method":"a"}{}"#, PARSE_ERROR, None),
            ("NaN", br#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}"#, PARSE_ERROR, None),
            ("batch", br#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, INVALID_REQUEST, None),
            ("string", br#""a""#, INVALID_REQUEST, None),
            ("no version", br#"{"id":1,"method":"a"}"#, INVALID_REQUEST, Some("1")),
            ("wrong version", br#"{"jsonrpc":2.0,"id":1,"method":"a"}"#, INVALID_REQUEST, Some("1")),
            ("null id", br#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, INVALID_REQUEST, None),
            ("fractional id", br#"{"jsonrpc":"2.0","id":1.0,"method":"a"}"#, INVALID_REQUEST, None),
            ("id in exponent form", br#"{"jsonrpc":"2.0","id":1e2,"method":"a"}"#, INVALID_REQUEST, None),
            ("id that some round", br#"{"jsonrpc":"2.0","id":9007199254740992,"method":"a"}"#, INVALID_REQUEST, None),
            (
                "id beyond 64 bits",
                br#"{"jsonrpc":"2.0","id":-18446744073709551616,"method":"a"}"#,
                INVALID_REQUEST,
                None,
            ),
            ("doubled id", br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, INVALID_REQUEST, None),
            ("doubled method", br#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, INVALID_REQUEST, Some("1")),
            (
                "escaped double",
                br#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#,
                INVALID_REQUEST,
                Some("1"),
            ),
            ("case variant", br#"{"jsonrpc":"2.0","id":1,"Method":"a"}"#, INVALID_REQUEST, Some("1")),
            ("folded params", br#"{"jsonrpc":"2.0","id":1,"method":"a","param\u017f":{}}"#, INVALID_REQUEST, Some("1")),
            ("method and result", br#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#, INVALID_REQUEST, Some("1")),
            ("no method", br#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST, Some("1")),
            ("method is a number", br#"{"jsonrpc":"2.0","id":1,"method":1}"#, INVALID_REQUEST, Some("1")),
            ("response without id", br#"{"jsonrpc":"2.0","result":1}"#, INVALID_REQUEST, None),
            ("params is a list", br#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#, INVALID_PARAMS, Some("1")),
            ("params is null", br#"{"jsonrpc":"2.0","id":1,"method":"a","params":null}"#, INVALID_PARAMS, Some("1")),
            (
                "doubled name",
                br#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":1,"name":2}}"#,
                INVALID_REQUEST,
                Some("1"),
            ),
        ];
        for (name, body, code, id) in rows {
            let malformed = parse(body).expect_err(name);
            assert_eq!((malformed.code, malformed.id.map(Id::as_str)), (*code, *id), "{name}");
        }
    }
}
