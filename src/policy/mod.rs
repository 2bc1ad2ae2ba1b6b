//! The engine: a policy document, compiled once, turns a [`Query`] into a [`Decision`].
//!
//! Knows no bytes of the wire, no host and no clock: time is an argument, counters are a [`Store`].
//! What a policy means is settled in `docs/policy.md`; step numbers in comments are its decision order.

mod compile;
mod decide;
mod decision;
mod document;
mod fields;
mod limit;
mod pattern;
mod problem;
mod query;
mod store;

pub use compile::Policy;
pub use decision::{Decision, Outcome, rule};
pub use fields::Fields;
pub use limit::Reservation;
pub use problem::{Pointer, Problem, Problems};
pub use query::{Principal, Query};
pub use store::{MemoryStore, PutError, Store, Unavailable, Version};
