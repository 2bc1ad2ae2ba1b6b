//! The server that the conformance suites expect, `tests/peers/fixtures.py`: every revision on one streamable HTTP
//! endpoint, 2026-07-28 too.

use super::parts::{PEERS, PYTHON, root};
use super::process::Process;
use std::net::SocketAddr;
use std::process::Command;

/// A running server. Killed when dropped.
pub(crate) struct Fixtures {
    _process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Fixtures {
    /// Starts one; its log is `target/e2e/NAME.log`.
    pub(crate) fn start(name: &str) -> Self {
        let mut command = Command::new(root().join(PYTHON));
        command.args(["-W", "ignore"]).arg(root().join(PEERS).join("fixtures.py"));
        let mut process = Process::start(name, &mut command);
        let address = process.wait_for_address("fixtures.py: listening on ");
        Self { _process: process, address }
    }

    /// The URL of its MCP endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
