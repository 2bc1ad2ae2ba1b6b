//! Adds to the `_meta` of a result (MCP, general fields) what its server does not know.

use super::json::{Error, Kind, Reader};
use std::ops::Range;

/// The response `message` with `member` of its result's `_meta` set to `value`, the text of a JSON value; every other byte
/// stays. `None` when it is not the one response with this raw id, has no result that is an object, or a `_meta` that is
/// none, or is not one JSON text.
#[must_use]
pub fn with_meta(message: &[u8], id: &str, member: &str, value: &str) -> Option<Vec<u8>> {
    let mut place = Place::default();
    let mut has_id = false;
    let mut reader = Reader::new(std::str::from_utf8(message).ok()?);
    if reader.kind().ok()? != Kind::Object {
        return None;
    }
    let read = reader.object::<Error>(|reader, name| {
        if name.is("result") && reader.kind()? == Kind::Object {
            return place.read_result(reader, member);
        }
        let read = reader.value()?;
        has_id |= name.is("id") && read.as_str() == id;
        Ok(())
    });
    read.and_then(|()| reader.end()).ok()?;
    let (range, text) = place.edit(member, value)?;
    let (before, after) = (message.get(..range.start)?, message.get(range.end..)?);
    has_id.then(|| [before, text.as_bytes(), after].concat())
}

/// Where in a result the member belongs.
#[derive(Default)]
struct Place {
    /// After the result's bracket, and whether anything follows in it.
    result: Option<(usize, bool)>,
    /// The same of its `_meta`; `Err` when that is no object.
    meta: Option<Result<(usize, bool), ()>>,
    /// The value that a server gave the member.
    given: Option<Range<usize>>,
    /// Something is there twice.
    is_doubled: bool,
}

impl Place {
    fn read_result(&mut self, reader: &mut Reader<'_>, member: &str) -> Result<(), Error> {
        self.is_doubled |= self.result.is_some();
        let start = reader.position_after_blanks() + 1;
        let mut has_members = false;
        reader.object::<Error>(|reader, name| {
            has_members = true;
            if !name.is("_meta") {
                return reader.value().map(drop);
            }
            self.is_doubled |= self.meta.is_some();
            if reader.kind()? != Kind::Object {
                self.meta = Some(Err(()));
                return reader.value().map(drop);
            }
            self.read_meta(reader, member)
        })?;
        self.result = Some((start, has_members));
        Ok(())
    }

    fn read_meta(&mut self, reader: &mut Reader<'_>, member: &str) -> Result<(), Error> {
        let start = reader.position_after_blanks() + 1;
        let mut has_members = false;
        reader.object::<Error>(|reader, name| {
            has_members = true;
            let value = reader.value()?;
            if name.is(member) {
                self.is_doubled |= self.given.is_some();
                self.given = Some(value.span());
            }
            Ok(())
        })?;
        self.meta = Some(Ok((start, has_members)));
        Ok(())
    }

    /// Which bytes give way to what.
    fn edit(self, member: &str, value: &str) -> Option<(Range<usize>, String)> {
        if self.is_doubled {
            return None;
        }
        let (result, has_members) = self.result?;
        let comma = |follows: bool| if follows { "," } else { "" };
        match (self.meta, self.given) {
            (Some(Err(())), _) => None,
            // Whoever answers, the gateway alone knows this.
            (_, Some(given)) => Some((given, value.to_owned())),
            (Some(Ok((meta, follows))), None) => Some((meta..meta, format!("\"{member}\":{value}{}", comma(follows)))),
            (None, None) => Some((result..result, format!("\"_meta\":{{\"{member}\":{value}}}{}", comma(has_members)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_stands_in_the_result_s_meta_and_all_else_stays() {
        for (message, expected) in [
            (r#"{"id":1,"result":{}}"#, Some(r#"{"id":1,"result":{"_meta":{"m":[2]}}}"#)),
            (r#"{"result":{ "a" : 1.0 },"id":1} "#, Some(r#"{"result":{"_meta":{"m":[2]}, "a" : 1.0 },"id":1} "#)),
            (r#"{"id":1,"result":{"_meta":{}}}"#, Some(r#"{"id":1,"result":{"_meta":{"m":[2]}}}"#)),
            (
                r#"{"id":1,"result":{"a":"é","_meta": {"x":{"m":0}}}}"#,
                Some(r#"{"id":1,"result":{"a":"é","_meta": {"m":[2],"x":{"m":0}}}}"#),
            ),
            (
                r#"{"id":1,"result":{"_meta":{"x":1,"\u006d":9}}}"#,
                Some(r#"{"id":1,"result":{"_meta":{"x":1,"\u006d":[2]}}}"#),
            ),
            (r#"{"id":"1","result":{}}"#, None),
            (r#"{"id":1,"error":{}}"#, None),
            (r#"{"id":1,"result":[]}"#, None),
            (r#"{"id":1,"result":{"_meta":null}}"#, None),
            (r#"{"id":1,"result":{"_meta":{},"_meta":{}}}"#, None),
            (r#"{"id":1,"result":{"_meta":{"m":1,"m":2}}}"#, None),
            (r#"{"id":1,"result":{}}x"#, None),
            (r#"[{"id":1,"result":{}}]"#, None),
            ("", None),
        ] {
            let new = with_meta(message.as_bytes(), "1", "m", "[2]");
            assert_eq!(new.as_deref(), expected.map(str::as_bytes), "{message}");
        }
    }
}
