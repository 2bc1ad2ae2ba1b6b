//! JSON-RPC messages as text: what kind each is, by which id it goes, and the same text with a part of it exchanged.
//! No member is lost and no number respelled on the way, because definitions of tools are compared as they were written.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One message, borrowed from its text.
#[derive(Debug)]
pub(super) struct Message<'a> {
    text: &'a str,
    /// What it is.
    pub(super) kind: Kind,
    /// Its id, as it is written.
    pub(super) id: Option<&'a str>,
    /// Its method; empty for an answer.
    pub(super) method: Cow<'a, str>,
    /// Whether it is an answer that tells an error.
    pub(super) is_error: bool,
    params: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Notification,
    Response,
}

/// An id or a progress token, so that `1` and `1.0` are the same one and `1` and `"1"` are not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Id(String);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// Reads the envelope; none where there is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let Envelope { id, method, params, error } = object(text)?;
        let kind = match (&method, id) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
            (None, Some(_)) => Kind::Response,
            (None, None) => return None,
        };
        let (id, method) = (id.map(RawValue::get), method.unwrap_or_default());
        Some(Self { text, kind, id, method, is_error: error.is_some(), params })
    }

    /// The token by which a request asks for progress.
    pub(super) fn asks_progress_by(&self) -> Option<&'a str> {
        self.meta().progress_token.map(RawValue::get)
    }

    /// The token or id by which a notification says which request it belongs to.
    pub(super) fn belongs_to(&self) -> Option<&'a str> {
        if self.method == "notifications/progress" {
            return self.params().progress_token.map(RawValue::get);
        }
        self.meta().subscription.map(RawValue::get)
    }

    /// The text with `new` in the place of each of these parts, which are parts of it.
    pub(super) fn with(&self, parts: &[Option<&str>], new: &str) -> String {
        let start = self.text.as_ptr() as usize;
        let mut places: Vec<(usize, usize)> =
            parts.iter().flatten().map(|part| ((part.as_ptr() as usize).saturating_sub(start), part.len())).collect();
        places.sort_unstable();
        let (mut exchanged, mut rest) = (String::with_capacity(self.text.len() + new.len()), 0);
        for (place, length) in places {
            exchanged.push_str(self.text.get(rest..place).unwrap_or_default());
            exchanged.push_str(new);
            rest = place.saturating_add(length);
        }
        exchanged.push_str(self.text.get(rest..).unwrap_or_default());
        exchanged
    }

    fn params(&self) -> Params<'a> {
        self.params.and_then(|params| object(params.get())).unwrap_or_default()
    }

    fn meta(&self) -> Meta<'a> {
        self.params().meta.and_then(|meta| object(meta.get())).unwrap_or_default()
    }
}

impl Id {
    /// Of an id as it is written; none for what is no id.
    pub(super) fn of(text: &str) -> Option<Self> {
        match serde_json::from_str(text).ok()? {
            Value::String(text) => Some(Self(format!("\"{text}"))),
            Value::Number(number) => {
                let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
                Some(Self(whole.map_or_else(|| number.to_string(), |float| format!("{float:.0}"))))
            }
            _ => None,
        }
    }
}

/// The members of an object; serde would take a list for them, too.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
}

/// `text` on one line: outside of texts, where JSON has no line breaks, they are blanks.
pub(super) fn one_line(text: &str) -> String {
    text.trim().replace(['\n', '\r'], " ")
}

/// An answer of our own that tells an error.
pub(super) fn error(id: Option<&str>, code: i32, message: &str) -> String {
    let message = Value::from(message);
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":{message}}}}}"#, id.unwrap_or("null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let rows = [
            (r#"{"id":1,"method":"ping"}"#, Some(Kind::Request)),
            (r#"{"method":"ping"}"#, Some(Kind::Notification)),
            (r#"{"id":null,"method":"ping"}"#, Some(Kind::Notification)),
            (r#"{"result":{},"id":"a"}"#, Some(Kind::Response)),
            (r#"{"id":1,"id":2,"method":"ping"}"#, None),
            ("{}", None),
            (r#"[1,"ping",null,null]"#, None),
            ("hello", None),
        ];
        for (text, kind) in rows {
            assert_eq!(Message::parse(text).map(|message| message.kind), kind, "{text}");
        }
    }

    #[test]
    fn only_the_parts_are_exchanged() {
        let text =
            r#"{ "id": "7", "x": 1.50, "method":"tools/call", "params":{"a":"7","_meta":{"progressToken":"7"}} }"#;
        let message = Message::parse(text).unwrap();
        assert_eq!(
            message.with(&[message.id, message.asks_progress_by()], "42"),
            r#"{ "id": 42, "x": 1.50, "method":"tools/call", "params":{"a":"7","_meta":{"progressToken":42}} }"#
        );
        assert_eq!(message.with(&[None], "42"), text);
    }

    #[test]
    fn ids_are_told_apart_as_json_tells_them() {
        let id = |text| Id::of(text);
        assert_eq!(id("1"), id("1.0"));
        assert_eq!(id(r#""a""#), id(r#""\u0061""#));
        assert_ne!(id("1"), id(r#""1""#));
        assert_ne!(id("9007199254740992"), id("9007199254740993"));
        assert_eq!(id("null"), None);
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("{\r\n \"a\": \"\\n\" }\n"), "{   \"a\": \"\\n\" }");
    }
}
