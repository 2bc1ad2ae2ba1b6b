//! Conditions of Intercept: on an argument of the call, or on a counter.

use super::super::yaml::{Members, Node};
use super::super::{quoted, reply_string};
use crate::policy::{Pointer, Problems, did_you_mean, same_number};
use crate::wire::value::Value;
use regex_lite::Regex;

/// Up to here a 64-bit float keeps every integer.
const FLOAT_INTEGER: u64 = 1 << 53;
/// Decimal digits that every 64-bit float keeps.
const FLOAT_DIGITS: usize = 15;

const OPERATORS: [&str; 11] = ["eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte", "regex", "contains", "exists"];

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) on: On,
    pub(super) op: &'static str,
    pub(super) operand: Value,
    pub(super) at: Pointer,
}

#[derive(Debug)]
pub(super) enum On {
    /// A path as a policy writes it.
    Argument(String),
    /// `<tool>.<counter>`, and the most that it may reach.
    Counter(String, u64),
}

/// Reads `conditions`; `None` when one of them cannot be read.
pub(super) fn read_conditions(
    members: &mut Members<'_>,
    problems: &mut Problems,
    notes: &mut Problems,
) -> Option<Vec<Condition>> {
    let nodes = members.list("conditions", problems);
    // All are read, so that the problems of all are told.
    let read: Vec<Option<Condition>> =
        nodes.into_iter().map(|(node, at)| Condition::read(node, &at, problems, notes)).collect();
    read.into_iter().collect()
}

impl Condition {
    fn read(node: &Node, at: &Pointer, problems: &mut Problems, notes: &mut Problems) -> Option<Self> {
        let mut members = Members::of(node, at, problems)?;
        let path = members.text("path", problems).unwrap_or_default();
        let op = members.text("op", problems).unwrap_or_default();
        let operand = members.take("value");
        members.finish(problems);
        let known = OPERATORS.into_iter().find(|known| *known == op);
        if known.is_none() {
            problems.add(&at.child("op"), format!("unknown operator {}{}", quoted(op), did_you_mean(op, &OPERATORS)));
        }
        let path_at = at.child("path");
        if let Some(counter) = path.strip_prefix("state.") {
            let operand = known.and_then(|op| read_bound(op, operand, at, problems, notes));
            let (op, (operand, max)) = known.zip(operand)?;
            return Some(Self { on: On::Counter(counter.to_owned(), max), op, operand, at: at.clone() });
        }
        if !path.starts_with("args.") {
            let message = format!("path must start with \"args.\" or \"state.\", got {}", quoted(path));
            problems.add(&path_at, message);
            return None;
        }
        let path = arguments_path(path, &path_at, problems, notes);
        let operand = known.and_then(|op| read_operand(op, operand, at, problems, notes));
        let (op, operand) = known.zip(operand)?;
        Some(Self { on: On::Argument(path?), op, operand, at: at.clone() })
    }

    /// As a policy writes it.
    pub(super) fn write(&self, path: &str) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        Value::Object(vec![
            ("path".to_owned(), text(path)),
            ("op".to_owned(), text(self.op)),
            ("value".to_owned(), self.operand.clone()),
        ])
    }

    /// Whether a text that spells a number in another way is equal to a policy, and not to Intercept.
    pub(super) fn compares_numbers_with_texts(&self) -> bool {
        let spells = |value: &Value| match value {
            Value::Number(_) => true,
            Value::String(text) => same_number(text, text),
            _ => false,
        };
        match (&self.operand, self.op) {
            (Value::Array(operands), "in" | "not_in") => operands.iter().any(spells),
            (operand, "eq" | "neq" | "contains") => spells(operand),
            _ => false,
        }
    }
}

/// A path as a policy writes it. Intercept walks objects only, by whatever stands between two dots.
pub(super) fn arguments_path(
    path: &str,
    at: &Pointer,
    problems: &mut Problems,
    notes: &mut Problems,
) -> Option<String> {
    let mut written = "args".to_owned();
    for part in path.split('.').skip(1) {
        if part.is_empty() {
            problems.add(at, format!("path is malformed, got {}", quoted(path)));
            return None;
        }
        if part.contains(['[', ']', '"']) {
            notes.add(at, format!("reads the member {}: Intercept has no index of a list", quoted(part)));
            written.push_str(&format!("[{}]", reply_string(part)));
        } else {
            written.push('.');
            written.push_str(part);
        }
    }
    Some(written)
}

