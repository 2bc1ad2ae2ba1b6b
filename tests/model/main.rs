//! The engine beside a reference: random operations on random policies, and after each of them both have said the same.
//!
//! `MCP_POLICY_MODEL_OPERATIONS` says how many; `make model` tries a million.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod calendar;
mod policy;
mod random;
mod reference;

use calendar::Span;
use mcp_policy::policy::{
    Budget, Decision, MemoryStore, NoFacts, Policy, Principal, Query, Reservation, Store, Target as Reached, Upstream,
};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::Reader;
use mcp_policy::wire::mcp::Feature;
use policy::{Adds, Document, Limit, Scope, Target};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use random::Operation;
use reference::{Answer, Call, End, Left, Millionths, Reference};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Operations of one run, from an empty store.
const OPERATIONS_OF_A_RUN: usize = 250;

/// How often each thing of note was seen.
static SEEN: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());

struct Model;

impl ReferenceStateMachine for Model {
    type State = Reference;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Reference> {
        // From 2020 on, for thirty years.
        let now = 1_577_836_800_000_i128..2_524_608_000_000;
        (now, random::document()).prop_map(|(now, document)| Reference::new(now, Arc::new(document))).boxed()
    }

    fn transitions(_: &Reference) -> BoxedStrategy<Operation> {
        thread_local!(static OPERATION: BoxedStrategy<Operation> = random::operation().boxed());
        OPERATION.with(BoxedStrategy::clone)
    }

    fn apply(mut state: Reference, operation: &Operation) -> Reference {
        (state.answer, state.seen) = (None, Vec::new());
        match operation {
            Operation::Call(call) => state.call(call),
            Operation::Finish(pick, end) if state.in_flight() > 0 => state.finish(pick.index(state.in_flight()), *end),
            Operation::Finish(..) => {}
            Operation::Clock(to) => {
                let before = state.now;
                state.now = to.from(before);
                state.seen.push(if state.now < before { "the clock went back" } else { "the clock went on" });
            }
            Operation::Reload(document) => {
                state.policy = Arc::clone(document);
                state.seen.push("another policy");
            }
            Operation::Edit(edit) => {
                edit.apply(Arc::make_mut(&mut state.policy));
                state.seen.push("an edited policy");
            }
        }
        state
    }
}

/// The engine, and what its host would keep.
struct Engine {
    policy: Policy,
    store: MemoryStore,
    in_flight: Vec<Reservation>,
    last_call: Option<Call>,
    /// Policies that read a count without touching it, by what they read.
    probes: BTreeMap<(Target, Probed), Policy>,
}

/// What a count is told by, and how it is read.
type Probed = ((&'static str, Span, Vec<Scope>), bool, bool);

fn load(document: &Document) -> Policy {
    let text = document.written().to_string();
    Policy::load("p", &text).unwrap_or_else(|problems| panic!("{problems}\nin {text}"))
}

fn decide<'p>(policy: &'p Policy, call: &Call, now: i128, store: &mut dyn Store) -> Decision<'p> {
    let principal = Principal { grant: call.grant.into(), session: call.session.map(str::to_owned) };
    let arguments = call.amount.map(|amount| format!("{{\"x\":{amount}}}"));
    let (feature, name, method) = match call.target {
        Target::Tool(name) => (Feature::Tool, name, "tools/call"),
        Target::Prompt(name) => (Feature::Prompt, name, "prompts/get"),
    };
    let query = Query {
        principal: &principal,
        method,
        target: Some(Reached { feature, name }),
        arguments: arguments.as_deref().map(|text| Reader::new(text).value().unwrap()),
        continues: call.continues,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
        meta: None,
        now: Timestamp::from_millis(now.try_into().unwrap()),
        facts: &NoFacts,
    };
    policy.decide(&query, store)
}

fn left(budget: &Budget) -> Left {
    Left {
        name: budget.counter.clone(),
        limit: budget.limit.into(),
        remaining: budget.remaining.into(),
        window: budget.window.clone(),
        window_seconds: budget.window_seconds.map(i128::from),
        resets_in: budget.resets_in.map(i128::from),
    }
}

impl Engine {
    /// What counts now of one limit for such a call: a limit that has room for almost anything refuses still more, and
    /// says what it has left.
    fn used(&mut self, limit: &Limit, call: &Call, now: i128) -> Millionths {
        const MAX: &str = "9000000000000";
        let key = (limit.key(), limit.is_rolling, limit.continuations.is_some());
        let policy = self.probes.entry((call.target, key)).or_insert_with(|| {
            let continuations = limit.continuations.map(|_| MAX);
            let (max, adds) = (MAX, Adds::Always(9_000_000_000_001));
            let probe = Limit { max, adds, continuations, is_shadow: false, ..limit.clone() };
            load(&Document { entries: [(call.target, vec![probe])].into(), all_tools: Vec::new() })
        });
        let budget = decide(policy, call, now, &mut self.store).budget.expect("a refusal");
        Millionths::from(budget.limit - budget.remaining)
    }

