//! JSON text as YAML that every reader takes for the same value. Most JSON is YAML as it stands; what is not is written
//! in another way: escapes that YAML has not, characters that it takes for line breaks, names that stand apart from
//! their colon. What the platforms between the file and the plugin would change is refused.

use super::template::{RenderError, is_holdable};
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// The longest name of a member, in bytes: YAML readers look no further for the colon than 1024 characters.
const MAX_NAME_BYTES: usize = 1000;

/// `json`, which is valid, in the layout that it has.
///
/// # Errors
/// What YAML, or Kubernetes, cannot hold.
pub(super) fn yaml(json: &str) -> Result<String, RenderError> {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let mut chars = json.trim().chars().peekable();
    let mut name_start = 0;
    while let Some(character) = chars.next() {
        match character {
            '"' => {
                name_start = out.len();
                string(&mut chars, &mut out)?;
            }
            '-' | '0'..='9' => {
                let mut token = String::from(character);
                while let Some(more) = chars.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')) {
                    token.push(more);
                }
                out.push_str(&number(token)?);
            }
            ':' => {
                out.truncate(out.trim_end().len());
                if let Some(name) = out.get(name_start..).filter(|name| name.len() > MAX_NAME_BYTES) {
                    let start = name.chars().take(40).collect::<String>() + "…";
                    return Err(refused(start, "is a name of more than 1000 bytes, which YAML readers refuse"));
                }
                out.push_str(": ");
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
            }
            ',' => {
                out.push(',');
                if chars.peek().is_some_and(|next| !next.is_ascii_whitespace()) {
                    out.push(' ');
                }
            }
            // No YAML reader has to take it before the first word of a line.
            '\t' => out.push_str("  "),
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push('\n');
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

fn refused(value: String, why: &'static str) -> RenderError {
    RenderError::Value { option: CONFIGURATION_PART, value, why }
}

/// What [`RenderError::Value`] calls something in the plugin configuration.
const CONFIGURATION_PART: &str = "configuration's";

/// The rest of a string whose first quote is read.
fn string(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), RenderError> {
    out.push('"');
    while let Some(character) = chars.next() {
        match character {
            '"' => break,
            '\\' => match chars.next() {
                Some('/') => out.push('/'),
                Some('u') => escape(chars, out)?,
                Some(other) => out.extend(['\\', other]),
                None => {}
            },
            character if is_holdable(character) => out.push(character),
            // All of them have four digits. Writing to a string cannot fail.
            character => drop(write!(out, "\\u{:04X}", u32::from(character))),
        }
    }
    out.push('"');
    Ok(())
}

/// What follows `\u`. JSON writes one character as a pair of escapes where YAML has a longer one.
fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), RenderError> {
    let digits: String = chars.by_ref().take(4).collect();
    let unit = u32::from_str_radix(&digits, 16).unwrap_or_default();
    if !(0xD800..0xE000).contains(&unit) {
        out.extend(["\\u", &digits]);
        return Ok(());
    }
    let half = || refused(format!("\\u{digits}"), "is half of a character");
    let second: String = chars.by_ref().take(6).collect();
    let low = second.strip_prefix("\\u").and_then(|low| u32::from_str_radix(low, 16).ok());
    let low = low.filter(|low| unit < 0xDC00 && (0xDC00..0xE000).contains(low)).ok_or_else(half)?;
    let _ = write!(out, "\\U{:08X}", 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
    Ok(())
}

/// A number that stays the same where it is kept as a 64-bit float, as in a protobuf `Struct`.
fn number(token: String) -> Result<String, RenderError> {
    let float: f64 = token.parse().unwrap_or(f64::INFINITY);
    // The shortest digits that lead to this float, which is also what others write it with.
    let shortest = float.to_string();
    if !float.is_finite() || significant(&shortest) != significant(&token) {
        return Err(refused(token, "would be rounded on its way through Kubernetes, which keeps 64-bit floats"));
    }
    // Some YAML readers know no exponent without a fraction.
    Ok(if token.contains(['e', 'E']) { shortest } else { token })
}

/// The value of a number: whether it is negative, its digits without zeros at either end, and their power of ten.
fn significant(number: &str) -> (bool, String, i64) {
    let (is_negative, unsigned) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [integer, fraction].concat();
    let kept = digits.trim_end_matches('0');
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let exponent = exponent.parse().unwrap_or(i64::MAX).saturating_sub(length(fraction));
    let exponent = exponent.saturating_add(length(&digits) - length(kept));
    match kept.trim_start_matches('0') {
        "" => (false, String::new(), 0),
        digits => (is_negative, digits.to_owned(), exponent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_is_no_yaml_is_written_as_yaml() {
        let rows = [
            ("plain", r#"{ "a": [1, "b", null] }"#, r#"{ "a": [1, "b", null] }"#),
            ("close", r#"{"a":[1,"b"],"c":{}}"#, r#"{"a": [1, "b"], "c": {}}"#),
            ("colon apart", "{\"a\"\n\t:\n  1}", r#"{"a": 1}"#),
            ("colon in a text", r#"["a : b,c"]"#, r#"["a : b,c"]"#),
            ("tabs", "{\n\t\"a\": 1\n}", "{\n  \"a\": 1\n}"),
            ("carriage returns", "{\r\n\"a\": 1\r}", "{\n\"a\": 1\n}"),
            ("solidus", r#"["\/\\\"\/"]"#, r#"["/\\\"/"]"#),
            ("escapes", r#"["\b\f\n\r\t\u0000\u202e"]"#, r#"["\b\f\n\r\t\u0000\u202e"]"#),
            ("pair", r#"["\ud83E\udd80x"]"#, r#"["\U0001F980x"]"#),
            ("characters", "[\"é漢🦀\u{85}\u{2028}\u{feff}\u{7f}\"]", r#"["é漢🦀\u0085\u2028\uFEFF\u007F"]"#),
            ("numbers", "[0, -1.50, 9007199254740992, 0.1]", "[0, -1.50, 9007199254740992, 0.1]"),
            ("exponents", "[1e3, 25E-4, -0e9]", "[1000, 0.0025, -0]"),
        ];
        for (name, json, expected) in rows {
            assert_eq!(yaml(json), Ok(expected.to_owned()), "{name}");
        }
    }

    #[test]
    fn what_would_come_out_as_something_else_is_refused() {
        let name = "n".repeat(1001);
        let rows = [
            ("[9007199254740993]", "`9007199254740993` would be rounded"),
            ("[0.10000000000000001]", "`0.10000000000000001` would be rounded"),
            ("[1e400]", "`1e400` would be rounded"),
            ("[1e-400]", "`1e-400` would be rounded"),
            ("[1e99999999999999999999]", "would be rounded"),
            (r#"["\ud83e"]"#, "is half of a character"),
            (r#"["\udd80\ud83e"]"#, "is half of a character"),
            (r#"["\ud83e\u0041"]"#, "is half of a character"),
            (&format!(r#"{{"{name}":1}}"#), "nnn…` is a name of more than 1000 bytes"),
        ];
        for (json, why) in rows {
            let message = yaml(json).unwrap_err().to_string();
            assert!(message.contains(why) && !message.contains('\n') && message.len() < 200, "{json}: {message}");
        }
    }
}
