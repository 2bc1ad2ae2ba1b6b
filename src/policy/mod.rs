//! The engine: a policy document, compiled once, turns a [`Query`] into a [`Decision`].
//!
//! Knows no bytes of the wire, no host and no clock: time is an argument, counters are a [`Store`].
//! What a policy means is settled in `docs/policy.md`; step numbers in comments are its decision order.

mod budget;
pub(crate) mod case;
mod compile;
mod condition;
mod counter;
mod decide;
mod decision;
mod document;
mod facts;
mod fields;
mod lease;
mod limit;
pub mod lint;
mod methods;
mod names;
mod number;
mod path;
mod pattern;
mod pin;
mod problem;
mod query;
mod reservation;
mod rules;
mod schedule;
mod service;
mod slots;
mod stance;
mod standing;
mod stated;
mod store;
pub(crate) mod survey;
mod trace;
mod trees;
mod upstream;
mod window;

pub use budget::{Budget, amount};
pub use compile::Policy;
pub use decision::{Decision, Listed, Outcome, Terms, rule};
pub use facts::{Claim, Facts, NoFacts, Unclear};
pub use fields::Fields;
pub use lease::{Block, Draw, Slot, Spent};
pub(crate) use number::same_number;
pub(crate) use path::claim_path;
pub(crate) use pattern::Pattern;
pub use pin::Pin;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use problem::did_you_mean;
pub use problem::{Pointer, Problem, Problems};
pub use query::{Principal, Query, Target};
pub use reservation::Reservation;
pub use service::{Counted, Counter, CounterFamily, Question, Settled, Unit};
pub use stance::{Stance, Standpoint};
pub use standing::Standing;
pub use store::{MemoryStore, PutError, Store, Unavailable, Version};
pub use trace::{StepKind, Steps, Trace, Untraced, Verdict};
pub use upstream::Upstream;
