//! One approval from the first call to the last, and what happens in between.

use super::super::kept::Kept;
use super::super::nonces::MAX_NONCES;
use super::super::{MAX_ENTRIES, Redaction};
use super::*;
use crate::policy::{MemoryStore, Version};
use crate::wire::json::Reader;

const MINUTE: u64 = 60_000;

fn asking(number: u8) -> Asking {
    Asking { digest: [number; 32], grant: "g".into(), timeout_seconds: Some(60) }
}

fn shown(id: &Id) -> Shown {
    let mut shown = Shown {
        id: id.to_string(),
        grant: "g".into(),
        session: None,
        method: "tools/call".into(),
        target: "send".into(),
        policy: "p".into(),
        policy_version: "v".into(),
        rule: "/tools/send/action".into(),
        reason: "ask".into(),
        arguments: None,
        is_cut: false,
        says_more: false,
        note: None,
    };
    shown.take_arguments(Some(Reader::new(r#"{"to":"a"}"#).value().unwrap()), &Redaction::default());
    shown
}

fn call(number: u8, now: u64, store: &mut dyn Store) -> Standing {
    ask(&asking(number), now, store, shown).unwrap()
}

fn pending(number: u8, now: u64, store: &mut dyn Store) -> Id {
    match call(number, now, store) {
        Standing::Pending { entry, .. } => entry.id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_approved_call_goes_on_exactly_once() {
    let mut store = MemoryStore::default();
    let id = pending(1, 5, &mut store);
    assert_eq!(pending(1, 6, &mut store), id, "a repeat waits under the same name");
    assert!(matches!(call(1, 7, &mut store), Standing::Pending { is_new: false, .. }));
    let settled = decide(id, true, Some("fine"), 8, &mut store).unwrap();
    assert_eq!((settled.arguments, settled.note.as_deref()), (None, Some("fine")), "arguments are forgotten");
    assert!(matches!(call(2, 9, &mut store), Standing::Pending { .. }), "another call is another call");
    assert_eq!(call(1, 9, &mut store), Standing::Approved(Claim { id, nonce: None }));
    let next = pending(1, 9, &mut store);
    assert_ne!(next, id, "a second use needs a new approval");
    assert_eq!(decide(id, true, None, 10, &mut store), Err(Undecided::Settled(State::Used)));
    assert_eq!(decide(next, true, None, 10, &mut store).map(|shown| shown.target), Ok("send".into()));
}

#[test]
fn what_did_not_run_may_be_repeated() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    decide(id, true, None, 0, &mut store).unwrap();
    let Standing::Approved(claim) = call(1, 0, &mut store) else { panic!("not approved") };
    claim.release(1, &mut store);
    claim.release(1, &mut store);
    assert_eq!(call(1, 2, &mut store), Standing::Approved(claim));
    claim.release(MINUTE, &mut store);
    assert!(matches!(call(1, MINUTE, &mut store), Standing::Pending { .. }), "its time has run out");
}

#[test]
fn a_denial_is_told_until_its_time_has_run_out() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    let long = "é".repeat(1000);
    decide(id, false, Some(&long), 5, &mut store).unwrap();
    let Standing::Denied(denied, Some(note)) = call(1, 6, &mut store) else { panic!("not denied") };
    assert_eq!((denied, note.len()), (id, 1024));
    assert!(matches!(call(1, 4 + MINUTE, &mut store), Standing::Denied(..)));
    assert_ne!(pending(1, 5 + MINUTE, &mut store), id);
}

#[test]
fn time_runs_out_for_the_person_and_for_the_caller() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    assert_eq!(decide(id, true, None, MINUTE, &mut store), Err(Undecided::Expired));
    assert_eq!(pending(1, MINUTE - 1, &mut store), id);
    let next = pending(1, MINUTE, &mut store);
    assert_ne!(next, id);
    decide(next, true, None, 2 * MINUTE - 1, &mut store).unwrap();
    assert!(matches!(call(1, 3 * MINUTE - 1, &mut store), Standing::Pending { .. }), "approved, and used too late");
    // A clock that stands still, or steps back, still tells two approvals of one call apart.
    let mut seen = Vec::new();
    for now in [9, 9, 8, 0] {
        let id = pending(7, now, &mut store);
        decide(id, true, None, now, &mut store).unwrap();
        call(7, now, &mut store);
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[test]
fn two_people_decide_once() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    decide(id, false, Some("no"), 1, &mut store).unwrap();
    assert_eq!(decide(id, true, Some("yes"), 1, &mut store), Err(Undecided::Settled(State::Denied)));
    assert_eq!(call(1, 2, &mut store), Standing::Denied(id, Some("no".into())));
    let unknown = Id { created: 77, ..id };
    assert_eq!(decide(unknown, true, None, 1, &mut store), Err(Undecided::Unknown));
}

type Other<'s> = Box<dyn FnOnce(&mut MemoryStore) + 's>;

/// A store in which somebody else does something right before the first write.
struct Racing<'s> {
    inner: &'s mut MemoryStore,
    other: Option<Other<'s>>,
}

impl Store for Racing<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        self.inner.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        if let Some(other) = self.other.take() {
            other(self.inner);
        }
        self.inner.put(key, value, version)
    }
}

