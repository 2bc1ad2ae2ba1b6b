//! Filters what flows to a client, told by content, whoever asked and on whatever stream it travels.
//!
//! Takes out of every `result.tools`, `result.prompts`, `result.resources` and `result.resourceTemplates`
//! what is not to be seen (MCP, `tools/list` and its like), and finds the requests that a server makes of
//! its client (`sampling/createMessage`, `elicitation/create`, `roots/list`): on their own, or as
//! `result.inputRequests` since 2026-07-28. Every other byte stays.
//!
//! What could be a list and cannot be read with certainty is [`Unreadable`]; the caller must not pass it.

use super::json::{self, Kind, Raw, Reader, Text};
use super::mcp::{Feature, List};
use super::members::{Members, folds_to};
use std::borrow::Cow;
use std::ops::Range;

/// Says what may flow to the client.
pub trait Filter {
    /// Whether this may stand in a list: what it is, its name, and all that the list says of it.
    fn shows(&mut self, feature: Feature, name: &str, definition: Raw<'_>) -> bool;

    /// Whether [`Self::permits`] can say no; without that, requests are not looked for.
    fn judges_requests(&self) -> bool;

    /// Whether the server may make a request of this method.
    fn permits(&mut self, method: &str) -> bool;

    /// How long a client may keep a list, in milliseconds, where what is shown may be another thing to another client
    /// or tomorrow; `None`: as the server says.
    fn keeps_ms(&self) -> Option<u64>;
}

/// What a message turned out to be, and what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The new bytes; `None` when nothing was taken out.
    pub replaced: Option<Vec<u8>>,
    /// The lists that it holds.
    pub lists: Vec<List>,
    /// It holds a `result`.
    pub has_result: bool,
    /// It holds an `error`.
    pub has_error: bool,
    /// Nothing of it may pass: it was a request that is not permitted, or a batch of them.
    pub is_refused: bool,
    /// The raw id of the last message in it.
    pub id: Option<String>,
}

/// A message that may hold a list, or asks for what is not permitted, and must not be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// One clause, for the log and the caller.
    pub reason: &'static str,
    /// The raw id to answer under, where one was read.
    pub id: Option<String>,
}

/// What stops the reading of one message.
enum Stop {
    NotJson,
    Ambiguous(&'static str),
}

impl From<json::Error> for Stop {
    fn from(_: json::Error) -> Self {
        Self::NotJson
    }
}

const DOUBLED: &str = "it has members whose names are equal or differ only in case";

/// Removes every element of a list that is not visible, and every request of a batch that is not permitted.
///
/// # Errors
/// When the bytes are not one strict JSON text, when two parsers could find different things in it, or when
/// its result asks for what is not permitted.
pub fn rewrite(message: &[u8], filter: &mut dyn Filter) -> Result<Filtered, Unreadable> {
    let text = std::str::from_utf8(message).map_err(|_| Unreadable { reason: "it is not UTF-8", id: None })?;
    let mut scan = Scan { filter, filtered: Filtered::default(), edits: Vec::new() };
    let mut reader = Reader::new(text);
    let outcome = scan.messages(&mut reader).and_then(|()| reader.end().map_err(Stop::from));
    let Scan { mut filtered, edits, .. } = scan;
    match outcome {
        Ok(()) => {
            filtered.replaced = (!edits.is_empty()).then(|| edited(message, &edits));
            Ok(filtered)
        }
        Err(Stop::NotJson) => Err(Unreadable { reason: "it is not JSON", id: None }),
        Err(Stop::Ambiguous(reason)) => Err(Unreadable { reason, id: filtered.id }),
    }
}

/// Bytes that are not passed on, and what stands in their place.
struct Edit {
    range: Range<usize>,
    with: Cow<'static, str>,
}

fn edited(message: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(message.len());
    let mut from = 0;
    for Edit { range, with } in edits {
        kept.extend_from_slice(message.get(from..range.start).unwrap_or_default());
        kept.extend_from_slice(with.as_bytes());
        from = range.end;
    }
    kept.extend_from_slice(message.get(from..).unwrap_or_default());
    kept
}

struct Scan<'f> {
    filter: &'f mut dyn Filter,
    filtered: Filtered,
    /// Ascending.
    edits: Vec<Edit>,
}

