//! Limits that two proxies keep together, in a real rate limit service on a real Redis: never more than the maximum,
//! and when there is no answer, exactly what `on_failure` says.

use super::support::envoy::{self, Envoy};
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::{Parts, root, scratch};
use super::support::ratelimit::{self, CLUSTER, DOMAIN, RateLimit};
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{NOWHERE, Upstream};
use super::support::wait;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The text of a refusal that nobody counted.
const NOT_COUNTED: &str = "[POLICY DENIED] Rate limit could not be checked. Try again later.";

fn policy(max: usize, scope: &Value) -> Value {
    let limit = json!({ "counter": "calls", "window": "day", "max": max, "scope": scope });
    json!({ "version": "1", "default": "allow", "all_tools": { "limits": [limit] } })
}

fn limits(on_failure: &str) -> Value {
    json!({
        "store": "rate_limit_service", "cluster": CLUSTER, "domain": DOMAIN, "timeout_ms": 2000,
        "on_failure": on_failure
    })
}

/// A proxy whose limits are kept at `service`.
fn proxy(parts: &Parts, name: &str, service: SocketAddr, upstream: SocketAddr, max: usize, limits: Value) -> Envoy {
    let setup = Setup::new(&policy(max, &json!("global"))).with("limits", limits);
    Envoy::start(parts, name, &ratelimit::cluster(&setup.render(name, upstream), service))
}

/// Counters begin anew at midnight, UTC.
fn for_room_in_day() {
    wait::for_room_in(86_400, Duration::from_secs(60));
}

/// Makes one call; the text of its result.
fn call(connection: &mut Connection) -> String {
    let response = connection.exchange(&Request::post(mcp::call("1", "work")));
    assert_eq!(response.status, 200, "{response:?}");
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    body["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[test]
fn two_proxies_together_let_exactly_the_maximum_through() {
    const MAX: usize = 500;
    const CALLERS: usize = 16;
    const CALLS: usize = 100;
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let name = "rls-two";
    let service = RateLimit::start(&parts, name, "");
    let upstream = Upstream::running_every_call();
    let start = |name: &str| proxy(&parts, name, service.address, upstream.address, MAX, limits("deny"));
    let proxies = [start("rls-two-a"), start("rls-two-b")];
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let address = proxies[caller % 2].address;
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                (0..CALLS).filter(|_| call(&mut connection) == "ran").count()
            })
        })
        .collect();
    let ran: Vec<usize> = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).collect();
    assert_eq!((ran.iter().sum::<usize>(), upstream.count()), (MAX, MAX), "{ran:?}");
    // What is counted outlives a proxy.
    drop(proxies);
    let restarted = start("rls-two-c");
    let refused = format!(
        "[POLICY DENIED] Rate limit of {MAX} per day reached. Try again later. (0 of {MAX} left in this day, room again in "
    );
    let answer = call(&mut restarted.connect());
    assert!(answer.starts_with(&refused), "{answer}");
    assert_eq!((upstream.count(), restarted.traps()), (MAX, 0));
}

#[test]
fn with_leases_two_proxies_stay_within_the_maximum_and_most_calls_ask_nobody() {
    const MAX: usize = 1000;
    const CALLERS: usize = 16;
    const CALLS: usize = 100;
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let name = "rls-lease";
    let service = RateLimit::start(&parts, name, "");
    let upstream = Upstream::running_every_call();
    let mut leased = limits("deny");
    leased["lease"] = json!(50);
    let start = |name: &str| proxy(&parts, name, service.address, upstream.address, MAX, leased.clone());
    let proxies = [start("rls-lease-a"), start("rls-lease-b")];
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let address = proxies[caller % 2].address;
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                (0..CALLS).filter(|_| call(&mut connection) == "ran").count()
            })
        })
        .collect();
    let ran: usize = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).sum();
    assert_eq!(upstream.count(), ran);
    // What the last blocks of each proxy held when the other one went beyond the maximum is lost.
    assert!((MAX - 150..=MAX).contains(&ran), "{ran} calls ran");
    let refused = CALLERS * CALLS - ran;
    let stat = format!("cluster.{CLUSTER}.upstream_rq_total");
    let asked = proxies.iter().map(|proxy| proxy.stat(&stat)).sum::<u64>() as usize;
    println!("{ran} of {MAX} ran, {refused} were refused, {asked} questions");
    assert!(asked < refused + ran / 2, "{asked} questions for {ran} calls that ran and {refused} that did not");
    assert!(proxies.iter().all(|proxy| proxy.traps() == 0));
}

