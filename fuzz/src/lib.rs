//! What must hold for every input, whatever wrote it: one module for each fuzz target, each with one
//! `check` that panics on a violation. Nothing here knows the fuzzer, so that `cargo test` replays the
//! seeds and the regressions with the same code (`tests/fuzz.rs`).
//!
//! The judges share no code with what they judge: [`judge`] reads JSON and event streams as the laxest of
//! parsers might.

#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, clippy::string_slice, missing_docs)]

pub mod headers;
pub mod host;
pub mod judge;
pub mod list;
pub mod mutate;
pub mod number;
pub mod policy;
pub mod request;
pub mod sse;
#[path = "../../tests/support/mod.rs"]
pub mod support;
