//! Limits that a rate limit service keeps, as the exchange asks for them and takes its answers: what is sent, what each
//! answer means, and what becomes of a call that nobody counted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use mcp_policy::exchange::{Exchange, Step};
use mcp_policy::policy::Store;
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::rls::{
    DescriptorStatus, Duration, OK, OVER_LIMIT, RateLimitDescriptor, RateLimitOverride, RateLimitRequest,
    RateLimitResponse, UInt64Value,
};
use prost::Message;
use serde_json::{Value, json};
use support::{gate, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_795_243_342_000);

/// The policy of most tests: one limit of the tool, one of the grant.
fn limits() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "tools": { "send": { "limits": [
            { "counter": "sends", "window": "hour", "max": 100, "increment": 5, "scope": ["session", "tool"] } ] } },
        "all_tools": { "limits": [ { "counter": "calls", "window": 60, "max": 7 } ] }
    })
}

fn configuration(policy: Value, on_failure: &str) -> Value {
    json!({
        "policies": { "p": policy },
        "default_policy": "p",
        "limits": { "store": "rate_limit_service", "cluster": "limits", "domain": "mcp", "on_failure": on_failure }
    })
}

fn body(tool: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } }).to_string()
}

/// A call of `tool` up to its question.
fn ask(configuration: &Value, tool: &str, store: &mut dyn Store) -> (Exchange, RateLimitRequest) {
    let (exchange, step) = begin(configuration, &body(tool), &[], store);
    let Step::Ask(message) = step else { panic!("{step:?}") };
    (exchange, RateLimitRequest::decode(message.as_slice()).unwrap())
}

fn begin(configuration: &Value, body: &str, more: &[(&str, &str)], store: &mut dyn Store) -> (Exchange, Step) {
    let mut exchange = Exchange::new(gate(&configuration.to_string()));
    let lines: Vec<(&str, &str)> = support::POST.iter().chain(more).copied().collect();
    exchange.request_headers(&headers(&lines), false, NOW);
    let step = exchange.request_whole(body.as_bytes(), NOW, store);
    (exchange, step)
}

/// What a service says that counted as it was asked: what is left of each counter, below zero what it is over.
fn reply(request: &RateLimitRequest, left: &[i64]) -> Vec<u8> {
    let status = |(descriptor, left): (&RateLimitDescriptor, &i64)| DescriptorStatus {
        code: if *left < 0 { OVER_LIMIT } else { OK },
        current_limit: descriptor.limit,
        limit_remaining: u32::try_from(*left).unwrap_or(0),
        duration_until_reset: Some(Duration { seconds: 9 }),
    };
    let overall_code = if left.iter().any(|left| *left < 0) { OVER_LIMIT } else { OK };
    let statuses = request.descriptors.iter().zip(left).map(status).collect();
    RateLimitResponse { overall_code, statuses }.encode_to_vec()
}

fn name(descriptor: &RateLimitDescriptor) -> String {
    descriptor.entries.iter().map(|entry| format!("{}={}", entry.key, entry.value)).collect::<Vec<_>>().join(" ")
}

fn text(step: &Step) -> String {
    let Step::Reply(reply) = step else { panic!("{step:?}") };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["result"]["content"][0]["text"].as_str().unwrap_or(&body.to_string()).to_owned()
}

#[test]
fn a_call_asks_for_all_its_limits_at_once_with_the_policy_s_numbers() {
    let (exchange, request) = ask(&configuration(limits(), "deny"), "send", &mut store());
    assert_eq!(exchange.record(), None, "nothing is decided yet");
    assert_eq!(request.domain, "mcp");
    assert_eq!(
        request.descriptors.iter().map(name).collect::<Vec<_>>(),
        [
            "policy=p counter=sends window=hour scope=session%2Btool grant=anonymous session=! tool=send",
            "policy=p counter=calls window=60%20seconds scope=grant grant=anonymous",
        ]
    );
    let numbers: Vec<_> =
        request.descriptors.iter().map(|descriptor| (descriptor.limit, descriptor.hits_addend)).collect();
    let limit = |requests_per_unit, unit| Some(RateLimitOverride { requests_per_unit, unit });
    assert_eq!(
        numbers,
        [(limit(100, 3), Some(UInt64Value { value: 5 })), (limit(7, 2), Some(UInt64Value { value: 1 }))]
    );
    // What no limit is about waits for nobody.
    let (_, step) =
        begin(&configuration(limits(), "deny"), r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, &[], &mut store());
    assert_eq!(step, Step::Continue);
}

