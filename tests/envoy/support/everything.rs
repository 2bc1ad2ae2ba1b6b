//! The reference MCP server, `@modelcontextprotocol/server-everything`, on streamable HTTP.

use super::parts::{PEERS, root};
use super::process::Process;
use std::net::SocketAddr;
use std::process::Command;

/// A running server. Killed when dropped.
pub(crate) struct Everything {
    _process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Everything {
    /// Starts one; its log is `target/e2e/NAME.log`.
    pub(crate) fn start(name: &str) -> Self {
        let peers = root().join(PEERS);
        let mut command = Command::new("node");
        command.arg("--require").arg(peers.join("loopback.cjs"));
        command.arg(peers.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js"));
        command.arg("streamableHttp").env("PORT", "0").current_dir(&peers);
        let mut process = Process::start(name, &mut command);
        let address = process.wait_for_address("loopback.cjs: listening on ");
        Self { _process: process, address }
    }

    /// The URL of its MCP endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
