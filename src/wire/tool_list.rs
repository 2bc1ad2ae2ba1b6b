//! Takes tools out of `tools/list` results, told by content: any message whose `result.tools` is a list
//! (MCP, `tools/list`), whoever asked and on whatever stream it travels. Every other byte stays.
//!
//! What could be a list and cannot be read with certainty is [`Unreadable`]; the caller must not pass it.

use super::json::{self, Kind, Reader, Text};
use super::members::folds_to;
use std::ops::Range;

/// What a message turned out to be, and what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The new bytes; `None` when nothing was taken out.
    pub replaced: Option<Vec<u8>>,
    /// It holds a `result.tools` list.
    pub has_list: bool,
    /// It holds a `result`.
    pub has_result: bool,
    /// It holds an `error`.
    pub has_error: bool,
    /// How many tools were taken out.
    pub hidden: usize,
    /// The raw id of the last message in it.
    pub id: Option<String>,
}

/// A message that may hold a list and must not be passed on.
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

/// Removes every tool for which `visible` says no.
///
/// # Errors
/// When the bytes are not one strict JSON text, or when two parsers could find different tools in it.
pub fn rewrite(message: &[u8], visible: &dyn Fn(&str) -> bool) -> Result<Filtered, Unreadable> {
    let text = std::str::from_utf8(message).map_err(|_| Unreadable { reason: "it is not UTF-8", id: None })?;
    let mut scan = Scan { visible, filtered: Filtered::default(), cuts: Vec::new() };
    let mut reader = Reader::new(text);
    let outcome = scan.messages(&mut reader).and_then(|()| reader.end().map_err(Stop::from));
    let Scan { mut filtered, cuts, .. } = scan;
    match outcome {
        Ok(()) => {
            filtered.replaced = (!cuts.is_empty()).then(|| without(message, &cuts));
            Ok(filtered)
        }
        Err(Stop::NotJson) => Err(Unreadable { reason: "it is not JSON", id: None }),
        Err(Stop::Ambiguous(reason)) => Err(Unreadable { reason, id: filtered.id }),
    }
}

fn without(message: &[u8], cuts: &[Range<usize>]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(message.len());
    let mut from = 0;
    for cut in cuts {
        kept.extend_from_slice(message.get(from..cut.start).unwrap_or_default());
        from = cut.end;
    }
    kept.extend_from_slice(message.get(from..).unwrap_or_default());
    kept
}

struct Scan<'v> {
    visible: &'v dyn Fn(&str) -> bool,
    filtered: Filtered,
    /// Ascending byte ranges to leave out.
    cuts: Vec<Range<usize>>,
}

impl Scan<'_> {
    /// One message, or a batch of them: servers of old revisions may still answer in batches.
    fn messages(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        match reader.kind()? {
            Kind::Object => self.message(reader),
            Kind::Array => reader.array(|reader| match reader.kind()? {
                Kind::Object => self.message(reader),
                _ => skip(reader),
            }),
            _ => skip(reader),
        }
    }

    fn message(&mut self, reader: &mut Reader<'_>) -> Result<(), Stop> {
        let mut ambiguous = None;
        let mut seen = Seen::default();
        reader.object::<Stop>(|reader, name| {
            match seen.note(name, "result", &mut ambiguous) {
                Role::This if reader.kind()? == Kind::Object => {
                    self.filtered.has_result = true;
                    return self.result(reader, &mut ambiguous);
                }
                Role::This => self.filtered.has_result = true,
                Role::Other => {}
            }
            let value = reader.value()?;
            if name.is("error") && value.kind() != Kind::Null {
                self.filtered.has_error = true;
            }
            if name.is("id") && matches!(value.kind(), Kind::String | Kind::Number) {
                self.filtered.id = Some(value.as_str().to_owned());
            }
            Ok(())
        })?;
        ambiguous.map_or(Ok(()), |reason| Err(Stop::Ambiguous(reason)))
    }

    fn result(&mut self, reader: &mut Reader<'_>, ambiguous: &mut Option<&'static str>) -> Result<(), Stop> {
        let mut seen = Seen::default();
        reader.object::<Stop>(|reader, name| match seen.note(name, "tools", ambiguous) {
            Role::This if reader.kind()? == Kind::Array => {
                self.filtered.has_list = true;
                self.tools(reader, ambiguous)
            }
            Role::This => {
                *ambiguous = Some("it has `result.tools` that is not a list");
                skip(reader)
            }
            Role::Other => skip(reader),
        })
    }

    fn tools(&mut self, reader: &mut Reader<'_>, ambiguous: &mut Option<&'static str>) -> Result<(), Stop> {
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
            let Some(name) = tool_name(reader)? else {
                *ambiguous = Some("it has a tool without one readable name");
                return Ok(());
            };
            if (self.visible)(&name) {
                kept_before = true;
                return Ok(());
            }
            self.filtered.hidden += 1;
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
        match self.cuts.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.cuts.push(range),
        }
    }
}

fn skip(reader: &mut Reader<'_>) -> Result<(), Stop> {
    reader.value()?;
    Ok(())
}

/// The name of the tool that begins here, if exactly one can be read.
fn tool_name(reader: &mut Reader<'_>) -> Result<Option<String>, Stop> {
    if reader.kind()? != Kind::Object {
        skip(reader)?;
        return Ok(None);
    }
    let (mut seen, mut ambiguous, mut name) = (Seen::default(), None, None);
    reader.object::<Stop>(|reader, member| {
        let role = seen.note(member, "name", &mut ambiguous);
        let value = reader.value()?;
        if let Role::This = role {
            name = value.string().and_then(Text::decode).map(std::borrow::Cow::into_owned);
        }
        Ok(())
    })?;
    Ok(name.filter(|_| ambiguous.is_none()))
}

