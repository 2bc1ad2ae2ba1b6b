//! A call's arguments as a tree, for rules that read them: refused where two parsers could read them
//! differently.
//!
//! Leaves stay as they were written: numbers keep their digits, strings are unescaped when somebody asks.

use super::json::{Error, Kind, Raw, Reader};
use super::members::fold;
use std::borrow::Cow;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<'a> {
    /// Null, boolean, number or string.
    Leaf(Raw<'a>),
    /// In order.
    Array(Vec<Tree<'a>>),
    /// In order; no two names fold to the same.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

/// Why a text is no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTree {
    /// See [`Error`].
    Json(Error),
    /// An object, at any depth, has two members whose names are equal or differ only in case, or one whose
    /// name is not valid Unicode.
    Ambiguous,
}

impl From<Error> for NoTree {
    fn from(error: Error) -> Self {
        Self::Json(error)
    }
}

impl<'a> Tree<'a> {
    /// Reads one value, wholly.
    ///
    /// # Errors
    /// See [`NoTree`].
    pub fn read(text: Raw<'a>) -> Result<Self, NoTree> {
        Self::read_from(&mut Reader::new(text.as_str()))
    }

    /// Recursion is bounded by the reader's depth.
    fn read_from(reader: &mut Reader<'a>) -> Result<Self, NoTree> {
        match reader.kind()? {
            Kind::Object => {
                let mut members = Vec::new();
                reader.object::<NoTree>(|reader, name| {
                    let name = name.decode().ok_or(NoTree::Ambiguous)?;
                    members.push((name, Self::read_from(reader)?));
                    Ok(())
                })?;
                if has_doubles(&members) { Err(NoTree::Ambiguous) } else { Ok(Self::Object(members)) }
            }
            Kind::Array => {
                let mut elements = Vec::new();
                reader.array::<NoTree>(|reader| {
                    elements.push(Self::read_from(reader)?);
                    Ok(())
                })?;
                Ok(Self::Array(elements))
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => Ok(Self::Leaf(reader.value()?)),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Leaf(raw) if raw.kind() == Kind::Null)
    }

    /// The number's digits, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<&'a str> {
        match self {
            Self::Leaf(raw) if raw.kind() == Kind::Number => Some(raw.as_str()),
            _ => None,
        }
    }

    /// The string's characters, if it is one and has some.
    #[must_use]
    pub fn string(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Leaf(raw) => raw.string()?.decode(),
            _ => None,
        }
    }
}

/// Sorts references, so that a million members take no longer than their number allows.
fn has_doubles(members: &[(Cow<'_, str>, Tree<'_>)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable_by(|a, b| fold(a).cmp(fold(b)));
    names.windows(2).any(|pair| matches!(pair, [a, b] if fold(a).eq(fold(b))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tree<'_>, NoTree> {
        Tree::read(Reader::new(text).value().unwrap())
    }

    #[test]
    fn doubled_names_are_noticed_at_every_depth() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"b":2,"A":3}"#,
            r#"{"x":[{"y":{"k":1,"\u006b":2}}]}"#,
            r#"{"s":1,"\u017f":2}"#,
            r#"{"\ud800":1}"#,
        ] {
            assert_eq!(read(text), Err(NoTree::Ambiguous), "{text}");
        }
        assert!(read(r#"{"a":{"a":1},"b":{"a":2}}"#).is_ok());
    }

    #[test]
    fn many_members_are_read_in_bounded_time() {
        let members: Vec<String> = (0..200_000).map(|index| format!("\"m{index}\":0")).collect();
        assert!(read(&format!("{{{}}}", members.join(","))).is_ok());
    }
}
