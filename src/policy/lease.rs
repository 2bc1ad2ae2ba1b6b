//! Hits that a service counted ahead, and that this proxy spends by itself: one block for each counter, in the store that
//! all workers share.
//!
//! INVARIANT: what is spent was counted by the service in the window in which it is spent. So a block ends before its
//! window does, whatever the clocks of both say, and what is left of it then is lost. The store forgets nothing, so
//! blocks lie in a fixed number of slots, and no counter takes the slot of another one's living block: without a slot
//! the service is asked for each call.

use super::service::Counter;
use super::store::{PutError, Store};
use sha2::{Digest, Sha256};

/// Slots for blocks, each of about 60 bytes.
const SLOTS: u16 = 4096;
/// Tries to change a slot; each failed one means that another worker succeeded.
const MAX_TRIES: usize = 64;
/// How far the clock may seem to step back: workers read it at different moments of their work.
const MAX_STEP_BACK_MS: u64 = 1000;
/// A service says in whole seconds when its window ends, rounded up.
const ROUNDING_MS: u64 = 1000;

/// Where the block of one counter lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    key: Vec<u8>,
    /// Tells the counter, its maximum included.
    tag: [u8; 16],
}

/// Hits that a call took out of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    slot: Slot,
    granted_at: u64,
    hits: u64,
}

/// What a call finds in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draw {
    /// Its hits, which are spent now.
    Spent(Spent),
    /// Nothing; it may ask the service for a block. So much room its window had when last was heard of it, if ever.
    Block(Option<u64>),
    /// Nothing; it asks the service for its own hits, because another call asks for a block, or there is no place for one.
    Own,
}

/// A block that the service counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// When it was asked for, in milliseconds since the epoch.
    pub asked_at: u64,
    /// Seconds until its window ends, as the service said.
    pub resets_in: u64,
    /// What of it nobody has spent yet.
    pub left: u64,
    /// What the window still admits beside it.
    pub room: u64,
}

/// What lies in a slot. Times in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    tag: [u8; 16],
    granted_at: u64,
    ends_at: u64,
    /// The latest time that any worker has seen.
    seen_at: u64,
    left: u64,
    room: u64,
    /// Until then somebody waits for a block.
    asking_until: u64,
}

impl Held {
    /// Format 1: one byte 1, the tag, then the six numbers as 64-bit little-endian integers.
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.granted_at, self.ends_at, self.seen_at, self.left, self.room, self.asking_until];
        let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
        std::iter::once(1).chain(self.tag).chain(numbers).collect()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (tag, mut rest) = value.strip_prefix(&[1])?.split_first_chunk()?;
        let mut next = || {
            let (number, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u64::from_le_bytes(*number))
        };
        let (granted_at, ends_at, seen_at) = (next()?, next()?, next()?);
        let held =
            Self { tag: *tag, granted_at, ends_at, seen_at, left: next()?, room: next()?, asking_until: next()? };
        rest.is_empty().then_some(held)
    }

    /// Whether its window surely goes on. A clock that stepped back tells nothing.
    fn lives(&self, now: u64) -> bool {
        now < self.ends_at && now.saturating_add(MAX_STEP_BACK_MS) >= self.seen_at.max(self.granted_at)
    }

    /// Whether somebody waits for a block. No clock makes that last.
    fn is_asked(&self, now: u64) -> bool {
        now < self.asking_until && now.saturating_add(MAX_STEP_BACK_MS) >= self.seen_at
    }
}

impl Slot {
    /// Of a counter in this namespace.
    #[must_use]
    pub fn of(domain: &str, counter: &Counter) -> Self {
        let mut digest = Sha256::new();
        // No part of a name holds a line break, nor does the domain.
        digest.update(format!("{domain}\n{}\n{}", counter.unit.as_str(), counter.max));
        for (key, value) in &counter.name {
            digest.update(format!("\n{key}\n{value}"));
        }
        let digest: [u8; 32] = digest.finalize().into();
        let [a, b, rest @ ..] = digest;
        let mut tag = [0; 16];
        tag.iter_mut().zip(rest).for_each(|(to, from)| *to = from);
        let number = u16::from_le_bytes([a, b]) % SLOTS;
        Self { key: format!("mcp-policy lease {number}").into_bytes(), tag }
    }

