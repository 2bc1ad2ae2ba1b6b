//! Limits: reserve one hit in every window that a call falls into, or in none.
//!
//! A counter is one key for ever; its window's start stands in the value, because the host's shared
//! data has neither deletion nor expiry. Counting is compare-and-swap with a bounded number of tries.

use super::document::{self, Scope};
use super::problem::Pointer;
use super::query::Query;
use super::store::{PutError, Store};
use sha2::{Digest, Sha256};

/// Tries to count one hit before the call is refused. Each failed try means that another worker
/// succeeded, so with W workers more than a few times W is never needed.
const MAX_TRIES: usize = 64;
/// Longer grants, sessions and tool names enter a key by their SHA-256.
const MAX_KEY_PART_BYTES: usize = 128;

/// One limit, ready to be reserved.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) rule: String,
    pub(super) message: String,
    window_seconds: u64,
    max: u64,
    scope: Scope,
    /// What every key of this counter begins with.
    key_prefix: Vec<u8>,
}

/// Hits that a call holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    charges: Vec<Charge>,
}

/// One hit in one window.
#[derive(Debug, PartialEq, Eq)]
struct Charge {
    key: Vec<u8>,
    window_start: u64,
}

/// Why nothing was reserved.
#[derive(Debug)]
pub(super) enum Refusal<'p> {
    /// This limit has no hit left.
    Spent(&'p Limit),
    /// The store failed or was too contended: the count is not certain.
    Uncertain,
}

/// What a counter's value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Seconds since the epoch.
    window_start: u64,
    hits: u64,
}

impl Count {
    /// Format 1: one byte 1, then start and hits as 64-bit little-endian integers.
    fn encode(self) -> [u8; 17] {
        let mut value = [1; 17];
        let (_, rest) = value.split_at_mut(1);
        for (slot, byte) in
            rest.iter_mut().zip(self.window_start.to_le_bytes().into_iter().chain(self.hits.to_le_bytes()))
        {
            *slot = byte;
        }
        value
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (start, hits) = value.strip_prefix(&[1])?.split_at_checked(8)?;
        Some(Self {
            window_start: u64::from_le_bytes(start.try_into().ok()?),
            hits: u64::from_le_bytes(hits.try_into().ok()?),
        })
    }
}

impl Limit {
    pub(super) fn new(policy: &str, policy_at: &Pointer, limit: &document::Limit) -> Self {
        let (max, window) = (&limit.max_text, limit.window);
        let default = || format!("Rate limit of {max} per {window} reached. Try again later.");
        let mut key_prefix = Vec::new();
        for part in ["mcp-policy", policy, &limit.counter, &window.seconds().to_string(), limit.scope.as_str()] {
            push_part(&mut key_prefix, part);
        }
        Self {
            rule: limit.list.within(policy_at).child(&limit.counter).as_str().to_owned(),
            message: limit.on_deny.clone().unwrap_or_else(default),
            window_seconds: window.seconds(),
            max: limit.max,
            scope: limit.scope,
            key_prefix,
        }
    }

    fn key(&self, query: &Query<'_>) -> Vec<u8> {
        let mut key = self.key_prefix.clone();
        let principal = query.principal;
        match self.scope {
            Scope::Global => {}
            Scope::Tool => push_part(&mut key, query.tool),
            Scope::Grant => push_part(&mut key, &principal.grant),
            // A session is the client's word, so it only ever divides its own grant's count.
            Scope::Session => {
                push_part(&mut key, &principal.grant);
                if let Some(session) = &principal.session {
                    push_part(&mut key, session);
                }
            }
        }
        key
    }
}

/// Appends `LENGTH:PART`, so that no two lists of parts make one key.
fn push_part(key: &mut Vec<u8>, part: &str) {
    let hashed: [u8; 32];
    let bytes = if part.len() > MAX_KEY_PART_BYTES {
        hashed = Sha256::digest(part).into();
        key.push(b'#');
        hashed.as_slice()
    } else {
        part.as_bytes()
    };
    key.extend_from_slice(bytes.len().to_string().as_bytes());
    key.push(b':');
    key.extend_from_slice(bytes);
}

