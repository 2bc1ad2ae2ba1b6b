//! From the permissions of Claude Code: which tools of one server pass, which do not, and about which a person is
//! asked.

use super::{Conversion, finish, object, quoted, text};
use crate::policy::{Fields, Pattern, Pointer, Problems};
use crate::wire::value::Value;

/// What an entry begins with that is about an MCP server.
const MCP: &str = "mcp__";
/// What stands between the server and the tool.
const BETWEEN: &str = "__";

/// What a list says of a tool; the later wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    Allow,
    Ask,
    Deny,
}

/// An entry about an MCP server: what stands behind `mcp__`.
struct Entry<'v> {
    list: List,
    text: &'v str,
    at: Pointer,
}

/// An entry about the server of the policy. Without a tool it is about all of them.
struct Rule<'v> {
    list: List,
    tool: Option<&'v str>,
}

/// Converts the `permissions` of a settings file, those about `server`; without one, about the only one that they name.
///
/// # Errors
/// Every problem of it, and each entry that a policy cannot keep as strictly.
pub fn claude_code(settings: &str, server: Option<&str>) -> Result<Conversion, Problems> {
    let (mut problems, mut notes) = (Problems::default(), Problems::default());
    let value = match Value::parse(settings) {
        Ok(value) => value,
        Err(error) => {
            problems.add(&Pointer::root(), error.to_string());
            return Err(problems);
        }
    };
    let entries = read(&value, &mut problems, &mut notes);
    let server = if problems.is_empty() { choose(&entries, server, &mut problems) } else { None };
    let policy = server.map(|server| {
        let rules: Vec<Rule<'_>> =
            entries.iter().filter_map(|entry| entry.rule(&server, &mut problems, &mut notes)).collect();
        write(&server, &rules, &mut notes)
    });
    finish(policy, problems, notes)
}

/// The entries about MCP servers, in the order of the document.
fn read<'v>(value: &'v Value, problems: &mut Problems, notes: &mut Problems) -> Vec<Entry<'v>> {
    let root = Pointer::root();
    let Some(mut settings) = Fields::of(value, &root, problems) else { return Vec::new() };
    settings.require("permissions", problems);
    if let Value::Object(members) = value {
        let others: Vec<&str> = members
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !["permissions", "$schema"].contains(name))
            .collect();
        if !others.is_empty() {
            notes.add(&root, format!("not converted, because it is no permission: {}", others.join(", ")));
        }
    }
    let Some((permissions, at)) = settings.take("permissions") else { return Vec::new() };
    let Some(mut fields) = Fields::of(permissions, &at, problems) else { return Vec::new() };
    let mut entries = Vec::new();
    for (list, name) in [(List::Allow, "allow"), (List::Ask, "ask"), (List::Deny, "deny")] {
        for (value, at) in fields.list(name, problems) {
            match value {
                Value::String(text) => match text.trim().strip_prefix(MCP) {
                    Some(text) => entries.push(Entry { list, text, at }),
                    None => notes.add(&at, format!("not converted, because it is no tool of an MCP server: {value}")),
                },
                other => problems.add(&at, format!("entry must be a string, got {other}")),
            }
        }
    }
    for name in ["defaultMode", "additionalDirectories", "disableBypassPermissionsMode"] {
        if let Some((value, at)) = fields.take(name) {
            notes.add(&at, format!("not converted: {value}"));
        }
    }
    fields.finish(problems);
    entries
}

/// The server that the policy is for.
fn choose(entries: &[Entry<'_>], server: Option<&str>, problems: &mut Problems) -> Option<String> {
    let mut named: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.text.split(BETWEEN).next())
        .filter(|name| !name.contains('*'))
        .collect();
    named.sort_unstable();
    named.dedup();
    let is_named = |server: &str| entries.iter().any(|entry| entry.of(server).is_some());
    match (server, named.as_slice()) {
        (Some(server), _) if is_named(server) => Some(server.to_owned()),
        (None, [server]) => Some((*server).to_owned()),
        (Some(server), _) => {
            let named = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
            problems.add(&Pointer::root(), format!("no entry names the server {}; named are: {named}", quoted(server)));
            None
        }
        (None, []) => {
            problems.add(&Pointer::root(), "no entry names a tool of an MCP server");
            None
        }
        (None, several) => {
            let message = format!("a policy is for one server; choose one by --server: {}", several.join(", "));
            problems.add(&Pointer::root(), message);
            None
        }
    }
}