    /// Takes hits out of the block, or says what to ask for. Whoever is told of a block has `patience_ms` to get it.
    pub fn draw(&self, hits: u64, now: u64, patience_ms: u64, store: &mut dyn Store) -> Draw {
        let mut drawn = Draw::Own;
        self.change(store, |held| {
            let own = held.filter(|held| held.tag == self.tag);
            match (own, held) {
                (Some(held), _) if held.lives(now) && held.left >= hits => {
                    drawn = Draw::Spent(Spent { slot: self.clone(), granted_at: held.granted_at, hits });
                    Some(Held { left: held.left - hits, seen_at: held.seen_at.max(now), ..held })
                }
                (Some(held), _) if held.is_asked(now) => {
                    drawn = Draw::Own;
                    None
                }
                (None, Some(other)) if other.lives(now) || other.is_asked(now) => {
                    drawn = Draw::Own;
                    None
                }
                (own, _) => {
                    let (tag, asking_until) = (self.tag, now.saturating_add(patience_ms));
                    let living = own.filter(|held| held.lives(now));
                    drawn = Draw::Block(living.map(|held| held.room));
                    let empty = Held { tag, granted_at: now, ends_at: 0, seen_at: now, left: 0, room: 0, asking_until };
                    Some(living.map_or(empty, |held| Held { asking_until, ..held }))
                }
            }
        })
        .map_or(Draw::Own, |()| drawn)
    }

    /// Puts a block there that the service has counted.
    pub fn grant(&self, block: Block, now: u64, store: &mut dyn Store) {
        let length = block.resets_in.saturating_mul(1000).saturating_sub(ROUNDING_MS + MAX_STEP_BACK_MS);
        let new = Held {
            tag: self.tag,
            granted_at: block.asked_at,
            ends_at: block.asked_at.saturating_add(length),
            seen_at: now,
            left: block.left,
            room: block.room,
            asking_until: 0,
        };
        // What cannot be put there is lost.
        let _ = self.change(store, |held| match held {
            // Still the same window, as that has not ended since.
            Some(held) if held.tag == self.tag && held.lives(now) => {
                let (left, ends_at) = (held.left.saturating_add(new.left), held.ends_at.min(new.ends_at));
                Some(Held { left, ends_at, granted_at: held.granted_at, seen_at: held.seen_at.max(now), ..new })
            }
            Some(other) if other.tag != self.tag && (other.lives(now) || other.is_asked(now)) => None,
            _ => Some(new),
        });
    }

    /// Changes what lies there, unless `to` says `None`; `Err` when it cannot be told whether that was done.
    fn change(&self, store: &mut dyn Store, mut to: impl FnMut(Option<Held>) -> Option<Held>) -> Result<(), PutError> {
        for _ in 0..MAX_TRIES {
            let stored = store.get(&self.key).map_err(|_| PutError::Unavailable)?;
            let (held, version) = match &stored {
                Some((value, version)) => (Held::decode(value), Some(*version)),
                None => (None, None),
            };
            let Some(held) = to(held) else { return Ok(()) };
            match store.put(&self.key, &held.encode(), version) {
                Err(PutError::Conflict) => {}
                done => return done,
            }
        }
        Err(PutError::Conflict)
    }
}

