//! Rules of `require`, `deny_if` and `require_approval`: read from a document, with their conditions
//! compiled and every problem noted.

use super::condition::{Condition, Predicate, Test};
use super::decision::Terms;
use super::fields::Fields;
use super::path::{BadPath, Path};
use super::problem::{Pointer, Problems};
use crate::wire::value::Value;
use regex_lite::RegexBuilder;
use std::cmp::Ordering::{Equal, Greater, Less};

/// Bytes that one compiled regex may take; matching is linear in them and the text.
pub(super) const MAX_REGEX_BYTES: usize = 1 << 18;

/// A rule as written.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its `id`, or what is said of its conditions.
    pub(super) name: String,
    pub(super) has_id: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) on_deny: Option<String>,
    pub(super) is_shadow: bool,
    /// Of an approval.
    pub(super) terms: Terms,
}

/// Which list a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Require,
    DenyIf,
    RequireApproval,
}

impl List {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::DenyIf => "deny_if",
            Self::RequireApproval => "require_approval",
        }
    }
}

/// Reads one list of rules.
pub(super) fn read_rules(fields: &mut Fields<'_>, list: List, problems: &mut Problems) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    if list == List::RequireApproval && fields.is_true(list.as_str()) {
        fields.take(list.as_str());
        return vec![Rule::always()];
    }
    for (value, at) in fields.list(list.as_str(), problems) {
        let Some(rule) = Rule::read(value, &at, list, problems) else { continue };
        if rule.has_id && rules.iter().any(|earlier| earlier.has_id && earlier.name == rule.name) {
            problems.add(&at, format!("duplicate rule id {}", Value::String(rule.name.clone())));
        }
        rules.push(rule);
    }
    rules
}

impl Rule {
    fn read(value: &Value, at: &Pointer, list: List, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        let on_deny = fields.string("on_deny", problems).map(str::to_owned);
        let inline = ["path", "op", "value"].iter().any(|name| fields.has(name));
        let mut rule = Self {
            name: String::new(),
            has_id: false,
            conditions: Vec::new(),
            on_deny,
            is_shadow: false,
            terms: Terms::default(),
        };
        let (mut names, mut is_sound) = (Vec::new(), true);
        if inline {
            if fields.has("conditions") {
                problems.add(at, "give either conditions or one inline condition");
                return None;
            }
            match read_test(&mut fields, problems) {
                Some((test, name)) => {
                    rule.conditions.push(Condition::Test(test));
                    names.push(name);
                }
                None => is_sound = false,
            }
        } else {
            if !fields.has("conditions") {
                problems.add(at, "rule must have conditions");
            }
            let conditions = fields.list("conditions", problems);
            if list == List::Require && fields.has("conditions") && conditions.is_empty() {
                problems.add(at, "require rule must have at least one condition");
            }
            for (value, at) in conditions {
                match read_condition(value, &at, problems) {
                    Some((condition, name)) => {
                        rule.conditions.push(condition);
                        names.push(name);
                    }
                    None => is_sound = false,
                }
            }
            rule.is_shadow = super::document::read_shadow(&mut fields, problems);
            if list == List::RequireApproval {
                rule.terms = read_terms(&mut fields, problems);
            }
            let id = fields.string("id", problems);
            if id == Some("") {
                problems.add(&at.child("id"), "id must not be empty");
            }
            rule.has_id = id.is_some();
            rule.name = id.unwrap_or_default().to_owned();
        }
        if !rule.has_id {
            rule.name = if names.is_empty() { "always".to_owned() } else { names.join("+") };
        }
        fields.finish(problems);
        is_sound.then_some(rule)
    }
}

impl Rule {
    /// `require_approval: true`.
    fn always() -> Self {
        Self {
            name: "always".to_owned(),
            has_id: false,
            conditions: Vec::new(),
            on_deny: None,
            is_shadow: false,
            terms: Terms::default(),
        }
    }
}

