//! Refusals of whole requests, as HTTP and JSON-RPC say them.

use super::Reply;
use crate::policy::{Decision, rule};
use crate::wire::reply;
use std::borrow::Cow;

/// JSON-RPC error codes of our own: outside the range that JSON-RPC reserves, and like HTTP's.
const NOT_GRANTED: i32 = 401;
const NO_POLICY: i32 = 403;

/// Why a request is refused before anything of it is judged.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) rule: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) details: &'static str,
}

impl Refusal {
    pub(super) fn bad_request(code: i32, reason: impl Into<String>) -> Self {
        let (rule, details) = (rule::MALFORMED, "mcp_malformed");
        Self { status: 400, rule, headers: &[], code, reason: reason.into(), details }
    }

    /// Nobody that may call calls like that. 401 is no policy's word but HTTP's for this, and tells a client to
    /// authenticate (RFC 6750, section 3).
    pub(super) fn no_grant() -> Self {
        Self {
            status: 401,
            rule: rule::NO_GRANT,
            headers: &[("www-authenticate", "Bearer")],
            code: NOT_GRANTED,
            reason: Decision::NO_GRANT.to_owned(),
            details: "mcp_no_grant",
        }
    }

    /// A known caller without a policy. For what carries no message 405: to clients that is a server which offers no
    /// stream, or no end of a session, and no reason to give up.
    pub(super) fn no_policy(status: u16) -> Self {
        let headers: &[_] = if status == 405 { &[("allow", "POST")] } else { &[] };
        let reason = Decision::NO_POLICY.to_owned();
        Self { status, rule: rule::NO_POLICY, headers, code: NO_POLICY, reason, details: "mcp_denied" }
    }

    pub(super) fn reply(&self, id: Option<&str>) -> Reply {
        let body = reply::error(id, self.code, &self.reason);
        let headers = self.headers.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
        Reply { status: self.status, headers, body, details: self.details }
    }
}