#[test]
fn of_two_at_once_one_wins() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    decide(id, true, None, 0, &mut store).unwrap();
    let mut racing = Racing {
        inner: &mut store,
        other: Some(Box::new(|store| assert!(matches!(call(1, 1, store), Standing::Approved(_))))),
    };
    assert!(matches!(call(1, 1, &mut racing), Standing::Pending { is_new: true, .. }));

    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    let mut racing = Racing {
        inner: &mut store,
        other: Some(Box::new(move |store| drop(decide(id, false, Some("no"), 1, store).unwrap()))),
    };
    assert_eq!(decide(id, true, Some("yes"), 1, &mut racing), Err(Undecided::Settled(State::Denied)));
    drop(racing);
    assert_eq!(call(1, 2, &mut store), Standing::Denied(id, Some("no".into())));
}

#[test]
fn nobody_approves_what_cannot_be_seen() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    let (_, version) = store.get(b"mcp-policy:approval:0").unwrap().unwrap();
    store.put(b"mcp-policy:approval:0", b"{}", Some(version)).unwrap();
    assert_eq!(decide(id, true, None, 1, &mut store), Err(Undecided::Unseen));
    pending(1, 2, &mut store);
    assert!(decide(id, true, None, 3, &mut store).is_ok(), "the next call writes it down again");
}

