//! What the plugin does for a request, counted: what an interpreter takes for its WebAssembly (fuel), and its calls of the
//! host, by workload. The counts are the same on every machine, so a change that costs more is seen whatever else the
//! machine does.
//!
//! `make fuel` compares them with `benches/fuel/baseline.json` and fails where one has grown by more than 5 %;
//! `make fuel BASELINE=new` writes that file.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

mod functions;
mod host;

use host::{Cost, Exchange, Worker};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const PLUGIN: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";
const BASELINE: &str = "benches/fuel/baseline.json";
/// By how much a count may grow.
const TOLERANCE: f64 = 1.05;
/// Streams before the one that is counted: by then the plugin's memory has the size that it keeps.
const WARM_UP: usize = 20;

struct Workload {
    name: &'static str,
    policy: Value,
    body: String,
    answer: Vec<u8>,
    is_stream: bool,
    /// Whether the server is asked.
    is_refused: bool,
    /// How many tools are to be left of a list.
    tools: Option<usize>,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plugin = std::env::var_os("MCP_POLICY_PLUGIN").map_or(root.join(PLUGIN), PathBuf::from);
    let is_new = std::env::args().any(|argument| argument == "--new");
    let mut counts = BTreeMap::new();
    println!("| workload | fuel | calls of the host | callbacks | memory |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for workload in workloads() {
        let (cost, memory) = measure(&plugin, &workload);
        let calls: u64 = cost.calls.values().sum();
        println!("| {} | {} | {calls} | {} | {memory} |", workload.name, cost.fuel, cost.callbacks);
        if std::env::var_os("MCP_POLICY_CALLS").is_some() {
            println!("    {:?}", cost.calls);
        }
        counts.insert(workload.name, json!({"fuel": cost.fuel, "calls": calls}));
    }
    let path = root.join(BASELINE);
    if is_new {
        let text = serde_json::to_string_pretty(&counts).expect("JSON");
        std::fs::write(path, text + "\n").expect("a file");
        return ExitCode::SUCCESS;
    }
    let baseline: Value = serde_json::from_slice(&std::fs::read(path).expect("a baseline")).expect("JSON");
    let mut is_worse = false;
    for (name, count) in &counts {
        for kind in ["fuel", "calls"] {
            let (now, then) = (count[kind].as_f64().expect("a number"), baseline[*name][kind].as_f64());
            let Some(then) = then else {
                eprintln!("fuel: {name}: no {kind} in {BASELINE}; `make fuel BASELINE=new` writes it");
                is_worse = true;
                continue;
            };
            if now > then * TOLERANCE {
                eprintln!("fuel: {name}: {kind} went from {then} to {now}, by {:+.1} %", (now / then - 1.0) * 100.0);
                is_worse = true;
            }
        }
    }
    ExitCode::from(u8::from(is_worse))
}

