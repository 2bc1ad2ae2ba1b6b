//! The plugin in a real Envoy, before real MCP servers and before a scripted one, driven by real clients and by raw
//! bytes.
//!
//! Needs what `make test` brings: Envoy (its path in `MCP_POLICY_ENVOY`), the plugin, and for the real servers and
//! clients `target/peers`. Without them each test says what is missing and passes; with `MCP_POLICY_E2E=required` it
//! fails. Logs and configurations are left in `target/e2e/`, named as the test names them.
//!
//! No test shares a process or a port with another one, so they run in parallel. Nothing sleeps in hope: whatever takes
//! time is waited for, up to a deadline.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "these lints keep the plugin from trapping and the core from knowing its host; a test may fail, and is one"
)]

mod abandoned;
mod admin_side;
mod answers;
mod approvals;
mod approvals_flood;
mod approvals_tokens;
mod approved;
mod bad_input;
mod cases;
mod claims;
mod clients;
mod commands;
mod configuration;
mod conformance;
mod console;
mod denials;
mod differential;
mod faults;
mod forwarding;
mod framing;
mod func_e;
mod grants;
mod held;
mod hostile;
mod https;
mod large;
mod limits;
mod lists;
mod load;
#[path = "../support/mod.rs"]
mod native;
mod neighbours;
mod notify;
mod pins;
mod playground;
mod random;
mod rate_limit_service;
mod records;
mod refunds;
mod reload;
mod reload_load;
mod requests;
mod revisions;
mod run;
mod scan;
mod sections;
mod soak;
mod streams;
mod support;
mod troubleshooting;
mod unreadable;
mod upgrade;
mod watched;
mod wires;
