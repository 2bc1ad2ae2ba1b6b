//! The last decisions, for a person to look at: a ring of records in the store, shared by all workers.
//!
//! A worker takes a few places at a time from one counter, and writes each record to the next of its own without looking.
//! So no worker waits for another, the number of keys is fixed, and what is kept is about the last decisions of all of
//! them: a place that an idle worker holds keeps what it had.

use crate::policy::{PutError, Store, Unavailable, Version};
use crate::record::{Record, bounded};
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::Cell;

/// The key of the counter.
const NEXT: &[u8] = b"mcp-policy:decisions";
/// The most records that are kept.
pub const MAX_DECISIONS: u16 = 1024;
/// Bytes of a record that are kept.
const MAX_RECORD_BYTES: usize = 4 << 10;
/// Places that a worker takes at a time.
const BLOCK: u64 = 8;
/// Of how many places a worker may take one at a time: idle workers are not to hold most of a small ring.
const SHARE: u64 = 32;
/// Tries to take places. Each failed one means that another worker succeeded.
const MAX_TRIES: usize = 64;

/// A worker's way to the last decisions.
#[derive(Debug, Default)]
pub struct Recent {
    capacity: u16,
    /// The next place that is its own, and the one after its last.
    own: Cell<(u64, u64)>,
}

/// Where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

/// What the counter says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counter {
    /// Places that were taken so far.
    next: u64,
    /// How many records are kept.
    capacity: u16,
}

impl Recent {
    /// Keeps the last `capacity` records; none at 0.
    #[must_use]
    pub fn new(capacity: u16) -> Self {
        Self { capacity: capacity.min(MAX_DECISIONS), own: Cell::default() }
    }

    /// Says from now on how many are kept: what an earlier configuration kept beyond that is not told any more.
    pub fn announce(&self, store: &mut dyn Store) {
        let capacity = self.capacity;
        // What cannot be told now is told with the next places.
        let _ = change(store, |counter| (counter.capacity != capacity).then_some(Counter { capacity, ..counter }));
    }

    /// Keeps `record`, in the place of what it was when it was kept `earlier`. What cannot be kept is missing; nothing
    /// depends on it.
    pub fn keep(&self, record: &Record, earlier: Option<Place>, store: &mut dyn Store) -> Option<Place> {
        if self.capacity == 0 { None } else { self.keep_line(record, &record.to_line(), earlier, store) }
    }

    /// The same, of a record whose line is known.
    pub(crate) fn keep_line(
        &self,
        record: &Record,
        line: &str,
        earlier: Option<Place>,
        store: &mut dyn Store,
    ) -> Option<Place> {
        if self.capacity == 0 {
            return None;
        }
        let line = fitting(record, line)?;
        if let Some(place) = earlier.filter(|place| self.replace(*place, &line, store)) {
            return Some(place);
        }
        let place = self.take(store)?;
        store.set(&self.key(place), &encode(place, &line)).ok()?;
        Some(place)
    }

    /// Whether `place` was still the record's, which now stands there as `line`.
    fn replace(&self, place: Place, line: &str, store: &mut dyn Store) -> bool {
        let key = self.key(place);
        let Ok(Some((value, version))) = store.get(&key) else { return false };
        decode(&value).is_some_and(|(found, _)| found == place)
            && store.put(&key, &encode(place, line), Some(version)).is_ok()
    }

    /// The next place of this worker, which takes some more when it has none.
    fn take(&self, store: &mut dyn Store) -> Option<Place> {
        let (mut next, mut end) = self.own.get();
        if next == end {
            let capacity = self.capacity;
            let block = (u64::from(capacity) / SHARE).clamp(1, BLOCK);
            let before = change(store, |counter| Some(Counter { next: counter.next.wrapping_add(block), capacity }))?;
            (next, end) = (before.next, before.next.wrapping_add(block));
        }
        self.own.set((next.wrapping_add(1), end));
        Some(Place(next))
    }

    fn key(&self, Place(number): Place) -> Vec<u8> {
        key(number % u64::from(self.capacity.max(1)))
    }
}

/// The last decisions, the newest first, each as the text of a JSON object.
///
/// # Errors
/// When the store fails.
pub fn list(store: &mut dyn Store) -> Result<Vec<String>, Unavailable> {
    /// What tells when, and shows that it is JSON.
    #[derive(Deserialize)]
    struct Dated {
        ts: String,
    }
    let (counter, _) = read(store)?;
    let mut found = Vec::new();
    for slot in 0..counter.capacity.min(MAX_DECISIONS) {
        let Some((value, _)) = store.get(&key(slot.into()))? else { continue };
        let Some((Place(number), line)) = decode(&value) else { continue };
        let Ok(Dated { ts }) = serde_json::from_str(line) else { continue };
        found.push((ts, number, line.to_owned()));
    }
    found.sort_by(|a, b| (&b.0, b.1).cmp(&(&a.0, a.1)));
    Ok(found.into_iter().map(|(_, _, line)| line).collect())
}

fn key(slot: u64) -> Vec<u8> {
    let mut key = b"mcp-policy:decision:".to_vec();
    let digits = slot.checked_ilog10().unwrap_or(0);
    key.extend((0..=digits).rev().map(|place| b'0' + (slot / 10_u64.pow(place) % 10) as u8));
    key
}

/// The record's line; without what may be long where it would be too long, `None` where that is not enough.
fn fitting<'l>(record: &Record, line: &'l str) -> Option<Cow<'l, str>> {
    if line.len() <= MAX_RECORD_BYTES {
        return Some(Cow::Borrowed(line));
    }
    let short = Record {
        grant: bounded(&record.grant),
        policy: bounded(&record.policy),
        rule: bounded(&record.rule),
        session: None,
        request_id: None,
        message: String::new(),
        arg_keys: Vec::new(),
        shadow_rule: None,
        answer: None,
        ..record.clone()
    };
    Some(short.to_line()).filter(|line| line.len() <= MAX_RECORD_BYTES).map(Cow::Owned)
}

/// Format 1: one byte 1, the place's number as a 64-bit little-endian integer, then the record's line.
fn encode(Place(number): Place, line: &str) -> Vec<u8> {
    [&[1], number.to_le_bytes().as_slice(), line.as_bytes()].concat()
}

fn decode(value: &[u8]) -> Option<(Place, &str)> {
    let (number, line) = value.strip_prefix(&[1])?.split_first_chunk()?;
    Some((Place(u64::from_le_bytes(*number)), std::str::from_utf8(line).ok()?))
}

/// Changes the counter, unless `to` says `None`; what it was before.
fn change(store: &mut dyn Store, to: impl Fn(Counter) -> Option<Counter>) -> Option<Counter> {
    for _ in 0..MAX_TRIES {
        let (before, version) = read(store).ok()?;
        let Some(Counter { next, capacity }) = to(before) else { return Some(before) };
        let value = [next.to_le_bytes().as_slice(), &capacity.to_le_bytes()].concat();
        match store.put(NEXT, &value, version) {
            Ok(()) => return Some(before),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return None,
        }
    }
    None
}

/// A counter that is not ours counts from 0 again.
fn read(store: &mut dyn Store) -> Result<(Counter, Option<Version>), Unavailable> {
    let Some((value, version)) = store.get(NEXT)? else { return Ok((Counter::default(), None)) };
    let counter = value.split_first_chunk().and_then(|(next, capacity)| {
        let capacity = u16::from_le_bytes(capacity.try_into().ok()?);
        Some(Counter { next: u64::from_le_bytes(*next), capacity })
    });
    Ok((counter.unwrap_or_default(), Some(version)))
}

#[cfg(test)]
mod tests;
