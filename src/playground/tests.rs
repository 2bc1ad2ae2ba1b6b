//! What a page is answered: problems with their places, tools, decisions with their steps.

use super::*;
use serde_json::{Value as Json, json};

/// What is answered to this request.
fn ask(request: &Json) -> Json {
    serde_json::from_str(&answer(&request.to_string())).unwrap()
}

/// The characters that a place of `text` spans, counted as JavaScript does, and its line and column.
fn marked(text: &str, place: &Json) -> (String, u64, u64) {
    let units: Vec<u16> = text.encode_utf16().collect();
    let number = |name: &str| place[name].as_u64().unwrap();
    let at = |name: &str| usize::try_from(number(name)).unwrap();
    (String::from_utf16(&units[at("start")..at("end")]).unwrap(), number("line"), number("column"))
}

#[test]
fn a_mistake_is_marked_where_it_stands() {
    for (text, expected) in [
        (r#"{"version":"1","default":"maybe"}"#, vec![("/default", r#""maybe""#, 1, 26)]),
        // What is missing is missing of its object, by that one's name where it has one.
        ("", vec![("", "", 1, 1)]),
        (" {\"default\":\"deny\"}", vec![("", "{", 1, 2)]),
        (
            "{\"version\":\"1\",\n \"tools\":{\"a\":{\"deny_if\":[{}]}}}",
            vec![("", "{", 1, 1), ("/tools/a/deny_if/0", "{", 2, 27)],
        ),
        (
            "{\"version\":\"1\",\"default\":\"deny\",\r\n\t\"tools\" : { \"a\":\n{\"action\":\"rate_limit\"}}}",
            vec![("/tools/a", "\"a\"", 2, 14)],
        ),
        // Beyond the ASCII and the first plane, and with escapes, in the text and in the pointer.
        (
            r#"{"version":"1","default":"deny","description":"ü😀","tools":{"é😀":{"action":"dney"}}}"#,
            vec![("/tools/é😀/action", r#""dney""#, 1, 78)],
        ),
        (
            r#"{"version":"1","default":"deny","tools":{"a~/b\u0041\"":{"action":1}}}"#,
            vec![("/tools/a~0~1bA\"/action", "1", 1, 67)],
        ),
        // Nobody knows it, or it is there twice: by its name, the second one.
        (r#"{"version":"1","default":"deny","tols":{"a":{}}}"#, vec![("", r#""tols""#, 1, 33)]),
        (r#"{"version":"1","default":"deny","tools":{"a":{"x/y":1}}}"#, vec![("/tools/a", r#""x/y""#, 1, 47)]),
        (r#"{"version":"1","default":"deny","tools":{"a":{},"b":{},"a":{}}}"#, vec![("/tools/a", r#""a""#, 1, 56)]),
        (r#"{"version":"1","default":"allow","default":"deny"}"#, vec![("/default", r#""default""#, 1, 34)]),
        // No JSON.
        ("{\"version\":\"1\",\n  \"é😀\" 1}", vec![("", "1", 2, 9)]),
        ("{\"version\":\"1\",\n", vec![("", "", 2, 1)]),
        ("{\"a\":1}\n\n😀", vec![("", "😀", 3, 1)]),
        (r#"{"a":"\ud800"}"#, vec![("", "}", 1, 14)]),
        ("[]", vec![("", "[", 1, 1)]),
        (
            "{\"version\":\"1\",\"default\":\"allow\",\n\"tests\":[{\"name\":\"n\",\"call\":{\"tool\":\"a\"},\"expect\":\"denied\"}]}",
            vec![("/tests/0", "{", 2, 10)],
        ),
    ] {
        let answer = ask(&json!({ "policy": text }));
        let found: Vec<(&str, (String, u64, u64))> = answer["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| (problem["pointer"].as_str().unwrap(), marked(text, problem)))
            .collect();
        let expected: Vec<(&str, (String, u64, u64))> = expected
            .into_iter()
            .map(|(pointer, span, line, column)| (pointer, (span.to_owned(), line, column)))
            .collect();
        assert_eq!(found, expected, "{text}: {answer}");
    }
}

#[test]
fn a_warning_is_marked_too_and_refuses_nothing() {
    let text = r#"{"version":"1","default":"deny","hide":["drop_tabel"],"tools":{"a":{}}}"#;
    let tools = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"drop_table"}]}}"#;
    let answer = ask(&json!({ "policy": text, "tools": tools, "calls": [r#"{"tool":"a"}"#] }));
    assert_eq!(answer["problems"], json!([]));
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1);
    let warning = &answer["warnings"][0];
    assert_eq!(warning["message"], r#"no tool is named "drop_tabel"; did you mean "drop_table"?"#);
    assert_eq!(marked(text, warning), (r#""drop_tabel""#.to_owned(), 1, 41));
    assert_eq!(answer["decisions"][0]["outcome"], "allowed");
    assert_eq!(ask(&json!({ "policy": text }))["warnings"], json!([]), "what is not known is not warned of");
}

#[test]
fn a_policy_that_fails_its_own_tests_is_refused_and_tried_all_the_same() {
    let text = r#"{"version":"1","default":"deny","mode":"shadow",
        "tests":[{"name":"n","call":{"tool":"a"},"expect":"denied"}]}"#;
    let answer = ask(&json!({ "policy": text, "calls": [r#"{"tool":"a"}"#] }));
    assert_eq!(answer["problems"][0]["pointer"], "/tests/0");
    assert_eq!(answer["decisions"][0]["outcome"], "shadow_denied");
    let version = Policy::load("default", text).unwrap().version().to_owned();
    let expected = json!({ "name": "default", "version": version, "default": "deny", "mode": "shadow" });
    assert_eq!(answer["policy"], expected);
}

#[test]
fn each_call_is_decided_after_the_ones_before_it_and_its_steps_are_told() {
    let text = r#"{"version":"1","default":"deny","tools":{"pay":{"limits":[{"counter":"daily","window":"day","max":1}],
        "deny_if":[{"id":"a/b","conditions":[{"path":"args.to","op":"eq","value":"x"}]}]},"ask":{"require_approval":true}}}"#;
    let calls = [
        r#"{"tool":"pay","at":"2026-11-21T09:30:00Z"}"#,
        r#"{"tool":"pay"}"#,
        r#"{"tool":"pay","arguments":{"to":"x"}}"#,
        r#"{"tool":"ask"}"#,
        r#"{"prompt":"p"}"#,
        r#"{"tool":1}"#,
        "pay",
    ];
    let answer = ask(&json!({ "policy": text, "calls": calls }));
    let decisions = answer["decisions"].as_array().unwrap();
    let outcome = |decision: &Json| (decision["outcome"].clone(), decision["rule"].clone());
    let expected = [
        ("allowed", ""),
        ("denied", "/tools/pay/limits/daily"),
        ("denied", "/tools/pay/deny_if/a~1b"),
        ("approval_required", "/tools/ask/require_approval/always"),
        ("allowed", ""),
    ];
    let found: Vec<(Json, Json)> = decisions.iter().take(5).map(outcome).collect();
    assert_eq!(found, expected.map(|(outcome, rule)| (Json::from(outcome), Json::from(rule))));
    assert_eq!(decisions[1]["message"], "Rate limit of 1 per day reached. Try again later.");
    let budget = json!({ "counter": "daily", "limit": 1, "remaining": 0, "window": "day", "window_seconds": 86_400,
        "reset_seconds": 52_200 });
    assert_eq!((&decisions[0]["budget"], &decisions[1]["budget"]), (&Json::Null, &budget));
    assert_eq!(decisions[5], json!({ "problem": "/tool: tool must be a string, got 1" }));
    assert!(decisions[6]["problem"].as_str().unwrap().contains("not JSON"));

    let steps = |decision: &Json| -> Vec<(String, String, Option<String>)> {
        let word = |step: &Json, name: &str| step[name].as_str().unwrap().to_owned();
        let place = |step: &Json| step.get("place").map(|place| marked(text, place).0);
        let steps = decision["steps"].as_array().unwrap().iter();
        steps.map(|step| (word(step, "kind"), word(step, "at"), place(step))).collect()
    };
    let step = |kind: &str, at: &str, place: Option<&str>| (kind.to_owned(), at.to_owned(), place.map(str::to_owned));
    assert_eq!(
        steps(&decisions[1]),
        [
            step("entry", "/tools/pay", Some("\"pay\"")),
            step("passed", "(default deny)", None),
            step("passed", "/tools/pay/deny_if/a~1b", Some("{")),
            step("decided", "/tools/pay/limits/daily", Some("{")),
        ]
    );
    assert_eq!(
        steps(&decisions[3])[2],
        step("decided", "/tools/ask/require_approval/always", Some("true")),
        "a rule without a name of its own stands where it is switched on"
    );
    assert_eq!(steps(&decisions[4]), [step("no_entry", "prompts", None)]);
}

#[test]
fn each_tool_tells_what_its_name_alone_decides() {
    let text = r#"{"version":"1","default":"deny","hide":["drop_*"],"tools":{
        "allow":{},"deny":{"action":"deny"},"limit":{"rate_limit":"1/hour"},"approve":{"require_approval":true},
        "ask":{"action":"require_approval","mode":"shadow"},"get_*":{"deny_if":[{"path":"args.a","op":"exists"}]},
        "never":{"deny_if":[{"conditions":[]}]},"hours":{"schedule":{"days":["mon"]}},
        "pinned":{"pin":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}}"#;
    let names =
        ["allow", "deny", "limit", "approve", "ask", "get_user", "never", "hours", "pinned", "drop_table", "unlisted"];
    let list: Vec<Json> = names.iter().map(|name| json!({ "name": name })).collect();
    let answer = ask(&json!({ "policy": text, "tools": json!({ "tools": list }).to_string() }));
    let found: Vec<Json> = answer["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| {
            json!([
                tool["name"],
                tool["listed"],
                tool["outcome"],
                tool["rule"],
                tool["entry"],
                tool["conditional"],
                tool["shadow"]
            ])
        })
        .collect();
    let expected = [
        json!(["allow", true, "allowed", "", "/tools/allow", false, false]),
        json!(["deny", true, "denied", "/tools/deny/action", "/tools/deny", false, false]),
        json!(["limit", true, "limited", "/tools/limit/rate_limit/limit:rate:hour", "/tools/limit", false, false]),
        json!([
            "approve",
            true,
            "approval_required",
            "/tools/approve/require_approval/always",
            "/tools/approve",
            false,
            false
        ]),
        json!(["ask", true, "approval_required", "/tools/ask/action", "/tools/ask", false, true]),
        json!(["get_user", true, "allowed", "", "/tools/get_*", true, false]),
        json!(["never", true, "denied", "/tools/never/deny_if/always", "/tools/never", false, false]),
        json!(["hours", true, "allowed", "", "/tools/hours", true, false]),
        json!(["pinned", false, "denied", "/tools/pinned/pin", "/tools/pinned", false, false]),
        json!(["drop_table", false, "hidden", "(hidden)", null, false, false]),
        json!(["unlisted", true, "denied", "(default deny)", null, false, false]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_list_is_shown_as_the_server_wrote_it_whatever_the_policy() {
    let tools = r#"[{"name":"a","title":"A","description":"does a"},{"name":"b","annotations":{"title":"B"}}]"#;
    let answer = ask(&json!({ "policy": "{", "tools": tools, "calls": [r#"{"tool":"a"}"#] }));
    assert_eq!((&answer["policy"], &answer["decisions"]), (&Json::Null, &json!([])));
    let expected = [json!(["a", "A", "does a"]), json!(["b", "B", null])];
    let tools = answer["tools"].as_array().unwrap().iter();
    let shown: Vec<Json> = tools.map(|tool| json!([tool["name"], tool["title"], tool["description"]])).collect();
    assert_eq!(shown, expected);
    assert_eq!(answer["tools"][0].get("outcome"), None, "nothing is said of what no policy judges");
    for (tools, problem) in [
        ("{}", "must be a list of tools, or an object with the list `tools`"),
        ("[{}]", "tool 0 must have a `name`"),
        ("[", "not JSON: the text ends early, at byte 1"),
    ] {
        let answer = ask(&json!({ "policy": r#"{"version":"1","default":"deny"}"#, "tools": tools }));
        assert_eq!((&answer["tools_problem"], &answer["tools"]), (&problem.into(), &json!([])));
        assert_eq!(answer["problems"], json!([]));
    }
}

#[test]
fn the_risk_of_each_tool_is_told_with_what_decided() {
    let tools = r#"[{"name":"delete_user"},{"name":"x"},{"name":"far","inputSchema":{"maximum":1e999}}]"#;
    let answer = ask(&json!({ "policy": "", "tools": tools }));
    let delete = json!({ "category": "destructive", "severity": "critical",
        "reasons": [{ "field": "name", "word": "delete", "says": "destructive" }] });
    let unknown = json!({ "category": "execute", "severity": "high", "reasons": [] });
    let risks: Vec<&Json> = answer["tools"].as_array().unwrap().iter().map(|tool| &tool["risk"]).collect();
    assert_eq!(risks, [&delete, &unknown, &Json::Null], "and nothing where it cannot be read");
}

#[test]
fn a_policy_to_begin_with_is_made_of_the_list() {
    let tools = r#"[{"name":"get_user"},{"name":"delete_user"},{"name":"update_user","inputSchema":{"a":1,"a":2}},
        {"name":"get_*"},{"name":"far","inputSchema":{"maximum":1e999}},{"name":"far"}]"#;
    let of = |pin: bool| {
        let answer = ask(&json!({ "policy": "{", "tools": tools, "starter": true, "pin": pin }));
        let starter = answer["starter"].clone();
        let text = starter["policy"].as_str().unwrap().to_owned();
        let again = ask(&json!({ "policy": text, "tools": tools }));
        assert_eq!((&again["problems"], &again["warnings"]), (&json!([]), &json!([])), "{text}");
        let outcomes: Vec<Json> =
            again["tools"].as_array().unwrap().iter().map(|tool| tool["outcome"].clone()).collect();
        assert_eq!(outcomes, ["allowed", "hidden", "limited", "denied", "denied", "denied"], "{text}");
        assert_eq!(starter["denied"], json!(["get_*", "far", "far"]), "one that is not known may be meant by its name");
        (starter, serde_json::from_str::<Json>(&text).unwrap())
    };
    let (starter, document) = of(false);
    assert_eq!((&starter["unpinned"], &document["tools"]["get_user"]), (&json!([]), &json!({})));
    let (starter, document) = of(true);
    assert_eq!(starter["unpinned"], json!(["update_user"]), "it has no single reading");
    assert!(document["tools"]["get_user"]["pin"].is_string(), "{document}");
    for request in [
        json!({ "policy": "", "starter": true }),
        json!({ "policy": "", "tools": "[", "starter": true }),
        json!({ "policy": "", "tools": "[]" }),
    ] {
        assert_eq!(ask(&request).get("starter"), None, "{request}");
    }
}

#[test]
fn calls_of_a_pinned_tool_are_judged_by_the_list_that_was_shown() {
    let text = r#"{"version":"1","default":"allow",
        "tools":{"a":{"pin":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}}"#;
    let call = [r#"{"tool":"a"}"#];
    let outcome = |request: Json| ask(&request)["decisions"][0]["outcome"].clone();
    assert_eq!(outcome(json!({ "policy": text, "calls": call })), "allowed");
    assert_eq!(outcome(json!({ "policy": text, "calls": call, "tools": r#"[{"name":"a"}]"# })), "denied");
}

#[test]
fn what_is_no_request_is_answered_too() {
    for request in ["", "null", "{}", r#"{"policy":1}"#, r#"{"policy":"","call":[]}"#, r#"{"policy":"\ud800"}"#] {
        let answer: Json = serde_json::from_str(&answer(request)).unwrap();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["problem"], "{request}: {answer}");
    }
}

/// Whatever a person types on the way to a policy is answered, with each place inside the text.
#[test]
fn every_beginning_of_a_policy_is_answered() {
    let text = r#"{"version":"1","default":"deny","hide":["é😀*"],"tools":{"a\u00e9":{"deny_if":[{"id":"x","path":"args.a","op":"gt","value":1.5e3}]}}}"#;
    for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
        let text = text.get(..end).unwrap();
        let units = u64::try_from(text.encode_utf16().count()).unwrap();
        let answer = ask(&json!({ "policy": text, "calls": [text], "tools": text }));
        for problem in answer["problems"].as_array().unwrap() {
            let (start, end) = (problem["start"].as_u64().unwrap(), problem["end"].as_u64().unwrap());
            assert!(start <= end && end <= units, "{text}: {problem}");
        }
    }
}
