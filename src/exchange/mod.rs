//! One HTTP exchange as a state machine: the host's events in, [`Step`]s out.
//!
//! Decides and never acts: a host turns its callbacks into these methods and does what the steps say.
//! Every fault becomes a refusal here; no error can reach [`Step::Continue`]. The order of events is the
//! host's, so each method is safe in any order: what was not judged does not go on.

mod answer;
mod approval;
mod asked;
mod head;
mod headers;
mod held;
mod hidden;
mod known;
mod legacy;
mod limits;
mod passage;
mod presented;
mod recording;
mod refusal;
mod request;
mod settlement;
mod spent;
mod stand_in;

pub use answer::{LONG_LIST_BYTES, MAX_ANSWER_BYTES};
pub use headers::{HeaderEdit, Headers};
pub use held::Room;
pub use known::Verified;

use crate::approvals::book::Claim;
use crate::config::{Caller, Gate};
use crate::policy::{Policy, Reservation, Store};
use crate::record::Record;
use crate::timestamp::Timestamp;
use answer::Answer;
use asked::Asked;
use std::borrow::Cow;
use std::rc::Rc;

/// What the host is to do with the event it reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Let it go on as it is.
    Continue,
    /// Hold it and everything before it.
    Wait,
    /// Send this answer to the client; nothing more goes to the other side.
    Reply(Reply),
    /// Let it go on with these bytes instead of its own.
    Replace(Vec<u8>),
    /// Let it go on with these bytes, of another length than the headers say, which are still held.
    Resize(Vec<u8>),
    /// Hold it until [`Exchange::is_awaited`] is no longer so, then report [`Exchange::hold_ended`].
    Hold,
    /// Hold it, and make this request of the rate limit service; its end is reported by [`Exchange::limits_counted`].
    Ask(Vec<u8>),
}

/// What the host is to do with headers.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderStep {
    /// First change these.
    pub edits: &'static [HeaderEdit],
    /// Then do this; never anything about bytes.
    pub step: Step,
}

impl HeaderStep {
    fn plain(step: Step) -> Self {
        Self { edits: &[], step }
    }
}

/// An answer of our own, `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside `content-type`.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// A JSON-RPC message, or nothing.
    pub body: Vec<u8>,
    /// One fixed word for the host's log.
    pub details: &'static str,
}

/// How an answer's body is to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Not at all: let it pass.
    Nothing,
    /// Held until its beginning tells: [`Exchange::answer_begins`], then ask again.
    Beginning,
    /// Chunk by chunk, as it comes: [`Exchange::answer_chunk`]. Never held from then on: another filter may hold what has
    /// passed, and a host keeps one buffer for both.
    Chunks,
    /// Held until it is whole: [`Exchange::answer_grows`], then [`Exchange::answer_whole`]. Where
    /// [`Exchange::answer_may_open`], [`Exchange::answer_opens`] may make it chunks on the way.
    Whole,
}

/// One exchange. Made when the request's headers arrive.
#[derive(Debug)]
pub struct Exchange {
    gate: Rc<Gate>,
    head: head::Head,
    headers: Headers,
    verified: Box<dyn Verified>,
    /// Whom it is judged as; `None` before its headers came, and when nobody may call like that.
    caller: Option<Caller>,
    phase: Phase,
    /// While [`Phase::Asking`].
    pending: Option<Box<limits::Pending>>,
    /// Where it may be held for a person.
    room: Option<Rc<held::Room>>,
    /// While [`Phase::Held`].
    held: Option<Box<held::Held>>,
    /// What a hold that is over leaves to be recorded.
    was_held: Option<held::WasHeld>,
    asked: Asked,
    answer: Answer,
    /// What the call holds of its limits until its end is known.
    reservation: Reservation,
    /// The approval that the call has used, until its end is known.
    claim: Option<Claim>,
    /// The answer to the call was a JSON-RPC error.
    has_error: bool,
    record: Option<Record>,
    judged_at: u64,
}

/// How far the request is. The server's answer is watched in all but the last: where headers are not held, a
/// server may answer before the body was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of its body may go on yet.
    Judging,
    /// Nor yet: a person is asked, for a while.
    Held,
    /// Nor yet: it is judged but for its limits, which a service is counting.
    Asking,
    /// Let through.
    Forwarded,
    /// We answered, and that answer passes; nothing more of the request goes on.
    Answered,
}

impl Exchange {
    /// An exchange under `gate`, before its first event, behind a proxy that verifies nobody.
    #[must_use]
    pub fn new(gate: Rc<Gate>) -> Self {
        Self::verified_by(Box::new(known::Nobody), gate)
    }

    /// The same, behind a proxy that knows callers.
    #[must_use]
    pub fn verified_by(verified: Box<dyn Verified>, gate: Rc<Gate>) -> Self {
        Self {
            verified,
            caller: None,
            gate,
            head: head::Head::default(),
            headers: Headers::default(),
            phase: Phase::Judging,
            pending: None,
            room: None,
            held: None,
            was_held: None,
            asked: Asked::default(),
            answer: Answer::default(),
            reservation: Reservation::default(),
            claim: None,
            has_error: false,
            record: None,
            judged_at: 0,
        }
    }

    /// The gate it is judged by, to its end.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The policy that its caller is judged by; `None` when there is none.
    fn policy(&self) -> Option<&Policy> {
        self.gate.policy_for(self.caller.as_ref()?)
    }

    /// Gives back what the call has used of its limits, and its approval, because it surely did not run.
    fn give_back(&mut self, now: Timestamp, store: &mut dyn Store) {
        std::mem::take(&mut self.reservation).refund(store);
        if let Some(claim) = self.claim.take() {
            claim.release(now.millis(), store);
        }
    }

    /// What was decided; `None` while nothing was.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }
}
