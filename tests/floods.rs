//! Names that clients make up: however many there are, the store stays within its bound, and no other count is lost.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used)]

use mcp_policy::policy::{
    MemoryStore, NoFacts, Policy, Principal, PutError, Query, Store, Target, Unavailable, Version,
};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::mcp::Feature;
use std::collections::HashMap;

/// A store that knows what it holds.
#[derive(Default)]
struct Measured {
    inner: MemoryStore,
    sizes: HashMap<Vec<u8>, usize>,
}

impl Measured {
    fn bytes(&self) -> usize {
        self.sizes.iter().map(|(key, value)| key.len() + value).sum()
    }
}

impl Store for Measured {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        self.inner.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        self.sizes.insert(key.to_vec(), value.len());
        self.inner.put(key, value, version)
    }
}

fn calls(policy: &Policy, grant: &str, session: Option<String>, tool: &str, second: u64, store: &mut Measured) -> bool {
    let principal = Principal { grant: grant.into(), session };
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: tool }),
        arguments: None,
        continues: false,
        meta: None,
        now: Timestamp::from_millis(second * 1000),
        facts: &NoFacts,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
    };
    policy.decide(&query, store).outcome.goes_on()
}

/// What `docs/limits.md` says: 64 parts of 256 buckets beside 4096, each of 32 slots of 48 bytes, and their keys.
const BOUND: usize = (64 * 256 + 4096) * (32 * 48 + 1 + 24);

fn policy(limit: &str) -> Policy {
    let text = format!(r#"{{"version":"1","default":"allow","all_tools":{{"limits":[{limit}]}}}}"#);
    Policy::load("p", &text).unwrap()
}

#[test]
fn invented_sessions_fill_a_part_of_their_grants_and_no_more() {
    let policy = policy(r#"{"counter":"a","window":"day","max":2,"scope":"session"}"#);
    let mut store = Measured::default();
    let honest = |session: &str, store: &mut Measured| calls(&policy, "honest", Some(session.into()), "t", 0, store);
    assert!(honest("one", &mut store) && honest("one", &mut store) && !honest("one", &mut store));
    let before = store.bytes();
    let flood =
        (0..100_000).filter(|index| calls(&policy, "flood", Some(format!("{index}")), "t", 0, &mut store)).count();
    let bound = 256 * (32 * 48 + 1 + 24) + 200;
    assert!(store.bytes() - before < bound, "{} bytes", store.bytes());
    // One call each while there are slots, and then two for all the rest together.
    assert!((6000..=256 * 32 + 2).contains(&flood), "{flood}");
    assert!(!honest("one", &mut store), "its count is as it was");
    assert!(honest("two", &mut store) && honest("two", &mut store) && !honest("two", &mut store), "and there is room");
    // The next day the slots serve others.
    let next = |index: &u32| calls(&policy, "flood", Some(format!("n{index}")), "t", 86_400, &mut store);
    assert_eq!((0..3000).filter(next).count(), 3000);
    assert!(store.bytes() - before < bound, "{} bytes", store.bytes());
}

#[test]
fn a_million_sessions_of_many_grants_stay_within_the_bound() {
    let policy = policy(r#"{"counter":"a","window":"minute","max":1,"scope":"session"}"#);
    let mut store = Measured::default();
    for index in 0_u64..1_000_000 {
        let (grant, session) = (format!("grant {}", index % 500), format!("session {index}"));
        calls(&policy, &grant, Some(session), "t", index / 10_000, &mut store);
    }
    println!("{} keys, {} bytes, bound {BOUND}", store.sizes.len(), store.bytes());
    assert!(store.bytes() < BOUND, "{}", store.bytes());
    assert!(store.sizes.len() <= 64 * 256 + 4096, "{}", store.sizes.len());
}

#[test]
fn sessions_that_are_quiet_for_a_day_make_room_for_others() {
    let policy = policy(r#"{"counter":"a","window":"session","max":1,"scope":"session"}"#);
    let mut store = Measured::default();
    let flood = |name: &str, second: u64, store: &mut Measured| {
        (0..20_000).filter(|index| calls(&policy, "g", Some(format!("{name} {index}")), "t", second, store)).count()
    };
    assert!(flood("first", 0, &mut store) > 6000);
    assert_eq!(flood("first", 86_399, &mut store), 0, "each has its place for a day");
    assert_eq!(flood("second", 86_399, &mut store), 0, "and nobody else gets it");
    assert!(flood("third", 86_400, &mut store) > 6000);
}

#[test]
fn invented_tools_do_not_touch_the_counts_of_others() {
    let policy = policy(
        r#"{"counter":"a","window":"day","max":1,"scope":["grant","tool"]},{"counter":"b","window":"day","max":200000}"#,
    );
    let mut store = Measured::default();
    assert!(calls(&policy, "g", None, "real", 0, &mut store));
    for index in 0..100_000 {
        calls(&policy, "g", None, &format!("made up {index}"), 0, &mut store);
    }
    assert!(!calls(&policy, "g", None, "real", 0, &mut store));
    assert!(calls(&policy, "h", None, "real", 0, &mut store), "another grant's tools have their own");
}
