//! Laws that hold for every policy, call and message, tried on random ones.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "support/random.rs"]
mod random;
mod support;

use mcp_policy::config::Gate;
use mcp_policy::policy::{
    Claim, Decision, Facts, MemoryStore, Outcome, Policy, Principal, Query, Store, Target, Unclear, rule,
};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::{Raw, Reader};
use mcp_policy::wire::mcp::Feature;
use mcp_policy::wire::sse::{Decoder, Verdict};
use mcp_policy::wire::to_client::{self, Filter, Filtered, Unreadable};
use mcp_policy::wire::{jsonrpc, mcp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use random::{Call, TOOLS};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Driver, Fate};

fn load(policy: &Value) -> Policy {
    Policy::load("default", &policy.to_string()).unwrap_or_else(|problems| panic!("{problems}\nin {policy}"))
}

/// What the driver's POST says beside its body.
struct Sent;

impl Facts for Sent {
    fn header(&self, name: &str) -> Result<Option<String>, Unclear> {
        Ok(support::POST.iter().find(|(header, _)| *header == name).map(|(_, value)| (*value).to_owned()))
    }

    fn claim(&self, _path: &[String]) -> Result<Option<Claim>, Unclear> {
        Ok(None)
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        Ok(None)
    }
}

/// A message as it flows to a client that may see what is `visible`.
/// Shows what its function says.
struct Listing<V>(V);

impl<V: Fn(Feature, &str) -> bool> Filter for Listing<V> {
    fn shows(&mut self, feature: Feature, name: &str, _: Raw<'_>) -> bool {
        (self.0)(feature, name)
    }

    fn judges_requests(&self) -> bool {
        false
    }

    fn permits(&mut self, _: &str) -> bool {
        true
    }

    fn keeps_ms(&self) -> Option<u64> {
        None
    }
}

fn filtered(message: &[u8], visible: impl Fn(Feature, &str) -> bool) -> Result<Filtered, Unreadable> {
    to_client::rewrite(message, &mut Listing(visible))
}

fn decide<'p>(policy: &'p Policy, call: &Call, store: &mut dyn Store) -> Decision<'p> {
    let principal = Principal { grant: "anonymous".into(), session: call.session.map(str::to_owned) };
    fn raw(text: &str) -> Raw<'_> {
        Reader::new(text).value().unwrap()
    }
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: call.tool }),
        arguments: call.arguments.as_deref().map(raw),
        continues: false,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
        meta: call.meta.as_deref().map(raw),
        now: Timestamp::from_millis(call.at),
        facts: &Sent,
    };
    policy.decide(&query, store)
}

fn goes_on(policy: &Policy, call: &Call) -> bool {
    decide(policy, call, &mut MemoryStore::default()).outcome.goes_on()
}

/// Whether `pattern` fits, written as plainly as can be.
fn fits(pattern: &[char], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) if fits(rest, name) => true,
        (Some(('*', _)), Some((_, name))) => fits(pattern, name),
        (Some(('?', rest)), Some((_, name))) => fits(rest, name),
        (Some((wanted, rest)), Some((found, name))) => wanted == found && fits(rest, name),
        _ => false,
    }
}

