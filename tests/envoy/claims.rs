//! Claims and headers in a real Envoy: a case that states them is decided as the plugin decides the request that has
//! them.

use super::grants::{fill, jwks, payload, shipped, upstream};
use super::support::envoy::Envoy;
use super::support::keys::Issuer;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use mcp_policy::cases::{Call, Defaults};
use mcp_policy::policy::{MemoryStore, Policy, Untraced};
use serde_json::{Value, json};

/// What one tool of the policy asks of the claim `x`, or of what stands around it.
fn conditions() -> Vec<Value> {
    let x = |op: &str, value: Value| json!({ "path": "jwt.x", "op": op, "value": value });
    vec![
        json!({ "path": "jwt.x", "op": "exists" }),
        x("eq", json!("a")),
        x("eq", json!(1)),
        x("eq", json!("1")),
        x("eq", json!(true)),
        x("neq", json!("a")),
        x("lt", json!(2)),
        x("gte", json!(9_007_199_254_740_993_u64)),
        x("contains", json!("a")),
        x("not_contains", json!("a")),
        x("regex", json!("^a")),
        json!({ "path": "jwt.x.y", "op": "exists" }),
        json!({ "path": "jwt.x.y", "op": "eq", "value": "a" }),
        json!({ "path": "jwt.x.0", "op": "exists" }),
        json!({ "path": "jwt.x[\" +1\"]", "op": "contains", "value": "a" }),
        json!({ "path": "jwt.x[\"-1\"]", "op": "exists" }),
        json!({ "path": "jwt.x[\"4294967296\"]", "op": "exists" }),
        json!({ "path": "jwt[\"https://a.example/x\"]", "op": "contains", "value": "a" }),
        json!({ "path": "header.x-team", "op": "eq", "value": "a" }),
    ]
}

/// Claims beside those that make a token good.
fn tokens() -> Vec<Value> {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.5),
        json!(-0.0),
        json!(9_007_199_254_740_993_u64),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("1"),
        json!("true"),
        json!("größe"),
        json!("finances"),
        json!("a\u{0}b"),
        json!("\u{1}"),
        json!("\u{0}\u{0}\u{0}\u{0}"),
        json!([]),
        json!(["a"]),
        json!(["b", "a"]),
        json!(["a", 1]),
        json!(["a", null]),
        json!(["a", true]),
        json!([["a"]]),
        json!([[]]),
        json!([{}]),
        json!({ "a": [] }),
        json!({ "a": {} }),
        json!(["a\u{7}"]),
        json!({}),
        json!({ "a": "" }),
        json!({ "y": "a" }),
        json!({ "y": null }),
        json!({ "y": ["a"] }),
        json!({ "0": "a" }),
    ];
    let named =
        [json!({}), json!({ "X": "a" }), json!({ "https://a.example/x": ["a"], "https://a": { "example/x": 1 } })];
    values.into_iter().map(|value| json!({ "x": value })).chain(named).collect()
}

#[test]
fn a_case_decides_by_claims_and_headers_as_the_plugin_does() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "claims";
    let issuer = Issuer::new(name);
    let upstream = upstream();
    let mut tools = serde_json::Map::new();
    for (index, condition) in conditions().into_iter().enumerate() {
        tools.insert(format!("require-{index}"), json!({ "require": [condition] }));
        tools.insert(format!("deny-{index}"), json!({ "deny_if": [condition] }));
    }
    let policy = json!({ "version": "1", "default": "deny", "tools": tools });
    let file = jwks(&shipped("grants-jwt.yaml", upstream.address), &issuer);
    let file = fill(&file, "\"full\": ", [format!("{policy},").as_str()]);
    let envoy = Envoy::start(&parts, name, &file);
    let policy = Policy::load("full", &policy.to_string()).expect("a policy");
    let mut connection = envoy.connect();
    let mut differences = Vec::new();
    for (claims, headers) in
        tokens().into_iter().zip([json!({}), json!({ "X-Team": "a" }), json!({ "x-team": "b" })].iter().cycle())
    {
        let mut claims = payload(&claims);
        claims["realm_access"] = json!({ "roles": ["operations"] });
        let token = issuer.token(&claims);
        for tool in tools.keys() {
            let mut request = Request::post(mcp::call("1", tool)).with("authorization", format!("Bearer {token}"));
            for (name, value) in headers.as_object().expect("headers") {
                request = request.with(name, value.as_str().expect("a text"));
            }
            let answer = connection.exchange(&request);
            let runs = answer.json()["result"]["isError"] != true;
            let line = json!({ "tool": tool, "claims": claims, "headers": headers }).to_string();
            let call = Call::parse(&line, &Defaults::default()).unwrap_or_else(|problems| panic!("{line}: {problems}"));
            let decision = call.make(&policy, &mut MemoryStore::default(), &mut Untraced);
            if decision.outcome.goes_on() != runs {
                differences.push(format!("{} of {}, {headers}: {answer:?}", tools[tool], claims["x"]));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(envoy.traps(), 0);
}
