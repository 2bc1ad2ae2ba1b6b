//! The arguments of a tool: what they hand to it, and what they let the caller choose.

use super::lexicon;
use super::{Category, Field, Reason, languages, words};
use serde_json::{Map, Value};

/// Arguments that are run.
#[rustfmt::skip]
const RUN: &[&str] = &[
    "bash", "cmd", "command", "commands", "cypher", "javascript", "powershell", "program", "python", "script", "shell",
    "sql", "statement", "statements",
];

/// Objects within objects that are read: more than servers nest what they take.
const MAX_DEPTH: usize = 4;

/// Arguments that are run if their description says so: a `query` may be a search.
const RUN_IF_SAID: &[&str] = &["expression", "function", "input", "query", "source", "text"];

/// What says so.
#[rustfmt::skip]
const SAYING_RUN: &[&str] = &[
    "bash", "cypher", "dml", "eval", "evaluate", "evaluated", "execute", "executed", "graphql", "insert", "javascript",
    "mutation", "python", "run", "script", "shell", "snippet", "sql", "typescript",
];

/// Flags that leave no way back.
#[rustfmt::skip]
const NO_WAY_BACK: &[&str] = &[
    "cascade", "delete", "destroy", "drop", "force", "harddelete", "permanent", "permanently", "prune", "purge",
    "truncate", "wipe",
];

/// Arguments by which the caller chooses what is done.
const CHOICES: &[&str] = &["action", "command", "method", "mode", "operation", "op", "verb"];

/// What the arguments say. `force` tells something only of a tool that does more than read; else it may be to refresh.
pub(super) fn judge(schema: Option<&Value>, reasons: &mut Vec<Reason>) {
    let changes = reasons.is_empty() || reasons.iter().any(|reason| reason.says > Category::Read);
    if let Some(schema) = schema {
        arguments(schema, changes, MAX_DEPTH, reasons);
    }
}

/// The members of an object, and of the objects within it.
fn arguments(schema: &Value, changes: bool, depth: usize, reasons: &mut Vec<Reason>) {
    let Some(members) = schema.get("properties").and_then(Value::as_object) else { return };
    for (argument, definition) in members {
        let name = words::of_name(argument);
        if let Some(says) = handed_over(&name, definition).filter(|_| changes || argument != "force") {
            reasons.push(Reason { field: Field::InputSchema, word: argument.clone(), says });
        }
        if name.last().is_some_and(|word| CHOICES.contains(&word.as_str())) {
            choices(definition, reasons);
        }
        for inner in [Some(definition), definition.get("items")].into_iter().flatten().filter(|_| depth > 0) {
            arguments(inner, changes, depth - 1, reasons);
        }
    }
    money(members, reasons);
}

/// What an argument says by its name, and by its own description where the name could mean several things.
fn handed_over(name: &[String], definition: &Value) -> Option<Category> {
    let is_text = is_of_type(definition, "string") || is_of_type(definition, "array");
    let has_choice = definition.get("enum").is_some();
    let last = name.last().map_or("", String::as_str);
    let joined = name.concat();
    if is_text && !has_choice {
        if RUN.contains(&last) || last == "query" && name.iter().any(|word| RUN.contains(&word.as_str())) {
            return Some(Category::Execute);
        }
        let description = definition.get("description").and_then(Value::as_str).unwrap_or_default();
        let says_run = || words::of_all(description).iter().any(|word| SAYING_RUN.contains(&word.as_str()));
        // A `code` may be a country's, if its description shows another meaning.
        let is_run = RUN_IF_SAID.contains(&last) && says_run();
        if name.len() == 1 && (is_run || last == "code" && (description.is_empty() || says_run())) {
            return Some(Category::Execute);
        }
    }
    let is_flag =
        is_of_type(definition, "boolean") && (NO_WAY_BACK.contains(&joined.as_str()) || NO_WAY_BACK.contains(&last));
    is_flag.then_some(Category::Destructive)
}

/// Whether a value of the type fits, as far as `type` says; without it, anything does.
fn is_of_type(definition: &Value, wanted: &str) -> bool {
    match definition.get("type") {
        Some(Value::String(kind)) => kind == wanted,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == wanted),
        _ => true,
    }
}

/// The riskiest of the actions to choose from.
fn choices(definition: &Value, reasons: &mut Vec<Reason>) {
    let options = definition.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let judged = options.filter_map(|option| {
        let says = words::of_name(option).iter().filter_map(|word| known(word)).max()?;
        Some((says, option))
    });
    // `max_by_key` takes the last of equals; any of them explains.
    if let Some((says, option)) = judged.max_by_key(|(says, _)| *says) {
        reasons.push(Reason { field: Field::InputSchema, word: option.to_owned(), says });
    }
}

fn known(word: &str) -> Option<Category> {
    let english = lexicon::entry(word).filter(|entry| entry.kind != lexicon::Kind::Noun).map(|entry| entry.says);
    english.or_else(|| languages::entry(word))
}

/// An amount together with a currency is money.
fn money(arguments: &Map<String, Value>, reasons: &mut Vec<Reason>) {
    let ends = |endings: &[&str]| {
        arguments
            .keys()
            .find(|argument| words::of_name(argument).last().is_some_and(|word| endings.contains(&word.as_str())))
    };
    if let (Some(amount), Some(currency)) = (ends(&["amount", "amounts", "total"]), ends(&["currency"])) {
        let word = format!("{amount} and {currency}");
        reasons.push(Reason { field: Field::InputSchema, word, says: Category::Financial });
    }
}
