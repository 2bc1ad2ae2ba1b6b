//! Filters a long list as it flows: the JSON of a `tools/list` answer and its like, element by element, with no more of
//! it in memory than one element and what stands around the list.
//!
//! What stands around it is read by [`rewrite`], as an answer with an empty list: before its first byte passes, and
//! again when it is whole. What then turns out to be unreadable ends the answer where it is, so that no client can take
//! it for whole.

use super::bytes;
use super::json::{self, Kind, Reader, Text};
use super::mcp::List;
use super::to_client::{Element, Filter, Unreadable, element, rewrite};

/// The largest element of a list that is filtered as it flows, and the most that may stand around the list, in bytes.
pub const MAX_ELEMENT_BYTES: usize = 4 << 20;
const TOO_LARGE: &str = "a part of it is too large to be read";
/// What closes an answer right after its list has begun.
const CLOSING: &[u8] = b"]}}";

/// A list that has begun and not ended.
#[derive(Debug)]
pub struct ListStream {
    list: List,
    /// What came before the list, with its bracket.
    head: Vec<u8>,
    /// The bytes of that which passed.
    passed: usize,
    /// What came and was not read yet.
    pending: Vec<u8>,
    /// How much must be pending before reading on is worth it.
    wanted: usize,
    brackets: Brackets,
    has_kept: bool,
    /// An element has been read.
    has_any: bool,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Elements,
    /// After the list's bracket.
    Tail,
    /// After the message: blanks alone may come.
    Blanks,
    /// Nothing more passes.
    Broken,
}

/// What became of the bytes that came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The bytes that pass.
    pub out: Vec<u8>,
    /// Why nothing more passes, once.
    pub broken: Option<&'static str>,
}

/// Counts brackets outside of strings, to tell without reading where the list and the message end, if they are JSON:
/// nothing may come after that it could be read with.
#[derive(Debug)]
struct Brackets {
    open: usize,
    is_string: bool,
    is_escaped: bool,
}

/// What ends in the bytes that came.
#[derive(Default)]
struct Ends {
    list: bool,
    /// The place right after the message.
    message: Option<usize>,
}

impl Brackets {
    /// Within the message, its result, and the list.
    const IN_LIST: Self = Self { open: 3, is_string: false, is_escaped: false };

