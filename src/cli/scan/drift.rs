//! What has changed since a policy was written: tools that it does not know, tools that are gone, definitions that differ
//! from their pins; and what the policy says of each.

use super::listing::Listing;
use super::pin_of;
use super::report::{Judged, shown};
use crate::cli::validate;
use mcp_policy::policy::{Pin, Policy, Stance};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// A policy, and the tools that it names.
#[derive(Debug)]
pub(super) struct Known {
    policy: Policy,
    named: Vec<(String, Option<Pin>)>,
}

/// One difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    tool: String,
    change: Kind,
    /// What the policy says of it: a word.
    policy: &'static str,
    /// The rule that says so; empty where none does.
    rule: String,
    /// The risk of the tool as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The server has it; neither a name nor a pattern of the policy fits it.
    New,
    /// Its definition is not the one that is pinned.
    Changed,
    /// The policy names it; the server has it no more.
    Gone,
}

impl Known {
    /// Reads a policy; exit code 1 after its problems.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, ExitCode> {
        let policy = Policy::load_bytes("default", bytes).map_err(|problems| validate::report(path, &problems))?;
        // It was read, so it is JSON.
        let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let is_name = |name: &&str| !name.contains(['*', '?']);
        let tools = document.get("tools").and_then(Value::as_object).into_iter().flatten();
        let pinned = tools.map(|(name, entry)| {
            let pin = entry.get("pin").and_then(Value::as_str).and_then(Pin::parse);
            (name.as_str(), pin)
        });
        let hidden = document.get("hide").and_then(Value::as_array).into_iter().flatten();
        let hidden = hidden.filter_map(Value::as_str).map(|name| (name, None));
        let named = pinned.chain(hidden).filter(|(name, _)| is_name(name));
        let named = named.map(|(name, pin)| (name.to_owned(), pin)).collect();
        Ok(Self { policy, named })
    }

    fn changes(&self, listing: &Listing, judged: &[Judged]) -> Vec<Change> {
        let mut changes = Vec::new();
        for (definition, tool) in listing.tools.iter().zip(judged) {
            let says = self.policy.standpoint(&tool.name);
            let is_known = says.entry.is_some() || says.stance == Stance::Hidden;
            let pin = self.named.iter().find(|(name, pin)| *name == tool.name && pin.is_some());
            let is_changed = pin.is_some_and(|(_, pin)| *pin != pin_of(definition));
            let kind = match (is_known, is_changed) {
                (false, _) => Kind::New,
                (true, true) => Kind::Changed,
                (true, false) => continue,
            };
            let policy = if kind == Kind::Changed { "denied" } else { word(says.stance) };
            let rule = if kind == Kind::Changed {
                format!("{}/pin", says.entry.unwrap_or_default())
            } else {
                says.rule.to_owned()
            };
            let category = Some(tool.assessment.category.as_str());
            changes.push(Change { tool: tool.name.clone(), change: kind, policy, rule, category });
        }
        let listed: HashSet<&str> = judged.iter().map(|tool| tool.name.as_str()).collect();
        for (name, _) in self.named.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
            let says = self.policy.standpoint(name);
            let (policy, rule) = (word(says.stance), says.rule.to_owned());
            changes.push(Change { tool: name.clone(), change: Kind::Gone, policy, rule, category: None });
        }
        changes
    }
}

fn word(stance: Stance) -> &'static str {
    match stance {
        Stance::Allowed => "allowed",
        Stance::Denied => "denied",
        Stance::Hidden => "hidden",
        Stance::ApprovalRequired => "approval_required",
        Stance::Limited => "limited",
    }
}

/// Whether anything has changed.
pub(super) fn report(
    known: &Known,
    listing: &Listing,
    judged: &[Judged],
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let changes = known.changes(listing, judged);
    if as_json {
        serde_json::to_writer_pretty(&mut *out, &serde_json::json!({ "changes": changes }))?;
        writeln!(out)?;
        return Ok(!changes.is_empty());
    }
    if changes.is_empty() {
        writeln!(out, "{}: nothing has changed ({} tools)", shown(&listing.server), judged.len())?;
        return Ok(false);
    }
    let names: Vec<String> = changes.iter().map(|change| shown(&change.tool)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    writeln!(out, "{:width$}  {:8}  {:11}  POLICY", "TOOL", "CHANGE", "CATEGORY")?;
    for (name, Change { change, policy, rule, category, .. }) in names.iter().zip(&changes) {
        let change = match change {
            Kind::New => "new",
            Kind::Changed => "changed",
            Kind::Gone => "gone",
        };
        let rule = if rule.is_empty() { String::new() } else { format!(" by {rule}") };
        writeln!(out, "{name:width$}  {change:8}  {:11}  {policy}{rule}", category.unwrap_or("-"))?;
    }
    Ok(true)
}
