//! The policy document exactly as written: [`Value`] → [`Document`], noting every problem on the way.

use super::fields::Fields;
use super::pattern::Pattern;
use super::problem::{Pointer, Problems};
use super::rules::{List, Rule, read_rules};
use super::schedule::Schedule;
use crate::wire::value::Value;

/// A policy as its author wrote it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) default: Default,
    pub(super) hide: Vec<Pattern>,
    pub(super) hide_unlisted: bool,
    pub(super) is_shadow: bool,
    pub(super) schedule: Option<Schedule>,
    pub(super) all_tools: Checks,
    pub(super) tools: Vec<(Pattern, Entry)>,
}

/// What happens to a tool without an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    Allow,
    Deny,
}

/// What `tools` says of a name or pattern.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) action: Action,
    pub(super) reason: Option<String>,
    pub(super) schedule: Option<Schedule>,
    pub(super) checks: Checks,
    pub(super) at: Pointer,
}

/// What a call is asked, by an entry or by `all_tools`.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) at: Pointer,
    pub(super) is_shadow: bool,
    pub(super) require: Vec<Rule>,
    pub(super) deny_if: Vec<Rule>,
    pub(super) limits: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
}

/// A quota: at most `max` calls in a window.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) counter: String,
    pub(super) window: Window,
    /// The number's own digits, for messages.
    pub(super) max_text: String,
    /// The greatest count of whole calls that it allows.
    pub(super) max: u64,
    pub(super) scope: Scope,
    pub(super) on_deny: Option<String>,
    /// The list it stands in.
    pub(super) list: Pointer,
}

/// A window's length; every window starts at a multiple of it since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    Minute,
    Hour,
    Day,
    Seconds(u64),
}

impl Window {
    pub(super) fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Seconds(seconds) => seconds,
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Minute => f.write_str("minute"),
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Seconds(1) => f.write_str("second"),
            Self::Seconds(seconds) => write!(f, "{seconds} seconds"),
        }
    }
}

/// Whose count a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Grant,
    Session,
    Tool,
    Global,
}

impl Scope {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Session => "session",
            Self::Tool => "tool",
            Self::Global => "global",
        }
    }
}

const MAX_WINDOW_SECONDS: u64 = 2_678_400;

impl Document {
    /// Reads all of it; what could not be read is in `problems`, and then the result is not to be used.
    pub(super) fn read(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        read_version(&mut fields, problems);
        fields.string("name", problems);
        fields.string("description", problems);
        let is_shadow = read_shadow(&mut fields, problems);
        let schedule = Schedule::read(&mut fields, problems);
        let default = read_default(&mut fields, problems);
        let hide = read_hide(&mut fields, problems);
        let hide_unlisted = fields.bool("hide_unlisted", problems).unwrap_or(false);
        let all_tools = read_all_tools(&mut fields, problems);
        let tools = fields
            .map("tools", problems)
            .into_iter()
            .filter_map(|(name, value, at)| {
                if name.is_empty() {
                    problems.add(&at, "tool name must not be empty");
                } else if name == "*" {
                    problems.add(&at, "\"*\" is not a tool name; put rules for every tool under all_tools");
                }
                Some((Pattern::new(name), Entry::read(value, &at, problems)?))
            })
            .collect();
        fields.finish(problems);
        Some(Self { default, hide, hide_unlisted, is_shadow, schedule, all_tools, tools })
    }
}

fn read_version(fields: &mut Fields<'_>, problems: &mut Problems) {
    match fields.take("version") {
        None => problems.add(fields.at(), "version is required, and must be \"1\""),
        Some((Value::String(version), _)) if version == "1" => {}
        Some((other, at)) => problems.add(&at, format!("version must be \"1\", got {other}")),
    }
}

fn read_default(fields: &mut Fields<'_>, problems: &mut Problems) -> Default {
    match fields.take("default") {
        None => problems.add(fields.at(), "default is required"),
        Some((Value::String(text), _)) if text == "allow" => return Default::Allow,
        Some((Value::String(text), _)) if text == "deny" => {}
        Some((other, at)) => problems.add(&at, format!("default must be \"allow\" or \"deny\", got {other}")),
    }
    Default::Deny
}

