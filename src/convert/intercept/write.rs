//! Intercept's document as a policy.
//!
//! To Intercept a limit is a comparison with a counter, which it recognizes in the rule that also counts. In a policy it
//! is a rule of its own, so counters are gathered first.

use super::super::{object, quoted, reply_string, text};
use super::condition::{Condition, On};
use super::{Amount, Document, Does, EVERY_TOOLS_COUNTERS, Rule, Tool, Window};
use crate::policy::{Pointer, Problems};
use crate::wire::value::Value;
use std::collections::BTreeMap;

const NUMBERS_AND_TEXTS: &str = "a text equals the number that it spells, however it spells it: \"5.0\" equals 5 here; \
    to Intercept only as Go prints the number";

/// What counts a counter, and up to where.
#[derive(Debug)]
struct Owner {
    /// Which of the lists of rules counts: the tool's prefix.
    list: String,
    window: Window,
    amount: Amount,
    max: u64,
}

type Owners = BTreeMap<String, Owner>;

/// One entry on its way.
#[derive(Debug, Default)]
struct Entry {
    require: Vec<Value>,
    deny_if: Vec<Value>,
    require_approval: Vec<Value>,
    limits: Vec<Limit>,
}

#[derive(Debug)]
struct Limit {
    id: Option<String>,
    counter: String,
    window: Window,
    max: u64,
    amount: Amount,
    on_deny: Option<String>,
}

impl Document {
    pub(super) fn write(&self, problems: &mut Problems, notes: &mut Problems) -> Value {
        let mut owners = Owners::new();
        for tool in self.every_tool.iter().chain(&self.tools) {
            tool.gather(&mut owners, problems);
        }
        let mut members = vec![("version", text("1"))];
        members.extend(self.description.as_deref().map(|description| ("description", text(description))));
        members.push(("default", text(if self.is_default_deny { "deny" } else { "allow" })));
        if !self.hide.is_empty() {
            members.push(("hide", Value::Array(self.hide.iter().map(|name| text(name)).collect())));
        }
        if let Some(tool) = self.every_tool.as_ref().filter(|tool| !tool.rules.is_empty()) {
            members.push(("all_tools", tool.write(&owners, problems, notes)));
        }
        if !self.tools.is_empty() {
            let entry = |tool: &Tool, problems: &mut Problems, notes: &mut Problems| {
                (tool.name.clone(), tool.write(&owners, problems, notes))
            };
            members
                .push(("tools", Value::Object(self.tools.iter().map(|tool| entry(tool, problems, notes)).collect())));
        }
        let rules = self.every_tool.iter().chain(&self.tools).flat_map(|tool| &tool.rules);
        let mut conditions = rules.flat_map(|rule| rule.conditions());
        if conditions.any(Condition::compares_numbers_with_texts) {
            notes.add(&Pointer::root(), NUMBERS_AND_TEXTS);
        }
        object(members)
    }
}

impl Rule {
    fn conditions(&self) -> &[Condition] {
        match &self.does {
            Does::Evaluate(conditions, _) | Does::Approve(conditions, _) => conditions,
            Does::Deny | Does::Rate(..) => &[],
        }
    }

    /// Its name; one without is a rate, whose refusals need none.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// What Intercept says when a condition does not hold.
    fn words(&self) -> String {
        self.on_deny.clone().unwrap_or_else(|| format!("Denied by rule {}", reply_string(self.name())))
    }
}

fn counter_of(prefix: &str, counter: &str) -> String {
    format!("{prefix}.{counter}")
}