impl Scan<'_> {
    /// One message, or a batch of them: servers of old revisions may still answer in batches.
    fn messages(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        match reader.kind()? {
            Kind::Object => self.filtered.is_refused = !self.message(reader)?,
            Kind::Array => {
                let (mut kept, mut dropped) = (0, 0);
                self.retain(reader, |scan, reader| {
                    let keeps = match reader.kind()? {
                        Kind::Object => scan.message(reader)?,
                        _ => skip(reader).map(|()| true)?,
                    };
                    *(if keeps { &mut kept } else { &mut dropped }) += 1;
                    Ok(keeps)
                })?;
                self.filtered.is_refused = kept == 0 && dropped > 0;
            }
            _ => skip(reader)?,
        }
        Ok(())
    }

    /// Reads one message; `false` when it is a request that is not permitted.
    fn message(&mut self, reader: &mut Reader<'_>) -> Result<bool, Stop> {
        let mut ambiguous = None;
        let mut seen = Seen::default();
        let mut request = Request::default();
        reader.object::<Stop>(|reader, name| {
            if seen.note(name, "result", &mut ambiguous) {
                self.filtered.has_result = true;
                if reader.kind()? == Kind::Object {
                    return self.result(reader, &mut ambiguous);
                }
            }
            let value = reader.value()?;
            if self.filter.judges_requests() {
                request.note(name, value, &mut ambiguous);
            }
            if name.is("error") && value.kind() != Kind::Null {
                self.filtered.has_error = true;
            }
            if name.is("id") && matches!(value.kind(), Kind::String | Kind::Number) {
                self.filtered.id = Some(value.as_str().to_owned());
            }
            Ok(())
        })?;
        match ambiguous {
            Some(reason) => Err(Stop::Ambiguous(reason)),
            None => Ok(request.method().is_none_or(|method| self.filter.permits(method))),
        }
    }

    fn result(&mut self, reader: &mut Reader<'_>, ambiguous: &mut Option<&'static str>) -> Result<(), Stop> {
        let mut seen = List::ALL.map(|list| (list, Seen::default()));
        let mut inputs = Seen::default();
        let (keeps_ms, lists, mut hints) = (self.filter.keeps_ms(), self.filtered.lists.len(), Vec::new());
        reader.object::<Stop>(|reader, name| {
            for (list, seen) in &mut seen {
                if !seen.note(name, list.member(), ambiguous) {
                    continue;
                }
                if reader.kind()? == Kind::Array {
                    self.filtered.lists.push(*list);
                    return self.list(*list, reader, ambiguous);
                }
                *ambiguous = Some(not_a_list(*list));
            }
            if self.filter.judges_requests()
                && inputs.note(name, "inputRequests", ambiguous)
                && reader.kind()? == Kind::Object
            {
                return self.input_requests(reader, ambiguous);
            }
            let value = reader.value()?;
            hints.extend(keeps_ms.and_then(|keeps_ms| corrected(name, value, keeps_ms)));
            Ok(())
        })?;
        if self.filtered.lists.len() > lists {
            for hint in hints {
                let place = self.edits.partition_point(|edit| edit.range.start < hint.range.start);
                self.edits.insert(place, hint);
            }
        }
        Ok(())
    }

    fn list(&mut self, list: List, reader: &mut Reader<'_>, ambiguous: &mut Option<&'static str>) -> Result<(), Stop> {
        self.retain(reader, |scan, reader| {
            Ok(match element(reader, list, scan.filter)? {
                Element::Shown(shown) => shown,
                Element::Ambiguous(reason) => {
                    *ambiguous = Some(reason);
                    true
                }
            })
        })
    }

    /// What the server asks of its client before it goes on (MCP 2026-07-28, multi-round-trip requests).
    fn input_requests(&mut self, reader: &mut Reader<'_>, ambiguous: &mut Option<&'static str>) -> Result<(), Stop> {
        reader.object::<Stop>(|reader, _| {
            if reader.kind()? != Kind::Object {
                return skip(reader);
            }
            let members = Members::read(reader)?;
            if members.fault().is_some() || members.misspelt(&["method"]).is_some() {
                *ambiguous = Some(DOUBLED);
            }
            let method = members.get("method").and_then(|method| method_of(method, ambiguous));
            if !method.is_none_or(|method| self.filter.permits(&method)) {
                *ambiguous = Some("it makes a request that is not permitted by policy");
            }
            Ok(())
        })
    }

    /// Reads an array; the elements for which `keeps` says no are cut out, with a comma beside them.
    fn retain<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        mut keeps: impl FnMut(&mut Self, &mut Reader<'a>) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        // An element's slot runs from after the bracket or comma before it to before the one after it.
        let mut kept_before = false;
        let mut open_cut: Option<usize> = None;
        reader.array::<Stop>(|reader| {
            // INVARIANT: `array` stands right after the bracket or the comma here.
            let start = reader.position();
            // A first element that is cut takes the comma after it along.
            if let Some(cut) = open_cut.take() {
                self.cut(cut..start);
            }
            if keeps(self, reader)? {
                kept_before = true;
                return Ok(());
            }
            let end = reader.position_after_blanks();
            if kept_before {
                self.cut(start - 1..end);
            } else {
                self.cut(start..end);
                open_cut = Some(end);
            }
            Ok(())
        })
    }

    fn cut(&mut self, range: Range<usize>) {
        // What was cut out of an element goes with it.
        while self.edits.last().is_some_and(|last| last.range.start > range.start) {
            self.edits.pop();
        }
        match self.edits.last_mut() {
            Some(Edit { range: last, with }) if last.end == range.start && with.is_empty() => last.end = range.end,
            _ => self.edits.push(Edit { range, with: Cow::Borrowed("") }),
        }
    }
}

