//! Takes members out of a JSON text without changing its length: a body whose length the headers have told already.

use super::json::Raw;

/// `text` with blanks where these members are, each told by its value; `None` when one is no member of an object in it.
/// INVARIANT: no name of theirs holds a quote.
#[must_use]
pub fn without_members(text: &[u8], values: &[Raw<'_>]) -> Option<Vec<u8>> {
    let mut out = text.to_vec();
    for value in values {
        let span = value.span();
        let colon = last_visible(&out, span.start)?;
        let end_of_name = last_visible(&out, colon)?;
        if (out.get(colon), out.get(end_of_name)) != (Some(&b':'), Some(&b'"')) {
            return None;
        }
        let start = out.get(..end_of_name)?.iter().rposition(|byte| *byte == b'"')?;
        out.get_mut(start..span.end)?.fill(b' ');
        let next = out.iter().skip(span.end).position(|byte| !byte.is_ascii_whitespace())? + span.end;
        // The comma after it goes along, or, of the last member, the one before.
        let comma = if out.get(next) == Some(&b',') { Some(next) } else { last_visible(&out, start) };
        if let Some(byte) = comma.and_then(|comma| out.get_mut(comma)).filter(|byte| **byte == b',') {
            *byte = b' ';
        }
    }
    Some(out)
}

/// The place of the last byte before `end` that is no blank.
fn last_visible(text: &[u8], end: usize) -> Option<usize> {
    text.get(..end)?.iter().rposition(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::super::json::Reader;
    use super::super::members::Members;
    use super::*;

    #[test]
    fn what_is_left_is_the_object_without_them() {
        for text in [
            r#"{"x":1}"#,
            r#"{"x":1,"y":[2]}"#,
            r#"{"a":"\",","x" : {"x":1} ,"b":0}"#,
            r#"{ "y":"" , "a":1}"#,
            r#"{"a":1, "x":1, "y":2}"#,
            r#"{"x":1,"a":[1,2],"\u0079":2}"#,
            r#"{"a":1}"#,
        ] {
            let members = Members::read(&mut Reader::new(text)).unwrap();
            let gone: Vec<_> = ["x", "y"].into_iter().filter_map(|name| members.get(name)).collect();
            let out = without_members(text.as_bytes(), &gone).unwrap();
            assert_eq!(out.len(), text.len(), "{text}");
            let mut expected: serde_json::Value = serde_json::from_str(text).unwrap();
            expected.as_object_mut().unwrap().retain(|name, _| name == "a" || name == "b");
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), expected, "{text}");
        }
    }
}
