//! The question: who asks for what, when.

use super::facts::Facts;
use crate::timestamp::Timestamp;
use crate::wire::json::Raw;
use crate::wire::mcp::Feature;

/// Who calls. Made once a request, from what the proxy knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The grant's id; `anonymous` under a policy without grants.
    pub grant: String,
    /// The `Mcp-Session-Id`, the client's word.
    pub session: Option<String>,
}

impl Principal {
    /// The grant of a configuration that has none.
    pub const ANONYMOUS: &'static str = "anonymous";
}

/// The one thing that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// What kind of thing; it chooses the section of the policy.
    pub feature: Feature,
    /// Its name or URI, unescaped.
    pub name: &'a str,
}

impl Target<'_> {
    /// How a message for the caller begins.
    pub(super) fn subject(self) -> String {
        let kind = match self.feature {
            Feature::Tool => "Tool",
            Feature::Prompt => "Prompt",
            Feature::Resource => "Resource",
        };
        format!("{kind} \"{}\"", self.name)
    }
}

/// One message of a client to judge.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The JSON-RPC method.
    pub method: &'a str,
    /// What it reaches; `None` where the method alone is judged.
    pub target: Option<Target<'a>>,
    /// `params.arguments`, an object.
    pub arguments: Option<Raw<'a>>,
    /// It carries `params.inputResponses` or `params.requestState`: by the client's word, it goes on with an earlier call
    /// (MCP 2026-07-28, multi round-trip requests).
    pub continues: bool,
    /// `params._meta`.
    pub meta: Option<Raw<'a>>,
    /// Whether what it adds to its limits is only written down, for a service that counts it:
    /// [`Reservation::take_question`](super::Reservation::take_question).
    pub defers_limits: bool,
    /// Whether what is left of its limits is to be told when it goes on:
    /// [`Reservation::budgets`](super::Reservation::budgets).
    pub tells_budgets: bool,
    /// The rule whose approval it has.
    pub approved: Option<&'a str>,
    /// When, by the proxy's clock.
    pub now: Timestamp,
    /// What else the proxy knows.
    pub facts: &'a dyn Facts,
}