#[test]
fn an_allowed_call_with_a_lease_takes_about_as_long_as_one_that_is_counted_here() {
    const CALLS: usize = 400;
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let service = RateLimit::start(&parts, "rls-p50", "");
    let upstream = Upstream::running_every_call();
    let mut leased = limits("deny");
    (leased["lease"], leased["domain"]) = (json!(100), json!(DOMAIN));
    // Different maxima, so that no two share a count.
    let proxies = [
        proxy(&parts, "rls-p50-local", service.address, upstream.address, 100_000, json!({ "store": "local" })),
        proxy(&parts, "rls-p50-lease", service.address, upstream.address, 100_001, leased),
        proxy(&parts, "rls-p50-each", service.address, upstream.address, 100_002, limits("deny")),
    ];
    let mut connections = proxies.each_ref().map(Envoy::connect);
    let mut took = [const { Vec::new() }; 3];
    // In turn, so that whatever else the machine does falls on all of them.
    for _ in 0..CALLS {
        for (connection, took) in connections.iter_mut().zip(&mut took) {
            let start = Instant::now();
            assert_eq!(call(connection), "ran");
            took.push(start.elapsed());
        }
    }
    let [local, lease, each] = took.map(|mut took| {
        took.sort_unstable();
        took[CALLS / 2]
    });
    println!("p50 of an allowed call: local {local:?}, with a lease {lease:?}, asking each time {each:?}");
    assert!(lease < each, "local {local:?}, with a lease {lease:?}, asking each time {each:?}");
    assert!(lease.as_secs_f64() < 1.5 * local.as_secs_f64(), "local {local:?}, with a lease {lease:?}");
}

#[test]
fn without_the_service_calls_fare_as_on_failure_says_and_with_it_they_are_counted_again() {
    const MAX: usize = 4;
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    for (on_failure, ran) in [("deny", 0), ("local", MAX), ("allow", 6)] {
        let name = format!("rls-down-{on_failure}");
        let mut service = RateLimit::start(&parts, &name, "");
        let upstream = Upstream::running_every_call();
        let mut envoy = proxy(&parts, &name, service.address, upstream.address, MAX, limits(on_failure));
        let mut connection = envoy.connect();
        assert_eq!(call(&mut connection), "ran");
        let mut lines = 1;
        for what in ["service", "redis"] {
            if what == "service" {
                service.stop_service()
            } else {
                service.stop_redis()
            }
            let before = upstream.count();
            let texts: Vec<String> = (0..6).map(|_| call(&mut connection)).collect();
            // This proxy's own count of the day goes on.
            let expected = if on_failure == "local" && what == "redis" { 0 } else { ran };
            assert_eq!(upstream.count() - before, expected, "{on_failure}, no {what}: {texts:?}");
            if on_failure == "deny" {
                assert!(texts.iter().all(|text| text == NOT_COUNTED), "{texts:?}");
            }
            lines += 6;
            let records = envoy.access_log(lines);
            for line in &records[lines - 6..] {
                let record: Value = serde_json::from_str(line["decision"].as_str().expect("a record")).expect("JSON");
                let counted = if on_failure == "local" { "counted by this proxy alone" } else { "not counted" };
                assert_eq!(record["limits"], counted, "{record}");
            }
            if what == "service" {
                service.start_service()
            } else {
                service.start_redis()
            }
            // Envoy and the service connect anew in their own time.
            wait::until("calls are counted again", || {
                lines += 1;
                assert_ne!(call(&mut connection), "", "an answer");
                let records = envoy.access_log(lines);
                !records[lines - 1]["decision"].as_str().expect("a record").contains("\"limits\"")
            });
        }
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn a_service_that_dies_and_comes_back_under_load_lets_no_call_through_uncounted() {
    const MAX: usize = 100_000;
    const CALLERS: usize = 8;
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    for lease in [None, Some(20)] {
        let name = format!("rls-load-{}", lease.unwrap_or(0));
        let mut service = RateLimit::start(&parts, &name, "");
        let upstream = Upstream::running_every_call();
        let mut limits = limits("deny");
        if let Some(lease) = lease {
            limits["lease"] = json!(lease);
        }
        let envoy = proxy(&parts, &name, service.address, upstream.address, MAX, limits);
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (address, stop) = (envoy.address, Arc::clone(&stop));
                thread::spawn(move || {
                    let (mut connection, mut ran) = (Connection::open(address), 0);
                    while !stop.load(Ordering::SeqCst) {
                        match call(&mut connection).as_str() {
                            "ran" => ran += 1,
                            text => assert_eq!(text, NOT_COUNTED),
                        }
                    }
                    ran
                })
            })
            .collect();
        let more_run = |what: &str| {
            let before = upstream.count();
            wait::until(what, || upstream.count() > before + 200);
        };
        more_run("calls run");
        for _ in 0..3 {
            service.stop_service();
            wait::until("calls are refused", || call(&mut envoy.connect()) == NOT_COUNTED);
            service.start_service();
            more_run("calls run again");
        }
        stop.store(true, Ordering::SeqCst);
        let ran: usize = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).sum();
        // The calls of this test's own loop were refused, but for those that still found hits in a block.
        assert!((ran..=ran + 60).contains(&upstream.count()), "{ran} of {}", upstream.count());
        let counted = service.counted();
        assert!(counted >= upstream.count() as u64, "{counted} counted, {} ran", upstream.count());
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn envoy_takes_the_shipped_example() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let file = fs::read_to_string(root().join("envoy/rate-limit-service.yaml")).expect("the example");
    let (status, log) = envoy::validate(&parts, "rls-shipped", &file);
    assert!(status.success(), "{log}");
}

