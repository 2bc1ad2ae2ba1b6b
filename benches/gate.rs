//! What the gate costs: CPU time of Envoy per request, with no filter, with one that does nothing, and with
//! the plugin, interleaved in one run. `make bench` builds what it needs and runs it.
//!
//! CPU time is the scheduler's own count of the Envoy process (`/proc/PID/task/*/schedstat`), so what the
//! load and the server cost on the same machine does not enter it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs, dead_code)]

#[path = "../tests/envoy/support/mod.rs"]
mod support;

use serde_json::json;
use std::net::SocketAddr;
use std::thread;
use support::envoy::Envoy;
use support::http::Connection;
use support::parts::Parts;
use support::request::Request;
use support::setup::Setup;
use support::upstream::{Answer, Received, Upstream, result};

const ROUNDS: usize = 15;
const CONNECTIONS: usize = 4;
const WARM_UP: usize = 1000;
const PLUGIN: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";
const DO_NOTHING: &str = "target/wasm32-wasip1/release/examples/do_nothing.wasm";

struct Workload {
    name: &'static str,
    body: String,
    /// Requests of one connection in one round.
    requests: usize,
}

fn main() {
    let Some(parts) = Parts::gateway() else { return };
    let policy = json!({
        "version": "1", "default": "allow", "hide": ["hidden_*"],
        "tools": { "denied": { "action": "deny" }, "get_*": {}, "work": {} }
    });
    let upstream = Upstream::start(serve);
    let ours = Setup::new(&policy).with("log", "none").render("bench-gate", upstream.address);
    let nothing = ours.replace(PLUGIN, DO_NOTHING);
    let bare = without_filter(&ours);
    let envoys: Vec<(&str, Envoy)> = [("no filter", bare), ("do-nothing filter", nothing), ("mcp-policy", ours)]
        .into_iter()
        .map(|(name, config)| {
            (name, Envoy::start_with(&parts, &format!("bench-{}", name.replace(' ', "-")), &config, 1))
        })
        .collect();

    let padding = "x".repeat(190);
    let call = |tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{padding}"}}}}}}"#
        )
    };
    let workloads = [
        Workload { name: "allowed call, 300 B", body: call("work"), requests: 250 },
        Workload { name: "denied call, 300 B", body: call("denied"), requests: 250 },
        Workload { name: "list of 100 tools, 10 hidden", body: list(), requests: 100 },
    ];
    let size = |path: &str| std::fs::metadata(support::parts::root().join(path)).map_or(0, |file| file.len());
    println!("plugin: {} bytes; do-nothing filter: {} bytes", size(PLUGIN), size(DO_NOTHING));
    println!("CPU time of Envoy per request, microseconds; medians of {ROUNDS} interleaved rounds, one worker");
    println!("| workload | {} | {} (ratio) | {} (ratio) |", envoys[0].0, envoys[1].0, envoys[2].0);
    println!("| --- | ---: | ---: | ---: |");
    for workload in &workloads {
        let mut costs = vec![Vec::new(); envoys.len()];
        for (_, envoy) in &envoys {
            load(envoy.address, &workload.body, WARM_UP / CONNECTIONS);
        }
        for _ in 0..ROUNDS {
            for (cost, (_, envoy)) in costs.iter_mut().zip(&envoys) {
                let before = envoy.cpu_nanoseconds();
                load(envoy.address, &workload.body, workload.requests);
                let spent = envoy.cpu_nanoseconds() - before;
                cost.push(spent as f64 / 1000.0 / (workload.requests * CONNECTIONS) as f64);
            }
        }
        let ratio = |index: usize| {
            let ratios = costs[index].iter().zip(&costs[0]).map(|(cost, bare)| cost / bare).collect();
            format!("{:.1} ({:.2})", median(costs[index].clone()), median(ratios))
        };
        println!("| {} | {:.1} | {} | {} |", workload.name, median(costs[0].clone()), ratio(1), ratio(2));
    }
}

fn list() -> String {
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned()
}

/// Runs every call, and lists 100 tools of about 700 bytes, one in ten of them hidden.
fn serve(request: &Received) -> Answer {
    if !request.body.windows(12).any(|part| part == b"\"tools/list\"") {
        return Answer::json(result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#));
    }
    let tools: Vec<String> = (0..100)
        .map(|index| {
            let name = if index % 10 == 0 { "hidden" } else { "get" };
            let filler = "x".repeat(560);
            let schema = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
            format!(r#"{{"name":"{name}_{index}","description":"{filler}","inputSchema":{schema}}}"#)
        })
        .collect();
    Answer::json(result(&request.body, &format!(r#"{{"tools":[{}]}}"#, tools.join(","))))
}

/// So many requests on each of a few connections.
fn load(address: SocketAddr, body: &str, requests: usize) {
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for _ in 0..requests {
                    assert_eq!(connection.exchange(&Request::post(body)).status, 200);
                }
            });
        }
    });
}

/// The same file with the router as its only filter.
fn without_filter(file: &str) -> String {
    let (before, rest) = file.split_once("          - name: envoy.filters.http.wasm\n").expect("the plugin's filter");
    let (_, after) = rest.split_once("          - name: envoy.filters.http.router\n").expect("the router");
    format!("{before}          - name: envoy.filters.http.router\n{after}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
