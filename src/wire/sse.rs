//! Event stream framing (WHATWG HTML §9.2): chunks in, whole events out, rewritten one by one.
//!
//! Lines may end in LF, CRLF or CR, chunks may be cut anywhere, also inside a CRLF or a character. An
//! event is handed on as soon as its blank line has begun; an event that need not change leaves byte for
//! byte as it came: comments, `id`, `retry` and all.

use super::bytes;
use std::borrow::Cow;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves as it came.
    Keep,
    /// Its `data` is replaced; its other lines stay.
    Replace(Vec<u8>),
    /// It does not leave.
    Drop,
}

/// One event, its lines still as they came.
#[derive(Debug)]
pub struct Event<'a> {
    /// The lines' `data`, joined by LF; `None` without any `data` line.
    pub data: Option<Cow<'a, [u8]>>,
    /// The `event` field; empty without one.
    pub kind: &'a [u8],
    /// It was larger than the decoder's bound, so that nothing of it was kept.
    pub oversized: bool,
    /// A parser that ends lines at LF alone reads other data in it.
    pub ambiguous: bool,
}

/// Cuts a stream of bytes into events. One per response.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    pending: Vec<u8>,
    line_is_empty: bool,
    after_cr: bool,
    /// The event that a CR just ended did not leave, so neither does the LF after it.
    swallow_lf: bool,
    /// What left ends in a CR without LF: to a parser that ends lines at LF alone, its last line goes on.
    line_is_open: bool,
    oversized: bool,
    at_start: bool,
    /// Something visible has left.
    has_left: bool,
    has_dropped: bool,
}

