//! A claim as Envoy hands it out: bytes without a type. A string is its text, a number 8 bytes of an IEEE double,
//! a boolean one byte, a list the keys of a map whose values are empty ([`pairs`]). The plugin reads such bytes; cases
//! write them first, so that a claim means the same in both.
//!
//! INVARIANT: bytes have one reading or none, and what reads as a text is never taken for anything else. Every other
//! type's bytes hold control characters or are no UTF-8 (but for a few in a thousand fractions, which then are texts),
//! so a text that holds some is taken for the type that it fits, or has no reading: see `docs/grants.md`.

use crate::policy::{Claim, Unclear};
use crate::wire::pairs::{self, Pairs};
use crate::wire::value::Value;

/// The one reading of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Result<Claim, Unclear> {
    if let Some(text) = text(bytes) {
        return Ok(Claim { text: Some(text), ..Claim::default() });
    }
    if let [truth @ (0 | 1)] = bytes {
        return Ok(Claim { boolean: Some(*truth == 1), ..Claim::default() });
    }
    if let Some(list) = list(bytes) {
        return Ok(Claim { list: Some(list), ..Claim::default() });
    }
    let number = bytes.try_into().map(f64::from_le_bytes).ok().filter(|number| number.is_finite());
    number.map(|number| Claim { number: Some(number.to_string()), ..Claim::default() }).ok_or(Unclear)
}

/// What Envoy would let the plugin read at `path` of a JWT's payload.
pub(crate) fn find(payload: &Value, path: &[String]) -> Result<Option<Claim>, Unclear> {
    let mut value = payload;
    for part in path {
        let next = match value {
            Value::Object(members) => members.iter().find(|(name, _)| name == part).map(|(_, value)| value),
            // As Envoy reads it: with a sign and blanks, if need be.
            Value::Array(elements) => {
                let index: Option<i32> = part.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).parse().ok();
                index.and_then(|index| elements.get(usize::try_from(index).ok()?))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let Some(next) = next else { return Ok(None) };
        value = next;
    }
    write(value).ok_or(Unclear).and_then(|bytes| read(&bytes)).map(Some)
}

/// The bytes of a value; `None` for those that have no reading, because Envoy fails to write them or because a list or an
/// object stands in another.
fn write(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Array(elements) => {
            let pairs: Option<Vec<_>> = elements.iter().map(|element| Some((scalar(element)?, Vec::new()))).collect();
            pairs.map(|pairs| pairs::encode(&pairs))
        }
        Value::Object(members) => {
            let pair = |(name, value): &(String, Value)| Some((name.clone().into_bytes(), scalar(value)?));
            let pairs: Option<Vec<_>> = members.iter().map(pair).collect();
            pairs.map(|pairs| pairs::encode(&pairs))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => scalar(value),
    }
}

fn scalar(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bool(truth) => Some(vec![u8::from(*truth)]),
        Value::Number(digits) => digits.parse().ok().map(|number: f64| number.to_le_bytes().to_vec()),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A list of texts; one that holds anything else cannot be told from many other values.
fn list(bytes: &[u8]) -> Option<Vec<String>> {
    let pairs = Pairs::read(bytes.to_vec())?;
    let list: Vec<String> =
        pairs.iter().map(|(element, value)| text(element).filter(|_| value.is_empty())).collect::<Option<_>>()?;
    // To the last byte: the first half of many a double is an empty map.
    let again = pairs::encode(&list.iter().map(|element| (element.as_str(), "")).collect::<Vec<_>>());
    (again == bytes).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_reading_or_none() {
        let text = |text: &str| Ok(Claim { text: Some(text.into()), ..Claim::default() });
        let number = |digits: &str| Ok(Claim { number: Some(digits.into()), ..Claim::default() });
        let boolean = |truth| Ok(Claim { boolean: Some(truth), ..Claim::default() });
        let list = |list: &[&str]| {
            Ok(Claim { list: Some(list.iter().map(|text| (*text).into()).collect()), ..Claim::default() })
        };
        let map = |keys: &[&str]| pairs::encode(&keys.iter().map(|key| (*key, "")).collect::<Vec<_>>());
        let rows: [(&str, Vec<u8>, Result<Claim, Unclear>); 16] = [
            ("text", b"sales".to_vec(), text("sales")),
            ("text beyond ASCII", "größe".into(), text("größe")),
            ("text of a double's size", b"finances".to_vec(), text("finances")),
            ("text that looks like a boolean", b"1".to_vec(), text("1")),
            ("no text", Vec::new(), text("")),
            ("true", vec![1], boolean(true)),
            ("false", vec![0], boolean(false)),
            ("integer", 7_f64.to_le_bytes().to_vec(), number("7")),
            ("fraction", (-0.5_f64).to_le_bytes().to_vec(), number("-0.5")),
            ("list", map(&["dev", "ops"]), list(&["dev", "ops"])),
            ("list of nothing", vec![0; 4], list(&[])),
            ("list with a number in it", map(&["\0\0\0\0\0\0\u{1c}@"]), Err(Unclear)),
            ("object", pairs::encode(&[("a", "b")]), Err(Unclear)),
            ("text with a control character", b"a\0b".to_vec(), Err(Unclear)),
            ("neither text nor number", vec![0xFF; 3], Err(Unclear)),
            ("no number", f64::NAN.to_le_bytes().to_vec(), Err(Unclear)),
        ];
        for (name, bytes, expected) in rows {
            assert_eq!(read(&bytes), expected, "{name}");
        }
    }

    /// `tests/envoy/claims.rs` holds values of each kind against a real Envoy.
    #[test]
    fn a_payload_reads_as_it_does_through_envoy() {
        let payload = r#"{"a":{"b":"x"},"n":1.50,"big":9007199254740993,"t":true,"l":["x","y"],"s":"\u0001",
            "null":null,"holds":["x",null],"mixed":["x",1],"o":{"k":""},"empty":{},"a.b":"dotted"}"#;
        let payload = Value::parse(payload).unwrap();
        let text = |text: &str| Ok(Some(Claim { text: Some(text.into()), ..Claim::default() }));
        let number = |digits: &str| Ok(Some(Claim { number: Some(digits.into()), ..Claim::default() }));
        let list = |list: &[&str]| {
            Ok(Some(Claim { list: Some(list.iter().map(|text| (*text).into()).collect()), ..Claim::default() }))
        };
        let boolean = |truth| Ok(Some(Claim { boolean: Some(truth), ..Claim::default() }));
        let rows: [(&[&str], _); 16] = [
            (&["a", "b"], text("x")),
            (&["a.b"], text("dotted")),
            (&["n"], number("1.5")),
            (&["big"], number("9007199254740992")),
            (&["t"], boolean(true)),
            (&["s"], boolean(true)),
            (&["l"], list(&["x", "y"])),
            (&["l", "1"], text("y")),
            (&["o"], list(&["k"])),
            (&["empty"], list(&[])),
            (&["null"], Err(Unclear)),
            (&["holds"], Err(Unclear)),
            (&["mixed"], Err(Unclear)),
            (&["a"], Err(Unclear)),
            (&["A"], Ok(None)),
            (&["n", "b"], Ok(None)),
        ];
        for (path, expected) in rows {
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!(find(&payload, &path), expected, "{path:?}");
        }
    }
}