/// What a counter is compared with, and the most that it may reach.
fn read_bound(
    op: &'static str,
    operand: Option<(&Node, Pointer)>,
    at: &Pointer,
    problems: &mut Problems,
    notes: &mut Problems,
) -> Option<(Value, u64)> {
    if !matches!(op, "lt" | "lte") {
        problems.add(at, format!("a counter is compared by lt or lte; by \"{op}\" Intercept never counts"));
        return None;
    }
    let operand = read_operand(op, operand, at, problems, notes)?;
    let Value::Number(digits) = &operand else { return None };
    let bound: f64 = digits.parse().ok()?;
    let max = if op == "lt" { bound.ceil() - 1.0 } else { bound.floor() };
    if max < 0.0 {
        problems.add(at, "no count is so low: use action \"deny\"");
        return None;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let max = if max <= FLOAT_INTEGER as f64 { max as u64 } else { FLOAT_INTEGER };
    if op == "lt" && bound.fract() != 0.0 {
        notes.add(at, format!("admits {max}, as it says; Intercept admits one less"));
    }
    Some((operand, max))
}

fn read_operand(
    op: &'static str,
    operand: Option<(&Node, Pointer)>,
    at: &Pointer,
    problems: &mut Problems,
    notes: &mut Problems,
) -> Option<Value> {
    let kind = match op {
        "in" | "not_in" => "a list",
        "lt" | "lte" | "gt" | "gte" => "a numeric",
        "exists" => "a boolean",
        "regex" => "a string",
        _ => "a",
    };
    let Some((node, value_at)) = operand else {
        problems.add(at, format!("operator \"{op}\" requires {kind} value"));
        return None;
    };
    let value = match node.value() {
        Ok(value) => value,
        Err(why) => {
            problems.add(&value_at, why);
            return None;
        }
    };
    let is_fitting = match op {
        "in" | "not_in" => matches!(value, Value::Array(_)),
        "lt" | "lte" | "gt" | "gte" => matches!(value, Value::Number(_)),
        "exists" => matches!(value, Value::Bool(_)),
        "regex" => matches!(value, Value::String(_)),
        _ => true,
    };
    if !is_fitting {
        problems.add(at, format!("operator \"{op}\" requires {kind} value, got {value}"));
        return None;
    }
    let elements = match &value {
        Value::Array(elements) if matches!(op, "in" | "not_in") => elements.as_slice(),
        value => std::slice::from_ref(value),
    };
    for element in elements {
        match element {
            Value::Null => {
                problems.add(&value_at, "null is no value to a policy; ask whether the argument exists");
                return None;
            }
            Value::Array(_) | Value::Object(_) => {
                problems.add(&value_at, "Intercept compares a list by its printed form, which a policy has not");
                return None;
            }
            Value::Number(digits) if !is_kept(digits) => {
                let message = format!("{digits} is compared by all its digits; Intercept rounds it to a 64-bit float");
                notes.add(&value_at, message);
            }
            _ => {}
        }
    }
    if let (Value::String(pattern), "regex") = (&value, op) {
        return read_regex(pattern, &value_at, problems, notes).then_some(value);
    }
    Some(value)
}

/// Whether a policy reads the pattern as Go does, but for what is noted.
fn read_regex(pattern: &str, at: &Pointer, problems: &mut Problems, notes: &mut Problems) -> bool {
    if let Err(error) = Regex::new(pattern) {
        problems.add(at, format!("invalid regex {}: {error}", quoted(pattern)));
        return false;
    }
    let (mut has_blank, mut characters) = (false, pattern.chars().peekable());
    while let Some(character) = characters.next() {
        let other = match (character, characters.peek().copied()) {
            ('\\', _) => match (characters.next(), characters.peek().copied()) {
                (Some('<' | '>'), _) => Some("a plain character"),
                (Some('b'), Some('{')) => Some("no boundary"),
                (Some('s' | 'S'), _) => {
                    has_blank = true;
                    None
                }
                _ => None,
            },
            ('{', Some(' ')) => Some("a plain character"),
            _ => None,
        };
        if let Some(other) = other {
            problems.add(at, format!("regex {} has what is {other} to Go, and more to a policy", quoted(pattern)));
            return false;
        }
    }
    if has_blank {
        notes.add(at, "\\s and \\S count the vertical tab among blanks, and Intercept does not");
    }
    let groups = pattern.split("(?").skip(1).filter_map(|rest| rest.split([')', ':']).next());
    let mut flags = groups.filter(|flags| flags.chars().all(|flag| flag.is_ascii_alphabetic() || flag == '-'));
    if flags.any(|flags| flags.split('-').next().is_some_and(|set| set.contains('i'))) {
        notes.add(at, "(?i) is for letters of ASCII; to Intercept for all");
    }
    true
}

/// Whether a 64-bit float holds the number as it is written.
fn is_kept(digits: &str) -> bool {
    if let Ok(integer) = digits.parse::<i128>() {
        return integer.unsigned_abs() <= u128::from(FLOAT_INTEGER);
    }
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count() <= FLOAT_DIGITS
}