/// Reserves one hit of each limit; if one refuses, none is spent. A counter that two limits share is
/// charged once.
pub(super) fn reserve<'p>(
    limits: impl Iterator<Item = &'p Limit>,
    query: &Query<'_>,
    store: &mut dyn Store,
) -> Result<Reservation, Refusal<'p>> {
    let mut reservation = Reservation::default();
    for limit in limits {
        let key = limit.key(query);
        let already_charged = reservation.charges.iter().any(|charge| charge.key == key);
        match count(limit, &key, u64::from(!already_charged), query, store) {
            Ok(window_start) if !already_charged => reservation.charges.push(Charge { key, window_start }),
            Ok(_) => {}
            Err(refusal) => {
                reservation.refund(store);
                return Err(refusal);
            }
        }
    }
    Ok(reservation)
}

/// Adds `hits` to a counter if its limit allows; returns the start of the window that was charged.
fn count<'p>(
    limit: &'p Limit,
    key: &[u8],
    hits: u64,
    query: &Query<'_>,
    store: &mut dyn Store,
) -> Result<u64, Refusal<'p>> {
    let now = query.now.millis() / 1000;
    let start = now - now % limit.window_seconds;
    for _ in 0..MAX_TRIES {
        let stored = store.get(key).map_err(|_| Refusal::Uncertain)?;
        let (current, version) = match stored {
            None => (None, None),
            Some((value, version)) => (Some(Count::decode(&value).ok_or(Refusal::Uncertain)?), Some(version)),
        };
        // A clock that steps back must not reopen a window, so a later start stays.
        let current = current.filter(|current| current.window_start >= start);
        let current = current.unwrap_or(Count { window_start: start, hits: 0 });
        let total = current.hits.saturating_add(hits);
        if total > limit.max {
            return Err(Refusal::Spent(limit));
        }
        if hits == 0 {
            return Ok(current.window_start);
        }
        match store.put(key, &Count { hits: total, ..current }.encode(), version) {
            Ok(()) => return Ok(current.window_start),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return Err(Refusal::Uncertain),
        }
    }
    Err(Refusal::Uncertain)
}

impl Reservation {
    /// Gives every hit back, to the window it was taken from and to no other. A hit that cannot be given
    /// back stays spent.
    pub fn refund(self, store: &mut dyn Store) {
        for charge in self.charges {
            for _ in 0..MAX_TRIES {
                let Ok(Some((value, version))) = store.get(&charge.key) else { break };
                let current = Count::decode(&value).filter(|count| count.window_start == charge.window_start);
                let Some(current) = current.filter(|count| count.hits > 0) else { break };
                let less = Count { hits: current.hits - 1, ..current };
                if store.put(&charge.key, &less.encode(), Some(version)) != Err(PutError::Conflict) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{MemoryStore, Unavailable, Version};
    use super::super::{Decision, NoFacts, Outcome, Policy, Principal, rule};
    use super::*;
    use crate::timestamp::Timestamp;

    const POLICY: &str = r#"{"version":"1","default":"allow","all_tools":{"limits":[
        {"counter":"a","window":"minute","max":5,"scope":"global"},
        {"counter":"b","window":"minute","max":3,"scope":"global"}]}}"#;

    fn policy() -> Policy {
        Policy::load("test", POLICY).unwrap()
    }

