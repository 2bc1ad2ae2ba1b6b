//! What a caller can plan with: what the limits of a call leave, told in its result, and by whom it was counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, Step};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::rls::{DescriptorStatus, Duration, OK, RateLimitDescriptor, RateLimitRequest, RateLimitResponse};
use prost::Message;
use serde_json::{Value, json};
use std::rc::Rc;
use support::{Driver, gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 42 seconds before the next minute.
const NOW: u64 = 1_795_243_338_000;
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"amount":2.5}}}"#;
const OTHER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}"#;

fn configuration(change: impl Fn(&mut Value)) -> Rc<Gate> {
    let mut configuration = json!({
        "policies": { "p": {
            "version": "1",
            "default": "allow",
            "tools": { "pay": { "limits": [
                { "id": "spend", "counter": "cents", "window": "minute", "max": 10, "increment_from": "args.amount" },
                { "counter": "trial", "window": "day", "max": 9, "mode": "shadow" }
            ] } }
        } },
        "default_policy": "p",
        "report_budget": true
    });
    change(&mut configuration);
    gate(&configuration.to_string())
}

fn told(answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    answer["result"]["_meta"]["mcp-policy/budget"].clone()
}

fn answered(gate: &Rc<Gate>, store: &mut dyn mcp_policy::policy::Store, call: &str, answer: &str) -> Vec<u8> {
    let mut driver = Driver::new(gate, store, NOW);
    driver.post(call);
    driver.answer("200", Some("application/json"), &[answer.as_bytes()])
}

#[test]
fn the_result_of_a_call_tells_what_its_limits_leave() {
    let (gate, mut store) = (configuration(|_| {}), store());
    let answer = r#"{"jsonrpc":"2.0","result":{"content":[],"_meta":{"x":1}},"id":1}"#;
    for remaining in [json!(7.5), json!(5), json!(2.5), json!(0)] {
        let answer = answered(&gate, &mut store, CALL, answer);
        assert_eq!(
            told(&answer),
            json!({ "counter": "cents", "limit": 10, "remaining": remaining, "window": "minute", "window_seconds": 60,
                     "reset_seconds": 42 }),
            "a limit in shadow mode promises nothing"
        );
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["result"]["_meta"]["x"], 1);
    }
    assert!(matches!(Driver::new(&gate, &mut store, NOW).request(&headers(&support::POST), &[CALL.as_bytes()], false),
        support::Fate::Replied(reply) if String::from_utf8_lossy(&reply.body).contains("0 of 10 left in this minute")));
}

