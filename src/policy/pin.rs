//! Pins: a tool is listed and called only while its definition is the one that was approved.
//!
//! What a list last showed of a pinned tool is kept in the [`Store`], so that all workers refuse the calls. Before any
//! list has passed nothing is known, and calls pass: nobody has read a new text through this proxy.

use super::limit::push_part;
use super::store::{PutError, Store, Unavailable};
use crate::wire::canonical::write_members;
use crate::wire::json::Raw;
use crate::wire::tree::Tree;
use sha2::{Digest, Sha256};
use std::fmt;

/// The members of a definition that a pin covers, where they are present: what a model reads or is bound by.
const COVERED: [&str; 6] = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];

/// How often a note is tried to be written while other workers write theirs.
const MAX_TRIES: usize = 64;

/// The SHA-256 of a tool's definition: canonical JSON (RFC 8785) of its covered members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Reads `sha256:` and 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?.as_bytes();
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
        let bytes = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        });
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        bytes.try_into().ok().map(Self)
    }

    /// The pin of a tool's definition, an element of `tools`; `None` when that has no single reading.
    #[must_use]
    pub fn of(definition: Raw<'_>) -> Option<Self> {
        let Tree::Object(members) = Tree::read(definition).ok()? else { return None };
        let covered = members.iter().map(|(name, value)| (name.as_ref(), value));
        let mut text = String::new();
        write_members(covered.filter(|(name, _)| COVERED.contains(name)), &mut text).ok()?;
        Some(Self(Sha256::digest(text).into()))
    }
}

/// As it is written in a policy.
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A pin in force, and where it is noted what was seen.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) rule: String,
    pin: Pin,
    key: Vec<u8>,
}

impl Pinned {
    /// Of the tool `name`, under `policy`.
    pub(super) fn new(rule: String, pin: Pin, policy: &str, name: &str) -> Self {
        let mut key = Vec::new();
        for part in ["mcp-policy-pin", policy, name] {
            push_part(&mut key, part);
        }
        Self { rule, pin, key }
    }

    /// Whether the last list showed another definition.
    pub(super) fn is_broken(&self, store: &mut dyn Store) -> Result<bool, Unavailable> {
        let seen = store.get(&self.key)?;
        Ok(seen.is_some_and(|(seen, _)| seen != note(Some(self.pin))))
    }

    /// Notes what a list shows; returns whether it is what was approved.
    pub(super) fn holds(&self, definition: Raw<'_>, store: &mut dyn Store) -> bool {
        let shown = Pin::of(definition);
        self.keep(&note(shown), store);
        shown == Some(self.pin)
    }

    /// A note that cannot be written leaves the one before: the list itself never shows another definition.
    fn keep(&self, note: &[u8], store: &mut dyn Store) {
        for _ in 0..MAX_TRIES {
            let Ok(seen) = store.get(&self.key) else { return };
            if seen.as_ref().is_some_and(|(seen, _)| seen == note) {
                return;
            }
            if store.put(&self.key, note, seen.map(|(_, version)| version)) != Err(PutError::Conflict) {
                return;
            }
        }
    }
}

/// Format 1: one byte 1, then the digest, or nothing where there is none.
fn note(pin: Option<Pin>) -> Vec<u8> {
    std::iter::once(1).chain(pin.iter().flat_map(|pin| pin.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::store::MemoryStore;
    use super::*;
    use crate::wire::json::Reader;

    fn raw(text: &str) -> Raw<'_> {
        Reader::new(text).value().unwrap()
    }

    #[test]
    fn a_pin_is_a_digest_and_nothing_else() {
        let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
        let pin = Pin::parse(&format!("sha256:{digits}")).unwrap();
        assert_eq!(pin.to_string(), format!("sha256:{}", digits.to_lowercase()));
        for text in [
            "",
            "sha256:",
            &digits,
            &format!("SHA256:{digits}"),
            &format!("sha256:{digits}0"),
            &format!("sha256:{digits}00"),
            &format!("sha256:+f{}", digits.get(2..).unwrap()),
        ] {
            assert_eq!(Pin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pin_covers_what_a_model_reads_however_it_is_written() {
        let of = |text: &str| Pin::of(raw(text)).map(|pin| pin.to_string());
        let one = of(r#"{"name":"a","description":"b","inputSchema":{"type":"object","x":1.0}}"#).unwrap();
        // `printf '{"description":"b","inputSchema":{"type":"object","x":1},"name":"a"}' | sha256sum`
        assert_eq!(one, "sha256:64165b73706c7aace54d64ce92778975df7243763b6abdd0f173af9304e25409");
        let same =
            r#"{"_meta":{"v":2},"inputSchema":{"x":1e0,"type":"obj\u0065ct"},"icons":[],"description":"b","name":"a"}"#;
        assert_eq!(of(same), Some(one.clone()));
        for text in [
            r#"{"name":"a","description":"B","inputSchema":{"type":"object","x":1}}"#,
            r#"{"name":"a","description":"b","inputSchema":{"type":"object","x":1},"title":null}"#,
            r#"{"name":"a","description":"b","inputSchema":{"type":"object","x":1},"annotations":{}}"#,
        ] {
            assert_ne!(of(text), Some(one.clone()), "{text}");
        }
        for text in [r#"{"name":"a","Name":"b"}"#, r#"{"name":"a","inputSchema":{"x":1e999}}"#, "[]"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_list_showed_last_is_what_counts() {
        let (good, bad) = (raw(r#"{"name":"a"}"#), raw(r#"{"name":"a","title":"b"}"#));
        let mut store = MemoryStore::default();
        let pinned = Pinned::new("/tools/a/pin".into(), Pin::of(good).unwrap(), "p", "a");
        assert_eq!(pinned.is_broken(&mut store), Ok(false), "before any list");
        for (shown, holds) in [(bad, false), (good, true), (raw("[]"), false), (good, true), (bad, false)] {
            assert_eq!(pinned.holds(shown, &mut store), holds);
            assert_eq!(pinned.is_broken(&mut store), Ok(!holds));
        }
        let approved = Pinned::new("/tools/a/pin".into(), Pin::of(bad).unwrap(), "p", "a");
        assert_eq!(approved.is_broken(&mut store), Ok(false), "the policy has changed to what was shown");
    }
}
