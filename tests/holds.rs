//! Calls that are held while a person is asked, because a rule has them `wait`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::approvals::{Id, book};
use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, Room, Step};
use mcp_policy::policy::{MemoryStore, Outcome};
use mcp_policy::timestamp::Timestamp;
use serde_json::{Value, json};
use std::rc::Rc;
use support::{gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_795_243_342_000;

fn configuration(change: impl Fn(&mut Value)) -> Rc<Gate> {
    let rule = json!({ "conditions": [], "timeout": "10m", "wait": "30s", "on_deny": "Mail is read first." });
    let mut configuration = json!({
        "policies": { "p": { "version": "1", "default": "allow", "tools": { "send": { "require_approval": [rule] } } } },
        "default_policy": "p",
        "approvals": { "url": "https://approve.example/" }
    });
    change(&mut configuration);
    gate(&configuration.to_string())
}

fn send(to: &str) -> String {
    let params = json!({ "name": "send", "arguments": { "to": to } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

/// One call, and what its host does first.
struct Caller {
    exchange: Exchange,
    body: String,
}

impl Caller {
    fn calls(gate: &Rc<Gate>, room: &Rc<Room>, body: &str, store: &mut MemoryStore) -> (Self, Step) {
        Self::calls_with(gate, room, body, &[], store)
    }

    fn calls_with(
        gate: &Rc<Gate>,
        room: &Rc<Room>,
        body: &str,
        more: &[(&str, &str)],
        store: &mut MemoryStore,
    ) -> (Self, Step) {
        let mut exchange = Exchange::new(Rc::clone(gate)).in_room(Rc::clone(room));
        let lines: Vec<(&str, &str)> = support::POST.iter().chain(more).copied().collect();
        exchange.request_headers(&headers(&lines), false, at(0));
        let step = exchange.request_whole(body.as_bytes(), at(0), store);
        (Self { exchange, body: body.to_owned() }, step)
    }

    fn is_awaited(&self, seconds: i64, store: &mut MemoryStore) -> bool {
        self.exchange.is_awaited(Some(&book::Waiting::read(store).unwrap()), at(seconds))
    }

    fn goes_on(&mut self, seconds: i64, store: &mut MemoryStore) -> Step {
        self.exchange.hold_ended(self.body.as_bytes(), at(seconds), store)
    }

    fn outcome(&self) -> Option<Outcome> {
        self.exchange.record().map(|record| record.outcome)
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.saturating_add_signed(seconds * 1000))
}

/// The one approval that waits.
fn waiting(store: &mut MemoryStore) -> Id {
    let all = book::list(NOW, store).unwrap();
    let [(entry, _)] = all.as_slice() else { panic!("{} approvals", all.len()) };
    entry.id
}

fn decide(approves: bool, note: Option<&str>, store: &mut MemoryStore) {
    let id = waiting(store);
    book::decide(id, approves, note, NOW + 1000, store).unwrap();
}

/// What the model reads.
fn told(step: &Step) -> String {
    let Step::Reply(reply) = step else { panic!("not answered: {step:?}") };
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn an_approved_call_goes_on_by_itself_and_once() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(8)), store());
    let (mut one, step) = Caller::calls(&gate, &room, &send("a"), &mut store);
    assert_eq!((step, one.outcome()), (Step::Hold, None));
    let (mut other, step) = Caller::calls(&gate, &room, &send("a"), &mut store);
    assert_eq!(step, Step::Hold, "the same call waits for the same approval");
    assert!(one.is_awaited(29, &mut store));
    decide(true, None, &mut store);
    assert!(!one.is_awaited(1, &mut store) && !other.is_awaited(1, &mut store));
    assert_eq!(one.goes_on(2, &mut store), Step::Continue);
    let record = one.exchange.record().unwrap();
    assert_eq!((record.outcome, record.held_ms), (Outcome::Allowed, Some(2000)));
    assert!(told(&other.goes_on(2, &mut store)).contains("ask a person to approve it"));
    assert_eq!(other.outcome(), Some(Outcome::ApprovalRequired));
    assert_eq!(one.goes_on(3, &mut store), Step::Wait, "nothing is judged twice");
}

#[test]
fn what_nobody_decides_in_time_is_refused_and_can_be_repeated() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(8)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    let id = waiting(&mut store);
    assert!(caller.is_awaited(29, &mut store) && !caller.is_awaited(30, &mut store));
    let text = told(&caller.goes_on(30, &mut store));
    assert!(text.contains("Mail is read first.") && text.contains(&id.to_string()), "{text}");
    decide(true, None, &mut store);
    let (repeated, step) = Caller::calls(&gate, &room, &send("a"), &mut store);
    assert_eq!((step, repeated.outcome()), (Step::Continue, Some(Outcome::Allowed)));
}

#[test]
fn a_denial_reaches_the_call_with_its_note() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(8)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    decide(false, Some("write to b instead"), &mut store);
    assert!(!caller.is_awaited(1, &mut store));
    assert!(told(&caller.goes_on(1, &mut store)).contains("write to b instead"));
}

#[test]
fn whoever_finds_no_place_is_refused_at_once() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(2)), store());
    let (first, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    let (_second, step) = Caller::calls(&gate, &room, &send("b"), &mut store);
    assert_eq!(step, Step::Hold);
    let (third, step) = Caller::calls(&gate, &room, &send("c"), &mut store);
    assert!(told(&step).contains("ask a person"), "{step:?}");
    assert_eq!(third.outcome(), Some(Outcome::ApprovalRequired));
    // A client that leaves makes room, whatever else is told of it.
    drop(first);
    assert_eq!(Caller::calls(&gate, &room, &send("c"), &mut store).1, Step::Hold);
    let (none, mut store) = (Rc::new(Room::new(0)), support::store());
    assert!(matches!(Caller::calls(&gate, &none, &send("a"), &mut store).1, Step::Reply(_)));
}

