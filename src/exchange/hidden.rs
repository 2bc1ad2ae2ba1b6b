//! The call of what is hidden, answered as if no server had such a thing.

use super::approval::Approval;
use super::asked::Asked;
use super::stand_in::StandIn;
use super::{Exchange, Reply, Step};
use crate::policy::{Decision, Store, Target};
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::wire::jsonrpc::{INVALID_PARAMS, Id};
use crate::wire::mcp::Feature;
use crate::wire::reply;

/// What becomes of the call of something that no rule names.
pub(super) struct Unknown<'d, 't> {
    pub(super) guess: (Decision<'d>, Approval),
    pub(super) target: Option<Target<'t>>,
    /// Another name in the place of the hidden one, and the body with it.
    pub(super) stand_in: Option<(StandIn, Vec<u8>)>,
}

impl Exchange {
    /// The record still says that it was hidden; only the caller cannot tell.
    pub(super) fn answer_as_unknown(
        &mut self,
        id: Id<'_>,
        unknown: Unknown<'_, '_>,
        (mut asked, mut record): (Asked, Record),
        kind: (bool, usize),
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Step {
        let Unknown { guess: (guess, approval), target, stand_in } = unknown;
        record.approves(&approval);
        if !guess.outcome.goes_on() {
            return self.refuse_call(id, kind.0, &guess, &approval, record, now);
        }
        self.claim = approval.claim();
        if let Some((stand_in, sent)) = stand_in {
            asked.stand_in = Some(stand_in);
            return self.pass(guess.reservation, Step::Replace(sent), (asked, record), kind, now, store);
        }
        let (kind_of, name) = match target {
            Some(Target { feature: Feature::Prompt, name }) => ("Unknown prompt", name),
            Some(Target { feature: Feature::Resource, name }) => ("Resource not found", name),
            Some(Target { feature: Feature::Tool, name }) => ("Unknown tool", name),
            None => ("Unknown tool", ""),
        };
        let body = reply::error(Some(id.as_str()), INVALID_PARAMS, &format!("{kind_of}: {name}"));
        let reply = Reply { status: 200, headers: Vec::new(), body, details: "mcp_denied" };
        let step = self.pass(guess.reservation, Step::Reply(reply), (asked, record), kind, now, store);
        // As for the error of a server.
        self.give_back(now, store);
        step
    }
}
