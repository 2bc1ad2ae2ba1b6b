//! The official conformance suites, run against a server or a client and again with the gateway between: under a policy
//! that permits everything both sides must behave as if there were no gateway, so every check has to end the same way.

use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::fixtures::Fixtures;
use super::support::parts::{Parts, root};
use super::support::relay::Relay;
use super::support::setup::Setup;
use super::support::suite::{Check, Suite};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;

/// The page that lists what the suites find.
const PAGE: &str = "docs/conformance.md";

/// One run of a suite's scenarios for servers.
struct ServerRun {
    name: &'static str,
    suite: Suite,
    arguments: &'static [&'static str],
    server: Server,
    /// The server speaks the revision; where it does not, what the gateway refuses by itself meets more of the checks.
    speaks: bool,
}

/// One run of a suite's scenarios for clients.
struct ClientRun {
    name: &'static str,
    suite: Suite,
    arguments: &'static [&'static str],
    scenarios: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Server {
    Everything,
    Fixtures,
}

/// A running server, whichever it is.
enum Running {
    Everything(Everything),
    Fixtures(Fixtures),
}

impl Server {
    fn start(self, name: &str) -> Running {
        let name = format!("{name}.server");
        match self {
            Self::Everything => Running::Everything(Everything::start(&name)),
            Self::Fixtures => Running::Fixtures(Fixtures::start(&name)),
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Everything => "server-everything",
            Self::Fixtures => "fixtures.py",
        }
    }
}

impl Running {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Everything(server) => server.address,
            Self::Fixtures(server) => server.address,
        }
    }
}

/// Two that permit everything, each with the words for it in file names. The second one has to look at everything for
/// it, too.
fn policies() -> [(&'static str, Value); 2] {
    let section = json!({ "default": "allow", "hide": ["no-such-*"] });
    let judging = json!({
        "version": "1",
        "default": "allow",
        "hide": ["no-such-*"],
        "all_tools": { "limits": [{ "counter": "all", "window": "hour", "max": 1_000_000, "scope": "session" }] },
        "prompts": section,
        "resources": section,
        "methods": { "default": "allow", "deny": ["no/such/method"] }
    });
    [("allow-all", json!({ "version": "1", "default": "allow" })), ("judging", judging)]
}

fn a_server_seems_the_same(run: &ServerRun) {
    let Some(parts) = Parts::with_conformance() else { return };
    // A server of its own for each, because a session or a subscription may outlive the scenario that made it.
    let server = run.server.start(run.name);
    let direct = run.suite.run_server(run.name, run.arguments, server.address());
    drop(server);
    let mut columns = vec![counts(&direct)];
    for (title, policy) in policies() {
        let name = format!("{}-{title}", run.name);
        let server = run.server.start(&name);
        let envoy = Envoy::start(&parts, &name, &Setup::new(&policy).render(&name, server.address()));
        let through = run.suite.run_server(&name, run.arguments, envoy.address);
        if run.speaks {
            assert_same(&name, &direct, &through);
        } else {
            assert_no_worse(&name, &direct, &through);
        }
        was_asked(&envoy, scenarios(&direct));
        columns.push(counts(&through));
    }
    let title = format!("server {}", run.server.title());
    is_listed(run.suite, &title, run.arguments, scenarios(&direct), &columns);
}

fn a_client_seems_the_same(run: &ClientRun) {
    let Some(parts) = Parts::with_conformance() else { return };
    let run_all = |name: &str, gateway: Option<(SocketAddr, &Relay)>| {
        let of = |scenario: &&str| run.suite.run_client(name, scenario, run.arguments, gateway);
        run.scenarios.iter().flat_map(of).collect::<Vec<_>>()
    };
    let direct = run_all(run.name, None);
    let mut columns = vec![counts(&direct)];
    for (title, policy) in policies() {
        let name = format!("{}-{title}", run.name);
        let relay = Relay::start(&name);
        let envoy = Envoy::start(&parts, &name, &Setup::new(&policy).render(&name, relay.address));
        let through = run_all(&name, Some((envoy.address, &relay)));
        assert_same(&name, &direct, &through);
        was_asked(&envoy, scenarios(&direct));
        columns.push(counts(&through));
    }
    is_listed(run.suite, "client @modelcontextprotocol/client", run.arguments, scenarios(&direct), &columns);
}

/// Fails with what ended otherwise.
fn assert_same(name: &str, direct: &[Check], through: &[Check]) {
    let without = |of: &[Check], others: &[Check]| {
        let mut rest = of.to_vec();
        for other in others {
            if let Some(at) = rest.iter().position(|check| check == other) {
                rest.remove(at);
            }
        }
        rest
    };
    let (lost, new) = (without(direct, through), without(through, direct));
    assert!(lost.is_empty() && new.is_empty(), "{name}: without the gateway {lost:#?}\nwith it {new:#?}");
}

/// Fails with what was met without the gateway and is not with it.
fn assert_no_worse(name: &str, direct: &[Check], through: &[Check]) {
    let met = |of: &[Check]| -> Vec<Check> { of.iter().filter(|check| check.status == "SUCCESS").cloned().collect() };
    let (direct, mut rest) = (met(direct), met(through));
    for check in &direct {
        let at = rest.iter().position(|other| other == check);
        rest.remove(at.unwrap_or_else(|| panic!("{name}: not met with the gateway: {check:#?}")));
    }
}

/// Fails when the suite went around the gateway.
fn was_asked(envoy: &Envoy, scenarios: usize) {
    assert_eq!(envoy.traps(), 0);
    let requests = envoy.stat("http.mcp.downstream_rq_completed");
    assert!(requests >= scenarios as u64, "{requests} requests for {scenarios} scenarios");
}

fn scenarios(checks: &[Check]) -> usize {
    checks.iter().map(|check| check.scenario.as_str()).collect::<BTreeSet<_>>().len()
}

/// How many checks passed, and how many failed.
fn counts(checks: &[Check]) -> String {
    let count = |status: &str| checks.iter().filter(|check| check.status == status).count();
    format!("{} / {}", count("SUCCESS"), count("FAILURE"))
}

/// Shows a row of the table, and fails when the page has another one.
fn is_listed(suite: Suite, title: &str, arguments: &[&str], scenarios: usize, columns: &[String]) {
    let arguments = if arguments.is_empty() { String::new() } else { format!("`{}`", arguments.join(" ")) };
    let row = format!("| {title} | {} | {arguments} | {scenarios} | {} |", suite.version(), columns.join(" | "));
    // Not by `println!`, which the test harness keeps to itself unless the test fails.
    let _ = writeln!(std::io::stdout(), "{row}");
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    assert!(page.lines().any(|line| line == row), "{PAGE} has no row\n{row}");
}

#[test]
fn the_reference_server_by_the_latest_suite() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-everything-latest",
        suite: Suite::Latest,
        arguments: &["--suite", "all"],
        server: Server::Everything,
        speaks: true,
    });
}

