//! Two proxies that share a service which dies under load, and its Redis: never more than the maximum is let through by
//! count, what is not counted fares as `on_failure` says, and all is well again without anybody's doing.

use super::super::support::envoy::Envoy;
use super::super::support::http::Connection;
use super::super::support::mcp;
use super::super::support::parts::Parts;
use super::super::support::ratelimit::{self, CLUSTER, DOMAIN, RateLimit};
use super::super::support::request::Request;
use super::super::support::setup::Setup;
use super::super::support::upstream::Upstream;
use super::super::support::wait;
use super::crowd::{CONNECTIONS, QUIET};
use super::{Plan, within};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PROXIES: usize = 2;
const LEASE: usize = 50;
/// The outages in each run: of the service, of Redis, and of the service when the maximum is reached.
const OUTAGES: usize = 3;

/// Calls of each connection between two looks, and the most looks.
const ROUND: usize = 2;
const MOST_ROUNDS: usize = 10_000;

/// In the line of Envoy's log for a call that goes on without the service's count.
const WENT_ON: &str = "because the rate limit service did not count them";

/// What came of a call.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Ran,
    Limited,
    NotCounted,
}

/// Whether the service counts. Its number, modulo four, is what callers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It does, and every call is counted.
    Steady,
    /// It may or may not.
    Falling,
    /// It is gone.
    Away,
    /// It may or may not.
    Rising,
}

const PHASES: [Phase; 4] = [Phase::Steady, Phase::Falling, Phase::Away, Phase::Rising];

/// What callers tell while they call.
#[derive(Default)]
struct Shared {
    turn: AtomicUsize,
    is_over: AtomicUsize,
    /// Calls by connection.
    calls: Vec<AtomicUsize>,
    /// By proxy and outcome.
    outcomes: [[AtomicUsize; 3]; PROXIES],
    /// The same of the calls that began and ended in one phase.
    steady: [[AtomicUsize; 3]; PROXIES],
    away: [[AtomicUsize; 3]; PROXIES],
}

fn load(counts: &[[AtomicUsize; 3]; PROXIES]) -> [[usize; 3]; PROXIES] {
    counts.each_ref().map(|proxy| proxy.each_ref().map(|count| count.load(Ordering::SeqCst)))
}

impl Shared {
    fn call(&self, address: SocketAddr, caller: usize) {
        let (mut connection, proxy) = (Connection::open(address), caller % PROXIES);
        let request = Request::post(mcp::call("1", "work")).bytes();
        while self.is_over.load(Ordering::SeqCst) == 0 {
            let turn = self.turn.load(Ordering::SeqCst);
            let outcome = outcome(&mut connection, &request) as usize;
            self.outcomes[proxy][outcome].fetch_add(1, Ordering::SeqCst);
            if turn == self.turn.load(Ordering::SeqCst) {
                match PHASES[turn % 4] {
                    Phase::Steady => _ = self.steady[proxy][outcome].fetch_add(1, Ordering::SeqCst),
                    Phase::Away => _ = self.away[proxy][outcome].fetch_add(1, Ordering::SeqCst),
                    Phase::Falling | Phase::Rising => {}
                }
            }
            self.calls[caller].fetch_add(1, Ordering::SeqCst);
        }
    }

    fn turn_to(&self, phase: Phase) {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(PHASES[turn % 4], phase);
    }
}

fn outcome(connection: &mut Connection, request: &[u8]) -> Outcome {
    connection.send(request);
    let response = connection.response();
    let text = response.text();
    if text.contains(r#""text":"ran""#) {
        Outcome::Ran
    } else if text.contains("[POLICY DENIED] Rate limit of ") {
        Outcome::Limited
    } else {
        assert!(text.contains("[POLICY DENIED] Rate limit could not be checked. Try again later."), "{response:?}");
        Outcome::NotCounted
    }
}

/// Two proxies under load, and what they share.
struct Scene {
    service: RateLimit,
    upstream: Upstream,
    proxies: [Envoy; PROXIES],
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

impl Scene {
    fn start(parts: &Parts, name: &str, max: usize, on_failure: &str, lease: Option<usize>) -> Self {
        let service = RateLimit::start_lasting(parts, name);
        let upstream = Upstream::running_and_forgetting_every_call();
        let mut limits = json!({
            "store": "rate_limit_service", "cluster": CLUSTER, "domain": DOMAIN, "timeout_ms": 2000,
            "on_failure": on_failure
        });
        if let Some(lease) = lease {
            limits["lease"] = json!(lease);
        }
        let policy = within(json!([{ "counter": "calls", "window": "day", "max": max, "scope": "global" }]));
        let proxies = ["a", "b"].map(|proxy| {
            let name = format!("{name}-{proxy}");
            let setup = Setup::new(&policy).with("limits", limits.clone()).edit(QUIET.0, QUIET.1);
            let file = setup.render(&name, upstream.address);
            Envoy::start(parts, &name, &ratelimit::cluster(&file, service.address))
        });
        let calls = (0..CONNECTIONS).map(|_| AtomicUsize::default()).collect();
        let shared = Arc::new(Shared { calls, ..Shared::default() });
        let callers = (0..CONNECTIONS)
            .map(|caller| {
                let (shared, address) = (Arc::clone(&shared), proxies[caller % PROXIES].address);
                thread::spawn(move || shared.call(address, caller))
            })
            .collect();
        Self { service, upstream, proxies, shared, callers }
    }

