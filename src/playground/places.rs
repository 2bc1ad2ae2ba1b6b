//! Where the values of a document stand in its text: RFC 6901 pointer → a span, as an editor marks it.

use crate::policy::Pointer;
use crate::wire::json::{Error, Kind, Reader};
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

/// A span of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// In UTF-16 units.
    start: usize,
    end: usize,
    /// Of `start`, from 1 on.
    line: usize,
    column: usize,
}

/// Where one value stands, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    /// Its member's name, with the quotes.
    name: Option<Range<usize>>,
    value: Range<usize>,
    is_doubled: bool,
}

/// The places of one text.
#[derive(Debug)]
pub(super) struct Places<'t> {
    text: &'t str,
    /// Where each line begins, in bytes and in UTF-16 units.
    lines: Vec<(usize, usize)>,
    /// By pointer; made when the first is asked for.
    spots: OnceCell<BTreeMap<String, Spot>>,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut lines = vec![(0, 0)];
        let (mut bytes, mut units) = (0, 0);
        for line in text.split_inclusive('\n') {
            bytes += line.len();
            units += line.encode_utf16().count();
            lines.push((bytes, units));
        }
        // What the last line end begins, or nothing.
        if !text.ends_with('\n') {
            lines.pop();
        }
        Self { text, lines, spots: OnceCell::new() }
    }

    /// Of the value at `pointer`; the nearest around it where it has none.
    pub(super) fn of(&self, pointer: &Pointer) -> Place {
        self.spot(pointer).map_or_else(|| self.place(0..0), |spot| self.mark(spot))
    }

    /// Of the name of the member at `pointer`.
    pub(super) fn of_name(&self, pointer: &Pointer) -> Place {
        let spot = self.spot(pointer);
        self.place(spot.map_or(0..0, |spot| spot.name.as_ref().unwrap_or(&spot.value).clone()))
    }

    /// Of what `rule` is called after, a pointer whose last name may be the rule's own; `None` where it stands nowhere.
    pub(super) fn of_rule(&self, rule: &str) -> Option<Place> {
        let (list, name) = rule.rsplit_once('/')?;
        let pointer = if self.spots().contains_key(rule) { rule.to_owned() } else { self.element(list, name)? };
        Some(self.mark(self.spots().get(&pointer)?))
    }

    /// Of the character at the byte `at`; of nothing where the text ends.
    pub(super) fn at_byte(&self, at: usize) -> Place {
        let length = self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        self.place(at..at + length)
    }

    fn spots(&self) -> &BTreeMap<String, Spot> {
        self.spots.get_or_init(|| {
            let mut spots = BTreeMap::new();
            // What cannot be read has no places.
            let read = read(&mut Reader::new(self.text), self.text, &Pointer::root(), None, &mut spots);
            if read.is_ok() { spots } else { BTreeMap::new() }
        })
    }

    fn spot(&self, pointer: &Pointer) -> Option<&Spot> {
        let mut pointer = pointer.as_str();
        loop {
            if let Some(spot) = self.spots().get(pointer) {
                return Some(spot);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// The element of the list at `list` that a rule names `name`, by its id, its counter or its text; else the list,
    /// where it is a single rule.
    fn element(&self, list: &str, name: &str) -> Option<String> {
        let is_named = |place: &String| {
            let spot = self.spots().get(place);
            let text = spot.and_then(|spot| Reader::new(self.text.get(spot.value.clone())?).string()?.decode());
            text.is_some_and(|text| Pointer::root().child(text).as_str().strip_prefix('/') == Some(name))
        };
        let elements = (0..).map(|index| format!("{list}/{index}"));
        let mut elements = elements.take_while(|element| self.spots().contains_key(element));
        let named = |element: &String| {
            [element.clone(), format!("{element}/id"), format!("{element}/counter")].iter().any(is_named)
        };
        elements.find(named).or_else(|| self.spots().contains_key(list).then(|| list.to_owned()))
    }

    fn mark(&self, spot: &Spot) -> Place {
        let is_nest = self.text.get(spot.value.clone()).is_some_and(|value| value.starts_with(['{', '[']));
        self.place(match &spot.name {
            Some(name) if is_nest || spot.is_doubled => name.clone(),
            None if is_nest => spot.value.start..spot.value.start + 1,
            _ => spot.value.clone(),
        })
    }

    fn place(&self, span: Range<usize>) -> Place {
        let (line, (start, column)) = self.units(span.start);
        let (_, (end, _)) = self.units(span.end);
        Place { start, end, line: line + 1, column: column + 1 }
    }

    /// The line of the byte `at`, and in UTF-16 units its place in the text and in that line.
    fn units(&self, at: usize) -> (usize, (usize, usize)) {
        let line = self.lines.partition_point(|(bytes, _)| *bytes <= at).saturating_sub(1);
        let (bytes, units) = self.lines.get(line).copied().unwrap_or_default();
        let column = self.text.get(bytes..at).unwrap_or_default().encode_utf16().count();
        (line, (units + column, column))
    }
}

/// Notes the value that comes next, the one at `at`, and all within it. Recursion is bounded by the reader's depth.
fn read(
    reader: &mut Reader<'_>,
    text: &str,
    at: &Pointer,
    name: Option<Range<usize>>,
    spots: &mut BTreeMap<String, Spot>,
) -> Result<(), Error> {
    let kind = reader.kind()?;
    let start = reader.position();
    match kind {
        Kind::Object => {
            let mut before = start;
            reader.object::<Error>(|reader, member| {
                let name = quoted(text, before);
                // A member without characters has no pointer.
                let member = member.decode().unwrap_or_default();
                read(reader, text, &at.child(member), name, spots)?;
                before = reader.position();
                Ok(())
            })?;
        }
        Kind::Array => {
            let mut index = 0;
            reader.array::<Error>(|reader| {
                read(reader, text, &at.child(index), None, spots)?;
                index += 1;
                Ok(())
            })?;
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => drop(reader.value()?),
    }
    let is_doubled = spots.contains_key(at.as_str());
    spots.insert(at.as_str().to_owned(), Spot { name, value: start..reader.position(), is_doubled });
    Ok(())
}

/// The first string after the byte `after`.
fn quoted(text: &str, after: usize) -> Option<Range<usize>> {
    let start = after + text.get(after..)?.find('"')?;
    let string = Reader::new(text.get(start..)?).value().ok()?;
    Some(start..start + string.as_str().len())
}