impl<'v> Entry<'v> {
    /// What it says of this server: a tool, or an empty text for all.
    fn of(&self, server: &str) -> Option<&'v str> {
        let rest = self.text.strip_prefix(server)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix(BETWEEN) }
    }

    fn rule(&self, server: &str, problems: &mut Problems, notes: &mut Problems) -> Option<Rule<'v>> {
        let Self { list, text, at } = self;
        let is_allow = *list == List::Allow;
        let shown = quoted(&format!("{MCP}{text}"));
        let Some(tool) = self.of(server) else {
            if text.split(BETWEEN).next().is_some_and(|name| name.contains('*')) && !is_allow {
                problems.add(at, format!("names servers by a pattern: {shown}; name the tools of this one"));
            } else {
                notes.add(at, format!("not converted, because it is of another server: {shown}"));
            }
            return None;
        };
        if *text == server || tool == "*" {
            return Some(Rule { list: *list, tool: None });
        }
        let (name, detail) = tool.split_once('(').map_or((tool, None), |(name, detail)| (name, Some(detail)));
        match (is_allow, detail) {
            _ if name.is_empty() => {
                problems.add(at, format!("names no tool: {shown}"));
                return None;
            }
            (true, Some(_)) => {
                notes.add(at, format!("left out, so that more is refused: it allows only some calls: {shown}"));
                return None;
            }
            (true, None) if name.contains(['*', '?']) => {
                notes.add(at, format!("left out, so that more is refused: it allows by a pattern: {shown}"));
                return None;
            }
            (false, Some(_)) => notes.add(at, format!("is for every call of the tool here: {shown}")),
            _ => {}
        }
        Some(Rule { list: *list, tool: Some(name) })
    }
}

fn write(server: &str, rules: &[Rule<'_>], notes: &mut Problems) -> Value {
    let says_of_all = |list| rules.iter().any(|rule| rule.list == list && rule.tool.is_none());
    let (allows_all, asks_all, denies_all) =
        (says_of_all(List::Allow), says_of_all(List::Ask), says_of_all(List::Deny));
    let named = |list| rules.iter().filter(move |rule| rule.list == list).filter_map(|rule| rule.tool);
    let mut members = vec![
        ("version", text("1")),
        ("description", Value::String(format!("The permissions of Claude Code for the server {server}."))),
        ("default", text(if allows_all || asks_all { "allow" } else { "deny" })),
    ];
    let mut hide: Vec<&str> = if denies_all { vec!["*"] } else { Vec::new() };
    for tool in named(List::Deny) {
        if !hide.contains(&tool) {
            hide.push(tool);
        }
    }
    if !hide.is_empty() {
        members.push(("hide", Value::Array(hide.iter().map(|tool| text(tool)).collect())));
    }
    if asks_all {
        members.push(("all_tools", object(vec![("require_approval", Value::Bool(true))])));
        return object(members);
    }
    if !allows_all && !denies_all {
        let place = Pointer::root().child("permissions");
        notes.add(&place, "a tool that no entry names is refused; Claude Code asks");
    }
    let asks = |tool: &str| named(List::Ask).any(|pattern| Pattern::new(pattern).matches(tool));
    let mut tools: Vec<(&str, Value)> = Vec::new();
    for tool in named(List::Allow).chain(named(List::Ask)) {
        // An entry that is hidden never applies.
        let is_hidden = hide.iter().any(|pattern| Pattern::new(pattern).matches(tool));
        if is_hidden || tools.iter().any(|(name, _)| *name == tool) {
            continue;
        }
        let action = asks(tool).then(|| ("action", text("require_approval")));
        tools.push((tool, object(action.into_iter().collect())));
    }
    if !tools.is_empty() {
        members.push(("tools", object(tools)));
    }
    object(members)
}
