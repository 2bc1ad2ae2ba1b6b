//! Everything at once and for long: open event streams, calls, lists and refusals of every kind, restarts of the server
//! and reloads of the policy. Nothing hangs, nothing traps, no memory is lost, and each refusal is on record.
//!
//! `make e2e` runs a short one, `make soak` a long one, which prints its figures.

mod audit;
mod clients;
mod held;
mod memory;
mod server;
mod shapes;

use super::reload::{Discovered, updates};
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{Parts, scratch};
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::wait;
use clients::{Followed, Scene, Tally};
use memory::Memory;
use serde_json::Value;
use server::Server;
use shapes::Outcome;
use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const CALLERS: usize = 8;
/// Good reloads for each faulty one.
const RELOADS_PER_FAULT: usize = 10;
/// What of a request, at most, may stay in memory, in KiB: a leak of 1 KiB per request fails.
const LEAK_BOUND_KIB: f64 = 0.5;

struct Plan {
    seconds: u64,
    streams: usize,
    reloads: usize,
    restarts: usize,
}

impl Plan {
    /// A long one of as many seconds as the environment says, or a short one.
    fn from_environment() -> Self {
        match env::var("MCP_POLICY_SOAK_SECONDS") {
            Ok(seconds) => {
                let seconds = seconds.parse().expect("MCP_POLICY_SOAK_SECONDS is a number of seconds");
                Self { seconds, streams: 1000, reloads: 200, restarts: 5 }
            }
            Err(_) => Self { seconds: 10, streams: 50, reloads: 5, restarts: 1 },
        }
    }

    fn is_long(&self) -> bool {
        self.seconds >= 60
    }
}

/// The Envoy file for a policy, with room for every stream of a soak, and with the ids of requests as clients say them.
fn envoy_file(name: &str, policy: &Value, server: &Server) -> String {
    let setup = shapes::settings().into_iter().fold(Setup::new(policy), |setup, (name, value)| setup.with(name, value));
    setup
        .edit(
            "connect_timeout: 5s",
            "connect_timeout: 5s\n    circuit_breakers: { thresholds: [{ max_connections: 8192, max_requests: 8192 }] }",
        )
        .edit("generate_request_id: true", "generate_request_id: true\n          preserve_external_request_id: true")
        .render(name, server.address)
}

/// The file that Envoy watches, and what was put there.
struct Reloads {
    discovered: Discovered,
    policies: [String; 2],
    faulty: String,
    accepted: usize,
    refused: usize,
    /// The longest from the exchange of the file until calls were judged by it.
    longest: Duration,
}

impl Reloads {
    fn new(name: &str, server: &Server) -> Self {
        Self {
            discovered: Discovered { watched: scratch(&format!("{name}.ecds.yaml")) },
            policies: [false, true].map(|is_second| envoy_file(name, &shapes::policy(is_second), server)),
            faulty: shapes::with_faulty(&envoy_file(name, &shapes::policy(false), server)),
            accepted: 0,
            refused: 0,
            longest: Duration::ZERO,
        }
    }

    /// One more, and now and then a faulty one before it.
    fn next(&mut self, envoy: &Envoy, server: &Server) {
        if self.accepted % RELOADS_PER_FAULT == RELOADS_PER_FAULT / 2 - 1 {
            self.discovered.exchange(&self.faulty);
            self.refused += 1;
            wait::until("Envoy has refused the configuration", || updates(envoy, "rejected") == self.refused);
        }
        self.accepted += 1;
        let started = Instant::now();
        let is_second = self.accepted % 2 == 1;
        // None was there before: Envoy would take up a configuration that a stream still holds.
        let file = self.policies[usize::from(is_second)].replace("reload_0", &format!("reload_{}", self.accepted));
        self.discovered.exchange(&file);
        wait::until("Envoy has taken the configuration", || updates(envoy, "success") == self.accepted + 1);
        let absence = server.absence();
        wait::until("calls are judged by the policy", || {
            let response = envoy.connect().exchange(&Request::post(mcp::call("1", "turn")));
            assert!(response.status == 200 || absence.since(started), "{response:?}");
            response.text().contains("[POLICY DENIED]") == is_second
        });
        self.longest = self.longest.max(started.elapsed());
    }
}

/// What one soak did, and saw while it did.
#[derive(Default)]
struct Course {
    seconds: f64,
    restarts: usize,
    memory: Memory,
    most_vms: u64,
}

/// Reloads and restarts, each when it is due; ends early when `is_broken`.
fn run(plan: &Plan, envoy: &Envoy, server: &mut Server, reloads: &mut Reloads, is_broken: impl Fn() -> bool) -> Course {
    let (started, mut course) = (Instant::now(), Course::default());
    let (seconds, restarts) = (plan.seconds as f64, plan.restarts as f64);
    while course.seconds < seconds && !is_broken() {
        course.memory.add(course.seconds, envoy.resident_memory_kib());
        course.most_vms = course.most_vms.max(vms(envoy));
        // What is due by the next second.
        let due = ((course.seconds + 1.0) / seconds * plan.reloads as f64) as usize;
        while reloads.accepted < due.min(plan.reloads) {
            reloads.next(envoy, server);
        }
        if course.restarts < (course.seconds / seconds * (restarts + 1.0)) as usize {
            let is_open = || server.streams() == plan.streams || is_broken();
            wait::until("all streams are open before a restart", is_open);
            server.restart();
            course.restarts += 1;
        }
        sleep(Duration::from_secs_f64(course.seconds.floor() + 1.0).saturating_sub(started.elapsed()));
        course.seconds = started.elapsed().as_secs_f64();
    }
    while reloads.accepted < plan.reloads && !is_broken() {
        reloads.next(envoy, server);
    }
    course
}

