//! The answer: what came of a call, the rule that decided, and the words for the caller.

use super::budget::Budget;
use super::reservation::Reservation;
use std::borrow::Cow;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on.
    Allowed,
    /// It is refused.
    Denied,
    /// It is refused until a person has approved it.
    ApprovalRequired,
    /// It goes on, although a rule in shadow mode would have refused it.
    ShadowDenied,
}

impl Outcome {
    /// As records, cases and the command line write them.
    pub(super) const NAMES: [(&'static str, Self); 4] = [
        ("allowed", Self::Allowed),
        ("denied", Self::Denied),
        ("shadow_denied", Self::ShadowDenied),
        ("approval_required", Self::ApprovalRequired),
    ];

    /// The outcome's word in records, cases and the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::ApprovalRequired => "approval_required",
            Self::ShadowDenied => "shadow_denied",
        }
    }

    /// Whether the call goes on.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        match self {
            Self::Allowed | Self::ShadowDenied => true,
            Self::Denied | Self::ApprovalRequired => false,
        }
    }
}

/// Rules that stand in no document.
pub mod rule {
    /// Step 1: the request cannot be read with certainty.
    pub const MALFORMED: &str = "(malformed)";
    /// Step 2: no grant matches.
    pub const NO_GRANT: &str = "(no grant)";
    /// Step 3: no policy is attached to the grant.
    pub const NO_POLICY: &str = "(no policy)";
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
    /// What is left of the limit that refused.
    pub budget: Option<Box<Budget>>,
    /// What holds for the approval that is asked for, with [`Outcome::ApprovalRequired`].
    pub approval: Option<Terms>,
    /// The rule in shadow mode that would have refused a call that another rule did refuse.
    pub shadow_rule: Option<&'p str>,
}

/// What a rule says of the approval that it asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long it may be waited for, and how long one that was given may be used, in seconds; `None`: not said.
    pub timeout_seconds: Option<u64>,
    /// How long the call itself is held for it, in seconds; `None`: it is refused at once.
    pub wait_seconds: Option<u64>,
}

/// Whether something may stand in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed<'p> {
    /// It may.
    Visible,
    /// It is hidden, or has no entry where only entries are seen.
    Hidden,
    /// It is not what was approved.
    Changed {
        /// RFC 6901 pointer to the pin.
        rule: &'p str,
        /// It stays all the same.
        is_shadow: bool,
    },
}

/// A rule that refuses.
#[derive(Debug, Clone)]
pub(super) struct Finding<'p> {
    pub(super) rule: &'p str,
    pub(super) message: Cow<'p, str>,
}

impl<'p> Finding<'p> {
    pub(super) fn new(rule: &'p str, message: impl Into<Cow<'p, str>>) -> Self {
        Self { rule, message: message.into() }
    }
}

impl<'p> Decision<'p> {
    /// What the words for a caller without a grant are.
    pub const NO_GRANT: &'static str = "No grant matches the credentials of this request";
    /// What the words for a grant without a policy are.
    pub const NO_POLICY: &'static str = "No policy is attached to this grant";

    /// Step 1: the request cannot be read with certainty, for this reason.
    #[must_use]
    pub fn malformed(reason: String) -> Self {
        Self::denied(Finding::new(rule::MALFORMED, reason), None)
    }

    /// Step 2: no grant matches the caller.
    #[must_use]
    pub fn no_grant() -> Self {
        Self::denied(Finding::new(rule::NO_GRANT, Self::NO_GRANT), None)
    }

    /// Step 3: no policy is attached to the caller's grant.
    #[must_use]
    pub fn no_policy() -> Self {
        Self::denied(Finding::new(rule::NO_POLICY, Self::NO_POLICY), None)
    }

    /// Nothing enforced refused it; what is in shadow mode may have.
    pub(super) fn passed(reservation: Reservation, shadow: Option<Finding<'p>>) -> Self {
        let outcome = if shadow.is_some() { Outcome::ShadowDenied } else { Outcome::Allowed };
        let Finding { rule, message } = shadow.unwrap_or(Finding::new("", ""));
        Self { outcome, rule, message, reservation, budget: None, approval: None, shadow_rule: None }
    }

    /// A person must approve it first.
    pub(super) fn unapproved(finding: Finding<'p>, terms: Terms, shadow: Option<Finding<'p>>) -> Self {
        Self { outcome: Outcome::ApprovalRequired, approval: Some(terms), ..Self::denied(finding, shadow) }
    }

    pub(super) fn denied(finding: Finding<'p>, shadow: Option<Finding<'p>>) -> Self {
        let Finding { rule, message } = finding;
        let shadow_rule = shadow.map(|finding| finding.rule);
        Self {
            outcome: Outcome::Denied,
            rule,
            message,
            reservation: Reservation::default(),
            budget: None,
            approval: None,
            shadow_rule,
        }
    }
}
