//! What a call reserved of its limits comes back when it surely did not run or failed as a call, and stays spent when
//! it ran or may have run.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Answer, Received, Upstream, result};
use super::support::wait;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Nobody listens there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn policy() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "all_tools": { "limits": [{ "counter": "calls", "window": "hour", "max": 1, "scope": "tool" }] }
    })
}

/// How the server answers, by the tool that is called, and whether the hit comes back.
const ROWS: [(&str, bool); 7] = [
    ("http_500", true),
    ("http_404_json", true),
    ("rpc_error", true),
    ("rpc_error_event", true),
    ("tool_error", false),
    ("tool_error_event", false),
    ("success", false),
];

fn serve(request: &Received) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).expect("a call");
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#;
    let failed = result(&request.body, r#"{"content":[],"isError":true}"#);
    let event = |data: &str| Answer::events(format!("event: message\ndata: {data}\n\n"), 1000);
    match body["params"]["name"].as_str().expect("a name") {
        "http_500" => Answer::new("text/plain", "oops").status(500),
        "http_404_json" => Answer::json(error).status(404),
        "rpc_error" => Answer::json(error),
        "rpc_error_event" => event(error),
        "tool_error" => Answer::json(failed),
        "tool_error_event" => event(&failed),
        _ => Answer::json(result(&request.body, r#"{"content":[]}"#)),
    }
}

#[test]
fn a_call_that_failed_as_a_call_is_given_back() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "refunds";
    let upstream = Upstream::start(serve);
    let mut envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, upstream.address));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut connection = envoy.connect();
    let limit = "[POLICY DENIED] Rate limit of 1 per hour reached. Try again later.";
    for (index, (tool, comes_back)) in ROWS.into_iter().enumerate() {
        for round in 0..3 {
            let response = connection.exchange(&Request::post(mcp::call("1", tool)));
            let refused = mcp::is_limited(&response.text(), "1", limit);
            assert_eq!(refused, !comes_back && round > 0, "{tool}, call {round}: {response:?}");
        }
        let lines = envoy.access_log(3 * (index + 1));
        let record: Value =
            serde_json::from_str(lines[3 * index]["decision"].as_str().expect("a record")).expect("JSON");
        assert_eq!(record["rolled_back"].as_bool().unwrap_or(false), comes_back, "{tool}: {record}");
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn an_outage_does_not_use_up_a_limit() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "refunds-outage";
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, NOWHERE));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut connection = envoy.connect();
    for round in 0..5 {
        let response = connection.exchange(&Request::post(mcp::call("1", "work")));
        assert_eq!(response.status, 503, "call {round}: {response:?}");
    }
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_limit_that_is_reached_tells_when_there_is_room_in_the_shape_that_is_configured() {
    let Some(parts) = Parts::gateway() else { return };
    for (setting, status, member) in
        [("tool_error", 200, "/result/_meta"), ("jsonrpc_error", 200, "/error/data"), ("http_429", 429, "/error/data")]
    {
        let name = format!("limit-reply-{setting}");
        let policy = json!({
            "version": "1",
            "default": "allow",
            "all_tools": { "limits": [{ "counter": "calls", "window": "hour", "max": 0 }] }
        });
        let upstream = Upstream::running_every_call();
        let setup = Setup::new(&policy).with("limit_reply", setting);
        let envoy = Envoy::start(&parts, &name, &setup.render(&name, upstream.address));
        let response = envoy.connect().exchange(&Request::post(mcp::call("7", "work")));
        assert_eq!(response.status, status, "{response:?}");
        let answer = response.json();
        let limit = answer.pointer(member).map(|member| &member["mcp-policy/budget"]).expect("what is left");
        let seconds = limit["reset_seconds"].as_u64();
        assert_eq!(
            (&answer["id"], &limit["remaining"], &limit["window_seconds"]),
            (&json!(7), &json!(0), &json!(3600))
        );
        let head = |name: &str| response.head.text(name);
        assert_eq!(head("ratelimit-policy"), r#""calls";q=0;w=3600"#);
        // With a maximum of 0 there is never room.
        assert_eq!(
            (seconds, head("retry-after"), head("ratelimit")),
            (None, String::new(), r#""calls";r=0"#.to_owned())
        );
        assert_eq!((envoy.traps(), upstream.count()), (0, 0));
    }
}

#[test]
fn a_call_that_goes_on_tells_what_is_left_when_that_is_asked_for() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "report-budget";
    let policy = json!({
        "version": "1",
        "default": "allow",
        "all_tools": { "limits": [{ "counter": "calls", "window": "hour", "max": 3 }] }
    });
    let upstream = Upstream::running_every_call();
    let setup = Setup::new(&policy).with("report_budget", true);
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    wait::for_room_in_hour(Duration::from_secs(60));
    let mut connection = envoy.connect();
    for left in [2, 1, 0] {
        let answer = connection.exchange(&Request::post(mcp::call("7", "work"))).json();
        let limit = &answer["result"]["_meta"]["mcp-policy/budget"];
        assert_eq!(
            (&limit["counter"], &limit["limit"], &limit["remaining"]),
            (&json!("calls"), &json!(3), &json!(left))
        );
        assert_ne!(answer["result"]["content"], Value::Null, "{answer}");
    }
    assert_eq!((envoy.traps(), upstream.count()), (0, 3));
}
