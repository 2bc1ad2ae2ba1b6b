//! Decision cases, from data: the policies' own, documents with all their problems, and requests as raw
//! HTTP. They run on this machine and as wasm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::cases::{Case, CaseFile, Upstream};
use mcp_policy::config::Gate;
use mcp_policy::policy::{MemoryStore, Outcome, Policy};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::rc::Rc;
use support::{Driver, Fate, gate, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

macro_rules! policies {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../policies/", $name, ".json")),
            include_str!(concat!("../policies/", $name, ".cases.json")))),*]
    };
}

/// Name, document and cases; the browser's target has no files to look into.
const POLICIES: [(&str, &str, &str); 22] = policies!(
    "conditions" "deploy-with-reason" "fluentcrm" "grammar" "hide-all-but-five" "iterable" "limits" "no-scripts"
    "no-secret-paths" "office-hours" "one-budget" "only-select" "own-domain-mail" "read-only-agent" "record-range"
    "reference-server" "refund-approval" "refunds" "session-rate" "spend-cap" "tool-bursts" "trying-a-rule"
);

#[test]
fn every_policy_decides_as_its_cases_say() {
    for (name, document, cases) in POLICIES {
        let policy = Policy::load(name, document).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let cases = CaseFile::parse(cases).unwrap();
        let failures: Vec<String> = cases.run(&policy).iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
#[allow(clippy::disallowed_methods)]
fn no_policy_is_missing_here() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Beside them stands the folder of their schema.
    let is_policy = |name: &String| name.ends_with(".json") && !name.ends_with(".cases.json");
    let mut names: Vec<String> = names.filter(is_policy).collect();
    names.sort();
    assert_eq!(names, POLICIES.map(|(name, ..)| format!("{name}.json")));
}

/// The same calls as bytes on the wire: refused with the same words, or forwarded untouched.
#[test]
fn the_wire_says_what_the_engine_decides() {
    for (name, document, cases) in POLICIES {
        let gate = gate(document);
        for case in CaseFile::parse(cases).unwrap().cases {
            let Case::Call(case) = case else { continue };
            // A bare policy knows one grant only, and nobody answers here.
            let calls = || case.after.iter().chain([&case.call]);
            if calls().any(|call| call.grant != "anonymous" || call.upstream != Upstream::Success) {
                continue;
            }
            let mut store = store();
            let mut last = None;
            for call in case.after.iter().chain([&case.call]) {
                let (name, arguments) = (Value::from(call.tool.as_str()), call.arguments.as_deref().unwrap_or("{}"));
                let params = format!(r#"{{"name":{name},"arguments":{arguments}}}"#);
                let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
                let mut lines = support::POST.to_vec();
                lines.extend(call.session.as_deref().map(|session| ("mcp-session-id", session)));
                for _ in 0..call.times {
                    let mut driver = Driver::new(&gate, &mut store, call.at.millis());
                    let fate = driver.request(&support::headers(&lines), &[body.as_bytes()], false);
                    last = Some((fate, driver.exchange.record().unwrap().clone(), body.clone()));
                }
            }
            let (fate, record, body) = last.unwrap();
            assert_eq!(
                (record.outcome, record.rule.as_str()),
                (case.expect, case.rule.as_deref().unwrap_or(&record.rule)),
                "{name}: {}",
                case.name
            );
            match (fate, case.expect) {
                (Fate::Forwarded(sent), Outcome::Allowed | Outcome::ShadowDenied) => {
                    assert_eq!(sent, body.into_bytes())
                }
                (Fate::Replied(reply), Outcome::Denied | Outcome::ApprovalRequired) => {
                    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                    if record.rule == "(malformed)" {
                        assert_eq!(answer["error"]["message"], record.message.as_str(), "{name}: {}", case.name);
                        continue;
                    }
                    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
                    assert_eq!(text, format!("[POLICY DENIED] {}", record.message), "{name}: {}", case.name);
                }
                (fate, _) => panic!("{name}: {}: {fate:?}", case.name),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faulty {
    name: String,
    /// A document, as JSON or as text where it is none.
    document: Box<RawValue>,
    problems: Vec<String>,
}

#[test]
fn a_faulty_document_is_refused_with_all_its_problems() {
    let rows: Vec<Faulty> = serde_json::from_str(include_str!("cases/documents.json")).unwrap();
    for row in rows {
        let text: String = serde_json::from_str(row.document.get()).unwrap_or_else(|_| row.document.get().to_owned());
        let problems = match Gate::load(text.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(problems, row.problems, "{}", row.name);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    /// In the place of the usual ones of these names; `null` leaves one out.
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    body: Option<String>,
    /// For bodies that are not UTF-8.
    body_bytes: Option<Vec<u8>>,
    #[serde(default)]
    trailers: bool,
    /// The HTTP status of our answer; absent when the request goes on.
    status: Option<u16>,
    /// The JSON-RPC error code of our answer; absent for a refused call.
    code: Option<i64>,
    /// The raw id of our answer.
    id: Option<String>,
    /// What the message contains.
    text: Option<String>,
}

const SMALL: &str = r#"{"policies":{"default":{"version":"1","default":"allow","hide":["hidden"]}},
    "default_policy":"default","max_body_bytes":200}"#;

#[test]
fn requests_go_on_untouched_or_are_refused_in_the_form_that_clients_survive() {
    let gate = gate(SMALL);
    let rows: Vec<Request> = serde_json::from_str(include_str!("cases/requests.json")).unwrap();
    for row in rows {
        let name = &row.name;
        let overridden = |header: &str| row.headers.iter().any(|(name, _)| name == header);
        let mut lines: Vec<(&str, &str)> = support::POST.into_iter().filter(|(name, _)| !overridden(name)).collect();
        lines.extend(row.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))));
        let body = row.body_bytes.clone().or_else(|| row.body.clone().map(String::into_bytes));
        // Whole, and in pieces: nothing may depend on how a body arrives.
        let pieces = [usize::MAX, 1, 7].map(|size| match &body {
            Some(body) if body.is_empty() => vec![body.as_slice()],
            Some(body) => body.chunks(size.min(body.len())).collect(),
            None => Vec::new(),
        });
        for chunks in pieces {
            let mut store = store();
            let mut driver = Driver::new(&gate, &mut store, 0);
            let fate = driver.request(&support::headers(&lines), &chunks, row.trailers);
            let Some(status) = row.status else {
                assert_eq!(fate, Fate::Forwarded(body.clone().unwrap_or_default()), "{name}");
                continue;
            };
            let Fate::Replied(reply) = fate else { panic!("{name}: {fate:?}") };
            assert_eq!(reply.status, status, "{name}");
            let record = driver.exchange.record().expect("every refusal leaves a record");
            assert_eq!(record.outcome, Outcome::Denied, "{name}");
            if reply.body.is_empty() {
                assert_eq!((row.code, row.id.as_ref()), (None, None), "{name}: the answer is empty");
                continue;
            }
            let text = String::from_utf8(reply.body).unwrap();
            let id = row.id.as_deref().unwrap_or("null");
            assert!(text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{name}: {text}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["error"]["code"].as_i64(), row.code, "{name}: {text}");
            assert_eq!(answer["result"]["isError"].as_bool(), row.code.is_none().then_some(true), "{name}");
            assert!(text.contains(row.text.as_deref().unwrap_or_default()), "{name}: {text}");
        }
    }
}

/// Calls `tool`, which the server does not have and says so in its own words; returns the answer with the
/// name taken out, and the rule on record.
fn ask(gate: &Rc<Gate>, store: &mut MemoryStore, tool: &str, content_type: &str) -> (String, String) {
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":1}}}}}}"#
    );
    let mut driver = Driver::new(gate, store, 0);
    let answer = match driver.request(&support::headers(&support::POST), &[call.as_bytes()], false) {
        Fate::Replied(reply) => reply.body,
        Fate::Forwarded(sent) => {
            let sent: Value = serde_json::from_slice(&sent).unwrap();
            let name = sent["params"]["name"].as_str().unwrap();
            assert_ne!(name, "secret", "the hidden tool was called");
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32602,"message":"no {name} here"}}}}"#);
            let text = if content_type == "application/json" { text } else { format!("data: {text}\n\n") };
            driver.answer("200", Some(content_type), &[text.as_bytes()])
        }
    };
    let rule = driver.exchange.record().unwrap().rule.clone();
    (String::from_utf8(answer).unwrap().replace(tool, "TOOL"), rule)
}

