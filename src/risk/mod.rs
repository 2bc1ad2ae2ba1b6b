//! The risk of a tool, from its definition: Read, Write, Execute, Destructive or Financial, and what decided it.
//!
//! [`assess`] reads five things, and **the riskiest of what they say stands**:
//!
//! 1. the name, cut into words: its verb ([`name`]) and the money that it speaks of ([`money`]);
//! 2. the description: what its first sentence does, in several languages, and warnings anywhere ([`description`]);
//! 3. the title, as a second name that can only raise;
//! 4. the input schema: a shell command, code or SQL as an argument, an amount with a currency, an `action` to choose
//!    ([`schema`]);
//! 5. the annotations.
//!
//! All of them are words of the server. Annotations are mere claims: `readOnlyHint: true` lowers nothing, while
//! `destructiveHint: true` raises. A tool of which nothing is known is Execute, as an unclassified tool is.
//!
//! Three choices lean to the riskier side on purpose. A name that speaks of charges, invoices, payments, refunds or
//! subscriptions is Financial whatever its verb: lists of tools that others have judged say so throughout
//! (`list_invoices` is Financial there), and what such a tool shows or prepares is somebody's money; billing, payouts,
//! payrolls, transactions and transfers are treated alike. `remove`, `cancel` and `reset` are Destructive, though some
//! servers can undo them. And SQL as an argument is Execute even where the description promises to read only; without a
//! look at the arguments, such a promise keeps a query a Read.
//!
//! The rules are hand-made and the same everywhere: no weights, no clock, no state. The same definition has the same
//! assessment.

mod description;
mod languages;
mod lexicon;
mod money;
mod name;
mod schema;
mod words;

use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// What a tool does, in rising order of risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Retrieves data and changes nothing.
    Read,
    /// Creates or changes data, and can be taken back.
    Write,
    /// Triggers actions, or runs code, a process or a job.
    Execute,
    /// Deletes or destroys, and cannot be taken back.
    Destructive,
    /// Commits or moves money.
    Financial,
}

impl Category {
    /// Every category, in rising order.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Execute, Self::Destructive, Self::Financial];

    /// How bad one wrong call can be.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Read => Severity::Low,
            Self::Write => Severity::Medium,
            Self::Execute => Severity::High,
            Self::Destructive | Self::Financial => Severity::Critical,
        }
    }

    /// Its name as reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Execute => "Execute",
            Self::Destructive => "Destructive",
            Self::Financial => "Financial",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How bad one wrong call can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Of reads.
    Low,
    /// Of writes.
    Medium,
    /// Of what runs something.
    High,
    /// Of what destroys, and of money.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        })
    }
}

/// A part of a tool's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Field {
    /// `name`.
    #[serde(rename = "name")]
    Name,
    /// `title`.
    #[serde(rename = "title")]
    Title,
    /// `description`.
    #[serde(rename = "description")]
    Description,
    /// `inputSchema`.
    #[serde(rename = "inputSchema")]
    InputSchema,
    /// `annotations`.
    #[serde(rename = "annotations")]
    Annotations,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Name => "name",
            Self::Title => "title",
            Self::Description => "description",
            Self::InputSchema => "inputSchema",
            Self::Annotations => "annotations",
        })
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Where it was found.
    pub field: Field,
    /// The word, phrase, argument or hint that was found, in lower case and without accents where it is a word. It
    /// comes from the server: escape it before showing it.
    pub word: String,
    /// What it says of the tool.
    pub says: Category,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in the {} says {}", self.word.escape_debug(), self.field, self.says)
    }
}

/// What a tool does, as far as its definition tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The riskiest category that any reason says; at least Execute where no reason lies outside the annotations.
    pub category: Category,
    /// That of the category.
    pub severity: Severity,
    /// All that was found. Where none of it says the category, nothing was known of the tool, and the category is a
    /// precaution.
    pub reasons: Vec<Reason>,
}

impl Assessment {
    /// The reasons that decided.
    pub fn deciding(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(|reason| reason.says == self.category)
    }
}

