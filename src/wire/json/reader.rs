//! The reader itself: one pass, no recursion over what is merely skipped.

use super::{Error, Kind, MAX_DEPTH, Raw, Text};
use crate::wire::bytes;

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

    /// Reads one string; `None` when something else begins here or it is broken.
    pub fn string(&mut self) -> Option<Text<'a>> {
        self.value().ok()?.string()
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
            self.at += bytes::plain_length(rest);
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
    use std::borrow::Cow;

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