    fn decide<'p>(policy: &'p Policy, seconds: u64, store: &mut dyn Store) -> Decision<'p> {
        let principal = Principal { grant: "g".into(), session: None };
        let now = Timestamp::from_millis(seconds * 1000);
        policy.decide(
            &Query { principal: &principal, tool: "t", arguments: None, meta: None, now, facts: &NoFacts },
            store,
        )
    }

    /// Another worker counts a hit between every read and write, so many times in all.
    struct Contended {
        inner: MemoryStore,
        conflicts: usize,
    }

    impl Store for Contended {
        fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
            self.inner.get(key)
        }

        fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
            if self.conflicts > 0 {
                self.conflicts -= 1;
                let (window_start, hits) = match self.inner.get(key).unwrap() {
                    Some((value, _)) => Count::decode(&value).map(|count| (count.window_start, count.hits)).unwrap(),
                    None => (Count::decode(value).unwrap().window_start, 0),
                };
                let other = Count { window_start, hits: hits + 1 }.encode();
                let current = self.inner.get(key).unwrap().map(|(_, version)| version);
                self.inner.put(key, &other, current).unwrap();
            }
            self.inner.put(key, value, version)
        }
    }

    /// Fails at everything, or holds what we did not write.
    struct Broken(Option<Vec<u8>>);

    impl Store for Broken {
        fn get(&mut self, _: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
            self.0.clone().map(|value| Some((value, 1))).ok_or(Unavailable)
        }

        fn put(&mut self, _: &[u8], _: &[u8], _: Option<Version>) -> Result<(), PutError> {
            Err(PutError::Unavailable)
        }
    }

    #[test]
    fn hits_of_other_workers_between_read_and_write_are_counted() {
        // Their 2 hits and 1 of ours fill `b`, its first use included.
        let policy = policy();
        let mut store = Contended { inner: MemoryStore::default(), conflicts: 2 };
        assert_eq!(decide(&policy, 0, &mut store).outcome, Outcome::Allowed);
        let mut allowed = 0;
        while decide(&policy, 0, &mut store).outcome == Outcome::Allowed {
            allowed += 1;
        }
        assert_eq!(allowed, 2, "`a` had 3 hits of its 5, `b` 1 of its 3");
    }

    #[test]
    fn a_count_that_is_not_certain_refuses() {
        let policy = Policy::load("test", &POLICY.replace("\"max\":5", "\"max\":1000")).unwrap();
        let mut endless = Contended { inner: MemoryStore::default(), conflicts: usize::MAX };
        let mut foreign = Broken(Some(b"not ours".to_vec()));
        let mut empty = Broken(Some(Vec::new()));
        let stores: [&mut dyn Store; 4] = [&mut endless, &mut Broken(None), &mut foreign, &mut empty];
        for store in stores {
            let decision = decide(&policy, 0, store);
            assert_eq!((decision.outcome, decision.rule), (Outcome::Denied, rule::ERROR));
            assert_eq!(decision.message, "Internal policy error");
        }
    }

    #[test]
    fn when_one_limit_refuses_none_is_spent() {
        let policy = policy();
        let mut store = MemoryStore::default();
        let outcomes: Vec<Outcome> = (0..10).map(|_| decide(&policy, 0, &mut store).outcome).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Allowed).count(), 3);
        assert_eq!(decide(&policy, 0, &mut store).rule, "/all_tools/limits/b", "`a` still has hits");
    }

    #[test]
    fn a_refund_touches_only_the_window_that_was_charged() {
        let policy = policy();
        let mut store = MemoryStore::default();
        let first = decide(&policy, 59, &mut store);
        first.reservation.refund(&mut store);
        let refilled = (0..4).filter(|_| decide(&policy, 59, &mut store).outcome == Outcome::Allowed).count();
        assert_eq!(refilled, 3, "the refunded hit can be spent again");
        let late = decide(&policy, 60, &mut store);
        for _ in 0..2 {
            decide(&policy, 60, &mut store);
        }
        let stale = Reservation {
            charges: late
                .reservation
                .charges
                .iter()
                .map(|charge| Charge { key: charge.key.clone(), window_start: 0 })
                .collect(),
        };
        stale.refund(&mut store);
        assert_eq!(decide(&policy, 60, &mut store).outcome, Outcome::Denied, "a hit of the minute before came back");
    }
}