enum Role {
    This,
    Other,
}

/// Whether the member that matters has been seen, so that a second or a case variant is noticed.
#[derive(Default)]
struct Seen(bool);

impl Seen {
    fn note(&mut self, name: Text<'_>, wanted: &str, ambiguous: &mut Option<&'static str>) -> Role {
        let Some(name) = name.decode() else { return Role::Other };
        if !folds_to(&name, wanted) {
            return Role::Other;
        }
        if self.0 || name != wanted {
            *ambiguous = Some("it has members whose names are equal or differ only in case");
        }
        self.0 = true;
        Role::This
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<String, &'static str> {
        let visible = |name: &str| !name.starts_with('h');
        match rewrite(text.as_bytes(), &visible) {
            Ok(filtered) => {
                Ok(String::from_utf8(filtered.replaced.unwrap_or_else(|| text.as_bytes().to_vec())).unwrap())
            }
            Err(unreadable) => Err(unreadable.reason),
        }
    }

    #[test]
    fn hidden_tools_leave_and_every_other_byte_stays() {
        for (tools, expected) in [
            (r#"[]"#, r#"[]"#),
            (r#"[ {"name":"a"} ]"#, r#"[ {"name":"a"} ]"#),
            (r#"[{"name":"h"}]"#, r#"[]"#),
            (r#"[ {"name":"h1"} , {"name":"h2"} ]"#, r#"[]"#),
            (r#"[ {"name":"h"} , {"name":"a"} ]"#, r#"[ {"name":"a"} ]"#),
            (r#"[{"name":"a"}, {"name":"h"}, {"name":"b"}]"#, r#"[{"name":"a"}, {"name":"b"}]"#),
            (r#"[{"name":"a"},{"name":"h1"},{"name":"h2"}]"#, r#"[{"name":"a"}]"#),
            (r#"[{"name":"h1"},{"name":"h2"},{"name":"a"},{"name":"h3"}]"#, r#"[{"name":"a"}]"#),
            (r#"[{"x":{"name":"h"},"name":"a"}]"#, r#"[{"x":{"name":"h"},"name":"a"}]"#),
            (r#"[{"n\u0061me":"\u0068"},{"name":"a"}]"#, r#"[{"name":"a"}]"#),
        ] {
            let around = |tools: &str| {
                format!(r#" {{"id":1, "result":{{ "nextCursor":"","tools":{tools},"_meta":{{"x":1e400}} }}}} "#)
            };
            assert_eq!(rewritten(&around(tools)), Ok(around(expected)), "{tools}");
        }
    }

    #[test]
    fn batches_are_filtered_and_other_messages_left_alone() {
        let batch =
            r#"[{"id":1,"result":{"tools":[{"name":"h"}]}},{"id":2,"result":{"tools":[{"name":"h"},{"name":"a"}]}}]"#;
        let expected = r#"[{"id":1,"result":{"tools":[]}},{"id":2,"result":{"tools":[{"name":"a"}]}}]"#;
        assert_eq!(rewritten(batch), Ok(expected.into()));
        for text in [
            r#"{"id":1,"result":{"content":[{"tools":[{"name":"h"}]}]}}"#,
            r#"{"method":"x","params":{"result":{"tools":[{"name":"h"}]}}}"#,
            r#""text""#,
        ] {
            assert_eq!(rewritten(text), Ok(text.into()));
        }
    }

    #[test]
    fn what_could_be_a_list_and_cannot_be_read_is_refused() {
        for text in [
            r#"{"result":{"tools":[{"name":"a"}]}"#,
            r#"{"result":{"tools":[{"name":"a"}]}} x"#,
            r#"{"result":{"tools":{"a":1}}}"#,
            r#"{"result":{"tools":["a"]}}"#,
            r#"{"result":{"tools":[{"title":"a"}]}}"#,
            r#"{"result":{"tools":[{"name":1}]}}"#,
            r#"{"result":{"tools":[{"name":"a","name":"h"}]}}"#,
            r#"{"result":{"tools":[{"name":"a","Name":"h"}]}}"#,
            r#"{"result":{"tools":[],"tools":[{"name":"h"}]}}"#,
            r#"{"result":{"tools":[],"Tools":[{"name":"h"}]}}"#,
            r#"{"result":{},"result":{"tools":[{"name":"h"}]}}"#,
            r#"{"Result":{"tools":[{"name":"h"}]}}"#,
            r#"{"result":{"tool\u017f":[{"name":"h"}]}}"#,
        ] {
            assert!(rewritten(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tool_is_read_to_its_end_however_many_members_it_has() {
        let fillers: Vec<String> = (0..100).map(|index| format!("\"m{index}\":0")).collect();
        let list = |tool: &str| format!("{{\"result\":{{\"tools\":[{tool}]}}}}");
        let honest = list(&format!("{{{},\"name\":\"a\"}}", fillers.join(",")));
        assert_eq!(rewritten(&honest), Ok(honest.clone()));
        let doubled = list(&format!("{{\"name\":\"a\",{},\"name\":\"h\"}}", fillers.join(",")));
        assert!(rewritten(&doubled).is_err());
    }

    #[test]
    fn the_id_of_an_unreadable_list_is_kept_for_the_error() {
        let text = r#"{"jsonrpc":"2.0","result":{"tools":[1]},"id":"x"}"#;
        let unreadable = rewrite(text.as_bytes(), &|_| true).unwrap_err();
        assert_eq!(unreadable.id.as_deref(), Some("\"x\""));
    }
}
