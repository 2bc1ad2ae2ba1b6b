//! The question: who calls what, when.

use crate::timestamp::Timestamp;

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
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// The tool's name, unescaped.
    pub tool: &'a str,
    /// When, by the proxy's clock.
    pub now: Timestamp,
}
