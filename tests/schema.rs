//! The JSON Schemas of `policies/schema` say what the reader says: what it takes they take, and what they
//! refuse it refuses. The few faults that a schema cannot express are listed here, each with its reason.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use jsonschema::{Registry, Validator};
use mcp_policy::config::Role;
use mcp_policy::policy::Policy;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const POLICY_URI: &str = "file:///policies/schema/policy.schema.json";
const CONFIGURATION_URI: &str = "file:///policies/schema/configuration.schema.json";
const POLICY: &str = include_str!("../policies/schema/policy.schema.json");
const CONFIGURATION: &str = include_str!("../policies/schema/configuration.schema.json");

/// A part of the reader's message, an example, and why a schema cannot tell.
type Inexpressible = (&'static str, &'static str, &'static str);

/// Faults of more than one value, or of another language.
const RELATIONS: [Inexpressible; 15] = [
    (
        "wait must not be longer than timeout",
        r#"{"version":"1","default":"deny","all_tools":{"require_approval":[{"conditions":[],"timeout":5,"wait":10}]}}"#,
        "no keyword compares two members",
    ),
    (
        "cannot keep this limit",
        r#"{"policies":{"a":{"version":"1","default":"deny","all_tools":{"limits":[{"counter":"c","window":"week","max":1}]}}},"default_policy":"a","limits":{"store":"rate_limit_service","cluster":"c","domain":"d"}}"#,
        "policies have a schema of their own, which knows no configuration",
    ),
    (
        "another limit gives the same counter another maximum",
        r#"{"policies":{"a":{"version":"1","default":"deny","all_tools":{"limits":[{"counter":"c","window":"day","max":1}]},"tools":{"b":{"limits":[{"counter":"c","window":"day","max":2}]}}}},"default_policy":"a","limits":{"store":"rate_limit_service","cluster":"c","domain":"d","maxima":"service"}}"#,
        "no keyword compares a member of one element with that of another",
    ),
    (
        "fails: ",
        r#"{"version":"1","default":"deny","tests":[{"name":"x","call":{"tool":"a"},"expect":"allowed"}]}"#,
        "no keyword decides a call",
    ),
    (
        "too much work to run",
        r#"{"version":"1","default":"deny","tests":[{"name":"x","after":[{"tool":"a","times":4294967295}],"call":{"tool":"a"},"expect":"denied"}]}"#,
        "no keyword adds up work",
    ),
    (
        "member is given twice",
        r#"{"version":"1","default":"allow","default":"deny"}"#,
        "a schema sees values that were parsed, and parsing keeps one of two",
    ),
    (
        "duplicate rule id",
        r#"{"version":"1","default":"deny","all_tools":{"deny_if":[{"id":"x","conditions":[]},{"id":"x","conditions":[]}]}}"#,
        "no keyword compares a member of one element with that of another",
    ),
    (
        "duplicate counter",
        r#"{"version":"1","default":"deny","all_tools":{"limits":[{"counter":"c","window":"day","max":1},{"counter":"c","window":"day","max":2}]}}"#,
        "the same",
    ),
    (
        "invalid regex",
        r#"{"version":"1","default":"deny","all_tools":{"deny_if":[{"path":"args.a","op":"regex","value":"("}]}}"#,
        "the format `regex` means another dialect, and no keyword bounds a size",
    ),
    (
        "from and to must differ",
        r#"{"version":"1","default":"deny","schedule":{"from":"09:00","to":"09:00"}}"#,
        "no keyword compares two members",
    ),
    (
        "which a prompt does not have",
        r#"{"version":"1","default":"deny","prompts":{"items":{"a":{"deny_if":[{"path":"uri","op":"exists"}]}}}}"#,
        "it would take the definitions of all rules once more, for each section",
    ),
    (
        "which a resource does not have",
        r#"{"version":"1","default":"deny","resources":{"items":{"a":{"deny_if":[{"path":"args.a","op":"exists"}]}}}}"#,
        "the same",
    ),
    (
        "policy must name one of the policies",
        r#"{"policies":{"a":{"version":"1","default":"deny"}},"default_policy":"b"}"#,
        "no keyword looks a value up among names",
    ),
    (
        "duplicate grant id",
        r#"{"policies":{},"grants":[{"id":"a","match":{"mtls_san":"x"}},{"id":"a","match":{"mtls_san":"y"}}]}"#,
        "no keyword compares a member of one element with that of another",
    ),
    (
        "the same token is that of grant",
        r#"{"policies":{},"grants":[{"id":"a","match":{"bearer_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}},{"id":"b","match":{"bearer_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}]}"#,
        "the same",
    ),
];

/// Spellings of one value that pass for a good one.
const SPELLINGS: [Inexpressible; 6] = [
    (
        "timeout must be seconds (1 to 2678400)",
        r#"{"version":"1","default":"deny","all_tools":{"require_approval":[{"conditions":[],"timeout":"32d"}]}}"#,
        "no keyword computes with a text",
    ),
    (
        "path is malformed",
        r#"{"version":"1","default":"deny","all_tools":{"deny_if":[{"path":"args[\"\\ud800\"]","op":"exists"}]}}"#,
        "half of a surrogate pair; all else the schema's pattern sees",
    ),
    (
        "window must be",
        r#"{"version":"1","default":"deny","all_tools":{"limits":[{"counter":"c","window":60.0,"max":1}]}}"#,
        "to a schema 60.0 is an integer; the reader wants its plain digits",
    ),
    (
        "increment must be an integer",
        r#"{"version":"1","default":"deny","all_tools":{"limits":[{"counter":"c","window":60,"max":1,"increment":1e2}]}}"#,
        "the same",
    ),
    (
        "max_body_bytes must be an integer",
        r#"{"policies":{"a":{"version":"1","default":"deny"}},"default_policy":"a","max_body_bytes":1e3}"#,
        "the same",
    ),
    (
        "timeout_ms must be an integer",
        r#"{"policies":{"a":{"version":"1","default":"deny"}},"default_policy":"a","limits":{"store":"rate_limit_service","cluster":"c","domain":"d","timeout_ms":1e2}}"#,
        "the same",
    ),
];

struct Schemas {
    policy: Validator,
    configuration: Validator,
    /// One of these tells a configuration from a policy.
    members: Vec<String>,
}

impl Schemas {
    fn new() -> Self {
        let policy: Value = serde_json::from_str(POLICY).expect("JSON");
        let configuration: Value = serde_json::from_str(CONFIGURATION).expect("JSON");
        for schema in [&policy, &configuration] {
            jsonschema::meta::validate(schema).expect("a schema");
        }
        let registry = Registry::new().add(POLICY_URI, policy.clone()).expect("a resource").prepare();
        let registry = registry.expect("no dangling reference");
        let build = |uri: &str, schema: &Value| {
            let options = jsonschema::options().with_registry(&registry).with_base_uri(uri.to_owned());
            options.build(schema).expect("a schema")
        };
        let members = configuration["$defs"]["configuration"]["properties"].as_object().expect("members");
        Self {
            policy: build(POLICY_URI, &policy),
            configuration: build(CONFIGURATION_URI, &configuration),
            members: members.keys().cloned().chain(["admin".to_owned()]).collect(),
        }
    }

    /// Compares the two verdicts on a plugin configuration, or on a policy, which is one too. Only the faults
    /// in `inexpressible` may pass the schema.
    fn compare(&self, text: &str, what: &str, inexpressible: &[Inexpressible]) -> Verdict {
        let value: Value = serde_json::from_str(text).expect("JSON");
        let errors: Vec<String> = self.configuration.iter_errors(&value).map(|error| error.to_string()).collect();
        let problems: Vec<String> = match Role::load(text.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        if !self.members.iter().any(|member| value.get(member).is_some()) {
            let is_good = Policy::load("test", text).is_ok();
            // Its tests are run only when it is to take force.
            let is_of_a_test = |problem: &String| problem.contains("fails: ") || problem.contains("too much work");
            let is_loadable = problems.iter().all(is_of_a_test);
            assert_eq!(is_good, is_loadable, "{what}: a policy alone, and as a configuration: {text}");
            assert_eq!(self.policy.is_valid(&value), errors.is_empty(), "{what}: the two schemas: {text}");
        }
        let is_inexpressible = |problem: &String| inexpressible.iter().any(|(part, ..)| problem.contains(part));
        match (problems.is_empty(), errors.is_empty()) {
            (true, true) => Verdict::Good,
            (true, false) => panic!("{what}: only the schema refuses {text}: {errors:#?}"),
            (false, true) => {
                assert!(problems.iter().all(is_inexpressible), "{what}: only the reader refuses {text}: {problems:#?}");
                Verdict::Inexpressible
            }
            (false, false) => Verdict::Faulty,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// For both.
    Faulty,
    /// For the reader, by a fault that the schema cannot express.
    Inexpressible,
}

/// Every policy of the folder.
fn policies() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).expect("policies");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let mut policies: Vec<(String, String)> = paths
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.ends_with(".json") && !name.ends_with(".cases.json"))
        .map(|(name, path)| (name, std::fs::read_to_string(path).expect("a file")))
        .collect();
    policies.sort();
    policies
}

#[test]
fn every_shipped_policy_is_valid() {
    let schemas = Schemas::new();
    for (name, text) in policies() {
        assert_eq!(schemas.compare(&text, &name, &[]), Verdict::Good);
        let configuration = format!(r#"{{"policies":{{"x":{text}}},"default_policy":"x"}}"#);
        assert_eq!(schemas.compare(&configuration, &name, &[]), Verdict::Good);
    }
}

#[test]
fn the_reader_and_the_schemas_agree_on_the_documents_of_the_tests() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("cases/documents.json")).expect("JSON");
    // Once more as they are written: a value has lost what only the reader sees.
    let raw: Vec<std::collections::BTreeMap<String, Box<RawValue>>> =
        serde_json::from_str(include_str!("cases/documents.json")).expect("JSON");
    let (schemas, mut compared) = (Schemas::new(), 0);
    for (row, raw) in rows.iter().zip(raw) {
        let text = row["document"].as_str().map_or_else(|| raw["document"].get().to_owned(), str::to_owned);
        if serde_json::from_str::<Value>(&text).is_ok() {
            let verdict = schemas.compare(&text, row["name"].as_str().expect("a name"), &RELATIONS);
            let is_good = row["problems"].as_array().expect("problems").is_empty();
            assert_eq!(verdict == Verdict::Good, is_good, "{}", row["name"]);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn what_a_schema_cannot_express_is_listed_and_nothing_else() {
    let schemas = Schemas::new();
    for row @ (part, text, reason) in RELATIONS.into_iter().chain(SPELLINGS) {
        let verdict = schemas.compare(text, part, &[row]);
        assert_eq!(verdict, Verdict::Inexpressible, "{part} is inexpressible: {reason}");
        let problems = Role::load(text.as_bytes()).expect_err(text).to_string();
        assert!(problems.contains(part), "{text}: {problems}");
    }
}

/// Every form of every member, in few lines.
fn example() -> Value {
    let test = json!({"path": "args.a", "op": "eq", "value": 1});
    json!({
        "version": "1", "name": "n", "description": "d", "default": "deny", "mode": "enforce",
        "hide": ["a", "b*"], "hide_unlisted": true,
        "schedule": {"days": ["mon", "sun"], "from": "22:00", "to": "06:00", "utc_offset": "-03:30", "on_deny": "x"},
        "all_tools": {
            "mode": "shadow",
            "require": [test, {"id": "r", "mode": "shadow", "on_deny": "x", "conditions": [
                {"path": "args.a[*][\"b.c\"][0]", "op": "in", "value": [1, "a"]}, {"any": [test, {"not": test}]}]}],
            "deny_if": [
                {"path": "header.x", "op": "regex", "value": "a", "on_deny": "x"},
                {"path": "jwt.a.b", "op": "exists"}, {"path": "uri", "op": "not_exists", "value": false},
                {"path": "meta.a", "op": "gt", "value": 1.5}, {"path": "grant.id", "op": "starts_with", "value": "a"},
                {"conditions": [{"all": [test]}]}, {"conditions": []}],
            "require_approval": [{"id": "q", "conditions": [], "timeout": "30m", "wait": "4m"}, {"conditions": [test], "timeout": 60, "wait": 60}],
            "limits": [
                {"counter": "c", "id": "i", "window": "day", "max": 2.5, "continuations": 9, "scope": ["grant", "tool"], "increment": 2,
                 "align": "rolling", "mode": "enforce", "on_deny": "x"},
                {"counter": "d", "window": 90, "max": 1, "scope": "global", "increment_from": "args.n", "on_missing": "skip"},
                {"counter": "e", "window": "session", "max": 1, "scope": ["session"]}],
            "rate_limit": ["5/hour", {"max": 1, "window": "week", "scope": "grant", "on_deny": "x"}]
        },
        "tools": {
            "a": {}, "b": null, "c": {"action": "deny", "reason": "x"},
            "d*": {"action": "rate_limit", "rate_limit": {"max": 1, "window": "session"}},
            "e?": {"action": "require_approval", "require_approval": true, "schedule": {"days": ["tue"]}},
            "f": {"action": "allow", "limits": [], "rate_limit": "1/month"},
            "g": {"pin": format!("sha256:{}", "09afAF12".repeat(8))}
        },
        "prompts": {"default": "allow", "hide": ["a"], "items": {"p": {"require": [test], "rate_limit": "1/day"}}},
        "resources": {"default": "deny", "hide": ["a:*"], "items": {"*": null,
            "b:*": {"deny_if": [{"path": "uri", "op": "contains", "value": ".."}], "action": "require_approval"}}},
        "methods": {"default": "deny", "allow": ["tools/*"], "deny": ["x", "y/*"]}
    })
}

/// Every member of a test, in tests that pass.
fn tested() -> Value {
    json!({
        "version": "1", "default": "deny", "tools": {"a": {}},
        "tests": [
            {"name": "n", "grant": "g", "at": "2026-11-21T09:30:00Z", "headers": {"X-Team": "a b", "x": ""},
             "claims": {"groups": ["a", 1, null], "a": {"b": true}},
             "after": [{"tool": "a", "arguments": {"a": 1}, "times": 2, "upstream": "http_error", "at": 1}],
             "call": {"tool": "a", "continues": true, "meta": {"k": {}}, "headers": {"x-team": "b"}, "claims": {}, "session": "s"},
             "expect": "allowed", "rule": "", "message": ""},
            {"name": "n", "call": {"resource": "a:b", "method": "resources/subscribe"}, "expect": "allowed"},
            {"name": "n", "call": {"method": "ping"}, "expect": "allowed"},
            {"name": "n", "list": ["p"], "of": "prompt", "visible": ["p"]}
        ]
    })
}

fn configuration() -> Value {
    json!({
        "policies": {"x": {"version": "1", "default": "deny"}}, "default_policy": "x", "deny_prefix": "no",
        "max_body_bytes": 1, "max_list_ttl_ms": 0, "hold_request_headers": true, "hidden_reply": "policy", "limit_reply": "jsonrpc_error", "report_budget": true, "log": "none", "decisions": 0,
        "strip_authorization": false, "strip_cookies": true, "jwt_payload_key": "k",
        "limits": {"store": "rate_limit_service", "cluster": "c", "domain": "d", "timeout_ms": 1, "on_failure": "local", "maxima": "policy", "lease": 2},
        "approvals": {"url": "https://a.b:1/c?d=e", "redact": ["args.a", "args.é.b c"], "max_held": 0,
            "keys": [{"id": "a.b", "ed25519": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}],
            "notify": {"cluster": "c", "path": "/", "authority": "h:1", "timeout_ms": 1, "attempts": 1,
                "hmac_sha256": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
        "grants": [
            {"id": "a", "label": "A", "match": {"bearer_sha256": "0".repeat(64)}, "policy": "x"},
            {"id": "b", "match": {"header": {"name": "x-agent", "equals": "b"}}, "policy": null},
            {"id": "c", "match": {"jwt_claim": {"claim": "a.b[\"c.d\"]", "contains": "w"}}},
            {"id": "d", "match": {"jwt_claim": {"claim": "n", "equals": 1.5}}},
            {"id": "e", "match": {"mtls_san": "spiffe://corp/*"}}
        ]
    })
}

fn admin() -> Value {
    json!({"admin": {"token_sha256": "09afAF12".repeat(8), "hosts": ["localhost", "a.b-c"]}})
}

/// What a member may become by mistake.
fn others() -> Vec<Value> {
    let mut others =
        vec![json!(null), json!(true), json!(false), json!(0), json!(-1), json!(1.5), json!([]), json!({})];
    let words = [
        "",
        " ",
        "x",
        "*",
        "allow",
        "deny",
        "rate_limit",
        "shadow",
        "eq",
        "in",
        "gt",
        "regex",
        "exists",
        "session",
        "global",
        "month",
        "day",
        "rolling",
        "skip",
        "5/day",
        "mon",
        "09:00",
        "+09:00",
        "24:00",
        "0m",
        "+5m",
        "5m",
        "args",
        "args.a",
        "args.a[*]",
        "args.a[01]",
        "args[\"a\\u0020\"].b",
        "args..a",
        "meta",
        "jwt.",
        "jwt.a..b",
        "header.",
        "header.a.b",
        "uri",
        "uri.a",
        "grant.id",
        "grant",
        "1",
        "99999999999999999999",
    ];
    others.extend(words.map(Value::from));
    others.extend([json!(60), json!(2_678_401), json!(["session", "grant"]), json!(["global"]), json!(["a", "a"])]);
    others.extend([json!(["5/day", 1]), json!([[]]), json!([{}]), json!([null]), json!({"x": {}}), json!({"*": {}})]);
    others
}

/// Pointers of every value within, itself included.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(value, &format!("{at}/{name}"), found);
        }),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn mutations_get_the_same_verdict_from_both() {
    let schemas = Schemas::new();
    let (mut good, mut faulty) = (0, 0);
    let mut compare = |value: &Value, what: &str| match schemas.compare(&value.to_string(), what, &RELATIONS) {
        Verdict::Good => good += 1,
        Verdict::Faulty => faulty += 1,
        Verdict::Inexpressible => {}
    };
    for example in [example(), tested(), configuration(), admin()] {
        assert_eq!(schemas.compare(&example.to_string(), "the example", &[]), Verdict::Good);
        let mut all = Vec::new();
        places(&example, "", &mut all);
        for place in all {
            for other in others() {
                let mut changed = example.clone();
                *changed.pointer_mut(&place).expect("a place") = other;
                compare(&changed, &format!("{place} changed"));
            }
            let (parent, name) = place.rsplit_once('/').unwrap_or_default();
            let unescaped = name.replace("~1", "/").replace("~0", "~");
            let mut changed = example.clone();
            if let Some(members) = changed.pointer_mut(parent).and_then(Value::as_object_mut) {
                let Some(value) = members.remove(&unescaped) else { continue };
                compare(&changed, &format!("{place} removed"));
                let misspelt = [format!("{unescaped}s"), unescaped.to_uppercase(), "$schema".to_owned()];
                let borrowed = [
                    "id",
                    "value",
                    "conditions",
                    "not",
                    "timeout",
                    "wait",
                    "action",
                    "increment",
                    "scope",
                    "rate_limit",
                ];
                for other in misspelt.into_iter().chain(borrowed.map(str::to_owned)) {
                    for keeps in [false, true] {
                        let mut changed = changed.clone();
                        let members = changed.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
                        members.insert(other.clone(), value.clone());
                        if keeps {
                            members.insert(unescaped.clone(), value.clone());
                        }
                        compare(&changed, &format!("{place} as {other}"));
                    }
                }
            } else if let Some(elements) = changed.pointer_mut(parent).and_then(Value::as_array_mut)
                && let Some(index) = name.parse().ok().filter(|index: &usize| *index < elements.len())
            {
                elements.remove(index);
                compare(&changed, &format!("{place} removed"));
            }
        }
    }
    assert!(good > 1000 && faulty > 5000, "{good} good and {faulty} faulty mutations");
}
