//! Where counts lie: slots in a fixed number of buckets, for the host's shared data knows no deletion, and sessions and
//! grants come and go for months.
//!
//! A count is found by a digest of its name. It keeps its slot while it matters; a new one takes a free slot of its
//! bucket, or one whose count has run out. INVARIANT: a count that matters is never given up for another. Where a bucket
//! has no such slot, the new count is refused a place of its own.
//!
//! Counts that clients can make up (of sessions, of tools) lie apart from those that only a configuration can (of grants,
//! of everybody), and in one of [`PARTS`] parts by the grant they belong to: a flood of one grant's sessions fills that
//! part and nothing else. All of it together holds at most [`MAX_BYTES`] in the store.

use super::counter::Count;
use sha2::{Digest, Sha256};

/// Slots of a bucket.
const SLOTS: usize = 32;
/// Bytes of a slot: its tag, and four numbers.
const SLOT_BYTES: usize = 16 + 4 * 8;
/// Buckets of counts that a configuration names.
const OWNED_BUCKETS: u16 = 4096;
/// Parts of the counts that clients can make up.
const PARTS: u16 = 64;
/// Buckets of such a part.
const PART_BUCKETS: u16 = 256;
/// The most that all values of all counts take.
#[cfg(test)]
const MAX_BYTES: usize = (OWNED_BUCKETS as usize + PARTS as usize * PART_BUCKETS as usize) * (1 + SLOTS * SLOT_BYTES);

/// Whose a count is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A grant's, or everybody's.
    Owned,
    /// Of one of many within this.
    Divided(&'a [u8]),
}

/// The bucket of a count, and what it is known by there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The bucket's key in the store.
    pub(super) key: Vec<u8>,
    tag: [u8; 16],
}

impl Place {
    /// The place of the count that `name` tells from all others.
    pub(super) fn of(part: Part<'_>, name: &[u8]) -> Self {
        let digest = Sha256::digest(name);
        let (tag, rest) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let bucket = number(rest);
        let key = match part {
            Part::Owned => format!("mcp-policy:c:{}", bucket % OWNED_BUCKETS),
            Part::Divided(owner) => {
                let part = number(&Sha256::digest(owner)) % PARTS;
                format!("mcp-policy:d:{part}:{}", bucket % PART_BUCKETS)
            }
        };
        Self { key: key.into_bytes(), tag: *tag }
    }
}

/// The first two bytes of a digest.
fn number(digest: &[u8]) -> u16 {
    digest.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// The counts of one bucket.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Bucket(Vec<Slot>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    tag: [u8; 16],
    count: Count,
    /// From this second since the epoch on the count does not matter any more.
    expires: u64,
}

impl Bucket {
    /// Format 2: one byte 2, then for each slot its tag and its window's start, used, previous and expiry as 64-bit
    /// little-endian integers.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * SLOT_BYTES);
        bytes.push(2);
        for Slot { tag, count, expires } in &self.0 {
            bytes.extend_from_slice(tag);
            for number in [count.window_start, count.used, count.previous, *expires] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// `None` when it is not ours.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(&[2])?;
        let slots = rest.chunks(SLOT_BYTES).map(|slot| {
            let (tag, mut rest) = slot.split_first_chunk()?;
            let mut next = || {
                let (number, after) = rest.split_first_chunk()?;
                rest = after;
                Some(u64::from_le_bytes(*number))
            };
            let count = Count { window_start: next()?, used: next()?, previous: next()? };
            let expires = next()?;
            rest.is_empty().then_some(Slot { tag: *tag, count, expires })
        });
        slots.collect::<Option<_>>().map(Self)
    }

    /// The count at `place`, if it has one.
    pub(super) fn count(&self, place: &Place) -> Option<Count> {
        self.0.iter().find(|slot| slot.tag == place.tag).map(|slot| slot.count)
    }

