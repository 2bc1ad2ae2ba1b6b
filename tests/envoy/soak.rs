//! Everything at once and for long: open event streams, calls, lists and refusals of every kind, restarts of the server
//! and reloads of the policy. Nothing hangs, nothing traps, no memory is lost, and each refusal is on record.
//!
//! `make e2e` runs a short one, `make soak` a long one, which prints its figures.

mod audit;
mod clients;
mod held;
mod server;
mod shapes;

use super::reload::Discovered;
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{Parts, scratch};
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::wait;
use clients::{Followed, Scene, Tally};
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
            wait::until("Envoy has refused the configuration", || updates(envoy, "update_rejected") == self.refused);
        }
        self.accepted += 1;
        let started = Instant::now();
        let is_second = self.accepted % 2 == 1;
        // None was there before: Envoy would take up a configuration that a stream still holds.
        let file = self.policies[usize::from(is_second)].replace("reload_0", &format!("reload_{}", self.accepted));
        self.discovered.exchange(&file);
        wait::until("Envoy has taken the configuration", || updates(envoy, "update_success") == self.accepted + 1);
        let absence = server.absence();
        wait::until("calls are judged by the policy", || {
            let response = envoy.connect().exchange(&Request::post(mcp::call("1", "turn")));
            assert!(response.status == 200 || absence.since(started), "{response:?}");
            response.text().contains("[POLICY DENIED]") == is_second
        });
        self.longest = self.longest.max(started.elapsed());
    }
}

/// How often Envoy did this with a configuration for the plugin.
fn updates(envoy: &Envoy, what: &str) -> usize {
    let stats = envoy.stats("extension_config_discovery");
    let counts = stats.iter().filter(|(name, _)| name.ends_with(&format!(".{what}"))).map(|(_, count)| *count as usize);
    counts.sum()
}

