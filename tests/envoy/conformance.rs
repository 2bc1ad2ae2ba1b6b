//! The official conformance suites, run against a server and again through the gateway: what a policy permits must
//! reach both sides as if there were no gateway, so every check has to end the same way.

use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::fixtures::Fixtures;
use super::support::parts::{Parts, root};
use super::support::setup::Setup;
use super::support::suite::{Check, Suite};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;

/// The page that lists what the suites find.
const PAGE: &str = "docs/conformance.md";

/// One run of a suite.
struct Run {
    name: &'static str,
    suite: Suite,
    arguments: &'static [&'static str],
    server: Server,
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
            Self::Fixtures => "tests/peers/fixtures.py",
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

/// Permits everything.
fn allow_all() -> Value {
    json!({ "version": "1", "default": "allow" })
}

/// Permits everything, too, but has to look at every message for it.
fn judging() -> Value {
    let section = json!({ "default": "allow", "hide": ["no-such-*"] });
    json!({
        "version": "1",
        "default": "allow",
        "hide": ["no-such-*"],
        "all_tools": { "limits": [{ "counter": "all", "window": "hour", "max": 1_000_000, "scope": "session" }] },
        "prompts": section,
        "resources": section,
        "methods": { "default": "allow", "deny": ["no/such/method"] }
    })
}

fn ends_the_same_through_the_gateway(run: &Run) {
    let Some(parts) = Parts::with_conformance() else { return };
    // A server of its own for each, because a session or a subscription may outlive the scenario that made it.
    let server = run.server.start(run.name);
    let direct = run.suite.run_server(run.name, run.arguments, server.address());
    drop(server);
    for (title, policy) in [("allow-all", allow_all()), ("judging", judging())] {
        let name = format!("{}-{title}", run.name);
        let server = run.server.start(&name);
        let envoy = Envoy::start(&parts, &name, &Setup::new(&policy).render(&name, server.address()));
        let through = run.suite.run_server(&name, run.arguments, envoy.address);
        assert_same(&name, &direct, &through);
        assert_eq!(envoy.traps(), 0);
        assert!(envoy.stat("http.mcp.downstream_rq_completed") > scenarios(&direct) as u64, "the suite went around it");
    }
    is_listed(&run.row(&direct));
}

impl Run {
    /// Its row in the table.
    fn row(&self, checks: &[Check]) -> String {
        let count = |status: &str| checks.iter().filter(|check| check.status == status).count();
        format!(
            "| {} | `{}` | `{}` | {} | {} | {} |",
            self.suite.version(),
            self.arguments.join(" "),
            self.server.title(),
            scenarios(checks),
            count("SUCCESS"),
            count("FAILURE")
        )
    }
}

/// Fails with what ended otherwise.
fn assert_same(name: &str, direct: &[Check], through: &[Check]) {
    let missing = |of: &[Check], from: &[Check]| {
        let mut from = from.to_vec();
        let is_missing = |check: &Check| match from.iter().position(|other| other == check) {
            Some(at) => {
                from.remove(at);
                false
            }
            None => true,
        };
        of.iter().cloned().filter(is_missing).collect::<Vec<_>>()
    };
    let (lost, new) = (missing(direct, through), missing(through, direct));
    assert!(lost.is_empty() && new.is_empty(), "{name}: without the gateway {lost:#?}\nwith it {new:#?}");
}

fn scenarios(checks: &[Check]) -> usize {
    checks.iter().map(|check| check.scenario.as_str()).collect::<BTreeSet<_>>().len()
}

/// Shows the row, and fails when the page has another one.
fn is_listed(row: &str) {
    // Not by `println!`, which the test harness keeps to itself unless the test fails.
    let _ = writeln!(std::io::stdout(), "{row}");
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    assert!(page.lines().any(|line| line == row), "{PAGE} has no row\n{row}");
}

const REVISION_2025: &[&str] = &["--requirements", "2025-11-25"];
const REVISION_2026: &[&str] = &["--requirements", "2026-07-28"];
const ALL: &[&str] = &["--suite", "all"];

#[test]
fn the_reference_server_by_the_latest_suite() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-everything-latest",
        suite: Suite::Latest,
        arguments: ALL,
        server: Server::Everything,
    });
}

#[test]
fn the_reference_server_by_the_requirements_of_2025_11_25() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-everything-2025",
        suite: Suite::Next,
        arguments: REVISION_2025,
        server: Server::Everything,
    });
}

#[test]
fn the_reference_server_by_the_requirements_of_2026_07_28() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-everything-2026",
        suite: Suite::Next,
        arguments: REVISION_2026,
        server: Server::Everything,
    });
}

#[test]
fn a_conforming_server_by_the_latest_suite() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-fixtures-latest",
        suite: Suite::Latest,
        arguments: ALL,
        server: Server::Fixtures,
    });
}

#[test]
fn a_conforming_server_by_the_requirements_of_2025_11_25() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-fixtures-2025",
        suite: Suite::Next,
        arguments: REVISION_2025,
        server: Server::Fixtures,
    });
}

#[test]
fn a_conforming_server_by_the_requirements_of_2026_07_28() {
    ends_the_same_through_the_gateway(&Run {
        name: "conformance-fixtures-2026",
        suite: Suite::Next,
        arguments: REVISION_2026,
        server: Server::Fixtures,
    });
}