impl Tool {
    /// The counter of each of its rules that counts.
    fn gather(&self, owners: &mut Owners, problems: &mut Problems) {
        for rule in &self.rules {
            let (counter, owner, at) = match &rule.does {
                Does::Rate(count, window) => {
                    let max = count.parse().unwrap_or(u64::MAX);
                    (format!("_rate_{window}"), (*window, Amount::Fixed(1), max), &rule.at)
                }
                Does::Evaluate(conditions, Some(count)) => {
                    let own = counter_of(self.prefix(), &count.counter);
                    let bounds: Vec<u64> = conditions
                        .iter()
                        .filter_map(|condition| match &condition.on {
                            On::Counter(counter, max) if *counter == own => Some(*max),
                            _ => None,
                        })
                        .collect();
                    let [max] = bounds.as_slice() else {
                        let message = if bounds.is_empty() {
                            format!("Intercept never counts {}: this rule does not compare it", quoted(&own))
                        } else {
                            format!("{} is compared twice in the rule that counts it", quoted(&own))
                        };
                        problems.add(&count.at, message);
                        continue;
                    };
                    (count.counter.clone(), (count.window, count.amount.clone(), *max), &count.at)
                }
                Does::Evaluate(_, None) | Does::Deny | Does::Approve(..) => continue,
            };
            let (window, amount, max) = owner;
            let name = counter_of(self.prefix(), &counter);
            let owner = Owner { list: self.prefix().to_owned(), window, amount, max };
            match owners.get(&name) {
                Some(other) if other.list == self.prefix() => {
                    let message = "is counted by two rules, so Intercept counts each call twice";
                    problems.add(at, format!("{} {message}", quoted(&name)));
                }
                Some(_) => {
                    let message = "is the counter of two tools to Intercept, which joins both names by a dot";
                    problems.add(at, format!("{} {message}", quoted(&name)));
                }
                None => {
                    owners.insert(name, owner);
                }
            }
        }
    }

    fn write(&self, owners: &Owners, problems: &mut Problems, notes: &mut Problems) -> Value {
        let mut entry = Entry::default();
        for rule in &self.rules {
            match &rule.does {
                Does::Deny => push(&mut entry.deny_if, rule, Vec::new(), Vec::new(), notes),
                Does::Rate(_, window) => {
                    let name = counter_of(self.prefix(), &format!("_rate_{window}"));
                    if let Some(owner) = owners.get(&name) {
                        // What a policy says by itself is what Intercept says.
                        let limit = Limit { on_deny: rule.on_deny.clone(), ..Limit::of(&name, owner, rule) };
                        entry.add(limit, &rule.at, notes);
                    }
                }
                Does::Approve(conditions, timeout) => {
                    let written = arguments_only(conditions, problems);
                    if !written.is_empty() {
                        let when = "Intercept asks only when the conditions hold";
                        notes.add(&rule.at, format!("asks also for a value that the operators cannot judge; {when}"));
                    }
                    let timeout = timeout.map(|seconds| ("timeout", Value::Number(seconds.to_string())));
                    push(&mut entry.require_approval, rule, written, timeout.into_iter().collect(), notes);
                }
                Does::Evaluate(conditions, count) => {
                    let own = count.as_ref().map(|count| counter_of(self.prefix(), &count.counter));
                    let mut written = Vec::new();
                    for condition in conditions {
                        match &condition.on {
                            On::Argument(path) => written.push(condition.write(path)),
                            On::Counter(name, _) if Some(name) == own.as_ref() => {
                                if let Some(owner) = owners.get(name) {
                                    entry.add(Limit::of(name, owner, rule), &rule.at, notes);
                                }
                            }
                            On::Counter(name, max) => match owners.get(name) {
                                None => {
                                    let message = "no rule counts it, so Intercept finds 0 there always";
                                    problems.add(&condition.at, format!("{}: {message}", quoted(name)));
                                }
                                Some(owner) => {
                                    let check = Check { name, max: *max, at: &condition.at };
                                    self.check(&check, owner, rule, &mut entry, problems, notes);
                                }
                            },
                        }
                    }
                    if !written.is_empty() {
                        push(&mut entry.require, rule, written, Vec::new(), notes);
                    }
                }
            }
        }
        entry.write()
    }

    /// A comparison with a counter that another rule counts: a limit that adds nothing. It is judged before anything is
    /// counted to Intercept, and to a policy by what the whole call adds.
    fn check(
        &self,
        check: &Check<'_>,
        owner: &Owner,
        rule: &Rule,
        entry: &mut Entry,
        problems: &mut Problems,
        notes: &mut Problems,
    ) {
        let is_same_list = owner.list == self.prefix();
        let every_tool_counts = owner.list == EVERY_TOOLS_COUNTERS;
        let checks_every_tool = self.prefix() == EVERY_TOOLS_COUNTERS;
        let Check { name, max, at } = *check;
        if owner.max <= max {
            notes.add(at, format!("left out: {} never gets beyond {}", quoted(name), owner.max));
            return;
        }
        let max = match (&owner.amount, is_same_list || every_tool_counts) {
            (Amount::Fixed(amount), true) => max.saturating_add(*amount),
            (Amount::Argument(_), true) => {
                let message = "a policy cannot say what it has reached before the call, which adds to it";
                problems.add(at, format!("{}: {message}", quoted(name)));
                return;
            }
            (_, false) => max,
        };
        if owner.max <= max {
            notes.add(at, format!("left out: the rule that counts {} refuses the same calls", quoted(name)));
            return;
        }
        if checks_every_tool && !every_tool_counts {
            let message = "the tool that counts it is held to this before it counts, not after";
            notes.add(at, format!("{}: {message}", quoted(name)));
        }
        let limit = Limit {
            id: rule.name.clone(),
            counter: name.to_owned(),
            window: owner.window,
            max,
            amount: if is_same_list { owner.amount.clone() } else { Amount::Fixed(0) },
            on_deny: Some(rule.words()),
        };
        entry.add(limit, at, notes);
    }
}