#[test]
fn what_is_no_answer_of_the_service_is_a_failure() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let garbage = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let garbage_at = garbage.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in garbage.incoming().map_while(Result::ok) {
            // Its reader may be gone.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let service = RateLimit::start(&parts, "rls-no-answer", "");
    let upstream = Upstream::running_every_call();
    let silent = silent.local_addr().expect("its address");
    for (name, address, member, value, at_least) in [
        ("rls-silent", silent, "timeout_ms", json!(300), 250),
        ("rls-garbage", garbage_at, "timeout_ms", json!(2000), 0),
        ("rls-nobody", NOWHERE, "timeout_ms", json!(2000), 0),
        ("rls-no-cluster", service.address, "cluster", json!("nowhere"), 0),
        ("rls-no-domain", service.address, "domain", json!("unknown"), 0),
    ] {
        let mut limits = limits("deny");
        limits[member] = value;
        let envoy = proxy(&parts, name, address, upstream.address, 9, limits);
        let start = Instant::now();
        assert_eq!(call(&mut envoy.connect()), NOT_COUNTED, "{name}");
        assert!(start.elapsed() >= Duration::from_millis(at_least), "{name}: {:?}", start.elapsed());
        assert_eq!(envoy.traps(), 0, "{name}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_client_may_leave_while_its_limits_are_counted() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
    let mut waits = limits("allow");
    waits["timeout_ms"] = json!(60_000);
    for mode in [Mode::Held, Mode::Fallback] {
        let upstream = Upstream::running_every_call();
        let name = format!("rls-leave-{mode:?}");
        let setup = Setup::new(&policy(9, &json!("global"))).mode(mode).with("limits", waits.clone());
        let file =
            ratelimit::cluster(&setup.render(&name, upstream.address), silent.local_addr().expect("its address"));
        let envoy = Envoy::start(&parts, &name, &file);
        let active = || envoy.stat("http.mcp.downstream_rq_active");
        for _ in 0..20 {
            let mut connection = envoy.connect();
            connection.send(&Request::post(mcp::call("1", "work")).bytes());
            wait::until("the service is asked", || envoy.stat(&format!("cluster.{CLUSTER}.upstream_rq_active")) > 0);
            drop(connection);
            wait::until("Envoy has given the request up", || active() == 0);
            wait::until("and the question, too", || envoy.stat(&format!("cluster.{CLUSTER}.upstream_rq_active")) == 0);
        }
        assert_eq!((upstream.count(), envoy.traps()), (0, 0), "{mode:?}");
    }
}

#[test]
fn names_that_fit_into_each_other_s_keys_are_counted_apart() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let name = "rls-hostile";
    let service = RateLimit::start(&parts, name, "");
    let upstream = Upstream::running_every_call();
    let setup = Setup::new(&policy(1, &json!(["session", "tool"]))).with("limits", limits("deny"));
    let envoy = Envoy::start(&parts, name, &ratelimit::cluster(&setup.render(name, upstream.address), service.address));
    let mut connection = envoy.connect();
    let (long, longer) = ("x".repeat(1024), "x".repeat(1024));
    let names = [
        ("a", "b_tool_c"),
        ("a_tool_b", "c"),
        ("a", "*"),
        ("a", "b*"),
        ("!", "b"),
        ("", "b"),
        ("a", "é|:#"),
        ("a", "%"),
        ("a", "%25"),
        ("a", " "),
        ("a", "\r\nDEL x"),
        (longer.as_str(), "b"),
        ("a", long.as_str()),
    ];
    for round in 0..2 {
        for (session, tool) in names {
            let mut request = Request::post(mcp::call("1", tool));
            if !session.is_empty() {
                request = request.with("mcp-session-id", session);
            }
            let response = connection.exchange(&request);
            let is_refused = response.text().contains("Rate limit of 1 per day reached");
            assert_eq!(is_refused, round > 0, "{session:.20} {tool:.20}: {response:?}");
        }
    }
    let keys = service.keys();
    assert_eq!(keys.len(), names.len(), "{keys:#?}");
    assert_eq!((upstream.count(), envoy.traps()), (names.len(), 0));
}

#[test]
fn a_service_with_the_rendered_configuration_keeps_the_same_limits() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let name = "rls-rendered";
    let mut limits = limits("deny");
    limits["maxima"] = "service".into();
    let configuration = json!({
        "policies": { "default": policy(3, &json!(["session", "tool"])) },
        "default_policy": "default",
        "limits": limits
    });
    let path = scratch(&format!("{name}.limits.json"));
    fs::write(&path, configuration.to_string()).expect("a file in target/e2e");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    let output = command.args(["render", "ratelimit", "--config"]).arg(&path).output().expect("the command line runs");
    let rendered = String::from_utf8(output.stdout).expect("UTF-8");
    let rendered = rendered.replace(&format!("domain: \"{DOMAIN}\"\n"), "");
    let service = RateLimit::start(&parts, name, &rendered);
    let upstream = Upstream::running_every_call();
    let setup = Setup::new(&policy(3, &json!(["session", "tool"]))).with("limits", limits);
    let envoy = Envoy::start(&parts, name, &ratelimit::cluster(&setup.render(name, upstream.address), service.address));
    let ran = (0..9).filter(|_| call(&mut envoy.connect()) == "ran").count();
    assert_eq!((ran, upstream.count(), envoy.traps()), (3, 3, 0));
}

