//! What it costs that an event stream keeps the policy under which it was opened: Envoy keeps that configuration, on the
//! stream's worker, until the last such stream ends.

use super::super::reload::Discovered;
use super::super::support::envoy::Envoy;
use super::super::support::http::Wire;
use super::super::support::parts::{Parts, scratch};
use super::super::support::request::Request;
use super::super::support::wait;
use super::server::Server;
use super::{Plan, clients, envoy_file, updates};
use serde_json::{Map, Value, json};

const TOOLS: usize = 100;
/// Enough that each of the two workers has one, nearly always.
const STREAMS_PER_RELOAD: usize = 4;

/// A policy of 100 tools with 4 conditions each.
fn policy() -> Value {
    let condition = |path: &str, op: &str, value: Value| json!({ "path": path, "op": op, "value": value });
    let tools: Map<String, Value> = (0..TOOLS)
        .map(|index| {
            let conditions = [
                condition("args.to", "ends_with", "@example.com".into()),
                condition("args.amount", "gt", index.into()),
                condition("args.text", "regex", "(?i)<script".into()),
                condition("args.kind", "in", json!(["a", "b"])),
            ];
            (format!("tool_{index}"), json!({ "deny_if": [{ "id": "odd", "conditions": conditions }] }))
        })
        .collect();
    json!({ "version": "1", "default": "allow", "hide": ["reload_0"], "tools": tools })
}

/// An Envoy whose policy is exchanged, and the streams that are open.
struct Scene {
    envoy: Envoy,
    server: Server,
    discovered: Discovered,
    file: String,
    reloads: usize,
    streams: Vec<Wire>,
}

impl Scene {
    /// So many reloads, none with a policy that was there before, each followed by so many new streams. Returns by how
    /// many KiB the resident memory grew.
    fn grow(&mut self, reloads: usize, streams: usize) -> i64 {
        let before = self.memory();
        for _ in 0..reloads {
            self.reloads += 1;
            self.discovered.exchange(&self.file.replace("reload_0", &format!("reload_{}", self.reloads)));
            wait::until("Envoy has taken the configuration", || updates(&self.envoy, "success") > self.reloads);
            self.open(streams);
        }
        self.memory() - before
    }

    fn open(&mut self, streams: usize) {
        for _ in 0..streams {
            let mut wire = clients::open(self.envoy.address);
            wire.send(&Request::stream().bytes()).expect("Envoy takes what is sent");
            let head = wire.head().expect("a response in time").expect("a response");
            assert_eq!(head.status(), 200);
            self.streams.push(wire);
        }
    }

    fn close(&mut self) {
        self.streams.clear();
        wait::until("no stream is open", || self.server.streams() == 0);
    }

    fn memory(&self) -> i64 {
        self.envoy.resident_memory_kib().cast_signed()
    }
}

#[test]
fn the_memory_of_held_policies_is_used_again() {
    let Some(parts) = Parts::gateway() else { return };
    let (name, is_long) = ("soak-held", Plan::from_environment().is_long());
    let reloads = if is_long { 100 } else { 5 };
    let server = Server::start();
    let file = envoy_file(name, &policy(), &server);
    let discovered = Discovered { watched: scratch(&format!("{name}.ecds.yaml")) };
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&file));
    let mut scene = Scene { envoy, server, discovered, file, reloads: 0, streams: Vec::new() };

    let streams = reloads * STREAMS_PER_RELOAD;
    scene.grow(5, 0);
    let before = scene.memory();
    scene.open(streams);
    let by_streams = scene.memory() - before;
    scene.close();
    let by_reloads = scene.grow(reloads, 0);
    let by_held = scene.grow(reloads, STREAMS_PER_RELOAD);
    scene.close();
    let again = scene.grow(reloads, STREAMS_PER_RELOAD);
    scene.close();
    let each = (by_held - by_streams - by_reloads) / i64::try_from(reloads).expect("a few");
    println!("growth of the resident memory, with a policy of {} KiB:", policy().to_string().len() / 1024);
    println!("  {by_streams} KiB by {streams} streams under one policy");
    println!("  {by_reloads} KiB by {reloads} reloads");
    println!(
        "  {by_held} KiB by {reloads} reloads, each held by {STREAMS_PER_RELOAD} streams: {each} KiB for each policy"
    );
    println!("  {again} KiB by the same once more, after those streams have ended");
    assert_eq!(scene.envoy.traps(), 0);
    assert!(!is_long || again < by_held / 2, "what the first round left is not used again");
}
