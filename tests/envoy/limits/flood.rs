//! A million sessions that clients made up, and ten thousand reloads: memory stays within its bound, and counts that
//! stood before stand after.

use super::super::reload::Discovered;
use super::super::support::envoy::Envoy;
use super::super::support::http::Connection;
use super::super::support::mcp;
use super::super::support::parts::{PLUGIN, Parts, scratch};
use super::super::support::setup::exchange;
use super::super::support::upstream::{NOWHERE, Upstream};
use super::super::support::wait;
use super::crowd::{self, CONNECTIONS, WORKERS};
use super::{Plan, grant};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Points at which memory is looked at, and one more grant's counts are.
const POINTS: usize = 10;
/// What resident memory may grow by (`docs/limits.md`): all counts, and what Envoy's map and its allocator add to them.
const MOST_KIB: u64 = 48 * 1024;
/// Parts that the counts of sessions lie in, and how many of them each has places for.
const PARTS: (usize, usize) = (64, 256 * 32);
/// What each reload may take for good; a filter that does nothing takes more than 1 (Envoy's own).
const MOST_KIB_PER_RELOAD: f64 = 4.0;
/// Sessions of the first grant that have spent their calls before.
const SPENT: usize = 10;

/// Policies that differ in what they hide, and count the same.
fn configuration(flooding: usize, is_second: bool) -> (Value, Value) {
    let limit = |counter: &str, max: usize, scope: &str| json!({ "counter": counter, "window": "day", "max": max, "scope": scope });
    let policy = |limits: Value| {
        let hidden = if is_second { "second" } else { "first" };
        json!({ "version": "1", "default": "allow", "hide": [hidden], "all_tools": { "limits": limits } })
    };
    let policies = json!({
        "flood": policy(json!([limit("made-up", 1, "session")])),
        "kept": policy(json!([limit("own", 5, "grant"), limit("part", 4, "session")]))
    });
    let flooding = (0..flooding).map(|at| grant(&format!("f{at}"), "flood"));
    let kept = (0..=2 * POINTS).map(|at| grant(&format!("k{at}"), "kept"));
    (policies, flooding.chain(kept).collect())
}

/// Grants that have spent 3 of 5 calls, all in one session, which has 4.
struct Kept {
    connection: Connection,
    checked: usize,
}

impl Kept {
    fn begin(envoy: &Envoy) -> Self {
        let mut kept = Self { connection: envoy.connect(), checked: 0 };
        for at in 0..=2 * POINTS {
            assert_eq!([0; 3].map(|_| kept.runs(at, "one")), [true; 3]);
        }
        kept
    }

    fn runs(&mut self, at: usize, session: &str) -> bool {
        let body = mcp::call("1", "work");
        crowd::runs(&mut self.connection, &crowd::request(&format!("k{at}"), session, &body))
    }

    /// One more grant has exactly what it had left; the one before has nothing.
    fn check(&mut self) {
        let at = self.checked;
        let ran = ["one", "one", "two", "two", "three"].map(|session| self.runs(at, session));
        assert_eq!(ran, [true, false, true, false, false], "k{at} has one call left in its session, and two in all");
        assert!(at == 0 || !self.runs(at - 1, "four"), "k{} has none left", at - 1);
        self.checked += 1;
    }
}

