//! Limits under other workers' hits, and a store that fails.

use super::super::counter::testing::one_more;
use super::super::store::{MemoryStore, PutError, Unavailable, Version};
use super::super::{Decision, NoFacts, Outcome, Policy, Principal, Target, rule};
use super::*;
use crate::timestamp::Timestamp;
use crate::wire::mcp::Feature;

const POLICY: &str = r#"{"version":"1","default":"allow","all_tools":{"limits":[
    {"counter":"a","window":"minute","max":5,"scope":"global"},
    {"counter":"b","window":"minute","max":3,"scope":"global"}]}}"#;

fn policy() -> Policy {
    Policy::load("test", POLICY).unwrap()
}

fn decide<'p>(policy: &'p Policy, seconds: u64, store: &mut dyn Store) -> Decision<'p> {
    let principal = Principal { grant: "g".into(), session: None };
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: "t" }),
        arguments: None,
        continues: false,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
        meta: None,
        now: Timestamp::from_millis(seconds * 1000),
        facts: &NoFacts,
    };
    policy.decide(&query, store)
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
            let current = self.inner.get(key).unwrap();
            let other = one_more(current.as_ref().map(|(value, _)| value.as_slice()), value);
            self.inner.put(key, &other, current.map(|(_, version)| version)).unwrap();
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
fn a_refund_gives_every_hit_back() {
    let policy = policy();
    let mut store = MemoryStore::default();
    for _ in 0..10 {
        decide(&policy, 0, &mut store).reservation.refund(&mut store);
    }
    assert_eq!(decide(&policy, 0, &mut store).outcome, Outcome::Allowed);
}

#[test]
fn limits_that_share_a_count_are_both_judged_by_the_larger_amount() {
    let limit = |max: u32, increment: u32, mode: &str| {
        format!(r#"{{"counter":"c","window":"day","id":"{max}","max":{max},"increment":{increment},"mode":"{mode}"}}"#)
    };
    let allowed = |limits: [String; 2]| {
        let [own, shared] = limits;
        let own = format!(r#""tools":{{"t":{{"limits":[{own}]}}}}"#);
        let text = format!(r#"{{"version":"1","default":"allow",{own},"all_tools":{{"limits":[{shared}]}}}}"#);
        let policy = Policy::load("test", &text).unwrap();
        let mut store = MemoryStore::default();
        let count = (0..9).take_while(|_| decide(&policy, 0, &mut store).outcome.goes_on()).count();
        let last = decide(&policy, 0, &mut store);
        (count, last.rule.to_owned(), last.shadow_rule.map(str::to_owned))
    };
    let small = limit(7, 1, "enforce");
    let own = |name: &str| format!("/tools/t/limits/{name}");
    assert_eq!(allowed([small.clone(), limit(100, 3, "enforce")]), (2, own("7"), None), "never 9 of 7");
    assert_eq!(allowed([limit(100, 3, "enforce"), small.clone()]), (2, "/all_tools/limits/7".into(), None));
    let noted = Some(own("2"));
    assert_eq!(allowed([limit(2, 1, "shadow"), small]), (7, "/all_tools/limits/7".into(), noted), "it names both");
}
