//! One [`Record`] per decision: the audit line. Never an argument's value, nor an unbounded name.

use crate::policy::Outcome;
use serde::Serialize;

/// Bytes of a client's own text that a record keeps.
const MAX_TEXT_BYTES: usize = 256;
/// What most lines fit into.
const USUAL_LINE_BYTES: usize = 512;
/// Names of arguments that a record keeps.
const MAX_ARG_KEYS: usize = 32;

/// What was decided, about what, and by which rule. Serialised as one JSON object; absent members were
/// not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// RFC 3339, the proxy's clock.
    pub ts: String,
    /// The proxy's `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The grant's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub grant: String,
    /// The `Mcp-Session-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The JSON-RPC method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The tool of a `tools/call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The prompt that was asked for, or about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The URI of the resource that was asked for, or about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The policy's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// See [`crate::policy::Policy::version`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy_version: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The rule that decided; empty when nothing fired.
    pub rule: String,
    /// The rule in shadow mode that would have refused what another rule did refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_rule: Option<String>,
    /// Why, for a refusal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The approval that the call waits for, was denied, or used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// How long the call was held for its approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
    /// The approval that gave way to this call's, although it was still waited for: more wait than are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_approval: Option<String>,
    /// The name of the key that signed the approval, where it was given elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_key: Option<String>,
    /// Names of the call's top-level arguments, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arg_keys: Vec<String>,
    /// The status of the upstream's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// From the decision to the end of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// The limits got back what the call had reserved, or the call its approval.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
    /// How the call's limits were counted, where the service that keeps them did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<&'static str>,
    /// Why the upstream's answer, or a part of it, was not passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl Record {
    /// One of which nothing else is known yet.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self {
            ts: String::new(),
            request_id: None,
            grant: String::new(),
            session: None,
            method: None,
            tool: None,
            prompt: None,
            resource: None,
            policy: String::new(),
            policy_version: String::new(),
            outcome,
            rule: String::new(),
            shadow_rule: None,
            message: String::new(),
            approval: None,
            held_ms: None,
            dropped_approval: None,
            approval_key: None,
            arg_keys: Vec::new(),
            upstream_status: None,
            latency_ms: None,
            rolled_back: false,
            limits: None,
            answer: None,
        }
    }

    /// The audit line: one JSON object, no line break within.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = Vec::with_capacity(USUAL_LINE_BYTES);
        let written = serde_json::to_writer(&mut line, self);
        String::from_utf8(line).ok().filter(|_| written.is_ok()).unwrap_or_default()
    }
}

/// `text`, cut to what a record keeps.
#[must_use]
pub fn bounded(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// The first of some names, in order: as many as a record keeps, and never more at a time.
#[derive(Debug, Default)]
pub struct ArgKeys(Vec<String>);

impl ArgKeys {
    /// Adds one name.
    pub fn add(&mut self, name: &str) {
        let name = bounded(name);
        let Err(place) = self.0.binary_search(&name) else { return };
        if place < MAX_ARG_KEYS {
            self.0.truncate(MAX_ARG_KEYS - 1);
            self.0.insert(place, name);
        }
    }

    /// The names, sorted.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_break_or_flood_the_line() {
        assert_eq!(bounded("short"), "short");
        let long = bounded(&"é".repeat(10_000));
        assert!(long.len() < 300 && long.ends_with('…'), "{}", long.len());
        let mut keys = ArgKeys::default();
        (0..1000).rev().for_each(|n| keys.add(&format!("{n:04}")));
        let keys = keys.into_vec();
        assert_eq!((keys.len(), keys[0].as_str()), (32, "0000"));
    }
}