#[test]
fn the_reference_server_by_the_requirements_of_2025_11_25() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-everything-2025",
        suite: Suite::Next,
        arguments: &["--requirements", "2025-11-25"],
        server: Server::Everything,
        speaks: true,
    });
}

/// It does not speak that revision, so this is about the errors that a client falls back on.
#[test]
fn the_reference_server_by_the_requirements_of_2026_07_28() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-everything-2026",
        suite: Suite::Next,
        arguments: &["--requirements", "2026-07-28"],
        server: Server::Everything,
        speaks: false,
    });
}

#[test]
fn a_conforming_server_by_the_latest_suite() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-fixtures-latest",
        suite: Suite::Latest,
        arguments: &["--suite", "all"],
        server: Server::Fixtures,
        speaks: true,
    });
}

#[test]
fn a_conforming_server_by_the_requirements_of_2025_11_25() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-fixtures-2025",
        suite: Suite::Next,
        arguments: &["--requirements", "2025-11-25"],
        server: Server::Fixtures,
        speaks: true,
    });
}

#[test]
fn a_conforming_server_by_the_requirements_of_2026_07_28() {
    a_server_seems_the_same(&ServerRun {
        name: "conformance-fixtures-2026",
        suite: Suite::Next,
        arguments: &["--requirements", "2026-07-28"],
        server: Server::Fixtures,
        speaks: true,
    });
}

#[test]
fn a_client_by_the_latest_suite() {
    a_client_seems_the_same(&ClientRun {
        name: "conformance-client-latest",
        suite: Suite::Latest,
        arguments: &[],
        scenarios: &["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"],
    });
}

#[test]
fn a_client_by_the_scenarios_of_2025_11_25() {
    a_client_seems_the_same(&ClientRun {
        name: "conformance-client-2025",
        suite: Suite::Next,
        arguments: &["--spec-version", "2025-11-25"],
        scenarios: &[
            "initialize",
            "tools_call",
            "elicitation-sep1034-client-defaults",
            "sse-retry",
            "json-schema-2020-12-preservation",
        ],
    });
}

#[test]
fn a_client_by_the_scenarios_of_2026_07_28() {
    a_client_seems_the_same(&ClientRun {
        name: "conformance-client-2026",
        suite: Suite::Next,
        arguments: &["--spec-version", "2026-07-28"],
        scenarios: &[
            "tools_call",
            "request-metadata",
            "sep-2322-client-request-state",
            "http-standard-headers",
            "http-custom-headers",
            "http-invalid-tool-headers",
            "json-schema-ref-no-deref",
            "json-schema-2020-12-preservation",
        ],
    });
}
