//! Workers that tell of approvals: who tells what, when, how often, and in which words.

use super::ledger::{HISTORY_MS, RIPE_MS};
use super::*;
use crate::approvals::book::{self, Asking, Standing};
use crate::approvals::{Id, MAX_ENTRIES, Redaction, Shown};
use crate::policy::{MemoryStore, Version};
use crate::wire::json::Reader;
use serde_json::{Value, json};

const NOW: u64 = 1_795_243_342_123;
const MINUTE: u64 = 60_000;

fn notify() -> Notify {
    Notify {
        cluster: "hooks".into(),
        authority: "hooks.example.com".into(),
        path: "/approvals".into(),
        secret: Secret::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap(),
        timeout_ms: 2000,
        attempts: 3,
        page: Some("https://a.example/".into()),
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A store on which these settings tell.
fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    announce(&notify(), &mut store).unwrap();
    store
}

fn wait(number: u16, grant: &str, now: u64, store: &mut dyn Store) -> Id {
    let mut digest = [7; 32];
    digest[30..].copy_from_slice(&number.to_le_bytes());
    let asking = Asking { digest, grant: grant.into(), timeout_seconds: Some(60) };
    let shown = |id: &Id| {
        let mut shown = Shown {
            id: id.to_string(),
            grant: "g".into(),
            session: Some("s3ssion".into()),
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
        shown.take_arguments(Some(Reader::new(r#"{"to":"s3cret"}"#).value().unwrap()), &Redaction::default());
        shown
    };
    match book::ask(&asking, now, store, shown).unwrap() {
        Standing::Pending { entry, .. } => entry.id,
        other => panic!("{other:?}"),
    }
}

fn look(now: u64, store: &mut dyn Store) -> Vec<Post> {
    due(&notify(), MAX_CALLS, at(now), store).unwrap().0
}

fn events(posts: &[Post]) -> Vec<(Id, Event, u8)> {
    posts.iter().map(|post| (post.claim.id, post.claim.event, post.claim.attempt)).collect()
}

/// The one event that is due, which the receiver then answers so.
fn tell(status: u16, now: u64, store: &mut dyn Store) -> (Id, Event, u8) {
    let [post] = &look(now, store)[..] else { panic!("not one event") };
    report(&notify(), &post.claim, Ended::Status(status), at(now), store).unwrap();
    events(std::slice::from_ref(post))[0]
}

#[test]
fn each_event_is_told_once_whichever_way_it_is_settled() {
    for (settle, event, state) in [
        (Some(true), Event::Approved, "approved"),
        (Some(false), Event::Denied, "denied"),
        (None, Event::Expired, "expired"),
    ] {
        let mut store = store();
        let id = wait(1, "g", NOW, &mut store);
        assert_eq!(look(NOW + RIPE_MS - 1, &mut store), [], "what a person is shown may not be there yet");
        assert_eq!(tell(204, NOW + RIPE_MS, &mut store), (id, Event::Pending, 1));
        assert_eq!(look(NOW + MINUTE - 1, &mut store), []);
        let mut settled_at = NOW + MINUTE;
        if let Some(approves) = settle {
            settled_at = NOW + 1000;
            book::decide(id, approves, Some("checked"), settled_at, &mut store).unwrap();
        }
        let [post] = &look(settled_at + RIPE_MS, &mut store)[..] else { panic!("not one event") };
        assert_eq!((post.claim.event, post.claim.attempt), (event, 1));
        let body: Value = serde_json::from_str(&post.body).unwrap();
        assert_eq!(body["type"], format!("approval.{state}"));
        assert_eq!((&body["timestamp"], &body["data"]["state"]), (&json!(at(settled_at).to_string()), &json!(state)));
        if settle.is_some() {
            assert_eq!((&body["data"]["note"], &body["data"]["decided_at"]), (&json!("checked"), &body["timestamp"]));
        }
        report(&notify(), &post.claim, Ended::Status(200), at(settled_at), &mut store).unwrap();
        assert_eq!(look(NOW + 5 * MINUTE, &mut store), [], "{event:?} is told");
    }
}

#[test]
fn an_event_says_what_a_person_needs_and_no_value_of_an_argument() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    let [post] = &look(NOW + 1000, &mut store)[..] else { panic!("not one event") };
    assert_eq!(
        serde_json::from_str::<Value>(&post.body).unwrap(),
        json!({
            "type": "approval.pending",
            "timestamp": at(NOW).to_string(),
            "data": {
                "id": id.to_string(), "state": "pending", "created_at": at(NOW).to_string(),
                "expires_at": at(NOW + MINUTE).to_string(), "grant": "g", "method": "tools/call", "target": "send",
                "policy": "p", "policy_version": "v", "rule": "/tools/send/action", "reason": "ask",
                "url": format!("https://a.example/#{id}"),
            },
        })
    );
    assert!(!post.body.contains("s3"), "neither an argument nor the session");
    let header = |name: &str| post.headers.iter().find(|(own, _)| *own == name).unwrap().1.as_str();
    let seconds = (NOW + 1000) / 1000;
    assert_eq!(header(":method"), "POST");
    assert_eq!((header(":path"), header(":authority")), ("/approvals", "hooks.example.com"));
    assert_eq!(
        (header("webhook-id"), header("webhook-timestamp")),
        (format!("{id}_pending").as_str(), seconds.to_string().as_str())
    );
    let signature = notify().secret.sign(header("webhook-id"), seconds, &post.body).unwrap();
    assert_eq!(header("webhook-signature"), signature);
}

/// A store on which another worker does something just before this operation.
struct Interrupted<'s, F> {
    store: &'s mut MemoryStore,
    operations: usize,
    other: Option<F>,
}

impl<F: FnOnce(&mut MemoryStore)> Interrupted<'_, F> {
    fn interrupt(&mut self) {
        if self.operations == 0 {
            self.other.take().into_iter().for_each(|other| other(self.store));
        }
        self.operations = self.operations.wrapping_sub(1);
    }
}

impl<F: FnOnce(&mut MemoryStore)> Store for Interrupted<'_, F> {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        self.interrupt();
        self.store.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        self.interrupt();
        self.store.put(key, value, version)
    }
}