#[test]
fn names_with_separators_of_the_service_s_keys_stay_apart() {
    let policy = json!({ "version": "1", "default": "allow", "all_tools": { "limits": [
        { "counter": "a_b", "window": "day", "max": 1, "scope": ["session", "tool"] } ] } });
    let configuration = configuration(policy, "deny");
    let mut seen = Vec::new();
    let long = "x".repeat(1000);
    for (session, tool) in [
        ("a", "b_tool_c"),
        ("a_tool_b", "c"),
        ("a", "b*"),
        ("a", "*"),
        ("a", "B%00"),
        ("a", "é"),
        ("!", "b"),
        ("", "b"),
        (&long, "b"),
        ("a", &long),
        ("a:b|c", "b"),
    ] {
        let headers: &[(&str, &str)] = if session.is_empty() { &[] } else { &[("mcp-session-id", session)] };
        let (_, step) = begin(&configuration, &body(tool), headers, &mut store());
        let Step::Ask(message) = step else { panic!("{session} {tool}: {step:?}") };
        let request = RateLimitRequest::decode(message.as_slice()).unwrap();
        let entries = &request.descriptors[0].entries;
        // As envoyproxy/ratelimit makes its Redis key.
        let key: Vec<String> = entries.iter().map(|entry| format!("{}_{}", entry.key, entry.value)).collect();
        assert!(
            entries.iter().all(|entry| entry.value.len() < 200 && !entry.value.contains(['_', '*', ':', '|', '\0']))
        );
        seen.push(key.join("_"));
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "{seen:#?}");
}

#[test]
fn the_counts_decide() {
    let denied = "[POLICY DENIED] Rate limit of";
    for (left, rule, message) in [
        ([95, 6], "", ""),
        ([0, 0], "", ""),
        (
            [-1, 3],
            "/tools/send/limits/sends",
            "100 per hour reached. Try again later. (0 of 100 left in this hour, room again in 9 seconds)",
        ),
        (
            [50, -1],
            "/all_tools/limits/calls",
            "7 per 60 seconds reached. Try again later. (0 of 7 left in these 60 seconds, room again in 9 seconds)",
        ),
        (
            [-1, -1],
            "/tools/send/limits/sends",
            "100 per hour reached. Try again later. (0 of 100 left in this hour, room again in 9 seconds)",
        ),
    ] {
        let mut store = store();
        let (mut exchange, request) = ask(&configuration(limits(), "allow"), "send", &mut store);
        let step = exchange.limits_counted(Some(&reply(&request, &left)), NOW, &mut store);
        assert_eq!(exchange.record().unwrap().rule, rule, "{left:?}");
        if rule.is_empty() {
            assert_eq!(step, Step::Continue, "{left:?}");
        } else {
            assert_eq!(text(&step), format!("{denied} {message}"), "{left:?}");
        }
        assert_eq!(exchange.record().unwrap().limits, None);
        // What the host may still report changes nothing.
        assert_eq!(exchange.limits_counted(Some(&reply(&request, &[9, 9])), NOW, &mut store), Step::Wait);
    }
}

