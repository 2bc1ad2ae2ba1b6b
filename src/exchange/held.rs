//! A call that is held while a person is asked, because its rule has it `wait`: for so long, and so many at a time.

use super::approval::Waiting;
use super::{Exchange, Phase, Step};
use crate::approvals::{Id, book};
use crate::policy::Store;
use crate::record::Record;
use crate::timestamp::Timestamp;
use std::cell::Cell;
use std::rc::Rc;

/// The places for calls that are held at the same time.
#[derive(Debug)]
pub struct Room {
    free: Cell<usize>,
}

impl Room {
    /// As many places.
    #[must_use]
    pub const fn new(places: usize) -> Self {
        Self { free: Cell::new(places) }
    }

    fn enter(self: &Rc<Self>) -> Option<Seat> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Seat(Rc::clone(self)))
    }
}

/// One place; free again when this is dropped, however the call ends.
#[derive(Debug)]
struct Seat(Rc<Room>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
    }
}

/// A call in its place.
#[derive(Debug)]
pub(super) struct Held {
    /// What it waits for.
    id: Id,
    since: u64,
    until: u64,
    /// What is known of it if it leaves.
    record: Record,
    _seat: Seat,
}

/// What is told of the hold when it is over.
#[derive(Debug)]
pub(super) struct WasHeld {
    pub(super) millis: u64,
    pub(super) dropped: Option<String>,
}

impl Exchange {
    /// The same exchange, which holds calls where there is a place in `room`. Without one none is held.
    #[must_use]
    pub fn in_room(mut self, room: Rc<Room>) -> Self {
        self.room = Some(room);
        self
    }

    /// Holds a call that waits; gives its record back where it is refused at once.
    pub(super) fn hold(&mut self, waiting: &Waiting, record: Record, now: Timestamp) -> Result<Step, Box<Record>> {
        let seconds = self.gate.approvals.wait_seconds(waiting);
        let place = seconds.and_then(|seconds| Some((seconds, self.room.as_ref()?.enter()?)));
        let Some((seconds, seat)) = place else { return Err(Box::new(record)) };
        let since = now.millis();
        // Before the approval runs out: it would be another one then.
        let until = since.saturating_add(seconds.saturating_mul(1000)).min(waiting.entry.expires.saturating_sub(1));
        self.held = Some(Box::new(Held { id: waiting.entry.id, since, until, record, _seat: seat }));
        self.phase = Phase::Held;
        Ok(Step::Hold)
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether it is held, and is to be held still; `waiting`: where that can be read.
    #[must_use]
    pub fn is_awaited(&self, waiting: Option<&book::Waiting>, now: Timestamp) -> bool {
        let now = now.millis();
        // A clock that steps back would hold it for longer than was said.
        self.held.as_ref().is_some_and(|held| {
            (held.since..held.until).contains(&now) && waiting.is_none_or(|waiting| waiting.has(held.id, now))
        })
    }

    /// The hold is over: it is judged once more, by what is true now, and not held again.
    pub fn hold_ended(&mut self, body: &[u8], now: Timestamp, store: &mut dyn Store) -> Step {
        let Some(held) = self.held.take().filter(|_| self.phase == Phase::Held) else { return Step::Wait };
        let millis = now.millis().saturating_sub(held.since);
        self.was_held = Some(WasHeld { millis, dropped: held.record.dropped_approval });
        self.room = None;
        self.phase = Phase::Judging;
        self.request_whole(body, now, store)
    }

    /// Nobody waits for a held call any more: its client is gone, or was answered otherwise. It never goes on; what was
    /// asked of a person stands.
    pub fn leave(&mut self) {
        if let Some(held) = self.held.take() {
            self.record = Some(held.record);
        }
    }
}
