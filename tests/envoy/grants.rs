//! Grants: the four shipped files, each with its own kind of credential, right, wrong and missing; and a grant that is
//! revoked while Envoy runs.

use super::reload::Discovered;
use super::support::envoy::{Envoy, validate};
use super::support::http::Connection;
use super::support::keys::{Authority, Issuer, post};
use super::support::mcp;
use super::support::parts::{Parts, root, scratch};
use super::support::request::Request;
use super::support::setup::{Setup, exchange};
use super::support::upstream::{Answer, Upstream, result};
use super::support::wait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::net::SocketAddr;

/// In the shipped files this tool is run under the policy `full`, and refused under `echo-only`.
const TOOL: &str = "get-sum";

/// A file of `envoy/`, on a port of Envoy's own choice and before this upstream.
pub(super) fn shipped(file: &str, server: SocketAddr) -> String {
    let text = fs::read_to_string(root().join("envoy").join(file)).expect("a file of envoy/");
    let text = exchange(&text, "port_value: 10000", "port_value: 0");
    let server = format!("port_value: {}", server.port());
    exchange(&text, "port_value: 3001", &server)
}

/// `file` with each line that begins with `key` saying the next of `values`.
pub(super) fn fill<'v>(file: &str, key: &str, values: impl IntoIterator<Item = &'v str>) -> String {
    let mut values = values.into_iter();
    let fill = |line: &str| {
        let Some(at) = line.find(key).filter(|at| line[..*at].trim().is_empty()) else { return format!("{line}\n") };
        format!("{}{key}{}\n", &line[..at], values.next().expect("a value for each line"))
    };
    let filled = file.lines().map(fill).collect();
    assert_eq!(values.next(), None, "more values than lines `{key}`");
    filled
}

