//! The admin API, beside its OpenAPI document: each answer is as that says, and all that it says comes.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use jsonschema::Validator;
use mcp_policy::admin::{Side, Visit, note_in_force, note_refused};
use mcp_policy::config::{Gate, Role};
use mcp_policy::exchange::Reply;
use mcp_policy::policy::{MemoryStore, PutError, Store, Unavailable, Version};
use mcp_policy::recent::Recent;
use mcp_policy::timestamp::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::rc::Rc;
use support::{Driver, headers};

const DOCUMENT: &str = include_str!("../docs/admin-api.openapi.json");
const NOW: u64 = 1_795_243_342_000;
const HOUR: u64 = 3_600_000;
/// The SHA-256 of `token`.
const HASH: &str = "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0";
const KEY: &str = "a-key-that-nobody-is-told";
const POLICY: &str = r#"{"version":"1","default":"allow","tools":{
    "pay":{"limits":[{"counter":"n","window":"hour","max":10.50},
        {"counter":"all","window":90,"max":3,"scope":"global","mode":"shadow","continuations":1}]},
    "ask":{"require_approval":true},
    "never":{"action":"deny"},
    "trial":{"mode":"shadow","deny_if":[{"conditions":[{"path":"args.a","op":"exists"}]}]}},
    "all_tools":{"limits":[{"counter":"each","window":"day","max":100,"scope":["grant","tool"]}]}}"#;

