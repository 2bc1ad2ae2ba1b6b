//! What the clients of a soak ask, in turn, and what has to come of it.

use super::super::support::http::Response;
use super::super::support::mcp;
use super::super::support::request::Request;
use super::super::support::setup::with_text;
use super::server::LONG_LIST;
use serde_json::{Value, json};

/// What the names of hidden tools begin with.
pub(super) const HIDDEN: &str = "hidden_";
/// The tools that no policy of the soak lets anybody run.
pub(super) const REFUSED: [&str; 4] = ["denied", "hidden_b", "limited", "spend"];
/// How often `budget` may be called within a minute.
pub(super) const BUDGET: usize = 100;
/// The name of the shape that calls it.
pub(super) const BUDGETED: &str = "a call within a budget";

const MAX_BODY_BYTES: usize = 4096;

/// One kind of request.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

/// What has to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The call runs.
    Runs,
    /// The call runs or is refused, as policy and counter are just then; refused by this rule.
    Depends(&'static str),
    /// A refusal with this status, by this rule.
    Refused(u16, &'static str),
    /// A list of so many tools.
    Listed(usize),
    /// HTTP+SSE: the server says 202, and answers on another stream.
    Accepted,
    /// The same, when the server is made to say what was refused.
    AcceptedRefused(&'static str),
}

/// What came of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Ran,
    Refused,
    Listed,
    Accepted,
    /// Envoy said that the server is away, which it was.
    ServerAway,
    /// The connection was closed within the answer, by a restart of the server.
    Broken,
}

/// The two policies between which reloads alternate: under the second, `turn` is denied.
pub(super) fn policy(is_second: bool) -> Value {
    let limit = |max: usize, window: &str, counter: &str| json!({ "limits": [{ "counter": counter, "window": window, "max": max, "scope": "grant" }] });
    json!({
        "version": "1",
        "default": "allow",
        "hide": [format!("{HIDDEN}*"), "reload_0"],
        "tools": {
            "denied": { "action": "deny" },
            "limited": limit(0, "hour", "none"),
            "budget": limit(BUDGET, "minute", "budget"),
            "turn": if is_second { json!({ "action": "deny" }) } else { json!({}) },
            "spend": { "deny_if": [{ "id": "cap", "conditions": [{ "path": "args.amount", "op": "gt", "value": 5 }] }] }
        }
    })
}

/// The Envoy file with a configuration that has to be refused.
pub(super) fn with_faulty(file: &str) -> String {
    let mut policy = policy(true);
    policy["tests"] = json!([{ "name": "turn runs", "call": { "tool": "turn" }, "expect": "allowed" }]);
    with_text(file, &policy.to_string())
}

/// The members of the plugin's configuration beside its policies.
pub(super) fn settings() -> [(&'static str, Value); 2] {
    [("max_body_bytes", MAX_BODY_BYTES.into()), ("log", "refusals".into())]
}

pub(super) fn shapes() -> Vec<Shape> {
    use Expected::{Accepted, AcceptedRefused, Depends, Listed, Refused, Runs};
    let shape = |name, request, expected| Shape { name, request, expected };
    let call = |tool| Request::post(mcp::call("7", tool));
    let spend = || Request::post(mcp::call_with("7", "spend", &json!({ "amount": 6 })));
    let list = |form: &str| Request::post(mcp::list("7")).with("x-answer", form);
    let legacy = |body: String| Request::post(body).to("/message?sessionId=3f2a");
    let raw = |body: &[u8]| Request::post(body);
    let malformed = |status| Refused(status, "(malformed)");
    let large = format!("{}{}", mcp::call("7", "free"), " ".repeat(MAX_BODY_BYTES));
    let without_id = br#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#;
    let two_names = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","name":"denied"}}"#;
    let batch = br#"[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free"}}]"#;
    vec![
        shape("an allowed call", call("free"), Runs),
        shape("a denied call", call("denied"), Refused(200, "/tools/denied/action")),
        shape("a list", list("json"), Listed(18)),
        shape("not JSON", raw(b"hello"), malformed(400)),
        shape(BUDGETED, call("budget"), Depends("/tools/budget/limits/budget")),
        shape("a hidden tool", call("hidden_b"), Refused(200, "(hidden)")),
        shape("a list as an event", list("events"), Listed(18)),
        shape("a batch", raw(batch), malformed(400)),
        shape("an allowed call in chunks", call("free").chunked(), Runs),
        shape("a used up limit", call("limited"), Refused(200, "/tools/limited/limits/none")),
        shape("a call that depends on the policy", call("turn"), Depends("/tools/turn/action")),
        shape("two names", raw(two_names), malformed(200)),
        shape("a posted call", legacy(mcp::call("7", "free")), Accepted),
        shape(
            "a posted call that is denied",
            legacy(mcp::call("7", "denied")),
            AcceptedRefused("/tools/denied/action"),
        ),
        shape("an argument over a cap", spend(), Refused(200, "/tools/spend/deny_if/cap")),
        shape("a call without an id", raw(without_id), malformed(202)),
        shape("a long list", list("long"), Listed(LONG_LIST / 10 * 9)),
        shape("a long list as an event", list("long event"), Listed(LONG_LIST / 10 * 9)),
        shape("too large", raw(large.as_bytes()), malformed(413)),
        shape("too large, not announced", raw(large.as_bytes()).chunked(), malformed(413)),
        shape(
            "another content type",
            call("free").without("content-type").with("content-type", "text/plain"),
            malformed(415),
        ),
        shape("gzip", call("free").with("content-encoding", "gzip"), malformed(415)),
        shape("PUT", call("free").by("PUT"), malformed(405)),
        shape("GET with a body", call("free").by("GET"), malformed(400)),
        shape("two sessions", call("free").with("mcp-session-id", "a").with("mcp-session-id", "b"), malformed(200)),
    ]
}

impl Expected {
    /// The rule that refuses it, when one does; empty for what cannot be judged.
    pub(super) fn rule(self) -> Option<&'static str> {
        match self {
            Self::Refused(_, rule) | Self::AcceptedRefused(rule) | Self::Depends(rule) => Some(rule),
            Self::Runs | Self::Listed(_) | Self::Accepted => None,
        }
    }

    /// Whether the request was refused, given its outcome: on HTTP+SSE the client cannot tell.
    pub(super) fn is_refused(self, outcome: Outcome) -> bool {
        match self {
            Self::Refused(..) | Self::AcceptedRefused(_) => true,
            Self::Depends(_) => outcome == Outcome::Refused,
            Self::Runs | Self::Listed(_) | Self::Accepted => false,
        }
    }

    /// The outcome that a whole response is. Fails the test when it may not be.
    pub(super) fn outcome(self, name: &str, response: &Response, was_away: bool) -> Outcome {
        let text = response.text();
        assert!(!text.contains(HIDDEN) || name == "a hidden tool", "{name}: {response:?}");
        let is_denial = text.contains("[POLICY DENIED]") || text.contains(r#""error":{"#) || response.status == 202;
        let outcome = match self {
            Self::Refused(status, _) => (response.status == status && is_denial).then_some(Outcome::Refused),
            // The refusal is for its server to say; without one, nobody is left to say it to.
            _ if was_away && (response.status == 503 || text.contains("-32603")) => Some(Outcome::ServerAway),
            Self::Runs => text.contains(r#""ran""#).then_some(Outcome::Ran),
            Self::Depends(_) if text.contains("[POLICY DENIED]") => Some(Outcome::Refused),
            Self::Depends(_) => text.contains(r#""ran""#).then_some(Outcome::Ran),
            Self::Listed(tools) => (text.matches(r#""inputSchema""#).count() == tools).then_some(Outcome::Listed),
            Self::Accepted | Self::AcceptedRefused(_) => (response.status == 202).then_some(Outcome::Accepted),
        };
        outcome.unwrap_or_else(|| panic!("{name}: {response:?}"))
    }
}
