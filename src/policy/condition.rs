//! One condition: what a rule asks of a call, judged so that doubt never lets a call through.
//!
//! The same condition means two things. On the require side it must *certainly* hold; on the deny side it
//! is enough that it *may*. `not` swaps the sides.

use super::facts::{Claim, Facts, Unclear};
use super::number::{self, Decimal};
use super::path::{Misspelt, Path, find};
use crate::wire::tree::Tree;
use crate::wire::value::Value;
use regex_lite::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;

/// What a condition is judged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The call goes on only if it certainly holds.
    Require,
    /// The call is refused if it may hold.
    Deny,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Require => Self::Deny,
            Self::Deny => Self::Require,
        }
    }
}

/// A condition, compiled.
#[derive(Debug)]
pub(super) enum Condition {
    Test(Test),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// One operator on one path.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) path: Path,
    pub(super) predicate: Predicate,
    /// The operator is the predicate's opposite: `neq`, `not_in`, `not_contains`, `not_regex`.
    pub(super) is_negative: bool,
}

/// What a value is asked.
#[derive(Debug)]
pub(super) enum Predicate {
    Equals(Value),
    In(Vec<Value>),
    /// Compared with a number, the ordering is one of these.
    Ordered(String, &'static [Ordering]),
    Contains(Value),
    Matches(Regex),
    StartsWith(String),
    EndsWith(String),
    /// Present and not null, or not.
    Exists(bool),
}

/// What conditions may look at.
pub(super) struct View<'v, 'a> {
    /// The call's arguments; `None` when it has none.
    pub(super) arguments: Option<&'v Tree<'a>>,
    /// The call's `_meta`.
    pub(super) meta: Option<&'v Tree<'a>>,
    pub(super) grant: &'v str,
    pub(super) session: Option<&'v str>,
    pub(super) uri: Option<&'v str>,
    pub(super) facts: &'v dyn Facts,
}

/// One value that a path led to.
enum Subject<'v, 'a> {
    Tree(&'v Tree<'a>),
    Text(Cow<'v, str>),
    Claim(Claim),
    /// There, but no operator can judge it.
    Unclear,
}

impl Condition {
    /// Whether it holds, as `side` needs it.
    pub(super) fn holds(&self, side: Side, view: &View<'_, '_>) -> Result<bool, Misspelt> {
        match self {
            Self::Test(test) => test.holds(side, view),
            Self::All(conditions) => all_hold(conditions, side, view),
            Self::Any(conditions) => {
                let mut any = false;
                for condition in conditions {
                    any |= condition.holds(side, view)?;
                }
                Ok(any)
            }
            Self::Not(condition) => Ok(!condition.holds(side.other(), view)?),
        }
    }

    /// Whether judging it follows a path that `wanted` says yes to.
    pub(super) fn reads(&self, wanted: fn(&Path) -> bool) -> bool {
        match self {
            Self::Test(test) => wanted(&test.path),
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(|inner| inner.reads(wanted)),
            Self::Not(condition) => condition.reads(wanted),
        }
    }
}

/// Whether every one holds. All are judged, so that an ambiguous name is noticed wherever it is read.
pub(super) fn all_hold(conditions: &[Condition], side: Side, view: &View<'_, '_>) -> Result<bool, Misspelt> {
    let mut all = true;
    for condition in conditions {
        all &= condition.holds(side, view)?;
    }
    Ok(all)
}

impl Test {
    fn holds(&self, side: Side, view: &View<'_, '_>) -> Result<bool, Misspelt> {
        let mut subjects = subjects(&self.path, view)?;
        // A list without elements is as good as nothing there.
        if subjects.is_empty() {
            subjects.push(None);
        }
        let mut judged = subjects.iter().map(|subject| self.judge(subject.as_ref(), side));
        Ok(match side {
            Side::Require => judged.all(|holds| holds),
            Side::Deny => judged.any(|holds| holds),
        })
    }

