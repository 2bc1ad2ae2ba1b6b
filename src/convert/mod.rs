//! Policies from what others have written: Intercept's YAML, and the permissions of Claude Code.
//!
//! What a policy cannot say as strictly as its source is a problem, and then there is no policy. What it says more
//! strictly, or in other words, is told.

mod claude_code;
mod intercept;
mod yaml;

pub use claude_code::claude_code;
pub use intercept::intercept;

use crate::policy::{Policy, Problems};
use crate::wire::reply::string as reply_string;
use crate::wire::value::Value;

/// A policy, and what it says otherwise than its source.
#[derive(Debug)]
pub struct Conversion {
    /// JSON, two blanks to a level.
    pub policy: String,
    /// Each loss and difference, by its place in the source.
    pub notes: Problems,
}

/// The policy, if nothing is wrong and the engine loads it.
fn finish(policy: Option<Value>, mut problems: Problems, notes: Problems) -> Result<Conversion, Problems> {
    let Some(policy) = policy.filter(|_| problems.is_empty()) else { return Err(problems) };
    let policy = format!("{}\n", pretty(&policy, 0));
    match Policy::load("default", &policy) {
        Ok(_) => Ok(Conversion { policy, notes }),
        Err(refused) => {
            for problem in refused.iter() {
                problems.add(&problem.pointer, format!("as converted: {}", problem.message));
            }
            Err(problems)
        }
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn object(members: Vec<(&str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// For a sentence: shortened, and quoted.
fn quoted(words: &str) -> String {
    text(words).to_string()
}

fn pretty(value: &Value, level: usize) -> String {
    let indent = "  ".repeat(level);
    let several = |open: char, lines: Vec<String>, close: char| {
        format!("{open}\n{indent}  {}\n{indent}{close}", lines.join(&format!(",\n{indent}  ")))
    };
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            several('[', elements.iter().map(|element| pretty(element, level + 1)).collect(), ']')
        }
        Value::Object(members) if !members.is_empty() => {
            let line =
                |(name, value): &(String, Value)| format!("{}: {}", reply_string(name), pretty(value, level + 1));
            several('{', members.iter().map(line).collect(), '}')
        }
        other => other.compact(),
    }
}