impl Spent {
    /// Puts the hits back into the block that they were taken from, if it is still there.
    pub fn give_back(&self, store: &mut dyn Store) {
        let is_same = |held: &Held| held.tag == self.slot.tag && held.granted_at == self.granted_at;
        // What cannot be put back stays spent.
        let _ = self.slot.change(store, |held| {
            held.filter(is_same).map(|held| Held { left: held.left.saturating_add(self.hits), ..held })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::service::Unit;
    use super::super::store::MemoryStore;
    use super::*;

    fn slot(max: u32) -> Slot {
        let name = vec![("policy", "p".to_owned()), ("counter", "c".to_owned())];
        Slot::of("d", &Counter { name, unit: Unit::Minute, max, hits: 1 })
    }

    fn block(asked_at: u64, resets_in: u64, left: u64) -> Block {
        Block { asked_at, resets_in, left, room: 90 }
    }

    fn is_spent(draw: &Draw) -> bool {
        matches!(draw, Draw::Spent(_))
    }

    #[test]
    fn one_call_asks_for_a_block_and_the_others_for_themselves_until_it_came() {
        let (mut store, slot) = (MemoryStore::default(), slot(100));
        assert_eq!(slot.draw(1, 1000, 50, &mut store), Draw::Block(None));
        assert_eq!(slot.draw(1, 1049, 50, &mut store), Draw::Own);
        slot.grant(block(1000, 40, 2), 1050, &mut store);
        let first = slot.draw(1, 1051, 50, &mut store);
        assert!(is_spent(&first) && is_spent(&slot.draw(1, 1052, 50, &mut store)));
        assert_eq!(slot.draw(1, 1053, 50, &mut store), Draw::Block(Some(90)), "what the service said is left");
        // One whose asker has not got it is asked for again.
        assert_eq!(slot.draw(1, 1103, 50, &mut store), Draw::Block(Some(90)));
        let Draw::Spent(first) = first else { panic!("spent") };
        first.give_back(&mut store);
        assert!(is_spent(&slot.draw(1, 1104, 50, &mut store)));
    }

    #[test]
    fn a_block_ends_before_its_window_and_with_a_clock_that_steps_back() {
        let (mut store, slot) = (MemoryStore::default(), slot(100));
        // Asked for at 10 s; the window ends between 19 and 20 s.
        let granted = |store: &mut MemoryStore| slot.grant(block(10_000, 10, 50), 10_100, store);
        granted(&mut store);
        assert!(is_spent(&slot.draw(1, 17_999, 50, &mut store)));
        assert!(is_spent(&slot.draw(1, 17_000, 50, &mut store)), "another worker's clock");
        assert!(!is_spent(&slot.draw(1, 16_000, 50, &mut store)), "a step back");
        assert!(!is_spent(&slot.draw(1, 18_000, 50, &mut store)), "the end, as far as is sure");
        // A window of one second is over before anybody can tell.
        let mut store = MemoryStore::default();
        slot.grant(block(10_000, 1, 50), 10_001, &mut store);
        assert!(!is_spent(&slot.draw(1, 10_002, 50, &mut store)));
        // What is given back to an ended block is not spent again.
        let mut store = MemoryStore::default();
        granted(&mut store);
        let Draw::Spent(late) = slot.draw(50, 11_000, 50, &mut store) else { panic!("spent") };
        slot.grant(block(70_000, 10, 1), 70_001, &mut store);
        late.give_back(&mut store);
        assert!(is_spent(&slot.draw(1, 70_002, 50, &mut store)) && !is_spent(&slot.draw(1, 70_003, 50, &mut store)));
    }

    #[test]
    fn no_counter_takes_another_one_s_block_or_its_place() {
        let mut store = MemoryStore::default();
        let (first, mut second) = (slot(100), slot(200));
        assert_ne!(first.tag, second.tag, "another maximum is another counter");
        second.key = first.key.clone();
        first.grant(block(10_000, 10, 1), 10_001, &mut store);
        assert_eq!(second.draw(1, 10_002, 50, &mut store), Draw::Own);
        second.grant(block(10_000, 10, 9), 10_003, &mut store);
        assert!(is_spent(&first.draw(1, 10_004, 50, &mut store)));
        assert_eq!(second.draw(1, 18_001, 50, &mut store), Draw::Block(None), "of an ended block the place is free");
        // What is not ours, or too short, is no block.
        for garbage in [b"".as_slice(), b"\x01", &[2; 65], &[1; 66]] {
            let mut store = MemoryStore::default();
            store.put(&first.key, garbage, None).unwrap();
            assert_eq!(first.draw(1, 1, 50, &mut store), Draw::Block(None));
        }
    }
}