#[test]
fn of_workers_that_look_at_once_one_tells_each_event() {
    // Before what is in force, how far it is told, what there is, and the write.
    for operations in 0..4 {
        let mut store = store();
        let first = wait(1, "g", NOW, &mut store);
        let (mut others, mut second) = (Vec::new(), None);
        let other = |store: &mut MemoryStore| {
            second = Some(wait(2, "g", NOW + 1, store));
            others = look(NOW + 1000, store);
            for post in &others {
                report(&notify(), &post.claim, Ended::Status(200), at(NOW + 1000), store).unwrap();
            }
        };
        let own = look(NOW + 1000, &mut Interrupted { store: &mut store, operations, other: Some(other) });
        assert_eq!(events(&others), [(first, Event::Pending, 1), (second.unwrap(), Event::Pending, 1)]);
        assert_eq!(own, [], "before operation {operations}");
        assert_eq!(look(NOW + 1000, &mut store), []);
    }
}

#[test]
fn a_worker_takes_the_oldest_and_leaves_the_rest_to_others() {
    let mut store = store();
    let ids: Vec<Id> = (0..6).map(|number| wait(number, "g", NOW + u64::from(number), &mut store)).collect();
    let told: Vec<Id> = (0..2).flat_map(|_| look(NOW + 1000, &mut store)).map(|post| post.claim.id).collect();
    assert_eq!(told, ids);
    assert_eq!(look(NOW + 1000, &mut store), []);
    for _ in 0..2 {
        assert!(look(NOW + 20_000, &mut store).len() <= MAX_CALLS);
    }
}

#[test]
fn a_dead_worker_is_taken_over_and_its_late_word_still_counts() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    let [dead] = &look(NOW + 1000, &mut store)[..] else { panic!("not one event") };
    assert_eq!(look(NOW + 1000 + 2000 + SLACK_MS - 1, &mut store), []);
    let [next] = &look(NOW + 1000 + 2000 + SLACK_MS, &mut store)[..] else { panic!("nobody takes over") };
    assert_eq!(events(std::slice::from_ref(next)), [(id, Event::Pending, 2)]);
    assert_eq!(next.body, dead.body, "a receiver knows it again");
    // A failure of the first says nothing of the second; that the first was taken says all.
    report(&notify(), &dead.claim, Ended::Status(500), at(NOW + 9000), &mut store).unwrap();
    assert_eq!(look(NOW + 12_000, &mut store), []);
    report(&notify(), &dead.claim, Ended::Status(200), at(NOW + 12_000), &mut store).unwrap();
    assert_eq!(report(&notify(), &next.claim, Ended::Status(500), at(NOW + 12_000), &mut store), Ok(None));
    assert_eq!(look(NOW + 40_000, &mut store), []);
}

