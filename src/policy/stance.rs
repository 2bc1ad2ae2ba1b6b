//! What the name of a tool alone decides: for a person who looks at a list of tools, not at calls.

use super::compile::{Checks, Policy, Rule};
use super::decision::rule;
use super::document::Default;

/// What the name of a tool alone decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// Nothing refuses it.
    Allowed,
    /// It is refused.
    Denied,
    /// It is refused, and no client sees it.
    Hidden,
    /// A person must approve each call.
    ApprovalRequired,
    /// Its entry counts its calls.
    Limited,
}

/// What a policy makes of a tool, whatever a call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standpoint<'p> {
    /// Of the tool.
    pub stance: Stance,
    /// Where that comes from, as in a decision; empty where nothing refuses, counts or asks.
    pub rule: &'p str,
    /// Where the entry stands that applies.
    pub entry: Option<&'p str>,
    /// Rules that look at the call, schedules or limits of all tools may refuse it all the same.
    pub is_conditional: bool,
    /// What refuses it is in shadow mode.
    pub is_shadow: bool,
}

impl Policy {
    /// What the name of `tool` alone decides, in the order in which a call is judged.
    #[must_use]
    pub fn standpoint(&self, tool: &str) -> Standpoint<'_> {
        let entry = self.tools.entries.get(tool);
        let method = self.methods.as_ref().and_then(|methods| methods.refuses("tools/call"));
        let hidden = self.tools.hides(tool).then_some(rule::HIDDEN);
        let unlisted = (self.tools.default == Default::Deny && entry.is_none()).then_some(rule::DEFAULT_DENY);
        let own = entry.map(|entry| &entry.checks);
        let checks = || own.into_iter().chain([&self.all_tools]);
        let denied = entry.and_then(|entry| entry.deny.as_ref()).map(|(rule, _)| rule.as_str());
        let denied = denied.or_else(|| checks().find_map(|checks| always(&checks.deny_if)));
        let asked = entry.and_then(|entry| entry.approval.as_ref()).map(|(rule, _)| rule.as_str());
        let asked = asked.or_else(|| checks().find_map(|checks| always(&checks.require_approval)));
        let limited = own.and_then(|own| own.limits.first()).map(|limit| limit.rule.as_str());
        let found = [
            (Stance::Denied, method.map(|finding| finding.rule)),
            (Stance::Hidden, hidden),
            (Stance::Denied, unlisted.or(denied)),
            (Stance::ApprovalRequired, asked),
            (Stance::Limited, limited),
        ];
        let first = found.into_iter().find_map(|(stance, rule)| Some((stance, rule?)));
        let (stance, rule) = first.unwrap_or((Stance::Allowed, ""));
        let has_schedule = self.schedule.is_some() || entry.is_some_and(|entry| entry.schedule.is_some());
        let is_conditional = checks().any(Checks::look_at_calls) || !self.all_tools.limits.is_empty();
        Standpoint {
            stance,
            rule,
            entry: entry.map(|entry| entry.pointer.as_str()),
            is_conditional: has_schedule || is_conditional,
            is_shadow: self.is_shadow || own.is_some_and(|own| own.is_shadow),
        }
    }
}

/// The first of these rules that fires for every call.
fn always(rules: &[Rule]) -> Option<&str> {
    let first = rules.iter().find(|rule| rule.conditions.is_empty() && !rule.is_shadow);
    first.map(|rule| rule.pointer.as_str())
}

impl Checks {
    fn look_at_calls(&self) -> bool {
        let mut rules = self.require.iter().chain(&self.deny_if).chain(&self.require_approval);
        rules.any(|rule| !rule.conditions.is_empty())
    }
}
