//! Conditions and amounts against what tools say they take.

use super::super::path::{Path, Step};
use super::super::problem::{Pointer, Problems, did_you_mean};
use super::schema::{self, Found, Types};
use super::tools::Tool;
use super::{RULES, elements};
use crate::wire::value::Value;

/// The checks of one entry, against the tools that they are asked about.
pub(super) fn lint(entry: &Value, at: &Pointer, tools: Vec<&Tool>, warnings: &mut Problems) {
    Asked { tools, warnings }.checks(entry, at);
}

/// The rules of one entry, and the tools that they are asked about.
struct Asked<'a> {
    tools: Vec<&'a Tool>,
    warnings: &'a mut Problems,
}

impl Asked<'_> {
    fn checks(&mut self, entry: &Value, at: &Pointer) {
        if self.tools.is_empty() {
            return;
        }
        for list in RULES {
            for (index, rule) in elements(entry, list).enumerate() {
                let at = at.child(list).child(index);
                self.condition(rule, &at);
                self.conditions(rule, "conditions", &at);
            }
        }
        for (index, limit) in elements(entry, "limits").enumerate() {
            let at = at.child("limits").child(index).child("increment_from");
            let Some(path) = limit.text("increment_from") else { continue };
            let Some(types) = self.types_at(path, &at) else { continue };
            if !types.meets(Types::NUMBER) {
                self.warnings.add(&at, format!("no amount: {} is {types} in {}", quoted(path), self.schemas()));
            }
        }
    }

    fn conditions(&mut self, value: &Value, list: &str, at: &Pointer) {
        for (index, condition) in elements(value, list).enumerate() {
            self.condition(condition, &at.child(list).child(index));
        }
    }

    fn condition(&mut self, condition: &Value, at: &Pointer) {
        self.conditions(condition, "all", at);
        self.conditions(condition, "any", at);
        if let Some(inner) = condition.get("not") {
            self.condition(inner, &at.child("not"));
        }
        let (Some(path), Some(op)) = (condition.text("path"), condition.text("op")) else { return };
        let Some(types) = self.types_at(path, &at.child("path")) else { return };
        if judges(op, condition.get("value")).is_some_and(|judged| !judged.meets(types)) {
            let (path, schemas) = (quoted(path), self.schemas());
            let message = format!("operator \"{op}\" can never judge {path}, which is {types} in {schemas}");
            self.warnings.add(&at.child("op"), message);
        }
    }

    /// What the place `path` may be in any of the tools that have it, where all of them say; warns when none
    /// has it.
    fn types_at(&mut self, path: &str, at: &Pointer) -> Option<Types> {
        let Ok(Path::Args(steps)) = Path::parse(path) else { return None };
        let mut all: Option<Types> = None;
        for tool in &self.tools {
            match schema::find(&tool.schema, &steps) {
                Found::Absent => {}
                Found::Typed(types) => all = Some(all.map_or(types, |all| all.or(types))),
                Found::Silent | Found::Anything => return None,
            }
        }
        if all.is_none() {
            let message = format!("{} has no {}{}", self.schemas(), quoted(path), self.near(&steps));
            self.warnings.add(at, message);
        }
        all
    }

    /// The argument that was perhaps meant.
    fn near(&self, steps: &[Step]) -> String {
        let Some(Step::Member(name)) = steps.first() else { return String::new() };
        let properties = |tool: &&Tool| tool.schema.get("properties")?.as_object().cloned();
        let maps: Vec<_> = self.tools.iter().filter_map(properties).collect();
        let names: Vec<&str> = maps.iter().flat_map(|map| map.keys().map(String::as_str)).collect();
        // One that is there is not misspelt; what follows it is.
        if names.contains(&name.as_str()) { String::new() } else { did_you_mean(name, &names) }
    }

    fn schemas(&self) -> String {
        match self.tools.as_slice() {
            [tool] => format!("the inputSchema of {}", quoted(&tool.name)),
            tools => format!("the inputSchema of each of the {} tools that it is asked about", tools.len()),
        }
    }
}

/// The types that an operator can judge; `None` for those that judge any.
fn judges(op: &str, operand: Option<&Value>) -> Option<Types> {
    match op {
        "lt" | "lte" | "gt" | "gte" => Some(Types::NUMBER),
        "regex" | "matches" | "not_regex" | "starts_with" | "ends_with" => Some(Types::STRING),
        "contains" | "not_contains" => match operand {
            Some(Value::String(_) | Value::Number(_)) => Some(Types::STRING.or(Types::ARRAY)),
            _ => Some(Types::ARRAY),
        },
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).compact()
}