/// Answers calls, lists and streams.
pub(super) fn upstream() -> Upstream {
    Upstream::start(|request| match request.head.start.split(' ').next() {
        Some("POST") => Answer::json(result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#)),
        Some("GET") => Answer::events(": open\n\n", 100),
        _ => Answer::json("{}"),
    })
}

/// A key of RSA as JSON, behind the words that the shipped one begins with.
pub(super) fn jwks(file: &str, issuer: &Issuer) -> String {
    fill(file, "{\"kty\":", [issuer.jwk().trim_start_matches("{\"kty\":")])
}

pub(super) fn sha256(token: impl AsRef<[u8]>) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Grant and policy that a request is judged under; `None` when it is refused.
type Judged = Option<(&'static str, &'static str)>;

/// A name, the request's credentials, and what comes of them.
type Row<'r> = (&'r str, Vec<(&'r str, String)>, Judged);

fn expected_answer(judged: Judged) -> (u16, String) {
    match judged {
        Some((_, "full")) => (200, result(br#"{"id":1}"#, r#"{"content":[{"type":"text","text":"ran"}]}"#)),
        Some(_) => (200, mcp::refused("1", "[POLICY DENIED] Tool \"get-sum\" is not permitted by policy")),
        None => {
            let message = "No grant matches the credentials of this request";
            (401, format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":401,"message":"{message}"}}}}"#))
        }
    }
}

/// Sends a call, a stream and the end of a session with each row's credentials.
fn check(envoy: &mut Envoy, rows: &[Row<'_>], secrets: &[String]) {
    let mut connection = envoy.connect();
    for (name, credentials, judged) in rows {
        let with =
            |request: Request| credentials.iter().fold(request, |request, (name, value)| request.with(name, value));
        let answer = connection.exchange(&with(Request::post(mcp::call("1", TOOL))));
        assert_eq!((answer.status, answer.text()), expected_answer(*judged), "{name}");
        for request in [Request::stream(), Request::stream().by("DELETE")] {
            let answer = connection.exchange(&with(request));
            assert_eq!(answer.status, if judged.is_some() { 200 } else { 401 }, "{name}: {answer:?}");
            assert_eq!(answer.head.text("www-authenticate"), if judged.is_some() { "" } else { "Bearer" }, "{name}");
        }
    }
    let lines = envoy.access_log(3 * rows.len());
    for ((name, _, judged), lines) in rows.iter().zip(lines.chunks(3)) {
        let record: Value = serde_json::from_str(lines[0]["decision"].as_str().expect("a record")).expect("JSON");
        let (grant, policy) =
            judged.map_or((Value::Null, Value::Null), |(grant, policy)| (grant.into(), policy.into()));
        assert_eq!((&record["grant"], &record["policy"]), (&grant, &policy), "{name}: {record}");
        assert_eq!(record["rule"] == "(no grant)", judged.is_none(), "{name}: {record}");
    }
    let printed = format!("{}{}", envoy.log(), Value::from(lines));
    for secret in secrets {
        assert!(!printed.contains(secret.as_str()), "{secret} in a log");
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn bearer_tokens() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "grants-bearer";
    let upstream = upstream();
    let (ci, intern) = ("token-of-ci-51f0".to_owned(), "token-of-intern-9b2c".to_owned());
    let hashes = [sha256(&ci), sha256(&intern)];
    let quoted = hashes.each_ref().map(|hash| format!("\"{hash}\""));
    let file = fill(
        &shipped("grants-bearer.yaml", upstream.address),
        "\"bearer_sha256\": ",
        quoted.iter().map(String::as_str),
    );
    let mut envoy = Envoy::start(&parts, name, &file);
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cookie = ("cookie", "session=1".to_owned());
    let rows = [
        ("the first token", vec![bearer(&ci), cookie.clone()], Some(("ci-runner", "full"))),
        ("the second token", vec![bearer(&intern)], Some(("intern", "echo-only"))),
        ("another case of the scheme", vec![("Authorization", format!("bEaReR {ci}"))], Some(("ci-runner", "full"))),
        ("no token", vec![cookie], None),
        ("a wrong token", vec![bearer("token-of-ci-51f1")], None),
        ("the hash", vec![bearer(&hashes[0])], None),
        ("another scheme", vec![("authorization", format!("Basic {ci}"))], None),
        ("two lines", vec![bearer(&ci), bearer(&ci)], None),
        ("two lines, one right", vec![bearer("x"), bearer(&ci)], None),
        ("no text", vec![("authorization", format!("Bearer {ci}\u{e9}"))], None),
    ];
    let [a, b] = hashes;
    check(&mut envoy, &rows, &[ci, intern, a, b]);
    drop(envoy);
    let requests = upstream.settled();
    // Two calls, and three times a stream and the end of a session.
    assert_eq!(requests.len(), 2 + 6);
    for request in requests {
        assert_eq!((request.header("authorization"), request.header("cookie")), Default::default(), "{request:?}");
    }
}

#[test]
fn headers() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "grants-header";
    let upstream = upstream();
    let mut envoy = Envoy::start(&parts, name, &shipped("grants-header.yaml", upstream.address));
    let agent = |value: &str| ("x-agent", value.to_owned());
    let own = [("authorization", "Bearer of-the-server".to_owned()), ("cookie", "session=1".to_owned())];
    let rows = [
        ("the first", vec![agent("support"), own[0].clone(), own[1].clone()], Some(("support", "full"))),
        ("the second", vec![agent("intern")], Some(("intern", "echo-only"))),
        ("another case of the name", vec![("X-Agent", "support".to_owned())], Some(("support", "full"))),
        ("another value", vec![agent("Support")], None),
        ("none", own.to_vec(), None),
        ("two lines", vec![agent("support"), agent("support")], None),
        ("two lines, one right", vec![agent("intern"), agent("support")], None),
    ];
    check(&mut envoy, &rows, &[]);
    drop(envoy);
    let first = &upstream.settled()[0];
    assert_eq!(
        (first.header("authorization").as_str(), first.header("cookie").as_str()),
        ("Bearer of-the-server", "session=1")
    );
}

/// A token's payload, good for the shipped file, and these claims besides.
pub(super) fn payload(claims: &Value) -> Value {
    let mut payload = json!({ "iss": "https://sso.example.com/", "aud": "mcp-gateway", "exp": 4_000_000_000_u64 });
    for (name, value) in claims.as_object().expect("an object") {
        payload[name] = value.clone();
    }
    payload
}

#[test]
fn claims() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "grants-jwt";
    let (issuer, other) = (Issuer::new(name), Issuer::new(&format!("{name}.other")));
    let upstream = upstream();
    let file = jwks(&shipped("grants-jwt.yaml", upstream.address), &issuer);
    let mut envoy = Envoy::start(&parts, name, &file);
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let by = |issuer: &Issuer, claims: &Value| vec![bearer(&issuer.token(&payload(claims)))];
    let roles = |roles: Value| json!({ "email_verified": false, "realm_access": { "roles": roles } });
    let operations = roles(json!(["audit", "operations"]));
    let full = Some(("operations", "full"));
    let rows = [
        ("a role", by(&issuer, &operations), full),
        ("a role as a text", by(&issuer, &roles(json!("operations"))), full),
        ("a boolean", by(&issuer, &json!({ "email_verified": true })), Some(("staff", "echo-only"))),
        ("both", by(&issuer, &json!({ "email_verified": true, "realm_access": { "roles": ["operations"] } })), full),
        ("another boolean", by(&issuer, &json!({ "email_verified": false })), None),
        ("a number for a boolean", by(&issuer, &json!({ "email_verified": 1 })), None),
        ("a text for a boolean", by(&issuer, &json!({ "email_verified": "true" })), None),
        ("a part of a role", by(&issuer, &roles(json!(["no-operations", "operations2"]))), None),
        ("no role", by(&issuer, &roles(json!([]))), None),
        ("null", by(&issuer, &roles(Value::Null)), None),
        ("an object", by(&issuer, &roles(json!({ "operations": {} }))), None),
        ("lists in a list", by(&issuer, &roles(json!([["operations"]]))), None),
        ("numbers in a list", by(&issuer, &roles(json!(["operations", 7]))), None),
        ("the claim elsewhere", by(&issuer, &json!({ "roles": ["operations"] })), None),
        ("no claims", by(&issuer, &json!({})), None),
        ("no token", vec![], None),
        ("no Bearer", vec![("authorization", "Basic x".to_owned())], None),
    ];
    check(&mut envoy, &rows, &[]);

    // What is no valid token is refused by Envoy's filter, before the plugin and before the body, which ends the
    // connection.
    let expired = issuer.token(&json!({ "iss": "https://sso.example.com/", "aud": "mcp-gateway", "exp": 1 }));
    let elsewhere =
        issuer.token(&json!({ "iss": "https://sso.example.com/", "aud": "other", "exp": 4_000_000_000_u64 }));
    for token in [other.token(&payload(&operations)), expired, elsewhere, "x".to_owned()] {
        let (name, value) = bearer(&token);
        let answer = envoy.connect().exchange(&Request::post(mcp::call("1", TOOL)).with(name, value));
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    }
    drop(envoy);
    let requests = upstream.settled();
    assert!(requests.iter().all(|request| request.header("authorization").is_empty()), "{requests:?}");
    assert_eq!(requests.iter().filter(|request| request.head.start.starts_with("POST")).count(), 3);
}

#[test]
fn conditions_read_verified_claims_wherever_headers_are_held_or_not() {
    let Some(parts) = Parts::gateway() else { return };
    let issuer = Issuer::new("grants-conditions");
    for is_held in [true, false] {
        let name = format!("grants-conditions-{is_held}");
        let upstream = upstream();
        let file = jwks(&shipped("grants-jwt.yaml", upstream.address), &issuer);
        let policy = json!({
            "version": "1",
            "default": "allow",
            "all_tools": {
                "require": [{ "path": "jwt.sub", "op": "starts_with", "value": "robot-" }],
                "deny_if": [
                    { "path": "jwt.level", "op": "lt", "value": 3 },
                    { "path": "jwt.suspended", "op": "eq", "value": true },
                    { "path": "jwt.groups", "op": "contains", "value": "interns" }
                ]
            }
        });
        let mut file = fill(&file, "\"full\": ", [format!("{policy},").as_str()]);
        if !is_held {
            file = exchange(&file, "allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false");
            file = exchange(&file, "\"hold_request_headers\": true", "\"hold_request_headers\": false");
        }
        let envoy = Envoy::start(&parts, &name, &file);
        let mut connection = envoy.connect();
        let rows = [
            (json!({ "sub": "robot-1" }), true),
            (json!({ "sub": "robot-1", "level": 3, "suspended": false, "groups": ["staff"] }), true),
            (json!({ "sub": "person" }), false),
            (json!({}), false),
            (json!({ "sub": "robot-1", "level": 2.5 }), false),
            (json!({ "sub": "robot-1", "level": "9" }), false),
            (json!({ "sub": "robot-1", "level": {} }), false),
            (json!({ "sub": "robot-1", "suspended": true }), false),
            (json!({ "sub": "robot-1", "groups": ["staff", "interns"] }), false),
            (json!({ "sub": "robot-1", "groups": ["staff", 7] }), false),
        ];
        for (mut claims, runs) in rows {
            claims["realm_access"] = json!({ "roles": ["operations"] });
            let token = issuer.token(&payload(&claims));
            let request = Request::post(mcp::call("1", TOOL)).with("authorization", format!("Bearer {token}"));
            let answer = connection.exchange(&request);
            assert_eq!(answer.json()["result"]["isError"] != true, runs, "{claims}: {answer:?}");
        }
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn certificates() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "grants-mtls";
    let (authority, other) = (Authority::new(name), Authority::new(&format!("{name}.other")));
    let server = authority.sign("server", "IP:127.0.0.1");
    let upstream = upstream();
    let quoted = |path: &std::path::Path| format!("{{ filename: \"{}\" }}", path.display());
    let file = shipped("grants-mtls.yaml", upstream.address);
    let file = fill(&file, "- certificate_chain: ", [quoted(&server.certificate).as_str()]);
    let file = fill(&file, "private_key: ", [quoted(&server.key).as_str()]);
    let file = fill(&file, "trusted_ca: ", [quoted(&authority.certificate()).as_str()]);
    let mut envoy = Envoy::start(&parts, name, &file);
    let url = format!("https://{}/mcp", envoy.address);
    let rows: [(&str, &str, Judged); 7] = [
        ("batch", "URI:spiffe://corp/batch/nightly", Some(("batch", "full"))),
        ("desk", "URI:spiffe://corp/desk", Some(("desk", "echo-only"))),
        ("second", "DNS:corp,URI:spiffe://corp/batch/a,URI:spiffe://corp/desk", Some(("batch", "full"))),
        ("unknown", "URI:spiffe://corp/desks", None),
        ("elsewhere", "URI:spiffe://evil/spiffe://corp/batch/x", None),
        ("dns", "DNS:spiffe.corp.desk", None),
        ("later", "URI:spiffe://corp/unknown,URI:spiffe://corp/desk", None),
    ];
    for (row, names, judged) in rows {
        let client = authority.sign(row, names);
        let answer = post(&url, &mcp::call("1", TOOL), &authority, Some(&client));
        assert_eq!(answer, Some(expected_answer(judged)), "{row}");
    }
    assert_eq!(post(&url, &mcp::call("1", TOOL), &authority, None), None, "no certificate");
    let untrusted = other.sign("batch", "URI:spiffe://corp/batch/nightly");
    assert_eq!(post(&url, &mcp::call("1", TOOL), &authority, Some(&untrusted)), None, "another authority's");

    let lines = envoy.access_log(rows.len());
    let grants: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line["decision"].as_str().expect("a record")).expect("JSON"))
        .map(|record| record["grant"].clone())
        .collect();
    let count = |grant: Value| grants.iter().filter(|found| **found == grant).count();
    assert_eq!((count("batch".into()), count("desk".into()), count(Value::Null)), (2, 1, 4), "{grants:?}");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn the_shipped_files_load_as_they_stand() {
    let Some(parts) = Parts::gateway() else { return };
    for name in ["grants-bearer", "grants-header", "grants-jwt"] {
        let file = fs::read_to_string(root().join(format!("envoy/{name}.yaml"))).expect("a file of envoy/");
        let (status, log) = validate(&parts, &format!("{name}.shipped"), &file);
        assert!(status.success(), "{name}:\n{log}");
    }
    // Its certificates are the reader's own.
    let authority = Authority::new("grants-mtls.shipped");
    let server = authority.sign("server", "IP:127.0.0.1");
    let mut file = fs::read_to_string(root().join("envoy/grants-mtls.yaml")).expect("a file of envoy/");
    for (shipped, path) in [
        ("/etc/envoy/tls/server.crt", &server.certificate),
        ("/etc/envoy/tls/server.key", &server.key),
        ("/etc/envoy/tls/clients-ca.crt", &authority.certificate()),
    ] {
        file = exchange(&file, shipped, &path.display().to_string());
    }
    let (status, log) = validate(&parts, "grants-mtls.shipped", &file);
    assert!(status.success(), "{log}");
}

#[test]
fn a_grant_is_revoked_from_the_next_request_on() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "grants-revoked";
    let upstream = upstream();
    let policy = json!({ "version": "1", "default": "allow" });
    let grant =
        |id: &str, policy: Value| json!({ "id": id, "match": { "bearer_sha256": sha256(id) }, "policy": policy });
    let rendered = |grants: Value| {
        let setup = Setup::new(&policy).with("default_policy", Value::Null).with("grants", grants);
        setup.render(name, upstream.address)
    };
    let discovered = Discovered { watched: scratch("grants-revoked.ecds.yaml") };
    let with = "default";
    let first =
        rendered(json!([grant("kept", with.into()), grant("revoked", with.into()), grant("bare", with.into())]));
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&first));
    let mut connection = envoy.connect();
    let ask = |connection: &mut Connection, token: &str| {
        let request = Request::post(mcp::call("1", TOOL)).with("authorization", format!("Bearer {token}"));
        let answer = connection.exchange(&request);
        (answer.status, answer.text().contains("\"ran\""))
    };
    let (ran, unknown, denied) = ((200, true), (401, false), (200, false));
    for token in ["kept", "revoked", "bare"] {
        assert_eq!(ask(&mut connection, token), ran, "{token}");
    }

    discovered.exchange(&rendered(json!([grant("kept", with.into()), grant("bare", Value::Null)])));
    wait::until("the grant is revoked on this connection", || ask(&mut connection, "revoked") == unknown);
    assert_eq!(ask(&mut connection, "kept"), ran);
    assert_eq!(ask(&mut connection, "bare"), denied, "its policy was taken away");

    discovered.exchange(&rendered(json!([])));
    wait::until("the last grant is revoked", || ask(&mut connection, "kept") == unknown);
    assert_eq!(ask(&mut connection, "revoked"), unknown);
    assert_eq!(envoy.traps(), 0);
}
