//! The playground's engine says of every case what the engine says: natively, under node, and in a browser, where it is
//! asked as its page asks it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::cases::{Call, CaseFile, Element, Upstream};
use mcp_policy::policy::{MemoryStore, Policy, Untraced};
use mcp_policy::risk;
use mcp_policy::wire::mcp::Feature;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use support::case;
use support::policies::POLICIES;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
use mcp_policy::playground::answer;

/// By what the module exports, as a page does it.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
fn answer(request: &str) -> String {
    unsafe extern "C" {
        safe fn playground_buffer(length: usize) -> *mut u8;
        safe fn playground_answer(start: *const u8, length: usize) -> u64;
    }
    let start = playground_buffer(request.len());
    // SAFETY: the buffer has this length, and nothing else refers to it.
    unsafe { std::slice::from_raw_parts_mut(start, request.len()) }.copy_from_slice(request.as_bytes());
    let packed = playground_answer(start, request.len());
    let (start, length) = ((packed >> 32) as usize as *const u8, packed as u32 as usize);
    // SAFETY: the answer stays at this place until the next request.
    let bytes = unsafe { std::slice::from_raw_parts(start, length) };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn ask(request: &Value) -> Value {
    serde_json::from_str(&answer(&request.to_string())).unwrap()
}

/// The text that a person would paste.
fn text(call: &Call) -> String {
    let mut members = vec![
        ("grant", json!(call.grant).to_string()),
        ("at", call.at.millis().to_string()),
        ("upstream", json!(upstream(call.upstream)).to_string()),
        ("continues", call.continues.to_string()),
    ];
    // Two lines of one name differ in case.
    let mut headers = serde_json::Map::new();
    for (name, value) in &call.headers {
        let name = if headers.contains_key(name) { name.to_uppercase() } else { name.clone() };
        assert_eq!(headers.insert(name, json!(value)), None, "no case has three");
    }
    members.push(("headers", Value::from(headers).to_string()));
    members.extend(call.method.as_ref().map(|method| ("method", json!(method).to_string())));
    members.extend(call.session.as_ref().map(|session| ("session", json!(session).to_string())));
    members.extend(call.claims.as_ref().map(|claims| ("claims", claims.compact())));
    // As they are written: a policy judges them by what another parser might read.
    members.extend(call.arguments.iter().map(|arguments| ("arguments", arguments.clone())));
    members.extend(call.meta.iter().map(|meta| ("meta", meta.clone())));
    members.extend(call.target().map(|target| (word(target.feature), json!(target.name).to_string())));
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn word(feature: Feature) -> &'static str {
    match feature {
        Feature::Tool => "tool",
        Feature::Prompt => "prompt",
        Feature::Resource => "resource",
    }
}

fn upstream(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Success => "success",
        Upstream::ToolError => "tool_error",
        Upstream::JsonRpcError => "jsonrpc_error",
        Upstream::HttpError => "http_error",
        Upstream::Unreachable => "unreachable",
        Upstream::InDoubt => panic!("no case says so"),
    }
}