#[test]
fn a_client_that_leaves_is_on_record_and_its_approval_stands() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(1)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    caller.exchange.end("downstream_remote_disconnect", at(3), &mut store);
    let record = caller.exchange.record().unwrap();
    assert_eq!((record.outcome, &record.approval), (Outcome::ApprovalRequired, &Some(waiting(&mut store).to_string())));
    assert!(!caller.is_awaited(3, &mut store));
    assert_eq!(caller.goes_on(4, &mut store), Step::Wait, "it goes nowhere");
    assert_eq!(Caller::calls(&gate, &room, &send("b"), &mut store).1, Step::Hold, "its place is free");
}

#[test]
fn it_is_judged_by_what_is_true_when_it_goes_on() {
    let gate = configuration(|all| {
        all["policies"]["p"]["all_tools"] = json!({ "limits": [{ "counter": "c", "window": "hour", "max": 1 }] });
    });
    let (room, mut store) = (Rc::new(Room::new(8)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    let other = send("a").replace("\"send\"", "\"other\"");
    assert_eq!(
        Caller::calls(&gate, &room, &other, &mut store).1,
        Step::Continue,
        "a call that waits has spent nothing"
    );
    decide(true, None, &mut store);
    let step = caller.goes_on(1, &mut store);
    assert!(matches!(step, Step::Reply(_)), "{step:?}");
    assert_eq!(caller.outcome(), Some(Outcome::Denied));
    // The approval was not used up by the refusal: an hour later there is room.
    let all = book::list(NOW, &mut store).unwrap();
    assert_eq!(all[0].0.state.as_str(), "approved");
}

#[test]
fn a_clock_that_steps_back_holds_nobody_for_longer() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(1)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    assert!(!caller.is_awaited(-1, &mut store));
    assert!(matches!(caller.goes_on(-1, &mut store), Step::Reply(_)));
}

#[test]
fn a_store_that_cannot_be_read_lets_the_time_run_out() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(1)), store());
    let (caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    assert!(caller.exchange.is_awaited(None, at(29)) && !caller.exchange.is_awaited(None, at(30)));
}

#[test]
fn a_rule_without_wait_and_one_in_shadow_mode_hold_nothing() {
    let room = Rc::new(Room::new(1));
    for change in [json!({ "conditions": [] }), json!({ "conditions": [], "wait": 30, "mode": "shadow" })] {
        let gate = configuration(|all| {
            all["policies"]["p"]["tools"]["send"]["require_approval"] = json!([change]);
        });
        let (_, step) = Caller::calls(&gate, &room, &send("a"), &mut store());
        assert!(matches!(step, Step::Reply(_) | Step::Continue), "{change}: {step:?}");
    }
    let ticks = |rule: Value, mode: &str| {
        let gate = configuration(|all| {
            all["policies"]["p"]["tools"]["send"]["require_approval"] = json!([rule]);
            all["policies"]["p"]["mode"] = mode.into();
        });
        gate.holds_calls()
    };
    assert!(ticks(json!({ "conditions": [], "wait": 30 }), "enforce"));
    assert!(!ticks(json!({ "conditions": [], "wait": 30 }), "shadow"));
    assert!(!ticks(json!({ "conditions": [] }), "enforce"));
}

#[test]
fn who_can_be_shown_the_address_is_shown_it_first_and_held_when_it_comes_back() {
    let (gate, room, mut store) = (configuration(|_| {}), Rc::new(Room::new(1)), store());
    let request = |more: Value| {
        let mut params = json!({
            "name": "send",
            "arguments": { "to": "a" },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "c", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } }
            }
        });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
    };
    let lines = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "send")];
    let (_, step) = Caller::calls_with(&gate, &room, &request(json!({})), &lines, &mut store);
    let Step::Reply(reply) = step else { panic!("{step:?}") };
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    let state = &answer["result"]["requestState"];
    assert!(state.is_string(), "{answer}");
    let again = request(json!({ "requestState": state, "inputResponses": { "approval": { "action": "accept" } } }));
    let (mut caller, step) = Caller::calls_with(&gate, &room, &again, &lines, &mut store);
    assert_eq!(step, Step::Hold);
    decide(true, None, &mut store);
    let Step::Replace(sent) = caller.goes_on(1, &mut store) else { panic!("our own state is taken out") };
    assert!(!String::from_utf8(sent).unwrap().contains("requestState"));
}

#[test]
fn a_hold_ends_before_its_approval_does() {
    let gate = configuration(|all| {
        let rule = json!({ "conditions": [], "timeout": "20s", "wait": "20s" });
        all["policies"]["p"]["tools"]["send"]["require_approval"] = json!([rule]);
    });
    let (room, mut store) = (Rc::new(Room::new(1)), store());
    let (mut caller, _) = Caller::calls(&gate, &room, &send("a"), &mut store);
    let id = waiting(&mut store);
    let end = Timestamp::from_millis(NOW + 19_999);
    let is_awaited = caller.exchange.is_awaited(Some(&book::Waiting::read(&mut store).unwrap()), end);
    assert!(caller.is_awaited(19, &mut store) && !is_awaited);
    let text = told(&caller.exchange.hold_ended(caller.body.as_bytes(), end, &mut store));
    assert!(text.contains(&id.to_string()), "it is the same approval: {text}");
}
