//! What a decision looked at on its way: told step by step to whoever asked, as it is decided.
//!
//! The same code decides with and without a listener, so an explanation cannot differ from a decision.

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
