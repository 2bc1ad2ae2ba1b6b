//! Warnings: what a sound policy says that its author can hardly have meant.
//!
//! Document (and the server's tools, where they are known) → warnings, each with its pointer. Never part of
//! a decision, and nothing here refuses a policy: every warning may be meant as it stands.

mod arguments;
mod order;
mod schema;
mod tools;

pub use tools::{Tool, ToolList};

use super::pattern::Pattern;
use super::pin::Pin;
use super::problem::{Pointer, Problems, did_you_mean};
use crate::wire::value::Value;

/// Lists of rules, in the order in which they are asked.
const RULES: [&str; 3] = ["require", "deny_if", "require_approval"];

/// Every warning about the policy `document` that stands at `at`. The document must be one that
/// [`Policy::compile`](super::Policy::compile) takes; of another one, what cannot be read is passed over.
#[must_use]
pub fn lint(document: &Value, at: &Pointer, tools: Option<&ToolList>) -> Problems {
    let mut warnings = Problems::default();
    let names = Names::read(document, "tools", at);
    names.hidden_entries(&mut warnings);
    for section in ["prompts", "resources"] {
        if let Some(within) = document.get(section) {
            Names::read(within, "items", &at.child(section)).hidden_entries(&mut warnings);
        }
    }
    order::lint(document, at, &mut warnings);
    if let Some(list) = tools {
        let nearest: Vec<Option<usize>> = list.tools.iter().map(|tool| names.nearest(&tool.name)).collect();
        names.unknown(&list.tools, &nearest, &mut warnings);
        names.pins(&list.tools, &mut warnings);
        for (index, (_, entry, at)) in names.entries.iter().enumerate() {
            arguments::lint(entry, at, names.judged(Some(index), &list.tools, &nearest), &mut warnings);
        }
        if let Some(all_tools) = document.get("all_tools") {
            let judged = names.judged(None, &list.tools, &nearest);
            arguments::lint(all_tools, &at.child("all_tools"), judged, &mut warnings);
        }
    }
    warnings
}

/// The names and patterns that a policy lists, of tools or in a section of its own.
struct Names<'d> {
    hide: Vec<(Pattern, Pointer)>,
    entries: Vec<(Pattern, &'d Value, Pointer)>,
    is_default_deny: bool,
}

impl<'d> Names<'d> {
    fn read(document: &'d Value, items: &'static str, at: &Pointer) -> Self {
        let hide_at = at.child("hide");
        let hide = elements(document, "hide").enumerate().filter_map(|(index, name)| match name {
            Value::String(name) => Some((Pattern::new(name), hide_at.child(index))),
            _ => None,
        });
        let items_at = at.child(items);
        let entries = match document.get(items) {
            Some(Value::Object(members)) => members.as_slice(),
            _ => &[],
        };
        Self {
            hide: hide.collect(),
            entries: entries.iter().map(|(name, value)| (Pattern::new(name), value, items_at.child(name))).collect(),
            is_default_deny: document.text("default") == Some("deny"),
        }
    }

    /// The entry that applies to `tool`.
    fn nearest(&self, tool: &str) -> Option<usize> {
        let fitting = self.entries.iter().enumerate().filter(|(_, (pattern, ..))| pattern.matches(tool));
        let nearest = fitting.min_by_key(|(_, (pattern, ..))| (!pattern.is_exact(), pattern.precedence()));
        nearest.map(|(index, _)| index)
    }

    fn hides(&self, tool: &str) -> bool {
        self.hide.iter().any(|(pattern, _)| pattern.matches(tool))
    }

    /// Entries whose tools are all hidden.
    fn hidden_entries(&self, warnings: &mut Problems) {
        for (entry, _, at) in &self.entries {
            if let Some((_, hide)) = self.hide.iter().find(|(hide, _)| hide.covers(entry)) {
                warnings.add(at, format!("this entry never applies: {hide} hides what it names"));
            }
        }
    }

