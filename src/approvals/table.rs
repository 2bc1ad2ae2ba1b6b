//! All approvals of a proxy in one value of fixed size: what each is bound to, and how far it is.

use super::Id;
use super::kept::Kept;
use sha2::{Digest, Sha256};

/// The most approvals that are kept, whatever their state.
pub const MAX_ENTRIES: usize = 256;
/// Bytes of one: digest, three times, grant and state.
const ENTRY_BYTES: usize = 32 + 3 * 8 + 8 + 1;
/// Format 1.
const VERSION: u8 = 1;

/// How far an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Pending,
    /// A person has approved it, and no call has used it.
    Approved,
    /// A person has denied it.
    Denied,
    /// The approved call went on.
    Used,
}

impl State {
    const ALL: [(u8, &'static str, Self); 4] = [
        (1, "pending", Self::Pending),
        (2, "approved", Self::Approved),
        (3, "denied", Self::Denied),
        (4, "used", Self::Used),
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|(own, ..)| *own == byte).map(|(.., state)| state)
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Pending => 1,
            Self::Approved => 2,
            Self::Denied => 3,
            Self::Used => 4,
        }
    }

    /// As the admin API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }
}

/// One approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: Id,
    /// From this millisecond since the epoch on it means nothing any more.
    pub expires: u64,
    /// How long it may be used once it is approved, in milliseconds.
    pub timeout: u64,
    /// Tells the callers' grants apart, for the fairness of [`Table::place`].
    pub grant: u64,
    /// How far it is.
    pub state: State,
}

impl Entry {
    /// Whether it still means something.
    #[must_use]
    pub const fn is_live(&self, now: u64) -> bool {
        now < self.expires
    }

    /// Its state as people are told it, where time running out is one.
    #[must_use]
    pub fn shown_state(&self, now: u64) -> &'static str {
        if self.state != State::Used && !self.is_live(now) { "expired" } else { self.state.as_str() }
    }
}

/// Short for a grant's id.
pub(super) fn grant_tag(grant: &str) -> u64 {
    Sha256::digest(grant).first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Every approval. An entry keeps its place as long as it is there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Table(Vec<Entry>);

impl Kept for Table {
    const KEY: &'static [u8] = b"mcp-policy:approvals";

    /// One byte 1, then for each entry its digest; created, expires, timeout and grant as 64-bit little-endian integers;
    /// and its state.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * ENTRY_BYTES);
        bytes.push(VERSION);
        for Entry { id, expires, timeout, grant, state } in &self.0 {
            bytes.extend_from_slice(&id.digest);
            for number in [id.created, *expires, *timeout, *grant] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.push(state.byte());
        }
        bytes
    }

    /// `None` when it is not ours.
    fn decode(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(&[VERSION])?;
        let entries = rest.chunks(ENTRY_BYTES).map(|entry| {
            let (digest, mut rest) = entry.split_first_chunk()?;
            let mut next = || {
                let (number, after) = rest.split_first_chunk()?;
                rest = after;
                Some(u64::from_le_bytes(*number))
            };
            let (created, expires, timeout, grant) = (next()?, next()?, next()?, next()?);
            let [state] = rest else { return None };
            let id = Id { digest: *digest, created };
            Some(Entry { id, expires, timeout, grant, state: State::from_byte(*state)? })
        });
        let entries: Vec<_> = entries.collect::<Option<_>>()?;
        (entries.len() <= MAX_ENTRIES).then_some(Self(entries))
    }
}

