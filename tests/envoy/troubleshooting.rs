//! What `docs/troubleshooting.md` says that Envoy itself says: of files with which it does not start, and of requests that
//! it answers without the plugin.

use super::commands::pages::{fits, quoted, read, rows};
use super::support::envoy::{Envoy, start_in_vain, validate};
use super::support::mcp;
use super::support::parts::{PLUGIN, Parts, scratch};
use super::support::request::Request;
use super::support::setup::{Setup, exchange, put_plugin, render_https, render_watching, with_text};
use super::support::upstream::{NOWHERE, Upstream};
use super::watched::directory;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

fn policy() -> Value {
    json!({ "version": "1", "default": "allow" })
}

fn good(name: &str) -> String {
    Setup::new(&policy()).render(name, NOWHERE)
}

fn told(head: &str) -> Vec<String> {
    let page = read("docs/troubleshooting.md");
    rows(&page, head).iter().flat_map(|row| quoted(row[0])).map(|text| text.trim().to_owned()).collect()
}

#[test]
fn each_failure_of_start_is_said_in_the_words_of_the_page() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "troubleshooting";
    let no_wasm = scratch("troubleshooting-no.wasm");
    fs::write(&no_wasm, "<html>").expect("a file");
    let plugin = format!("filename: \"{PLUGIN}\"");
    let no_wasm = format!("filename: \"{}\"", no_wasm.display());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = format!("port_value: {}", taken.local_addr().expect("an address").port());
    let file = good(name);
    let at = |from: &str, to: &str| exchange(&file, from, to);
    let files = [
        ("no such plugin", at(&plugin, "filename: \"no/such.wasm\"")),
        ("another file in its place", at(&plugin, &no_wasm)),
        ("no file to watch", render_watching(Path::new("/no/such/plugin.yaml"), NOWHERE)),
        ("no YAML", "a: [\n".to_owned()),
        ("a misspelt member", at("allow_on_headers_stop_iteration", "allow_on_header_stop_iteration")),
        ("an unknown type", at("filters.http.wasm.v3.Wasm", "filters.http.wasm.v9.Wasm")),
        ("a value of another type", at("codec_type: AUTO", "codec_type: { a: AUTO }")),
        ("a bad policy", with_text(&file, r#"{"version":"1"}"#)),
        ("a port that is taken", at("port_value: 0", &port)),
    ];
    let told = told("Envoy says");
    let mut logs = String::new();
    for (row, file) in files {
        let end = if row.contains("port") { start_in_vain } else { validate };
        let (status, log) = end(&parts, name, &file);
        assert!(!status.success(), "{row}: {log}");
        assert!(told.iter().any(|text| fits(&format!("…{text}…"), &log)), "{row}: the page has nothing of\n{log}");
        logs.push_str(&log);
    }
    for text in told {
        assert!(fits(&format!("…{text}…"), &logs), "nothing of this says {text}");
    }
}

/// Those that take a crash of the plugin, a name server of its own, or minutes.
const NOT_HERE: &[&str] = &["no_healthy_upstream", "stream_idle_timeout", "wasm_fail_stream"];

#[test]
fn what_envoy_answers_itself_has_the_details_of_the_page() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let folder = directory("troubleshooting-plugin");
    let plugin = folder.join("plugin.yaml");
    put_plugin("troubleshooting-put", &policy(), &plugin);
    let bad = fs::read_to_string(&plugin).expect("a file").replacen("\"allow\"", "\"allows\"", 1);
    fs::write(&plugin, bad).expect("a file");
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let held = Setup::new(&policy()).render("troubleshooting-held", upstream.address);
    let short = exchange(&held, "request_timeout: 30s", "request_timeout: 1s");
    let files = [
        ("the server is down", good("troubleshooting-down")),
        (
            "a small buffer",
            exchange(&held, "per_connection_buffer_limit_bytes: 17825792", "per_connection_buffer_limit_bytes: 1024"),
        ),
        (
            "a name that is not foreseen",
            render_https("troubleshooting-https", &policy(), "https://localhost:9/mcp", authorities),
        ),
        ("no good plugin yet", render_watching(&plugin, upstream.address)),
        (
            "one setting without the other",
            exchange(&short, "allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false"),
        ),
    ];
    let page = read("docs/troubleshooting.md");
    let rows = rows(&page, "details");
    let mut seen = Vec::new();
    for (index, (row, file)) in files.into_iter().enumerate() {
        let mut envoy = Envoy::start(&parts, &format!("troubleshooting-{index}"), &file);
        let padded = mcp::call_with("1", "a", &json!({ "padding": "x".repeat(5000) }));
        let request = Request::post(padded);
        let request = if row.contains("name") { request.with("host", "example.com") } else { request };
        let status = envoy.connect().exchange(&request).status;
        let line = envoy.access_log(1).remove(0);
        let [details, flags] = ["details", "flags"].map(|part| line[part].as_str().unwrap_or_default());
        let details = if details.is_empty() { flags.to_owned() } else { details.to_owned() };
        let told = rows.iter().find(|row| quoted(row[0]).iter().any(|text| details.starts_with(text)));
        let told = told.unwrap_or_else(|| panic!("{row}: the page has no {line}"));
        assert_eq!(told[1], status.to_string(), "{row}");
        seen.push(details);
    }
    for text in rows.iter().flat_map(|row| quoted(row[0])).filter(|text| !NOT_HERE.contains(text)) {
        assert!(seen.iter().any(|details| details.starts_with(text)), "nothing of this has {text}: {seen:?}");
    }
}
