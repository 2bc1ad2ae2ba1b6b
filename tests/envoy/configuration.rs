//! A faulty configuration: Envoy does not start, and its log names every problem with its place.

use super::support::envoy::{Envoy, start_in_vain, validate};
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Setup, render, with_configuration, with_text};
use super::support::upstream::{NOWHERE, Upstream};
use serde_json::{Value, json};

fn good() -> Value {
    json!({ "version": "1", "default": "deny", "tools": { "a": {} } })
}

fn good_file(name: &str) -> String {
    Setup::new(&good()).render(name, NOWHERE)
}

#[test]
fn every_problem_is_named_with_its_place() {
    let Some(parts) = Parts::gateway() else { return };
    let rows: [(&str, String, &[&str]); 6] = [
        ("good", good().to_string(), &[]),
        ("not-json", "{".to_owned(), &["(document)"]),
        ("empty", String::new(), &["(document)"]),
        (
            "bare",
            json!({
                "version": "2",
                "hide": ["a", "a", ""],
                "tols": {},
                "tools": { "x/y": { "action": "maybe" }, "z": { "limits": [{ "counter": "", "window": "eon", "max": -1 }] } }
            })
            .to_string(),
            &[
                "/version", "default is required", "/hide/1", "/hide/2", "\"tols\"", "/tools/x~1y/action",
                "/tools/z/limits/0/counter", "/tools/z/limits/0/window", "/tools/z/limits/0/max",
            ],
        ),
        (
            "tests",
            json!({
                "version": "1",
                "default": "deny",
                "tests": [
                    { "name": "a is refused", "call": { "tool": "a" }, "expect": "denied" },
                    { "name": "a goes on", "call": { "tool": "a" }, "expect": "allowed" }
                ]
            })
            .to_string(),
            &["/tests/1: test \"a goes on\" fails: outcome is \"denied\", expected \"allowed\""],
        ),
        (
            "object",
            json!({
                "policies": { "p": { "version": "1", "default": "maybe", "all_tools": { "limit": [] } } },
                "default_policy": "q",
                "max_body_bytes": 0,
                "hidden_reply": "shrug",
                "hold_headers": true
            })
            .to_string(),
            &[
                "/policies/p/default", "/policies/p/all_tools", "\"limit\"", "/default_policy", "/max_body_bytes",
                "/hidden_reply", "\"hold_headers\"",
            ],
        ),
    ];
    for (row, configuration, places) in rows {
        let name = format!("configuration-{row}");
        let (status, log) = validate(&parts, &name, &with_text(&good_file(&name), &configuration));
        assert_eq!(status.success(), places.is_empty(), "{row}:\n{log}");
        for place in places {
            assert!(log.contains(place), "{row}: {place} is not in\n{log}");
        }
    }
}

#[test]
fn a_struct_is_refused_in_words_that_say_so() {
    let Some(parts) = Parts::gateway() else { return };
    let as_struct: &[&str] = &[
        "configuration:",
        r#"  "@type": type.googleapis.com/google.protobuf.Struct"#,
        r#"  value: { version: "1", default: allow }"#,
    ];
    for (name, lines) in [("configuration-struct", as_struct), ("configuration-none", &[])] {
        let (status, log) = validate(&parts, name, &with_configuration(&good_file(name), lines));
        assert!(!status.success() && log.contains("StringValue") && log.contains("Struct"), "{name}: {log}");
    }
}

#[test]
fn envoy_does_not_start_on_a_faulty_configuration() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "configuration-start";
    let (status, log) = start_in_vain(&parts, name, &with_text(&good_file(name), r#"{"version":"1"}"#));
    assert!(!status.success() && log.contains("default is required"), "{status}: {log}");
}

#[test]
fn a_bare_policy_is_a_configuration() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "configuration-bare";
    let upstream = Upstream::running_every_call();
    for (option, document) in [("--policy", good()), ("--config", good())] {
        let mut file = render(name, option, &document, upstream.address);
        if option == "--config" {
            // A bare policy cannot ask for held headers, so its Envoy must not offer them.
            file = file.replace("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false");
        }
        let envoy = Envoy::start(&parts, name, &file);
        let mut connection = envoy.connect();
        let response = connection.exchange(&Request::post(mcp::call("1", "a")));
        assert_eq!(response.json()["result"]["content"][0]["text"], "ran", "{option}");
        let response = connection.exchange(&Request::post(mcp::call("1", "b")));
        let expected = mcp::refused("1", r#"[POLICY DENIED] Tool "b" is not permitted by policy"#);
        assert_eq!(response.text(), expected, "{option}");
    }
}