    fn call(&mut self, call: &Call, now: i128) -> Answer {
        let decision = decide(&self.policy, call, now, &mut self.store);
        let (goes_on, rule, budget) = (decision.outcome.goes_on(), decision.rule.to_owned(), decision.budget);
        if goes_on {
            self.in_flight.push(decision.reservation);
        } else {
            assert!(decision.reservation.is_empty(), "a refused call holds nothing");
        }
        self.last_call = Some(*call);
        Answer { goes_on, rule, left: budget.as_deref().map(|budget| Box::new(left(budget))) }
    }
}

impl StateMachineTest for Model {
    type SystemUnderTest = Engine;
    type Reference = Self;

    fn init_test(reference: &Reference) -> Engine {
        Engine {
            policy: load(&reference.policy),
            store: MemoryStore::default(),
            in_flight: Vec::new(),
            last_call: None,
            probes: BTreeMap::new(),
        }
    }

    fn apply(mut engine: Engine, reference: &Reference, operation: Operation) -> Engine {
        match operation {
            Operation::Call(call) => {
                assert_eq!(Some(engine.call(&call, reference.now)), reference.answer, "the answer to {call:?}");
            }
            Operation::Finish(pick, end) if !engine.in_flight.is_empty() => {
                let reservation = engine.in_flight.remove(pick.index(engine.in_flight.len()));
                if upstream(end).refunds() {
                    reservation.refund(&mut engine.store);
                }
            }
            Operation::Finish(..) | Operation::Clock(_) => {}
            Operation::Reload(_) | Operation::Edit(_) => engine.policy = load(&reference.policy),
        }
        if let Some(call) = engine.last_call {
            for (limit, used) in reference.state(&call) {
                assert_eq!(engine.used(limit, &call, reference.now), used, "what counts of {limit:?} for {call:?}");
            }
        }
        let mut seen = SEEN.lock().unwrap();
        reference.seen.iter().chain(&["operations"]).for_each(|what| *seen.entry(what).or_default() += 1);
        engine
    }
}

fn upstream(end: End) -> Upstream {
    match end {
        End::Result => Upstream::Success,
        End::ToolError => Upstream::ToolError,
        End::InDoubt => Upstream::InDoubt,
        End::JsonRpcError => Upstream::JsonRpcError,
        End::HttpError => Upstream::HttpError,
        End::Unreachable => Upstream::Unreachable,
    }
}

/// What must be seen, and that it is at least one of so many operations.
const EXPECTED: [(&str, usize); 18] = [
    ("admitted", 10),
    ("refused by a limit", 20),
    ("refused for want of an amount", 50),
    ("refused by one limit after another had room", 200),
    ("skipped for want of an amount", 200),
    ("noted in shadow mode", 200),
    ("given back", 50),
    ("given back to a window that has passed", 500),
    ("given back to the window before", 2000),
    ("kept", 50),
    ("a window passed", 100),
    ("a share of the window before counted", 500),
    ("counted in a window ahead of the clock", 500),
    ("one count of two limits", 500),
    ("the clock went on", 50),
    ("the clock went back", 200),
    ("another policy", 500),
    ("an edited policy", 200),
];

#[test]
fn the_engine_agrees_with_a_simple_reference() {
    let operations = match std::env::var("MCP_POLICY_MODEL_OPERATIONS") {
        Ok(operations) => operations.parse().expect("MCP_POLICY_MODEL_OPERATIONS is a number of operations"),
        Err(_) => 100_000_usize,
    };
    let runs = u32::try_from(operations.div_ceil(OPERATIONS_OF_A_RUN)).unwrap();
    let config = ProptestConfig { cases: runs, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config.clone());
    let strategy = Model::sequential_strategy(OPERATIONS_OF_A_RUN..=OPERATIONS_OF_A_RUN);
    let outcome = runner.run(&strategy, |(reference, operations, seen)| {
        Model::test_sequential(config.clone(), reference, operations, seen);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let seen = SEEN.lock().unwrap();
    for (what, count) in seen.iter() {
        println!("{count:9} {what}");
    }
    for (what, one_of) in EXPECTED {
        let count = seen.get(what).copied().unwrap_or(0);
        assert!(count >= operations / one_of, "only {count} times in {operations}: {what}");
    }
    assert!(seen["operations"] >= operations);
}