fn read_hide(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Pattern> {
    let mut hide: Vec<Pattern> = Vec::new();
    for (value, at) in fields.list("hide", problems) {
        match value {
            Value::String(text) if text.trim().is_empty() => problems.add(&at, "entry must not be empty"),
            Value::String(text) if hide.iter().any(|earlier| earlier.as_str() == text) => {
                problems.add(&at, format!("duplicate entry {value}"));
            }
            Value::String(text) => hide.push(Pattern::new(text)),
            other => problems.add(&at, format!("entry must be a tool name or pattern, got {other}")),
        }
    }
    hide
}

fn read_all_tools(fields: &mut Fields<'_>, problems: &mut Problems) -> Checks {
    let Some((value, at)) = fields.take("all_tools") else { return Checks::default() };
    let Some(mut fields) = Fields::of(value, &at, problems) else { return Checks::default() };
    let checks = Checks::read(&mut fields, problems);
    fields.finish(problems);
    checks
}

/// `mode`: whether refusals are only noted.
pub(super) fn read_shadow(fields: &mut Fields<'_>, problems: &mut Problems) -> bool {
    match fields.take("mode") {
        None => false,
        Some((Value::String(text), _)) if text == "enforce" => false,
        Some((Value::String(text), _)) if text == "shadow" => true,
        Some((other, at)) => {
            problems.add(&at, format!("mode must be \"enforce\" or \"shadow\", got {other}"));
            false
        }
    }
}

impl Checks {
    fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Self {
        Self {
            at: fields.at().clone(),
            is_shadow: read_shadow(fields, problems),
            require: read_rules(fields, List::Require, problems),
            deny_if: read_rules(fields, List::DenyIf, problems),
            limits: read_limits(fields, problems),
        }
    }
}

impl Entry {
    fn read(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let empty = Value::Object(Vec::new());
        let value = if *value == Value::Null { &empty } else { value };
        let mut fields = Fields::of(value, at, problems)?;
        let action = match fields.take("action") {
            None => Action::Allow,
            Some((Value::String(text), _)) if text == "allow" => Action::Allow,
            Some((Value::String(text), _)) if text == "deny" => Action::Deny,
            Some((other, at)) => {
                problems.add(&at, format!("action must be \"allow\" or \"deny\", got {other}"));
                Action::Deny
            }
        };
        let reason = fields.string("reason", problems).map(str::to_owned);
        for check in ["schedule", "require", "deny_if", "limits"] {
            if action == Action::Deny && fields.has(check) {
                problems.add(at, format!("{check} cannot be used with action \"deny\""));
            }
        }
        let schedule = Schedule::read(&mut fields, problems);
        let checks = Checks::read(&mut fields, problems);
        fields.finish(problems);
        Some(Self { action, reason, schedule, checks, at: at.clone() })
    }
}

fn read_limits(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Limit> {
    let list = fields.at().child("limits");
    let mut limits: Vec<Limit> = Vec::new();
    for (value, at) in fields.list("limits", problems) {
        let Some(limit) = Limit::read(value, &at, list.clone(), problems) else { continue };
        let same = |earlier: &Limit| {
            earlier.counter == limit.counter && earlier.window == limit.window && earlier.scope == limit.scope
        };
        if let Some(earlier) = limits.iter().position(same) {
            let counter = Value::String(limit.counter.clone());
            problems.add(&at, format!("duplicate counter {counter} (also used by {earlier})"));
        }
        limits.push(limit);
    }
    limits
}

impl Limit {
    fn read(value: &Value, at: &Pointer, list: Pointer, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        fields.require("counter", problems);
        let counter = fields.string("counter", problems);
        let window = read_window(&mut fields, problems);
        let max = read_max(&mut fields, problems);
        let scope = read_scope(&mut fields, problems);
        let on_deny = fields.string("on_deny", problems).map(str::to_owned);
        if counter == Some("") {
            problems.add(&at.child("counter"), "counter must not be empty");
        }
        fields.finish(problems);
        let (max_text, max) = max?;
        Some(Self { counter: counter?.to_owned(), window: window?, max_text, max, scope, on_deny, list })
    }
}

fn read_window(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Window> {
    fields.require("window", problems);
    let (value, at) = fields.take("window")?;
    let window = match value {
        Value::String(text) => match text.as_str() {
            "minute" => Some(Window::Minute),
            "hour" => Some(Window::Hour),
            "day" => Some(Window::Day),
            _ => None,
        },
        Value::Number(digits) => {
            digits.parse().ok().filter(|seconds| (1..=MAX_WINDOW_SECONDS).contains(seconds)).map(Window::Seconds)
        }
        _ => None,
    };
    if window.is_none() {
        let allowed = "\"minute\", \"hour\", \"day\" or seconds (1 to 2678400)";
        problems.add(&at, format!("window must be {allowed}, got {value}"));
    }
    window
}

fn read_max(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<(String, u64)> {
    fields.require("max", problems);
    let (value, at) = fields.take("max")?;
    if let Value::Number(digits) = value {
        let number: f64 = digits.parse().unwrap_or(f64::NAN);
        if number.is_finite() && number >= 0.0 {
            // Calls are whole: `2.5` admits two. The cast saturates.
            return Some((digits.clone(), digits.parse().unwrap_or(number.floor() as u64)));
        }
    }
    problems.add(&at, format!("max must be a number of at least 0, got {value}"));
    None
}

fn read_scope(fields: &mut Fields<'_>, problems: &mut Problems) -> Scope {
    let Some((value, at)) = fields.take("scope") else { return Scope::Grant };
    let scopes = [Scope::Grant, Scope::Session, Scope::Tool, Scope::Global];
    let named = |text: &str| scopes.into_iter().find(|scope| scope.as_str() == text);
    let scope = if let Value::String(text) = value { named(text) } else { None };
    scope.unwrap_or_else(|| {
        let allowed = "\"grant\", \"session\", \"tool\" or \"global\"";
        problems.add(&at, format!("unknown scope {value}; scope must be {allowed}"));
        Scope::Grant
    })
}
