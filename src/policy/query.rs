//! The question: who calls what, when.

use super::facts::Facts;
use crate::timestamp::Timestamp;
use crate::wire::json::Raw;

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

/// One `tools/call` to judge.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// The tool's name, unescaped.
    pub tool: &'a str,
    /// `params.arguments`, an object.
    pub arguments: Option<Raw<'a>>,
    /// `params._meta`.
    pub meta: Option<Raw<'a>>,
    /// When, by the proxy's clock.
    pub now: Timestamp,
    /// What else the proxy knows.
    pub facts: &'a dyn Facts,
}
