//! A policy to begin with: for each tool of a server the rule that is recommended for its risk.

use crate::policy::Pin;
use crate::risk::Category;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Calls of all tools together that a grant may make in a minute.
const ALL_PER_MINUTE: u32 = 60;
const WRITES_PER_MINUTE: u32 = 30;
const RUNS_PER_MINUTE: u32 = 10;

/// One tool of the server.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does, as far as its definition tells.
    pub category: Category,
    /// Of its definition, where the policy is to be for that alone.
    pub pin: Option<Pin>,
}

/// Whether a policy can name it: there a `*` and a `?` stand for other characters, and nothing blank is hidden.
#[must_use]
pub fn can_be_named(tool: &str) -> bool {
    !tool.trim().is_empty() && !tool.contains(['*', '?'])
}

#[derive(Serialize)]
struct Policy<'a> {
    version: &'static str,
    description: String,
    default: &'static str,
    hide: Vec<&'a str>,
    all_tools: Entry,
    tools: Entries<'a>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<Limit>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    require_approval: bool,
}

#[derive(Serialize)]
struct Limit {
    counter: String,
    window: &'static str,
    max: u32,
    scope: &'static str,
}

/// In the server's order.
struct Entries<'a>(Vec<&'a Tool<'a>>);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|tool| (tool.name, Entry::of(tool))))
    }
}

impl Entry {
    fn of(tool: &Tool<'_>) -> Self {
        let rate = |max| vec![Limit::per_minute(format!("{}_rate", tool.name), max)];
        let limits = match tool.category {
            Category::Read | Category::Financial => Vec::new(),
            Category::Write => rate(WRITES_PER_MINUTE),
            Category::Execute | Category::Destructive => rate(RUNS_PER_MINUTE),
        };
        let require_approval = tool.category == Category::Financial;
        Self { pin: tool.pin.map(|pin| pin.to_string()), limits, require_approval }
    }
}

impl Limit {
    fn per_minute(counter: String, max: u32) -> Self {
        Self { counter, window: "minute", max, scope: "grant" }
    }
}

/// The text of a policy that denies what it does not name: reads pass, writes and what runs something pass so many times
/// a minute, what destroys is hidden, and what moves money needs a person. A tool that cannot be named is left out, and
/// so denied. Of tools that are named alike the riskiest counts, for nobody knows which of them is called. Its
/// description has the name of the `server`, where that is known.
#[must_use]
pub fn policy(server: Option<&str>, tools: &[Tool<'_>]) -> String {
    let (hidden, entries): (Vec<&Tool<'_>>, Vec<&Tool<'_>>) =
        distinct(tools).into_iter().partition(|tool| tool.category == Category::Destructive);
    let limits = vec![Limit::per_minute("all_tools".to_owned(), ALL_PER_MINUTE)];
    let policy = Policy {
        version: "1",
        description: description(server, tools),
        default: "deny",
        hide: hidden.iter().map(|tool| tool.name).collect(),
        all_tools: Entry { pin: None, limits, require_approval: false },
        tools: Entries(entries),
    };
    // Nothing here can fail to be written.
    let text = serde_json::to_string_pretty(&policy).unwrap_or_default();
    format!("{text}\n")
}

/// How many tools there are of each category.
fn description(server: Option<&str>, tools: &[Tool<'_>]) -> String {
    let count = |category| tools.iter().filter(|tool| tool.category == category).count();
    let counts = Category::ALL.map(|category| format!("{} {category}", count(category))).join(", ");
    match server {
        Some(server) => format!("For {server}: {counts}."),
        None => format!("Tools by their risk: {counts}."),
    }
}

/// Each name that can be named once, in order.
fn distinct<'t>(tools: &'t [Tool<'t>]) -> Vec<&'t Tool<'t>> {
    let mut places = BTreeMap::new();
    let mut distinct: Vec<&Tool<'_>> = Vec::with_capacity(tools.len());
    for tool in tools.iter().filter(|tool| can_be_named(tool.name)) {
        let place = *places.entry(tool.name).or_insert(distinct.len());
        match distinct.get_mut(place) {
            Some(other) if other.category < tool.category => *other = tool,
            Some(_) => {}
            None => distinct.push(tool),
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use serde_json::{Value, json};

    #[test]
    fn each_tool_gets_the_rule_of_its_risk() {
        let tool = |name, category| Tool { name, category, pin: None };
        let tools = [
            tool("get_user", Category::Read),
            tool("update_user", Category::Write),
            tool("run_job", Category::Execute),
            tool("delete_user", Category::Destructive),
            tool("pay", Category::Financial),
            tool("odd*name", Category::Read),
        ];
        let text = policy(Some("a server"), &tools);
        assert!(Policy::load("p", &text).is_ok(), "{text}");
        let document: Value = serde_json::from_str(&text).unwrap();
        let counts = "For a server: 2 Read, 1 Write, 1 Execute, 1 Destructive, 1 Financial.";
        assert_eq!(document["description"], counts);
        assert_eq!(document["hide"], json!(["delete_user"]));
        let entries = &document["tools"];
        assert_eq!(entries["get_user"], json!({}));
        assert_eq!(entries["update_user"]["limits"][0]["max"], 30);
        assert_eq!(entries["run_job"]["limits"][0]["max"], 10);
        assert_eq!(entries["pay"], json!({ "require_approval": true }));
        assert_eq!(entries.as_object().map(serde_json::Map::len), Some(4), "what cannot be named is denied");
    }

    #[test]
    fn of_tools_that_are_named_alike_the_riskiest_counts() {
        let tool = |category| Tool { name: "a", category, pin: None };
        for (categories, hide, entries) in [
            ([Category::Read, Category::Destructive, Category::Write], json!(["a"]), json!({})),
            ([Category::Financial, Category::Read, Category::Read], json!([]), json!({ "require_approval": true })),
        ] {
            let text = policy(None, &categories.map(tool));
            assert!(Policy::load("p", &text).is_ok(), "{text}");
            let document: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["hide"], hide);
            assert_eq!(document["tools"].get("a").unwrap_or(&json!({})), &entries, "{text}");
        }
    }

    /// What a server may call its tools cannot make the policy one that is refused, or that says something else.
    #[test]
    fn no_name_spoils_the_policy() {
        let names = [
            "",
            "*",
            "a?",
            "\"},\"default\":\"allow",
            "all_tools",
            "__proto__",
            "\0\u{202e}\n",
            "a/~0",
            "é",
            " \u{3000}",
        ];
        let long = "x".repeat(10_000);
        for category in Category::ALL {
            let tool = |name| Tool { name, category, pin: None };
            let tools: Vec<Tool<'_>> = names.into_iter().chain([long.as_str()]).map(tool).collect();
            let text = policy(Some("\"},\"default\":\"allow"), &tools);
            let problems = Policy::load("p", &text).err().map(|problems| problems.to_string());
            assert_eq!(problems, None, "{text}");
            let document: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(document["default"], "deny");
        }
    }
}
