//! What holds whichever policy applies: sizes, words, and what of a request is kept from the server.

use crate::policy::{Fields, Problems};
use crate::recent::MAX_DECISIONS;

/// Bytes of a request body that are judged unless `max_body_bytes` says otherwise.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;
/// How long a client keeps a list unless `max_list_ttl_ms` says otherwise: that long an edit of the policy may stay unseen.
pub const DEFAULT_MAX_LIST_TTL_MS: u64 = 60_000;
/// How many of the last decisions are kept unless `decisions` says otherwise.
const DEFAULT_DECISIONS: u16 = 256;
/// The most that `max_list_ttl_ms` may say, a day.
const LARGEST_MAX_LIST_TTL_MS: u64 = 86_400_000;
/// The most that `max_body_bytes` may say: the body is held in the worker's memory.
const LARGEST_MAX_BODY_BYTES: usize = 64 << 20;

/// What holds whichever policy applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the text of a refused call begins with.
    pub deny_prefix: String,
    /// Keep `authorization` from the server: the token is meant for this gateway.
    pub strip_authorization: bool,
    /// Keep `cookie` from the server.
    pub strip_cookies: bool,
    /// Where in the proxy's metadata the payload of a verified JWT lies: `payload_in_metadata` of Envoy's `jwt_authn`.
    pub jwt_payload_key: String,
    /// The largest request body that is judged; one byte more is refused.
    pub max_body_bytes: usize,
    /// The longest that a client is told to keep a list which may be another one for another caller, in milliseconds.
    pub max_list_ttl_ms: u64,
    /// Keep a request's headers back until its body is judged. Must equal the host's
    /// `allow_on_headers_stop_iteration`: without that option, held requests never go on.
    pub hold_request_headers: bool,
    /// How the call of a hidden tool is answered.
    pub hidden_reply: HiddenReply,
    /// What a call gets that a limit refuses.
    pub limit_reply: LimitReply,
    /// Tell in the result of a call what its limits leave.
    pub report_budget: bool,
    /// Which decisions also go to the host's log.
    pub log: Log,
    /// How many of the last decisions the admin side can tell.
    pub decisions: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deny_prefix: "[POLICY DENIED] ".to_owned(),
            strip_authorization: false,
            strip_cookies: false,
            jwt_payload_key: "jwt_payload".to_owned(),
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_list_ttl_ms: DEFAULT_MAX_LIST_TTL_MS,
            hold_request_headers: false,
            hidden_reply: HiddenReply::Policy,
            limit_reply: LimitReply::ToolError,
            report_budget: false,
            log: Log::Refusals,
            decisions: DEFAULT_DECISIONS,
        }
    }
}

/// How the call of a hidden tool is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenReply {
    /// With the policy's text.
    Policy,
    /// Exactly as the call of a tool that does not exist.
    UnknownTool,
}

/// What a call gets that a limit refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReply {
    /// A result that says that it failed; clients hand it to the model.
    ToolError,
    /// A JSON-RPC error.
    JsonRpcError,
    /// The same with HTTP status 429, for clients that wait and try again; most lose all but the status.
    Http429,
}

/// Which decisions also go to the host's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Refused ones.
    Refusals,
    /// Every one.
    All,
    /// None.
    None,
}

impl Settings {
    /// `takes_tokens`: a grant is matched by a bearer token. Then the request's credentials were for this gateway, and
    /// stay here unless the configuration says otherwise.
    pub(super) fn read(fields: &mut Fields<'_>, takes_tokens: bool, problems: &mut Problems) -> Self {
        let defaults = Self::default();
        let deny_prefix = fields.string("deny_prefix", problems).map_or(defaults.deny_prefix, str::to_owned);
        let strip_authorization = fields.bool("strip_authorization", problems).unwrap_or(takes_tokens);
        let strip_cookies = fields.bool("strip_cookies", problems).unwrap_or(takes_tokens);
        let jwt_payload_key =
            fields.string("jwt_payload_key", problems).map_or(defaults.jwt_payload_key, str::to_owned);
        if jwt_payload_key.is_empty() {
            problems.add(&fields.at().child("jwt_payload_key"), "jwt_payload_key must not be empty");
        }
        let hold_request_headers =
            fields.bool("hold_request_headers", problems).unwrap_or(defaults.hold_request_headers);
        let max_body_bytes = fields.integer("max_body_bytes", 1..=LARGEST_MAX_BODY_BYTES, problems);
        let max_list_ttl_ms = fields.integer("max_list_ttl_ms", 0..=LARGEST_MAX_LIST_TTL_MS, problems);
        let report_budget = fields.bool("report_budget", problems).unwrap_or(defaults.report_budget);
        let decisions = fields.integer("decisions", 0..=MAX_DECISIONS, problems);
        let replies = [("policy", HiddenReply::Policy), ("unknown_tool", HiddenReply::UnknownTool)];
        let limit_replies = [
            ("tool_error", LimitReply::ToolError),
            ("jsonrpc_error", LimitReply::JsonRpcError),
            ("http_429", LimitReply::Http429),
        ];
        let logs = [("refusals", Log::Refusals), ("all", Log::All), ("none", Log::None)];
        Self {
            deny_prefix,
            strip_authorization,
            strip_cookies,
            jwt_payload_key,
            max_body_bytes: max_body_bytes.unwrap_or(defaults.max_body_bytes),
            max_list_ttl_ms: max_list_ttl_ms.unwrap_or(defaults.max_list_ttl_ms),
            hold_request_headers,
            hidden_reply: fields.choice("hidden_reply", &replies, problems).unwrap_or(defaults.hidden_reply),
            limit_reply: fields.choice("limit_reply", &limit_replies, problems).unwrap_or(defaults.limit_reply),
            report_budget,
            log: fields.choice("log", &logs, problems).unwrap_or(defaults.log),
            decisions: decisions.unwrap_or(defaults.decisions),
        }
    }
}