#[test]
fn a_full_table_refuses_and_one_that_is_not_ours_is_no_table() {
    let mut store = MemoryStore::default();
    for number in 0..MAX_ENTRIES {
        let mut asking = asking(0);
        asking.digest[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let Ok(Standing::Pending { entry, .. }) = ask(&asking, 0, &mut store, shown) else { panic!("no place") };
        decide(entry.id, true, None, 0, &mut store).unwrap();
    }
    assert_eq!(call(255, 1, &mut store), Standing::Full);
    assert_eq!(list(1, &mut store).unwrap().len(), MAX_ENTRIES);
    let (_, version) = store.get(Table::KEY).unwrap().unwrap();
    store.put(Table::KEY, b"x", Some(version)).unwrap();
    assert_eq!(ask(&asking(1), 0, &mut store, shown), Err(Unavailable));
    assert_eq!(list(1, &mut store), Err(Unavailable));
}

#[test]
fn arguments_are_forgotten_when_nothing_can_be_decided_any_more() {
    let mut store = MemoryStore::default();
    pending(1, 0, &mut store);
    let arguments = |now, store: &mut MemoryStore| list(now, store).unwrap()[0].1.clone().unwrap().arguments;
    assert_eq!(arguments(MINUTE - 1, &mut store).as_deref(), Some(r#"{"to":"a"}"#));
    assert_eq!(arguments(MINUTE, &mut store), None);
    let (value, _) = store.get(b"mcp-policy:approval:0").unwrap().unwrap();
    assert!(!String::from_utf8(value).unwrap().contains(r#""to""#), "nor are they in the store");
}

fn token(id: Id, number: u128) -> Token {
    Token { id, nonce: number.to_le_bytes(), not_before: 0, expires: 10 * MINUTE }
}

fn foreign(number: u8) -> Id {
    Id { digest: [number; 32], created: 3 }
}

fn redeemed(token: &Token, now: u64, store: &mut dyn Store) -> Option<Claim> {
    match redeem(token, now, store).unwrap() {
        Redeemed::Approved(claim) => Some(claim),
        Redeemed::Settled => None,
        Redeemed::Full => panic!("no place"),
    }
}

#[test]
fn a_token_from_elsewhere_is_taken_once_and_again_when_the_call_did_not_run() {
    let mut store = MemoryStore::default();
    let token = token(foreign(1), 7);
    let claim = redeemed(&token, 0, &mut store).unwrap();
    assert_eq!(claim.id, token.id);
    assert_eq!(redeemed(&token, 1, &mut store), None);
    claim.release(2, &mut store);
    assert_eq!(redeemed(&token, 3, &mut store), Some(claim));
    assert_eq!(redeemed(&token, 4, &mut store), None);
    let second = Token { nonce: [8; 16], ..token };
    assert!(redeemed(&second, 4, &mut store).is_some(), "another token is another decision");
    assert!(matches!(call(1, 5, &mut store), Standing::Pending { is_new: true, .. }), "nothing is left behind");
}

#[test]
fn of_two_with_one_token_one_goes_on() {
    for is_known in [false, true] {
        let mut store = MemoryStore::default();
        let id = if is_known { pending(1, 0, &mut store) } else { foreign(1) };
        let token = token(id, 7);
        let mut racing = Racing {
            inner: &mut store,
            other: Some(Box::new(move |store| assert!(redeemed(&token, 1, store).is_some()))),
        };
        assert_eq!(redeemed(&token, 1, &mut racing), None, "known: {is_known}");
    }
}

#[test]
fn where_the_approval_is_known_a_token_is_one_decision_on_it() {
    let mut store = MemoryStore::default();
    let id = pending(1, 0, &mut store);
    let claim = redeemed(&token(id, 7), 5, &mut store).unwrap();
    assert_eq!(decide(id, true, None, 6, &mut store), Err(Undecided::Settled(State::Used)), "nobody approves it twice");
    assert_eq!(list(6, &mut store).unwrap()[0].1.clone().unwrap().arguments, None, "arguments are forgotten");
    assert_eq!(redeemed(&token(id, 8), 6, &mut store), None, "nor by another token");
    claim.release(6, &mut store);
    assert_eq!(redeemed(&token(id, 7), 6, &mut store), Some(claim), "given back, it may be used by its token");
    claim.release(6, &mut store);
    assert_eq!(call(1, 7, &mut store), Standing::Approved(claim), "or without one, as any approval");
    assert_eq!(redeemed(&token(id, 7), 8, &mut store), None, "and once in all");

    let id = pending(2, 0, &mut store);
    decide(id, false, Some("no"), 1, &mut store).unwrap();
    assert_eq!(redeemed(&token(id, 9), 2, &mut store), None, "the first decision holds");
    let id = pending(3, 0, &mut store);
    decide(id, true, Some("yes"), 1, &mut store).unwrap();
    assert!(redeemed(&token(id, 10), 2, &mut store).is_some());
    assert!(matches!(call(3, 3, &mut store), Standing::Pending { is_new: true, .. }), "two decisions are one use");
    let note = list(3, &mut store).unwrap().into_iter().find(|(entry, _)| entry.id == id).unwrap().1.unwrap().note;
    assert_eq!(note.as_deref(), Some("yes"));
}

#[test]
fn what_could_not_be_remembered_is_not_taken() {
    let mut store = MemoryStore::default();
    for number in 0..MAX_NONCES as u128 {
        assert!(redeemed(&token(foreign(1), number), 0, &mut store).is_some());
    }
    assert_eq!(redeem(&token(foreign(1), 5000), 10 * MINUTE - 1, &mut store), Ok(Redeemed::Full));
    assert!(redeemed(&token(foreign(1), 5000), 10 * MINUTE, &mut store).is_some());
    let (_, version) = store.get(Nonces::KEY).unwrap().unwrap();
    store.put(Nonces::KEY, b"x", Some(version)).unwrap();
    assert_eq!(redeem(&token(foreign(1), 5001), 0, &mut store), Err(Unavailable));
}
