//! Sections as written: `prompts` and `resources`, the like of `tools`, and the `methods` beside them.

use super::super::fields::Fields;
use super::super::path::Path;
use super::super::pattern::Pattern;
use super::super::problem::{Pointer, Problems};
use super::{Amount, Checks, Default, Entry};
use crate::wire::mcp::Feature;
use crate::wire::value::Value;

/// What a policy says of one feature of a server.
#[derive(Debug)]
pub(in super::super) struct Section {
    pub(in super::super) default: Default,
    pub(in super::super) hide: Vec<Pattern>,
    pub(in super::super) entries: Vec<(Pattern, Entry)>,
}

/// Which JSON-RPC methods may pass, in either direction.
#[derive(Debug)]
pub(in super::super) struct Methods {
    pub(in super::super) default: Default,
    pub(in super::super) allow: Vec<Pattern>,
    pub(in super::super) deny: Vec<Pattern>,
    pub(in super::super) at: Pointer,
}

impl Section {
    /// Reads `{default?, hide?, items?}`. A section that is absent permits everything.
    pub(super) fn read(fields: &mut Fields<'_>, name: &'static str, feature: Feature, problems: &mut Problems) -> Self {
        let absent = Self { default: Default::Allow, hide: Vec::new(), entries: Vec::new() };
        let Some((value, at)) = fields.take(name) else { return absent };
        let Some(mut fields) = Fields::of(value, &at, problems) else { return absent };
        let default = read_default(&mut fields, problems).unwrap_or(Default::Allow);
        let hide = read_patterns(&mut fields, "hide", name_of(feature), problems);
        let entries = read_entries(&mut fields, "items", feature, problems);
        fields.finish(problems);
        Self { default, hide, entries }
    }
}

impl Methods {
    /// Reads `{default?, allow?, deny?}`.
    pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let (value, at) = fields.take("methods")?;
        let mut fields = Fields::of(value, &at, problems)?;
        let default = read_default(&mut fields, problems).unwrap_or(Default::Allow);
        let allow = read_patterns(&mut fields, "allow", "method", problems);
        let deny = read_patterns(&mut fields, "deny", "method", problems);
        // It would read as a list of all that may pass, and let everything pass.
        if default == Default::Allow && fields.has("allow") {
            problems.add(&at, "allow needs default \"deny\"; without it every method that deny does not name passes");
        }
        fields.finish(problems);
        Some(Self { default, allow, deny, at })
    }
}

/// What names one of these, in messages to authors.
pub(super) fn name_of(feature: Feature) -> &'static str {
    match feature {
        Feature::Tool => "tool name",
        Feature::Prompt => "prompt name",
        Feature::Resource => "resource URI",
    }
}

/// `default`; `None` when it is absent.
pub(super) fn read_default(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Default> {
    match fields.take("default")? {
        (Value::String(text), _) if text == "allow" => Some(Default::Allow),
        (Value::String(text), _) if text == "deny" => Some(Default::Deny),
        (other, at) => {
            problems.add(&at, format!("default must be \"allow\" or \"deny\", got {other}"));
            Some(Default::Deny)
        }
    }
}

/// A list of patterns of `what`.
pub(super) fn read_patterns(
    fields: &mut Fields<'_>,
    name: &'static str,
    what: &str,
    problems: &mut Problems,
) -> Vec<Pattern> {
    let mut patterns: Vec<Pattern> = Vec::new();
    for (value, at) in fields.list(name, problems) {
        match value {
            Value::String(text) if text.trim().is_empty() => problems.add(&at, "entry must not be empty"),
            Value::String(text) if patterns.iter().any(|earlier| earlier.as_str() == text) => {
                problems.add(&at, format!("duplicate entry {value}"));
            }
            Value::String(text) => patterns.push(Pattern::new(text)),
            other => problems.add(&at, format!("entry must be a {what} or pattern, got {other}")),
        }
    }
    patterns
}

/// A map from names and patterns to entries.
pub(super) fn read_entries(
    fields: &mut Fields<'_>,
    name: &'static str,
    feature: Feature,
    problems: &mut Problems,
) -> Vec<(Pattern, Entry)> {
    let entries = fields.map(name, problems).into_iter();
    entries
        .filter_map(|(key, value, at)| {
            if key.is_empty() {
                problems.add(&at, format!("{} must not be empty", name_of(feature)));
            } else if key == "*" && feature == Feature::Tool {
                problems.add(&at, "\"*\" is not a tool name; put rules for every tool under all_tools");
            }
            Some((Pattern::new(key), Entry::read(feature, key, value, &at, problems)?))
        })
        .collect()
}

impl Checks {
    /// Fits the checks of an entry to what it describes.
    pub(super) fn belong_to(&mut self, feature: Feature, problems: &mut Problems) {
        let (prefix, never): (_, fn(&Path) -> bool) = match feature {
            Feature::Tool => return,
            Feature::Prompt => ("prompt", Path::is_uri),
            Feature::Resource => ("resource", Path::is_in_arguments),
        };
        // A rule that can only ever find nothing refuses every request, or none.
        let missing = if feature == Feature::Resource { "args." } else { "uri" };
        for (list, rules) in
            [("require", &self.require), ("deny_if", &self.deny_if), ("require_approval", &self.require_approval)]
        {
            for rule in rules.iter().filter(|rule| rule.conditions.iter().any(|condition| condition.reads(never))) {
                let name = Value::String(rule.name.clone());
                problems
                    .add(&self.at.child(list), format!("rule {name} reads {missing}, which a {prefix} does not have"));
            }
        }
        for limit in &self.limits {
            if feature == Feature::Resource && matches!(limit.amount, Amount::Argument { .. }) {
                let counter = Value::String(limit.counter.clone());
                let message = format!("limit {counter} reads {missing}, which a {prefix} does not have");
                problems.add(&self.at.child("limits"), message);
            }
        }
        // A tool's entry may have the same key; what it counts is another thing.
        for limit in &mut self.rate_limits {
            let counter = format!("{prefix} {}", limit.counter);
            limit.id = Some(std::mem::replace(&mut limit.counter, counter));
        }
    }
}
