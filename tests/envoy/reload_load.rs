//! A policy that is exchanged under load: no request fails, no stream ends, no count is lost, and from a moment that
//! Envoy tells every call is judged by the new policy.

use super::reload::updates;
use super::streams::read;
use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{put_plugin, render_watching};
use super::support::upstream::{Answer, Upstream, result};
use super::support::wait;
use super::watched::directory;
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// At least so many keep-alive connections on each of the two workers.
const CALLERS_PER_WORKER: usize = 3;
const STREAMS: usize = 20;
/// Calls before the exchange, and at least so many after it.
const CALLS: usize = 1_000;
/// Every other call takes one of these: used up under the new policy, unless counters begin anew.
const BUDGET: usize = 700;

/// Old: `a` is allowed and `x` is hidden. New: `a` is refused and `y` is hidden.
fn policy(is_new: bool) -> Value {
    let limits = json!({ "limits": [{ "counter": "work", "window": "hour", "max": BUDGET, "scope": "grant" }] });
    let a = if is_new { json!({ "action": "deny" }) } else { json!({}) };
    json!({
        "version": "1",
        "default": "allow",
        "hide": [if is_new { "y" } else { "x" }],
        "tools": { "a": a, "work": limits }
    })
}

/// One call of `a`: when it began, when its answer was there, and which policy judged it.
struct Call {
    began: Instant,
    ended: Instant,
    is_new: bool,
}

/// What one connection has seen.
struct Seen {
    worker: usize,
    calls: Vec<Call>,
    /// How many calls of `work` were run.
    worked: usize,
}

struct Caller {
    connection: Connection,
    worker: usize,
}

impl Caller {
    /// Calls `a` and `work` in turn until it `is_over`. Any other answer than those of the two policies ends the test.
    fn run(mut self, is_over: &AtomicBool, count: &AtomicUsize) -> Seen {
        let mut seen = Seen { worker: self.worker, calls: Vec::new(), worked: 0 };
        let (ran, refused) = ("ran", r#"[POLICY DENIED] Tool "a" is denied by policy"#);
        while !is_over.load(Ordering::SeqCst) {
            let began = Instant::now();
            let is_new = match self.call("a") {
                text if text == ran => false,
                text if text == refused => true,
                text => panic!("{text}"),
            };
            seen.calls.push(Call { began, ended: Instant::now(), is_new });
            match self.call("work") {
                text if text == ran => seen.worked += 1,
                text if text.contains(&format!("Rate limit of {BUDGET} per hour reached")) => {}
                text => panic!("{text}"),
            }
            count.fetch_add(2, Ordering::SeqCst);
        }
        seen
    }

    fn call(&mut self, tool: &str) -> String {
        let response = self.connection.exchange(&Request::post(mcp::call("1", tool)));
        assert_eq!(response.status, 200, "{response:?}");
        let answer = response.json();
        assert_eq!(answer["id"], 1, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

/// Connections on both workers, each with the worker that has it.
fn connect(envoy: &Envoy) -> Vec<Caller> {
    let accepted = || {
        [0, 1].map(|worker| {
            let stats = envoy.stats(&format!(".worker_{worker}.downstream_cx_total"));
            stats.iter().map(|(_, count)| count).sum::<u64>()
        })
    };
    let mut callers: Vec<Caller> = Vec::new();
    let on = |callers: &[Caller], worker| callers.iter().filter(|caller| caller.worker == worker).count();
    while on(&callers, 0).min(on(&callers, 1)) < CALLERS_PER_WORKER {
        let before = accepted();
        let connection = envoy.connect();
        wait::until("a worker has the connection", || accepted() != before);
        callers.push(Caller { connection, worker: usize::from(accepted()[1] != before[1]) });
    }
    callers
}

/// A stream on which the server says what goes into the channel.
struct Stream {
    connection: Connection,
    events: mpsc::Sender<Vec<u8>>,
}

impl Stream {
    /// Has the server list two tools, of which the old policy hides one.
    fn shows_what_the_old_policy_shows(&mut self) {
        let listed =
            |tools: &str| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{tools}]}}}}\n\n");
        let (x, y) = (r#"{"name":"x"}"#, r#"{"name":"y"}"#);
        self.events.send(listed(&format!("{x},{y}")).into_bytes()).expect("an upstream that listens");
        assert_eq!(read(&mut self.connection, listed(y).len()), listed(y));
    }
}

