//! `mcp-policy`: arguments → command → exit code, nothing else.
//!
//! Exit codes: 0 when all is well, 1 for findings in what was read, 2 for usage and unreadable files.

#![cfg_attr(target_arch = "wasm32", allow(missing_docs))]

#[cfg(not(target_arch = "wasm32"))]
mod cli;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::run()
}

#[cfg(target_arch = "wasm32")]
fn main() {}