    fn judge(&self, subject: Option<&Subject<'_, '_>>, side: Side) -> bool {
        let may = side == Side::Deny;
        if let Predicate::Exists(wanted) = self.predicate {
            return subject.is_some() == wanted;
        }
        match subject {
            None => may && self.is_negative,
            Some(subject) => self.predicate.is_true_of(subject).map_or(may, |truth| truth != self.is_negative),
        }
    }
}

fn subjects<'v, 'a>(path: &Path, view: &View<'v, 'a>) -> Result<Vec<Option<Subject<'v, 'a>>>, Misspelt> {
    let one = |text: Option<Cow<'v, str>>| Ok(vec![text.map(Subject::Text)]);
    match path {
        Path::Args(steps) | Path::Meta(steps) => {
            let tree = if path.is_in_arguments() { view.arguments } else { view.meta };
            let mut found = Vec::new();
            if let Some(tree) = tree {
                find(tree, steps, &mut found)?;
            }
            Ok(found.into_iter().map(|tree| tree.map(Subject::Tree)).collect())
        }
        Path::Grant => one(Some(Cow::Borrowed(view.grant))),
        Path::Session => one(view.session.map(Cow::Borrowed)),
        Path::Uri => one(view.uri.map(Cow::Borrowed)),
        Path::Header(name) => match view.facts.header(name) {
            Ok(value) => one(value.map(Cow::Owned)),
            Err(Unclear) => Ok(vec![Some(Subject::Unclear)]),
        },
        Path::Jwt(claim) => match view.facts.claim(claim) {
            Ok(value) => Ok(vec![value.map(Subject::Claim)]),
            Err(Unclear) => Ok(vec![Some(Subject::Unclear)]),
        },
    }
}

impl Predicate {
    /// `None` when the operator cannot judge a value of this type.
    fn is_true_of(&self, subject: &Subject<'_, '_>) -> Option<bool> {
        if matches!(subject, Subject::Unclear) {
            return None;
        }
        match self {
            Self::Equals(operand) => certain(|same| Some(subject.equals(operand, same))),
            Self::In(operands) => certain(|same| Some(operands.iter().any(|operand| subject.equals(operand, same)))),
            Self::Ordered(bound, orderings) => {
                let number = subject.number()?;
                let exact = orderings.contains(&Decimal::parse(&number)?.cmp(&Decimal::parse(bound)?));
                let rounded = orderings.contains(&number::rounded(&number, bound)?);
                (exact == rounded).then_some(exact)
            }
            Self::Contains(operand) => certain(|same| subject.contains(operand, same)),
            Self::Matches(regex) => Some(regex.is_match(&subject.string()?)),
            Self::StartsWith(prefix) => Some(subject.string()?.starts_with(prefix)),
            Self::EndsWith(suffix) => Some(subject.string()?.ends_with(suffix)),
            Self::Exists(wanted) => Some(*wanted),
        }
    }
}

/// Whether two texts are numbers that are equal.
type Same = fn(&str, &str) -> bool;

/// What is true of numbers both as they are written and as a server may read them; `None` when that differs.
fn certain(truth: impl Fn(Same) -> Option<bool>) -> Option<bool> {
    let exact = truth(same_number)?;
    (truth(same_when_rounded)? == exact).then_some(exact)
}

impl Subject<'_, '_> {
    fn string(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Tree(tree) => tree.string(),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Claim(claim) => claim.text.as_deref().map(Cow::Borrowed),
            Self::Unclear => None,
        }
    }

    fn number(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Tree(tree) => tree.number().map(Cow::Borrowed),
            Self::Text(_) | Self::Unclear => None,
            Self::Claim(claim) => claim.number.as_deref().map(Cow::Borrowed),
        }
    }

    fn equals(&self, operand: &Value, same: Same) -> bool {
        match self {
            Self::Tree(tree) => tree_equals(tree, operand, same),
            Self::Text(text) => text_equals(text, operand),
            Self::Claim(claim) => {
                claim.text.as_ref().is_some_and(|text| text_equals(text, operand))
                    || claim.number.as_ref().is_some_and(|digits| number_equals(digits, operand, same))
                    || claim.boolean.is_some_and(|truth| bool_equals(truth, operand))
            }
            Self::Unclear => false,
        }
    }

    fn contains(&self, operand: &Value, same: Same) -> Option<bool> {
        match self {
            Self::Tree(Tree::Array(elements)) => {
                Some(elements.iter().any(|element| tree_equals(element, operand, same)))
            }
            Self::Claim(Claim { list: Some(list), .. }) => {
                Some(list.iter().any(|element| text_equals(element, operand)))
            }
            _ => match operand {
                Value::String(part) => Some(self.string()?.contains(part.as_str())),
                Value::Number(part) => Some(self.string()?.contains(part.as_str())),
                _ => None,
            },
        }
    }
}

fn tree_equals(tree: &Tree<'_>, operand: &Value, same: Same) -> bool {
    match (tree, operand) {
        (Tree::Array(elements), Value::Array(operands)) => {
            elements.len() == operands.len()
                && elements.iter().zip(operands).all(|(element, operand)| tree_equals(element, operand, same))
        }
        (Tree::Object(members), Value::Object(operands)) => {
            let member = |name: &str| members.iter().find(|(member, _)| member == name).map(|(_, value)| value);
            members.len() == operands.len()
                && operands
                    .iter()
                    .all(|(name, operand)| member(name).is_some_and(|value| tree_equals(value, operand, same)))
        }
        (Tree::Leaf(raw), _) => {
            if let Some(text) = tree.string() {
                text_equals(&text, operand)
            } else if let Some(digits) = tree.number() {
                number_equals(digits, operand, same)
            } else {
                match raw.as_str() {
                    "true" => bool_equals(true, operand),
                    "false" => bool_equals(false, operand),
                    // Nested in a list or an object; by itself null counts as absent.
                    "null" => *operand == Value::Null,
                    _ => false,
                }
            }
        }
        _ => false,
    }
}

/// A text equals itself, and the number or boolean that it spells.
fn text_equals(text: &str, operand: &Value) -> bool {
    match operand {
        Value::String(other) => text == other,
        Value::Number(digits) => same_number(text, digits),
        Value::Bool(truth) => text == if *truth { "true" } else { "false" },
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn number_equals(digits: &str, operand: &Value, same: Same) -> bool {
    match operand {
        Value::Number(other) | Value::String(other) => same(digits, other),
        _ => false,
    }
}

fn bool_equals(truth: bool, operand: &Value) -> bool {
    match operand {
        Value::Bool(other) => truth == *other,
        Value::String(text) => text == if truth { "true" } else { "false" },
        _ => false,
    }
}

fn same_number(a: &str, b: &str) -> bool {
    Decimal::parse(a).is_some_and(|number| Some(number) == Decimal::parse(b))
}

fn same_when_rounded(a: &str, b: &str) -> bool {
    number::rounded(a, b) == Some(Ordering::Equal)
}
