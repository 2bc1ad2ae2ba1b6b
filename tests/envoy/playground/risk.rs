//! What the page says of the risk of tools, and the policy that it begins with for them.

use super::{EMPTY, SCRIPT, command_line, tool, visit};
use crate::support::parts::scratch;
use serde_json::{Value, json};

/// One tool of each category, as a server may list them, and two that no policy can name or judge.
fn list() -> String {
    let tool = |name: &str, description: &str| json!({ "name": name, "description": description, "inputSchema": {} });
    let mut claimed = tool("get_report", "Gets a report.");
    claimed["annotations"] = json!({ "destructiveHint": true });
    let tools = [
        tool("get_user", "Gets a user."),
        tool("delete_user", "Removes a user."),
        tool("update_user", "Updates a user."),
        tool("create_payment", "Pays."),
        tool("frobnicate", ""),
        claimed,
        tool("get_*", "Gets anything."),
    ];
    let far = r#"{"name":"far","inputSchema":{"properties":{"a":{"maximum":1e999}}}}"#;
    format!("[{},{far}]", tools.map(|tool| tool.to_string()).join(","))
}

/// The member `of` each tool on the page, in its order.
fn all<'p>(page: &'p Value, of: &str) -> Vec<&'p str> {
    let tools = page["tools"].as_array().expect("tools").iter();
    tools.map(|tool| tool[of].as_str().expect("text")).collect()
}