    /// Lets the callers call on until `is_so`: not for a time, because a busy machine makes few calls in it.
    fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..MOST_ROUNDS {
            if is_so() {
                return;
            }
            self.more_calls(ROUND);
        }
        panic!("not after {MOST_ROUNDS} times {ROUND} calls of each: {what}");
    }

    /// Until each caller has ended so many calls that it began after now.
    fn more_calls(&self, count: usize) {
        let calls = || -> Vec<usize> { self.shared.calls.iter().map(|calls| calls.load(Ordering::SeqCst)).collect() };
        let before = calls();
        // The one that is under way now does not count.
        wait::until("all call on", || {
            assert!(!self.callers.iter().any(JoinHandle::is_finished), "a caller has ended");
            calls().iter().zip(&before).all(|(now, before)| *now > *before + count)
        });
    }

    /// By proxy, how many calls went on uncounted, by Envoy's log.
    fn went_on(&self) -> [usize; PROXIES] {
        self.proxies.each_ref().map(|proxy| proxy.log().lines().filter(|line| line.contains(WENT_ON)).count())
    }

    /// How many calls the service did not count so far.
    fn uncounted(&self) -> usize {
        let refused = load(&self.shared.outcomes).map(|proxy| proxy[Outcome::NotCounted as usize]);
        refused.iter().chain(&self.went_on()).sum()
    }

    /// Has something die until each caller has made so many calls without it and `is_enough`, and starts it again; how
    /// long it was until all calls were counted.
    fn outage(
        &mut self,
        stop: fn(&mut RateLimit),
        start: fn(&mut RateLimit),
        calls: usize,
        is_enough: impl Fn(&Shared) -> bool,
    ) -> Duration {
        self.shared.turn_to(Phase::Falling);
        stop(&mut self.service);
        self.shared.turn_to(Phase::Away);
        self.more_calls(calls);
        self.until("enough calls without the service", || is_enough(&self.shared));
        self.shared.turn_to(Phase::Rising);
        start(&mut self.service);
        let (started, mut before) = (Instant::now(), self.uncounted());
        loop {
            let tried = started.elapsed();
            self.more_calls(ROUND);
            let now = self.uncounted();
            if now == before {
                self.shared.turn_to(Phase::Steady);
                self.more_calls(10);
                assert_eq!(self.uncounted(), now, "all is counted now");
                return tried;
            }
            before = now;
            assert!(tried < wait::DEADLINE, "calls are not counted again");
        }
    }

    /// Until both proxies refuse calls for want of room.
    fn reach_the_maximum(&self) {
        let limited = || load(&self.shared.outcomes).map(|proxy| proxy[Outcome::Limited as usize]);
        let before = limited();
        self.until("the maximum is reached", || limited().iter().zip(before).all(|(now, before)| *now > before + 100));
    }

    fn end(&mut self) {
        self.shared.is_over.store(1, Ordering::SeqCst);
        self.callers.drain(..).for_each(|caller| caller.join().expect("a caller that ends well"));
        for proxy in &self.proxies {
            wait::until("every call is logged", || proxy.stat("http.mcp.downstream_rq_active") == 0);
        }
    }
}

