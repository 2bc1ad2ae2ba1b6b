//! The playground: a policy, tools and calls as a person pastes them into a page → what the engine says of each.
//!
//! Knows no page and no host: JSON in, JSON out, and never a panic. [`answer`] takes
//!
//! ```json
//! {"policy": "<the text of a policy>", "tools": "<the text of a tools/list answer, its result or its tools>",
//!  "calls": ["<the text of one call, as `mcp-policy decide` takes it>"], "starter": true, "pin": true}
//! ```
//!
//! where all but `policy` may be left out, and gives
//!
//! ```json
//! {"problems": [{"pointer": "/tools/x", "message": "…", "start": 0, "end": 1, "line": 1, "column": 1}],
//!  "warnings": [],
//!  "policy": {"name": "default", "version": "…", "default": "deny", "mode": "enforce"},
//!  "tools": [{"name": "…", "title": "…", "description": "…", "listed": true, "outcome": "allowed", "rule": "",
//!             "entry": "/tools/x", "conditional": false, "shadow": false,
//!             "risk": {"category": "read", "severity": "low",
//!                      "reasons": [{"field": "name", "word": "get", "says": "read"}]}}],
//!  "tools_problem": "…",
//!  "starter": {"policy": "…", "denied": ["…"], "unpinned": ["…"]},
//!  "decisions": [{"outcome": "denied", "rule": "/tools/x/deny_if/a", "message": "…",
//!                 "steps": [{"kind": "entry", "at": "/tools/x", "place": {"start": 0, "end": 1, "line": 1, "column": 1}}],
//!                 "budget": {"counter": "…"}},
//!                {"problem": "…"}]}
//! ```
//!
//! - `problems` is what `mcp-policy validate` refuses the policy for, `warnings` what it warns of (its lint, held against
//!   `tools` where those are given). `pointer` is RFC 6901. `start` and `end` are places in the policy's text, in UTF-16
//!   units as JavaScript counts them; `line` and `column` are where `start` is, from 1 on. They span the value that
//!   `pointer` names; of an object or a list its member's name, or else its opening bracket; and of a member that nothing
//!   knows, or that is given twice, its name. Where the text is no JSON, they span the character that is wrong, or nothing
//!   at its end.
//! - `policy` is null where the text is no policy; then `tools` hold only what the server says of them and their risk, and
//!   `decisions` is empty. A policy whose own tests fail has problems, and decides all the same.
//! - `tools` is in the order of the list, and empty without one; `tools_problem` is there where it cannot be read.
//!   `outcome` is what the tool's name alone decides: `allowed`, `denied`, `hidden`, `approval_required`, or `limited` by
//!   its own entry. `conditional`: rules that look at the call, schedules or limits of all tools may refuse it all the
//!   same. `shadow`: what refuses it is in shadow mode. `title`, `description` and `entry` may be null. `risk` is what
//!   `mcp-policy scan` says of the tool, and null where its definition cannot be read.
//! - `starter` is there if it is asked for and the list can be read: the text of the policy that `mcp-policy scan -o` writes
//!   for these tools, with `--pin` if `pin` is true; the tools that it cannot name or judge, and so denies; and where pins
//!   are asked for, those that have none.
//! - `decisions` has one element for each of `calls`, decided in order with counters of their own, after the list of tools
//!   has passed: `outcome` is `allowed`, `denied`, `shadow_denied` or `approval_required`. `kind` of a step is `entry`,
//!   `no_entry` (`at` is the section), `passed`, `shadow` or `decided` (`at` is the rule); `place` is there where that
//!   stands in the policy's text, and spans as above. `budget` is there where a limit refused: `{counter, limit,
//!   remaining, window, window_seconds, reset_seconds}`. A text that is no call is `{"problem": "…"}`.
//!
//! A request that is not of this form is answered by `{"problem": "…"}` alone.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod browser;
mod places;

use crate::cases::{self, Call, Defaults};
use crate::policy::lint::{self, Tool, ToolList};
use crate::policy::{Listed, MemoryStore, Outcome, Pointer, Policy, Problem, Problems, Stance, StepKind, Steps};
use crate::risk::{self, Assessment};
use crate::starter;
use crate::wire::json::Reader;
use crate::wire::mcp::Feature;
use crate::wire::value::Value;
use places::{Place, Places};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    policy: String,
    #[serde(default)]
    tools: Option<String>,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    starter: bool,
    #[serde(default)]
    pin: bool,
}

