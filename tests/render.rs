//! `mcp-policy render`: what comes out is the file of `envoy/` for the defaults, and for any policy a file in which
//! YAML readers find exactly that policy.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const POLICY: &str = "policies/reference-server.json";

fn render(arguments: &[&str]) -> Output {
    run(&[&["envoy"], arguments].concat())
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.arg("render").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("the command runs")
}

/// What is printed, which must be all there is to say.
fn rendered(arguments: &[&str]) -> String {
    let output = render(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The plugin configuration that a reader of `file` finds.
fn configuration(file: &str) -> Value {
    let envoy: Value = serde_saphyr::from_str(file).expect("YAML");
    let connection_manager = &envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filter = &connection_manager["typed_config"]["http_filters"][0]["typed_config"]["config"];
    serde_json::from_str(filter["configuration"]["value"].as_str().expect("a text")).expect("JSON")
}

/// A file of this test's own.
fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a writable directory");
    path
}

#[test]
fn a_rate_limit_service_gets_the_counters_of_all_policies() {
    let service = r#"{"store":"rate_limit_service","cluster":"c","domain":"m\"cp","maxima":"service"}"#;
    let configuration = |limits: &str, max: u32| {
        format!(
            r#"{{"policies":{{"p":{{"version":"1","default":"allow",
            "tools":{{"send":{{"limits":[{{"counter":"a_b","window":"hour","max":100,"scope":["session","tool"]}}]}},
                      "work":{{"limits":[{{"counter":"calls","window":60,"max":{max},"continuations":3}}]}}}},
            "all_tools":{{"limits":[{{"counter":"calls","window":60,"max":7,"continuations":3}},
                                    {{"counter":"all","window":"day","max":0,"scope":"global"}}]}}}}}},
            "default_policy":"p","limits":{limits}}}"#
        )
    };
    let run = |text: &str| {
        let path = write("ratelimit.json", text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
        command.args(["render", "ratelimit", "--config"]).arg(path).output().expect("the command runs")
    };
    let output = run(&configuration(service, 7));
    assert!(output.status.success(), "{output:?}");
    let file: Value = serde_saphyr::from_str(&String::from_utf8(output.stdout).expect("UTF-8")).expect("YAML");
    let of_calls = json!({ "unit": "minute", "requests_per_unit": 7 });
    let continuations = json!([{ "key": "calls", "value": "continuations",
        "rate_limit": { "unit": "minute", "requests_per_unit": 3 } }]);
    let of_sends = json!([{ "key": "session", "descriptors": [
        { "key": "tool", "rate_limit": { "unit": "hour", "requests_per_unit": 100 } }] }]);
    let counter = |name: &str, window: &str, scope: &str, mut rest: Value| {
        rest["key"] = "scope".into();
        rest["value"] = scope.into();
        let window = json!({ "key": "window", "value": window, "descriptors": [rest] });
        json!({ "key": "counter", "value": name, "descriptors": [window] })
    };
    let expected = json!({ "domain": "m\"cp", "descriptors": [ { "key": "policy", "value": "p", "descriptors": [
        counter("calls", "60%20seconds", "grant", json!({ "descriptors": [
            { "key": "grant", "rate_limit": of_calls, "descriptors": continuations }] })),
        counter("all", "day", "global", json!({ "rate_limit": { "unit": "day", "requests_per_unit": 0 } })),
        counter("a%5Fb", "hour", "session%2Btool", json!({ "descriptors": [
            { "key": "grant", "descriptors": of_sends }] })),
    ] } ] });
    assert_eq!(file, expected);
    // A counter with two maxima, and a configuration that asks no service.
    assert_eq!(run(&configuration(&service.replace(r#","maxima":"service""#, ""), 8)).status.code(), Some(1));
    assert_eq!(run(&configuration(r#"{"store":"local"}"#, 7)).status.code(), Some(2));
}

#[test]
fn the_defaults_give_the_shipped_file() {
    assert_eq!(rendered(&["--policy", POLICY]), include_str!("../envoy/envoy.yaml"));
    let https = ["--policy", POLICY, "--upstream", "https://mcp.example.com/mcp"];
    assert_eq!(rendered(&https), include_str!("../envoy/https.yaml"));
    let watching = rendered(&["--plugin-file", "envoy/reload/plugin.yaml"]);
    assert_eq!(watching, include_str!("../envoy/reload/envoy.yaml"));
    let plugin = run(&["plugin", "--policy", POLICY]);
    assert_eq!(String::from_utf8_lossy(&plugin.stdout), include_str!("../envoy/reload/plugin.yaml"));
}

#[test]
fn the_plugin_is_put_in_its_place_whole_or_not_at_all() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("render output");
    // There is none before the first run.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).expect("a directory");
    let path = directory.join("plugin.yaml");
    let put = |policy: &str, output: &Path| {
        let output = output.to_str().expect("UTF-8");
        run(&["plugin", "--policy", policy, "--wasm", "/opt/a.wasm", "--output", output])
    };
    let names = || {
        let entries = std::fs::read_dir(&directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let output = put(POLICY, &path);
    assert!(output.status.success() && [output.stdout, output.stderr].concat().is_empty());
    let text = std::fs::read_to_string(&path).expect("the plugin's file");
    let resource: Value = serde_saphyr::from_str(&text).expect("YAML");
    let wasm = "/resources/0/typed_config/config/vm_config/code/local/filename";
    assert_eq!(resource.pointer(wasm), Some(&json!("/opt/a.wasm")));

    // A file that somebody has open stays what it was: the new one is another file in its place.
    let before = std::fs::File::open(&path).expect("the plugin's file");
    assert!(put("policies/refunds.json", &path).status.success());
    assert_eq!(std::io::read_to_string(before).expect("a text"), text);
    let text = std::fs::read_to_string(&path).expect("the plugin's file");
    assert!(text.contains("create_refund"), "{text}");

    let bad = write("render output bad.json", r#"{"version": "1", "default": "allow", "hides": []}"#);
    assert_eq!(put(bad.to_str().expect("UTF-8"), &path).status.code(), Some(1));
    assert_eq!(put("policies/none.json", &path).status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&path).expect("the plugin's file"), text, "the one before stays");
    assert_eq!(put(POLICY, &directory).status.code(), Some(2), "a directory is in the place");
    assert_eq!(put(POLICY, &directory.join("none/plugin.yaml")).status.code(), Some(2));
    assert_eq!(names(), ["plugin.yaml"], "nothing else is left");
}

#[test]
fn every_option_arrives() {
    let upstream = "http://tools.example:8000/mcp";
    let wasm = "/opt/a \"b\": #c.wasm";
    let file = rendered(&["--policy", POLICY, "--upstream", upstream, "--port", "8080", "--wasm", wasm]);
    let envoy: Value = serde_saphyr::from_str(&file).expect("YAML");
    let resources = &envoy["static_resources"];
    let listener = &resources["listeners"][0];
    let filters = &listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    let endpoint = &resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(listener["address"]["socket_address"], json!({ "address": "127.0.0.1", "port_value": 8080 }));
    assert_eq!(endpoint["address"]["socket_address"], json!({ "address": "tools.example", "port_value": 8000 }));
    let code = &filters[0]["typed_config"]["config"]["vm_config"]["code"];
    assert_eq!(code["local"]["filename"], wasm);
}

#[test]
fn every_shipped_policy_arrives_as_it_is() {
    let policies = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).expect("policies");
    let mut count = 0;
    for path in policies.map(|entry| entry.expect("an entry").path()) {
        let name = path.to_str().expect("UTF-8");
        if name.ends_with(".json") && !name.ends_with(".cases.json") {
            let policy: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
            assert_eq!(
                configuration(&rendered(&["--policy", name]))["policies"],
                json!({ "default": policy }),
                "{name}"
            );
            count += 1;
        }
    }
    assert!(count >= 3, "{count} policies");
}

#[test]
fn a_policy_cannot_write_envoys_configuration() {
    let reason = "\" ' : # | > - {{ }} \\ \t é 漢 🦀\n          http_filters: []\n---\n%YAML";
    let policy = json!({ "version": "1", "default": "deny", "tools": { "a": { "action": "deny", "reason": reason } } });
    let pretty = serde_json::to_string_pretty(&policy).expect("JSON");
    let layouts = [
        ("one line", policy.to_string()),
        ("many lines", pretty.clone()),
        ("tabs", pretty.replace("\n  ", "\n\t\t")),
        ("carriage returns", pretty.replace('\n', "\r\n")),
        ("only carriage returns", pretty.replace('\n', "\r")),
        ("first line indented", format!("\n\n      {pretty}\n\n\n")),
        ("no indentation", pretty.lines().map(|line| format!("{}\n", line.trim_start())).collect()),
        ("lines of the template", pretty.replace("{\n", "{\n\n\n")),
    ];
    for (name, text) in layouts {
        let path = write(&format!("render {name}.json"), &text);
        let path = path.to_str().expect("UTF-8");
        assert_eq!(configuration(&rendered(&["--policy", path]))["policies"]["default"], policy, "{name}");

        let whole = format!(r#"{{"policies": {{"p": {text}}}, "default_policy": "p"}}"#);
        let path = write(&format!("render {name} whole.json"), &whole);
        let path = path.to_str().expect("UTF-8");
        let expected = json!({ "policies": { "p": policy }, "default_policy": "p" });
        assert_eq!(configuration(&rendered(&["--config", path])), expected, "{name}, as a configuration");
    }
}

#[test]
fn what_cannot_be_rendered_says_why_in_one_line() {
    let bad = write("render bad.json", r#"{"version": "1", "default": "allow", "hides": []}"#);
    let separator = "{\"version\": \"1\", \"default\": \"allow\", \"hide\": [\"a\u{2028}b\"]}";
    let separator = write("render separator.json", separator);
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let (bad, separator) = (path(&bad), path(&separator));
    let rows: [(i32, &str, &[&str]); 6] = [
        (2, "--ca is for an https:// upstream", &["--policy", POLICY, "--ca", "ca.pem"]),
        (1, "hides", &["--policy", &bad]),
        (2, "U+2028", &["--policy", &separator]),
        (2, "policies/none.json", &["--policy", "policies/none.json"]),
        (2, "must not hold a user name", &["--policy", POLICY, "--upstream", "https://a:b@mcp.example.com/mcp"]),
        (2, "must begin with http://", &["--policy", POLICY, "--upstream", "ws://host/mcp"]),
    ];
    for (code, why, arguments) in rows {
        let output = render(arguments);
        // The problems of a policy are an answer, the others are complaints.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(why) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
}
