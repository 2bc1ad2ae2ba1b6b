//! A strict reader of JSON text (RFC 8259): validates in one pass and lends out what it read.
//!
//! serde_json is the judge in the tests, but it does not read traffic, for three reasons: this reader
//! keeps every value's own bytes (ids are echoed and list elements removed without touching a digit),
//! bounds the depth of what it merely skips, and shows *every* member of an object, so that doubled
//! ones are seen. It accepts exactly what serde_json accepts, and two things more within skipped
//! values: lone surrogate escapes (honest clients send them) and numbers too large for a float.

mod reader;

pub use reader::Reader;

use std::borrow::Cow;
use std::fmt;

/// How deep objects and arrays may be nested, counting the outermost.
pub const MAX_DEPTH: u32 = 128;

/// Why a text is not the JSON this reader accepts; each carries the byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The text ends inside a value.
    Truncated(usize),
    /// A byte that no JSON text has there.
    Unexpected(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep(usize),
    /// Bytes after the value.
    Trailing(usize),
}

impl Error {
    /// The byte offset.
    #[must_use]
    pub fn position(self) -> usize {
        match self {
            Self::Truncated(at) | Self::Unexpected(at) | Self::TooDeep(at) | Self::Trailing(at) => at,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(at) => write!(f, "the text ends early, at byte {at}"),
            Self::Unexpected(at) => write!(f, "unexpected character at byte {at}"),
            Self::TooDeep(at) => write!(f, "nested deeper than {MAX_DEPTH} levels at byte {at}"),
            Self::Trailing(at) => write!(f, "text after the value, at byte {at}"),
        }
    }
}

/// What a value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    fn of(first: u8) -> Option<Self> {
        match first {
            b'n' => Some(Self::Null),
            b't' | b'f' => Some(Self::Bool),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            b'"' => Some(Self::String),
            b'[' => Some(Self::Array),
            b'{' => Some(Self::Object),
            _ => None,
        }
    }
}

/// One whole value as it was written, without the blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Raw<'a> {
    /// The value's own text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// The bytes of the text it was read from that it occupies.
    #[must_use]
    pub fn span(self) -> std::ops::Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// What the value is.
    #[must_use]
    pub fn kind(self) -> Kind {
        // A `Raw` is only made of a value that was read, so its first byte always tells.
        self.text.bytes().next().and_then(Kind::of).unwrap_or(Kind::Null)
    }

    /// The string it is, if it is one.
    #[must_use]
    pub fn string(self) -> Option<Text<'a>> {
        let body = self.text.strip_prefix('"')?.strip_suffix('"')?;
        Some(Text { body, escaped: body.contains('\\') })
    }
}

/// A string or a member's name between its quotes, not yet unescaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    body: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The characters meant. `None` when an escape is half of a surrogate pair: that text has no
    /// characters, and parsers differ in what they make of it.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.body));
        }
        let mut text = String::with_capacity(self.body.len());
        let mut rest = self.body;
        while let Some((before, after)) = rest.split_once('\\') {
            text.push_str(before);
            let mut chars = after.chars();
            match chars.next()? {
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'u' => {
                    let (character, after) = unicode_escape(chars.as_str())?;
                    text.push(character);
                    rest = after;
                    continue;
                }
                literal => text.push(literal),
            }
            rest = chars.as_str();
        }
        text.push_str(rest);
        Some(Cow::Owned(text))
    }

    /// Whether the characters meant are exactly these.
    #[must_use]
    pub fn is(self, other: &str) -> bool {
        if self.escaped { self.decode().is_some_and(|text| text == other) } else { self.body == other }
    }
}

/// Reads what follows `\u`, including the second half of a pair.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    let rest = text.get(4..)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let rest = rest.strip_prefix("\\u")?;
    let second = unit(rest).filter(|unit| (0xDC00..0xE000).contains(unit))?;
    let scalar = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    Some((char::from_u32(scalar)?, rest.get(4..)?))
}
