//! A policy to begin with: for each tool of a server the rule that is recommended for its risk.

use crate::policy::Pin;
use crate::risk::Category;
use serde::{Serialize, Serializer};

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

/// Whether a policy can name it: there a `*` and a `?` stand for other characters.
#[must_use]
pub fn can_be_named(tool: &str) -> bool {
    !tool.is_empty() && !tool.contains(['*', '?'])
}

#[derive(Serialize)]
struct Policy<'a> {
    version: &'static str,
    description: &'a str,
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
/// so denied.
#[must_use]
pub fn policy(description: &str, tools: &[Tool<'_>]) -> String {
    let named = tools.iter().filter(|tool| can_be_named(tool.name));
    let (hidden, entries): (Vec<&Tool<'_>>, Vec<&Tool<'_>>) =
        named.partition(|tool| tool.category == Category::Destructive);
    let limits = vec![Limit::per_minute("all_tools".to_owned(), ALL_PER_MINUTE)];
    let policy = Policy {
        version: "1",
        description,
        default: "deny",
        hide: hidden.iter().map(|tool| tool.name).collect(),
        all_tools: Entry { pin: None, limits, require_approval: false },
        tools: Entries(entries),
    };
    // Nothing here can fail to be written.
    let text = serde_json::to_string_pretty(&policy).unwrap_or_default();
    format!("{text}\n")
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
        let text = policy("A server.", &tools);
        assert!(Policy::load("p", &text).is_ok(), "{text}");
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["hide"], json!(["delete_user"]));
        let entries = &document["tools"];
        assert_eq!(entries["get_user"], json!({}));
        assert_eq!(entries["update_user"]["limits"][0]["max"], 30);
        assert_eq!(entries["run_job"]["limits"][0]["max"], 10);
        assert_eq!(entries["pay"], json!({ "require_approval": true }));
        assert_eq!(entries.as_object().map(serde_json::Map::len), Some(4), "what cannot be named is denied");
    }
}
