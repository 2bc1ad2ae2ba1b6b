//! Workers that count at the same time: every order in which their reads and writes can fall is tried, and none admits
//! more than the maximum, or loses what was spent or given back.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

use mcp_policy::policy::{NoFacts, Policy, Principal, PutError, Query, Store, Target, Unavailable, Version};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::mcp::Feature;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// What all workers share, as Envoy keeps it.
type Values = Arc<Mutex<HashMap<Vec<u8>, (Vec<u8>, Version)>>>;

/// A worker's view of the store: it asks before each operation, and waits until its turn has come.
struct Turns {
    worker: usize,
    values: Values,
    asks: Sender<(usize, bool)>,
    turn: Receiver<()>,
}

impl Turns {
    fn wait(&self) {
        self.asks.send((self.worker, false)).unwrap();
        self.turn.recv().unwrap();
    }
}

impl Store for Turns {
    fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        self.wait();
        Ok(self.values.lock().unwrap().get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
        self.wait();
        let mut values = self.values.lock().unwrap();
        let current = values.get(key).map(|(_, version)| *version);
        if current != version {
            return Err(PutError::Conflict);
        }
        values.insert(key.to_vec(), (value.to_vec(), current.map_or(1, |version| version + 1)));
        Ok(())
    }
}

/// What one worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Call,
    /// A call that the server did not run.
    CallInVain,
}

fn decide(policy: &Policy, work: Work, store: &mut dyn Store) -> bool {
    let principal = Principal { grant: "g".into(), session: Some("s".into()) };
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: "t" }),
        arguments: None,
        continues: false,
        meta: None,
        now: Timestamp::from_millis(0),
        facts: &NoFacts,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
    };
    let decision = policy.decide(&query, store);
    let goes_on = decision.outcome.goes_on();
    if goes_on && work == Work::CallInVain {
        decision.reservation.refund(store);
    }
    goes_on
}

/// One run: the workers take turns as `schedule` says, then the first that waits. Returns what each was told, the
/// choices that there were at each turn, and what is left in the store.
fn run(policy: &Arc<Policy>, works: &[Work], schedule: &[usize]) -> (Vec<bool>, Vec<usize>, Values) {
    let values = Values::default();
    let (asks, asked) = channel();
    let mut turns = Vec::new();
    let workers: Vec<_> = works
        .iter()
        .enumerate()
        .map(|(worker, work)| {
            let (turn, turn_of_worker) = channel();
            turns.push(turn);
            let (asks, values, policy, work) = (asks.clone(), Arc::clone(&values), Arc::clone(policy), *work);
            thread::spawn(move || {
                let mut store = Turns { worker, values, asks: asks.clone(), turn: turn_of_worker };
                let goes_on = decide(&policy, work, &mut store);
                asks.send((worker, true)).unwrap();
                goes_on
            })
        })
        .collect();
    let (mut waiting, mut running, mut choices) = (Vec::new(), works.len(), Vec::new());
    loop {
        while running > 0 {
            let (worker, is_done) = asked.recv().unwrap();
            running -= 1;
            if !is_done {
                waiting.push(worker);
            }
        }
        waiting.sort_unstable();
        if waiting.is_empty() {
            break;
        }
        let choice = schedule.get(choices.len()).copied().unwrap_or(0);
        choices.push(waiting.len());
        turns[waiting.remove(choice)].send(()).unwrap();
        running = 1;
    }
    (workers.into_iter().map(|worker| worker.join().unwrap()).collect(), choices, values)
}

/// Tries every schedule; returns how many there are.
fn all(policy: &Arc<Policy>, works: &[Work], check: impl Fn(&[bool], &Values, &[usize])) -> usize {
    let (mut schedule, mut runs) = (Vec::new(), 0);
    loop {
        let (told, choices, values) = run(policy, works, &schedule);
        check(&told, &values, &schedule);
        runs += 1;
        assert!(runs < 20_000, "there is no end");
        // The next one in order: the last turn at which another worker could have gone.
        schedule.resize(choices.len(), 0);
        while let Some(last) = schedule.pop() {
            if last + 1 < choices[schedule.len()] {
                schedule.push(last + 1);
                break;
            }
        }
        if schedule.is_empty() {
            return runs;
        }
    }
}

/// How many calls the store still has room for.
fn room(policy: &Arc<Policy>, values: &Values) -> usize {
    (0..).find(|_| !run_after(policy, values)).expect("a limit")
}

fn run_after(policy: &Arc<Policy>, values: &Values) -> bool {
    struct Alone<'v>(&'v Values);
    impl Store for Alone<'_> {
        fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }
        fn put(&mut self, key: &[u8], value: &[u8], version: Option<Version>) -> Result<(), PutError> {
            let version = version.map_or(1, |version| version + 1);
            self.0.lock().unwrap().insert(key.to_vec(), (value.to_vec(), version));
            Ok(())
        }
    }
    decide(policy, Work::Call, &mut Alone(values))
}

fn policy(limits: &str) -> Arc<Policy> {
    let text = format!(r#"{{"version":"1","default":"allow","all_tools":{{"limits":[{limits}]}}}}"#);
    Arc::new(Policy::load("p", &text).unwrap())
}

const ONE: &str = r#"{"counter":"a","window":"hour","max":2,"scope":"global"}"#;
const TWO: &str = r#"{"counter":"a","window":"hour","max":1,"scope":"global"},{"counter":"b","window":"hour","max":2,"scope":"session"}"#;

#[test]
fn no_order_admits_one_call_too_many_or_refuses_one_too_few() {
    let policy = policy(ONE);
    let runs = all(&policy, &[Work::Call; 3], |told, values, schedule| {
        let admitted = told.iter().filter(|goes_on| **goes_on).count();
        assert_eq!((admitted, room(&policy, values)), (2, 0), "{schedule:?}");
    });
    println!("{runs} orders of three calls");
    assert!(runs >= 90, "{runs}");
}

#[test]
fn no_order_loses_what_is_given_back() {
    let policy = policy(r#"{"counter":"a","window":"hour","max":1,"scope":"global"}"#);
    let runs = all(&policy, &[Work::Call, Work::CallInVain], |told, values, schedule| {
        // What each was told depends on who was first; what is spent in the end does not.
        assert!(told[0] || told[1], "{schedule:?}");
        assert_eq!(room(&policy, values), 1 - usize::from(told[0]), "{schedule:?}");
    });
    println!("{runs} orders of two calls, one of them given back");
    assert!(runs > 15, "{runs}");
}

#[test]
fn no_order_spends_one_limit_where_another_refuses() {
    let policy = policy(TWO);
    let runs = all(&policy, &[Work::Call, Work::Call], |told, values, schedule| {
        let admitted = told.iter().filter(|goes_on| **goes_on).count();
        // Each may see the other's hit before it is given back, so both may be refused, and never both admitted.
        assert!(admitted <= 1, "{schedule:?}");
        assert_eq!(room(&policy, values), 1 - admitted, "{schedule:?}");
    });
    println!("{runs} orders of two calls under two limits");
    assert!(runs > 20, "{runs}");
}
