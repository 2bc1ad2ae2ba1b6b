//! From Intercept's YAML: the grammar as Intercept's validation has it, read to the end, with every problem noted.

mod condition;
mod write;

use super::yaml::{self, Members, Node};
use super::{Conversion, finish, quoted};
use crate::policy::{Pointer, Problems};
use crate::wire::value::Value;
use condition::{Condition, arguments_path, read_conditions};

/// The key of rules that apply to every tool.
const EVERY_TOOL: &str = "*";
/// What stands for that key in the names of its counters.
const EVERY_TOOLS_COUNTERS: &str = "_global";
const EXACT_AMOUNTS: &str =
    "counted exactly, and refused below 0; Intercept cuts amounts to integers and adds negative ones";
/// What a policy has nothing for, and what would let more through if it were left out.
const LATER_MEMBERS: [(&str, &str); 2] = [
    ("idempotency_window", "a policy cannot keep a repeated call from running again"),
    ("spend", "a policy does not see the price in a payment challenge; limit an amount from the arguments instead"),
];

/// Converts a document of Intercept, version 1.
///
/// # Errors
/// Every problem of it: what is not Intercept's grammar, and what a policy cannot say as strictly.
pub fn intercept(text: &str) -> Result<Conversion, Problems> {
    let (mut problems, mut notes) = (Problems::default(), Problems::default());
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(error) => {
            problems.add(&Pointer::root(), error);
            return Err(problems);
        }
    };
    if document.comments > 0 {
        let comments =
            if document.comments == 1 { "1 comment is" } else { &format!("{} comments are", document.comments) };
        notes.add(&Pointer::root(), format!("{comments} not kept: JSON has none"));
    }
    let read = Document::read(&document.root, &mut problems, &mut notes);
    // What hangs together is looked at when each part is right.
    let read = read.filter(|_| problems.is_empty());
    let policy = read.map(|document| document.write(&mut problems, &mut notes));
    finish(policy, problems, notes)
}

/// A document as its author wrote it.
#[derive(Debug)]
struct Document {
    description: Option<String>,
    is_default_deny: bool,
    hide: Vec<String>,
    every_tool: Option<Tool>,
    tools: Vec<Tool>,
}

#[derive(Debug)]
struct Tool {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: Option<String>,
    on_deny: Option<String>,
    does: Does,
    at: Pointer,
}

#[derive(Debug)]
enum Does {
    Deny,
    /// All conditions must hold; and what the rule counts.
    Evaluate(Vec<Condition>, Option<Count>),
    /// `"N/window"`: N, in its own digits.
    Rate(String, Window),
    /// What triggers it, and seconds.
    Approve(Vec<Condition>, Option<u64>),
}

/// `state`: what a rule counts.
#[derive(Debug)]
struct Count {
    counter: String,
    window: Window,
    amount: Amount,
    at: Pointer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Amount {
    Fixed(u64),
    /// A path as a policy writes it.
    Argument(String),
}

type Window = &'static str;

impl Document {
    fn read(node: &Node, problems: &mut Problems, notes: &mut Problems) -> Option<Self> {
        let mut members = Members::of(node, &Pointer::root(), problems)?;
        match members.text("version", problems) {
            Some("1") => {}
            Some(other) => {
                let at = members.at.child("version");
                problems.add(&at, format!("version must be \"1\", got {}", quoted(other)));
            }
            None if members.has("version") => {}
            None => problems.add(&members.at, "version is required, and must be \"1\""),
        }
        let description = members.text("description", problems).map(str::to_owned);
        let is_default_deny = match members.text("default", problems) {
            None | Some("" | "allow") => false,
            Some("deny") => true,
            Some(other) => {
                let at = members.at.child("default");
                problems.add(&at, format!("default must be \"allow\" or \"deny\", got {}", quoted(other)));
                true
            }
        };
        let hide = read_hide(&mut members, problems, notes);
        let (mut every_tool, mut tools) = (None, Vec::new());
        if let Some((node, at)) = members.take("tools")
            && let Some(entries) = Members::of(node, &at, problems)
        {
            for (name, node, at) in entries.each() {
                let Some(tool) = Tool::read(name, node, &at, problems, notes) else { continue };
                if name == EVERY_TOOL { every_tool = Some(tool) } else { tools.push(tool) }
            }
        }
        if let Some((_, at)) = members.take("approvals") {
            let how = "say in the plugin's configuration who is told (`approvals.notify`)";
            notes.add(&at, format!("left out: a policy does not say who is told of an approval; {how}"));
        }
        refuse_later(&mut members, problems);
        members.finish(problems);
        Some(Self { description, is_default_deny, hide, every_tool, tools })
    }
}

fn read_hide(members: &mut Members<'_>, problems: &mut Problems, notes: &mut Problems) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (node, at) in members.list("hide", problems) {
        match node {
            Node::Scalar { text, .. } if text.trim().is_empty() || node.is_null() => {
                problems.add(&at, "entry must not be empty");
            }
            Node::Scalar { text, .. } if names.contains(text) => {
                problems.add(&at, format!("duplicate entry {}", quoted(text)));
            }
            Node::Scalar { text, .. } => {
                if text != EVERY_TOOL && text.contains(['*', '?']) {
                    notes.add(&at, format!("hides every tool that fits {}; to Intercept it is one name", quoted(text)));
                }
                names.push(text.clone());
            }
            other => problems.add(&at, format!("entry must be a tool name, got {}", other.shown())),
        }
    }
    names
}