#[test]
fn whatever_does_not_say_that_the_policy_s_numbers_were_kept_is_a_failure() {
    let (_, request) = ask(&configuration(limits(), "deny"), "send", &mut store());
    let good = RateLimitResponse::decode(reply(&request, &[9, 3]).as_slice()).unwrap();
    let with = |change: &dyn Fn(&mut RateLimitResponse)| {
        let mut changed = good.clone();
        change(&mut changed);
        Some(changed.encode_to_vec())
    };
    let rows: [(&str, Option<Vec<u8>>); 10] = [
        ("no answer", None),
        ("an empty one", Some(Vec::new())),
        ("garbage", Some(b"HTTP/1.1 200 OK".to_vec())),
        ("no overall code", with(&|reply| reply.overall_code = 0)),
        ("no statuses: the domain is not known", with(&|reply| reply.statuses.clear())),
        ("a status too few", with(&|reply| reply.statuses.truncate(1))),
        ("a counter without a limit", with(&|reply| reply.statuses[1].current_limit = None)),
        ("another maximum", with(&|reply| reply.statuses[1].current_limit.as_mut().unwrap().requests_per_unit = 8)),
        ("more left than there is", with(&|reply| reply.statuses[1].limit_remaining = 8)),
        ("over, and yet let through", with(&|reply| reply.statuses[1].code = OVER_LIMIT)),
    ];
    for (what, message) in rows {
        for on_failure in ["deny", "local", "allow"] {
            let mut store = store();
            let configuration = configuration(limits(), on_failure);
            let mut allowed = 0;
            let mut last = None;
            for _ in 0..9 {
                let (mut exchange, _) = ask(&configuration, "send", &mut store);
                let step = exchange.limits_counted(message.as_deref(), NOW, &mut store);
                allowed += usize::from(step == Step::Continue);
                let record = exchange.record().unwrap();
                last = Some((record.rule.clone(), record.limits));
                if on_failure == "deny" {
                    assert_eq!(text(&step), "[POLICY DENIED] Rate limit could not be checked. Try again later.");
                }
            }
            let (expected, rule, limits) = match on_failure {
                "deny" => (0, "/tools/send/limits/sends", "not counted"),
                "local" => (7, "/all_tools/limits/calls", "counted by this proxy alone"),
                _ => (9, "", "not counted"),
            };
            assert_eq!((allowed, last), (expected, Some((rule.to_owned(), Some(limits)))), "{what}, {on_failure}");
        }
    }
}

#[test]
fn a_limit_in_shadow_mode_is_asked_and_only_noted() {
    let mut policy = limits();
    policy["all_tools"]["limits"][0]["mode"] = "shadow".into();
    let whole = {
        let mut policy = limits();
        policy["mode"] = "shadow".into();
        policy
    };
    for (policy, left, outcome, rule) in [
        (&policy, Some([5, -1]), "shadow_denied", "/all_tools/limits/calls"),
        (&policy, Some([-1, -1]), "denied", "/tools/send/limits/sends"),
        (&policy, Some([5, 1]), "allowed", ""),
        (&whole, Some([-1, -1]), "shadow_denied", "/tools/send/limits/sends"),
        (&whole, None, "shadow_denied", "/tools/send/limits/sends"),
    ] {
        let mut store = store();
        let (mut exchange, request) = ask(&configuration(policy.clone(), "deny"), "send", &mut store);
        let answer = left.map(|left| reply(&request, &left));
        let step = exchange.limits_counted(answer.as_deref(), NOW, &mut store);
        let record = exchange.record().unwrap();
        assert_eq!((record.outcome.as_str(), record.rule.as_str()), (outcome, rule), "{left:?}");
        assert_eq!(step == Step::Continue, outcome != "denied", "{left:?}");
    }
}

