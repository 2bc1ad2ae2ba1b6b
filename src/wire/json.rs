//! A strict reader of JSON text (RFC 8259): validates in one pass and lends out what it read.
//!
//! serde_json is the judge in the tests, but it does not read traffic, for three reasons: this reader
//! keeps every value's own bytes (ids are echoed and list elements removed without touching a digit),
//! bounds the depth of what it merely skips, and shows *every* member of an object, so that doubled
//! ones are seen. It accepts exactly what serde_json accepts, and two things more within skipped
//! values: lone surrogate escapes (honest clients send them) and numbers too large for a float.

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

/// Reads one text from front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The byte offset of what comes next.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The byte offset of what comes next once blanks are skipped, which it does.
    pub fn position_after_blanks(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    /// What was read since `start`, an earlier [`Reader::position`].
    #[must_use]
    pub fn since(&self, start: usize) -> Raw<'a> {
        Raw { text: self.text.get(start..self.at).unwrap_or_default(), start }
    }

    /// Skips blanks and tells what the next value is, without reading it.
    ///
    /// # Errors
    /// When no value begins here.
    pub fn kind(&mut self) -> Result<Kind, Error> {
        self.skip_blanks();
        let first = self.peek().ok_or(Error::Truncated(self.at))?;
        Kind::of(first).ok_or(Error::Unexpected(self.at))
    }

    /// Reads one value of any kind.
    ///
    /// # Errors
    /// When it is not JSON or nested too deep.
    pub fn value(&mut self) -> Result<Raw<'a>, Error> {
        self.skip_blanks();
        let start = self.at;
        self.skip_value()?;
        Ok(self.since(start))
    }

    /// Reads an object; `each` gets every member's name in order and must read its value.
    ///
    /// # Errors
    /// When it is not JSON or nested too deep, and what `each` returns.
    pub fn object<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{')?;
        if !self.close_empty(b'}') {
            loop {
                let name = self.member_name()?;
                each(self, name)?;
                if !self.another(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `each` is called before every element and must read it.
    ///
    /// # Errors
    /// When it is not JSON or nested too deep, and what `each` returns.
    pub fn array<E: From<Error>>(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.open(b'[')?;
        if !self.close_empty(b']') {
            loop {
                each(self)?;
                if !self.another(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Makes sure that nothing but blanks follows.
    ///
    /// # Errors
    /// [`Error::Trailing`].
    pub fn end(&mut self) -> Result<(), Error> {
        self.skip_blanks();
        if self.peek().is_some() { Err(Error::Trailing(self.at)) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Error> {
        let byte = self.peek().ok_or(Error::Truncated(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Error> {
        let at = self.at;
        if self.next()? == wanted { Ok(()) } else { Err(Error::Unexpected(at)) }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn open(&mut self, bracket: u8) -> Result<(), Error> {
        self.skip_blanks();
        self.expect(bracket)?;
        self.deepen()
    }

    fn deepen(&mut self) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::TooDeep(self.at));
        }
        self.depth += 1;
        Ok(())
    }

    /// Reads the closing bracket if nothing stands before it; else stays right after the opening one.
    fn close_empty(&mut self, bracket: u8) -> bool {
        let start = self.at;
        self.skip_blanks();
        let empty = self.peek() == Some(bracket);
        self.at = if empty { self.at + 1 } else { start };
        empty
    }

    /// After an element: `true` at a comma, `false` at the closing bracket.
    fn another(&mut self, bracket: u8) -> Result<bool, Error> {
        self.skip_blanks();
        let at = self.at;
        match self.next()? {
            b',' => Ok(true),
            byte if byte == bracket => Ok(false),
            _ => Err(Error::Unexpected(at)),
        }
    }

    fn member_name(&mut self) -> Result<Text<'a>, Error> {
        self.skip_blanks();
        self.expect(b'"')?;
        let start = self.at;
        let escaped = self.skip_string()?;
        let body = self.text.get(start..self.at - 1).unwrap_or_default();
        self.skip_blanks();
        self.expect(b':')?;
        Ok(Text { body, escaped })
    }

    /// Skips one value without recursion: `kinds` holds one bit a level, set for an object.
    fn skip_value(&mut self) -> Result<(), Error> {
        let (outside, mut kinds) = (self.depth, 0_u128);
        loop {
            self.skip_blanks();
            let at = self.at;
            match self.next()? {
                b'{' => {
                    self.deepen()?;
                    if self.close_empty(b'}') {
                        self.depth -= 1;
                    } else {
                        kinds = kinds << 1 | 1;
                        self.member_name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.deepen()?;
                    if self.close_empty(b']') {
                        self.depth -= 1;
                    } else {
                        kinds <<= 1;
                        continue;
                    }
                }
                b'"' => {
                    self.skip_string()?;
                }
                b'n' => self.skip_word(b"ull")?,
                b't' => self.skip_word(b"rue")?,
                b'f' => self.skip_word(b"alse")?,
                first @ (b'-' | b'0'..=b'9') => self.skip_number(first)?,
                _ => return Err(Error::Unexpected(at)),
            }
            while self.depth > outside {
                let object = kinds & 1 == 1;
                if self.another(if object { b'}' } else { b']' })? {
                    if object {
                        self.member_name()?;
                    }
                    break;
                }
                kinds >>= 1;
                self.depth -= 1;
            }
            if self.depth == outside {
                return Ok(());
            }
        }
    }

    fn skip_word(&mut self, rest: &[u8]) -> Result<(), Error> {
        rest.iter().try_for_each(|byte| self.expect(*byte))
    }

    /// Skips a string after its opening quote; tells whether it holds an escape.
    fn skip_string(&mut self) -> Result<bool, Error> {
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
            self.at += plain.unwrap_or(rest.len());
            let at = self.at;
            match self.next()? {
                b'"' => return Ok(escaped),
                b'\\' => {
                    escaped = true;
                    match self.next()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            for _ in 0..4 {
                                if !self.next()?.is_ascii_hexdigit() {
                                    return Err(Error::Unexpected(self.at - 1));
                                }
                            }
                        }
                        _ => return Err(Error::Unexpected(at)),
                    }
                }
                _ => return Err(Error::Unexpected(at)),
            }
        }
    }

    fn skip_number(&mut self, first: u8) -> Result<(), Error> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(Error::Unexpected(self.at - 1)),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.need_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.need_digits()?;
        }
        Ok(())
    }

    fn need_digits(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.skip_digits();
                Ok(())
            }
            Some(_) => Err(Error::Unexpected(self.at)),
            None => Err(Error::Truncated(self.at)),
        }
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn accepts(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.value().is_ok() && reader.end().is_ok()
    }

    /// Every string of up to five pieces of an alphabet that reaches each branch of the grammar.
    #[test]
    fn agrees_with_serde_json_on_what_is_json() {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"", "\\", "\\u00e9", "0", "1", "-", ".", "e", "+", "null", "true",
            "fals", " ", "\u{b}",
        ];
        let mut texts = vec![String::new()];
        let mut accepted = 0;
        for _ in 0..4 {
            texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
            for text in &texts {
                // `RawValue` judges the grammar alone, not the size of numbers.
                let judged = serde_json::from_str::<Box<RawValue>>(text).is_ok();
                assert_eq!(accepts(text), judged, "{text:?}");
                accepted += usize::from(judged);
            }
        }
        assert!(accepted > 500, "the alphabet reaches too little: {accepted}");
    }

    #[test]
    fn strings_mean_what_serde_json_says_they_mean() {
        for text in [
            r#""plain""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e9\u20ac""#,
            r#""\ud83d\ude00!""#,
            r#""é😀""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\u0041""#,
            r#""\u0000""#,
        ] {
            let raw = Reader::new(text).value().unwrap();
            let meant = serde_json::from_str::<String>(text).ok();
            assert_eq!(raw.string().unwrap().decode().map(Cow::into_owned), meant, "{text}");
        }
    }

    #[test]
    fn values_keep_their_own_bytes() {
        let mut reader = Reader::new(r#" { "a" : [1, 2.50e1 ], "b":{} } "#);
        let mut seen = Vec::new();
        let read: Result<(), Error> = reader.object(|reader, name| {
            seen.push((name.decode().unwrap().into_owned(), reader.value()?.as_str().to_owned()));
            Ok(())
        });
        read.unwrap();
        reader.end().unwrap();
        assert_eq!(seen, [("a".into(), "[1, 2.50e1 ]".to_owned()), ("b".into(), "{}".to_owned())]);
    }

    #[test]
    fn depth_is_bounded_whether_skipped_or_walked() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(accepts(&nested(128)));
        assert!(matches!(Reader::new(&nested(129)).value(), Err(Error::TooDeep(_))));
        let mixed = |levels: usize| format!("{}0{}", "{\"a\":[".repeat(levels), "]}".repeat(levels));
        assert!(accepts(&mixed(64)));
        assert!(!accepts(&mixed(65)));
        let text = nested(129);
        let walked: Result<(), Error> = Reader::new(&text).array(|reader| reader.value().map(drop));
        assert!(matches!(walked, Err(Error::TooDeep(_))));
    }
}