fn configuration() -> String {
    let grant = format!(r#"{{"id":"a","match":{{"header":{{"name":"x-key","equals":"{KEY}"}}}},"policy":"p"}}"#);
    let token = format!(r#"{{"id":"b","match":{{"bearer_sha256":"{HASH}"}},"policy":"p"}}"#);
    format!(r#"{{"policies":{{"p":{POLICY}}},"grants":[{grant},{token}],"default_policy":"p"}}"#)
}

/// A proxy: what its gate was configured with, and the store that both sides share.
struct Proxy {
    gate: Rc<Gate>,
    side: Rc<Side>,
    recent: Recent,
    store: MemoryStore,
}

impl Proxy {
    fn new(configuration: &str) -> Self {
        let mut gate = Gate::load(configuration.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
        let mut store = support::store();
        note_in_force(&mut gate, Timestamp::from_millis(NOW), &mut store);
        let recent = Recent::new(gate.settings.decisions);
        recent.announce(&mut store);
        let admin = format!(r#"{{"admin":{{"token_sha256":"{HASH}"}}}}"#);
        let Ok(Role::Admin(admin)) = Role::load(admin.as_bytes()) else { panic!("an admin side") };
        Self { gate: gate.into(), side: Rc::new(Side::new(admin)), recent, store }
    }

    /// One call, as the plugin has it judged and keeps it; the id of the approval that it waits for.
    fn call(&mut self, tool: &str, arguments: &Value) -> Option<String> {
        let params = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
        let mut driver = Driver::new(&self.gate, &mut self.store, NOW);
        let lines = [support::POST.as_slice(), &[("x-key", KEY)]].concat();
        driver.request(&headers(&lines), &[body.as_bytes()], false);
        driver.end("via_upstream");
        let record = driver.exchange.record().unwrap().clone();
        self.recent.keep(&record, None, &mut self.store);
        record.approval
    }

    fn ask(&mut self, request: &Request<'_>) -> (u16, Value) {
        let reply = match request.is_broken {
            true => visit(&self.side, request, &mut Broken),
            false => visit(&self.side, request, &mut self.store),
        };
        let body = serde_json::from_slice(&reply.body);
        (reply.status, body.unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&reply.body))))
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.ask(&Request::get(path));
        assert_eq!(status, 200, "{body}");
        body
    }
}

#[derive(Clone)]
struct Request<'r> {
    method: &'r str,
    path: String,
    lines: Vec<(&'r str, &'r str)>,
    body: String,
    at: u64,
    /// The store fails.
    is_broken: bool,
}

impl<'r> Request<'r> {
    fn get(path: &str) -> Self {
        let lines = vec![(":authority", "localhost:1"), ("authorization", "Bearer token")];
        Self { method: "GET", path: path.to_owned(), lines, body: String::new(), at: NOW, is_broken: false }
    }

    fn post(path: &str) -> Self {
        let mut post = Self { method: "POST", body: "{}".to_owned(), ..Self::get(path) };
        post.lines.push(("content-type", "application/json"));
        post
    }

    fn without(mut self, name: &str) -> Self {
        self.lines.retain(|(own, _)| *own != name);
        self
    }

    fn with(mut self, name: &'r str, value: &'r str) -> Self {
        self.lines.push((name, value));
        self
    }
}

fn visit(side: &Rc<Side>, request: &Request<'_>, store: &mut dyn Store) -> Reply {
    let mut visit = Visit::new(Rc::clone(side));
    let lines = [&[(":method", request.method), (":path", request.path.as_str())], request.lines.as_slice()].concat();
    let now = Timestamp::from_millis(request.at);
    match visit.headers(&headers(&lines), request.body.is_empty(), now, store) {
        Some(reply) => reply,
        None => visit.whole(request.body.as_bytes(), now, store),
    }
}

struct Broken;

impl Store for Broken {
    fn get(&mut self, _key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        Err(Unavailable)
    }

    fn put(&mut self, _key: &[u8], _value: &[u8], _version: Option<Version>) -> Result<(), PutError> {
        Err(PutError::Unavailable)
    }
}

/// The schema of one answer; `None` where the document knows no such answer.
fn schema(document: &Value, method: &str, path: &str, status: &str) -> Option<Validator> {
    let answer = document["paths"].get(path)?.get(method)?["responses"].get(status)?;
    let mut schema = answer["content"].get("application/json")?["schema"].clone();
    schema["components"] = document["components"].clone();
    Some(jsonschema::draft202012::new(&schema).unwrap())
}

/// A request that the operation answers with this status.
fn request<'r>(proxy: &mut Proxy, method: &str, path: &str, status: &str) -> Request<'r> {
    let mut waits = |number: u64| proxy.call("ask", &json!({ "a": number, "s": status, "p": path })).unwrap();
    let id = if path.contains("{id}") { waits(1) } else { String::new() };
    let of = |id: &str| path.replace("{id}", id);
    let plain = if method == "get" { Request::get(&of(&id)) } else { Request::post(&of(&id)) };
    match status {
        "200" => plain,
        "400" if method == "get" => Request::get(&format!("{path}?state=all")),
        "400" => Request { body: "[1]".to_owned(), ..plain },
        "401" => plain.without("authorization"),
        "403" => plain.with("origin", "https://elsewhere.example"),
        "404" => Request { path: of("ap_x"), ..plain },
        "409" => {
            proxy.ask(&Request::post(&format!("/v1/approvals/{id}/approve")));
            plain
        }
        "410" => Request { at: NOW + 2 * HOUR, ..plain },
        "413" => Request { body: " ".repeat(9000), ..plain },
        "415" => plain.without("content-type").with("content-type", "text/plain"),
        "429" => {
            let wrong = Request::get("/v1/policy").without("authorization").with("authorization", "Bearer wrong");
            let later = Request { at: NOW + HOUR, ..wrong };
            (0..20).for_each(|_| assert_eq!(proxy.ask(&later).0, 401));
            Request { at: NOW + HOUR, ..plain }
        }
        "503" => Request { is_broken: true, ..plain },
        other => panic!("{method} {path}: how to get {other} is not known"),
    }
}

#[test]
fn every_answer_is_as_the_document_says_and_all_that_it_says_comes() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                // Of the playground's engine, which only the plugin has: `tests/envoy` asks it.
                if answer["content"].get("application/wasm").is_some() {
                    continue;
                }
                let mut proxy = Proxy::new(&configuration());
                for (tool, arguments) in [("pay", json!({})), ("ask", json!({ "a": 1 })), ("never", json!({ "b": 2 }))]
                {
                    proxy.call(tool, &arguments);
                }
                proxy.call("trial", &json!({ "a": 1 }));
                let request = request(&mut proxy, method, path, status);
                let (came, body) = proxy.ask(&request);
                assert_eq!(came.to_string(), *status, "{method} {path}: {body}");
                let schema = schema(&document, method, path, status).unwrap();
                let errors: Vec<String> = schema.iter_errors(&body).map(|error| error.to_string()).collect();
                assert_eq!(errors, [""; 0], "{method} {path} {status}: {body}");
                assert!(!body.to_string().contains(KEY) && !body.to_string().contains(HASH), "a secret in {body}");
                seen.insert((path.clone(), came));
            }
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
    // What belongs to no operation.
    let error = schema(&document, "get", "/v1/policy", "503").unwrap();
    let mut proxy = Proxy::new(&configuration());
    for (request, status) in [(Request::get("/v1/other"), 404), (Request::post("/v1/policy"), 405)] {
        let (came, body) = proxy.ask(&request);
        assert_eq!((came, error.is_valid(&body)), (status, true), "{body}");
    }
    // That the check can fail.
    let approvals = schema(&document, "get", "/v1/approvals", "200").unwrap();
    assert!(!approvals.is_valid(&json!({ "approvals": [{ "id": 1 }] })) && !error.is_valid(&json!({})));
}