    /// Names and patterns that stand for no tool. `nearest`: the entry that applies to each tool.
    fn unknown(&self, tools: &[Tool], nearest: &[Option<usize>], warnings: &mut Problems) {
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let unknown = |pattern: &Pattern| {
            if names.iter().any(|name| pattern.matches(name)) {
                return None;
            }
            let text = Value::String(pattern.as_str().to_owned());
            if !pattern.is_exact() {
                return Some(format!("no tool has a name that fits {text}"));
            }
            Some(format!("no tool is named {text}{}", did_you_mean(pattern.as_str(), &names)))
        };
        for (pattern, at) in &self.hide {
            unknown(pattern).into_iter().for_each(|message| warnings.add(at, message));
        }
        for (index, (pattern, _, at)) in self.entries.iter().enumerate() {
            if let Some(message) = unknown(pattern) {
                warnings.add(at, message);
            } else if !nearest.contains(&Some(index)) {
                warnings.add(at, "this entry never applies: each tool that it fits has a nearer entry");
            }
        }
    }

    /// Pins of another definition than the tool has.
    fn pins(&self, tools: &[Tool], warnings: &mut Problems) {
        for (entry, value, at) in &self.entries {
            let Some(pin) = value.text("pin").and_then(Pin::parse) else { continue };
            for tool in tools.iter().filter(|tool| tool.name == entry.as_str() && tool.pin != Some(pin)) {
                let now = match tool.pin {
                    Some(now) => format!("the definition is now {now}"),
                    None => "the definition has no single reading".to_owned(),
                };
                warnings.add(&at.child("pin"), format!("the tool has changed since it was approved: {now}"));
            }
        }
    }

    /// The tools that the entry's rules are asked about; all that can be called for `None`.
    fn judged<'t>(&self, entry: Option<usize>, tools: &'t [Tool], nearest: &[Option<usize>]) -> Vec<&'t Tool> {
        let is_judged = |(tool, nearest): &(&Tool, &Option<usize>)| {
            let is_listed = nearest.is_some() || !self.is_default_deny;
            is_listed && (entry.is_none() || **nearest == entry) && !self.hides(&tool.name)
        };
        tools.iter().zip(nearest).filter(is_judged).map(|(tool, _)| tool).collect()
    }
}

impl Value {
    fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(member, _)| member == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Self::String(text)) => Some(text),
            _ => None,
        }
    }
}