/// What later versions of Intercept have, and a policy has not.
fn refuse_later(members: &mut Members<'_>, problems: &mut Problems) {
    for (name, why) in LATER_MEMBERS {
        if let Some((_, at)) = members.take(name) {
            problems.add(&at, format!("{name} cannot be converted: {why}"));
        }
    }
}

impl Tool {
    fn read(name: &str, node: &Node, at: &Pointer, problems: &mut Problems, notes: &mut Problems) -> Option<Self> {
        if name.is_empty() {
            problems.add(at, "tool name must not be empty");
        } else if name != EVERY_TOOL && name.contains(['*', '?']) {
            problems.add(at, "a policy would take this name for a pattern, and it is one name to Intercept");
        }
        if name == EVERY_TOOLS_COUNTERS {
            problems.add(at, "its counters are those of every tool to Intercept");
        }
        let mut members = Members::of(node, at, problems)?;
        let mut rules = Vec::new();
        for (node, at) in members.list("rules", problems) {
            rules.extend(Rule::read(node, &at, problems, notes));
        }
        refuse_later(&mut members, problems);
        members.finish(problems);
        Some(Self { name: name.to_owned(), rules })
    }

    /// What the names of its counters begin with.
    fn prefix(&self) -> &str {
        if self.name == EVERY_TOOL { EVERY_TOOLS_COUNTERS } else { &self.name }
    }
}

impl Rule {
    fn read(node: &Node, at: &Pointer, problems: &mut Problems, notes: &mut Problems) -> Option<Self> {
        let mut members = Members::of(node, at, problems)?;
        let name = members.text("name", problems).filter(|name| !name.is_empty()).map(str::to_owned);
        if name.is_none() && !members.has("rate_limit") {
            problems.add(at, "name is required");
        }
        let on_deny = members.text("on_deny", problems).filter(|words| !words.is_empty()).map(str::to_owned);
        let action = members.text("action", problems).unwrap_or("evaluate");
        let has_conditions = members.has("conditions");
        let conditions = read_conditions(&mut members, problems, notes);
        let count = Count::read(&mut members, problems, notes);
        let rate = read_rate(&mut members, problems);
        let timeout = read_timeout(&mut members, problems);
        if action != "require_approval" && members.has("approval_timeout") {
            problems.add(at, "approval_timeout needs action \"require_approval\"");
        }
        // What may not stand beside what.
        let excluded: &[&str] = match action {
            "deny" => &["conditions", "state", "rate_limit"],
            "require_approval" => &["state", "rate_limit"],
            _ if members.has("rate_limit") => &["conditions", "state"],
            _ => &[],
        };
        let owner = match action {
            "deny" | "require_approval" => format!("action {}", quoted(action)),
            _ => "rate_limit".to_owned(),
        };
        for member in excluded.iter().filter(|member| members.has(member)) {
            problems.add(at, format!("{member} cannot be used with {owner}"));
        }
        let does = match action {
            "" | "evaluate" if members.has("rate_limit") => rate.map(|(count, window)| Does::Rate(count, window)),
            "" | "evaluate" => {
                if !has_conditions || conditions.as_ref().is_some_and(Vec::is_empty) {
                    problems.add(at, "action \"evaluate\" needs at least one condition");
                }
                conditions.map(|conditions| Does::Evaluate(conditions, count))
            }
            "deny" => Some(Does::Deny),
            "require_approval" => conditions.map(|conditions| Does::Approve(conditions, timeout)),
            other => {
                let allowed = "\"evaluate\", \"deny\" or \"require_approval\"";
                problems.add(&at.child("action"), format!("action must be {allowed}, got {}", quoted(other)));
                None
            }
        };
        refuse_later(&mut members, problems);
        members.finish(problems);
        Some(Self { name, on_deny, does: does?, at: at.clone() })
    }
}