#[test]
fn a_hidden_tool_can_be_answered_as_one_that_does_not_exist() {
    let configuration = |default: &str, entry: &str| {
        format!(
            r#"{{"policies":{{"p":{{"version":"1","default":"{default}","hide":["secret"],"tools":{{"secret":{{}},{entry}}},
            "all_tools":{{"limits":[{{"counter":"c","window":"hour","max":2}}]}}}}}},
            "default_policy":"p","hidden_reply":"unknown_tool"}}"#
        )
    };
    // What a pattern says of both names, it says of both.
    let entries = [r#""other":{}"#, r#""*e*":{}"#, r#""*e*":{"action":"deny"}"#, r#""*e*":{"rate_limit":"1/hour"}"#];
    for (default, entry) in ["allow", "deny"].into_iter().flat_map(|default| entries.map(|entry| (default, entry))) {
        for content_type in ["application/json", "text/event-stream"] {
            let gate = gate(&configuration(default, entry));
            let (mut one, mut other) = (store(), store());
            for round in 0..3 {
                let (hidden, rule) = ask(&gate, &mut one, "secret", content_type);
                let (unknown, _) = ask(&gate, &mut other, "unseen", content_type);
                assert_eq!(hidden, unknown, "default {default}, {entry}, {content_type}, call {round}");
                assert_eq!(rule, "(hidden)", "the record tells");
            }
        }
    }
}

#[test]
fn headers_that_contradict_another_name_get_our_own_words() {
    let configuration = r#"{"policies":{"p":{"version":"1","default":"allow","hide":["secret"]}},
        "default_policy":"p","hidden_reply":"unknown_tool"}"#;
    let mut lines = support::POST.to_vec();
    lines.push(("mcp-name", "secret"));
    let (gate, mut store) = (gate(configuration), store());
    let mut driver = Driver::new(&gate, &mut store, 0);
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"secret"}}"#;
    let Fate::Replied(reply) = driver.request(&support::headers(&lines), &[body], false) else { panic!("replied") };
    let expected = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool: secret"}}"#;
    assert_eq!(String::from_utf8(reply.body).unwrap(), expected);
}
