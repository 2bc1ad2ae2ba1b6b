//! What is wrong with a document: every problem, each with its place and one sentence.

use crate::wire::value::Value;
use std::fmt;

/// A place in a document (RFC 6901).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(String);

impl Pointer {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The member or element `name` of this place.
    #[must_use]
    pub fn child(&self, name: impl fmt::Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{name}", self.0))
    }

    /// The same place, seen from `root`, a place that it lies within.
    #[must_use]
    pub fn within(&self, root: &Self) -> Self {
        Self(self.0.strip_prefix(&root.0).unwrap_or(&self.0).to_owned())
    }

    /// The pointer's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `; did you mean "require"?` where one of the words allowed is close to what was found, else nothing.
#[must_use]
pub fn did_you_mean(found: &str, allowed: &[&str]) -> String {
    // Two slips, or one in a short word: further away it is a guess.
    let near = |word: &&&str| strsim::osa_distance(found, word) <= if found.len() < 5 { 1 } else { 2 };
    let nearest = allowed.iter().filter(near).min_by_key(|word| strsim::osa_distance(found, word));
    nearest.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default()
}

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub pointer: Pointer,
    /// What was found and what is allowed.
    pub message: String,
    /// The member at this place whose name is the mistake, where that is one that nothing knows.
    pub member: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.as_str().is_empty() { "(document)" } else { self.pointer.as_str() };
        write!(f, "{place}: {}", self.message)
    }
}

/// All mistakes of a document, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more.
    pub fn add(&mut self, pointer: &Pointer, message: impl Into<String>) {
        self.0.push(Problem { pointer: pointer.clone(), message: message.into(), member: None });
    }

    /// Notes the member `name` that nothing knows; `hint`: what follows its name.
    pub fn add_unknown(&mut self, pointer: &Pointer, name: &str, hint: &str) {
        let message = format!("unknown field {}{hint}", Value::String(name.to_owned()));
        self.0.push(Problem { pointer: pointer.clone(), message, member: Some(name.to_owned()) });
    }

    /// Notes all of `others`.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
