//! Reads JSON and event streams as the laxest of parsers might: what it finds in a text, some client or
//! server may find.

/// As deep as it looks.
const MAX_DEPTH: usize = 200;

/// A value with everything that stands in it, doubled members included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`, `true`, a number, or whatever else stands without quotes.
    Word(String),
    /// Unescaped; half a surrogate pair is U+FFFD.
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The object or list that `text` begins with, as much of it as there is: truncated, with comments, single quotes, stray
    /// commas or bytes that are no UTF-8, and with anything behind it.
    pub fn lax(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
        if !matches!(text.first(), Some(b'{' | b'[')) {
            return None;
        }
        let text = String::from_utf8_lossy(text);
        Lax { rest: text.chars().collect(), at: 0 }.value(0)
    }

    /// The value of `text` if serde_json finds it strict JSON that is not too deep, with its members in order.
    pub fn strict(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        serde_json::from_str::<&serde_json::value::RawValue>(text).ok()?;
        Lax { rest: text.chars().collect(), at: 0 }.value(0)
    }

    /// Every value that some parser finds under `name`.
    pub fn readings<'j>(&'j self, name: &str) -> impl Iterator<Item = &'j Json> + use<'j> {
        let members = match self {
            Self::Object(members) => members.as_slice(),
            _ => &[],
        };
        let wanted = fold(name);
        members.iter().filter(move |(member, _)| fold(member) == wanted).map(|(_, value)| value)
    }

    /// The elements of a list, or the value itself.
    pub fn each(&self) -> &[Json] {
        match self {
            Self::Array(elements) => elements,
            one => std::slice::from_ref(one),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The value of the only member of this name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let mut readings = self.readings(name);
        readings.next().filter(|_| readings.next().is_none())
    }

    /// Whether every parser finds the same: no two members of an object, at any depth, have names that fold to
    /// the same, and every string has characters.
    pub fn is_plain(&self) -> bool {
        let is_text = |text: &str| !text.contains('\u{FFFD}');
        match self {
            Self::Word(_) => true,
            Self::String(text) => is_text(text),
            Self::Array(elements) => elements.iter().all(Self::is_plain),
            Self::Object(members) => {
                let mut names: Vec<String> = members.iter().map(|(name, _)| fold(name)).collect();
                names.sort();
                names.windows(2).all(|pair| pair[0] != pair[1])
                    && members.iter().all(|(name, value)| is_text(name) && value.is_plain())
            }
        }
    }

    /// The same value in other bytes: `escape` writes every letter as an escape, and blanks stand everywhere.
    pub fn written(&self, escape: bool) -> String {
        let string = |text: &str| -> String {
            let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
                Ok(byte) if !escape && (b' '..0x7F).contains(&byte) && !b"\"\\".contains(&byte) => {
                    char::from(byte).to_string()
                }
                _ => format!("\\u{unit:04X}"),
            });
            format!("\"{}\"", units.collect::<String>())
        };
        let (open, between) = if escape { ("\n\t", " \r\n, ") } else { ("", ",") };
        match self {
            Self::Word(word) => word.clone(),
            Self::String(text) => string(text),
            Self::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(|element| element.written(escape)).collect();
                format!("[{open}{}{open}]", elements.join(between))
            }
            Self::Object(members) => {
                let member =
                    |(name, value): &(String, Self)| format!("{}{open}:{}", string(name), value.written(escape));
                let members: Vec<String> = members.iter().map(member).collect();
                format!("{{{open}{}{open}}}", members.join(between))
            }
        }
    }
}

/// A name without its case, by upper case and back, so that what either way makes equal is equal.
pub fn fold(name: &str) -> String {
    let one = |mut mapped: Box<dyn Iterator<Item = char>>, from: char| match (mapped.next(), mapped.next()) {
        (Some(character), None) => character,
        _ => from,
    };
    let upper = |from: char| one(Box::new(from.to_uppercase()), from);
    let lower = |from: char| one(Box::new(from.to_lowercase()), from);
    name.chars().map(|character| lower(upper(character))).collect()
}

struct Lax {
    rest: Vec<char>,
    at: usize,
}