#[test]
fn the_risk_of_each_tool_is_told_and_opened_by_the_keyboard() {
    let Some((envoy, mut person)) = visit("playground-risk") else { return };
    let page = person.act(&json!(["paste", list()]));
    let told = [
        "Read Low",
        "Destructive Critical",
        "Write Medium",
        "Financial Critical",
        "Execute High",
        "Destructive Critical",
        "Read Low",
        "Not known",
    ];
    assert_eq!(all(&page, "risk"), told.map(|words| format!("Risk: {words}")), "in words");
    assert_eq!(all(&page, "why"), [""; 8], "until it is opened");

    let mut page = Value::Null;
    for index in 0..8 {
        page = person.act(&json!(["press", "#tools summary", index]));
    }
    assert_eq!(
        all(&page, "why"),
        [
            "Decided by get in the name, gets in the description.",
            "Decided by delete in the name, removes in the description.",
            "Decided by update in the name, updates in the description.",
            "Decided by payment in the name, pays in the description. Also, create in the name says Write.",
            "Nothing says what it does, so it is taken for Execute.",
            "Decided by destructiveHint: true in the annotations. Also, get in the name says Read, gets in the description \
             says Read.",
            "Decided by get in the name, gets in the description.",
            "Its definition cannot be read.",
        ]
    );
    let page = person.write("draft", EMPTY);
    assert!(all(&page, "why").iter().all(|why| !why.is_empty()), "what is open stays open: {page}");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn tools_are_sorted_and_chosen_by_their_risk() {
    let Some((envoy, mut person)) = visit("playground-order") else { return };
    let page = person.act(&json!(["paste", list()]));
    let listed: Vec<String> = all(&page, "name").iter().map(ToString::to_string).collect();
    assert_eq!(page["severities"], json!(["All", "Critical (4)", "High (1)", "Medium (1)", "Low (2)"]));
    person.act(&json!(["choose", "update_user", "limit"]));
    let page = person.act(&json!(["select", "#tools-order", "Riskiest"]));
    let sorted =
        ["far", "create_payment", "delete_user", "get_report", "frobnicate", "update_user", "get_user", "get_*"];
    assert_eq!(all(&page, "name"), sorted);
    assert_eq!(tool(&page, "update_user")["choice"], "limit", "each keeps what was chosen");
    assert_eq!((&page["focus"], &page["toolsCount"]), (&json!("tools-order"), &json!("8")));

    let page = person.act(&json!(["select", "#tools-severity", "Critical"]));
    assert_eq!(all(&page, "name"), ["far", "create_payment", "delete_user", "get_report"], "what is unknown is shown");
    assert_eq!(page["toolsCount"], "4 of 8");
    let page = person.act(&json!(["select", "#tools-severity", "Medium"]));
    assert_eq!(all(&page, "name"), ["update_user"]);
    let page = person.act(&json!(["paste", r#"[{"name":"get_user"}]"#]));
    assert_eq!((&page["tools"], &page["toolsCount"]), (&json!([]), &json!("0 of 1")));
    person.act(&json!(["paste", list()]));
    person.act(&json!(["select", "#tools-severity", "All"]));
    let page = person.act(&json!(["select", "#tools-order", "As"]));
    assert_eq!(all(&page, "name"), listed);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_policy_is_started_from_the_list() {
    let Some((envoy, mut person)) = visit("playground-starter") else { return };
    let page = person.act(&json!(["paste", list()]));
    let before = page["policy"].clone();
    let page = person.act(&json!(["press", "#starter"]));
    assert_eq!((&page["findings"], &page["focus"]), (&json!([]), &json!("starter")), "{page}");
    let now: Vec<&str> = all(&page, "choice");
    assert_eq!(now, ["allow", "hide", "limit", "approve", "limit", "hide", "deny", "deny"]);
    let news = page["news"].as_str().expect("text");
    assert!(news.starts_with("Started from the list.") && news.contains("get_*, far."), "{news}");

    person.act(&json!(["tick", "#starter-pin"]));
    person.act(&json!(["press", "#starter"]));
    let page = person.act(&json!(["download"]));
    let text = page["downloaded"].as_str().expect("text");
    let policy: Value = serde_json::from_str(text).expect("JSON");
    assert!(policy["tools"]["get_user"]["pin"].is_string(), "{text}");
    assert_eq!(policy["tools"]["create_payment"]["require_approval"], true);
    // The command line finds nothing amiss in it either.
    let tools = scratch("playground-starter-tools.json");
    std::fs::write(&tools, list()).expect("target/e2e can be written");
    let told = command_line("playground-starter", text, "validate", &["--tools", tools.to_str().expect("UTF-8")]);
    assert!(told.status.success() && told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));

    person.act(&json!(["press", "#undo"]));
    assert_eq!(person.act(&json!(["press", "#undo"]))["policy"], before);
    assert_eq!(envoy.traps(), 0);
}

/// `act` sees to it that nothing of it becomes an element, or breaks the page's content security policy.
#[test]
fn what_decided_is_shown_as_text() {
    let Some((envoy, mut person)) = visit("playground-risk-script") else { return };
    let action = format!("{SCRIPT} delete \u{202e}");
    let tools = json!([{ "name": format!("{SCRIPT}_delete"), "description": SCRIPT, "annotations": { "title": SCRIPT },
        "inputSchema": { "properties": { format!("{SCRIPT}_sql"): { "type": "string" },
            "action": { "enum": [action] }, "a\u{202e}_command": { "type": "string" } } } }]);
    person.act(&json!(["paste", tools.to_string()]));
    let page = person.act(&json!(["press", "#tools summary"]));
    let why = page["tools"][0]["why"].as_str().expect("text");
    assert!(why.contains("<script>") && why.contains("delete \\u202e") && why.contains("a\\u202e_command"), "{why}");
    let page = person.act(&json!(["press", "#starter"]));
    let policy: Value = serde_json::from_str(page["policy"].as_str().expect("text")).expect("JSON");
    assert_eq!(policy["hide"], json!([format!("{SCRIPT}_delete")]));

    // Of very many and very long words a person is shown some.
    let many: serde_json::Map<String, Value> =
        (0..500).map(|n| (format!("{n}_{}_sql", "x".repeat(500)), json!({ "type": "string" }))).collect();
    let tools = json!([{ "name": "x", "inputSchema": { "properties": many } }]);
    let page = person.act(&json!(["paste", tools.to_string()]));
    assert_eq!(page["tools"][0]["risk"], "Risk: Execute High");
    let page = match page["tools"][0]["why"].as_str() {
        Some("") => person.act(&json!(["press", "#tools summary"])),
        _ => page,
    };
    let why = page["tools"][0]["why"].as_str().expect("text");
    assert!(why.ends_with(", and 492 more.") && why.len() < 1200, "{why}");
    assert_eq!(envoy.traps(), 0);
}