#[test]
fn limits_that_share_a_counter_charge_it_once_and_are_each_judged() {
    let policy = |small: &str| {
        json!({ "version": "1", "default": "allow",
        "tools": { "send": { "limits": [ { "counter": "c", "window": "day", "max": 3, "increment": 2, "mode": small } ] } },
        "all_tools": { "limits": [ { "counter": "c", "window": "day", "max": 10 } ] } })
    };
    for (mode, left, outcome) in
        [("enforce", 7, "allowed"), ("enforce", 6, "denied"), ("shadow", 6, "shadow_denied"), ("shadow", -1, "denied")]
    {
        let mut store = store();
        let (mut exchange, request) = ask(&configuration(policy(mode), "deny"), "send", &mut store);
        assert_eq!(request.descriptors.len(), 1);
        assert_eq!(request.hits_addend, 2, "for services that read only this");
        assert_eq!(request.descriptors[0].limit.unwrap().requests_per_unit, 10);
        exchange.limits_counted(Some(&reply(&request, &[left])), NOW, &mut store);
        assert_eq!(exchange.record().unwrap().outcome.as_str(), outcome, "{mode} {left}");
    }
}

#[test]
fn on_http_with_sse_a_refusal_is_said_on_the_stream() {
    let mut store = store();
    let mut exchange = Exchange::new(gate(&configuration(limits(), "deny").to_string()));
    let lines: Vec<(&str, &str)> = support::POST.iter().copied().chain([(":path", "/messages?sessionId=1")]).collect();
    exchange.request_headers(&headers(&lines), false, NOW);
    let body = format!("{}{}", body("send"), " ".repeat(500));
    let Step::Ask(_) = exchange.request_whole(body.as_bytes(), NOW, &mut store) else { panic!("a question") };
    let step = exchange.limits_counted(None, NOW, &mut store);
    let Step::Replace(request) = step else { panic!("{step:?}") };
    assert_eq!(request.len(), body.len(), "the headers have gone with this length");
    assert!(String::from_utf8(request).unwrap().contains("Rate limit could not be checked"));
}

#[test]
fn nothing_goes_on_while_the_service_counts() {
    let mut store = store();
    let (mut exchange, _) = ask(&configuration(limits(), "allow"), "send", &mut store);
    assert_eq!(exchange.request_grows(10, NOW), Step::Wait);
    assert_eq!(exchange.request_whole(body("send").as_bytes(), NOW, &mut store), Step::Wait);
    // The client leaves: no record, nothing to give back.
    exchange.end("", NOW, &mut store);
    assert_eq!(exchange.record(), None);
}

#[test]
fn a_service_with_numbers_of_its_own_is_sent_none() {
    let mut configuration = configuration(limits(), "deny");
    configuration["limits"]["maxima"] = "service".into();
    for (overall_code, goes_on) in [(OK, true), (OVER_LIMIT, false)] {
        let mut store = store();
        let (mut exchange, request) = ask(&configuration, "send", &mut store);
        assert!(request.descriptors.iter().all(|descriptor| descriptor.limit.is_none()));
        let reply = RateLimitResponse { overall_code, statuses: Vec::new() };
        let step = exchange.limits_counted(Some(&reply.encode_to_vec()), NOW, &mut store);
        assert_eq!(step == Step::Continue, goes_on);
    }
}

#[test]
fn a_hidden_tool_is_asked_for_like_one_that_does_not_exist() {
    let mut policy = limits();
    policy["hide"] = json!(["secret"]);
    let mut configuration = configuration(policy, "deny");
    configuration["hidden_reply"] = "unknown_tool".into();
    let mut store = store();
    let (mut exchange, request) = ask(&configuration, "secret", &mut store);
    let step = exchange.limits_counted(Some(&reply(&request, &[1])), NOW, &mut store);
    assert!(matches!(step, Step::Replace(_)), "{step:?}");
    assert_eq!(exchange.record().unwrap().rule, "(hidden)");
    let (mut exchange, request) = ask(&configuration, "secret", &mut store);
    let step = exchange.limits_counted(Some(&reply(&request, &[-1])), NOW, &mut store);
    let told = "Rate limit of 7 per 60 seconds reached. Try again later. (0 of 7 left in these 60 seconds, room again in 9 seconds)";
    assert_eq!(text(&step), format!("[POLICY DENIED] {told}"));
    assert_eq!(exchange.record().unwrap().rule, "(hidden)");
}