/// In one line: `Destructive (Critical): `delete` in the name says Destructive`.
impl fmt::Display for Assessment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): ", self.category, self.severity)?;
        let mut deciding = self.deciding();
        let Some(first) = deciding.next() else { return f.write_str("nothing in the definition says what it does") };
        write!(f, "{first}")?;
        deciding.try_for_each(|reason| write!(f, ", {reason}"))
    }
}

/// The definition of a tool, as an entry of `tools/list` has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tool<'a> {
    /// `name`.
    pub name: &'a str,
    /// `title`.
    pub title: Option<&'a str>,
    /// `description`.
    pub description: Option<&'a str>,
    /// `inputSchema`.
    pub input_schema: Option<&'a Value>,
    /// `annotations`.
    pub annotations: Option<&'a Value>,
}

impl<'a> Tool<'a> {
    /// Reads an entry of `tools/list`. What is missing or of another type says nothing.
    pub fn of(definition: &'a Value) -> Self {
        let text = |member| definition.get(member).and_then(Value::as_str);
        Self {
            name: text("name").unwrap_or_default(),
            title: text("title"),
            description: text("description"),
            input_schema: definition.get("inputSchema"),
            annotations: definition.get("annotations"),
        }
    }
}

/// Judges a tool by its definition.
pub fn assess(tool: &Tool<'_>) -> Assessment {
    let described = description::read(tool.description.unwrap_or_default());
    let mut reasons = Vec::new();
    name::judge(tool.name, &described, &mut reasons);
    description::judge(&described, tool.name, &mut reasons);
    if let Some(title) = tool.title {
        raise(title, Field::Title, &mut reasons);
    }
    schema::judge(tool.input_schema, &mut reasons);
    if reasons.is_empty() && tool.description.is_none_or(|text| text.trim().is_empty()) {
        name::judge_thing(tool.name, &mut reasons);
    }
    // INVARIANT: annotations come last, so that what is known without them is never lowered by them.
    let known = riskiest(&reasons).unwrap_or(Category::Execute);
    annotations(tool.annotations, &mut reasons);
    let category = riskiest(&reasons).map_or(known, |claimed| claimed.max(known));
    Assessment { category, severity: category.severity(), reasons: without_repetition(reasons) }
}

fn riskiest(reasons: &[Reason]) -> Option<Category> {
    reasons.iter().map(|reason| reason.says).max()
}

fn without_repetition(reasons: Vec<Reason>) -> Vec<Reason> {
    let mut told: Vec<Reason> = Vec::with_capacity(reasons.len());
    for reason in reasons {
        if !told.contains(&reason) {
            told.push(reason);
        }
    }
    told
}

/// A title is read as a name is. It is made for people, and reads like a headline (`Run history`): beside better
/// evidence only its sure words count, and only where they are riskier.
fn raise(title: &str, field: Field, reasons: &mut Vec<Reason>) {
    let known = riskiest(reasons);
    let mut found = Vec::new();
    name::judge(title, &description::Described::default(), &mut found);
    reasons.extend(found.into_iter().map(|reason| Reason { field, ..reason }).filter(|reason| {
        let is_sure = lexicon::entry(&reason.word).is_none_or(|entry| entry.kind == lexicon::Kind::Verb);
        known.is_none_or(|known| is_sure && reason.says > known)
    }));
}

/// Hints are claims: those that admit a risk are believed, those that deny one are not.
fn annotations(annotations: Option<&Value>, reasons: &mut Vec<Reason>) {
    let Some(annotations) = annotations else { return };
    if let Some(title) = annotations.get("title").and_then(Value::as_str) {
        raise(title, Field::Annotations, reasons);
    }
    for (hint, admitted, says) in
        [("readOnlyHint", false, Category::Write), ("destructiveHint", true, Category::Destructive)]
    {
        if annotations.get(hint) == Some(&Value::Bool(admitted)) {
            reasons.push(Reason { field: Field::Annotations, word: format!("{hint}: {admitted}"), says });
        }
    }
}
