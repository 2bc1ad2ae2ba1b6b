//! Canonical JSON (RFC 8785, the JSON Canonicalization Scheme): [`Tree`] → the one text that all equal values have.
//!
//! What has no canonical text is refused: a number that is no finite double, a string with half of a surrogate pair.

use super::json::{Kind, Raw};
use super::reply::string;
use super::tree::Tree;
use std::fmt::Write;

/// A value that has no canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCanonical;

/// Appends the canonical text of `tree` to `out`.
///
/// # Errors
/// See [`NotCanonical`].
pub fn write(tree: &Tree<'_>, out: &mut String) -> Result<(), NotCanonical> {
    match tree {
        Tree::Leaf(raw) => leaf(*raw, out),
        Tree::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                separate(index, out);
                write(element, out)?;
            }
            out.push(']');
            Ok(())
        }
        Tree::Object(members) => write_members(members.iter().map(|(name, value)| (name.as_ref(), value)), out),
    }
}

/// Appends the object of these members, whose names are distinct.
///
/// # Errors
/// See [`NotCanonical`].
pub fn write_members<'m, 'a: 'm>(
    members: impl Iterator<Item = (&'m str, &'m Tree<'a>)>,
    out: &mut String,
) -> Result<(), NotCanonical> {
    let mut members: Vec<_> = members.collect();
    // RFC 8785, 3.2.3: by UTF-16 code units, which differs from the order of characters beyond the first plane.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        separate(index, out);
        out.push_str(&string(name));
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

fn leaf(raw: Raw<'_>, out: &mut String) -> Result<(), NotCanonical> {
    match raw.kind() {
        Kind::Number => {
            let number: f64 = raw.as_str().parse().map_err(|_| NotCanonical)?;
            if !number.is_finite() {
                return Err(NotCanonical);
            }
            // 3.2.2.3: as ECMAScript writes it, and it knows one zero.
            let number = if number == 0.0 { 0.0 } else { number };
            out.push_str(ryu_js::Buffer::new().format_finite(number));
        }
        Kind::String => {
            let text = raw.string().and_then(|text| text.decode()).ok_or(NotCanonical)?;
            let _ = write!(out, "{}", string(&text));
        }
        Kind::Null | Kind::Bool | Kind::Array | Kind::Object => out.push_str(raw.as_str()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::json::Reader;
    use super::*;

    fn canonical(text: &str) -> Result<String, NotCanonical> {
        let tree = Tree::read(Reader::new(text).value().unwrap()).unwrap();
        let mut out = String::new();
        write(&tree, &mut out).map(|()| out)
    }

    #[test]
    fn equal_values_have_one_text() {
        for (text, expected) in [
            (r#"{ "b" : [ 1 , 2.0, 1e2 ], "a" : null }"#, r#"{"a":null,"b":[1,2,100]}"#),
            (
                r#"[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, -0]"#,
                "[333333333.3333333,1e+30,4.5,0.002,1e-27,0]",
            ),
            (r#""\u20ac$\u000F\nA'\u0042\u0022\u005c\\\"\/\u007f""#, "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\""),
            // In the order of UTF-16 code units: the pair begins with 0xD83D, below 0xFB33.
            (
                r#"{"\ufb33":1,"\ud83d\ude00":2,"\u20ac":3,"\r":4,"1":5}"#,
                "{\"\\r\":4,\"1\":5,\"€\":3,\"😀\":2,\"\u{fb33}\":1}",
            ),
            ("9007199254740993", "9007199254740992"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_canonical_text_is_refused() {
        for text in ["1e400", "[-1e999]", r#""\ud800""#, r#"{"a":"\udc00"}"#] {
            assert_eq!(canonical(text), Err(NotCanonical), "{text}");
        }
    }
}