#[test]
fn each_way_of_holding_a_request_waits_for_the_service() {
    let Some(parts) = Parts::with_rate_limit_service() else { return };
    for_room_in_day();
    let service = RateLimit::start(&parts, "rls-modes", "");
    for (mode, counter) in [(Mode::Held, "held"), (Mode::Fallback, "fallback")] {
        let upstream = Upstream::running_every_call();
        let name = format!("rls-modes-{counter}");
        let mut policy = policy(2, &json!("global"));
        policy["all_tools"]["limits"][0]["counter"] = counter.into();
        let setup = Setup::new(&policy).mode(mode).with("limits", limits("deny"));
        let file = ratelimit::cluster(&setup.render(&name, upstream.address), service.address);
        let envoy = Envoy::start(&parts, &name, &file);
        let mut bodies = Vec::new();
        for trailers in [false, true, false] {
            let mut request = Request::post(mcp::call("1", "work"));
            if trailers {
                request = request.chunked().with_trailer("x-trailer", "1");
            }
            // Envoy closes what it answered before the request was whole to the server.
            bodies.push(envoy.connect().exchange(&request).text());
        }
        assert!(bodies[0].contains("\"ran\"") && bodies[1].contains("\"ran\""), "{mode:?}: {bodies:?}");
        assert!(bodies[2].contains("Rate limit of 2 per day reached"), "{mode:?}: {bodies:?}");
        assert_eq!(envoy.traps(), 0, "{mode:?}");
    }
}
