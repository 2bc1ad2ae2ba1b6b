//! The members of one object that parsers must agree on: the JSON-RPC envelope, `params`, `_meta`.
//!
//! Parsers differ in which of two members with one name they take, and some ignore the case of names
//! (`policy-language.md` W2: `{"name": "delete_x", "Name": "read_x"}`). So two members whose names fold
//! to the same, or one that merely folds to a protocol name, make the object ambiguous.

use super::json::{Error, Raw, Reader, Text};
use std::borrow::Cow;

/// How many members such an object may have. No client comes near; it bounds the pairwise comparison.
pub const MAX_MEMBERS: usize = 64;

/// How long a member's name in such an object may be, in bytes; it bounds each comparison.
pub const MAX_NAME_BYTES: usize = 256;

/// The members of one object, in order.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Raw<'a>)>,
    fault: Option<Fault>,
}

/// Why an object must not be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Two members have one name, or names that differ only in case.
    Doubled,
    /// A name holds half of a surrogate pair.
    NotText,
    /// More than [`MAX_MEMBERS`].
    TooMany,
    /// A name is longer than [`MAX_NAME_BYTES`].
    TooLong,
}

impl Fault {
    /// One clause that says what is wrong with the members.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Doubled => "has two members whose names are equal or differ only in case",
            Self::NotText => "has a member whose name is not valid Unicode",
            Self::TooMany => "has more than 64 members",
            Self::TooLong => "has a member whose name is longer than 256 bytes",
        }
    }
}

impl<'a> Members<'a> {
    /// Reads the object that begins at `reader`, to its end even when it is ambiguous.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut members = Self::default();
        reader.object::<Error>(|reader, name| {
            let value = reader.value()?;
            members.push(name, value);
            Ok(())
        })?;
        Ok(members)
    }

    /// Adds one member, and notes what makes the object ambiguous.
    pub fn push(&mut self, name: Text<'a>, value: Raw<'a>) {
        let Some(name) = name.decode() else {
            self.fault.get_or_insert(Fault::NotText);
            return;
        };
        if name.len() > MAX_NAME_BYTES {
            self.fault.get_or_insert(Fault::TooLong);
            return;
        }
        if self.members.len() == MAX_MEMBERS {
            self.fault.get_or_insert(Fault::TooMany);
        } else if self.members.iter().any(|(other, _)| folds_to(other, &name)) {
            self.fault.get_or_insert(Fault::Doubled);
        }
        if self.members.len() < MAX_MEMBERS {
            self.members.push((name, value));
        }
    }

    /// What makes the object ambiguous by itself.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The first of these protocol names that a member folds to without being it.
    #[must_use]
    pub fn misspelt(&self, protocol: &[&'static str]) -> Option<&'static str> {
        let is_misspelt = |wanted: &str| self.members.iter().any(|(name, _)| name != wanted && folds_to(name, wanted));
        protocol.iter().copied().find(|wanted| is_misspelt(wanted))
    }

    /// The value of the member of exactly this name, if there is exactly one that folds to it and no member
    /// was left out.
    #[must_use]
    pub fn only(&self, wanted: &str) -> Option<Raw<'a>> {
        if matches!(self.fault, Some(Fault::TooMany | Fault::TooLong | Fault::NotText)) {
            return None;
        }
        let mut found = self.members.iter().filter(|(name, _)| folds_to(name, wanted));
        match (found.next(), found.next()) {
            (Some((name, value)), None) if name == wanted => Some(*value),
            _ => None,
        }
    }

    /// Each member's name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The value of the first member of exactly this name.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<Raw<'a>> {
        self.members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
    }
}

/// A name as a parser that ignores case sees it. Beside ASCII letters, U+017F and U+212A are the only
/// characters that Unicode's simple folding turns into ASCII ones; a comparison in upper case, as Java's
/// `equalsIgnoreCase`, also takes both Turkish i's for one.
pub fn fold(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|character| match character {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        other => other.to_ascii_lowercase(),
    })
}

/// Whether a parser that ignores case would take one name for the other.
#[must_use]
pub fn folds_to(a: &str, b: &str) -> bool {
    // Nearly all names are ASCII, which folds byte by byte, and nearly all pairs differ in length.
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    fold(a).eq(fold(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members<'_> {
        Members::read(&mut Reader::new(text)).unwrap()
    }

    #[test]
    fn ambiguous_objects_are_noticed() {
        for (text, fault) in [
            (r#"{"a":1,"b":2}"#, None),
            (r#"{"a":1,"a":2}"#, Some(Fault::Doubled)),
            (r#"{"a":1,"A":2}"#, Some(Fault::Doubled)),
            (r#"{"a":1,"\u0061":2}"#, Some(Fault::Doubled)),
            (r#"{"params":1,"param\u017f":2}"#, Some(Fault::Doubled)),
            (r#"{"task":1,"tas\u212a":2}"#, Some(Fault::Doubled)),
            (r#"{"uri":1,"ur\u0131":2}"#, Some(Fault::Doubled)),
            (r#"{"uri":1,"UR\u0130":2}"#, Some(Fault::Doubled)),
            (r#"{"\ud800":1}"#, Some(Fault::NotText)),
        ] {
            assert_eq!(members(text).fault(), fault, "{text}");
        }
        let many = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("\"m{n}\":0")).collect();
            format!("{{{}}}", list.join(","))
        };
        assert_eq!(members(&many(64)).fault(), None);
        assert_eq!(members(&many(65)).fault(), Some(Fault::TooMany));
        assert_eq!(members(&many(65)).only("m0"), None);
        assert_eq!(members(&format!("{{\"{}\":0}}", "n".repeat(256))).fault(), None);
        assert_eq!(members(&format!("{{\"{}\":0}}", "n".repeat(257))).fault(), Some(Fault::TooLong));
    }

    #[test]
    fn a_name_that_only_folds_to_a_protocol_name_is_misspelt() {
        assert_eq!(members(r#"{"Name":1}"#).misspelt(&["id", "name"]), Some("name"));
        assert_eq!(members(r#"{"name":1}"#).misspelt(&["id", "name"]), None);
        assert_eq!(members(r#"{"name":1,"Name":2}"#).only("name"), None);
        assert_eq!(members(r#"{"name":1}"#).only("name").map(Raw::as_str), Some("1"));
    }
}
