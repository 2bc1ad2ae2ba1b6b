//! What a decision looked at on its way: told step by step to whoever asked, as it is decided.
//!
//! The same code decides with and without a listener, so an explanation cannot differ from a decision.

use crate::wire::mcp::Feature;

/// What one step made of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It let the call pass on to the next step.
    Passed,
    /// It would have refused, and is in shadow mode.
    Noted,
    /// It decided: nothing after it was asked.
    Decided,
}

/// Listens to the steps of one decision, in the order of `docs/policy.md`.
pub trait Trace {
    /// The entry of `tools`, `prompts` or `resources` that applies, a pointer; `None` when none does.
    fn entry(&mut self, _pointer: Option<&str>) {}

    /// The step `rule`, named as in [`Decision::rule`](super::Decision::rule), was asked. Called only for
    /// what the policy has; a step that a call passes because there is nothing to ask is not told.
    fn step(&mut self, rule: &str, verdict: Verdict);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untraced;

impl Trace for Untraced {
    fn step(&mut self, _rule: &str, _verdict: Verdict) {}
}

/// What a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// The entry that applies.
    Entry,
    /// No entry applies.
    NoEntry,
    /// A rule that let the call pass.
    Passed,
    /// A rule in shadow mode that would have refused.
    Shadow,
    /// The rule that decided.
    Decided,
}

impl StepKind {
    /// Its word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::NoEntry => "no_entry",
            Self::Passed => "passed",
            Self::Shadow => "shadow",
            Self::Decided => "decided",
        }
    }
}

/// Keeps the steps of one decision.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Where an entry would stand.
    section: &'static str,
    list: Vec<(StepKind, String)>,
}

impl Steps {
    /// Of a message that reaches something of this kind, if anything.
    #[must_use]
    pub fn of(feature: Option<Feature>) -> Self {
        let section = match feature {
            Some(Feature::Prompt) => "prompts",
            Some(Feature::Resource) => "resources",
            Some(Feature::Tool) | None => "tools",
        };
        Self { section, list: Vec::new() }
    }

    /// Each of them, with the entry's pointer, the section that has none, or the rule.
    pub fn iter(&self) -> impl Iterator<Item = (StepKind, &str)> {
        self.list.iter().map(|(kind, at)| (*kind, at.as_str()))
    }
}

impl Trace for Steps {
    fn entry(&mut self, pointer: Option<&str>) {
        self.list.push(match pointer {
            Some(at) => (StepKind::Entry, at.to_owned()),
            None => (StepKind::NoEntry, self.section.to_owned()),
        });
    }

    fn step(&mut self, rule: &str, verdict: Verdict) {
        let kind = match verdict {
            Verdict::Passed => StepKind::Passed,
            Verdict::Noted => StepKind::Shadow,
            Verdict::Decided => StepKind::Decided,
        };
        self.list.push((kind, rule.to_owned()));
    }
}