/// What a message says of the request that it may be.
#[derive(Default)]
struct Request<'a> {
    method: Option<Cow<'a, str>>,
    methods: Seen,
    has_id: bool,
}

impl<'a> Request<'a> {
    fn note(&mut self, name: Text<'a>, value: Raw<'a>, ambiguous: &mut Option<&'static str>) {
        if self.methods.note(name, "method", ambiguous) {
            self.method = method_of(value, ambiguous);
        }
        self.has_id |= name.decode().is_some_and(|name| folds_to(&name, "id"));
    }

    /// The method, of a request.
    fn method(&self) -> Option<&str> {
        self.method.as_deref().filter(|_| self.has_id)
    }
}

/// The method that `value` is, where it is a string.
fn method_of<'a>(value: Raw<'a>, ambiguous: &mut Option<&'static str>) -> Option<Cow<'a, str>> {
    let method = value.string()?.decode();
    if method.is_none() {
        *ambiguous = Some("it has a method that is not valid Unicode");
    }
    method
}

/// A cache hint of a list that is not the same for all (MCP 2026-07-28, caching): nobody else may be shown it, and it may
/// not be kept longer than that.
fn corrected(name: Text<'_>, value: Raw<'_>, keeps_ms: u64) -> Option<Edit> {
    let name = name.decode()?;
    let with = if folds_to(&name, "cacheScope") && !value.string().is_some_and(|scope| scope.is("private")) {
        Cow::Borrowed("\"private\"")
    } else if folds_to(&name, "ttlMs") && !is_at_most(value, keeps_ms) {
        Cow::Owned(keeps_ms.to_string())
    } else {
        return None;
    };
    Some(Edit { range: value.span(), with })
}

fn is_at_most(value: Raw<'_>, most: u64) -> bool {
    // No setting comes near what a float cannot hold.
    value.kind() == Kind::Number
        && value.as_str().parse().is_ok_and(|number: f64| (0.0..=most as f64).contains(&number))
}

fn not_a_list(list: List) -> &'static str {
    match list {
        List::Tools => "it has `result.tools` that is not a list",
        List::Prompts => "it has `result.prompts` that is not a list",
        List::Resources => "it has `result.resources` that is not a list",
        List::ResourceTemplates => "it has `result.resourceTemplates` that is not a list",
    }
}

fn without_name(list: List) -> &'static str {
    match list {
        List::Tools => "it has a tool without one readable name",
        List::Prompts => "it has a prompt without one readable name",
        List::Resources => "it has a resource without one readable uri",
        List::ResourceTemplates => "it has a resource template without one readable uriTemplate",
    }
}

fn skip(reader: &mut Reader<'_>) -> Result<(), Stop> {
    reader.value()?;
    Ok(())
}

/// What one element of a list is.
pub(super) enum Element {
    /// Whether it may be seen.
    Shown(bool),
    /// It has no single name.
    Ambiguous(&'static str),
}

/// Reads one element of a list, and judges it.
pub(super) fn element(reader: &mut Reader<'_>, list: List, filter: &mut dyn Filter) -> Result<Element, json::Error> {
    let start = reader.position_after_blanks();
    Ok(match name_of(reader, list.name_member())? {
        Some(name) => Element::Shown(filter.shows(list.feature(), &name, reader.since(start))),
        None => Element::Ambiguous(without_name(list)),
    })
}

/// The name of what is described here, if exactly one can be read.
fn name_of(reader: &mut Reader<'_>, member: &str) -> Result<Option<String>, json::Error> {
    if reader.kind()? != Kind::Object {
        reader.value()?;
        return Ok(None);
    }
    let (mut seen, mut ambiguous, mut name) = (Seen::default(), None, None);
    reader.object::<json::Error>(|reader, found| {
        let is_name = seen.note(found, member, &mut ambiguous);
        let value = reader.value()?;
        if is_name {
            name = value.string().and_then(Text::decode).map(Cow::into_owned);
        }
        Ok(())
    })?;
    Ok(name.filter(|_| ambiguous.is_none()))
}

/// Whether the member that matters has been seen, so that a second or a case variant is noticed.
#[derive(Default)]
struct Seen(bool);

impl Seen {
    /// Whether `name` is `wanted`, to some parser.
    fn note(&mut self, name: Text<'_>, wanted: &str, ambiguous: &mut Option<&'static str>) -> bool {
        let Some(name) = name.decode() else { return false };
        if !folds_to(&name, wanted) {
            return false;
        }
        if self.0 || name != wanted {
            *ambiguous = Some(DOUBLED);
        }
        self.0 = true;
        true
    }
}

#[cfg(test)]
mod tests;
