//! The console in a real browser: a person approves and denies on the page that the plugin serves.

use super::approvals::{Came, TOKEN, start, sum, waits};
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{Parts, root, scratch};
use super::support::request::Request;
use super::support::upstream::Upstream;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A person with a browser.
pub(super) struct Browser {
    chromium: PathBuf,
    url: String,
}

impl Browser {
    /// Does this on the page; returns what it then shows.
    pub(super) fn act(&self, token: &str, arguments: &[&str]) -> Value {
        let mut command = Command::new("node");
        command.current_dir(root()).arg("tests/console/drive.mjs").args([&self.url, token]).args(arguments);
        let output = command.env("MCP_POLICY_CHROMIUM", &self.chromium).output().expect("node runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        let page: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
        // Browsers count a refused token as an error of their own.
        let is_fault = |error: &&Value| !error.as_str().is_some_and(|text| text.contains("401 (Unauthorized)"));
        let errors = page["errors"].as_array().expect("errors").iter().filter(is_fault).count();
        let faults = (&page["violations"], &page["elsewhere"], &page["intruders"], errors);
        assert_eq!(faults, (&json!([]), &json!([]), &json!(0), 0), "{arguments:?}: {page}");
        assert!(
            page["overflow"].as_i64().is_some_and(|pixels| pixels <= 0),
            "{arguments:?}: it scrolls sideways: {page}"
        );
        page
    }
}

pub(super) fn browser(chromium: PathBuf, envoy: &Envoy) -> Browser {
    Browser { chromium, url: format!("http://{}/", envoy.admin_side()) }
}

/// The card of this approval.
fn card<'p>(page: &'p Value, id: &str) -> &'p Value {
    let cards = page["pending"].as_array().expect("cards");
    cards.iter().find(|card| card["id"] == id).unwrap_or_else(|| panic!("no card of {id}: {page}"))
}

#[test]
fn a_person_approves_on_the_page() {
    let Some((parts, chromium)) = Parts::with_browser() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "console", &upstream, &[]);
    let (browser, mut agent) = (browser(chromium, &envoy), envoy.connect());
    let (yes, no) = (waits(sum(&mut agent, 500, 1)), waits(sum(&mut agent, 500, 2)));

    let stranger = browser.act("another", &["state"]);
    assert!(stranger["signInError"].as_str().is_some_and(|text| !text.is_empty()), "{stranger}");
    assert_eq!(stranger["pending"], json!([]), "nothing is shown without the token");

    let page = browser.act(TOKEN, &["state"]);
    assert!(card(&page, &yes)["arguments"].as_str().is_some_and(|text| text.contains("\"a\": 500")), "{page}");
    assert!(page["title"].as_str().is_some_and(|title| title.contains("(2)")), "{page}");
    browser.act(TOKEN, &["approve", &yes, "go on"]);
    browser.act(TOKEN, &["deny", &no, "not that"]);
    assert_eq!(upstream.count(), 0);
    assert_eq!(sum(&mut agent, 500, 1), Came::Ran);
    waits(sum(&mut agent, 500, 1));
    assert_eq!(sum(&mut agent, 500, 2), Came::Refused("[POLICY DENIED] Approval denied: not that".to_owned()));
    assert_eq!((upstream.count(), envoy.traps()), (1, 0));
}

#[test]
fn what_a_caller_writes_is_text_on_the_page() {
    const SCRIPT: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    let Some((parts, chromium)) = Parts::with_browser() else { return };
    let upstream = Upstream::running_every_call();
    let edits = [(r#""hide": ["get-env"],"#, r#""all_tools": { "require_approval": true },"#)];
    let envoy = start(&parts, "console-script", &upstream, &edits);
    let browser = browser(chromium, &envoy);
    let body = mcp::call_with("1", SCRIPT, &json!({ SCRIPT: [SCRIPT, { "a": SCRIPT }] }));
    let request = Request::post(body).with("mcp-session-id", SCRIPT.replace(' ', "+"));
    let answer = envoy.connect().exchange(&request).json();
    let id = answer["result"]["_meta"]["mcp-policy/approval"]["id"].as_str().expect("an id").to_owned();
    let page = browser.act(TOKEN, &["state"]);
    let shown = card(&page, &id);
    assert!(shown["text"].as_str().is_some_and(|text| text.contains(SCRIPT)), "{shown}");
    assert_eq!(shown["arguments"].as_str().map(|text| text.matches("onerror").count()), Some(3), "{shown}");
    browser.act(TOKEN, &["deny", &id, SCRIPT]);
    let page = browser.act(TOKEN, &["state"]);
    assert!(page["settled"].to_string().contains("onerror"), "its note is text, too: {page}");
    assert_eq!(envoy.traps(), 0);
}

/// `make screenshots` puts them into the docs.
#[test]
fn the_page_has_its_picture_taken() {
    let Some((parts, chromium)) = Parts::with_browser() else { return };
    let upstream = Upstream::running_every_call();
    let envoy = start(&parts, "console-pictures", &upstream, &[]);
    let browser = browser(chromium, &envoy);
    let mut agent = envoy.connect();
    for (a, b) in [(2, 3), (120, 7)] {
        sum(&mut agent, a, b);
    }
    let id = waits(sum(&mut agent, 4200, 17));
    let to = std::env::var("MCP_POLICY_SCREENSHOTS").map_or_else(|_| scratch(""), |folder| root().join(folder));
    for (name, more) in [("light", &[][..]), ("dark", &["--dark"]), ("phone", &["--width", "390"])] {
        let path = to.join(format!("console-{name}.png"));
        let text = path.to_str().expect("a path in UTF-8");
        let page = browser.act(TOKEN, &[&["screenshot", text], more].concat());
        card(&page, &id);
        assert!(is_picture(&path), "{name}");
    }
}

pub(super) fn is_picture(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000)
}
