//! How far the telling of each approval is: in one value that all workers change, so that of several that look at the
//! same time one makes the call.

use super::super::Id;
use super::super::kept::Kept;
use super::super::table::{MAX_ENTRIES, Table};
use super::event::Event;
use std::collections::BTreeMap;

/// The most approvals that are known here: those that are kept, and as many that were, of which somebody is to be told.
const MAX_RECORDS: usize = 2 * MAX_ENTRIES;
/// Bytes of one: the approval's digest and time, the event, its progress, its attempts, and a time.
const RECORD_BYTES: usize = 32 + 8 + 3 + 8;
/// Format 1.
const VERSION: u8 = 1;
/// Nothing is told that happened less than so many milliseconds ago: what a person is shown, and a person's note, are
/// written down after the state.
pub(super) const RIPE_MS: u64 = 100;
/// The pause after a first attempt that failed, in milliseconds; each later one is twice as long.
const FIRST_PAUSE_MS: u64 = 1000;
/// No pause and no call takes that long; a time further ahead was written before a clock stepped back.
const MAX_WAIT_MS: u64 = 600_000;

/// What was settled longer ago, and nobody has begun to tell, is not told: nobody was to be told then.
pub(super) const HISTORY_MS: u64 = 600_000;

/// One event that one worker tells, for the so-many-th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub id: Id,
    /// What is told.
    pub event: Event,
    /// From 1.
    pub attempt: u8,
}

/// How long and how often it is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Attempts, all together.
    pub(super) attempts: u8,
    /// From this many milliseconds on a worker that says nothing is taken for dead.
    pub(super) patience: u64,
}

/// What a look at all approvals brings.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) claims: Vec<Claim>,
    /// Whose last attempt ended without a word.
    pub(super) given_up: Vec<Claim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// A worker makes the call, and is taken for dead from this millisecond on.
    Calling(u64),
    /// The next attempt is made at this millisecond.
    Waiting(u64),
    /// It is told, or was tried often enough.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    claim: Claim,
    progress: Progress,
}

/// Where each is that has this name.
type Places = BTreeMap<Id, usize>;

/// Filled one by one, because collecting would bring a sort of its own into the plugin.
fn places(ids: impl Iterator<Item = Id>) -> Places {
    let mut places = Places::new();
    for (place, id) in ids.enumerate() {
        places.insert(id, place);
    }
    places
}

/// By approvals' names, not by their places in the table: who takes a place over inherits nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ledger(Vec<Record>);

impl Kept for Ledger {
    const KEY: &'static [u8] = b"mcp-policy:approval-events";

    /// One byte 1, then for each record the approval's digest and time, the event, its progress (1 to 3), how often it was
    /// tried, and the progress's time; numbers are little-endian.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * RECORD_BYTES);
        bytes.push(VERSION);
        for Record { claim: Claim { id, event, attempt }, progress } in &self.0 {
            let (progress, at) = match progress {
                Progress::Calling(at) => (1, *at),
                Progress::Waiting(at) => (2, *at),
                Progress::Done => (3, 0),
            };
            bytes.extend_from_slice(&id.digest);
            bytes.extend_from_slice(&id.created.to_le_bytes());
            bytes.extend_from_slice(&[event.byte(), progress, *attempt]);
            bytes.extend_from_slice(&at.to_le_bytes());
        }
        bytes
    }

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(&[VERSION])?;
        let records = rest.chunks(RECORD_BYTES).map(|record| {
            let (digest, rest) = record.split_first_chunk()?;
            let (created, rest) = rest.split_first_chunk()?;
            let ([event, progress, attempt], rest) = rest.split_first_chunk()?;
            let at = u64::from_le_bytes(rest.try_into().ok()?);
            let progress = match progress {
                1 => Progress::Calling(at),
                2 => Progress::Waiting(at),
                3 => Progress::Done,
                _ => return None,
            };
            let id = Id { digest: *digest, created: u64::from_le_bytes(*created) };
            let claim = Claim { id, event: Event::from_byte(*event)?, attempt: *attempt };
            Some(Record { claim, progress })
        });
        let records: Vec<_> = records.collect::<Option<_>>()?;
        (records.len() <= MAX_RECORDS).then_some(Self(records))
    }
}

/// What is to be done about one event now.
enum Next {
    Nothing,
    Attempt(u8),
    /// After so many.
    GiveUp(u8),
}

/// What came of noting how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// Nothing: somebody else has gone on meanwhile.
    Old,
    /// It is told, or will be tried again.
    Noted,
    /// It was the last attempt, and in vain.
    Last,
}

impl Record {
    /// About the event that it is for.
    fn next(&self, terms: &Terms, now: u64) -> Next {
        match self.progress {
            Progress::Done => Next::Nothing,
            Progress::Calling(at) | Progress::Waiting(at) if !is_reached(at, now) => Next::Nothing,
            Progress::Calling(_) | Progress::Waiting(_) if self.claim.attempt >= terms.attempts => {
                Next::GiveUp(self.claim.attempt)
            }
            Progress::Calling(_) | Progress::Waiting(_) => Next::Attempt(self.claim.attempt.saturating_add(1)),
        }
    }

