//! Grants, from data: configurations with all their problems, and requests with the grant that each is judged under.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, HeaderEdit, Step};
use mcp_policy::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use support::{Proxy, gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    faulty: Vec<Faulty>,
    sets: Vec<Set>,
}

/// A configuration that is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faulty {
    name: String,
    configuration: Value,
    problems: Vec<String>,
}

/// A configuration, and requests to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    configuration: Value,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    name: String,
    #[serde(default = "post")]
    method: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// The payload of the JWT that the proxy verified.
    #[serde(default)]
    claims: Value,
    /// The name in the certificate that the proxy verified.
    san: Option<String>,
    /// A call of `work` under the id 7, if nothing else.
    body: Option<String>,
    /// What the record says; absent: nothing.
    grant: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    rule: String,
    /// The HTTP status of our answer; absent when the request goes on.
    status: Option<u16>,
    /// Our answer.
    answer: Option<Value>,
    /// Headers of our answer.
    #[serde(default)]
    answer_headers: Vec<(String, String)>,
    /// The headers that do not go on with it.
    #[serde(default)]
    stripped: Vec<String>,
}

fn post() -> String {
    "POST".to_owned()
}

const WORK: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"work"}}"#;

fn file() -> File {
    serde_json::from_str(include_str!("cases/grants.json")).unwrap()
}

#[test]
fn a_faulty_configuration_is_refused_with_all_its_problems() {
    for row in file().faulty {
        let problems = match Gate::load(row.configuration.to_string().as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(problems, row.problems, "{}", row.name);
    }
}

#[test]
fn each_request_is_judged_under_its_grant_or_refused() {
    for set in file().sets {
        let gate = gate(&set.configuration.to_string());
        for row in set.requests {
            let name = &row.name;
            let mut lines = vec![(":method", row.method.as_str())];
            if row.method == "POST" {
                lines.push(("content-type", "application/json"));
            }
            lines.extend(row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let proxy = Proxy { claims: row.claims, san: row.san };
            let mut exchange = Exchange::verified_by(Box::new(proxy), gate.clone());
            let now = Timestamp::from_millis(0);
            let first = exchange.request_headers(&headers(&lines), row.method != "POST", now);
            let stripped: Vec<&str> = first
                .edits
                .iter()
                .filter_map(|edit| if let HeaderEdit::Remove(name) = edit { Some(*name) } else { None })
                .collect();
            let step = match first.step {
                Step::Reply(reply) => Step::Reply(reply),
                _ if row.method != "POST" => Step::Continue,
                _ => exchange.request_whole(row.body.as_deref().unwrap_or(WORK).as_bytes(), now, &mut store()),
            };
            match (row.status, step) {
                (None, step) => {
                    assert_eq!(step, Step::Continue, "{name}");
                    assert_eq!(stripped, row.stripped, "{name}");
                }
                (Some(status), Step::Reply(reply)) => {
                    assert_eq!(reply.status, status, "{name}");
                    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
                    assert_eq!(body, row.answer, "{name}");
                    let sent = reply.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_string()));
                    assert_eq!(sent.collect::<Vec<_>>(), row.answer_headers, "{name}");
                }
                (Some(_), step) => panic!("{name}: {step:?}"),
            }
            let Some(record) = exchange.record() else {
                assert_eq!((row.status, row.grant.as_ref()), (None, None), "{name}: no record");
                continue;
            };
            let line: Value = serde_json::from_str(&record.to_line()).unwrap();
            let text = |member: &str| line.get(member).map(|value| value.as_str().unwrap().to_owned());
            assert_eq!((text("grant"), text("policy")), (row.grant, row.policy), "{name}");
            assert_eq!(record.rule, row.rule, "{name}");
        }
    }
}

#[test]
fn neither_tokens_nor_hashes_are_ever_repeated() {
    let hash = "ab".repeat(32);
    let secrets = [hash.as_str(), "pasted-token", "pasted-key"];
    let good = format!(
        r#"{{"policies":{{}},"grants":[
            {{"id":"a","match":{{"bearer_sha256":"{hash}"}}}},
            {{"id":"b","match":{{"header":{{"name":"x-key","equals":"pasted-key"}}}}}}]}}"#
    );
    let printed = format!("{:?}", gate(&good));
    let faulty = format!(
        r#"{{"policies":{{}},"grants":[
            {{"id":"a","match":"pasted-token"}},
            {{"id":"b","match":{{"bearer_sha256":"pasted-token"}}}},
            {{"id":"c","match":{{"bearer_sha256":["pasted-token"]}}}},
            {{"id":"d","match":{{"bearer_sha256":"{hash}"}}}},
            {{"id":"e","match":{{"bearer_sha256":"{hash}"}}}},
            {{"id":"f","match":{{"header":"pasted-key"}}}},
            {{"id":"g","match":{{"header":{{"name":"x","equals":["pasted-key"]}}}}}},
            "pasted-token"]}}"#
    );
    let problems = Gate::load(faulty.as_bytes()).unwrap_err();
    assert_eq!(problems.iter().count(), 7, "{problems}");
    for secret in secrets {
        assert!(!problems.to_string().contains(secret), "{secret} in {problems}");
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    // Nor are they stored as numbers.
    assert!(!printed.contains("171, 171"), "{printed}");
}

#[test]
fn policies_and_grants_are_found_by_name() {
    let configuration = r#"{"policies":{"p":{"version":"1","default":"deny"},"q":{"version":"1","default":"allow"}},
        "grants":[{"id":"a","label":"The A team","match":{"mtls_san":"a"},"policy":"q"},{"id":"b","match":{"mtls_san":"b"}}],
        "default_policy":"p"}"#;
    let gate = gate(configuration);
    let policy = |grant| gate.policy_of(grant).map(|policy| policy.name().to_owned());
    assert_eq!(policy("a").as_deref(), Some("q"));
    assert_eq!(policy("anonymous").as_deref(), Some("p"));
    assert_eq!((policy("b"), policy("c")), (None, None));
    let grant = |id| gate.grant_named(id).map(|grant| (grant.id(), grant.label()));
    assert_eq!(grant("a"), Some(("a", Some("The A team"))));
    assert_eq!((grant("b"), grant("c")), (Some(("b", None)), None));
}

#[test]
fn an_answer_before_the_body_shows_a_caller_without_a_policy_nothing() {
    let gate = gate(r#"{"policies":{},"grants":[{"id":"a","match":{"mtls_san":"a"}}]}"#);
    let proxy = Proxy { claims: Value::Null, san: Some("a".into()) };
    let mut exchange = Exchange::verified_by(Box::new(proxy), gate);
    let now = Timestamp::from_millis(0);
    // Headers are not held, so the server has them.
    assert_eq!(exchange.request_headers(&headers(&support::POST), false, now).step, Step::Continue);
    let answer = [(":status", "200"), ("content-type", "application/json")];
    let Step::Reply(reply) = exchange.answer_headers(&headers(&answer), false).step else { panic!("replied") };
    assert_eq!(reply.status, 502);
    assert!(String::from_utf8(reply.body).unwrap().contains("before the request was judged"));
    assert_eq!(exchange.request_whole(WORK.as_bytes(), now, &mut store()), Step::Wait);
}