#[test]
fn attempts_are_bounded_and_spaced_and_the_approval_stays() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    let (mut now, mut made, mut given_up) = (NOW + 1000, Vec::new(), None);
    for attempt in 1..=3 {
        let [post] = &look(now, &mut store)[..] else { panic!("no attempt {attempt}") };
        assert_eq!(post.claim.attempt, attempt);
        made.push(now);
        given_up = report(&notify(), &post.claim, Ended::Status(500), at(now), &mut store).unwrap();
        let pause = 1000 << (attempt - 1);
        let (early, late) = (now + pause * 3 / 4 - 1, now + pause * 5 / 4);
        assert_eq!(look(early, &mut store), [], "too early");
        now = late;
    }
    assert_eq!(look(NOW + MINUTE - 1, &mut store), []);
    let text = given_up.unwrap().to_string();
    assert!(
        text.contains(&id.to_string()) && text.contains("status 500") && text.contains("approval.pending"),
        "{text}"
    );
    assert!(book::decide(id, true, None, NOW + 9000, &mut store).is_ok());
    assert_eq!(tell(500, NOW + 10_000, &mut store), (id, Event::Approved, 1), "the next event has attempts of its own");
}

#[test]
fn a_last_attempt_without_a_word_is_given_up() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    let once = Notify { attempts: 1, ..notify() };
    announce(&once, &mut store).unwrap();
    assert_eq!(due(&once, 1, at(NOW + 1000), &mut store).unwrap().0.len(), 1);
    let (posts, given_up) = due(&once, 1, at(NOW + 10_000), &mut store).unwrap();
    assert_eq!((posts.len(), given_up.len()), (0, 1));
    assert!(given_up[0].to_string().contains(&id.to_string()));
    assert_eq!(due(&once, 1, at(NOW + 20_000), &mut store).unwrap(), (vec![], vec![]));
}

#[test]
fn events_of_one_approval_come_in_order_and_an_old_one_is_not_told_any_more() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    let [pending] = &look(NOW + 1000, &mut store)[..] else { panic!("not one event") };
    book::decide(id, true, None, NOW + 1100, &mut store).unwrap();
    assert_eq!(look(NOW + 1500, &mut store), [], "the first is under way");
    report(&notify(), &pending.claim, Ended::Status(503), at(NOW + 1600), &mut store).unwrap();
    assert_eq!(tell(200, NOW + 1600, &mut store), (id, Event::Approved, 1), "it does not wait any more");

    let second = wait(2, "g", NOW, &mut store);
    book::decide(second, false, None, NOW + 10, &mut store).unwrap();
    assert_eq!(tell(200, NOW + 2000, &mut store), (second, Event::Denied, 1), "nobody is asked for what is decided");
    assert_eq!(look(NOW + MINUTE, &mut store), []);
}