impl Decoder {
    /// A decoder that keeps at most `max_event_bytes` of an unfinished event.
    #[must_use]
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            pending: Vec::new(),
            line_is_empty: true,
            after_cr: false,
            swallow_lf: false,
            line_is_open: false,
            oversized: false,
            at_start: true,
            has_left: false,
            has_dropped: false,
        }
    }

    /// Takes one chunk. Returns what leaves instead of it; `None` when the chunk may leave as it is.
    pub fn push(&mut self, chunk: &[u8], judge: &mut dyn FnMut(&Event<'_>) -> Verdict) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut changed = !self.pending.is_empty() || self.oversized;
        let mut rest = chunk;
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'\n' && std::mem::take(&mut self.after_cr) {
                // The second half of a CRLF: it belongs to the line that ended, perhaps to a sent event.
                if !self.pending.is_empty() || self.oversized {
                    self.keep(&[first]);
                } else if self.swallow_lf {
                    changed = true;
                } else {
                    out.push(first);
                    self.line_is_open = false;
                }
                rest = tail;
                continue;
            }
            self.after_cr = false;
            if !matches!(first, b'\n' | b'\r') {
                let line_rest = bytes::line_length(rest);
                let (line, after) = rest.split_at_checked(line_rest).unwrap_or((rest, &[]));
                self.keep(line);
                self.line_is_empty = false;
                rest = after;
                continue;
            }
            let complete = std::mem::replace(&mut self.line_is_empty, true);
            self.after_cr = first == b'\r';
            self.keep(&[first]);
            rest = tail;
            if complete {
                changed |= self.release(judge, &mut out);
            }
        }
        changed |= !self.pending.is_empty() || self.oversized;
        changed.then_some(out)
    }

    /// Ends the stream: an unfinished event is judged too, for some clients deliver it.
    pub fn finish(&mut self, judge: &mut dyn FnMut(&Event<'_>) -> Verdict) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.pending.is_empty() || self.oversized {
            self.release(judge, &mut out);
        }
        out
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.oversized || self.pending.len() + bytes.len() > self.max_event_bytes {
            self.oversized = true;
            self.pending = Vec::new();
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Judges the event that is complete now; tells whether anything but its own bytes left.
    fn release(&mut self, judge: &mut dyn FnMut(&Event<'_>) -> Verdict, out: &mut Vec<u8>) -> bool {
        let raw = std::mem::take(&mut self.pending);
        let oversized = std::mem::take(&mut self.oversized);
        let lines = Lines::of(&raw, std::mem::take(&mut self.at_start), self.line_is_open);
        let event = Event { data: lines.data(), kind: lines.kind, oversized, ambiguous: lines.ambiguous };
        let verdict = judge(&event);
        // INVARIANT: what was not read never leaves, and what is left of a stream does not begin as JSON would: it may be
        // labelled so.
        let begins_as_json = self.has_dropped && !self.has_left && could_be_json(&raw);
        let verdict = if oversized || begins_as_json { Verdict::Drop } else { verdict };
        self.swallow_lf = verdict == Verdict::Drop;
        self.has_dropped |= self.swallow_lf;
        let visible = raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&raw).trim_ascii();
        self.has_left |= !self.swallow_lf && !visible.is_empty();
        match verdict {
            Verdict::Keep => {
                out.extend_from_slice(&raw);
                self.line_is_open = raw.ends_with(b"\r");
                false
            }
            Verdict::Drop => true,
            Verdict::Replace(data) => {
                lines.write(&data, out);
                self.line_is_open = raw.ends_with(b"\r");
                true
            }
        }
    }
}

/// The lines of one event.
struct Lines<'a> {
    /// Each with its line end; the flag tells a `data` line.
    lines: Vec<(&'a [u8], bool)>,
    values: Vec<&'a [u8]>,
    kind: &'a [u8],
    ambiguous: bool,
}

impl<'a> Lines<'a> {
    fn of(raw: &'a [u8], at_stream_start: bool, line_is_open: bool) -> Self {
        let mut this = Self { lines: Vec::new(), values: Vec::new(), kind: b"", ambiguous: false };
        let (mut rest, mut after_lone_cr) = (raw, line_is_open);
        // Of the lines that end at LF alone.
        let mut is_in_data = false;
        // Lines of data that such a parser finds, and others that it takes for the rest of another line.
        let (mut finds_data, mut misses_data) = (false, false);
        // A byte order mark may open the stream and is no part of the first field's name.
        let mut bom: &[u8] = if at_stream_start { BYTE_ORDER_MARK } else { b"" };
        while !rest.is_empty() {
            let end = bytes::line_length(rest);
            let ending = match rest.get(end..) {
                Some([b'\r', b'\n', ..]) => 2,
                Some([_, ..]) => 1,
                _ => 0,
            };
            let (line, after) = rest.split_at_checked(end + ending).unwrap_or((rest, &[]));
            let text = line.get(..end).unwrap_or(line);
            let text = text.strip_prefix(std::mem::take(&mut bom)).unwrap_or(text);
            let (name, value) = field(text);
            // To such a parser this line still belongs to the one before the CR. Of the known ones only a comment could
            // be JSON there, by its colon.
            let is_known = text.is_empty() || matches!(name, b"" | b"data" | b"event" | b"id" | b"retry");
            this.ambiguous |= after_lone_cr && (!is_known || is_in_data && text.starts_with(b":"));
            this.ambiguous |= !(name == b"data" && could_be_json(value)) && has_inner_data(text);
            finds_data |= name == b"data" && !after_lone_cr;
            misses_data |= name == b"data" && after_lone_cr && !is_in_data;
            is_in_data = if after_lone_cr { is_in_data } else { name == b"data" };
            after_lone_cr = line.ends_with(b"\r");
            if name == b"data" {
                this.values.push(value);
            } else if name == b"event" {
                this.kind = value;
            }
            this.lines.push((line, name == b"data"));
            rest = after;
        }
        this.ambiguous |= finds_data && misses_data;
        // A blank line between lines of data makes two events of them.
        let first = this.lines.iter().position(|(_, is_data)| *is_data).unwrap_or_default();
        let last = this.lines.iter().rposition(|(_, is_data)| *is_data).unwrap_or_default();
        this.ambiguous |= this.lines.iter().take(last).skip(first).any(|(line, _)| has_inner_blank(line));
        this
    }

    fn data(&self) -> Option<Cow<'a, [u8]>> {
        match self.values.as_slice() {
            [] => None,
            [one] => Some(Cow::Borrowed(one)),
            several => Some(Cow::Owned(several.join(&b'\n'))),
        }
    }

    /// Writes the lines with other data, one `data` line for each line of it.
    fn write(&self, data: &[u8], out: &mut Vec<u8>) {
        let mut written = false;
        for (line, is_data) in &self.lines {
            if !is_data {
                out.extend_from_slice(line);
            } else if !std::mem::replace(&mut written, true) {
                let ending = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                let ending = line.get(ending..).filter(|ending| !ending.is_empty()).unwrap_or(b"\n");
                let mut rest = Some(data);
                while let Some(text) = rest {
                    let (part, after) = text.split_at_checked(bytes::to_feed_length(text)).unwrap_or((text, &[]));
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(part);
                    out.extend_from_slice(ending);
                    rest = after.get(1..);
                }
            }
        }
    }
}

