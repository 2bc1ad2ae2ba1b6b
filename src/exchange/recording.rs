//! What of a request and its decision goes into the record.

use super::Exchange;
use super::approval::Approval;
use crate::policy::{Decision, Outcome, Policy};
use crate::record::{ArgKeys, Record, bounded};
use crate::timestamp::Timestamp;
use crate::wire::json::{Raw, Reader};
use crate::wire::mcp::{Feature, Named};

impl Exchange {
    pub(super) fn start_record(&self, now: Timestamp) -> Record {
        let policy = self.policy();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Record {
            ts: now.to_string(),
            request_id: self.head.request_id.clone(),
            grant: text(self.caller.as_ref().map(|caller| caller.grant.as_str())),
            session: self.head.session.as_deref().map(bounded),
            policy: text(policy.map(Policy::name)),
            policy_version: text(policy.map(Policy::version)),
            held_ms: self.was_held.as_ref().map(|was| was.millis),
            dropped_approval: self.was_held.as_ref().and_then(|was| was.dropped.clone()),
            ..Record::new(Outcome::Allowed)
        }
    }
}

impl Record {
    pub(super) fn tells(&mut self, named: &Named<'_>) {
        let name = match named.feature {
            Feature::Tool => &mut self.tool,
            Feature::Prompt => &mut self.prompt,
            Feature::Resource => &mut self.resource,
        };
        *name = Some(bounded(&named.name));
    }

    pub(super) fn note(&mut self, decision: &Decision<'_>) {
        self.outcome = decision.outcome;
        decision.rule.clone_into(&mut self.rule);
        self.message = bounded(&decision.message);
        self.shadow_rule = decision.shadow_rule.map(str::to_owned);
    }

    /// What came of the approval that the call needs.
    pub(super) fn approves(&mut self, standing: &Approval) {
        self.approval = standing.id().map(|id| id.to_string());
        // A call that was held has another place by now, but it was the first that took one.
        self.dropped_approval = standing.dropped().map(|id| id.to_string()).or(self.dropped_approval.take());
        self.approval_key = standing.key().map(str::to_owned);
    }

    pub(super) fn settle(&mut self, outcome: Outcome, rule: String, message: &str) {
        (self.outcome, self.rule) = (outcome, rule);
        self.message = bounded(message);
    }

    pub(super) fn refuse(&mut self, rule: &str, message: &str) {
        self.outcome = Outcome::Denied;
        rule.clone_into(&mut self.rule);
        self.message = bounded(message);
    }
}

/// Names of an object's members; what has no characters is left out.
pub(super) fn top_level_names(object: Raw<'_>) -> Vec<String> {
    let mut names = ArgKeys::default();
    let read = Reader::new(object.as_str()).object::<crate::wire::json::Error>(|reader, name| {
        if let Some(name) = name.decode() {
            names.add(&name);
        }
        reader.value().map(drop)
    });
    if read.is_ok() { names.into_vec() } else { Vec::new() }
}
