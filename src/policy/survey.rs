//! What a policy holds: the rules that may stand in a decision, and what judging a call costs.

use super::compile::{Checks, Entry, Policy};
use super::decide::SCHEDULE;
use super::decision::rule;
use super::document::Default;
use std::collections::BTreeSet;

/// Patterns that are tried in about the time that one rule takes.
const PATTERNS_PER_RULE: usize = 8;

impl Policy {
    /// Every rule that a decision of this policy may name, each once, in the order of its entries.
    #[must_use]
    pub fn rules(&self) -> Vec<&str> {
        let hidden = (!self.hide.is_empty()).then_some(rule::HIDDEN);
        let default_deny = (self.default == Default::Deny).then_some(rule::DEFAULT_DENY);
        let schedule = self.schedule.as_ref().map(|_| SCHEDULE);
        let mut rules: Vec<&str> = hidden.into_iter().chain(default_deny).chain(schedule).collect();
        rules.extend(self.tools.iter().flat_map(Entry::rules));
        rules.extend(self.all_tools.rules());
        // Two limits may share a counter, and so their name.
        let mut seen = BTreeSet::new();
        rules.retain(|rule| seen.insert(*rule));
        rules
    }

    /// How many rules a call of `tool` is asked at most; never less than one.
    pub(crate) fn rules_asked(&self, tool: &str) -> usize {
        let entry = self.tools.get(tool).map_or(0, |entry| entry.checks.rules().count());
        let patterns = self.hide.patterns() + self.tools.patterns();
        1 + entry + self.all_tools.rules().count() + patterns / PATTERNS_PER_RULE
    }
}

impl Entry {
    fn rules(&self) -> impl Iterator<Item = &str> {
        let named = [&self.deny, &self.approval].into_iter().flatten().map(|(pointer, _)| pointer.as_str());
        let schedule = self.schedule.iter().map(|(pointer, _)| pointer.as_str());
        named.chain(schedule).chain(self.checks.rules())
    }
}

impl Checks {
    fn rules(&self) -> impl Iterator<Item = &str> {
        let rules = self.require.iter().chain(&self.deny_if).chain(&self.require_approval);
        rules.map(|rule| rule.pointer.as_str()).chain(self.limits.iter().map(|limit| limit.rule.as_str()))
    }
}