#[allow(clippy::print_stdout, reason = "the figures of the full edition")]
fn survive(parts: &Parts, plan: &Plan, on_failure: &str, lease: Option<usize>) {
    let name = format!("limits-outages-{on_failure}-{}", lease.unwrap_or(0));
    let started = Instant::now();
    let max = plan.shared_max;
    let mut scene = Scene::start(parts, &name, max, on_failure, lease);
    let upstream = &scene.upstream;
    wait::until("calls run", || upstream.count() > max / 10);
    let anything = |_: &Shared| true;
    let service = scene.outage(RateLimit::stop_service, RateLimit::start_service, plan.through, anything);
    // Without Redis each call takes as long as the service waits for it.
    let redis = scene.outage(RateLimit::stop_redis, RateLimit::start_redis, 2, anything);
    scene.reach_the_maximum();
    let exhausted = |shared: &Shared| load(&shared.away).iter().all(|proxy| proxy[Outcome::Limited as usize] > 10);
    let full = match on_failure {
        "local" => scene.outage(RateLimit::stop_service, RateLimit::start_service, plan.through, exhausted),
        _ => scene.outage(RateLimit::stop_service, RateLimit::start_service, plan.through, anything),
    };
    scene.end();

    let sum = |counts: [[usize; 3]; PROXIES]| [0, 1, 2].map(|outcome| counts.iter().map(|proxy| proxy[outcome]).sum());
    let [ran, limited, not_counted]: [usize; 3] = sum(load(&scene.shared.outcomes));
    let [away_ran, away_limited, away_not_counted]: [usize; 3] = sum(load(&scene.shared.away));
    let [_, _, steady_not_counted]: [usize; 3] = sum(load(&scene.shared.steady));
    let (went_on, counted) = (scene.went_on(), scene.service.counted() as usize);
    let by_count = ran - went_on.iter().sum::<usize>();
    println!(
        "on_failure {on_failure}, lease {lease:?}, max {max}: {} calls, {ran} ran: {by_count} by count, and {went_on:?} without; \
         {limited} found no room, {not_counted} were refused uncounted; the service counted {counted}; in {:.1} s",
        ran + limited + not_counted,
        started.elapsed().as_secs_f64()
    );
    println!(
        "  without the service or Redis {away_ran} ran, {away_limited} found no room, {away_not_counted} were refused \
         uncounted; all counted again after {:.2?} (service), {:.2?} (Redis), {:.2?} (service, maximum reached)",
        service, redis, full
    );
    assert_eq!(scene.upstream.count(), ran, "what reached the server");
    assert!(by_count <= max && by_count <= counted, "{by_count} of {max} by count, {counted} counted");
    // Lost are hits whose answer was under way when the service died, and what blocks held when the maximum was reached.
    let lost = OUTAGES * CONNECTIONS + lease.map_or(0, |lease| (OUTAGES + 1) * PROXIES * lease);
    assert!(by_count + lost >= max, "{by_count} of {max}");
    assert_eq!(steady_not_counted, 0, "while the service is there");
    match on_failure {
        "deny" => {
            assert_eq!((went_on, away_limited), ([0; PROXIES], 0));
            // What is left of a block is spent.
            let left = OUTAGES * PROXIES * lease.unwrap_or(0);
            assert!(away_ran <= left, "{away_ran} ran without the service");
        }
        "local" => assert_eq!((went_on, not_counted), ([max; PROXIES], 0), "each proxy's own maximum"),
        _ => assert_eq!((away_limited, not_counted), (0, 0)),
    }
    assert!(away_ran + away_limited + away_not_counted > 0);
    for proxy in &scene.proxies {
        let (mut connection, request) = (proxy.connect(), Request::post(mcp::call("1", "work")).bytes());
        assert!(matches!(outcome(&mut connection, &request), Outcome::Limited), "counted again, and full");
        assert_eq!(proxy.traps(), 0);
    }
}

/// With a lease and without in the full edition; in a small one as `is_leased` says.
fn survive_each(on_failure: &str, is_leased: bool) {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let plan = Plan::from_environment();
    for lease in [None, Some(LEASE)] {
        if plan.is_full || lease.is_some() == is_leased {
            wait::for_room_in(86_400, Duration::from_secs(300));
            survive(&parts, &plan, on_failure, lease);
        }
    }
}

#[test]
fn two_proxies_under_load_let_the_maximum_through_and_no_more() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let max = Plan::from_environment().shared_max;
    for lease in [None, Some(LEASE)] {
        wait::for_room_in(86_400, Duration::from_secs(300));
        let name = format!("limits-shared-{}", lease.unwrap_or(0));
        let mut scene = Scene::start(&parts, &name, max, "deny", lease);
        scene.reach_the_maximum();
        scene.end();
        let outcomes = load(&scene.shared.outcomes);
        let ran: usize = outcomes.iter().map(|proxy| proxy[Outcome::Ran as usize]).sum();
        println!(
            "two proxies, lease {lease:?}, max {max}: {ran} ran, {outcomes:?} by proxy (ran, no room, not counted)"
        );
        assert_eq!(scene.upstream.count(), ran, "what reached the server");
        // What the last blocks of each proxy held when the other one reached the maximum is lost.
        let lost = lease.map_or(0, |lease| 2 * PROXIES * lease);
        assert!((max - lost..=max).contains(&ran), "{ran} of {max}");
    }
}

#[test]
fn of_two_proxies_whose_service_dies_none_lets_a_call_pass_uncounted() {
    survive_each("deny", true);
}

#[test]
fn of_two_proxies_whose_service_dies_each_lets_its_own_maximum_pass_besides() {
    survive_each("local", false);
}

#[test]
fn of_two_proxies_whose_service_dies_all_that_pass_uncounted_are_logged() {
    survive_each("allow", true);
}