/// `rate_limit: "N/window"`.
fn read_rate(members: &mut Members<'_>, problems: &mut Problems) -> Option<(String, Window)> {
    let text = members.text("rate_limit", problems)?;
    let at = members.at.child("rate_limit");
    let Some((count, window)) = text.split_once('/') else {
        problems.add(&at, format!("rate_limit must be \"N/window\", got {}", quoted(text)));
        return None;
    };
    let digits = count.trim_start_matches('0');
    let is_count = count.bytes().all(|byte| byte.is_ascii_digit()) && (1..=15).contains(&digits.len());
    if !is_count {
        problems.add(&at, format!("rate_limit count must be a positive integer, got {}", quoted(count)));
    }
    let window = read_window(window, "rate_limit window", &at, problems);
    Some((digits.to_owned(), window?)).filter(|_| is_count)
}

fn read_window(text: &str, what: &str, at: &Pointer, problems: &mut Problems) -> Option<Window> {
    let window = ["minute", "hour", "day"].into_iter().find(|window| *window == text);
    if window.is_none() {
        problems.add(at, format!("{what} must be minute, hour or day, got {}", quoted(text)));
    }
    window
}

/// `approval_timeout`, a duration as Go writes it: `30m`, `1h30m`.
fn read_timeout(members: &mut Members<'_>, problems: &mut Problems) -> Option<u64> {
    const MOST: u64 = 2_678_400;
    let text = members.text("approval_timeout", problems)?;
    let (mut rest, mut total) = (text, Some(0_u64));
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let unit = [("h", 3600), ("m", 60), ("s", 1)].into_iter().find(|(unit, _)| after.starts_with(unit));
        let part = digits.parse::<u64>().ok().zip(unit).and_then(|(count, (_, seconds))| count.checked_mul(seconds));
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
        rest = if total.is_some() { after.get(1..).unwrap_or_default() } else { "" };
    }
    let total = total.filter(|seconds| (1..=MOST).contains(seconds));
    if total.is_none() {
        let at = members.at.child("approval_timeout");
        let allowed = "whole seconds from 1s to 744h, such as \"30m\"";
        problems.add(&at, format!("approval_timeout must be {allowed}, got {}", quoted(text)));
    }
    total
}

impl Count {
    fn read(members: &mut Members<'_>, problems: &mut Problems, notes: &mut Problems) -> Option<Self> {
        let (node, at) = members.take("state")?;
        let mut members = Members::of(node, &at, problems)?;
        let counter = members.text("counter", problems).unwrap_or_default();
        if counter.is_empty() {
            problems.add(&at, "counter must not be empty");
        }
        let window = read_window(members.text("window", problems).unwrap_or_default(), "window", &at, problems);
        let increment = members.take("increment");
        let from = members.text("increment_from", problems).filter(|path| !path.is_empty());
        let amount = match (from, increment) {
            (Some(path), increment) => {
                let from_at = at.child("increment_from");
                if let Some((_, at)) = increment {
                    notes.add(&at, "left out: increment_from wins over it");
                }
                notes.add(&from_at, EXACT_AMOUNTS);
                match path.strip_prefix("args.") {
                    Some(_) => arguments_path(path, &from_at, problems, notes).map(Amount::Argument),
                    None => {
                        let message = format!("increment_from must start with \"args.\", got {}", quoted(path));
                        problems.add(&from_at, message);
                        None
                    }
                }
            }
            (None, None) => Some(Amount::Fixed(1)),
            (None, Some((node, at))) => {
                let value = node.value().ok();
                let count = if let Some(Value::Number(digits)) = &value { digits.parse().ok() } else { None };
                // Go takes 0 for nothing said.
                let count = count.filter(|count| (1..=1_000_000_000_000).contains(count));
                if count.is_none() {
                    problems.add(&at, format!("increment must be an integer of at least 1, got {}", node.shown()));
                }
                count.map(Amount::Fixed)
            }
        };
        members.finish(problems);
        Some(Self { counter: counter.to_owned(), window: window?, amount: amount?, at })
    }
}
