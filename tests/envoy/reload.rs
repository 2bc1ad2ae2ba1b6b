//! A configuration that is exchanged while Envoy runs: a faulty one leaves the good one in force, a good one takes over
//! with the counters where they were.

use super::streams::read;
use super::support::envoy::Envoy;
use super::support::http::Connection;
use super::support::mcp;
use super::support::parts::{Parts, scratch};
use super::support::request::Request;
use super::support::setup::{Setup, with_text};
use super::support::upstream::{Answer, Upstream, result};
use super::support::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// An Envoy file whose plugin is in a file of its own, which Envoy watches.
pub(crate) struct Discovered {
    pub(crate) watched: PathBuf,
}

impl Discovered {
    /// The file for Envoy, after the configuration of this one was put where it looks.
    pub(crate) fn envoy_file(&self, file: &str) -> String {
        self.exchange(file);
        let (before, _, after) = Self::parts(file);
        let indent = " ".repeat(before.len() - before.trim_end_matches(' ').len());
        let watched = Path::new(&self.watched).display();
        let source = format!(
            "- name: mcp-policy\n{indent}  config_discovery:\n{indent}    \
             config_source: {{ path_config_source: {{ path: \"{watched}\" }}, resource_api_version: V3 }}\n{indent}    \
             type_urls: [ type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm ]\n"
        );
        format!("{before}{source}{indent}{after}\nnode: {{ id: test, cluster: test }}\n")
    }

    /// Puts the configuration of this file in the place of the one before.
    pub(crate) fn exchange(&self, file: &str) {
        let (before, filter, _) = Self::parts(file);
        let indent = before.len() - before.trim_end_matches(' ').len();
        // From a list item to the members of a resource, `- name:` and all.
        let filter = format!("{:indent$}{filter}", "");
        let lines: String =
            filter.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
        let resource = lines.replacen("- name: envoy.filters.http.wasm", "- name: mcp-policy", 1).replacen(
            "  typed_config:",
            "  \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n  typed_config:",
            1,
        );
        let new = self.watched.with_extension("new");
        fs::write(&new, format!("resources:\n{resource}")).expect("a file in target/e2e");
        // Envoy sees a file that is moved into place, and not one that is written to.
        fs::rename(&new, &self.watched).expect("a file in target/e2e");
    }

    /// What stands before the plugin's filter, the filter, and what follows, from the next filter on.
    pub(crate) fn parts(file: &str) -> (&str, &str, &str) {
        let start = file.find("- name: envoy.filters.http.wasm").expect("the plugin's filter");
        let end = start + file[start..].find("- name: envoy.filters.http.router").expect("the router");
        (&file[..start], &file[start..end], &file[end..])
    }
}

fn policy(tools: Value) -> Value {
    let mut policy = json!({ "version": "1", "default": "deny", "tools": tools });
    policy["tools"]["work"] =
        json!({ "limits": [{ "counter": "work", "window": "hour", "max": 2, "scope": "grant" }] });
    policy
}

/// Whether the call of this tool is run.
fn runs(connection: &mut Connection, tool: &str) -> bool {
    let response = connection.exchange(&Request::post(mcp::call("1", tool)));
    response.json()["result"]["isError"] != true
}

/// How often Envoy did this with a configuration for the plugin.
pub(crate) fn updates(envoy: &Envoy, what: &str) -> usize {
    let stats = envoy.stats("extension_config_discovery");
    let counts = stats.iter().filter(|(name, _)| name.ends_with(&format!(".update_{what}")));
    counts.map(|(_, count)| *count as usize).sum()
}