/// A condition, and what its rule is named by.
fn read_condition(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<(Condition, String)> {
    let mut fields = Fields::of(value, at, problems)?;
    let combinators: Vec<&str> = ["all", "any", "not"].into_iter().filter(|name| fields.has(name)).collect();
    let read = match combinators.as_slice() {
        [] => read_test(&mut fields, problems).map(|(test, name)| (Condition::Test(test), name)),
        ["not"] => fields
            .take("not")
            .and_then(|(value, at)| read_condition(value, &at, problems))
            .map(|(condition, _)| (Condition::Not(Box::new(condition)), "not".to_owned())),
        ["all"] => read_several(&mut fields, "all", problems).map(|list| (Condition::All(list), "all".to_owned())),
        ["any"] => read_several(&mut fields, "any", problems).map(|list| (Condition::Any(list), "any".to_owned())),
        several => {
            problems.add(at, format!("give one of all, any and not, got {}", several.join(" and ")));
            return None;
        }
    };
    fields.finish(problems);
    read
}

fn read_several(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<Vec<Condition>> {
    let is_list = fields.has_list(name);
    let values = fields.list(name, problems);
    if is_list && values.is_empty() {
        problems.add(&fields.at().child(name), format!("{name} must be a non-empty list"));
    }
    let count = values.len();
    let read: Vec<Condition> = values
        .into_iter()
        .filter_map(|(value, at)| read_condition(value, &at, problems))
        .map(|(condition, _)| condition)
        .collect();
    (count > 0 && read.len() == count).then_some(read)
}

fn read_test(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<(Test, String)> {
    fields.require("path", problems);
    fields.require("op", problems);
    let path_text = fields.string("path", problems);
    let op = fields.string("op", problems);
    let operand = fields.take("value").map(|(value, _)| value);
    let path = path_text.and_then(|text| {
        Path::parse(text)
            .map_err(|bad| {
                let message = match bad {
                    BadPath::UnknownRoot => {
                        "path must start with \"args.\" (or \"meta.\", \"header.\", \"jwt.\", or be grant.id, session.id or uri)"
                    }
                    BadPath::Malformed => "path is malformed",
                    BadPath::IndexTooLarge => "path has an index above 999999999, which no list has",
                };
                problems.add(&fields.at().child("path"), format!("{message}, got {}", Value::String(text.to_owned())));
            })
            .ok()
    });
    let (predicate, is_negative) = read_predicate(op?, operand, fields.at(), problems)?;
    let name = format!("{}-{}", path_text?, op?);
    Some((Test { path: path?, predicate, is_negative }, name))
}

const OPERATORS: [&str; 17] = [
    "eq",
    "neq",
    "in",
    "not_in",
    "lt",
    "lte",
    "gt",
    "gte",
    "contains",
    "not_contains",
    "regex",
    "matches",
    "not_regex",
    "starts_with",
    "ends_with",
    "exists",
    "not_exists",
];

fn read_predicate(
    op: &str,
    operand: Option<&Value>,
    at: &Pointer,
    problems: &mut Problems,
) -> Option<(Predicate, bool)> {
    let mut requires = |kind: &str| {
        let got = operand.map(|operand| format!(", got {operand}")).unwrap_or_default();
        problems.add(at, format!("operator \"{op}\" requires {kind} value{got}"));
        None
    };
    match op {
        "eq" | "neq" => match operand {
            Some(operand) => Some((Predicate::Equals(operand.clone()), op == "neq")),
            None => requires("a"),
        },
        "in" | "not_in" => match operand {
            Some(Value::Array(operands)) => Some((Predicate::In(operands.clone()), op == "not_in")),
            _ => requires("a list"),
        },
        "lt" | "lte" | "gt" | "gte" => match operand {
            Some(Value::Number(digits)) => {
                let orderings: &'static [_] = match op {
                    "lt" => &[Less],
                    "lte" => &[Less, Equal],
                    "gt" => &[Greater],
                    _ => &[Greater, Equal],
                };
                Some((Predicate::Ordered(digits.clone(), orderings), false))
            }
            _ => requires("a numeric"),
        },
        "contains" | "not_contains" => match operand {
            Some(operand) => Some((Predicate::Contains(operand.clone()), op == "not_contains")),
            None => requires("a"),
        },
        "regex" | "matches" | "not_regex" => match operand {
            Some(Value::String(pattern)) => match RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build() {
                Ok(regex) => Some((Predicate::Matches(regex), op == "not_regex")),
                Err(error) => {
                    problems.add(at, format!("invalid regex {}: {error}", Value::String(pattern.clone())));
                    None
                }
            },
            _ => requires("a string"),
        },
        "starts_with" | "ends_with" => match operand {
            Some(Value::String(text)) if op == "starts_with" => Some((Predicate::StartsWith(text.clone()), false)),
            Some(Value::String(text)) => Some((Predicate::EndsWith(text.clone()), false)),
            _ => requires("a string"),
        },
        "exists" | "not_exists" => match operand {
            None => Some((Predicate::Exists(op == "exists"), false)),
            Some(Value::Bool(wanted)) => Some((Predicate::Exists(*wanted == (op == "exists")), false)),
            Some(_) => requires("a boolean"),
        },
        _ => {
            let hint = super::problem::did_you_mean(op, &OPERATORS);
            problems.add(at, format!("unknown operator {}{hint}", Value::String(op.to_owned())));
            None
        }
    }
}

/// The longest that a call may be held: a proxy ends streams that are silent for five minutes, unless it is told otherwise.
const MAX_WAIT_SECONDS: u64 = 240;
/// 31 days.
const MAX_TIMEOUT_SECONDS: u64 = 2_678_400;

fn read_terms(fields: &mut Fields<'_>, problems: &mut Problems) -> Terms {
    let timeout_seconds = read_seconds(fields, "timeout", MAX_TIMEOUT_SECONDS, problems);
    let at = fields.at().child("wait");
    let wait_seconds = read_seconds(fields, "wait", MAX_WAIT_SECONDS, problems);
    if let (Some(wait), Some(timeout)) = (wait_seconds, timeout_seconds)
        && wait > timeout
    {
        problems.add(&at, "wait must not be longer than timeout");
    }
    Terms { timeout_seconds, wait_seconds }
}

/// Seconds, or `"30m"`.
fn read_seconds(fields: &mut Fields<'_>, name: &'static str, most: u64, problems: &mut Problems) -> Option<u64> {
    let (value, at) = fields.take(name)?;
    let seconds = match value {
        Value::Number(digits) => digits.parse().ok(),
        Value::String(text) => {
            let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
            units.into_iter().find_map(|(unit, seconds): (_, u64)| {
                let digits = text.strip_suffix(unit)?;
                let count: u64 = digits.parse().ok().filter(|_| !digits.starts_with('+'))?;
                count.checked_mul(seconds)
            })
        }
        _ => None,
    };
    let seconds = seconds.filter(|seconds| (1..=most).contains(seconds));
    if seconds.is_none() {
        let example = if most < 1800 { "30s" } else { "30m" };
        problems.add(&at, format!("{name} must be seconds (1 to {most}) or text such as \"{example}\", got {value}"));
    }
    seconds
}