    fn ends(&mut self, bytes: &[u8]) -> Ends {
        let mut ends = Ends::default();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let is_escaped = std::mem::take(&mut self.is_escaped);
            match byte {
                _ if is_escaped => {}
                b'"' => self.is_string = !self.is_string,
                b'\\' if self.is_string => self.is_escaped = true,
                _ if self.is_string => {
                    at += bytes::quoted_length(bytes.get(at..).unwrap_or_default());
                    continue;
                }
                b'[' | b'{' => self.open += 1,
                b']' | b'}' => {
                    self.open = self.open.saturating_sub(1);
                    ends.list |= self.open < Self::IN_LIST.open;
                    if self.open == 0 {
                        ends.message.get_or_insert(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        ends
    }
}

/// Why the search for a list ended.
enum Stop {
    Found(List, usize),
    Other,
}

impl From<json::Error> for Stop {
    fn from(_: json::Error) -> Self {
        Self::Other
    }
}

impl ListStream {
    /// Begins with the first bytes of an answer, if a list has begun in them; else the answer must be read as a whole.
    /// The bytes are taken in, as if [`Self::push`]ed.
    ///
    /// # Errors
    /// When what came before the list cannot be read with certainty.
    pub fn open(bytes: &[u8], filter: &mut dyn Filter) -> Result<Option<(Self, Flow)>, Unreadable> {
        // What is cut off in the middle of a character has no list that begins there.
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                bytes.get(..error.valid_up_to()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
            }
        };
        let Some((list, start)) = begins(text) else { return Ok(None) };
        let (head, rest) = bytes.split_at_checked(start).unwrap_or((bytes, &[]));
        let skeleton = [head, CLOSING].concat();
        let out = rewrite(&skeleton, filter)?.replaced.unwrap_or(skeleton);
        let out = out.get(..out.len().saturating_sub(CLOSING.len())).unwrap_or_default().to_vec();
        let (head, passed) = (head.to_vec(), out.len());
        let mut stream = Self {
            list,
            head,
            passed,
            pending: Vec::new(),
            wanted: 0,
            brackets: Brackets::IN_LIST,
            has_kept: false,
            has_any: false,
            part: Part::Elements,
        };
        let flow = stream.push(rest, filter);
        Ok(Some((stream, Flow { out: [out, flow.out].concat(), ..flow })))
    }

    /// The next bytes have come.
    pub fn push(&mut self, bytes: &[u8], filter: &mut dyn Filter) -> Flow {
        let mut flow = Flow::default();
        let mut after = bytes;
        if matches!(self.part, Part::Elements | Part::Tail) {
            let ends = self.brackets.ends(bytes);
            let (bytes, rest) = bytes.split_at_checked(ends.message.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
            after = rest;
            self.pending.extend_from_slice(bytes);
            if self.part == Part::Elements && (ends.list || self.pending.len() >= self.wanted) {
                self.elements(filter, &mut flow);
            }
            if ends.message.is_some() {
                self.tail(filter, &mut flow);
            }
        }
        if self.part == Part::Blanks {
            if after.trim_ascii().is_empty() {
                flow.out.extend_from_slice(after);
            } else {
                self.breaks("it has text after the message", &mut flow);
            }
        } else if self.part != Part::Broken && self.pending.len() > MAX_ELEMENT_BYTES {
            self.breaks(TOO_LARGE, &mut flow);
        }
        flow
    }

    /// The answer is whole.
    pub fn finish(&mut self, filter: &mut dyn Filter) -> Flow {
        let mut flow = Flow::default();
        if self.part == Part::Elements {
            self.elements(filter, &mut flow);
        }
        if matches!(self.part, Part::Elements | Part::Tail) {
            self.breaks("it is not JSON", &mut flow);
        }
        flow
    }

    /// Passes what stands after the list, all of which has come.
    fn tail(&mut self, filter: &mut dyn Filter, flow: &mut Flow) {
        match self.part {
            Part::Tail => {}
            Part::Elements => return self.breaks("it is not JSON", flow),
            Part::Blanks | Part::Broken => return,
        }
        let skeleton = [self.head.as_slice(), b"]", &self.pending].concat();
        match rewrite(&skeleton, filter) {
            Ok(filtered) if !filtered.is_refused => {
                let whole = filtered.replaced.unwrap_or(skeleton);
                flow.out.extend_from_slice(whole.get(self.passed..).unwrap_or_default());
                self.pending = Vec::new();
                self.part = Part::Blanks;
            }
            Ok(_) => self.breaks("it is a request that is not permitted by policy", flow),
            Err(unreadable) => self.breaks(unreadable.reason, flow),
        }
    }

    fn breaks(&mut self, reason: &'static str, flow: &mut Flow) {
        self.part = Part::Broken;
        self.pending = Vec::new();
        flow.broken = Some(reason);
    }

    /// Passes every element that is whole.
    fn elements(&mut self, filter: &mut dyn Filter, flow: &mut Flow) {
        let pending = std::mem::take(&mut self.pending);
        let (text, is_utf8) = match std::str::from_utf8(&pending) {
            Ok(text) => (text, true),
            Err(error) => {
                let valid = pending.get(..error.valid_up_to()).unwrap_or_default();
                (std::str::from_utf8(valid).unwrap_or_default(), error.error_len().is_none())
            }
        };
        let mut rest = text;
        while let Some(slot) = next_slot(rest, self.list, self.has_any, filter) {
            match slot {
                Slot::Unreadable(reason) => return self.breaks(reason, flow),
                Slot::Element { length, keeps, is_last } => {
                    if length > MAX_ELEMENT_BYTES {
                        return self.breaks(TOO_LARGE, flow);
                    }
                    let (slot, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
                    if keeps {
                        if self.has_kept {
                            flow.out.push(b',');
                        }
                        flow.out.extend_from_slice(slot.as_bytes());
                        self.has_kept = true;
                    }
                    self.has_any = true;
                    rest = after.get(1..).unwrap_or_default();
                    if is_last {
                        self.part = Part::Tail;
                        break;
                    }
                }
            }
        }
        if !is_utf8 && self.part == Part::Elements {
            return self.breaks("it is not UTF-8", flow);
        }
        let read = text.len() - rest.len();
        self.pending = pending.get(read..).unwrap_or_default().to_vec();
        // An element that comes in many pieces is not read anew for each of them.
        self.wanted = self.pending.len().saturating_mul(2);
    }
}

/// What stands before the next comma or bracket of a list.
enum Slot {
    Element { length: usize, keeps: bool, is_last: bool },
    Unreadable(&'static str),
}

/// `None` when it is not whole.
fn next_slot(text: &str, list: List, has_any: bool, filter: &mut dyn Filter) -> Option<Slot> {
    let mut reader = Reader::new(text);
    let start = reader.position_after_blanks();
    let keeps = if text.get(start..).is_some_and(|rest| rest.starts_with(']')) {
        // A list without elements; after a comma one must follow.
        if has_any {
            return Some(Slot::Unreadable("it is not JSON"));
        }
        true
    } else {
        match element(&mut reader, list, filter) {
            Ok(Element::Shown(keeps)) => keeps,
            Ok(Element::Ambiguous(reason)) => return next_byte(&mut reader, text).map(|_| Slot::Unreadable(reason)),
            Err(json::Error::Truncated(_)) => return None,
            Err(_) => return Some(Slot::Unreadable("it is not JSON")),
        }
    };
    let (length, next) = next_byte(&mut reader, text)?;
    match next {
        b',' => Some(Slot::Element { length, keeps, is_last: false }),
        b']' => Some(Slot::Element { length, keeps, is_last: true }),
        _ => Some(Slot::Unreadable("it is not JSON")),
    }
}

/// The byte after blanks, and its place.
fn next_byte(reader: &mut Reader<'_>, text: &str) -> Option<(usize, u8)> {
    let at = reader.position_after_blanks();
    Some((at, *text.as_bytes().get(at)?))
}

/// The list of the result of the one message that begins in `text`, and the place of its first element.
fn begins(text: &str) -> Option<(List, usize)> {
    let mut reader = Reader::new(text);
    if reader.kind().ok()? != Kind::Object {
        return None;
    }
    let outcome = reader.object::<Stop>(|reader, name| {
        if name.is("result") && reader.kind()? == Kind::Object {
            return reader.object::<Stop>(|reader, name| match list_of(name) {
                Some(list) if reader.kind()? == Kind::Array => {
                    Err(Stop::Found(list, reader.position_after_blanks() + 1))
                }
                _ => skip(reader),
            });
        }
        skip(reader)
    });
    match outcome {
        Err(Stop::Found(list, start)) => Some((list, start)),
        Ok(()) | Err(Stop::Other) => None,
    }
}

fn skip(reader: &mut Reader<'_>) -> Result<(), Stop> {
    reader.value()?;
    Ok(())
}

fn list_of(name: Text<'_>) -> Option<List> {
    List::ALL.into_iter().find(|list| name.is(list.member()))
}

#[cfg(test)]
mod tests;