fn measure(plugin: &Path, workload: &Workload) -> (Cost, usize) {
    let configuration = json!({
        "policies": {"default": workload.policy}, "default_policy": "default",
        "hold_request_headers": true, "log": "none"
    });
    let mut worker = Worker::start(plugin, &configuration.to_string());
    let length = workload.body.len().to_string();
    let request = [
        (":authority", "127.0.0.1:10000"),
        (":path", "/mcp"),
        (":method", "POST"),
        (":scheme", "http"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("content-length", length.as_str()),
        ("mcp-session-id", "5f2b1a0e-8d3c-4b6f-9a57-0c1d2e3f4a5b"),
        ("mcp-protocol-version", "2025-11-25"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "c0ffee00-1234-4567-89ab-cdef01234567"),
    ];
    let kind = if workload.is_stream { "text/event-stream" } else { "application/json" };
    let size = workload.answer.len().to_string();
    let response = [(":status", "200"), ("content-type", kind), ("content-length", size.as_str())];
    let exchange =
        Exchange { request: &request, body: workload.body.as_bytes(), response: &response, answer: &workload.answer };
    for _ in 0..WARM_UP {
        worker.run(exchange);
    }
    let cost = worker.run(exchange);
    assert_eq!(cost.is_refused, workload.is_refused, "{}", workload.name);
    if let Some(tools) = workload.tools {
        let left = String::from_utf8_lossy(&cost.answer).matches("\"inputSchema\"").count();
        assert_eq!(left, tools, "{}", workload.name);
    }
    (cost, worker.memory())
}

fn call(tool: &str, arguments: &str) -> String {
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

fn result(text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#)
}

fn event(data: &str) -> Vec<u8> {
    format!("event: message\nid: 1\ndata: {data}\n\n").into_bytes()
}

/// `count` tools of about 700 bytes, one in ten of them hidden.
fn tools(count: usize) -> String {
    let tools: Vec<String> = (0..count)
        .map(|index| {
            let name = if index % 10 == 0 { "hidden" } else { "get" };
            let filler = "Looks something up, and says what it has found. ".repeat(11);
            let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
            format!(r#"{{"name":"{name}_{index}","description":"{filler}","inputSchema":{schema}}}"#)
        })
        .collect();
    result(&format!(r#"{{"tools":[{}]}}"#, tools.join(",")))
}

fn workloads() -> Vec<Workload> {
    let policy = json!({
        "version": "1", "default": "allow", "hide": ["hidden_*"],
        "tools": { "denied": { "action": "deny" }, "get_*": {}, "work": {} }
    });
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(190));
    let ran = result(r#"{"content":[{"type":"text","text":"ran"}]}"#).into_bytes();
    let base = || Workload {
        name: "allowed call, 300 B",
        policy: policy.clone(),
        body: call("work", &text),
        answer: ran.clone(),
        is_stream: false,
        is_refused: false,
        tools: None,
    };
    let many: serde_json::Map<String, Value> =
        (0..1000).map(|index| (format!("tool_{index}"), json!({"action": "deny"}))).collect();
    let mut many = json!({"version": "1", "default": "allow", "tools": many});
    many["tools"]["work"] = json!({});
    let mut all = vec![
        base(),
        Workload { name: "denied call, 300 B", body: call("denied", &text), is_refused: true, ..base() },
        Workload {
            name: "allowed call, answered by an event stream",
            answer: event(&String::from_utf8_lossy(&ran)),
            is_stream: true,
            ..base()
        },
        Workload {
            name: "allowed call, 64 KiB of arguments",
            body: call("work", &format!(r#"{{"text":"{}"}}"#, "0123456789abcde ".repeat(4096))),
            ..base()
        },
        Workload {
            name: "allowed call, 5 rules on arguments and 3 limits",
            policy: guarded(),
            body: call("work", r#"{"path":"/srv/data/a.txt","amount":12.5,"currency":"EUR","mode":"fast","count":3}"#),
            ..base()
        },
        Workload { name: "allowed call, policy of 1,000 tools", policy: many, ..base() },
    ];
    for (count, json, stream) in [
        (10, "list of 10 tools, 1 hidden", "list of 10 tools as an event"),
        (100, "list of 100 tools, 10 hidden", "list of 100 tools as an event"),
        (1000, "list of 1,000 tools, 100 hidden", "list of 1,000 tools as an event"),
    ] {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned();
        let list = tools(count);
        let answer = list.clone().into_bytes();
        all.push(Workload { name: json, body: body.clone(), answer, tools: Some(count / 10 * 9), ..base() });
        let answer = event(&list);
        all.push(Workload { name: stream, body, answer, is_stream: true, tools: Some(count / 10 * 9), ..base() });
    }
    all
}

/// What the second target of the issue of speed names: conditions on five arguments, and three limits.
fn guarded() -> Value {
    let limit = |counter: &str, window: &str, scope: &str| json!({"counter": counter, "window": window, "max": 1_000_000, "scope": scope});
    json!({
        "version": "1", "default": "allow", "hide": ["hidden_*"],
        "tools": { "work": {
            "require": [
                {"path": "args.path", "op": "regex", "value": "^/srv/data/"},
                {"path": "args.amount", "op": "lte", "value": 100},
                {"path": "args.currency", "op": "in", "value": ["EUR", "USD"]}
            ],
            "deny_if": [
                {"path": "args.mode", "op": "eq", "value": "slow"},
                {"path": "args.count", "op": "gt", "value": 10}
            ],
            "limits": [limit("a", "minute", "grant"), limit("b", "hour", "grant"), limit("c", "day", "global")]
        } }
    })
}
