//! What a case states of a request beside its message: header lines, and the claims of a JWT that the proxy verified.

use super::fields::Fields;
use super::problem::{Pointer, Problems};
use crate::wire::value::Value;

/// What `session` already says.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// Header lines: names in lower case, values as Envoy hands them out.
pub(super) fn read_headers(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Vec<(String, String)>> {
    let (_, members) = read_object(fields, "headers", problems)?;
    let mut lines = Vec::new();
    for (name, value, at) in members {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            problems.add(&at, "the name of a header must be letters, digits and !#$%&'*+-.^_`|~");
        } else if name.eq_ignore_ascii_case(SESSION_HEADER) {
            problems.add(&at, "the session is given as session");
        }
        match value {
            Value::String(text) if is_header_value(text) => lines.push((name.to_ascii_lowercase(), text.clone())),
            Value::String(_) => problems.add(&at, "header must have no blank at an end and no control character"),
            other => problems.add(&at, format!("header must be a string, got {other}")),
        }
    }
    Some(lines)
}

/// What a server may get: Envoy takes blanks at the ends away.
fn is_header_value(text: &str) -> bool {
    text.trim_matches(' ') == text && !text.contains(|character: char| character.is_ascii_control())
}

/// The payload of a JWT.
pub(super) fn read_claims(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Value> {
    let (payload, members) = read_object(fields, "claims", problems)?;
    for (_, value, at) in members {
        note_doubles(value, &at, problems);
    }
    Some(payload.clone())
}

/// Notes members that are given twice, at any depth: what Envoy makes of such a JWT is not for a case to say.
fn note_doubles(value: &Value, at: &Pointer, problems: &mut Problems) {
    match value {
        Value::Object(members) => {
            Fields::of(value, at, problems);
            members.iter().for_each(|(name, value)| note_doubles(value, &at.child(name), problems));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| note_doubles(value, &at.child(index), problems));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object and its members, each with its place; doubled ones are a problem.
type Object<'v> = (&'v Value, Vec<(&'v str, &'v Value, Pointer)>);

fn read_object<'v>(fields: &mut Fields<'v>, name: &'static str, problems: &mut Problems) -> Option<Object<'v>> {
    let (value, at) = fields.take(name)?;
    if !matches!(value, Value::Object(_)) {
        problems.add(&at, format!("{name} must be an object, got {value}"));
        return None;
    }
    Some((value, fields.map(name, problems)))
}
