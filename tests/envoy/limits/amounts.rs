//! Sums of amounts from arguments: never more than the maximum, and all of it to the last decimal.

use super::super::load::{at_once, meet};
use super::super::support::http::Connection;
use super::super::support::parts::Parts;
use super::super::support::upstream::{Received, Upstream};
use super::super::support::wait;
use super::crowd::{self, CONNECTIONS};
use super::{Plan, apart, within};
use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// What one unit has of the smallest amounts.
const MICROS: u64 = 1_000_000;

/// A limit of the sum by grant, between ample ones of other scopes that add up the same.
fn policy(max: u64) -> Value {
    let limit = |counter: &str, scope: &str, max: u64| json!({ "counter": counter, "window": "day", "max": max, "scope": scope, "increment_from": "args.amount" });
    let ample = 100 * max;
    within(json!([limit("all", "global", ample), limit("own", "grant", max), limit("part", "session", ample)]))
}

/// A call that adds this amount.
fn call(grant: &str, session: usize, amount: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"pay","arguments":{{"amount":{amount}}}}}}}"#
    );
    crowd::request(grant, &format!("s{session}"), &body)
}

/// An amount as JSON, in one of the ways to write it.
fn written(micros: u64, way: u64) -> String {
    let (units, rest) = (micros / MICROS, micros % MICROS);
    match way % 3 {
        0 => format!("{micros}e-6"),
        1 => format!("{units}.{rest:06}"),
        _ if rest == 0 => units.to_string(),
        _ => format!("{units}.{rest:06}").trim_end_matches('0').to_owned(),
    }
}

/// The amount that a request adds, read as decimal digits, without any floating point.
fn micros(request: &Received) -> u64 {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let (_, amount) = body.split_once(r#""amount":"#).expect("an amount");
    let amount = amount.trim_end_matches('}');
    if let Some(micros) = amount.strip_suffix("e-6") {
        return micros.parse().expect("digits");
    }
    let (units, rest) = amount.split_once('.').unwrap_or((amount, ""));
    let units: u64 = units.parse().expect("digits");
    units * MICROS + format!("{rest:0<6}").parse::<u64>().expect("digits")
}

/// Numbers that nobody chose (xorshift64).
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Random amounts up to two units; after each refusal up to half as much, so that the last ones are the smallest there are.
fn spend(connection: &mut Connection, grant: &str, caller: usize, calls: usize) -> usize {
    let (mut random, mut largest) = (Random::new(), 2 * MICROS);
    let mut next = |_: &usize| {
        let amount = 1 + random.next() % largest;
        let ran = crowd::runs(connection, &call(grant, caller, &written(amount, random.next())));
        if !ran {
            largest = (largest / 2).max(1);
        }
        ran
    };
    (0..calls).filter(&mut next).count()
}

#[test]
fn sums_of_amounts_reach_the_maximum_to_the_last_decimal_and_never_pass_it() {
    let Some(parts) = Parts::gateway() else { return };
    let plan = Plan::from_environment();
    let (repetitions, started) = (plan.sums, Instant::now());
    // Of tenths so many fit as calls should; random amounts are one unit on average.
    for (kind, max) in [("tenths", plan.max() as u64 / 10), ("random", plan.max() as u64)] {
        let upstream = Upstream::running_every_call();
        let name = format!("limits-amounts-{kind}");
        let envoy = crowd::start(&parts, &name, apart(repetitions, &policy(max)), &upstream);
        let (mut seen, mut sums) = (0, Vec::new());
        for repetition in 0..repetitions {
            wait::for_room_in(86_400, Duration::from_secs(300));
            let (address, arrived, calls) = (envoy.address, AtomicUsize::new(0), plan.calls / CONNECTIONS);
            let grant = format!("g{repetition}");
            let ran = at_once(CONNECTIONS, move |caller| {
                let mut connection = Connection::open(address);
                meet(&arrived, CONNECTIONS);
                match kind {
                    "tenths" => {
                        let request = call(&grant, caller, "0.1");
                        (0..calls).filter(|_| crowd::runs(&mut connection, &request)).count()
                    }
                    _ => spend(&mut connection, &grant, caller, calls),
                }
            });
            let requests = upstream.requests().split_off(seen);
            seen += requests.len();
            assert_eq!(ran, requests.len());
            let sum: u64 = requests.iter().map(micros).sum();
            assert_eq!(sum, max * MICROS, "millionths that reached the server");
            sums.push(requests.len());
        }
        println!(
            "{kind}: {repetitions} times {} calls, of which {sums:?} reached the server; the sum was {max}.000000 each time; \
             {:.0} s so far",
            plan.calls / CONNECTIONS * CONNECTIONS,
            started.elapsed().as_secs_f64()
        );
        crowd::check(&envoy);
    }
}
