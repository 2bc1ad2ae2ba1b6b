//! Three limits of a call at once, in several scopes: exactly the maximum reaches the server, from the first use on.

use super::super::load::{at_once, meet};
use super::super::support::http::Connection;
use super::super::support::mcp;
use super::super::support::parts::Parts;
use super::super::support::upstream::{Received, Upstream};
use super::super::support::wait;
use super::crowd::{self, CONNECTIONS};
use super::{Plan, apart, within};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// Tools that are called in turn.
const TOOLS: usize = 50;

/// Three limits, and who calls what.
struct Arrangement {
    name: &'static str,
    limits: Value,
    /// The session of a connection.
    session: fn(usize) -> usize,
    /// The most that one session, and one tool, may be let through.
    most: (usize, usize),
}

fn limit(counter: &str, scope: Value, max: usize) -> Value {
    json!({ "counter": counter, "window": "day", "max": max, "scope": scope })
}

/// Each lets exactly `max` calls through.
fn arrangements(max: usize) -> Vec<Arrangement> {
    let ample = 100 * max;
    let shares = (max / CONNECTIONS + 1, max / TOOLS);
    let three = |global, grant, (scope, third): (Value, usize)| {
        json!([limit("all", json!("global"), global), limit("own", json!("grant"), grant), limit("part", scope, third)])
    };
    let [session, tool] = [json!("session"), json!(["grant", "tool"])];
    vec![
        Arrangement {
            name: "global",
            limits: three(max, ample, (session.clone(), ample)),
            session: |caller| caller,
            most: (max, max),
        },
        Arrangement {
            name: "grant",
            limits: three(ample, max, (tool.clone(), ample)),
            session: |caller| caller,
            most: (max, max),
        },
        Arrangement {
            name: "session",
            limits: three(ample, ample, (session.clone(), max)),
            session: |_| 0,
            most: (max, max),
        },
        Arrangement {
            name: "global and grant",
            limits: three(max, max, (json!(["session", "tool"]), ample)),
            session: |caller| caller,
            most: (max, max),
        },
        Arrangement {
            name: "grant and session",
            limits: three(ample, max, (session, shares.0)),
            session: |caller| caller,
            most: (shares.0, max),
        },
        Arrangement {
            name: "grant and tool",
            limits: three(ample, max, (tool, shares.1)),
            session: |caller| caller,
            most: (max, shares.1),
        },
    ]
}

/// The largest number of requests that have the same of what `of` says.
fn largest(requests: &[Received], of: impl Fn(&Received) -> String) -> usize {
    let mut counts = BTreeMap::<String, usize>::new();
    requests.iter().for_each(|request| *counts.entry(of(request)).or_default() += 1);
    counts.into_values().max().unwrap_or_default()
}

/// The tool that a body calls.
fn tool(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    body["params"]["name"].to_string()
}

#[test]
fn three_scopes_at_once_let_exactly_the_maximum_through() {
    let Some(parts) = Parts::gateway() else { return };
    let plan = Plan::from_environment();
    let (mut calls, mut repetitions, started) = (0, 0, Instant::now());
    for (at, arrangement) in arrangements(plan.max()).into_iter().enumerate() {
        let upstream = Upstream::running_every_call();
        let name = format!("limits-exact-{at}");
        let envoy = crowd::start(&parts, &name, apart(plan.repetitions, &within(arrangement.limits)), &upstream);
        let mut seen = 0;
        for repetition in 0..plan.repetitions {
            wait::for_room_in(86_400, Duration::from_secs(300));
            let (begun, session) = (Instant::now(), arrangement.session);
            let ran = crowd::call(&envoy, plan.calls, move |caller, call| {
                let body = mcp::call("1", &format!("tool-{}", (caller + call) % TOOLS));
                crowd::request(&format!("g{repetition}"), &format!("s{}", session(caller)), &body)
            });
            let made = plan.calls / CONNECTIONS * CONNECTIONS;
            let requests = upstream.requests().split_off(seen);
            seen += requests.len();
            let (in_session, of_tool) =
                (largest(&requests, |request| request.header("mcp-session-id")), largest(&requests, tool));
            println!(
                "{}, repetition {repetition}: {} of {made} calls reached the server, at most {in_session} in a session, \
                 {of_tool} of a tool, in {:.1} s",
                arrangement.name,
                requests.len(),
                begun.elapsed().as_secs_f64()
            );
            assert_eq!((ran, requests.len()), (plan.max(), plan.max()), "{}", arrangement.name);
            assert!(in_session <= arrangement.most.0 && of_tool <= arrangement.most.1, "{}", arrangement.name);
            calls += made;
            repetitions += 1;
        }
        assert_eq!(envoy.stat("cluster.mcp_server.upstream_rq_total"), seen as u64, "calls that Envoy sent on");
        crowd::check(&envoy);
    }
    println!(
        "{repetitions} repetitions, {calls} calls over {CONNECTIONS} connections in {:.0} s, exactly {} let through in each",
        started.elapsed().as_secs_f64(),
        plan.max()
    );
}

/// A counter that does not exist yet is a case of its own in the host's compare-and-swap.
#[test]
fn of_the_first_calls_of_everybody_exactly_the_maximum_passes() {
    let Some(parts) = Parts::gateway() else { return };
    let plan = Plan::from_environment();
    wait::for_room_in(86_400, Duration::from_secs(600));
    for max in [1, CONNECTIONS / 2] {
        let upstream = Upstream::running_and_forgetting_every_call();
        let name = format!("limits-first-{max}");
        let limits = json!([
            limit("all", json!("global"), 1_000_000),
            limit("own", json!("grant"), 1_000_000),
            limit("part", json!("session"), max)
        ]);
        let envoy = crowd::start(&parts, &name, apart(1, &within(limits)), &upstream);
        let (address, arrived, first_uses) = (envoy.address, AtomicUsize::new(0), plan.first_uses);
        let (started, expected) = (Instant::now(), max * first_uses);
        let ran = at_once(CONNECTIONS, move |_| {
            let mut connection = Connection::open(address);
            let mut first = |round: usize| {
                let request = crowd::request("g0", &format!("s{round}"), &mcp::call("1", "work"));
                meet(&arrived, (round + 1) * CONNECTIONS);
                crowd::runs(&mut connection, &request)
            };
            (0..first_uses).filter(|round| first(*round)).count()
        });
        assert_eq!((ran, upstream.count()), (expected, expected), "{max} for each session");
        println!(
            "{first_uses} first uses by {CONNECTIONS} connections at once: {ran} calls let through, {max} each, in {:.1} s",
            started.elapsed().as_secs_f64()
        );
        crowd::check(&envoy);
    }
}