#[derive(Debug, Clone, Copy)]
struct Check<'c> {
    name: &'c str,
    max: u64,
    at: &'c Pointer,
}

/// The conditions of an approval, which may ask for arguments only.
fn arguments_only(conditions: &[Condition], problems: &mut Problems) -> Vec<Value> {
    let mut written = Vec::new();
    for condition in conditions {
        match &condition.on {
            On::Argument(path) => written.push(condition.write(path)),
            On::Counter(..) => problems.add(&condition.at, "an approval cannot depend on a counter"),
        }
    }
    written
}

/// Adds a rule, under a name that no other of its list has.
fn push(
    list: &mut Vec<Value>,
    rule: &Rule,
    conditions: Vec<Value>,
    more: Vec<(&'static str, Value)>,
    notes: &mut Problems,
) {
    let name = rule.name();
    let is_taken = |id: &str| {
        let own = ("id".to_owned(), text(id));
        list.iter().any(|rule| matches!(rule, Value::Object(members) if members.contains(&own)))
    };
    let mut id = name.to_owned();
    let mut number = 2;
    while is_taken(&id) {
        id = format!("{name}-{number}");
        number += 1;
    }
    if id != name {
        notes.add(&rule.at, format!("named {}: rules of one list have different names", quoted(&id)));
    }
    let mut members = vec![("id", text(&id)), ("conditions", Value::Array(conditions))];
    // The words without `on_deny` name the rule, and are the same.
    let on_deny = rule.on_deny.clone().or_else(|| (id != name).then(|| rule.words()));
    members.extend(on_deny.map(|words| ("on_deny", Value::String(words))));
    members.extend(more);
    list.push(object(members));
}

impl Entry {
    /// Adds a limit; of those on one counter the smallest stays.
    fn add(&mut self, limit: Limit, at: &Pointer, notes: &mut Problems) {
        let Some(other) = self.limits.iter_mut().find(|other| other.counter == limit.counter) else {
            self.limits.push(limit);
            return;
        };
        notes.add(at, format!("one limit with the other on {}: of both, the lower", quoted(&limit.counter)));
        if limit.max < other.max {
            *other = limit;
        }
    }

    fn write(self) -> Value {
        let lists = [("require", self.require), ("deny_if", self.deny_if), ("require_approval", self.require_approval)];
        let mut members: Vec<(&str, Value)> = lists
            .into_iter()
            .filter(|(_, rules)| !rules.is_empty())
            .map(|(name, rules)| (name, Value::Array(rules)))
            .collect();
        if !self.limits.is_empty() {
            members.push(("limits", Value::Array(self.limits.into_iter().map(Limit::write).collect())));
        }
        object(members)
    }
}

impl Limit {
    /// The limit of the rule that counts.
    fn of(counter: &str, owner: &Owner, rule: &Rule) -> Self {
        let words = rule.on_deny.clone().unwrap_or_else(|| format!("Rate limit exceeded for {}", rule.name()));
        Self {
            id: rule.name.clone(),
            counter: counter.to_owned(),
            window: owner.window,
            max: owner.max,
            amount: owner.amount.clone(),
            on_deny: Some(words),
        }
    }

    fn write(self) -> Value {
        let number = |number: u64| Value::Number(number.to_string());
        let mut members: Vec<(&str, Value)> = self.id.into_iter().map(|id| ("id", Value::String(id))).collect();
        members.extend([
            ("counter", Value::String(self.counter)),
            ("window", text(self.window)),
            ("max", number(self.max)),
            ("scope", text("global")),
        ]);
        match self.amount {
            Amount::Fixed(1) => {}
            Amount::Fixed(amount) => members.push(("increment", number(amount))),
            Amount::Argument(path) => members.push(("increment_from", Value::String(path))),
        }
        members.extend(self.on_deny.map(|words| ("on_deny", Value::String(words))));
        object(members)
    }
}