#[test]
fn every_case_of_every_policy_is_decided_as_the_engine_decides_it() {
    let mut count = 0;
    for (name, document, cases) in POLICIES {
        let mut policy = Policy::load("default", document).unwrap();
        let mut cases = CaseFile::parse(cases).unwrap().cases;
        cases.extend(policy.take_tests());
        for case in case::call_cases(cases) {
            let name = format!("{name}: {}", case.name);
            let definitions: Vec<&str> = case.listed.iter().filter_map(|tool| tool.definition.as_deref()).collect();
            let calls: Vec<&Call> = case::calls(&case).flat_map(|call| (0..call.times).map(move |_| call)).collect();
            let texts: Vec<String> = calls.iter().copied().map(text).collect();
            let answer =
                ask(&json!({ "policy": document, "tools": format!("[{}]", definitions.join(",")), "calls": texts }));
            assert_eq!(answer["problems"], json!([]), "{name}");

            let mut store = MemoryStore::default();
            let shown =
                |tool: &Element, store: &mut MemoryStore| tool.shown(Feature::Tool, &policy, store, &mut Untraced);
            let listed: Vec<bool> = case.listed.iter().map(|tool| shown(tool, &mut store)).collect();
            let told: Vec<bool> =
                answer["tools"].as_array().unwrap().iter().map(|tool| tool["listed"].as_bool().unwrap()).collect();
            assert_eq!(told, listed, "{name}");
            assert_eq!(risks(&answer), definitions.iter().map(|text| assessed(text)).collect::<Vec<_>>(), "{name}");
            let decisions = answer["decisions"].as_array().unwrap();
            assert_eq!(decisions.len(), calls.len(), "{name}");
            for (call, told) in calls.iter().zip(decisions) {
                let decision = call.make(&policy, &mut store, &mut Untraced);
                let found = (&told["outcome"], &told["rule"], &told["message"]);
                let expected = (decision.outcome.as_str(), decision.rule, decision.message.as_ref());
                assert_eq!(found, (&expected.0.into(), &expected.1.into(), &expected.2.into()), "{name}");
                count += 1;
            }
            // And as the case says, which does not depend on where it runs.
            let last = decisions.last().unwrap();
            assert_eq!(last["outcome"], case.expect.as_str(), "{name}");
            for (member, expected) in [("rule", &case.rule), ("message", &case.message)] {
                assert!(expected.as_ref().is_none_or(|expected| last[member] == **expected), "{name}: {last}");
            }
        }
    }
    assert!(count > 2000, "too few calls: {count}");
}

/// What the page is told of the risk of each tool.
fn risks(answer: &Value) -> Vec<Value> {
    answer["tools"].as_array().unwrap().iter().map(|tool| tool["risk"].clone()).collect()
}

/// What `scan --format json` says of a tool beside its name.
fn assessed(definition: &str) -> Value {
    let definition = serde_json::from_str(definition).unwrap();
    serde_json::to_value(risk::assess(&risk::Tool::of(&definition))).unwrap()
}

#[test]
fn the_risk_of_every_tool_is_the_one_that_a_scan_tells() {
    let groups: Vec<Value> = serde_json::from_str(include_str!("cases/risk.json")).unwrap();
    let tools: Vec<&Value> = groups.iter().flat_map(|group| group["tools"].as_array().unwrap()).collect();
    let answer = ask(&json!({ "policy": "", "tools": json!(tools).to_string() }));
    let risks = risks(&answer);
    assert_eq!(risks.len(), tools.len());
    for (tool, risk) in tools.iter().zip(&risks) {
        assert_eq!(*risk, assessed(&tool.to_string()), "{tool}");
        assert_eq!(risk["category"], tool["is"].as_str().unwrap().to_lowercase(), "{tool}");
    }
}

#[test]
fn a_faulty_policy_has_the_problems_that_a_proxy_refuses_it_for() {
    let rows: Vec<Box<RawValue>> = serde_json::from_str(include_str!("cases/documents.json")).unwrap();
    let mut count = 0;
    for row in rows {
        // A document may stand there as text, and not every one that does is JSON.
        #[derive(serde::Deserialize)]
        struct Row {
            document: Box<RawValue>,
            problems: Vec<String>,
        }
        let Row { document, problems } = serde_json::from_str(row.get()).unwrap();
        let text: String = serde_json::from_str(document.get()).unwrap_or_else(|_| document.get().to_owned());
        let Ok(Value::Object(members)) = serde_json::from_str(&text) else { continue };
        if ["policies", "admin", "default_policy", "grants"].iter().any(|name| members.contains_key(*name)) {
            continue;
        }
        let answer = ask(&json!({ "policy": text }));
        let told = answer["problems"].as_array().unwrap().iter().map(|problem| {
            let pointer = problem["pointer"].as_str().filter(|pointer| !pointer.is_empty()).unwrap_or("(document)");
            assert!(problem["start"].as_u64() < problem["end"].as_u64(), "each has its mark: {problem} in {text}");
            format!("{pointer}: {}", problem["message"].as_str().unwrap())
        });
        assert_eq!(told.collect::<Vec<_>>(), problems, "{text}");
        count += 1;
    }
    assert!(count > 100, "too few documents: {count}");
}