/// A line's field name and value; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let value = line.get(colon + 1..).unwrap_or_default();
            (line.get(..colon).unwrap_or_default(), value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, b""),
    }
}

/// Where Unicode ends lines beside LF and CR.
const UNICODE_ENDS: [&[u8]; 8] =
    [b"\x0B", b"\x0C", b"\x1C", b"\x1D", b"\x1E", "\u{85}".as_bytes(), "\u{2028}".as_bytes(), "\u{2029}".as_bytes()];

/// Whether a parser that ends lines there (Python's `str.splitlines`) finds data in the middle of this line.
/// Within JSON that can be read there is none: only its strings hold such characters, and no quotes.
fn has_inner_data(line: &[u8]) -> bool {
    let begins_line = |at: usize| UNICODE_ENDS.iter().any(|end| line.get(..at).is_some_and(|text| text.ends_with(end)));
    line.windows(5).enumerate().any(|(at, field)| field == b"data:" && begins_line(at))
}

/// Whether such a parser finds a blank line in this one, or at its end.
fn has_inner_blank(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
    let (mut is_blank, mut found) = (true, false);
    // The first bytes of those ends.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0x0B | 0x0C | 0x1C..=0x1E | 0xC2 | 0xE2)) {
        let from = rest.get(at..).unwrap_or_default();
        is_blank &= at == 0;
        match UNICODE_ENDS.iter().find_map(|end| from.strip_prefix(*end)) {
            Some(_) if is_blank => return true,
            Some(after) => (is_blank, found, rest) = (true, true, after),
            None => (is_blank, rest) = (false, from.get(1..).unwrap_or_default()),
        }
    }
    found && is_blank && rest.is_empty()
}