impl Table {
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.0.iter().enumerate()
    }

    /// The place of the approval with this name.
    pub(super) fn find(&self, id: Id) -> Option<(usize, Entry)> {
        self.entries().find(|(_, entry)| entry.id == id).map(|(place, entry)| (place, *entry))
    }

    /// What is known of calls with this digest, the most telling first: an approval to use, a denial, one that waits.
    pub(super) fn standing(&self, digest: &[u8; 32], now: u64) -> Option<(usize, Entry)> {
        let rank = |entry: &Entry| match entry.state {
            State::Approved => 0,
            State::Denied => 1,
            State::Pending => 2,
            State::Used => 3,
        };
        let live = self
            .entries()
            .filter(|(_, entry)| entry.id.digest == *digest && entry.is_live(now) && entry.state != State::Used);
        live.min_by_key(|(_, entry)| rank(entry)).map(|(place, entry)| (place, *entry))
    }

    pub(super) fn set(&mut self, place: usize, entry: Entry) {
        if let Some(old) = self.0.get_mut(place) {
            *old = entry;
        }
    }

    /// The grant that has most waiting; of two that have as many, one and the same each time.
    fn greediest(&self, now: u64) -> Option<u64> {
        let waits = |entry: &&Entry| entry.state == State::Pending && entry.is_live(now);
        let mut grants: Vec<u64> = self.0.iter().filter(waits).map(|entry| entry.grant).collect();
        grants.sort_unstable();
        let of_one = grants.chunk_by(|a, b| a == b);
        of_one.filter_map(|same| Some((same.len(), *same.first()?))).max().map(|(_, grant)| grant)
    }

    /// Puts a new entry into a free place, or into that of one that means least: what has run out, then what was used or
    /// denied, then the oldest that waits of the grant that has most waiting. Never that of an approval to use. Returns the
    /// place, and whom it was taken from if that one was still waiting; `None` when there is no place.
    pub(super) fn place(&mut self, entry: Entry, now: u64) -> Option<(usize, Option<Id>)> {
        if self.0.len() < MAX_ENTRIES {
            self.0.push(entry);
            return Some((self.0.len() - 1, None));
        }
        let greediest = self.greediest(now);
        let worth = |entry: &Entry| match entry.state {
            _ if !entry.is_live(now) => Some(0),
            State::Used => Some(1),
            State::Denied => Some(2),
            State::Pending if Some(entry.grant) == greediest => Some(3),
            State::Pending | State::Approved => None,
        };
        let candidates = self.entries().filter_map(|(place, old)| Some((worth(old)?, old.id.created, place)));
        let (worth, _, place) = candidates.min()?;
        let old = self.0.get_mut(place)?;
        let dropped = (worth == 3).then_some(old.id);
        *old = entry;
        Some((place, dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, grant: u64, state: State) -> Entry {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        Entry { id: Id { digest, created: number }, expires: 1_000_000, timeout: 1, grant, state }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let states = State::ALL.map(|(.., state)| state);
        let table = Table(states.into_iter().zip(0..).map(|(state, number)| entry(number, 9, state)).collect());
        let bytes = table.encode();
        assert_eq!(Table::decode(&bytes), Some(table));
        for broken in [&bytes[..bytes.len() - 1], &[], &[2], &[bytes.as_slice(), &[0]].concat()] {
            assert_eq!(Table::decode(broken), None);
        }
        for (byte, name, state) in State::ALL {
            assert_eq!((state.byte(), state.as_str(), State::from_byte(byte)), (byte, name, Some(state)));
        }
    }

    #[test]
    fn a_flood_takes_the_places_of_its_own_grant_and_never_an_approval_s() {
        let mut table = Table::default();
        for number in 0..100 {
            table.place(entry(number, 1, State::Pending), 0).unwrap();
        }
        table.place(entry(100, 2, State::Pending), 0).unwrap();
        table.place(entry(101, 3, State::Approved), 0).unwrap();
        let mut dropped = Vec::new();
        for number in 200..10_200 {
            dropped.extend(table.place(entry(number, 3, State::Pending), 0).unwrap().1);
        }
        let has = |number| table.0.iter().any(|entry| entry.id.created == number);
        assert!(has(100) && has(101), "neither another grant's, nor what was approved");
        assert_eq!(table.0.len(), MAX_ENTRIES);
        let left = (0..100).filter(|number| has(*number)).count();
        assert!(left >= 77, "the two floods share what the others do not need: {left}");
        assert_eq!(dropped.len() as u64, 102 + 10_000 - MAX_ENTRIES as u64, "each is told of");
        assert!(has(10_199) && !has(200), "the oldest goes first");
    }

    #[test]
    fn what_means_least_gives_way_first() {
        let mut table = Table::default();
        for number in 0..MAX_ENTRIES as u64 - 3 {
            table.place(entry(number, 1, State::Approved), 0).unwrap();
        }
        for (number, state) in [(500, State::Pending), (501, State::Denied), (502, State::Used)] {
            table.place(entry(number, 2, state), 0).unwrap();
        }
        let mut gone = Vec::new();
        for number in 600..604 {
            let before = table.clone();
            match table.place(entry(number, 2, State::Approved), 0) {
                Some((place, dropped)) => gone.push((before.0[place].id.created, dropped.is_some())),
                None => gone.push((0, false)),
            }
        }
        assert_eq!(gone, [(502, false), (501, false), (500, true), (0, false)], "approvals to use stay");
        assert!(table.place(entry(700, 1, State::Pending), 1_000_000).is_some(), "until they have run out");
    }
}