    /// About an event that comes after it. Two calls for one approval are never under way, so that its events arrive in
    /// order; what was not told before is not told any more.
    fn next_event(&self, at: u64, now: u64) -> Next {
        match self.progress {
            Progress::Calling(until) if !is_reached(until, now) => Next::Nothing,
            Progress::Calling(_) | Progress::Waiting(_) | Progress::Done => first(at, now),
        }
    }
}

fn is_reached(at: u64, now: u64) -> bool {
    now >= at || at - now > MAX_WAIT_MS
}

fn first(at: u64, now: u64) -> Next {
    // What seems to lie ahead happened before a clock stepped back.
    if at <= now && now - at < RIPE_MS { Next::Nothing } else { Next::Attempt(1) }
}

/// Between an attempt that failed and the next: twice as long each time, give or take a quarter, by the approval's digest.
fn pause_ms(claim: &Claim) -> u64 {
    let base = FIRST_PAUSE_MS << claim.attempt.saturating_sub(1).min(8);
    let byte = claim.id.digest.get(usize::from(claim.attempt)).copied().unwrap_or_default();
    base - base / 4 + base / 2 * u64::from(byte) / 255
}

impl Ledger {
    /// Takes up to `room` events that nobody tells yet, those of the oldest approvals first. INVARIANT: `table` was read
    /// after this was, so a record without an entry is that of an approval that is gone.
    pub(super) fn claim(&mut self, table: &Table, terms: &Terms, room: usize, now: u64) -> Due {
        let known = places(self.0.iter().map(|record| record.claim.id));
        let kept = places(table.entries().map(|(_, entry)| entry.id));
        let mut due = Due::default();
        for (_, entry) in table.entries() {
            let (event, at) = Event::of(entry, now);
            let next = match known.get(&entry.id).and_then(|place| self.0.get(*place)) {
                None if event != Event::Pending && now.saturating_sub(at) > HISTORY_MS => Next::Nothing,
                None => first(at, now),
                Some(record) if record.claim.event == event => record.next(terms, now),
                Some(record) => record.next_event(at, now),
            };
            due.add(entry.id, event, next);
        }
        for record in self.0.iter().filter(|record| !kept.contains_key(&record.claim.id)) {
            let id = record.claim.id;
            match record.claim.event {
                Event::Pending => due.add(id, Event::Dropped, record.next_event(0, now)),
                event @ (Event::Approved | Event::Denied | Event::Expired | Event::Dropped) => {
                    due.add(id, event, record.next(terms, now));
                }
            }
        }
        due.keep_oldest(room);
        if !due.is_empty() {
            self.forget(&kept, due.claims.len());
            let calling = Progress::Calling(now.saturating_add(terms.patience));
            due.claims.iter().for_each(|claim| self.note(*claim, calling));
            due.given_up.iter().for_each(|claim| self.note(*claim, Progress::Done));
        }
        due
    }

    fn note(&mut self, claim: Claim, progress: Progress) {
        let record = Record { claim, progress };
        match self.0.iter_mut().find(|old| old.claim.id == claim.id) {
            Some(old) => *old = record,
            None => self.0.push(record),
        }
    }

    /// Makes room for so many: of approvals that are gone nothing is kept that is told, nor more than there is place for.
    fn forget(&mut self, kept: &Places, room: usize) {
        self.0.retain(|record| record.progress != Progress::Done || kept.contains_key(&record.claim.id));
        while self.0.len() + room > MAX_RECORDS {
            let gone = self.0.iter().enumerate().filter(|(_, record)| !kept.contains_key(&record.claim.id));
            let Some((oldest, _)) = gone.min_by_key(|(_, record)| record.claim.id.created) else { return };
            self.0.swap_remove(oldest);
        }
    }

    /// Notes how an attempt ended.
    pub(super) fn report(&mut self, claim: &Claim, is_told: bool, attempts: u8, now: u64) -> Reported {
        let same = |record: &&mut Record| record.claim.id == claim.id && record.claim.event == claim.event;
        let Some(record) = self.0.iter_mut().find(same) else { return Reported::Old };
        let is_current = record.claim.attempt == claim.attempt && matches!(record.progress, Progress::Calling(_));
        let (progress, reported) = match record.progress {
            Progress::Done => return Reported::Old,
            // Also by one that was taken for dead.
            _ if is_told => (Progress::Done, Reported::Noted),
            _ if !is_current => return Reported::Old,
            _ if claim.attempt >= attempts => (Progress::Done, Reported::Last),
            _ => (Progress::Waiting(now.saturating_add(pause_ms(claim))), Reported::Noted),
        };
        record.progress = progress;
        reported
    }
}

impl Due {
    fn add(&mut self, id: Id, event: Event, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Attempt(attempt) => self.claims.push(Claim { id, event, attempt }),
            Next::GiveUp(attempt) => self.given_up.push(Claim { id, event, attempt }),
        }
    }

    /// Of the claims only so many, in order.
    fn keep_oldest(&mut self, room: usize) {
        let mut all = std::mem::take(&mut self.claims);
        while self.claims.len() < room {
            let oldest = all.iter().enumerate().min_by_key(|(_, claim)| claim.id.created);
            let Some((oldest, _)) = oldest else { return };
            self.claims.push(all.swap_remove(oldest));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.given_up.is_empty()
    }
}
