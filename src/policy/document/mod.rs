//! The policy document exactly as written: [`Value`] → [`Document`], noting every problem on the way.

use super::case::{Case, read_cases};
use super::fields::Fields;
use super::pattern::Pattern;
use super::pin::Pin;
use super::problem::{Pointer, Problems};
mod limit;
mod section;

pub(super) use limit::{Amount, Limit, Scope};
pub(super) use section::{Methods, Section};

use super::rules::{List, Rule, read_rules};
use super::schedule::Schedule;
use crate::wire::mcp::Feature;
use crate::wire::value::Value;

/// A policy as its author wrote it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) hide_unlisted: bool,
    pub(super) is_shadow: bool,
    pub(super) schedule: Option<Schedule>,
    pub(super) all_tools: Checks,
    pub(super) tools: Section,
    pub(super) prompts: Section,
    pub(super) resources: Section,
    pub(super) methods: Option<Methods>,
    pub(super) tests: Vec<Case>,
}

/// What happens to what has no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    Allow,
    Deny,
}

/// What a section says of a name or pattern.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) action: Action,
    pub(super) reason: Option<String>,
    pub(super) pin: Option<Pin>,
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
    pub(super) require_approval: Vec<Rule>,
    pub(super) limits: Vec<Limit>,
    pub(super) rate_limits: Vec<Limit>,
}

impl Checks {
    pub(super) fn has_waits(&self) -> bool {
        self.require_approval.iter().any(|rule| rule.terms.wait_seconds.is_some())
    }

    pub(super) fn has_approvals(&self) -> bool {
        !self.require_approval.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
    RequireApproval,
}

impl Document {
    /// Reads all of it; what could not be read is in `problems`, and then the result is not to be used.
    pub(super) fn read(value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        read_version(&mut fields, problems);
        fields.string("name", problems);
        fields.string("description", problems);
        let is_shadow = read_shadow(&mut fields, problems);
        let schedule = Schedule::read(&mut fields, problems);
        let default = section::read_default(&mut fields, problems);
        if !fields.has("default") {
            problems.add(at, "default is required");
        }
        let hide = section::read_patterns(&mut fields, "hide", section::name_of(Feature::Tool), problems);
        let hide_unlisted = fields.bool("hide_unlisted", problems).unwrap_or(false);
        let all_tools = read_all_tools(&mut fields, problems);
        let entries = section::read_entries(&mut fields, "tools", Feature::Tool, problems);
        let tools = Section { default: default.unwrap_or(Default::Deny), hide, entries };
        let prompts = Section::read(&mut fields, "prompts", Feature::Prompt, problems);
        let resources = Section::read(&mut fields, "resources", Feature::Resource, problems);
        let methods = Methods::read(&mut fields, problems);
        let tests = read_cases(&mut fields, "tests", problems);
        fields.finish(problems);
        Some(Self { hide_unlisted, is_shadow, schedule, all_tools, tools, prompts, resources, methods, tests })
    }
}

fn read_version(fields: &mut Fields<'_>, problems: &mut Problems) {
    match fields.take("version") {
        None => problems.add(fields.at(), "version is required, and must be \"1\""),
        Some((Value::String(version), _)) if version == "1" => {}
        Some((other, at)) => problems.add(&at, format!("version must be \"1\", got {other}")),
    }
}

fn read_all_tools(fields: &mut Fields<'_>, problems: &mut Problems) -> Checks {
    let Some((value, at)) = fields.take("all_tools") else { return Checks::default() };
    let Some(mut fields) = Fields::of(value, &at, problems) else { return Checks::default() };
    let checks = Checks::read(&mut fields, "all_tools", problems);
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
    /// `name` is the key of the entry.
    fn read(fields: &mut Fields<'_>, name: &str, problems: &mut Problems) -> Self {
        Self {
            at: fields.at().clone(),
            is_shadow: read_shadow(fields, problems),
            require: read_rules(fields, List::Require, problems),
            deny_if: read_rules(fields, List::DenyIf, problems),
            require_approval: read_rules(fields, List::RequireApproval, problems),
            limits: limit::read_limits(fields, problems),
            rate_limits: limit::read_rate_limits(fields, name, problems),
        }
    }
}

impl Entry {
    fn read(feature: Feature, name: &str, value: &Value, at: &Pointer, problems: &mut Problems) -> Option<Self> {
        let empty = Value::Object(Vec::new());
        let value = if *value == Value::Null { &empty } else { value };
        let mut fields = Fields::of(value, at, problems)?;
        let action = match fields.take("action") {
            None => Action::Allow,
            Some((Value::String(text), _)) if text == "allow" => Action::Allow,
            Some((Value::String(text), _)) if text == "deny" => Action::Deny,
            Some((Value::String(text), _)) if text == "rate_limit" => {
                if !fields.has("rate_limit") || fields.has_empty_list("rate_limit") {
                    problems.add(at, "action \"rate_limit\" needs a rate_limit");
                }
                Action::Allow
            }
            Some((Value::String(text), _)) if text == "require_approval" => Action::RequireApproval,
            Some((other, at)) => {
                let allowed = "\"allow\", \"deny\", \"rate_limit\" or \"require_approval\"";
                problems.add(&at, format!("action must be {allowed}, got {other}"));
                Action::Deny
            }
        };
        let reason = fields.string("reason", problems).map(str::to_owned);
        for check in ["schedule", "require", "deny_if", "require_approval", "limits", "rate_limit"] {
            if action == Action::Deny && fields.has(check) {
                problems.add(at, format!("{check} cannot be used with action \"deny\""));
            }
        }
        let pin = if feature == Feature::Tool { read_pin(&mut fields, name, problems) } else { None };
        let schedule = Schedule::read(&mut fields, problems);
        let mut checks = Checks::read(&mut fields, name, problems);
        checks.belong_to(feature, problems);
        fields.finish(problems);
        Some(Self { action, reason, pin, schedule, checks, at: at.clone() })
    }
}

/// `pin`, of the entry that `name` is the key of.
fn read_pin(fields: &mut Fields<'_>, name: &str, problems: &mut Problems) -> Option<Pin> {
    let at = fields.at().clone();
    let (value, _) = fields.take("pin")?;
    // A definition has one name, and a note is kept for each.
    if !Pattern::new(name).is_exact() {
        problems.add(&at, "pin needs the name of one tool, not a pattern");
    }
    let pin = if let Value::String(text) = value { Pin::parse(text) } else { None };
    if pin.is_none() {
        problems.add(&at, "pin must be \"sha256:\" and 64 hex digits");
    }
    pin
}