#[test]
fn nothing_hangs_traps_leaks_or_goes_unrecorded() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, plan) = ("soak", Plan::from_environment());
    let mut server = Server::start();
    let mut reloads = Reloads::new(name, &server);
    let envoy = Envoy::start(&parts, name, &reloads.discovered.envoy_file(&reloads.policies[0]));
    let (calls_over, streams_over) = (Arc::default(), Arc::default());
    let absence = server.absence();
    let scene = |is_over: &Arc<AtomicBool>| Scene {
        address: envoy.address,
        absence: absence.clone(),
        is_over: Arc::clone(is_over),
    };
    let followed = Arc::new(Followed::default());
    let mut followers = Vec::new();
    while followers.len() < plan.streams {
        followers.push(clients::follow(scene(&streams_over), Arc::clone(&followed)));
        if followers.len().is_multiple_of(50) {
            // No more at once than a listener's queue holds.
            wait::until("the streams are open", || server.streams() == followers.len());
        }
    }
    let vms_before = vms(&envoy);
    let callers: Vec<_> = (0..CALLERS).map(|caller| clients::call(scene(&calls_over), caller)).collect();
    let is_broken = || any_finished(&callers) || any_finished(&followers);
    let course = run(&plan, &envoy, &mut server, &mut reloads, is_broken);
    calls_over.store(true, Ordering::SeqCst);
    let callers = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well"));
    let tallies: Vec<Tally> = callers.collect();
    let is_open = || server.streams() == plan.streams || any_finished(&followers);
    wait::until("all streams are open at the end", is_open);
    streams_over.store(true, Ordering::SeqCst);
    followers.into_iter().for_each(|follower| follower.join().expect("a follower that ends well"));

    let mut outcomes = BTreeMap::<Outcome, usize>::new();
    for (_, outcome) in tallies.iter().flat_map(|tally| &tally.outcomes) {
        *outcomes.entry(*outcome).or_default() += 1;
    }
    let requests: usize = outcomes.values().sum();
    let per_second = requests as f64 / course.seconds;
    let longest = tallies.iter().map(|tally| tally.longest).max().unwrap_or_default();
    println!("{requests} requests in {:.0} s on {CALLERS} connections: {outcomes:?}", course.seconds);
    println!("the longest request took {longest:.1?}");
    let (events, ended) = (followed.events.load(Ordering::SeqCst), followed.ended.load(Ordering::SeqCst));
    println!("{} streams: {events} events came; {ended} ends and reopenings", plan.streams);
    println!("{} restarts of the server", course.restarts);
    println!("{} reloads accepted, {} refused", reloads.accepted, reloads.refused);
    println!("a reload was in force after {:.1?} at most", reloads.longest);
    let slope = course.memory.slope();
    println!("resident memory in MiB: {}", course.memory.summary());
    println!(
        "it grows by {slope:.2} KiB/s in the second half: {:.3} KiB per request, {:.1} KiB per reload",
        slope / per_second,
        slope * course.seconds / plan.reloads as f64
    );
    println!("VMs: {vms_before} before, {} at most; {} traps", course.most_vms, envoy.traps());

    let table = shapes::shapes();
    let rules = audit::check(name, &tallies, &table);
    println!("refusals by rule, as clients were told = as records say:");
    rules.iter().for_each(|(rule, (told, recorded))| println!("  {told} = {recorded}  {rule}"));
    assert!(rules.values().all(|(told, recorded)| told == recorded));
    let is_budgeted =
        |(at, outcome): &&(usize, Outcome)| table[*at].name == shapes::BUDGETED && *outcome == Outcome::Ran;
    let budgeted = tallies.iter().flat_map(|tally| &tally.outcomes).filter(is_budgeted).count();
    let minutes = course.seconds as usize / 60 + 2;
    assert!(budgeted <= minutes * shapes::BUDGET, "{budgeted} calls within the budget of {minutes} minutes");
    assert_eq!(server.faults(), Vec::<String>::new(), "what was refused and yet reached the server");
    assert_eq!(envoy.traps(), 0);
    wait::until("no VM is left over", || vms(&envoy) <= vms_before);
    assert_eq!((reloads.accepted, course.restarts), (plan.reloads, plan.restarts));
    assert!(longest < wait::DEADLINE);
    // In a short one memory is still being taken for the first time.
    assert!(!plan.is_long() || slope < LEAK_BOUND_KIB * per_second, "resident memory grows by {slope:.1} KiB/s");
}

/// How many VMs there are, on all threads.
fn vms(envoy: &Envoy) -> u64 {
    envoy.stat("wasm.envoy.wasm.runtime.v8.active")
}

fn any_finished<T>(threads: &[JoinHandle<T>]) -> bool {
    threads.iter().any(JoinHandle::is_finished)
}