fn is_hidden(policy: &Value, tool: &str) -> bool {
    let tool: Vec<char> = tool.chars().collect();
    let hide = policy["hide"].as_array().unwrap();
    hide.iter().any(|pattern| fits(&pattern.as_str().unwrap().chars().collect::<Vec<char>>(), &tool))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_hidden_is_not_callable_and_not_listed(policy in random::policy(), call in random::call()) {
        let loaded = load(&policy);
        if is_hidden(&policy, call.tool) {
            let decision = decide(&loaded, &call, &mut MemoryStore::default());
            prop_assert_eq!((decision.outcome, decision.rule), (Outcome::Denied, rule::HIDDEN));
            prop_assert!(!loaded.visible(Feature::Tool, call.tool));
        }
    }

    #[test]
    fn list_and_call_agree(policy in random::policy(), calls in vec(random::call(), 1..8)) {
        let loaded = load(&policy);
        for call in calls {
            let decision = decide(&loaded, &call, &mut MemoryStore::default());
            if loaded.visible(Feature::Tool, call.tool) {
                prop_assert_ne!(decision.rule, rule::HIDDEN);
            } else {
                prop_assert!(!decision.outcome.goes_on(), "{} is not listed, and goes on", call.tool);
            }
        }
        // The list that a client gets is the one that `visible` says.
        let tools: Vec<Value> = TOOLS.iter().map(|name| json!({ "name": name })).collect();
        let list = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).to_string();
        let filtered = filtered(list.as_bytes(), |feature, name| loaded.visible(feature, name)).unwrap();
        let shown: Value = serde_json::from_slice(&filtered.replaced.unwrap_or(list.into_bytes())).unwrap();
        let shown = shown["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap());
        let expected = TOOLS.into_iter().filter(|tool| loaded.visible(Feature::Tool, tool));
        prop_assert!(shown.eq(expected));
    }

    /// What cannot be read at all is no refusal of the policy's.
    #[test]
    fn a_policy_in_shadow_mode_refuses_and_hides_nothing(
        mut policy in random::policy(),
        calls in vec(random::call(), 1..8),
    ) {
        policy["mode"] = json!("shadow");
        let loaded = load(&policy);
        let mut store = MemoryStore::default();
        for call in calls {
            let decision = decide(&loaded, &call, &mut store);
            prop_assert!(decision.outcome.goes_on() || decision.rule == rule::MALFORMED, "{decision:?}");
            prop_assert!(loaded.visible(Feature::Tool, call.tool));
        }
    }

    #[test]
    fn shadow_mode_tells_whom_the_policy_would_refuse(policy in random::policy(), call in random::call()) {
        let mut shadow = policy.clone();
        shadow["mode"] = json!("shadow");
        let (enforced, shadow) = (load(&policy), load(&shadow));
        let enforced = decide(&enforced, &call, &mut MemoryStore::default());
        let shadow = decide(&shadow, &call, &mut MemoryStore::default());
        if !enforced.outcome.goes_on() && shadow.outcome.goes_on() {
            prop_assert_eq!(shadow.outcome, Outcome::ShadowDenied);
        }
        if enforced.outcome.goes_on() {
            prop_assert_eq!((shadow.outcome, shadow.rule), (enforced.outcome, enforced.rule));
        }
    }

    #[test]
    fn adding_a_rule_never_allows_more(
        policy in random::policy(),
        (deny, require) in (random::rule(0), random::rule(1)),
        place in any::<prop::sample::Index>(),
        calls in vec(random::call(), 1..8),
    ) {
        let before = load(&policy);
        for (list, rule) in [("deny_if", deny), ("require", require)] {
            // To all tools, and to each entry that may have rules.
            let mut places = vec!["/all_tools".to_owned()];
            for (name, entry) in policy["tools"].as_object().unwrap() {
                if entry["action"] != "deny" && !entry.is_null() {
                    places.push(format!("/tools/{name}"));
                }
            }
            for at in places {
                let mut changed = policy.clone();
                let checks = changed.pointer_mut(&at).unwrap().as_object_mut().unwrap();
                let rules = checks.entry(list).or_insert(json!([])).as_array_mut().unwrap();
                rules.insert(place.index(rules.len() + 1), rule.clone());
                let after = load(&changed);
                for call in &calls {
                    prop_assert!(
                        goes_on(&before, call) || !goes_on(&after, call),
                        "{} at {} lets {:?} through: {}", rule, at, call, policy
                    );
                }
            }
        }
    }

    /// One store on each side, so that counts are compared too.
    #[test]
    fn the_wire_says_what_the_engine_decides(policy in random::policy(), calls in vec(random::call(), 1..10)) {
        let (loaded, gate) = (load(&policy), support::gate(&policy.to_string()));
        let (mut direct, mut behind) = (MemoryStore::default(), MemoryStore::default());
        for call in calls {
            let decision = decide(&loaded, &call, &mut direct);
            let mut params = format!("\"name\":{}", json!(call.tool));
            for (name, value) in [("arguments", &call.arguments), ("_meta", &call.meta)] {
                if let Some(value) = value {
                    params.push_str(&format!(",\"{name}\":{value}"));
                }
            }
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}"#);
            let mut lines = support::POST.to_vec();
            lines.extend(call.session.map(|session| ("mcp-session-id", session)));
            let mut driver = Driver::new(&gate, &mut behind, call.at);
            let fate = driver.request(&support::headers(&lines), &[body.as_bytes()], false);
            let record = driver.exchange.record().unwrap();
            prop_assert_eq!(record.outcome, decision.outcome);
            prop_assert_eq!((record.rule.as_str(), record.message.as_str()), (decision.rule, &*decision.message));
            prop_assert_eq!(matches!(fate, Fate::Forwarded(_)), decision.outcome.goes_on());
        }
    }
}

