//! A claim as the host hands it out: bytes without a type. A string is its text, a number 8 bytes of an IEEE double,
//! a boolean one byte, a list the keys of a map whose values are empty (`pairs`).
//!
//! INVARIANT: bytes have one reading or none, and what reads as a text is never taken for anything else. Every other
//! type's bytes hold control characters or are no UTF-8 (but for a few in a thousand fractions, which then are texts),
//! so a text that holds some is taken for the type that it fits, or has no reading: see `docs/grants.md`.

use super::pairs;
use crate::policy::{Claim, Unclear};

/// The one reading of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Claim, Unclear> {
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

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A list of texts; one that holds anything else cannot be told from many other values.
fn list(bytes: &[u8]) -> Option<Vec<String>> {
    let pairs = pairs::decode(bytes)?;
    let list: Vec<String> =
        pairs.into_iter().map(|(element, value)| text(&element).filter(|_| value.is_empty())).collect::<Option<_>>()?;
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
}
