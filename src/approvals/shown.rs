//! What a person is shown of a call that waits, and what is left of it when it is settled.

use crate::wire::json::Raw;
use crate::wire::reply::string;
use crate::wire::tree::Tree;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Bytes of arguments that are kept.
const MAX_ARGUMENT_BYTES: usize = 8 << 10;
/// Bytes of a person's note that are kept.
pub(super) const MAX_NOTE_BYTES: usize = 1 << 10;
/// Stands for a value that nobody is to see.
const REDACTED: &str = "\"[redacted]\"";

/// One approval as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Whose it is, so that what was written for another approval is never taken for this one's.
    pub id: String,
    /// The caller's grant.
    pub grant: String,
    /// The `Mcp-Session-Id`, the client's word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<String>,
    /// The JSON-RPC method.
    pub method: String,
    /// What is called, or asked for.
    pub target: String,
    /// The policy's name.
    pub policy: String,
    /// The policy's version.
    pub policy_version: String,
    /// Pointer to the rule that asks.
    pub rule: String,
    /// Why it asks.
    pub reason: String,
    /// The call's arguments as the text of a JSON object, without what is redacted; `None` once it is settled, and where
    /// they are [too long](Self::is_cut).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments: Option<String>,
    /// There are more arguments than are kept.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_cut: bool,
    /// The call has a longer target than is kept, or members beside its arguments.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub says_more: bool,
    /// What the person said who decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl Shown {
    /// Takes in the arguments of a call.
    pub fn take_arguments(&mut self, arguments: Option<Raw<'_>>, redaction: &Redaction) {
        let text = arguments.and_then(|arguments| redaction.apply(arguments));
        self.is_cut = arguments.is_some() && text.is_none();
        self.arguments = text;
    }

    /// What is kept when a person has decided.
    pub(super) fn settle(&mut self, note: Option<&str>) {
        (self.arguments, self.is_cut) = (None, false);
        self.note = note.map(|note| cut(note, MAX_NOTE_BYTES).to_owned());
    }
}

/// `text`, to at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Which arguments nobody is to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction(Vec<Vec<String>>);

impl Redaction {
    /// Of paths such as `args.token` or `args.card.number`; where a list is on the way, every element is meant.
    ///
    /// # Errors
    /// The first path that is none.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Result<Self, &'p str> {
        let parse = |path: &'p str| {
            let parts: Vec<String> = path.strip_prefix("args.").ok_or(path)?.split('.').map(str::to_owned).collect();
            if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']'])) { Err(path) } else { Ok(parts) }
        };
        paths.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The arguments without what is redacted; `None` where they are too long, or no single reading says what to leave out.
    fn apply(&self, arguments: Raw<'_>) -> Option<String> {
        if arguments.as_str().len() > MAX_ARGUMENT_BYTES {
            return None;
        }
        let tree = Tree::read(arguments).ok()?;
        let mut out = String::new();
        let paths: Vec<&[String]> = self.0.iter().map(Vec::as_slice).collect();
        write_redacted(&tree, &paths, &mut out);
        Some(out)
    }
}

/// Recursion is bounded by the reader's depth.
fn write_redacted(tree: &Tree<'_>, paths: &[&[String]], out: &mut String) {
    if paths.iter().any(|path| path.is_empty()) {
        out.push_str(REDACTED);
        return;
    }
    match tree {
        // Writing to a string cannot fail.
        Tree::Leaf(raw) => drop(write!(out, "{}", raw.as_str())),
        Tree::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_redacted(element, paths, out);
            }
            out.push(']');
        }
        Tree::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&string(name));
                out.push(':');
                // A server that ignores case reads it, too.
                let is_on = |path: &&[String]| path.first().is_some_and(|part| part.eq_ignore_ascii_case(name));
                let below: Vec<&[String]> =
                    paths.iter().copied().filter(is_on).map(|path| path.get(1..).unwrap_or_default()).collect();
                write_redacted(value, &below, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Reader;

    #[test]
    fn what_nobody_is_to_see_is_left_out_wherever_it_is() {
        let redaction = Redaction::new(["args.token", "args.cards.number", "args.all"]).unwrap();
        let arguments = r#"{"token":"t","Token":5,"x":{"token":"kept"},"cards":[{"number":1,"name":"é"},{"number":[2]}],"all":{"a":1}}"#;
        let text = arguments.replace("\"Token\":5,", "");
        assert_eq!(
            redaction.apply(Reader::new(&text).value().unwrap()).as_deref(),
            Some(
                r#"{"token":"[redacted]","x":{"token":"kept"},"cards":[{"number":"[redacted]","name":"é"},{"number":"[redacted]"}],"all":"[redacted]"}"#
            )
        );
        let upper = r#"{"TOKEN":1}"#;
        let shown = redaction.apply(Reader::new(upper).value().unwrap());
        assert_eq!(shown.as_deref(), Some(r#"{"TOKEN":"[redacted]"}"#));
        assert_eq!(redaction.apply(Reader::new(arguments).value().unwrap()), None, "it has two readings");
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ARGUMENT_BYTES));
        assert_eq!(redaction.apply(Reader::new(&long).value().unwrap()), None);
        for path in ["", "token", "args", "args.", "args.a..b", "args.a[0]", "meta.a"] {
            assert_eq!(Redaction::new([path]), Err(path));
        }
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