    /// Keeps `count` at `place` until `expires`; `false` when it has no room at `now`.
    pub(super) fn keep(&mut self, place: &Place, count: Count, expires: u64, now: u64) -> bool {
        let kept = Slot { tag: place.tag, count, expires };
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.tag == place.tag) {
            // A limit that counts by calendar may share it with one that rolls, to which it matters for longer.
            *slot = Slot { expires: kept.expires.max(slot.expires), ..kept };
            return true;
        }
        if self.0.len() < SLOTS {
            self.0.push(kept);
            return true;
        }
        // The one that has not mattered for longest: a clock that ran ahead for a moment does the least harm.
        match self.0.iter_mut().filter(|slot| slot.expires <= now).min_by_key(|slot| slot.expires) {
            Some(slot) => *slot = kept,
            None => return false,
        }
        true
    }

    #[cfg(test)]
    pub(super) fn change_all(&mut self, change: impl Fn(&mut Count)) {
        self.0.iter_mut().for_each(|slot| change(&mut slot.count));
    }

    /// Puts `count` in the place of the one at `place`, where it has one.
    pub(super) fn change(&mut self, place: &Place, count: Count) {
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.tag == place.tag) {
            slot.count = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Count = Count { window_start: 60, used: 1, previous: 0 };

    fn place(index: usize) -> Place {
        Place { key: Vec::new(), tag: (index as u128).to_le_bytes() }
    }

    #[test]
    fn a_count_that_matters_is_never_given_up() {
        let mut bucket = Bucket::default();
        for index in 0..SLOTS {
            assert!(bucket.keep(&place(index), ONE, 100 + index as u64, 0));
        }
        assert!(!bucket.keep(&place(SLOTS), ONE, 200, 99), "all of them matter");
        assert!(bucket.keep(&place(3), Count { used: 2, ..ONE }, 103, 99), "one that is there has its place");
        assert!(bucket.keep(&place(SLOTS), ONE, 200, 101), "one has run out");
        assert_eq!((bucket.count(&place(0)), bucket.count(&place(1))), (None, Some(ONE)));
        assert_eq!(bucket.count(&place(3)).map(|count| count.used), Some(2));
        assert_eq!(Bucket::decode(&bucket.encode()), Some(bucket));
    }

    #[test]
    fn a_count_matters_for_as_long_as_to_any_of_its_limits() {
        let mut bucket = Bucket::default();
        for index in 0..SLOTS {
            assert!(bucket.keep(&place(index), ONE, 200, 0) && bucket.keep(&place(index), ONE, 100, 0));
        }
        assert!(!bucket.keep(&place(SLOTS), ONE, 300, 199));
        assert!(bucket.keep(&place(SLOTS), ONE, 300, 200));
    }

    #[test]
    fn what_is_not_ours_is_no_bucket() {
        let whole = Bucket(vec![Slot { tag: [7; 16], count: ONE, expires: 1 }]).encode();
        assert_eq!(whole.len(), 1 + SLOT_BYTES);
        for value in [&whole[..whole.len() - 1], &[1], &[], b"x", &[whole.as_slice(), &[0]].concat()] {
            assert_eq!(Bucket::decode(value), None, "{value:?}");
        }
    }

    #[test]
    fn places_are_a_fixed_number() {
        let mut keys = std::collections::BTreeSet::new();
        for index in 0_u32..200_000 {
            keys.insert(Place::of(Part::Divided(&index.to_le_bytes()), &index.to_le_bytes()).key);
            keys.insert(Place::of(Part::Owned, &index.to_le_bytes()).key);
        }
        assert!(keys.len() <= usize::from(OWNED_BUCKETS + PARTS * PART_BUCKETS), "{}", keys.len());
        assert_eq!(MAX_BYTES, 31_477_760);
        let owners = |owner: &[u8]| -> std::collections::BTreeSet<Vec<u8>> {
            (0_u32..1000).map(|name| Place::of(Part::Divided(owner), &name.to_le_bytes()).key).collect()
        };
        assert!(owners(b"one grant").is_disjoint(&owners(b"another")), "floods stay where they are");
    }
}
