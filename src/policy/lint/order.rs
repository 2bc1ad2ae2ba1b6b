//! Rules that no call reaches, because an earlier one refuses them all.

use super::super::number::Decimal;
use super::super::problem::{Pointer, Problems};
use super::{RULES, elements};
use crate::wire::value::Value;

/// What stops every call before a rule.
#[derive(Debug, Clone)]
struct Stop {
    at: Pointer,
    does: &'static str,
}

const REFUSES: &str = "refuses";
const ASKS: &str = "asks for approval";

pub(super) fn lint(document: &Value, at: &Pointer, warnings: &mut Problems) {
    let mut for_all = None;
    if let Some(all_tools) = document.get("all_tools") {
        let at = at.child("all_tools");
        for_all = refusal(all_tools, &at);
        checks(all_tools, &at, None, warnings);
    }
    for section in ["prompts", "resources"] {
        if let Some(Value::Object(entries)) = document.get(section).and_then(|section| section.get("items")) {
            for (name, entry) in entries {
                checks(entry, &at.child(section).child("items").child(name), None, warnings);
            }
        }
    }
    if let Some(Value::Object(entries)) = document.get("tools") {
        for (name, entry) in entries {
            checks(entry, &at.child("tools").child(name), for_all.as_ref(), warnings);
        }
    }
}

/// The first rule of `deny_if` that refuses every call.
fn refusal(entry: &Value, at: &Pointer) -> Option<Stop> {
    let mut rules = elements(entry, "deny_if").enumerate();
    let (index, _) = rules.find(|(_, rule)| !is_shadow(entry) && always(rule))?;
    Some(Stop { at: at.child("deny_if").child(index), does: REFUSES })
}

/// One entry, or `all_tools`; `for_all` is what stops every call between an entry's own `deny_if` and the
/// steps after it.
fn checks(entry: &Value, at: &Pointer, for_all: Option<&Stop>, warnings: &mut Problems) {
    let mut stop: Option<Stop> = None;
    let mut reach = |stop: &Option<Stop>, at: &Pointer| {
        if let Some(Stop { at: earlier, does }) = stop {
            warnings.add(at, format!("this never applies: {earlier} always {does} first"));
        }
    };
    let mut asks: Option<Stop> = None;
    for list in RULES {
        let list_at = at.child(list);
        if list == "require_approval" {
            stop = stop.or(for_all.cloned());
            if entry.text("action") == Some("require_approval") {
                let at = at.child("action");
                reach(&stop, &at);
                asks = (!is_shadow(entry)).then_some(Stop { at, does: ASKS });
            }
            if entry.get(list) == Some(&Value::Bool(true)) {
                reach(if stop.is_some() { &stop } else { &asks }, &list_at);
            }
        }
        for (index, rule) in elements(entry, list).enumerate() {
            let at = list_at.child(index);
            reach(if stop.is_some() { &stop } else { &asks }, &at);
            if is_shadow(entry) || !always(rule) {
                continue;
            }
            match list {
                "deny_if" if stop.is_none() => stop = Some(Stop { at, does: REFUSES }),
                "require_approval" if asks.is_none() => asks = Some(Stop { at, does: ASKS }),
                _ => {}
            }
        }
    }
    // What was approved is still counted, so an approval stops no limit.
    for (index, limit) in elements(entry, "limits").enumerate() {
        let at = at.child("limits").child(index);
        reach(&stop, &at);
        if stop.is_none() && !is_shadow(entry) && is_empty_limit(limit) {
            stop = Some(Stop { at, does: REFUSES });
        }
    }
    if entry.get("rate_limit").is_some() {
        reach(&stop, &at.child("rate_limit"));
    }
}

fn is_shadow(value: &Value) -> bool {
    value.text("mode") == Some("shadow")
}

/// Whether a rule of `deny_if` or `require_approval` matches every call.
fn always(rule: &Value) -> bool {
    matches!(rule.get("conditions"), Some(Value::Array(conditions)) if conditions.is_empty()) && !is_shadow(rule)
}

/// Whether a limit has room for no call at all.
fn is_empty_limit(limit: &Value) -> bool {
    let number = |name: &str| match limit.get(name) {
        Some(Value::Number(digits)) => Decimal::parse(digits),
        _ => None,
    };
    let is_zero = |number: Option<Decimal<'_>>| number == Decimal::parse("0");
    let counts = limit.get("increment_from").is_none() && !is_zero(number("increment"));
    is_zero(number("max")) && counts && !is_shadow(limit)
}
