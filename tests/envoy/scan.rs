//! `mcp-policy scan` before the reference server: over HTTP, over its standard streams, and through a gateway under the
//! very policy that was written.

use super::support::clients::{Outcome, Step, typescript};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::parts::{PEERS, Parts, root, scratch};
use super::support::setup::Setup;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn scan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.current_dir(root()).arg("scan").args(arguments).env("NO_PROXY", "127.0.0.1");
    command.output().expect("the command runs")
}

/// What is reported as JSON.
fn report(arguments: &[&str]) -> Value {
    let output = scan(&[&["--format", "json"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}

#[test]
fn a_server_is_scanned_over_http_and_over_its_standard_streams() {
    let Some(_parts) = Parts::with_peers() else { return };
    let server = Everything::start("scan.server");
    let program = root().join(PEERS).join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let program = program.to_str().expect("UTF-8");
    let over_http = report(&["--url", &server.url()]);
    let over_streams = report(&["--", "node", program, "stdio"]);
    assert_eq!(over_http["tools"], over_streams["tools"]);
    let tools = over_http["tools"].as_array().expect("tools");
    let of = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!((&of("get-sum")["category"], &of("get-sum")["severity"]), (&json!("read"), &json!("low")));
    assert_eq!(of("toggle-simulated-logging")["category"], "write");
    assert_eq!(of("trigger-long-running-operation")["category"], "execute");
}

#[test]
fn the_policy_that_is_written_is_in_force_as_it_stands() {
    let Some(parts) = Parts::with_peers() else { return };
    let server = Everything::start("scan-policy.server");
    let (policy, tools) = (scratch("scan-policy.json"), scratch("scan-tools.json"));
    let [policy_text, tools_text] = [&policy, &tools].map(|path| path.to_str().expect("UTF-8"));
    report(&["--url", &server.url(), "-o", policy_text, "--pin", "--tools-out", tools_text]);
    let envoy =
        Envoy::start(&parts, "scan-policy", &Setup::new(&json_of(&policy)).render("scan-policy", server.address));
    let steps = [Step::List, Step::Call("get-sum", json!({ "a": 1, "b": 2 }))];
    let outcomes = typescript(&envoy.url(), &steps);
    let [Outcome::Tools(seen), sum] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    let listed = json_of(&tools)["tools"].as_array().map(Vec::len);
    assert_eq!(Some(seen.len()), listed, "each pin is that of the definition which passes: {seen:?}");
    assert_eq!(*sum, Outcome::Result(false, "The sum of 1 and 2 is 3.".to_owned()));
    // Seen through the gateway nothing has changed either.
    let again = scan(&["--url", &envoy.url(), "--policy", policy_text]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(envoy.traps(), 0);
}
