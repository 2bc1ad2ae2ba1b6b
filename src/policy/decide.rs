//! Decide: [`Policy`] × [`Query`] × [`Store`] → [`Decision`], in the one order that `docs/policy.md` gives.

use super::compile::{Entry, Policy};
use super::decision::{Decision, rule};
use super::document::Default;
use super::limit::{Refusal, reserve};
use super::query::Query;
use super::store::Store;

impl Policy {
    /// Judges one `tools/call`. An allowed call has spent a hit of each limit that applies.
    pub fn decide(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        let tool = query.tool;
        // Step 5.
        if self.hides(tool) {
            return Decision::denied(rule::HIDDEN, format!("Tool \"{tool}\" is hidden by policy"));
        }
        self.decide_entry(self.tools.get(tool), query, store)
    }

    /// Judges a call of a hidden tool as if no server had such a tool and no rule named it: the caller
    /// learns from the answer only what a wrong guess would have told.
    pub fn decide_as_unknown(&self, query: &Query<'_>, store: &mut dyn Store) -> Decision<'_> {
        self.decide_entry(None, query, store)
    }

    fn decide_entry<'p>(&'p self, entry: Option<&'p Entry>, query: &Query<'_>, store: &mut dyn Store) -> Decision<'p> {
        let tool = query.tool;
        // Step 6.
        if entry.is_none() && self.default == Default::Deny {
            return Decision::denied(rule::DEFAULT_DENY, format!("Tool \"{tool}\" is not permitted by policy"));
        }
        // Step 7.
        if let Some((rule, reason)) = entry.and_then(|entry| entry.deny.as_ref()) {
            return match reason {
                Some(reason) => Decision::denied(rule, reason),
                None => Decision::denied(rule, format!("Tool \"{tool}\" is denied by policy")),
            };
        }
        // Step 13.
        let own = entry.map(|entry| entry.limits.as_slice()).unwrap_or_default();
        match reserve(own.iter().chain(&self.all_limits), query, store) {
            Ok(reservation) => Decision::allowed(reservation),
            Err(Refusal::Spent(limit)) => Decision::denied(&limit.rule, limit.message.as_str()),
            // Step 14.
            Err(Refusal::Uncertain) => Decision::failed(),
        }
    }

    /// Whether a tool may stand in a `tools/list` answer. INVARIANT: what is not visible is refused when
    /// called.
    #[must_use]
    pub fn visible(&self, tool: &str) -> bool {
        let unlisted = || self.default == Default::Deny && self.tools.get(tool).is_none();
        !(self.hides(tool) || self.hide_unlisted && unlisted())
    }

    fn hides(&self, tool: &str) -> bool {
        self.hide.get(tool).is_some()
    }
}
