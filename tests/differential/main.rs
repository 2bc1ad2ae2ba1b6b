//! The corpus of the differential farm, held against the library: every case is read and judged as it says, and a
//! naive filter fails those that are named for a weakness.
//!
//! `tests/envoy/differential.rs` sends the same cases through a real Envoy to real servers.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs
)]

mod case;
mod corpus;
mod json;
mod naive;
#[path = "../support/mod.rs"]
mod support;

use case::{Case, Gate};
use mcp_policy::exchange::Headers;
use mcp_policy::policy::{MemoryStore, Outcome};
use naive::Verdict;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use support::{Driver, Fate, gate, store};

/// What the library makes of the last request of a case, the others before it; `None` where the framing decides, which
/// is Envoy's to read.
fn judged(case: &Case) -> Option<Gate> {
    if case.ends_early || case.requests.iter().any(|request| request.is_raw) {
        return None;
    }
    let gate = gate(corpus::POLICY);
    let mut store: MemoryStore = store();
    let mut last = None;
    for request in &case.requests {
        let mut lines = vec![(b":method".to_vec(), request.method().to_vec())];
        for line in request.head.iter().skip(1) {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default().trim_ascii().to_vec();
            lines.push((line[..colon].to_ascii_lowercase(), value));
        }
        let mut driver = Driver::new(&gate, &mut store, 0);
        let chunks: &[&[u8]] = if request.body.is_empty() { &[] } else { &[&request.body] };
        last = Some(match driver.request(&Headers::new(lines), chunks, false) {
            Fate::Forwarded(_) => match driver.exchange.record().map(|record| record.outcome) {
                Some(Outcome::Denied) => Gate::StandIn,
                _ => Gate::Forwarded,
            },
            Fate::Replied(reply) if reply.body.is_empty() => Gate::Empty(reply.status),
            Fate::Replied(reply) => {
                let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                match answer["error"]["code"].as_i64() {
                    Some(code) => Gate::Error(reply.status, code),
                    None => Gate::Policy,
                }
            }
        });
    }
    last
}

#[test]
fn every_case_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for case in corpus::all() {
        let is_due = case.needs.as_deref().is_none_or(|needs| !corpus::NOT_YET.contains(&needs));
        let is_envoys = case.gate.iter().all(|gate| matches!(gate, Gate::Envoy(_) | Gate::Closed));
        let Some(judged) = judged(&case).filter(|_| is_due && !is_envoys) else { continue };
        if !case.gate.contains(&judged) {
            let said: Vec<String> = case.gate.iter().map(ToString::to_string).collect();
            wrong.push(format!("{}: {judged}, not {}: {}", case.name, said.join(" or "), case.about));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_has_a_name_of_its_own_and_says_what_it_is_about() {
    let mut names = BTreeSet::new();
    for case in corpus::all() {
        assert!(names.insert(case.name.to_lowercase()), "{}: twice", case.name);
        assert!(case.about.ends_with('.') && !case.requests.is_empty(), "{}: {}", case.name, case.about);
        // Only what goes on can run.
        assert!(
            case.runs.is_none() || case.gate.contains(&Gate::Forwarded) || case.requests.len() > 1 || is_pending(&case)
        );
    }
    assert!(names.len() >= 1000, "{} cases", names.len());
}

fn is_pending(case: &Case) -> bool {
    case.needs.as_deref().is_some_and(|needs| corpus::NOT_YET.contains(&needs))
}

/// The weaknesses that other gateways were found to have, each with the named case that keeps this one from it.
/// Those of requests are cases here, whose names begin `wNN-`; for the rest, the file and what stands in it.
const ELSEWHERE: &[(u32, &str, &str)] = &[
    (5, "tests/envoy/unreadable.rs", "\"gzip on an event stream\""),
    (6, "tests/envoy/streams.rs", "fn a_list_that_is_replayed_on_a_get_stream_is_filtered"),
    (7, "tests/envoy/lists.rs", "fn as_events_in_chunks_of_64_kib"),
    (10, "tests/envoy/refunds.rs", "fn an_outage_does_not_use_up_a_limit"),
    (11, "src/policy/counter.rs", "fn a_refund_touches_only_the_window_that_was_charged"),
    (12, "tests/cases/documents.json", "conditions with wrong paths"),
    (13, "policies/grammar.cases.json", "a fractional limit admits its whole part"),
    (14, "policies/grammar.cases.json", "names that look like a key's parts do not share a count"),
    (15, "tests/envoy/grants.rs", "fn bearer_tokens"),
    (16, "tests/cases/streams.json", "hidden tool in JSON"),
    (17, "tests/cases/streams.json", "retry: 3000"),
    (20, "tests/cases/documents.json", "a typing error at the top"),
    (21, "tests/envoy/records.rs", "fn the_access_log_prints_the_record_of_each_decision"),
    (22, "tests/envoy/reload.rs", "fn a_faulty_configuration_leaves_the_good_one_in_force"),
    (24, "policies/grammar.cases.json", "a pattern hides"),
];

#[test]
fn a_naive_filter_fails_every_case_that_is_named_for_a_weakness() {
    let mut found: BTreeMap<u32, usize> = BTreeMap::new();
    for case in corpus::all() {
        let Some((number, _)) = case.name.strip_prefix('w').and_then(|rest| rest.split_once('-')) else { continue };
        let Ok(number) = number.parse() else { continue };
        *found.entry(number).or_default() += 1;
        let naive = naive::judge(&case);
        // It refuses a notification, too, but answers it.
        let fails = if number == 19 { naive == Verdict::Refuses { has_id: false } } else { naive == Verdict::Passes };
        assert!(fails, "{}: {naive:?}", case.name);
        assert!(judged(&case).is_some_and(Gate::refuses), "{}", case.name);
    }
    let elsewhere = ELSEWHERE.iter().map(|(number, ..)| *number);
    let numbers: BTreeSet<u32> = found.keys().copied().chain(elsewhere).collect();
    assert_eq!(numbers, (1..=25).collect());
    for (number, file, text) in ELSEWHERE {
        let content = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(content.contains(text), "W{number}: {file} has no {text}");
    }
}

#[test]
fn a_naive_filter_lets_hundreds_of_disguises_by() {
    let refused = |case: &Case| judged(case).is_some_and(Gate::refuses);
    let passed = |case: &&Case| naive::judge(case) == Verdict::Passes;
    let cases: Vec<Case> = corpus::all().into_iter().filter(refused).collect();
    let by = cases.iter().filter(passed).count();
    println!("a naive filter passes {by} of {} that are refused", cases.len());
    assert!(by >= 300, "{by} of {}", cases.len());
}
