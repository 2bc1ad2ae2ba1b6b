//! The arguments of a tool: what they hand to it, and what they let the caller choose.

use super::lexicon;
use super::{Category, Field, Reason, languages, words};
use serde_json::{Map, Value};

/// Arguments that are run. Sorted.
#[rustfmt::skip]
const RUN: &[&str] = &[
    "bash", "cmd", "command", "commands", "cypher", "javascript", "powershell", "program", "python", "script", "shell",
    "sql", "statement", "statements",
];

/// Arguments that are run if their description says so: a `code` may be a country's, a `query` a search.
const RUN_IF_SAID: &[&str] = &["code", "expression", "function", "input", "query", "source", "text"];

/// What says so. Sorted.
#[rustfmt::skip]
const SAYING_RUN: &[&str] = &[
    "bash", "cypher", "dml", "eval", "evaluate", "evaluated", "execute", "executed", "graphql", "insert", "javascript",
    "mutation", "python", "run", "script", "shell", "snippet", "sql", "typescript",
];

/// Flags that leave no way back. Sorted.
#[rustfmt::skip]
const NO_WAY_BACK: &[&str] = &[
    "cascade", "delete", "destroy", "drop", "force", "harddelete", "permanent", "permanently", "prune",
    "purge", "truncate", "wipe",
];

/// Arguments by which the caller chooses what is done.
const CHOICES: &[&str] = &["action", "command", "method", "mode", "operation", "op", "verb"];

/// What the arguments say. `force` tells something only of a tool that does more than read: there it may mean to refresh.
pub(super) fn judge(schema: Option<&Value>, reasons: &mut Vec<Reason>) {
    let Some(arguments) = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object) else { return };
    let changes = reasons.is_empty() || reasons.iter().any(|reason| reason.says > Category::Read);
    for (argument, definition) in arguments {
        let name = words::of_name(argument);
        if let Some(says) = handed_over(&name, definition).filter(|_| changes || argument != "force") {
            reasons.push(Reason { field: Field::InputSchema, word: argument.clone(), says });
        }
        if name.last().is_some_and(|word| CHOICES.contains(&word.as_str())) {
            choices(definition, reasons);
        }
    }
    money(arguments, reasons);
}

/// What an argument says by its name, and by its own description where the name could mean several things.
fn handed_over(name: &[String], definition: &Value) -> Option<Category> {
    let is_one_of = |list: &[&str], word: &str| list.binary_search(&word).is_ok();
    // The last word is the noun: `sql_query`'s is not, but what it says, it says as well.
    let is_text = is_of_type(definition, "string") || is_of_type(definition, "array");
    let has_choice = definition.get("enum").is_some();
    let last = name.last().map_or("", String::as_str);
    let joined = name.concat();
    if is_text && !has_choice {
        if is_one_of(RUN, last) || last == "query" && name.iter().any(|word| is_one_of(RUN, word)) {
            return Some(Category::Execute);
        }
        let description = definition.get("description").and_then(Value::as_str).unwrap_or_default();
        let says_run = || words::of_all(description).iter().any(|word| is_one_of(SAYING_RUN, word));
        if name.len() == 1 && RUN_IF_SAID.contains(&last) && says_run() {
            return Some(Category::Execute);
        }
    }
    let is_flag =
        is_of_type(definition, "boolean") && (is_one_of(NO_WAY_BACK, &joined) || is_one_of(NO_WAY_BACK, last));
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
