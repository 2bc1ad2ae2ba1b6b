//! A filter as one writes it first, with the faults that filters of this kind were found to have: it reads what calls
//! itself JSON with an ordinary parser, looks at `tools/call` alone, and passes what it does not understand.

use super::case::{Case, Request};
use serde_json::{Map, Value};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    /// Refused, and answered under the id, `null` when there is none.
    Refuses {
        has_id: bool,
    },
}

/// What it does with the last request of a case, having seen those before.
pub fn judge(case: &Case) -> Verdict {
    let mut spent = 0;
    let verdicts: Vec<Verdict> = case.requests.iter().map(|request| judge_one(request, &mut spent)).collect();
    verdicts.last().copied().unwrap_or(Verdict::Passes)
}

fn judge_one(request: &Request, spent: &mut i64) -> Verdict {
    let is_json = request.header("content-type").is_some_and(|value| value.starts_with(b"application/json"));
    let message: Value = match serde_json::from_slice(&request.body) {
        Ok(message) if is_json => message,
        _ => return Verdict::Passes,
    };
    let params = &message["params"];
    let none = Map::new();
    let arguments = match &params["arguments"] {
        Value::Null => &none,
        Value::Object(arguments) => arguments,
        _ => return Verdict::Passes,
    };
    let (true, Some(name)) = (message["method"] == "tools/call", params["name"].as_str()) else {
        return Verdict::Passes;
    };
    let number = |name: &str| arguments.get(name).and_then(Value::as_f64);
    let allows = match name {
        "danger" | "denied" => false,
        "refund" => number("amount").is_none_or(|amount| amount <= 100.0),
        "record" => number("id") == Some(9_007_199_254_740_992.0),
        "spend" => {
            // Cut to an integer, whatever its sign; nothing when it is none.
            let total = *spent + number("amount").unwrap_or_default() as i64;
            let fits = total <= 2;
            if fits {
                *spent = total;
            }
            fits
        }
        _ => true,
    };
    if allows { Verdict::Passes } else { Verdict::Refuses { has_id: !message["id"].is_null() } }
}
