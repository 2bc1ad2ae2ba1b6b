//! The reference MCP server, `@modelcontextprotocol/server-everything`, on streamable HTTP or on HTTP+SSE.

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
    /// Starts one on streamable HTTP; its log is `target/e2e/NAME.log`.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_on(name, "streamableHttp")
    }

    /// Starts one on HTTP+SSE, under `/sse`.
    pub(crate) fn start_on_sse(name: &str) -> Self {
        Self::start_on(name, "sse")
    }

    fn start_on(name: &str, transport: &str) -> Self {
        let peers = root().join(PEERS);
        let mut command = Command::new("node");
        command.arg("--require").arg(peers.join("loopback.cjs"));
        command.arg(peers.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js"));
        command.arg(transport).env("PORT", "0").current_dir(&peers);
        let mut process = Process::start(name, &mut command);
        let address = process.wait_for_address("loopback.cjs: listening on ");
        Self { _process: process, address }
    }

    /// The URL of its MCP endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
