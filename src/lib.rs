//! mcp-policy: a policy gateway for MCP, the protocol by which AI agents call tools.
//!
//! A message goes through four small stages: **parse → classify → decide → act**. The first two are pure
//! functions on borrowed data ([`wire`]); the third touches only the counters it is handed ([`policy`]);
//! what to do is a value ([`exchange::Step`]), and only a host does it.
//!
//! ```text
//! wire  ←  policy  ←  claims  ←  cases, config, exchange  ←  plugin | command line | browser
//!                              (record and recent sit beside exchange, admin above both; playground beside exchange;
//!                               risk takes from none, starter from risk and policy, playground from both,
//!                               convert, for this machine only, from policy and wire)
//! ```
//!
//! Arrows are imports and never turn back; `policy` takes of `wire` only its readers of JSON and the words of
//! MCP. Below the hosts there is no clock, file, environment, randomness or logging: time is a
//! [`timestamp::Timestamp`], a caller a [`policy::Principal`], counters a [`policy::Store`].
//!
//! The library builds for this machine, as Envoy's plugin for `wasm32-wasip1` (the only build that knows
//! proxy-wasm), and as the [`playground`]'s engine for `wasm32-unknown-unknown`, which the plugin carries.

pub mod admin;
pub mod approvals;
pub mod cases;
mod claims;
pub mod config;
#[cfg(not(target_arch = "wasm32"))]
pub mod convert;
pub mod exchange;
pub mod playground;
mod plugin;
pub mod policy;
pub mod recent;
pub mod record;
pub mod risk;
pub mod starter;
pub mod timestamp;
pub mod wire;
