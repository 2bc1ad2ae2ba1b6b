//! Servers that fail at every point: with statuses, pages and nothing at all, by closing the connection and by silence.
//! Whatever the client asked for ends within a bound, no hidden name passes, each POST leaves a record, and the next
//! one is judged.

use super::support::envoy::Envoy;
use super::support::http::Outcome;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{Answer, Fault, Upstream};
use serde_json::{Value, json};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"admin_x"},{"name":"a"}],"nextCursor":"n"}}"#;
const ERROR: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}"#;
const PAGE: &str = "<html>admin_x</html>";
/// Where faults come in the middle of `LIST`: after the hidden name.
const MIDDLE: usize = 70;

fn events() -> String {
    format!(": open\n\ndata: {LIST}\n\n")
}

/// A list above what is held whole.
fn long() -> String {
    let tools: Vec<String> = (0..2000)
        .map(|number| format!(r#"{{"name":"{}_{number}","x":"{}"}}"#, ["admin", "a"][number % 2], "x".repeat(200)))
        .collect();
    LIST.replace(r#"{"name":"a"}"#, &tools.join(","))
}

/// Every status with every kind of body.
fn statuses() -> Vec<(String, Answer)> {
    let mut rows = vec![("204".to_owned(), Answer::new("", "").status(204))];
    for status in [200, 202, 400, 401, 403, 404, 405, 429, 500, 502, 503] {
        for (kind, content_type, body) in [
            ("a JSON-RPC error", "application/json", ERROR),
            ("a page", "text/html", PAGE),
            ("a list", "application/json", LIST),
            ("a list as text", "text/plain", LIST),
            ("nothing", "", ""),
            ("nothing, as JSON", "application/json", ""),
        ] {
            rows.push((format!("{status} with {kind}"), Answer::new(content_type, body).status(status)));
        }
    }
    rows
}

/// Every point at which a connection may break or go silent.
fn faults() -> Vec<(String, Answer)> {
    type Kind = fn(usize) -> Fault;
    let mut rows = vec![
        ("closed before the head".to_owned(), Answer::json(LIST).with_fault(Fault::NoHead)),
        ("silent before the head".to_owned(), Answer::json(LIST).with_fault(Fault::Silence)),
    ];
    for (fault, at) in [("closed", Fault::CutAt as Kind), ("silent", Fault::SilentAt as Kind)] {
        let events = events();
        let cut = events.len() - 10;
        for (point, answer, length) in [
            ("after the head", Answer::json(LIST), 0),
            ("after the head of a stream", Answer::events("", 1), 0),
            ("after the head of a page", Answer::new("text/html", PAGE), 0),
            ("within a list", Answer::json(LIST), MIDDLE),
            ("before the last byte of a list", Answer::json(LIST), LIST.len() - 1),
            ("within an event", Answer::events(events.clone(), 1), cut),
            ("before the end of a stream", Answer::events(events.clone(), 1), events.len()),
            ("within a page", Answer::new("text/html", PAGE), 10),
            ("within a list that flows", Answer::json(long()), 400_000),
            ("within the end of a list that flows", Answer::json(long()), long().len() - 5),
        ] {
            rows.push((format!("{fault} {point}"), answer.with_fault(at(length))));
        }
    }
    rows
}

/// Asks for a list, makes a call, and opens a stream before each row; `check` sees what came: the row, the kind of
/// request, the outcome.
fn each_ends(name: &str, mode: Mode, rows: fn() -> Vec<(String, Answer)>, check: fn(&str, &str, &Outcome)) {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::start(move |request| {
        let row: usize = request.header("x-row").parse().expect("a row");
        rows().swap_remove(row).1
    });
    let policy =
        json!({ "version": "1", "default": "allow", "hide": ["admin_*"], "tools": { "denied": { "action": "deny" } } });
    // As long as an answer may take here, streams too; and no second is spent on a client that closes late.
    let setup = Setup::new(&policy)
        .mode(mode)
        .edit("timeout: 0s", "timeout: 0.4s")
        .edit("request_timeout: 30s", "request_timeout: 30s\n          delayed_close_timeout: 0.05s");
    let mut envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    let rows = rows();
    for (row, (what, _)) in rows.iter().enumerate() {
        for (kind, request) in [
            ("list", Request::post(mcp::list("1"))),
            ("call", Request::post(mcp::call("1", "free"))),
            ("stream", Request::stream()),
        ] {
            let mut connection = envoy.connect();
            connection.send(&request.with("x-row", row.to_string()).bytes());
            let outcome = connection.outcome();
            let text = outcome.text();
            // A page that nobody takes for a list, and the text of which is the server's own business, may pass; so may
            // one with 202, which says that the answer is elsewhere.
            let is_page = text.starts_with("<html>") && (kind != "list" || outcome.status == 202);
            assert!(is_page || !text.contains("admin_"), "{what}, {kind}: a hidden name passed: {text:.300}");
            check(what, kind, &outcome);
        }
    }
    let refused = envoy.connect().exchange(&Request::post(mcp::call("1", "denied")));
    assert_eq!(refused.text(), mcp::refused("1", r#"[POLICY DENIED] Tool "denied" is denied by policy"#));
    let lines = envoy.access_log(3 * rows.len() + 1);
    for line in lines.iter().filter(|line| line["method"] == "POST") {
        assert!(line["decision"].is_string(), "no record: {line}");
    }
    assert_eq!(envoy.traps(), 0);
}

/// The client's own id in an error or a result; a stream's events count too.
fn is_answered(outcome: &Outcome) -> bool {
    let text = outcome.text();
    let message = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    serde_json::from_str::<Value>(message).is_ok_and(|message| message["id"] == 1)
}

fn check_status(what: &str, kind: &str, outcome: &Outcome) {
    assert!(outcome.is_whole, "{what}, {kind}: {outcome:?}");
    let status = &what[..3];
    let has_list = what.contains("a list");
    match kind {
        // An error says all by its status.
        "list" if what.contains("nothing") && !what.starts_with("200") => assert_eq!(outcome.text(), "", "{what}"),
        "list" if status == "202" => {}
        "list" => assert!(is_answered(outcome), "{what}: {outcome:?}"),
        _ if has_list => {}
        // What is no list passes as it came.
        _ => {
            assert_eq!(outcome.status.to_string(), status, "{what}, {kind}");
            let body = [("JSON-RPC error", ERROR), ("page", PAGE)].into_iter().find(|(body, _)| what.contains(body));
            assert_eq!(outcome.text(), body.map_or("", |(_, body)| body), "{what}, {kind}");
        }
    }
}

fn check_fault(what: &str, kind: &str, outcome: &Outcome) {
    if what.contains("before the head") {
        assert!(outcome.is_whole && outcome.status >= 200, "{what}, {kind}: {outcome:?}");
        assert!(kind != "list" || is_answered(outcome), "{what}: {outcome:?}");
    }
    // Whatever came of a list is not to be taken for all of it.
    let json = serde_json::from_slice::<Value>(&outcome.body);
    let is_list = json.is_ok_and(|json| json["result"]["tools"].is_array());
    assert!(!(is_list && outcome.is_whole), "{what}, {kind}: a part of a list looks whole: {:.300}", outcome.text());
}

#[test]
fn each_status_ends_and_hides_what_is_hidden() {
    each_ends("faults-status-held", Mode::Held, statuses, check_status);
}

#[test]
fn each_status_ends_and_hides_what_is_hidden_without_held_headers() {
    each_ends("faults-status-fallback", Mode::Fallback, statuses, check_status);
}

#[test]
fn each_fault_ends_and_hides_what_is_hidden() {
    each_ends("faults-held", Mode::Held, faults, check_fault);
}

#[test]
fn each_fault_ends_and_hides_what_is_hidden_without_held_headers() {
    each_ends("faults-fallback", Mode::Fallback, faults, check_fault);
}