/// A server that runs every call, with the channels of the streams that it will be asked for.
fn server() -> (Upstream, Vec<mpsc::Sender<Vec<u8>>>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..STREAMS).map(|_| mpsc::channel()).unzip();
    // From the end, so that the first one asked for is the first one.
    let receivers = Mutex::new(receivers.into_iter().rev().collect::<Vec<_>>());
    let upstream = Upstream::start(move |request| {
        if request.body.is_empty() {
            let events = receivers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            return Answer::live(events.expect("no more streams than there are"));
        }
        Answer::json(result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#))
    });
    (upstream, senders)
}

fn open(envoy: &Envoy, events: mpsc::Sender<Vec<u8>>) -> Stream {
    let mut connection = envoy.connect();
    connection.send(&Request::stream().bytes());
    events.send(b": open\n\n".to_vec()).expect("an upstream that listens");
    assert_eq!(connection.head().text("content-type"), "text/event-stream");
    assert_eq!(read(&mut connection, 8), ": open\n\n");
    Stream { connection, events }
}

#[test]
fn an_exchange_under_load_fails_no_request_and_drops_no_stream() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "reload-load";
    let (upstream, events) = server();
    let plugin = directory(name).join("plugin.yaml");
    let next = plugin.with_file_name("next.yaml");
    put_plugin(name, &policy(false), &plugin);
    put_plugin(name, &policy(true), &next);
    let mut envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut streams: Vec<Stream> = events.into_iter().map(|events| open(&envoy, events)).collect();
    let callers = connect(&envoy);
    let connections = callers.len();
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = callers
        .into_iter()
        .map(|caller| {
            let (is_over, count) = (Arc::clone(&is_over), Arc::clone(&count));
            thread::spawn(move || caller.run(&is_over, &count))
        })
        .collect();
    let is_broken = || callers.iter().any(thread::JoinHandle::is_finished);

    wait::until("the load is there", || count.load(Ordering::SeqCst) >= CALLS || is_broken());
    let renamed = Instant::now();
    fs::rename(&next, &plugin).expect("a file in target/e2e");
    wait::until("Envoy says that it has the new policy", || updates(&envoy, "success") == 2 || is_broken());
    let told = Instant::now();
    streams.iter_mut().for_each(Stream::shows_what_the_old_policy_shows);
    let at = count.load(Ordering::SeqCst);
    wait::until("as much load after it", || count.load(Ordering::SeqCst) >= at + CALLS || is_broken());
    is_over.store(true, Ordering::SeqCst);
    let seen: Vec<Seen> = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well")).collect();
    streams.iter_mut().for_each(Stream::shows_what_the_old_policy_shows);
    for Stream { mut connection, events } in streams {
        drop(events);
        assert_eq!(connection.piece(), None, "the stream ends when the server ends it");
    }

    let calls = || seen.iter().flat_map(|seen| &seen.calls);
    assert!(calls().all(|call| !call.is_new || call.ended >= renamed), "nothing is judged by what is not there yet");
    let late = calls().filter(|call| !call.is_new && call.began >= told).count();
    assert_eq!(late, 0, "calls that began when Envoy had told of the new policy, and were judged by the old one");
    let since = |at: Instant| at.saturating_duration_since(renamed);
    for worker in 0..2 {
        let calls = || seen.iter().filter(|seen| seen.worker == worker).flat_map(|seen| &seen.calls);
        let first = calls().filter(|call| call.is_new).map(|call| call.ended).min().expect("a call on each worker");
        let late = calls().filter(|call| !call.is_new && call.began >= first).count();
        assert_eq!(late, 0, "calls that worker {worker} judged by the old policy after the new one");
        let last = calls().filter(|call| !call.is_new).map(|call| call.began).max().expect("a call on each worker");
        println!(
            "worker {worker}: the first answer by the new policy {:.1?} after the rename, the last call that the old one \
             judged began {:.1?} after it",
            since(first),
            since(last)
        );
    }
    println!("Envoy told of the new policy {:.1?} after the rename", since(told));
    let total = count.load(Ordering::SeqCst);
    println!("{total} requests on {connections} connections, 0 failed; {STREAMS} streams, 0 dropped");
    assert!(total >= 2 * CALLS);
    assert_eq!(seen.iter().map(|seen| seen.worked).sum::<usize>(), BUDGET, "calls that the limit let through");
    assert!(upstream.requests().iter().all(|request| request.is_whole));
    let lines = envoy.access_log(total + STREAMS);
    assert!(lines.iter().all(|line| line["status"] == 200), "by Envoy's own account too");
    assert_eq!(envoy.stat("http.mcp.downstream_rq_5xx"), 0);
    assert_eq!(envoy.traps(), 0);
}
