//! The ring as its readers see it.

use super::*;
use crate::policy::{MemoryStore, Outcome};

fn record(second: u32) -> Record {
    Record {
        ts: format!("2026-11-21T06:{:02}:{:02}.000Z", second / 60, second % 60),
        tool: Some(second.to_string()),
        ..Record::new(Outcome::Allowed)
    }
}

/// The tools of the records that are kept, the newest first.
fn tools(store: &mut MemoryStore) -> Vec<u32> {
    let tool = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["tool"].as_str().unwrap().parse().unwrap()
    };
    list(store).unwrap().iter().map(tool).collect()
}

#[test]
fn two_workers_records_stand_together_the_newest_first() {
    let (mut store, first, second) = (MemoryStore::default(), Recent::new(256), Recent::new(256));
    for second_of in 0..20 {
        let worker = if second_of % 3 == 0 { &first } else { &second };
        assert!(worker.keep(&record(second_of), None, &mut store).is_some());
    }
    assert_eq!(tools(&mut store), (0..20).rev().collect::<Vec<_>>());
    // Those of one millisecond, too.
    for tool in [100, 101, 102] {
        let same = Record { ts: record(20).ts, ..record(tool) };
        first.keep(&same, None, &mut store);
    }
    assert_eq!(tools(&mut store)[..3], [102, 101, 100]);
}

#[test]
fn the_oldest_give_way_and_a_small_ring_is_not_held_by_the_idle() {
    for (capacity, held) in [(1, 1), (5, 1), (64, 2), (1024, 8)] {
        let (mut store, first, idle) = (MemoryStore::default(), Recent::new(capacity), Recent::new(capacity));
        let mut keep = |worker: &Recent, second| worker.keep(&record(second), None, &mut store);
        let last = 996 + u32::from(capacity);
        (0..996).for_each(|second| assert!(keep(&first, second).is_some()));
        keep(&idle, 996);
        (997..=last).for_each(|second| assert!(keep(&first, second).is_some()));
        let (kept, wanted) = (tools(&mut store), usize::from(capacity) - held);
        let newest: Vec<u32> = (0..=last).rev().take(wanted).collect();
        assert_eq!(kept[..wanted], newest, "of {capacity}");
        assert!(kept.len() <= usize::from(capacity), "{}", kept.len());
    }
}

#[test]
fn a_call_that_goes_on_for_long_is_kept_once() {
    let (mut store, recent) = (MemoryStore::default(), Recent::new(2));
    let early = recent.keep(&record(1), None, &mut store);
    let late = Record { upstream_status: Some(200), ..record(1) };
    assert_eq!(recent.keep(&late, early, &mut store), early);
    assert!(list(&mut store).unwrap()[0].contains("\"upstream_status\":200"));
    assert_eq!(tools(&mut store), [1]);
    // Others have taken its place: it gets another one.
    for second in 2..4 {
        recent.keep(&record(second), None, &mut store);
    }
    assert_ne!(recent.keep(&late, early, &mut store), early);
    assert_eq!(tools(&mut store), [3, 1]);
}

#[test]
fn what_is_not_ours_is_not_told() {
    let (mut store, recent) = (MemoryStore::default(), Recent::new(4));
    for second in 0..4 {
        recent.keep(&record(second), None, &mut store);
    }
    let foreign: [&[u8]; 3] = [b"", b"\x01\0\0\0\0\0\0\0\0{\"ts\":\"9\"}}", b"\x01\0\0\0\0\0\0\0\0\xff"];
    for (slot, value) in foreign.into_iter().enumerate() {
        store.set(&key(slot as u64), value).unwrap();
    }
    assert_eq!(tools(&mut store), [3]);
    store.set(NEXT, b"foreign").unwrap();
    assert_eq!(list(&mut store), Ok(Vec::new()));
    assert!(Recent::new(4).keep(&record(9), None, &mut store).is_some(), "it counts again");
    assert_eq!(tools(&mut store), [9, 3]);
}

#[test]
fn a_record_that_is_too_long_is_kept_without_what_makes_it_so() {
    let (mut store, recent) = (MemoryStore::default(), Recent::new(4));
    let long = "x".repeat(250);
    let keys: Vec<String> = (0..32).map(|key| format!("{key}{long}")).collect();
    let long = Record { arg_keys: keys, rule: "r".repeat(9000), message: long, ..record(1) };
    recent.keep(&long, None, &mut store);
    let line = list(&mut store).unwrap().remove(0);
    assert!(line.len() < 1000 && line.contains(r#""tool":"1""#) && line.contains("rrr…"), "{line}");
    // One that is too long in another way is not kept, and no reason to fail.
    let never = Record { policy_version: "v".repeat(9000), ..record(2) };
    assert_eq!(recent.keep(&never, None, &mut store), None);
}

#[test]
fn a_configuration_says_how_many_are_kept() {
    let mut store = MemoryStore::default();
    let large = Recent::new(100);
    for second in 0..10 {
        large.keep(&record(second), None, &mut store);
    }
    let none = Recent::new(0);
    none.announce(&mut store);
    assert_eq!((none.keep(&record(1), None, &mut store), list(&mut store)), (None, Ok(Vec::new())));
    Recent::new(3).announce(&mut store);
    assert_eq!(list(&mut store).unwrap().len(), 3);
}
