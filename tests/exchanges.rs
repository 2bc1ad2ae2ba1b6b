//! Several exchanges at once, on a clock of their own: what a late answer gives back, and what a reload changes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::exchange::{Exchange, Reading, Step};
use mcp_policy::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::rc::Rc;
use support::{gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    configurations: Vec<Value>,
    events: Vec<Event>,
}

/// In the order in which they happen.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Event {
    /// A call of the tool of this name begins, and is judged.
    Call { call: String, at: String, outcome: String, rule: Option<String> },
    /// That call is answered, and over.
    Answer { answer: String, status: u16, details: Option<String>, at: String, rolled_back: bool },
    /// Another configuration takes force.
    Reload { reload: usize },
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn what_is_in_flight_is_settled_by_what_it_was_judged_by() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("cases/exchanges.json")).unwrap();
    for Row { name, configurations, events } in rows {
        let gates: Vec<_> = configurations.iter().map(|configuration| gate(&configuration.to_string())).collect();
        let (mut gate, mut store) = (Rc::clone(&gates[0]), store());
        let mut open: BTreeMap<String, Exchange> = BTreeMap::new();
        for event in events {
            match event {
                Event::Reload { reload } => gate = Rc::clone(&gates[reload]),
                Event::Call { call, at, outcome, rule } => {
                    let body =
                        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{call}"}}}}"#);
                    let mut exchange = Exchange::new(Rc::clone(&gate));
                    exchange.request_headers(&headers(&support::POST), false, time(&at));
                    let step = exchange.request_whole(body.as_bytes(), time(&at), &mut store);
                    let record = exchange.record().unwrap();
                    assert_eq!(record.outcome.as_str(), outcome, "{name}: {call}");
                    assert_eq!(record.rule, rule.unwrap_or_default(), "{name}: {call}");
                    assert_eq!(step == Step::Continue, outcome == "allowed", "{name}: {call}");
                    open.insert(call, exchange);
                }
                Event::Answer { answer, status, details, at, rolled_back } => {
                    let mut exchange = open.remove(&answer).unwrap_or_else(|| panic!("{name}: {answer}"));
                    let lines = [(":status", status.to_string()), ("content-type", "text/plain".to_owned())];
                    let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
                    exchange.answer_headers(&headers(&lines), false);
                    exchange.answer_begins(b"broken", true);
                    if exchange.answer_reading() == Reading::Whole {
                        exchange.answer_whole(b"broken", &mut store);
                    }
                    exchange.end(details.as_deref().unwrap_or("via_upstream"), time(&at), &mut store);
                    assert_eq!(exchange.record().unwrap().rolled_back, rolled_back, "{name}: {answer}");
                }
            }
        }
    }
}