#[test]
fn who_takes_the_place_of_another_is_told_of_by_itself() {
    let mut store = store();
    let first = wait(0, "flood", NOW, &mut store);
    let [post] = &look(NOW + 1000, &mut store)[..] else { panic!("not one event") };
    for number in 1..=MAX_ENTRIES as u16 {
        wait(number, "flood", NOW + u64::from(number), &mut store);
    }
    let newest = wait(MAX_ENTRIES as u16, "flood", NOW, &mut store);
    let held: Vec<Id> = book::list(NOW, &mut store).unwrap().into_iter().map(|(entry, _)| entry.id).collect();
    assert!(!held.contains(&first) && held.contains(&newest), "the first has given way");
    // The call of the one that is gone ends only now.
    report(&notify(), &post.claim, Ended::Status(200), at(NOW + 2000), &mut store).unwrap();
    let (mut pending, mut dropped) = (Vec::new(), Vec::new());
    loop {
        let posts = look(NOW + 3000, &mut store);
        if posts.is_empty() {
            break;
        }
        for post in posts {
            report(&notify(), &post.claim, Ended::Status(200), at(NOW + 3000), &mut store).unwrap();
            let body: Value = serde_json::from_str(&post.body).unwrap();
            let list = if post.claim.event == Event::Dropped { &mut dropped } else { &mut pending };
            list.push(body["data"]["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(dropped, [first.to_string()], "whose beginning was told");
    pending.sort();
    let mut held: Vec<String> = held.iter().map(Id::to_string).collect();
    held.sort();
    assert_eq!(pending, held, "each once");
    assert!(read::<Ledger>(&mut store).is_ok());
}

#[test]
fn a_flood_of_approvals_that_come_and_go_keeps_the_ledger_small() {
    let mut store = store();
    for number in 0..1500_u16 {
        let now = NOW + u64::from(number) * 1000;
        wait(number, "flood", now, &mut store);
        look(now + 500, &mut store);
    }
    let (bytes, _) = store.get(Ledger::KEY).unwrap().unwrap();
    assert!(bytes.len() < 32 << 10, "{}", bytes.len());
    assert!(Ledger::decode(&bytes).is_some());
}

#[test]
fn a_reload_takes_up_what_is_untold_and_silences_what_was_before() {
    let mut store = MemoryStore::default();
    let waiting = wait(1, "g", NOW, &mut store);
    let (old, new) = (notify(), Notify { path: "/v2".into(), ..notify() });
    let look = |notify: &Notify, now: u64, store: &mut MemoryStore| due(notify, MAX_CALLS, at(now), store).unwrap().0;
    assert_eq!(look(&old, NOW + 1000, &mut store), [], "it is not in force");
    announce(&old, &mut store).unwrap();
    let posts = look(&old, NOW + 1000, &mut store);
    assert_eq!(events(&posts), [(waiting, Event::Pending, 1)]);
    report(&old, &posts[0].claim, Ended::NotMade, at(NOW + 1000), &mut store).unwrap();

    announce(&new, &mut store).unwrap();
    assert_eq!(look(&old, NOW + 4000, &mut store), [], "its streams may live for hours");
    let posts = look(&new, NOW + 4000, &mut store);
    assert_eq!((events(&posts), posts[0].headers[1].1.as_str()), (vec![(waiting, Event::Pending, 2)], "/v2"));
}

#[test]
fn what_was_settled_long_before_anybody_was_to_be_told_is_history() {
    let mut store = store();
    let (old, new) = (wait(1, "g", NOW, &mut store), wait(2, "g", NOW, &mut store));
    book::decide(old, true, None, NOW, &mut store).unwrap();
    book::decide(new, false, None, NOW + 1, &mut store).unwrap();
    assert_eq!(events(&look(NOW + HISTORY_MS + 1, &mut store)), [(new, Event::Denied, 1)]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut store = store();
    wait(1, "g", NOW, &mut store);
    look(NOW + 1000, &mut store);
    let (bytes, version) = store.get(Ledger::KEY).unwrap().unwrap();
    assert_eq!(Ledger::decode(&bytes).unwrap().encode(), bytes);
    for broken in [&bytes[..bytes.len() - 1], &[], &[2], &[bytes.as_slice(), &[0]].concat()] {
        assert_eq!(Ledger::decode(broken), None);
    }
    store.put(Ledger::KEY, b"another's", Some(version)).unwrap();
    assert_eq!(due(&notify(), 1, at(NOW + 1000), &mut store), Err(Unavailable));
    assert_eq!(store.get(Ledger::KEY).unwrap().unwrap().0, b"another's");
}

#[test]
fn a_clock_that_steps_back_silences_nobody() {
    let mut store = store();
    let id = wait(1, "g", NOW, &mut store);
    assert_eq!(look(NOW + 1000, &mut store).len(), 1);
    let hour = 60 * MINUTE;
    let [post] = &look(NOW - hour, &mut store)[..] else { panic!("it waits for an hour") };
    assert_eq!((post.claim.id, post.claim.attempt), (id, 2));
}