/// The elements of the list `name`; none where there is no such list.
fn elements<'d>(value: &'d Value, name: &str) -> impl Iterator<Item = &'d Value> + use<'d> {
    let elements = match value.get(name) {
        Some(Value::Array(elements)) => elements.as_slice(),
        _ => &[],
    };
    elements.iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(policy: &str, tools: Option<&str>) -> Vec<String> {
        let value = Value::parse(policy).unwrap();
        let mut problems = Problems::default();
        super::super::Policy::compile("test", &value, &Pointer::root(), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        let tools = tools.map(|tools| ToolList::parse(tools.as_bytes()).unwrap());
        lint(&value, &Pointer::root(), tools.as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_that_can_never_apply_are_named() {
        let always = r#"{"id":"no","conditions":[]}"#;
        let rule = r#"{"path":"args.a","op":"exists"}"#;
        let limit = r#"{"counter":"c","window":"day","max":1}"#;
        let none = r#"{"counter":"n","window":"day","max":0.0}"#;
        for (members, expected) in [
            (format!(r#""tools":{{"a":{{"deny_if":[{rule},{always}],"limits":[{limit}]}}}}"#),
                vec!["/tools/a/limits/0: this never applies: /tools/a/deny_if/1 always refuses first"]),
            (format!(r#""tools":{{"a":{{"deny_if":[{always},{rule}],"require":[{rule}],"require_approval":true,"rate_limit":"1/day"}}}}"#),
                vec!["/tools/a/deny_if/1: this never applies: /tools/a/deny_if/0 always refuses first",
                    "/tools/a/require_approval: this never applies: /tools/a/deny_if/0 always refuses first",
                    "/tools/a/rate_limit: this never applies: /tools/a/deny_if/0 always refuses first"]),
            (format!(r#""tools":{{"a":{{"mode":"shadow","deny_if":[{always},{rule}]}}}}"#), vec![]),
            (r#""tools":{"a":{"deny_if":[{"conditions":[],"mode":"shadow"},{"conditions":[]}]}}"#.to_owned(), vec![]),
            (format!(r#""tools":{{"a":{{"limits":[{none},{limit}]}}}}"#),
                vec!["/tools/a/limits/1: this never applies: /tools/a/limits/0 always refuses first"]),
            (r#""tools":{"a":{"limits":[{"counter":"n","window":"day","max":0,"increment":0},{"counter":"c","window":"day","max":1}]}}"#.to_owned(), vec![]),
            (format!(r#""all_tools":{{"deny_if":[{always}],"limits":[{limit}]}},"tools":{{"a":{{"deny_if":[{rule}],"limits":[{limit}],"action":"require_approval"}}}}"#),
                vec!["/all_tools/limits/0: this never applies: /all_tools/deny_if/0 always refuses first",
                    "/tools/a/action: this never applies: /all_tools/deny_if/0 always refuses first",
                    "/tools/a/limits/0: this never applies: /all_tools/deny_if/0 always refuses first"]),
            (format!(r#""tools":{{"a":{{"action":"require_approval","require_approval":[{rule}]}},"b":{{"require_approval":[{always},{rule}]}}}}"#),
                vec!["/tools/a/require_approval/0: this never applies: /tools/a/action always asks for approval first",
                    "/tools/b/require_approval/1: this never applies: /tools/b/require_approval/0 always asks for approval first"]),
            (r#""prompts":{"hide":["p*"],"items":{"q":{"deny_if":[{"conditions":[]}],"rate_limit":"1/day"},"pq":{}}},
                "resources":{"hide":["a:*"],"items":{"a:b":{},"*":{}}}"#.to_owned(),
                vec!["/prompts/items/pq: this entry never applies: /prompts/hide/0 hides what it names",
                    "/resources/items/a:b: this entry never applies: /resources/hide/0 hides what it names",
                    "/prompts/items/q/rate_limit: this never applies: /prompts/items/q/deny_if/0 always refuses first"]),
            (r#""hide":["a","d*","x?"],"tools":{"a":{},"del":{},"del_*":{},"x*":{},"xy":{},"b":{}}"#.to_owned(),
                vec!["/tools/a: this entry never applies: /hide/0 hides what it names",
                    "/tools/del: this entry never applies: /hide/1 hides what it names",
                    "/tools/del_*: this entry never applies: /hide/1 hides what it names",
                    "/tools/xy: this entry never applies: /hide/2 hides what it names"]),
        ] {
            let policy = format!(r#"{{"version":"1","default":"deny",{members}}}"#);
            assert_eq!(warnings(&policy, None), expected, "{policy}");
        }
    }

    const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[
        {"name":"send_mail","inputSchema":{"type":"object","properties":{"to":{"type":"array","items":{"type":"string"}},
            "subject":{"type":"string"},"priority":{"type":"integer"}}}},
        {"name":"send_sms","inputSchema":{"type":"object","properties":{"to":{"type":"string"},"text":{"type":"string"}}}},
        {"name":"get_user"},
        {"name":"drop_table","inputSchema":{"type":"object","properties":{}}}]}}"#;

    #[test]
    fn names_and_patterns_without_a_tool_are_named() {
        let policy = r#"{"version":"1","default":"deny","hide":["drop_*","drop_tabel","none?"],
            "tools":{"send_mial":{},"list_*":{},"get_*":{},"get_user*":{},"get_user":{},"anything":{}}}"#;
        assert_eq!(
            warnings(policy, Some(TOOLS)),
            [
                r#"/hide/1: no tool is named "drop_tabel"; did you mean "drop_table"?"#,
                r#"/hide/2: no tool has a name that fits "none?""#,
                r#"/tools/send_mial: no tool is named "send_mial"; did you mean "send_mail"?"#,
                r#"/tools/list_*: no tool has a name that fits "list_*""#,
                "/tools/get_*: this entry never applies: each tool that it fits has a nearer entry",
                "/tools/get_user*: this entry never applies: each tool that it fits has a nearer entry",
                r#"/tools/anything: no tool is named "anything""#,
            ]
        );
    }

    #[test]
    fn a_pin_that_is_not_the_tools_tells_the_one_it_has() {
        let tools = r#"[{"name":"a","title":"A"},{"name":"b"},{"name":"c","inputSchema":{"x":1,"X":2}}]"#;
        let now = "sha256:5076a4785831a92b389301bf5d96571148f52dc5223a103f459c9da73181c869";
        let policy = |pin: &str| {
            let zeros = "0".repeat(64);
            format!(
                r#"{{"version":"1","default":"deny",
                "tools":{{"a":{{"pin":"{pin}"}},"c":{{"pin":"sha256:{zeros}"}},"d":{{"pin":"sha256:{zeros}"}}}}}}"#
            )
        };
        let unread = "/tools/c/pin: the tool has changed since it was approved: the definition has no single reading";
        let unknown = "/tools/d: no tool is named \"d\"; did you mean \"a\"?";
        assert_eq!(warnings(&policy(now), Some(tools)), [unknown, unread]);
        let changed = format!("/tools/a/pin: the tool has changed since it was approved: the definition is now {now}");
        let other = format!("sha256:{}", "1".repeat(64));
        assert_eq!(warnings(&policy(&other), Some(tools)), [unknown.to_owned(), changed, unread.to_owned()]);
    }

    #[test]
    fn paths_and_operators_are_held_against_what_tools_take() {
        let policy = r#"{"version":"1","default":"deny","tools":{
            "send_mail":{
                "require":[{"path":"args.sbject","op":"exists"},{"path":"args.subject","op":"gt","value":1}],
                "deny_if":[{"conditions":[{"any":[{"not":{"path":"args.to","op":"ends_with","value":"x"}},
                    {"path":"args.to[*]","op":"ends_with","value":"x"}]},
                    {"path":"args.priority","op":"contains","value":"1"},
                    {"path":"args.to","op":"contains","value":"1"},
                    {"path":"header.x","op":"gt","value":1}]}],
                "limits":[{"counter":"a","window":"day","max":1,"increment_from":"args.subject"},
                    {"counter":"b","window":"day","max":1,"increment_from":"args.cost"},
                    {"counter":"c","window":"day","max":1,"increment_from":"args.priority"}]},
            "send_*":{"deny_if":[{"path":"args.text","op":"regex","value":"x"},{"path":"args.subject","op":"exists"}]},
            "get_user":{"deny_if":[{"path":"args.any","op":"gt","value":1}]}},
            "all_tools":{"deny_if":[{"path":"args.text","op":"gt","value":1},{"path":"args.to","op":"gt","value":1}]}}"#;
        assert_eq!(
            warnings(policy, Some(TOOLS)),
            [
                r#"/tools/send_mail/require/0/path: the inputSchema of "send_mail" has no "args.sbject"; did you mean "subject"?"#,
                r#"/tools/send_mail/require/1/op: operator "gt" can never judge "args.subject", which is string in the inputSchema of "send_mail""#,
                r#"/tools/send_mail/deny_if/0/conditions/0/any/0/not/op: operator "ends_with" can never judge "args.to", which is array in the inputSchema of "send_mail""#,
                r#"/tools/send_mail/deny_if/0/conditions/1/op: operator "contains" can never judge "args.priority", which is number in the inputSchema of "send_mail""#,
                r#"/tools/send_mail/limits/0/increment_from: no amount: "args.subject" is string in the inputSchema of "send_mail""#,
                r#"/tools/send_mail/limits/1/increment_from: the inputSchema of "send_mail" has no "args.cost""#,
                r#"/tools/send_*/deny_if/1/path: the inputSchema of "send_sms" has no "args.subject""#,
            ]
        );
        let closed = r#"{"version":"1","default":"deny","tools":{"send_*":{}},
            "all_tools":{"deny_if":[{"path":"args.to","op":"gt","value":1},{"path":"args.cost","op":"exists"}]}}"#;
        assert_eq!(
            warnings(closed, Some(TOOLS)),
            [
                r#"/all_tools/deny_if/0/op: operator "gt" can never judge "args.to", which is string or array in the inputSchema of each of the 2 tools that it is asked about"#,
                r#"/all_tools/deny_if/1/path: the inputSchema of each of the 2 tools that it is asked about has no "args.cost""#,
            ]
        );
    }
}