#[test]
fn a_page_may_run_its_own_scripts_and_webassembly_and_load_nothing_else() {
    let mut proxy = Proxy::new(&configuration());
    for path in ["/", "/console.js", "/healthz"] {
        let reply = visit(&proxy.side, &Request::get(path).without("authorization"), &mut proxy.store);
        let (_, policy) = reply.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap();
        let mut directives: Vec<&str> = policy.split("; ").collect();
        directives.sort_unstable();
        assert_eq!(
            directives,
            [
                "base-uri 'none'",
                "connect-src 'self'",
                "default-src 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "img-src 'self' data:",
                "require-trusted-types-for 'script'",
                "script-src 'self' 'wasm-unsafe-eval'",
                "style-src 'self'",
            ],
            "{path}"
        );
    }
}

#[test]
fn every_state_and_every_kind_of_answer_is_as_the_document_says() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let check = |path: &str, body: &Value| {
        let errors: Vec<String> =
            schema(&document, "get", path, "200").unwrap().iter_errors(body).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{path}: {body}");
    };
    let mut proxy = Proxy::new(&configuration());
    for (number, verb) in ["approve", "deny"].into_iter().enumerate() {
        let id = proxy.call("ask", &json!({ "a": number })).unwrap();
        let request = Request { body: json!({ "note": "said" }).to_string(), ..Request::post("") };
        let (status, body) = proxy.ask(&Request { path: format!("/v1/approvals/{id}/{verb}"), ..request });
        assert_eq!((status, &body["note"], &body["arguments"]), (200, &json!("said"), &Value::Null));
    }
    proxy.call("ask", &json!({ "a": "x".repeat(9000) }));
    let all = proxy.get("/v1/approvals");
    check("/v1/approvals", &all);
    assert_eq!(all["approvals"].as_array().map(Vec::len), Some(3));
    let (_, late) = proxy.ask(&Request { at: NOW + 2 * HOUR, ..Request::get("/v1/approvals?state=expired") });
    check("/v1/approvals", &late);
    assert_eq!(late["approvals"].as_array().map(Vec::len), Some(3));

    check("/v1/policy", &proxy.get("/v1/policy"));
    let faulty = format!(
        r#"{{"policies":{{}},"x":1,"grants":[{{"id":"a","match":{{"header":{{"name":"x","equals":["{KEY}"]}}}}}},
            {{"id":"b","match":{{"bearer_sha256":"{KEY}"}}}}]}}"#
    );
    note_refused(&Gate::load(faulty.as_bytes()).unwrap_err(), Timestamp::from_millis(NOW), &mut proxy.store);
    let policy = proxy.get("/v1/policy");
    check("/v1/policy", &policy);
    assert_eq!(policy["refused"]["problems"].as_array().map(Vec::len), Some(3), "{policy}");
    assert!(!policy.to_string().contains(KEY), "{policy}");
    for token in [r#""31415926""#, "31415926", r#"["31415926"]"#] {
        let problems = Role::load(format!(r#"{{"admin":{{"token_sha256":{token}}}}}"#).as_bytes()).unwrap_err();
        assert!(!problems.to_string().contains("31415926"), "{problems}");
    }
}

#[test]
fn a_policy_is_told_digit_for_digit_since_it_is_in_force() {
    let mut proxy = Proxy::new(&configuration());
    let reply = visit(&proxy.side, &Request::get("/v1/policy"), &mut proxy.store);
    let text = String::from_utf8(reply.body).unwrap();
    let compact: String = POLICY.split_whitespace().collect();
    let version = proxy.gate.policies().next().unwrap().version().to_owned();
    let since = Timestamp::from_millis(NOW);
    let expected = format!(
        r#"{{"policies":[{{"name":"p","version":"{version}","since":"{since}","document":{compact}}}],"refused":null}}"#
    );
    assert_eq!(text, expected);

    // Another policy takes force beside it; the next worker says the same later.
    let large =
        format!(r#"{{"version":"1","default":"deny","tests":[],"tools":{{"{}":{{}}}}}}"#, "x".repeat(257 << 10));
    let both = configuration().replace(r#""policies":{"#, &format!(r#""policies":{{"large":{large},"#));
    for minutes in [1, 2] {
        let mut gate = Gate::load(both.as_bytes()).unwrap();
        note_in_force(&mut gate, Timestamp::from_millis(NOW + minutes * 60_000), &mut proxy.store);
    }
    let told = proxy.get("/v1/policy");
    let later = Timestamp::from_millis(NOW + 60_000).to_string();
    let [large, p] = told["policies"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&large["document"], &large["document_cut"]), (&Value::Null, &json!(true)));
    assert_eq!((&large["since"], &p["since"]), (&json!(later), &json!(since.to_string())));
    assert_eq!(proxy.get("/v1/limits")["cut"], true, "the limits of that one are not known");
}

#[test]
fn limits_tell_what_was_counted_and_by_whom() {
    let mut proxy = Proxy::new(&configuration());
    (0..3).for_each(|_| assert_eq!(proxy.call("pay", &json!({})), None));
    let told = proxy.get("/v1/limits");
    assert_eq!(told, proxy.get("/v1/limits"), "asking counts nothing");
    let find = |counter: &str, grant: Value, tool: Value| {
        let mut limits = told["limits"].as_array().unwrap().iter();
        let found = limits.find(|limit| {
            limit["counter"] == counter
                && limit["grant"] == grant
                && limit["tool"] == tool
                && limit["continuations"].is_null()
        });
        found.unwrap_or_else(|| panic!("{counter} in {told}")).clone()
    };
    let own = find("n", json!("a"), Value::Null);
    assert_eq!((&own["limit"], &own["used"], &own["remaining"]), (&json!(10.5), &json!(3), &json!(7.5)));
    assert_eq!(
        (&own["rule"], &own["window"], &own["scope"]),
        (&json!("/tools/pay/limits/n"), &json!("hour"), &json!(["grant"]))
    );
    assert_eq!(own["reset_seconds"], json!((HOUR - NOW % HOUR) / 1000));
    for stranger in ["b", "anonymous"] {
        assert_eq!(find("n", json!(stranger), Value::Null)["used"], 0);
    }
    let all = find("all", Value::Null, Value::Null);
    assert_eq!(
        (&all["scope"], &all["used"], &all["remaining"], &all["shadow"]),
        (&json!(["global"]), &json!(3), &json!(0), &json!(true))
    );
    assert_eq!(find("each", json!("a"), json!("pay"))["used"], 3);
    assert_eq!(find("each", json!("a"), json!("ask"))["used"], 0);

    let by_service = r#"{"policies":{"p":{"version":"1","default":"allow"}},"default_policy":"p",
        "limits":{"store":"rate_limit_service","cluster":"c","domain":"d"}}"#;
    let told = Proxy::new(by_service).get("/v1/limits");
    assert_eq!(told, json!({ "limits": [], "kept_by": "rate_limit_service" }));
}

#[test]
fn decisions_tell_no_argument() {
    let mut proxy = Proxy::new(&configuration());
    proxy.call("pay", &json!({ "amount": "s3cret" }));
    proxy.call("never", &json!({}));
    let told = proxy.get("/v1/decisions");
    let [second, first] = told["decisions"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (&first["tool"], &first["outcome"], &first["arg_keys"]),
        (&json!("pay"), &json!("allowed"), &json!(["amount"]))
    );
    assert_eq!((&second["rule"], &second["grant"]), (&json!("/tools/never/action"), &json!("a")));
    assert!(!told.to_string().contains("s3cret"));
}
