//! The answer: what came of a call, the rule that decided, and the words for the caller.

use super::limit::Reservation;
use std::borrow::Cow;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on.
    Allowed,
    /// It is refused.
    Denied,
}

/// Rules that stand in no document.
pub mod rule {
    /// Step 1: the request cannot be read with certainty.
    pub const MALFORMED: &str = "(malformed)";
    /// Step 5: the tool is hidden.
    pub const HIDDEN: &str = "(hidden)";
    /// Step 6: the tool is not listed under `default: deny`.
    pub const DEFAULT_DENY: &str = "(default deny)";
    /// Step 14: the engine could not do its work.
    pub const ERROR: &str = "(error)";
}

/// The answer to one query.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<'p> {
    /// What came of it.
    pub outcome: Outcome,
    /// RFC 6901 pointer to the rule that decided, one of [`rule`], or empty when nothing fired.
    pub rule: &'p str,
    /// Why, for the caller; empty when allowed.
    pub message: Cow<'p, str>,
    /// What an allowed call spent.
    pub reservation: Reservation,
}

impl<'p> Decision<'p> {
    pub(super) fn allowed(reservation: Reservation) -> Self {
        Self { outcome: Outcome::Allowed, rule: "", message: Cow::Borrowed(""), reservation }
    }

    pub(super) fn denied(rule: &'p str, message: impl Into<Cow<'p, str>>) -> Self {
        Self { outcome: Outcome::Denied, rule, message: message.into(), reservation: Reservation::default() }
    }

    pub(super) fn failed() -> Self {
        Self::denied(rule::ERROR, "Internal policy error")
    }
}
