//! What a policy holds: the rules that may stand in a decision, and what judging a call costs.

use super::compile::{Checks, Entry, Policy};
use super::condition::{Condition, Predicate};
use super::decide::SCHEDULE;
use super::decision::rule;
use super::document::Default;
use super::methods::Methods;
use super::query::Target;
use super::rules::MAX_REGEX_BYTES;
use crate::wire::mcp::Feature;
use crate::wire::value::Value;
use regex_lite::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};

/// Patterns that are tried in about the time of one step.
const PATTERNS_PER_STEP: usize = 32;
/// Bytes of a document that are compared in about the time of one step.
const BYTES_PER_STEP: usize = 64;
/// Bytes of a compiled regex that one step walks through. A regex has no backtracking: its cost is its size
/// times the text.
const REGEX_BYTES_PER_STEP: usize = 64;

impl Policy {
    /// Every rule that a decision of this policy may name, each once, in the order of its entries.
    #[must_use]
    pub fn rules(&self) -> Vec<&str> {
        let sections = [&self.tools, &self.prompts, &self.resources];
        let hidden = sections.iter().any(|section| !section.hide.is_empty()).then_some(rule::HIDDEN);
        let is_default_deny = sections.iter().any(|section| section.default == Default::Deny);
        let default_deny = is_default_deny.then_some(rule::DEFAULT_DENY);
        let schedule = self.schedule.as_ref().map(|_| SCHEDULE);
        let mut rules: Vec<&str> = self.methods.iter().flat_map(Methods::rules).collect();
        rules.extend(hidden.into_iter().chain(default_deny).chain(schedule));
        rules.extend(sections.iter().flat_map(|section| section.entries.iter()).flat_map(Entry::rules));
        rules.extend(self.all_tools.rules());
        // Two limits may share a counter, and so their name.
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(*rule));
        rules
    }
}

/// What judging costs, in steps for each byte of a call.
pub(crate) struct Costs<'p> {
    policy: &'p Policy,
    /// Of every message.
    common: usize,
    /// Of every call of a tool, beside that.
    all_tools: usize,
    /// By the entry's pointer, as far as asked for.
    entries: BTreeMap<&'p str, usize>,
}

impl<'p> Costs<'p> {
    pub(crate) fn new(policy: &'p Policy) -> Self {
        let sections = [&policy.tools, &policy.prompts, &policy.resources];
        let named: usize = sections.iter().map(|section| section.hide.patterns() + section.entries.patterns()).sum();
        let patterns = named + policy.methods.as_ref().map_or(0, Methods::patterns);
        let common = 1 + patterns / PATTERNS_PER_STEP;
        Self { policy, common, all_tools: policy.all_tools.cost(), entries: BTreeMap::new() }
    }

    /// Of a message that reaches `target`; never less than one.
    pub(crate) fn of(&mut self, target: Option<Target<'_>>) -> usize {
        let Some(target) = target else { return self.common };
        let entry = self.policy.section(target.feature).entries.get(target.name);
        let own = entry.map(|entry| *self.entries.entry(&entry.pointer).or_insert_with(|| entry.checks.cost()));
        let shared = if target.feature == Feature::Tool { self.all_tools } else { 0 };
        self.common.saturating_add(shared).saturating_add(own.unwrap_or(0))
    }
}

impl Entry {
    fn rules(&self) -> impl Iterator<Item = &str> {
        let named = [&self.deny, &self.approval].into_iter().flatten().map(|(pointer, _)| pointer.as_str());
        let schedule = self.schedule.iter().map(|(pointer, _)| pointer.as_str());
        let pin = self.pin.iter().map(|pin| pin.rule.as_str());
        named.chain(pin).chain(schedule).chain(self.checks.rules())
    }
}

impl Checks {
    fn cost(&self) -> usize {
        let rules = self.require.iter().chain(&self.deny_if).chain(&self.require_approval);
        let conditions = rules.flat_map(|rule| &rule.conditions).map(cost);
        // Each limit looks through the counts that are already charged.
        let limits = self.limits.len().saturating_mul(1 + self.limits.len() / BYTES_PER_STEP);
        conditions.fold(limits, usize::saturating_add)
    }

    fn rules(&self) -> impl Iterator<Item = &str> {
        let rules = self.require.iter().chain(&self.deny_if).chain(&self.require_approval);
        rules.map(|rule| rule.pointer.as_str()).chain(self.limits.iter().map(|limit| limit.rule.as_str()))
    }
}

fn cost(condition: &Condition) -> usize {
    let sum = |conditions: &[Condition]| conditions.iter().map(cost).fold(1, usize::saturating_add);
    let size = |value: &Value| value.compact().len() / BYTES_PER_STEP;
    match condition {
        Condition::All(conditions) | Condition::Any(conditions) => sum(conditions),
        Condition::Not(condition) => cost(condition),
        Condition::Test(test) => {
            1 + match &test.predicate {
                Predicate::Equals(operand) | Predicate::Contains(operand) => size(operand),
                Predicate::In(operands) => operands.iter().map(size).fold(operands.len(), usize::saturating_add),
                Predicate::Matches(regex) => regex_bytes(regex) / REGEX_BYTES_PER_STEP,
                Predicate::Ordered(..) | Predicate::StartsWith(_) | Predicate::EndsWith(_) | Predicate::Exists(_) => 0,
            }
        }
    }
}

/// About what a compiled regex takes, which only trying tells: the next power of two.
fn regex_bytes(regex: &Regex) -> usize {
    let fits = |bytes: &usize| RegexBuilder::new(regex.as_str()).size_limit(*bytes).build().is_ok();
    (9..MAX_REGEX_BYTES.ilog2()).map(|bits| 1 << bits).find(fits).unwrap_or(MAX_REGEX_BYTES)
}