/// A call in a session of the first grant that has spent its one call.
fn spent(session: usize) -> Vec<u8> {
    crowd::request("f0", &format!("spent-{session}"), &mcp::call("1", "work"))
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn list(samples: &[u64]) -> String {
    samples.iter().map(|kib| format!("{:.1}", mib(*kib))).collect::<Vec<_>>().join(" ")
}

/// Calls of each connection by so many sessions, each new, at each point; resident memory after each.
fn flood(envoy: &Envoy, kept: &mut Kept, flooding: usize, each: usize) -> (usize, Vec<u64>) {
    let (mut ran, mut memory) = (0, Vec::new());
    for point in 0..POINTS {
        ran += crowd::call(envoy, each * CONNECTIONS, move |caller, call| {
            let session = (point * CONNECTIONS + caller) * each + call;
            crowd::request(&format!("f{}", session % flooding), &format!("s{session}"), &mcp::call("1", "work"))
        });
        memory.push(envoy.resident_memory_kib());
        kept.check();
    }
    (ran, memory)
}

fn updates(envoy: &Envoy, what: &str) -> usize {
    let stats = envoy.stats("extension_config_discovery");
    let counts = stats.iter().filter(|(name, _)| name.ends_with(&format!(".{what}"))).map(|(_, count)| *count as usize);
    counts.sum()
}

/// So many reloads, each accepted before the next; resident memory at each point, after `check` of its reload.
fn reload(
    envoy: &Envoy,
    discovered: &Discovered,
    files: &[String; 2],
    count: usize,
    mut check: impl FnMut(usize, bool),
) -> Vec<u64> {
    let mut memory = Vec::new();
    for reload in 1..=count {
        discovered.exchange(&files[reload % 2]);
        wait::until("Envoy has taken the configuration", || updates(envoy, "update_success") == reload + 1);
        let is_point = reload % (count / POINTS) == 0;
        check(reload, is_point);
        if is_point {
            memory.push(envoy.resident_memory_kib());
        }
    }
    memory
}

/// What each reload took of memory over the second half, in KiB: at first buffers and heaps still grow.
fn per_reload(memory: &[u64], count: usize) -> f64 {
    memory[POINTS - 1].saturating_sub(memory[POINTS / 2 - 1]) as f64 / (count / 2) as f64
}

#[test]
fn sessions_and_reloads_without_number_take_bounded_memory_and_no_count() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, plan) = ("limits-flood", Plan::from_environment());
    let upstream = Upstream::running_and_forgetting_every_call();
    let discovered = Discovered { watched: scratch(&format!("{name}.ecds.yaml")) };
    let files =
        [false, true].map(|is_second| crowd::file(name, configuration(plan.flooding, is_second), upstream.address));
    wait::for_room_in(86_400, Duration::from_secs(if plan.is_full { 3600 } else { 120 }));
    let envoy = Envoy::start_with(&parts, name, &discovered.envoy_file(&files[0]), WORKERS);
    let mut kept = Kept::begin(&envoy);
    // What Envoy and the VMs take for the first calls of all is not for counts: these have few sessions.
    let ran = crowd::call(&envoy, plan.sessions / 20, |caller, call| spent((caller + call) % SPENT));
    assert_eq!(ran, SPENT);

    let (started, before) = (Instant::now(), envoy.resident_memory_kib());
    let each = plan.sessions.div_ceil(POINTS * CONNECTIONS);
    let (ran, memory) = flood(&envoy, &mut kept, plan.flooding, each);
    println!(
        "{} distinct sessions of {} grants in {:.0} s, {ran} calls let through; resident memory in MiB: {:.1} before, \
         {} at each tenth",
        each * POINTS * CONNECTIONS,
        plan.flooding,
        started.elapsed().as_secs_f64(),
        mib(before),
        list(&memory)
    );
    // Beside those that have a place, each grant has one count for all the rest.
    let most = plan.flooding.min(PARTS.0) * PARTS.1 + plan.flooding;
    assert!(ran <= most, "{ran} calls let through");
    for session in 0..SPENT {
        assert!(!crowd::runs(&mut envoy.connect(), &spent(session)), "session {session} had spent its call before");
    }
    let after = memory[POINTS - 1];
    println!(
        "it grew by {:.1} MiB, and by {:.1} over the last tenth",
        mib(after - before),
        mib(after - memory[POINTS - 2])
    );
    assert!(after - before <= MOST_KIB, "resident memory grew by {} KiB", after - before);
    // A small edition fills too few places to tell.
    let (first, last) = (memory[0].saturating_sub(before), after - memory[POINTS - 2]);
    assert!(!plan.is_full || last < first / 2, "{first} KiB over the first tenth, {last} over the last");

    let started = Instant::now();
    let mut connections: Vec<_> = (0..2 * WORKERS).map(|_| envoy.connect()).collect();
    let memory = reload(&envoy, &discovered, &files, plan.reloads, |reload, is_point| {
        let connection = reload % connections.len();
        assert!(!crowd::runs(&mut connections[connection], &spent(reload % SPENT)), "its session has none left");
        if is_point {
            kept.check();
        }
    });
    println!(
        "{} reloads accepted, {} refused, in {:.0} s; resident memory in MiB: {:.1} before, {} at each tenth; {} VMs",
        updates(&envoy, "update_success") - 1,
        updates(&envoy, "update_rejected"),
        started.elapsed().as_secs_f64(),
        mib(after),
        list(&memory),
        envoy.stat("wasm.envoy.wasm.runtime.v8.active")
    );
    let each = per_reload(&memory, plan.reloads);
    println!("over the second half it grew by {each:.2} KiB per reload");
    assert!(!plan.is_full || each < MOST_KIB_PER_RELOAD, "{each:.2} KiB per reload");
    kept.check();
    crowd::check(&envoy);
}

/// What of a reload's memory is Envoy's own.
#[test]
fn reloads_of_a_filter_that_does_nothing_take_memory_too() {
    const DO_NOTHING: &str = "target/wasm32-wasip1/release/examples/do_nothing.wasm";
    let plan = Plan::from_environment();
    // It is built for the full edition alone.
    let Some(parts) = plan.is_full.then(|| Parts::with(&[DO_NOTHING])).flatten() else { return };
    let name = "limits-do-nothing";
    let discovered = Discovered { watched: scratch(&format!("{name}.ecds.yaml")) };
    let files = [false, true].map(|is_second| {
        let file = crowd::file(name, configuration(plan.flooding, is_second), NOWHERE);
        exchange(&file, PLUGIN, DO_NOTHING)
    });
    let envoy = Envoy::start_with(&parts, name, &discovered.envoy_file(&files[0]), WORKERS);
    let before = envoy.resident_memory_kib();
    let memory = reload(&envoy, &discovered, &files, plan.reloads, |_, _| {});
    println!(
        "{} reloads of a filter that does nothing; resident memory in MiB: {:.1} before, {} at each tenth; {:.2} KiB per \
         reload over the second half",
        updates(&envoy, "update_success") - 1,
        mib(before),
        list(&memory),
        per_reload(&memory, plan.reloads)
    );
}