#[test]
fn of_several_limits_the_tightest_comes_first() {
    let gate = configuration(|all| {
        let limit = |counter: &str, max| json!({ "counter": counter, "window": "minute", "max": max });
        all["policies"]["p"]["all_tools"] =
            json!({ "limits": [limit("wide", 100), limit("narrow", 2), limit("middle", 9)] });
    });
    let answer = answered(&gate, &mut store(), CALL, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let told = told(&answer);
    assert_eq!((&told["counter"], &told["remaining"]), (&json!("narrow"), &json!(1)));
    let others: Vec<_> = told["others"].as_array().unwrap().iter().map(|other| &other["counter"]).collect();
    assert_eq!(others, ["cents", "wide", "middle"]);
}

#[test]
fn so_does_the_event_that_answers_and_no_other() {
    let gate = configuration(|_| {});
    let mut store = store();
    let mut driver = Driver::new(&gate, &mut store, NOW);
    driver.post(CALL);
    let before = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n\
                  data: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n";
    let text = format!("{before}id: 7\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{}}}}\n\n");
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(11).collect();
    let out = String::from_utf8(driver.answer("200", Some("text/event-stream"), &chunks)).unwrap();
    let rest = out.strip_prefix(before).unwrap_or_else(|| panic!("{out}"));
    let data = rest.lines().find_map(|line| line.strip_prefix("data:")).unwrap();
    assert_eq!(told(data.as_bytes())["remaining"], 7.5);
}

#[test]
fn nothing_is_added_where_there_is_nothing_to_tell() {
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (what, gate, call, answer) in [
        ("a call without limits", configuration(|_| {}), OTHER, result),
        ("an error", configuration(|_| {}), CALL, r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#),
        ("not asked for", configuration(|all| all["report_budget"] = false.into()), CALL, result),
        ("shadow mode", configuration(|all| all["policies"]["p"]["mode"] = "shadow".into()), CALL, result),
    ] {
        assert_eq!(answered(&gate, &mut store(), call, answer), answer.as_bytes(), "{what}");
    }
}

#[test]
fn what_a_service_counted_is_told_as_it_said() {
    let gate = configuration(|all| {
        all["limits"] = json!({ "store": "rate_limit_service", "cluster": "c", "domain": "d" });
        let limit = json!([{ "counter": "calls", "window": "minute", "max": 7 },
                           { "counter": "trial", "window": "day", "max": 9, "mode": "shadow" }]);
        all["policies"]["p"]["tools"]["pay"]["limits"] = limit;
    });
    let (now, mut store) = (Timestamp::from_millis(NOW), store());
    for reset in [Some(Duration { seconds: 40 }), None] {
        let mut exchange = Exchange::new(Rc::clone(&gate));
        exchange.request_headers(&headers(&support::POST), false, now);
        let Step::Ask(message) = exchange.request_whole(CALL.as_bytes(), now, &mut store) else {
            panic!("no question")
        };
        let request = RateLimitRequest::decode(message.as_slice()).unwrap();
        let status = |descriptor: &RateLimitDescriptor| DescriptorStatus {
            code: OK,
            current_limit: descriptor.limit,
            limit_remaining: 3,
            duration_until_reset: reset,
        };
        let statuses = request.descriptors.iter().map(status).collect();
        let reply = RateLimitResponse { overall_code: OK, statuses }.encode_to_vec();
        assert_eq!(exchange.limits_counted(Some(&reply), now, &mut store), Step::Continue);
        exchange.answer_headers(&headers(&[(":status", "200"), ("content-type", "application/json")]), false);
        let answer = br#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        exchange.answer_begins(answer, true);
        let Step::Replace(answer) = exchange.answer_whole(answer, &mut store) else { panic!("nothing was added") };
        let seconds = reset.map_or(42, |left| left.seconds);
        assert_eq!(
            told(&answer),
            json!({ "counter": "calls", "limit": 7, "remaining": 3, "window": "minute", "window_seconds": 60,
                     "reset_seconds": seconds })
        );
    }
}

#[test]
fn what_a_service_refused_is_told_in_the_shape_that_is_configured() {
    for (setting, status, member) in
        [("tool_error", 200, "/result/_meta"), ("jsonrpc_error", 200, "/error/data"), ("http_429", 429, "/error/data")]
    {
        let gate = configuration(|all| {
            all["limits"] =
                json!({ "store": "rate_limit_service", "cluster": "c", "domain": "d", "on_failure": "local" });
            all["limit_reply"] = setting.into();
            all["policies"]["p"]["tools"]["pay"]["limits"] = json!([{ "counter": "calls", "window": 60, "max": 0 }]);
        });
        let (now, mut store) = (Timestamp::from_millis(NOW), store());
        let mut exchange = Exchange::new(gate);
        exchange.request_headers(&headers(&support::POST), false, now);
        assert!(matches!(exchange.request_whole(CALL.as_bytes(), now, &mut store), Step::Ask(_)));
        let Step::Reply(reply) = exchange.limits_counted(None, now, &mut store) else { panic!("it is refused") };
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(body.pointer(member).unwrap()["mcp-policy/budget"]["limit"], 0, "{body}");
        assert!(body.to_string().contains("0 of 0 left in these 60 seconds"), "{body}");
        assert!(reply.headers.iter().any(|(name, _)| *name == "ratelimit"), "{:?}", reply.headers);
    }
}