/// The laws above would hold of nothing at all; so what is tried must differ.
#[test]
fn random_calls_meet_every_fate() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    for _ in 0..2000 {
        let (policy, call) = (random::policy(), random::call()).new_tree(&mut runner).unwrap().current();
        let policy = load(&policy);
        let decision = decide(&policy, &call, &mut MemoryStore::default());
        let step = decision.rule.split('/').nth(if decision.rule.starts_with("/tools") { 3 } else { 2 });
        let fate = format!("{:?} {}", decision.outcome, step.unwrap_or(decision.rule));
        *seen.entry(fate).or_insert(0) += 1;
    }
    for fate in [
        "Allowed ",
        "ShadowDenied require",
        "ShadowDenied deny_if",
        "ApprovalRequired action",
        "ApprovalRequired require_approval",
        "Denied (hidden)",
        "Denied (default deny)",
        "Denied (malformed)",
        "Denied action",
        "Denied schedule",
        "Denied require",
        "Denied deny_if",
        "Denied limits",
    ] {
        assert!(seen.get(fate).is_some_and(|count| *count >= 5), "{fate}: {seen:#?}");
    }
}

/// Whether a parser of another make finds a hidden tool in `text`.
fn shows_hidden(text: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return false };
    let one = |message: &Value| {
        let tools = message["result"]["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().any(|tool| tool["name"] == "hidden")
    };
    one(&value) || value.as_array().is_some_and(|batch| batch.iter().any(one))
}

/// The data of every event, read as the standard says.
fn events(stream: &str) -> Vec<String> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream).replace("\r\n", "\n").replace('\r', "\n");
    let data = |event: &str| -> Vec<String> {
        let field =
            |line: &str| line.strip_prefix("data:").map(|data| data.strip_prefix(' ').unwrap_or(data).to_owned());
        event.split('\n').filter_map(field).collect()
    };
    stream.split("\n\n").map(|event| data(event).join("\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_is_too_odd_to_be_refused(
        document in random::document(),
        policy in random::policy(),
        odd in (any::<prop::sample::Index>(), any::<u8>()),
        soup in random::soup(),
    ) {
        // Every refusal says what is wrong.
        let load = |text: &[u8]| Gate::load(text).map_or_else(|problems| !problems.is_empty(), |_| true);
        prop_assert!(load(document.to_string().as_bytes()));
        prop_assert!(load(&soup));
        let mut text = policy.to_string().into_bytes();
        let index = odd.0.index(text.len());
        text[index] = odd.1;
        prop_assert!(load(&text));
        let mut placed = policy;
        placed["tools"]["a"] = document.clone();
        prop_assert!(load(placed.to_string().as_bytes()));
        placed["tools"]["a"] = json!({ "deny_if": [document.clone()], "limits": [document] });
        prop_assert!(load(placed.to_string().as_bytes()));
    }

    #[test]
    fn no_request_is_too_odd_to_be_read(soup in random::soup(), list in random::list_text()) {
        for body in [soup.as_slice(), list.as_bytes()] {
            if let Ok(message) = jsonrpc::parse(body) {
                prop_assert!(serde_json::from_slice::<Value>(body).is_ok() || has_odd_escape(body), "{body:?}");
                let _ = mcp::classify(&message);
            }
        }
    }

    #[test]
    fn no_hidden_tool_is_left_in_an_answer(soup in random::soup(), list in random::list_text()) {
        for body in [soup.as_slice(), list.as_bytes()] {
            if let Ok(filtered) = filtered(body, |_, name| name != "hidden") {
                let passed = filtered.replaced.as_deref().unwrap_or(body);
                prop_assert!(!shows_hidden(passed), "{}", String::from_utf8_lossy(passed));
            }
        }
    }

    #[test]
    fn no_hidden_tool_is_left_in_a_stream(
        pieces in vec((random::list_text(), proptest::sample::select(vec!["\n\n", "\r\r", "\r\n\r\n", "\n", "\r\n"])), 0..5),
        soup in random::soup(),
        sizes in vec(1_usize..30, 1..20),
        ends in any::<bool>(),
    ) {
        let mut stream = soup;
        for (data, end) in pieces {
            stream.extend(format!("id: 1\ndata: {}{end}", data.replace(['\n', '\r'], " ")).into_bytes());
        }
        let mut judge = |event: &mcp_policy::wire::sse::Event<'_>| match &event.data {
            Some(data) => match filtered(data, |_, name| name != "hidden") {
                Ok(filtered) => filtered.replaced.map_or(Verdict::Keep, Verdict::Replace),
                Err(_) => Verdict::Drop,
            },
            None => Verdict::Keep,
        };
        let mut decoder = Decoder::new(1 << 16);
        let (mut rest, mut out) = (stream.as_slice(), Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            out.extend(decoder.push(chunk, &mut judge).unwrap_or_else(|| chunk.to_vec()));
            rest = after;
        }
        if ends {
            out.extend(decoder.finish(&mut judge));
        }
        let text = String::from_utf8_lossy(&out);
        for data in events(&text) {
            prop_assert!(!shows_hidden(data.as_bytes()), "{data}");
        }
    }
}

/// Ours keeps what it does not decode, such as numbers too large and half surrogates; `Value` cannot hold them.
fn has_odd_escape(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("1e400") || text.contains("\\ud800")
}