#[test]
fn nothing_hangs_traps_leaks_or_goes_unrecorded() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, plan) = ("soak", Plan::from_environment());
    let mut server = Server::start();
    let mut reloads = Reloads::new(name, &server);
    let envoy = Envoy::start(&parts, name, &reloads.discovered.envoy_file(&reloads.policies[0]));
    let scene = |is_over: &Arc<AtomicBool>| Scene {
        address: envoy.address,
        absence: server.absence(),
        is_over: Arc::clone(is_over),
    };

    let (calls_over, streams_over) = (Arc::default(), Arc::default());
    let followed = Arc::new(Followed::default());
    let mut followers = Vec::new();
    while followers.len() < plan.streams {
        followers.push(clients::follow(scene(&streams_over), Arc::clone(&followed)));
        if followers.len() % 50 == 0 {
            // No more at once than a listener's queue holds.
            wait::until("the streams are open", || server.streams() == followers.len());
        }
    }
    let callers: Vec<_> = (0..CALLERS).map(|caller| clients::call(scene(&calls_over), caller)).collect();

    let (started, mut samples, mut restarts) = (Instant::now(), Vec::new(), 0);
    let (vms_before, mut most_vms) = (vms(&envoy), 0);
    while started.elapsed().as_secs() < plan.seconds && !any_finished(&callers) && !any_finished(&followers) {
        let elapsed = started.elapsed().as_secs_f64();
        samples.push((elapsed, envoy.resident_memory_kib() as f64));
        most_vms = most_vms.max(vms(&envoy));
        // What is due by the next second.
        let share = (elapsed + 1.0) / plan.seconds as f64;
        while (reloads.accepted as f64) < (share * plan.reloads as f64).min(plan.reloads as f64).floor() {
            reloads.next(&envoy, &server);
        }
        if restarts < plan.restarts
            && elapsed * (plan.restarts + 1) as f64 >= ((restarts + 1) as u64 * plan.seconds) as f64
        {
            wait::until("all streams are open before a restart", || {
                server.streams() == plan.streams || any_finished(&followers)
            });
            server.restart();
            restarts += 1;
        }
        sleep(Duration::from_secs_f64(elapsed.floor() + 1.0).saturating_sub(started.elapsed()));
    }
    calls_over.store(true, Ordering::SeqCst);
    let tallies: Vec<Tally> =
        callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).collect();
    let seconds = started.elapsed().as_secs_f64();
    wait::until("all streams are open at the end", || server.streams() == plan.streams);
    streams_over.store(true, Ordering::SeqCst);
    followers.into_iter().for_each(|follower| follower.join().expect("a follower that ends well"));

    let table = shapes::shapes();
    let rules = audit::check(name, &tallies, &table);
    let mut outcomes = BTreeMap::<Outcome, usize>::new();
    tallies
        .iter()
        .flat_map(|tally| &tally.outcomes)
        .for_each(|(_, outcome)| *outcomes.entry(*outcome).or_default() += 1);
    let requests: usize = outcomes.values().sum();
    let longest = tallies.iter().map(|tally| tally.longest).max().unwrap_or_default();
    let second_half = &samples[samples.len() / 2..];
    let slope = slope(second_half);
    let per_second = requests as f64 / seconds;
    println!(
        "{requests} requests in {seconds:.0} s on {CALLERS} connections: {outcomes:?}; the longest took {longest:.1?}"
    );
    println!(
        "{} streams, {} events received, {} streams ended by {restarts} restarts and opened again",
        plan.streams,
        followed.events.load(Ordering::SeqCst),
        followed.ended.load(Ordering::SeqCst)
    );
    println!(
        "reloads: {} accepted, {} refused; in force after {:.1?} at most",
        reloads.accepted, reloads.refused, reloads.longest
    );
    let memory: Vec<String> =
        samples.iter().step_by((samples.len() / 10).max(1)).map(|(_, kib)| format!("{:.1}", kib / 1024.0)).collect();
    println!(
        "resident memory in MiB, over time: {}; slope over the second half: {slope:.1} KiB/s, {:.3} KiB per request, \
         {:.1} KiB per reload",
        memory.join(" "),
        slope / per_second,
        slope * plan.seconds as f64 / plan.reloads as f64
    );
    println!("VMs: {vms_before} before, {most_vms} at most; traps {}", envoy.traps());
    println!("refusals by rule, as clients were told = as records say:");
    rules.iter().for_each(|(rule, (told, recorded))| println!("  {told} = {recorded}  {rule}"));

    assert!(rules.values().all(|(told, recorded)| told == recorded));
    let within_budget =
        |(at, outcome): &&(usize, Outcome)| table[*at].name == shapes::BUDGETED && *outcome == Outcome::Ran;
    let budgeted = tallies.iter().flat_map(|tally| &tally.outcomes).filter(within_budget).count();
    let windows = usize::try_from(plan.seconds / 60 + 2).expect("some minutes");
    assert!(budgeted <= windows * shapes::BUDGET, "{budgeted} calls within the budget of {windows} minutes");
    assert_eq!(server.faults(), Vec::<String>::new(), "what was refused and yet reached the server");
    assert_eq!(envoy.traps(), 0);
    wait::until("VMs that only streams held are gone with them", || vms(&envoy) <= vms_before);
    assert_eq!((reloads.accepted, restarts), (plan.reloads, plan.restarts));
    assert!(longest < wait::DEADLINE);
    // In a short one memory is still being taken for the first time.
    assert!(!plan.is_long() || slope < LEAK_BOUND_KIB * per_second, "resident memory grows by {slope:.1} KiB/s");
}

/// How many VMs there are: one for each worker and two of the main thread, and those that were replaced but have streams.
fn vms(envoy: &Envoy) -> u64 {
    envoy.stat("wasm.envoy.wasm.runtime.v8.active")
}

fn any_finished<T>(threads: &[JoinHandle<T>]) -> bool {
    threads.iter().any(JoinHandle::is_finished)
}

/// The slope of the line through these points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    above / below
}