#[derive(Debug, Default, Serialize)]
struct Answer {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    policy: Option<Summary>,
    tools: Vec<ToolView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starter: Option<Starter>,
    decisions: Vec<Decided>,
}

#[derive(Debug, Serialize)]
struct Finding {
    pointer: String,
    message: String,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    version: String,
    default: &'static str,
    mode: &'static str,
}

#[derive(Debug, Serialize)]
struct ToolView {
    name: String,
    title: Option<String>,
    description: Option<String>,
    #[serde(flatten)]
    judged: Option<Judged>,
    risk: Option<Assessment>,
}

#[derive(Debug, Serialize)]
struct Starter {
    policy: String,
    denied: Vec<String>,
    unpinned: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Judged {
    listed: bool,
    outcome: &'static str,
    rule: String,
    entry: Option<String>,
    conditional: bool,
    shadow: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Decided {
    Decision(Box<Decision>),
    Unread { problem: String },
}

#[derive(Debug, Serialize)]
struct Decision {
    outcome: Outcome,
    rule: String,
    message: String,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Step {
    kind: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// Answers one request; the form of both is this module's.
#[must_use]
pub fn answer(request: &str) -> String {
    let unreadable = |problem: String| serde_json::json!({ "problem": problem }).to_string();
    match serde_json::from_str(request) {
        Ok(request) => serde_json::to_string(&judge(&request)).unwrap_or_else(|error| unreadable(error.to_string())),
        Err(error) => unreadable(error.to_string()),
    }
}

fn judge(request: &Request) -> Answer {
    let mut answer = Answer::default();
    let tools = request.tools.as_ref().and_then(|text| match ToolList::parse(text.as_bytes()) {
        Ok(tools) => Some(tools),
        Err(problem) => {
            answer.tools_problem = Some(problem);
            None
        }
    });
    let places = Places::new(&request.policy);
    let mut store = MemoryStore::default();
    let mut problems = Problems::default();
    let compiled = match Value::parse(&request.policy) {
        Ok(value) => Policy::compile("default", &value, &Pointer::root(), &mut problems).map(|policy| (policy, value)),
        Err(error) => {
            let place = places.at_byte(error.position());
            answer.problems.push(Finding { pointer: String::new(), message: error.to_string(), place });
            None
        }
    };
    let policy = compiled.map(|(mut policy, value)| {
        cases::run_own(&policy.take_tests(), &policy, &Pointer::root(), &mut problems);
        let warnings = lint::lint(&value, &Pointer::root(), tools.as_ref());
        answer.warnings.extend(warnings.iter().map(|warning| Finding::new(warning, &places)));
        answer.policy = Some(Summary::new(&policy, &value));
        policy
    });
    answer.problems.extend(problems.iter().map(|problem| Finding::new(problem, &places)));
    if let Some(tools) = &tools {
        answer.tools = tools.iter().map(|tool| ToolView::new(tool, policy.as_ref(), &mut store)).collect();
        answer.starter = request.starter.then(|| Starter::new(tools, &answer.tools, request.pin));
    }
    answer.decisions = policy.map(|policy| decide(&request.calls, &policy, &places, &mut store)).unwrap_or_default();
    answer
}

/// Each call as it comes after those before it.
fn decide(calls: &[String], policy: &Policy, places: &Places<'_>, store: &mut MemoryStore) -> Vec<Decided> {
    let mut defaults = Defaults::default();
    let step = |kind: StepKind, at: &str| Step { kind: kind.as_str(), at: at.to_owned(), place: places.of_rule(at) };
    let decide = |text: &String| {
        let call = match Call::parse(text, &defaults) {
            Ok(call) => call,
            Err(problems) => return Decided::Unread { problem: problems.to_string() },
        };
        defaults.at = call.at;
        let mut steps = Steps::of(call.target().map(|target| target.feature));
        let decision = call.make(policy, store, &mut steps);
        let budget = decision.budget.as_ref().map(|budget| format!("{{{}}}", budget.members()));
        Decided::Decision(Box::new(Decision {
            outcome: decision.outcome,
            rule: decision.rule.to_owned(),
            message: decision.message.into_owned(),
            steps: steps.iter().map(|(kind, at)| step(kind, at)).collect(),
            budget: budget.and_then(|budget| serde_json::from_str(&budget).ok()),
        }))
    };
    calls.iter().map(decide).collect()
}

impl Finding {
    fn new(problem: &Problem, places: &Places<'_>) -> Self {
        let Problem { pointer, message, member } = problem;
        let place = match member {
            Some(name) => places.of_name(&pointer.child(name)),
            None => places.of(pointer),
        };
        Self { pointer: pointer.to_string(), message: message.clone(), place }
    }
}

impl Summary {
    fn new(policy: &Policy, document: &Value) -> Self {
        let is = |name: &str, word: &str| {
            let Value::Object(members) = document else { return false };
            members.iter().any(|(member, value)| member == name && *value == Value::String(word.to_owned()))
        };
        Self {
            name: policy.name().to_owned(),
            version: policy.version().to_owned(),
            default: if is("default", "deny") { "deny" } else { "allow" },
            mode: if is("mode", "shadow") { "shadow" } else { "enforce" },
        }
    }
}

impl ToolView {
    fn new(tool: &Tool, policy: Option<&Policy>, store: &mut MemoryStore) -> Self {
        let Tool { name, title, description, .. } = tool;
        let judged = policy.map(|policy| Judged::new(tool, policy, store));
        let definition = serde_json::from_str(&tool.definition).ok();
        let risk = definition.map(|definition| risk::assess(&risk::Tool::of(&definition)));
        Self { name: name.clone(), title: title.clone(), description: description.clone(), judged, risk }
    }
}

impl Starter {
    /// Of `tools` and what each of them is, in the same order; with a `pin` of each.
    fn new(tools: &ToolList, views: &[ToolView], with_pins: bool) -> Self {
        let all = || tools.iter().zip(views);
        let unread: Vec<&str> =
            all().filter(|(_, view)| view.risk.is_none()).map(|(tool, _)| tool.name.as_str()).collect();
        let named = all().filter_map(|(Tool { name, pin, .. }, view)| {
            let category = view.risk.as_ref()?.category;
            // One that cannot be read may be what is called by its name.
            let is_read = !unread.contains(&name.as_str());
            is_read.then_some(starter::Tool { name, category, pin: pin.filter(|_| with_pins) })
        });
        let named: Vec<starter::Tool<'_>> = named.collect();
        let names = |is_meant: &dyn Fn(&Tool) -> bool| {
            tools.iter().filter(|tool| is_meant(tool)).map(|tool| tool.name.clone()).collect::<Vec<_>>()
        };
        let denied = names(&|tool| unread.contains(&tool.name.as_str()) || !starter::can_be_named(&tool.name));
        let unpinned = names(&|tool| with_pins && tool.pin.is_none() && !denied.contains(&tool.name));
        Self { policy: starter::policy(None, &named), denied, unpinned }
    }
}

impl Judged {
    fn new(tool: &Tool, policy: &Policy, store: &mut MemoryStore) -> Self {
        let standpoint = policy.standpoint(&tool.name);
        let definition = Reader::new(&tool.definition).value().ok();
        let listed = definition.map(|definition| policy.lists(Feature::Tool, &tool.name, definition, store));
        let (stance, rule, is_shadow) = match listed {
            Some(Listed::Changed { rule, is_shadow }) if standpoint.stance != Stance::Hidden => {
                (Stance::Denied, rule, is_shadow)
            }
            _ => (standpoint.stance, standpoint.rule, standpoint.is_shadow),
        };
        Self {
            listed: matches!(listed, Some(Listed::Visible | Listed::Changed { is_shadow: true, .. })),
            outcome: match stance {
                Stance::Allowed => "allowed",
                Stance::Denied => "denied",
                Stance::Hidden => "hidden",
                Stance::ApprovalRequired => "approval_required",
                Stance::Limited => "limited",
            },
            rule: rule.to_owned(),
            entry: standpoint.entry.map(str::to_owned),
            conditional: standpoint.is_conditional,
            shadow: is_shadow,
        }
    }
}

#[cfg(test)]
mod tests;