#[test]
fn a_faulty_configuration_leaves_the_good_one_in_force() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "reload";
    let upstream = Upstream::running_every_call();
    let rendered = |tools| Setup::new(&policy(tools)).render(name, upstream.address);
    let discovered = Discovered { watched: scratch("reload.ecds.yaml") };
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&rendered(json!({ "a": {} }))));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut connection = envoy.connect();
    assert!(runs(&mut connection, "a") && !runs(&mut connection, "b") && runs(&mut connection, "work"));

    let faulty = policy(json!({ "b": { "limit": [] } })).to_string();
    discovered.exchange(&with_text(&rendered(json!({})), &faulty));
    wait::until("Envoy has refused the configuration", || updates(&envoy, "rejected") == 1);
    assert!(envoy.log().contains(r#""limit""#), "the log names the problem");
    assert!(runs(&mut connection, "a") && !runs(&mut connection, "b"), "the policy before holds");

    let mut failing = policy(json!({ "b": {} }));
    failing["tests"] = json!([{ "name": "b is refused", "call": { "tool": "b" }, "expect": "denied" }]);
    discovered.exchange(&with_text(&rendered(json!({})), &failing.to_string()));
    wait::until("Envoy has refused the policy whose test fails", || updates(&envoy, "rejected") == 2);
    assert!(envoy.log().contains("/tests/0"), "the log names the test");
    assert!(runs(&mut connection, "a") && !runs(&mut connection, "b"), "the policy before still holds");

    discovered.exchange(&rendered(json!({ "b": {} })));
    wait::until("the next policy is in force on this connection", || runs(&mut connection, "b"));
    assert!(!runs(&mut connection, "a"));
    assert!(runs(&mut connection, "work") && !runs(&mut connection, "work"), "one call was counted before");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn an_open_stream_keeps_the_policy_under_which_it_was_opened() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "reload-stream";
    let ((first, first_events), (second, second_events)) = (mpsc::channel(), mpsc::channel());
    let streams = Mutex::new(vec![second_events, first_events]);
    let upstream = Upstream::start(move |request| {
        if request.body.is_empty() {
            let events = streams.lock().unwrap_or_else(PoisonError::into_inner).pop();
            return Answer::live(events.expect("two streams"));
        }
        Answer::json(result(&request.body, "{}"))
    });
    let hiding = |tool: &str| {
        let policy = json!({ "version": "1", "default": "allow", "hide": [tool] });
        Setup::new(&policy).render(name, upstream.address)
    };
    let listed = |tools: &str| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{tools}]}}}}\n\n");
    let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
    let shows = |connection: &mut Connection, events: &mpsc::Sender<Vec<u8>>, tool: &str| {
        events.send(listed(&format!("{a},{b}")).into_bytes()).expect("an upstream that listens");
        let expected = listed(tool);
        assert_eq!(read(connection, expected.len()), expected);
    };
    let open = |envoy: &Envoy, events: &mpsc::Sender<Vec<u8>>| {
        let mut connection = envoy.connect();
        connection.send(&Request::stream().bytes());
        events.send(b": open\n\n".to_vec()).expect("an upstream that listens");
        assert_eq!(connection.head().text("content-type"), "text/event-stream");
        assert_eq!(read(&mut connection, 8), ": open\n\n");
        connection
    };

    let discovered = Discovered { watched: scratch("reload-stream.ecds.yaml") };
    let envoy = Envoy::start(&parts, name, &discovered.envoy_file(&hiding("a")));
    let mut before = open(&envoy, &first);
    shows(&mut before, &first, b);
    discovered.exchange(&hiding("b"));
    wait::until("the next policy is in force", || !runs(&mut envoy.connect(), "b"));
    shows(&mut before, &first, b);
    let mut after = open(&envoy, &second);
    shows(&mut after, &second, a);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_call_that_runs_meanwhile_keeps_the_policy_that_let_it_pass() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "reload-call";
    let ((call, call_events), (list, list_events)) = (mpsc::channel(), mpsc::channel());
    let answers = Mutex::new(vec![list_events, call_events]);
    let upstream = Upstream::start(move |request| {
        let body = String::from_utf8_lossy(&request.body);
        if body.contains("slow") || body.contains("tools/list") {
            let events = answers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            return Answer::live(events.expect("two answers that take long"));
        }
        Answer::json(result(&request.body, "{}"))
    });
    let work = json!({ "limits": [{ "counter": "work", "window": "hour", "max": 1, "scope": "grant" }] });
    let policy = |hidden: &str, slow: &Value| {
        let policy = json!({
            "version": "1", "default": "allow", "hide": [hidden], "tools": { "slow": slow, "quick": work }
        });
        Setup::new(&policy).render(name, upstream.address)
    };
    let discovered = Discovered { watched: scratch("reload-call.ecds.yaml") };
    let mut envoy = Envoy::start(&parts, name, &discovered.envoy_file(&policy("a", &work)));
    wait::for_room_in_hour(Duration::from_secs(60));

    let begin = |request: String, arrived: usize| {
        let mut connection = envoy.connect();
        connection.send(&Request::post(request).bytes());
        wait::until("the server has the request", || upstream.count() == arrived);
        connection
    };
    let mut calling = begin(mcp::call("1", "slow"), 1);
    let mut listing = begin(mcp::list("2"), 2);
    discovered.exchange(&policy("b", &json!({ "action": "deny" })));
    wait::until("the next policy is in force", || updates(&envoy, "success") == 2);
    let mut connection = envoy.connect();
    assert!(!runs(&mut connection, "slow"), "the next policy refuses such a call");
    assert!(!runs(&mut connection, "quick"), "what the call has taken of the limit is still taken");

    let answer = |connection: &mut Connection, events: mpsc::Sender<Vec<u8>>, event: &str, expected: &str| {
        events.send(event.as_bytes().to_vec()).expect("an upstream that listens");
        drop(events);
        assert_eq!(connection.response().text(), expected);
    };
    let listed = |tools: &str| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{{\"tools\":[{tools}]}}}}\n\n");
    let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
    answer(&mut listing, list, &listed(&format!("{a},{b}")), &listed(b));
    let failed = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"no\"}}\n\n";
    answer(&mut calling, call, failed, failed);
    assert!(runs(&mut connection, "quick"), "the failed call has given back what it took");

    let lines = envoy.access_log(5);
    let records = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line["decision"].as_str()?).ok());
    let calls: Vec<Value> = records.filter(|record| record["method"] == "tools/call").collect();
    let of = |outcome: &str, tool: &str| {
        let is_it = |record: &&Value| record["outcome"] == outcome && record["tool"] == tool;
        calls.iter().find(is_it).unwrap_or_else(|| panic!("no {tool} {outcome} in {calls:?}"))
    };
    let (slow, quick) = (of("allowed", "slow"), of("allowed", "quick"));
    assert_eq!(slow["rolled_back"], true);
    assert_eq!(of("denied", "slow")["policy_version"], quick["policy_version"]);
    assert_ne!(slow["policy_version"], quick["policy_version"], "it is recorded under the policy that let it pass");
    assert_eq!(envoy.traps(), 0);
}
