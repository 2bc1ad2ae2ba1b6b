//! What of the server's messages may flow to one client: the policy's answers to what [`to_client`] asks, and the notes
//! for the record.

use crate::config::{Caller, Gate};
use crate::policy::{Listed, Outcome, Policy, Store};
use crate::record::bounded;
use crate::wire::json::Raw;
use crate::wire::mcp::Feature;
use crate::wire::reply;
use crate::wire::to_client::{self, Filter, Filtered, Unreadable};
use std::fmt::Display;

/// One answer under one policy.
pub(super) struct Passage<'p, 's> {
    policy: &'p Policy,
    store: &'s mut dyn Store,
    keeps_ms: Option<u64>,
    /// What did not pass, and what would not have but for shadow mode.
    pub(super) notes: Vec<String>,
}

impl<'p, 's> Passage<'p, 's> {
    /// For whom `caller` says, under `gate`; `None` where there is no policy to judge by.
    pub(super) fn new(gate: &'p Gate, caller: Option<&Caller>, store: &'s mut dyn Store) -> Option<Self> {
        let policy = gate.policy_for(caller?)?;
        Some(Self { policy, store, keeps_ms: gate.list_ttl_ms(), notes: Vec::new() })
    }

    /// What of one message may pass.
    pub(super) fn filter(&mut self, message: &[u8]) -> Result<Filtered, Unreadable> {
        to_client::rewrite(message, self)
    }

    pub(super) fn withheld(&mut self, what: impl Display) {
        self.notes.push(withheld(what));
    }

    fn note(&mut self, is_shadow: bool, what: impl Display) {
        if is_shadow {
            self.notes.push(format!("passed on in shadow mode: {what}"));
        } else {
            self.withheld(what);
        }
    }
}

impl Filter for Passage<'_, '_> {
    fn shows(&mut self, feature: Feature, name: &str, definition: Raw<'_>) -> bool {
        match self.policy.lists(feature, name, definition, self.store) {
            Listed::Visible => true,
            Listed::Hidden => false,
            Listed::Changed { rule, is_shadow } => {
                let name = reply::string(&bounded(name));
                self.note(is_shadow, format!("the tool {name}, which has changed since it was approved, by {rule}"));
                is_shadow
            }
        }
    }

    fn judges_requests(&self) -> bool {
        self.policy.judges_methods()
    }

    fn permits(&mut self, method: &str) -> bool {
        let decision = self.policy.decide_server_request(method);
        let goes_on = decision.outcome.goes_on();
        if decision.outcome != Outcome::Allowed {
            let method = reply::string(&bounded(method));
            self.note(goes_on, format!("the server's request {method}, by {}", decision.rule));
        }
        goes_on
    }

    fn keeps_ms(&self) -> Option<u64> {
        self.keeps_ms
    }
}

pub(super) fn withheld(what: impl Display) -> String {
    format!("not passed on: {what}")
}
