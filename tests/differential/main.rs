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
#[path = "../support/mod.rs"]
mod support;

use case::{Case, Gate};
use mcp_policy::exchange::Headers;
use mcp_policy::policy::MemoryStore;
use serde_json::Value;
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
            Fate::Forwarded(_) => Gate::Forwarded,
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
