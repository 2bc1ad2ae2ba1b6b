//! The servers of the farm: what to start, and what each says that it ran.

use crate::support::parts::{PYTHON, root};
use crate::support::process::Process;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;

/// Where `scripts/differential.sh` puts them, from the root of the checkout.
const BUILT: &str = "target/differential";

/// Each server: its name, its program and arguments from the root of the checkout.
pub(super) const SERVERS: [(&str, &[&str]); 8] = [
    ("typescript-1", &["node", "target/differential/node/ts1.mjs"]),
    ("typescript-1-express", &["node", "target/differential/node/ts1.mjs", "express"]),
    ("typescript-2", &["node", "target/differential/node/ts2.mjs"]),
    ("typescript-2-express", &["node", "target/differential/node/ts2.mjs", "express"]),
    ("python", &[PYTHON, "target/differential/server.py"]),
    ("rust", &["target/differential/rust/debug/differential-server"]),
    ("go", &["target/differential/go-server"]),
    // Not an SDK's: as loose as a server can be.
    ("go-plain", &["target/differential/go-server", "plain"]),
];

/// What has to be there, from the root of the checkout.
pub(super) const PARTS: [&str; 4] = [
    "target/differential/node/node_modules/.installed-from",
    "target/differential/rust/debug/differential-server",
    "target/differential/go-server",
    PYTHON,
];

/// A running server. Killed when dropped.
pub(super) struct Server {
    process: Process,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// One tool that a server was asked to run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The `x-case` of its request.
    pub(super) case: String,
    /// Its name; `None` where it has no characters.
    pub(super) tool: Option<String>,
    /// JSON text.
    pub(super) arguments: Option<String>,
}

impl Server {
    /// Starts one; its log is `target/e2e/NAME.log`.
    pub(super) fn start(name: &str, command: &[&str]) -> Self {
        let program = if command[0].contains('/') { root().join(command[0]) } else { command[0].into() };
        let mut child = Command::new(program);
        child.args(&command[1..]).current_dir(root());
        // Node's own would add the path of a package file to the log.
        child.env_remove("NODE_OPTIONS");
        let mut process = Process::start(name, &mut child);
        let address = process.wait_for("an address to listen on", |process| {
            let log = process.log();
            log.lines().find_map(|line| line.strip_prefix("listening on "))?.parse().ok()
        });
        Self { process, address }
    }

    /// All it was asked to run, as soon as that includes a run of the case `last`.
    pub(super) fn runs(&mut self, last: &str) -> Vec<Run> {
        self.process.wait_for(&format!("a run of {last}"), |process| {
            let output = process.output();
            let lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let runs: Vec<Run> = lines.map(Run::parse).collect();
            runs.iter().any(|run| run.case == last).then_some(runs)
        })
    }
}

impl Run {
    fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let text = |member: &str| line[member].as_str().map(str::to_owned);
        Self {
            case: text("case").unwrap_or_default(),
            tool: text("tool").and_then(|text| serde_json::from_str(&text).ok()),
            arguments: text("arguments"),
        }
    }
}

#[test]
fn every_server_is_where_the_script_puts_it() {
    assert!(PARTS.iter().all(|part| part.starts_with(BUILT) || *part == PYTHON));
}