impl Lax {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    /// Passes blanks, comments and everything that separates values.
    fn skip(&mut self, separators: &str) {
        while let Some(next) = self.peek() {
            let comment = (next == '/').then(|| self.rest.get(self.at + 1)).flatten();
            match comment {
                Some('/') => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.at += 1;
                    }
                }
                Some('*') => {
                    self.at += 2;
                    while self.peek().is_some() && self.rest.get(self.at..self.at + 2) != Some(&['*', '/']) {
                        self.at += 1;
                    }
                    self.at += 2;
                }
                _ if next.is_whitespace() || next.is_control() || next == '\u{FEFF}' || separators.contains(next) => {
                    self.at += 1;
                }
                _ => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip("");
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            '{' => {
                self.at += 1;
                let mut members = Vec::new();
                loop {
                    self.skip(",;");
                    match self.peek() {
                        None => break,
                        Some('}' | ']') => {
                            self.at += 1;
                            break;
                        }
                        Some(_) => {}
                    }
                    let name = match self.value(depth + 1)? {
                        Json::String(name) | Json::Word(name) => name,
                        Json::Array(_) | Json::Object(_) => continue,
                    };
                    self.skip(":=");
                    if self.peek().is_none_or(|next| matches!(next, '}' | ']' | ',')) {
                        continue;
                    }
                    let Some(value) = self.value(depth + 1) else { break };
                    members.push((name, value));
                }
                Some(Json::Object(members))
            }
            '[' => {
                self.at += 1;
                let mut elements = Vec::new();
                loop {
                    self.skip(",;");
                    match self.peek() {
                        None => break,
                        Some('}' | ']') => {
                            self.at += 1;
                            break;
                        }
                        Some(_) => {}
                    }
                    let Some(element) = self.value(depth + 1) else { break };
                    elements.push(element);
                }
                Some(Json::Array(elements))
            }
            quote @ ('"' | '\'') => {
                self.at += 1;
                Some(Json::String(self.string(quote)))
            }
            _ => {
                let start = self.at;
                while self
                    .peek()
                    .is_some_and(|next| !(next.is_whitespace() || next.is_control() || "{}[],:\"'".contains(next)))
                {
                    self.at += 1;
                }
                // A stray separator is nothing, and must not stop the reading.
                self.at = self.at.max(start + 1);
                Some(Json::Word(self.rest[start..self.at].iter().collect()))
            }
        }
    }

    fn string(&mut self, quote: char) -> String {
        let mut units = Vec::new();
        let mut buffer = [0; 2];
        while let Some(next) = self.peek() {
            self.at += 1;
            if next == quote {
                break;
            }
            if next != '\\' {
                units.extend_from_slice(next.encode_utf16(&mut buffer));
                continue;
            }
            let Some(escape) = self.peek() else { break };
            self.at += 1;
            let meant = match escape {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = self.rest.iter().skip(self.at).take(4).collect();
                    if let Ok(unit) = u16::from_str_radix(&digits, 16) {
                        self.at += 4;
                        units.push(unit);
                    }
                    continue;
                }
                other => other,
            };
            units.extend_from_slice(meant.encode_utf16(&mut buffer));
        }
        String::from_utf16_lossy(&units)
    }
}

/// How a client cuts an event stream into lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// LF, CRLF and CR, as the standard says (WHATWG HTML, section 9.2).
    Standard,
    /// At LF; a CR before it is dropped.
    LfOnly,
    /// At everything that Unicode calls a line's end, as `str.splitlines` of Python.
    Unicode,
}

impl LineEnds {
    pub const ALL: [Self; 3] = [Self::Standard, Self::LfOnly, Self::Unicode];

    pub fn lines(self, stream: &[u8]) -> Vec<Vec<u8>> {
        let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
        let is_end = |at: usize| match (self, stream[at]) {
            (_, b'\n') => 1,
            (Self::LfOnly, _) => 0,
            (Self::Standard | Self::Unicode, b'\r') => 1,
            (Self::Unicode, 0x0B | 0x0C | 0x1C..=0x1E) => 1,
            (Self::Unicode, 0xC2) if stream.get(at + 1) == Some(&0x85) => 2,
            (Self::Unicode, 0xE2) if matches!(stream.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => 3,
            _ => 0,
        };
        let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
        while at < stream.len() {
            let end = is_end(at);
            if end == 0 {
                line.push(stream[at]);
                at += 1;
                continue;
            }
            let is_crlf = self != Self::LfOnly && stream[at..].starts_with(b"\r\n");
            at += if is_crlf { 2 } else { end };
            let mut whole = std::mem::take(&mut line);
            if self == Self::LfOnly && whole.last() == Some(&b'\r') {
                whole.pop();
            }
            lines.push(whole);
        }
        lines.push(line);
        lines
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: Vec<u8>,
    pub data: Vec<u8>,
}

/// The events that a client delivers; the last one also when its blank line never comes, as some do.
pub fn events(stream: &[u8], ends: LineEnds) -> Vec<Event> {
    let (mut events, mut kind, mut data) = (Vec::new(), Vec::new(), Vec::<Vec<u8>>::new());
    let mut lines = ends.lines(stream);
    lines.push(Vec::new());
    for line in lines {
        if line.is_empty() {
            let kind = std::mem::take(&mut kind);
            let data = std::mem::take(&mut data);
            if !data.is_empty() {
                events.push(Event { kind, data: data.join(&b'\n') });
            }
            continue;
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line.as_slice(), &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => data.push(value.to_vec()),
            b"event" => kind = value.to_vec(),
            _ => {}
        }
    }
    events
}
