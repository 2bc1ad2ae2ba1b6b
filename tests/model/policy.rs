//! Policies of limits, as data: written as JSON for the engine, read as they are by the reference.

use super::calendar::Span;
use super::reference::{Call, Millionths, exact};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a call reaches. A prompt may have a tool's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Tool(&'static str),
    Prompt(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Session,
    Tool,
    Grant,
}

/// What a call adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adds {
    /// So many, `increment`.
    Always(i128),
    /// What `args.x` says.
    Argument { skips_missing: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub counter: &'static str,
    pub id: Option<&'static str>,
    pub span: Span,
    /// In the order in which it is written; empty for everybody.
    pub scope: Vec<Scope>,
    /// A decimal.
    pub max: &'static str,
    pub continuations: Option<&'static str>,
    pub adds: Adds,
    pub is_rolling: bool,
    pub is_shadow: bool,
}

/// A policy of nothing but limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub entries: BTreeMap<Target, Vec<Limit>>,
    pub all_tools: Vec<Limit>,
}

impl Limit {
    /// What it is counted by, in one list once only.
    pub fn key(&self) -> (&'static str, Span, Vec<Scope>) {
        let mut scope = self.scope.clone();
        scope.sort_unstable();
        (self.counter, self.span, scope)
    }

    /// The most that it admits of calls like this one; digits behind the sixth admit nothing more.
    pub fn max_of(&self, call: &Call) -> Millionths {
        let text = self.continuations.filter(|_| call.continues).unwrap_or(self.max);
        exact(text).unwrap().0
    }

    /// The last part of its rule.
    pub fn name(&self) -> &'static str {
        self.id.unwrap_or(self.counter)
    }

    pub fn written(&self) -> Value {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("counter", self.counter.into());
        put("window", self.span.written());
        put("max", number(self.max));
        let scopes: Vec<&str> = self.scope.iter().map(|scope| scope.written()).collect();
        match scopes.as_slice() {
            [] => put("scope", "global".into()),
            // What is so when nothing is said.
            ["grant"] => None,
            [one] => put("scope", (*one).into()),
            several => put("scope", json!(several)),
        };
        match &self.adds {
            Adds::Always(1) => None,
            Adds::Always(amount) => put("increment", json!(i64::try_from(*amount).unwrap())),
            Adds::Argument { skips_missing } => {
                if *skips_missing {
                    put("on_missing", "skip".into());
                }
                put("increment_from", "args.x".into())
            }
        };
        self.id.map(|id| put("id", id.into()));
        self.continuations.map(|max| put("continuations", number(max)));
        self.is_rolling.then(|| put("align", "rolling".into()));
        self.is_shadow.then(|| put("mode", "shadow".into()));
        members.into()
    }
}

impl Scope {
    fn written(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Tool => "tool",
            Self::Grant => "grant",
        }
    }
}

impl Document {
    pub fn written(&self) -> Value {
        let list = |limits: &[Limit]| limits.iter().map(Limit::written).collect::<Vec<Value>>();
        let (mut tools, mut prompts) = (Map::new(), Map::new());
        for (target, limits) in &self.entries {
            let (section, name) = match target {
                Target::Tool(name) => (&mut tools, *name),
                Target::Prompt(name) => (&mut prompts, *name),
            };
            section.insert(name.to_owned(), json!({ "limits": list(limits) }));
        }
        json!({
            "version": "1", "default": "allow", "tools": tools, "all_tools": { "limits": list(&self.all_tools) },
            "prompts": { "items": prompts },
        })
    }

    /// The limits that a call of `target` falls under, in order, each with whether it is the entry's own.
    pub fn limits_of(&self, target: Target) -> impl Iterator<Item = (&Limit, bool)> {
        let own = self.entries.get(&target).into_iter().flatten().map(|limit| (limit, true));
        let is_tool = matches!(target, Target::Tool(_));
        own.chain(self.all_tools.iter().filter(move |_| is_tool).map(|limit| (limit, false)))
    }
}

/// The rule of a limit that a call of `target` falls under.
pub fn rule(target: Target, limit: &Limit, is_own: bool) -> String {
    let name = limit.name();
    match target {
        _ if !is_own => format!("/all_tools/limits/{name}"),
        Target::Tool(tool) => format!("/tools/{tool}/limits/{name}"),
        Target::Prompt(prompt) => format!("/prompts/items/{prompt}/limits/{name}"),
    }
}