/// Whether some parser might find an object in it: all but text that begins with another visible character.
#[must_use]
pub fn could_be_json(text: &[u8]) -> bool {
    match text.trim_ascii_start().first() {
        None => false,
        Some(first) => !first.is_ascii_graphic() || matches!(first, b'{' | b'['),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(chunks: &[&[u8]], judge: &mut dyn FnMut(&Event<'_>) -> Verdict) -> String {
        let mut decoder = Decoder::new(1000);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(decoder.push(chunk, judge).unwrap_or_else(|| chunk.to_vec()));
        }
        out.extend(decoder.finish(judge));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_is_read_in_every_framing() {
        for (text, expected) in [
            ("data: a\n\n", "a"),
            ("data:a\r\n\r\n", "a"),
            ("data:  a\r\r", " a"),
            ("event: message\nid: 1\ndata: a\ndata: b\n\n", "a\nb"),
            ("data\n\n", ""),
            ("\u{feff}data: a\n\n", "a"),
            ("data: a", "a"),
            ("data: a\r\n", "a"),
        ] {
            let mut seen = Vec::new();
            let out = through(&[text.as_bytes()], &mut |event| {
                seen.extend(event.data.as_deref().map(|data| String::from_utf8(data.to_vec()).unwrap()));
                Verdict::Keep
            });
            assert_eq!((out.as_str(), seen), (text, vec![expected.to_owned()]), "{text:?}");
        }
    }

    #[test]
    fn an_event_leaves_with_the_chunk_that_ends_it() {
        let mut decoder = Decoder::new(1000);
        let mut keep = |_: &Event<'_>| Verdict::Keep;
        assert_eq!(decoder.push(b"data: a\n\n", &mut keep), None);
        assert_eq!(decoder.push(b"data: b\r\n\r", &mut keep), None);
        assert_eq!(decoder.push(b"\n", &mut keep), None);
        assert_eq!(decoder.push(b"data: ", &mut keep), Some(Vec::new()));
        assert_eq!(decoder.push(b"c\n\n: x", &mut keep), Some(b"data: c\n\n".to_vec()));
        assert_eq!(decoder.finish(&mut keep), b": x");
    }

    #[test]
    fn other_lines_survive_new_data() {
        let text = "retry: 5\r\ndata: a\r\n: note\r\ndata: b\r\nid: 7\r\n\r\n";
        let out = through(&[text.as_bytes()], &mut |_| Verdict::Replace(b"x\ny".to_vec()));
        assert_eq!(out, "retry: 5\r\ndata: x\r\ndata: y\r\n: note\r\nid: 7\r\n\r\n");
        assert_eq!(through(&[text.as_bytes(), b"data: c\n\n"], &mut |_| Verdict::Drop), "");
    }

    #[test]
    fn an_event_that_other_parsers_read_differently_is_noticed() {
        for (text, expected) in [
            ("data: \r{\"result\":1}\n\n", true),
            ("data: a\rdata: b\r\r", false),
            ("data: a\r\n{}\r\n\r\n", false),
            (": c\rid: 1\rretry: 2\rdata\r\r", false),
            ("data:\r\r{\"result\":1}\n\n", true),
            ("data: \r\n\r{\"result\":1}\n\n", true),
            ("data: 1\r\r\n{\"result\":1}\n\n", false),
            ("data: 1\r\r: c\r\r", false),
            ("data: {\"a\"\r: 1}\rdata: :1}\n\n", true),
            (": c\u{2028}data: {}\n\n", true),
            ("event: x\ndata: a\x0C\x0Cdata: {}\n\n", true),
            ("data: {\"a\":\"\u{85}data: b\"}\n\n", false),
            (": c\u{c5}data: {}\n\n", false),
            ("\r\rdata: ,\ndata: {}\n\n", true),
            ("event: x\rdata: ,\ndata: {}\n\n", true),
            ("event: x\rdata: {}\r\r", false),
            ("event: x\ndata: a\u{2028}\ndata: {}\n\n", true),
            ("event: x\ndata: a\u{c5}\u{2028}\u{85}b\r\ndata: {}\r\n\r\n", true),
            ("event: x\ndata: a\n\u{2028}: c\ndata: {}\n\n", true),
            ("event: x\ndata: a\u{2028}b\u{e9}\u{2028}\u{20ac}\ndata: {}\n\n", false),
            ("data: {\"a\":\"\u{2028}\u{2028}\"}\n\n", false),
            (": \u{85}\ndata: {\ndata: }\n\u{85}\n\n", false),
        ] {
            let mut ambiguous = false;
            through(&[text.as_bytes()], &mut |event| {
                ambiguous |= event.ambiguous;
                Verdict::Keep
            });
            assert_eq!(ambiguous, expected, "{text:?}");
        }
    }

    #[test]
    fn an_oversized_event_never_leaves() {
        let mut decoder = Decoder::new(10);
        let mut oversized = 0;
        let mut judge = |event: &Event<'_>| {
            oversized += usize::from(event.oversized);
            Verdict::Keep
        };
        let mut out = Vec::new();
        for chunk in [b"data: 12345".as_slice(), b"6789\r\n", b"\r\ndata: a\n\n"] {
            out.extend(decoder.push(chunk, &mut judge).unwrap_or_else(|| chunk.to_vec()));
        }
        out.extend(decoder.finish(&mut judge));
        assert_eq!((String::from_utf8(out).unwrap().as_str(), oversized), ("data: a\n\n", 1));
    }
}
