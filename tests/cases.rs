//! Decision cases, from data: the policies' own, documents with all their problems, and requests as raw
//! HTTP. They run on this machine and as wasm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::cases::{Case, CaseFile, Element};
use mcp_policy::config::{Gate, Role};
use mcp_policy::policy::{MemoryStore, Outcome, Policy};
use mcp_policy::wire::mcp::Feature;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::rc::Rc;
use support::policies::POLICIES;
use support::{Driver, Fate, case, gate, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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

/// The same calls as bytes on the wire: refused with the same words, or forwarded untouched. Every case of every policy,
/// within it or beside it, with its callers, its headers and claims, and the server's answers.
#[test]
fn the_wire_says_what_the_engine_decides() {
    for (name, document, cases) in POLICIES {
        let mut cases = CaseFile::parse(cases).unwrap().cases;
        cases.extend(Policy::load(name, document).unwrap().take_tests());
        let cases = case::call_cases(cases);
        let gate = case::gate(document, &cases);
        for case in cases {
            let (mut store, mut last) = (store(), None);
            if !case.listed.is_empty() {
                drop(listed(&gate, &mut store, Feature::Tool, &case.listed));
            }
            for call in case::calls(&case) {
                for _ in 0..call.times {
                    last = Some(case::make(call, &gate, &mut store));
                }
            }
            let name = format!("{name}: {}", case.name);
            let (fate, record, body) = last.unwrap();
            let expected = (case.expect, case.rule.as_ref().unwrap_or(&record.rule), &case.call.grant);
            assert_eq!((record.outcome, &record.rule, &record.grant), expected, "{name}");
            if let Some(message) = &case.message {
                assert_eq!(&record.message, message, "{name}");
            }
            match (fate, case.expect) {
                (Fate::Forwarded(sent), Outcome::Allowed | Outcome::ShadowDenied) => {
                    assert_eq!(sent, body.into_bytes(), "{name}");
                }
                (Fate::Replied(reply), Outcome::Denied | Outcome::ApprovalRequired) => {
                    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                    if record.rule == "(malformed)" {
                        assert_eq!(answer["error"]["message"], record.message.as_str(), "{name}");
                        continue;
                    }
                    let is_call = case.call.method() == "tools/call";
                    let text =
                        if is_call { &answer["result"]["content"][0]["text"] } else { &answer["error"]["message"] };
                    // A limit also says what is left of it, and an approval where it is given.
                    let limit = if is_call { &answer["result"]["_meta"] } else { &answer["error"]["data"] };
                    let said = text.as_str().unwrap();
                    let said = if limit.is_null() { said } else { said.rsplit_once(" (").unwrap().0 };
                    assert_eq!(said, format!("[POLICY DENIED] {}", record.message), "{name}");
                    assert_eq!(answer["error"]["code"], if is_call { Value::Null } else { 403.into() }, "{name}");
                }
                (fate, _) => panic!("{name}: {fate:?}"),
            }
        }
    }
}

/// What a client gets of the list of these.
fn listed(gate: &Rc<Gate>, store: &mut MemoryStore, of: Feature, list: &[Element]) -> Vec<String> {
    let (method, member, key) = match of {
        Feature::Tool => ("tools/list", "tools", "name"),
        Feature::Prompt => ("prompts/list", "prompts", "name"),
        Feature::Resource => ("resources/list", "resources", "uri"),
    };
    let element = |element: &Element| {
        let bare = || serde_json::json!({key: element.name}).to_string();
        element.definition.clone().unwrap_or_else(bare)
    };
    let elements: Vec<String> = list.iter().map(element).collect();
    let mut driver = Driver::new(gate, store, 0);
    driver.post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{member}":[{}]}}}}"#, elements.join(","));
    let answer = driver.answer("200", Some("application/json"), &[answer.as_bytes()]);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let shown = answer["result"][member].as_array().unwrap().iter();
    shown.map(|element| element[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_wire_lists_what_the_engine_shows() {
    for (name, document, cases) in POLICIES {
        for case in CaseFile::parse(cases).unwrap().cases {
            let Case::List(case) = case else { continue };
            assert_eq!(
                listed(&gate(document), &mut store(), case.of, &case.list),
                case.visible,
                "{name}: {}",
                case.name
            );
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
        let problems = match Role::load(text.as_bytes()) {
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

const SMALL: &str = r#"{"policies":{"default":{"version":"1","default":"allow","hide":["hidden"],
    "prompts":{"hide":["hidden"]},"resources":{"hide":["file:///etc/*"]},"methods":{"deny":["logging/*"]}}},
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

/// What is on record of `body` under `policy`, and the answer if it was refused.
fn judged(policy: &str, body: &str) -> (Value, Option<Value>) {
    let (gate, mut store) = (gate(policy), store());
    let mut driver = Driver::new(&gate, &mut store, 0);
    let fate = driver.request(&support::headers(&support::POST), &[body.as_bytes()], false);
    let record = serde_json::from_str(&driver.exchange.record().unwrap().to_line()).unwrap();
    match fate {
        Fate::Forwarded(sent) => {
            assert_eq!(sent, body.as_bytes());
            (record, None)
        }
        Fate::Replied(reply) => (record, Some(serde_json::from_slice(&reply.body).unwrap_or_default())),
    }
}

#[test]
fn the_record_names_what_was_asked_for_by_its_kind() {
    let policy = r#"{"version":"1","default":"deny","prompts":{"default":"deny"},"resources":{"default":"deny"},
        "methods":{"deny":["x/*"]}}"#;
    for (method, params, member, name) in [
        ("tools/call", r#"{"name":"n"}"#, "tool", "n"),
        ("prompts/get", r#"{"name":"n","arguments":{"k":"secret"}}"#, "prompt", "n"),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"n"}}"#, "prompt", "n"),
        ("resources/read", r#"{"uri":"a:b"}"#, "resource", "a:b"),
        ("resources/subscribe", r#"{"uri":"a:b"}"#, "resource", "a:b"),
        ("x/y", r#"{"name":"n"}"#, "-", ""),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let (record, answer) = judged(policy, &body);
        assert_eq!((&record["method"], &record["outcome"]), (&method.into(), &"denied".into()), "{method}");
        for kind in ["tool", "prompt", "resource"] {
            assert_eq!(record[kind].as_str(), (kind == member).then_some(name), "{method}: {kind}");
        }
        let text = answer.unwrap().to_string();
        assert!(text.contains(if method == "tools/call" { "\"isError\":true" } else { "\"code\":403" }), "{text}");
        assert!(!record.to_string().contains("secret"), "{record}");
    }
}

#[test]
fn a_call_whose_method_is_refused_is_answered_as_a_refused_call() {
    let policy = r#"{"version":"1","default":"allow","methods":{"deny":["tools/*"]}}"#;
    let (record, answer) = judged(policy, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#);
    assert_eq!(record["rule"], "/methods/deny/tools~1*");
    let text = r#"[POLICY DENIED] Method "tools/call" is not permitted by policy"#;
    assert_eq!(answer.unwrap()["result"]["content"][0]["text"], text);
}

#[test]
fn listening_to_several_resources_spends_of_all_limits_or_of_none() {
    let configuration = r#"{"version":"1","default":"allow","resources":{"items":{
        "a:*":{"limits":[{"counter":"a","window":"day","max":3}]},"b:*":{"action":"deny"}}}}"#;
    let (gate, mut store) = (gate(configuration), store());
    let mut rule_for = |uris: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}}}"#
        );
        let mut driver = Driver::new(&gate, &mut store, 0);
        driver.request(&support::headers(&support::POST), &[body.as_bytes()], false);
        driver.exchange.record().unwrap().rule.clone()
    };
    assert_eq!(rule_for(r#""a:1","a:2","b:1""#), "/resources/items/b:*/action");
    assert_eq!(rule_for(r#""a:1","a:2","a:3","a:4""#), "/resources/items/a:*/limits/a");
    assert_eq!(rule_for(r#""a:1","a:2""#), "");
    assert_eq!(rule_for(r#""a:1""#), "");
    assert_eq!(rule_for(r#""a:1""#), "/resources/items/a:*/limits/a");
    assert_eq!(rule_for(""), "");
}

#[test]
fn a_policy_in_shadow_mode_refuses_nothing_of_any_section() {
    let policy = r#"{"version":"1","default":"deny","mode":"shadow","prompts":{"hide":["*"]},
        "resources":{"default":"deny"},"methods":{"default":"deny","deny":["prompts/list"],
        "allow":["prompts/get","resources/*"]}}"#;
    for (method, params, rule) in [
        ("prompts/get", r#"{"name":"n"}"#, "(hidden)"),
        ("resources/read", r#"{"uri":"a:b"}"#, "(default deny)"),
        ("prompts/list", "{}", "/methods/deny/prompts~1list"),
        ("notifications/initialized", "{}", "/methods/default"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let (record, answer) = judged(policy, &body);
        assert_eq!((answer, &record["outcome"]), (None, &"shadow_denied".into()), "{method}");
        assert_eq!(record["rule"], rule, "{method}");
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
fn hidden_prompts_and_resources_can_be_answered_as_if_there_were_none() {
    let configuration = |default: &str| {
        format!(
            r#"{{"policies":{{"p":{{"version":"1","default":"allow","prompts":{{"default":"{default}","hide":["secret"]}},
            "resources":{{"default":"{default}","hide":["file:///etc/*"]}}}}}},
            "default_policy":"p","hidden_reply":"unknown_tool"}}"#
        )
    };
    let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"secret","arguments":{"a":"1"}}}"#;
    let resource = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}"#;
    let completion = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"secret"}}}"#;
    for (body, sent, denied) in [
        (
            prompt,
            Some(r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"~~~~~~","arguments":{       }}}"#),
            r#"Prompt \"secret\" is not permitted by policy"#,
        ),
        (
            resource,
            Some(r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///~~~/~~~~~~"}}"#),
            r#"Resource \"file:///etc/passwd\" is not permitted by policy"#,
        ),
        (completion, None, r#"Prompt \"secret\" is not permitted by policy"#),
    ] {
        let fate = |default: &str| {
            let (gate, mut store) = (gate(&configuration(default)), store());
            let mut driver = Driver::new(&gate, &mut store, 0);
            let fate = driver.request(&support::headers(&support::POST), &[body.as_bytes()], false);
            assert_eq!(driver.exchange.record().unwrap().rule, "(hidden)", "the record tells");
            match fate {
                Fate::Forwarded(sent) => Ok(String::from_utf8(sent).unwrap()),
                Fate::Replied(reply) => Err(String::from_utf8(reply.body).unwrap()),
            }
        };
        let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown prompt: secret"}}"#;
        assert_eq!(fate("allow"), sent.map(str::to_owned).ok_or(unknown.to_owned()));
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":403,"message":"[POLICY DENIED] {denied}"}}}}"#);
        assert_eq!(fate("deny"), Err(message));
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
