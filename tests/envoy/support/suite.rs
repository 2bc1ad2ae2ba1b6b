//! The official conformance suites: one run of the command line tool, and what came of each of its checks.

use super::parts::{PEERS, root, scratch};
use super::relay::Relay;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tool puts around the name of a server's scenario, as in `server-ping-2026-01-31T23-59-59-000Z`.
const PREFIX: &str = "server-";
const TIMESTAMP_LENGTH: usize = "-2026-01-31T23-59-59-000Z".len();

/// Which release of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// The latest one: revisions up to 2025-11-25.
    Latest,
    /// The coming one: also 2026-07-28, and it checks every message that a server sends by the revision's schema.
    Next,
}

/// One check in one scenario.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The check's id; some scenarios use one more than once.
    pub(crate) id: String,
    /// `SUCCESS`, `FAILURE`, and others that do not count.
    pub(crate) status: String,
    /// Why, where the suite says so; addresses are left out, because they differ from run to run.
    pub(crate) message: String,
}

impl Check {
    fn new(scenario: &str, id: &str, status: &str, message: &str) -> Self {
        let message = without_addresses(message);
        Self { scenario: scenario.to_owned(), id: id.to_owned(), status: status.to_owned(), message }
    }
}

impl Suite {
    /// Its version, as `tests/peers/conformance` pins it.
    pub(crate) fn version(self) -> String {
        let package = self.package().join("package.json");
        let package: Value = serde_json::from_slice(&fs::read(package).expect("a package")).expect("JSON");
        package["version"].as_str().expect("a version").to_owned()
    }

    /// Runs `server ARGUMENTS` against the server at `address`. The results are left in `target/e2e/NAME.checks/`.
    pub(crate) fn run_server(self, name: &str, arguments: &[&str], address: SocketAddr) -> Vec<Check> {
        let url = format!("http://{address}/mcp");
        self.run(name, Command::new(node()), &[&["server", "--url", &url], arguments].concat())
    }

    /// Runs `client --scenario SCENARIO ARGUMENTS` on the client that `tests/peers` has for it, which connects through
    /// `gateway` if there is one.
    pub(crate) fn run_client(
        self,
        name: &str,
        scenario: &str,
        arguments: &[&str],
        gateway: Option<(SocketAddr, &Relay)>,
    ) -> Vec<Check> {
        let mut command = Command::new(node());
        if let Some((address, relay)) = gateway {
            command.env("MCP_POLICY_GATEWAY", address.to_string()).env("MCP_POLICY_TARGET", &relay.target);
        }
        // The suite gives the line to a shell, so it should hold no path.
        let client = ["client", "--command", "node conformance-client.mjs", "--scenario", scenario];
        let checks = self.run(&format!("{name}-{scenario}"), command, &[&client, arguments].concat());
        // A connection that is kept would lead the next scenario to this one's server.
        if let Some((_, relay)) = gateway {
            relay.wait_for_rest();
        }
        checks
    }

    fn run(self, name: &str, mut command: Command, arguments: &[&str]) -> Vec<Check> {
        let results = scratch(&format!("{name}.checks"));
        // An earlier run's would be taken for this one's.
        let _ = fs::remove_dir_all(&results);
        command.current_dir(root().join(PEERS)).env("NO_PROXY", "127.0.0.1,localhost");
        command.arg(self.package().join("dist/index.js")).args(arguments).arg("--output-dir").arg(&results);
        let output = command.output().expect("the suite runs");
        let text = String::from_utf8_lossy(&output.stdout);
        fs::write(scratch(&format!("{name}.out")), text.as_bytes()).expect("a file in target/e2e");
        // 1 says that some check failed.
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{name}: {}\n{text}{error}", output.status);
        read(&results)
    }

    fn package(self) -> PathBuf {
        let package = match self {
            Self::Latest => "@modelcontextprotocol/conformance",
            Self::Next => "conformance-next",
        };
        root().join(PEERS).join("conformance/node_modules").join(package)
    }
}

/// The suites need a newer node than the servers do; where none is packaged for this machine, the one in the PATH.
fn node() -> PathBuf {
    let packaged = root().join(PEERS).join("conformance/node_modules/.bin/node");
    if packaged.exists() { packaged } else { "node".into() }
}

/// The checks that lie in `results`, one directory for each scenario, sorted.
fn read(results: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for directory in fs::read_dir(results).expect("the suite's results") {
        let directory = directory.expect("a directory of results");
        let name = directory.file_name().into_string().expect("a name in ASCII");
        let scenario = &name[..name.len() - TIMESTAMP_LENGTH];
        let scenario = scenario.strip_prefix(PREFIX).unwrap_or(scenario);
        let Ok(file) = fs::read(directory.path().join("checks.json")) else {
            // A scenario that broke off leaves none, and counts as one failure.
            checks.push(Check::new(scenario, "", "FAILURE", "the scenario broke off"));
            continue;
        };
        let found: Vec<Value> = serde_json::from_slice(&file).expect("a list of checks");
        for check in &found {
            let text = |member: &str| check[member].as_str().unwrap_or_default();
            checks.push(Check::new(scenario, text("id"), text("status"), text("errorMessage")));
        }
    }
    checks.sort();
    checks
}

/// `message` with `HOST` for each `127.0.0.1:PORT` and `localhost:PORT`.
fn without_addresses(message: &str) -> String {
    let mut out = message.to_owned();
    for host in ["127.0.0.1:", "localhost:"] {
        let mut parts = out.split(host);
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
        out = rest.fold(first, |text, part| text + "HOST" + part);
    }
    out
}
