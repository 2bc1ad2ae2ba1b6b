//! What Intercept decides, written as plainly as its documentation reads: arguments as 64-bit floats, counters with
//! windows in UTC, all rules first and then all that is counted. Its faults are left out: amounts are whole numbers from 0, a
//! counter has one rule that counts it, and texts spell numbers as Go prints them.

use regex_lite::Regex;
use serde_json::Value;
use std::collections::HashMap;

/// A document, and what has been counted.
pub struct Reference<'d> {
    document: &'d Value,
    /// By `<tool>.<counter>`: the length of the window, its number, and the count in it.
    counts: HashMap<String, (i64, i64, i64)>,
}

/// What a rule counts.
struct Counted {
    key: String,
    seconds: i64,
    limit: f64,
    amount: Option<i64>,
}

impl<'d> Reference<'d> {
    pub fn new(document: &'d Value) -> Self {
        Self { document, counts: HashMap::new() }
    }

    /// Whether the call goes on; then it is counted. `now` in seconds.
    pub fn allows(&mut self, tool: &str, arguments: &Value, now: i64) -> bool {
        let hidden = self.document["hide"].as_array().map(Vec::as_slice).unwrap_or_default();
        if hidden.iter().any(|name| name == tool || name == "*") {
            return false;
        }
        if self.document["default"] == "deny" && self.document["tools"].get(tool).is_none() {
            return false;
        }
        let lists = [(tool, self.document["tools"][tool].clone()), ("_global", self.document["tools"]["*"].clone())];
        let rules: Vec<(&str, &Value)> = lists
            .iter()
            .flat_map(|(prefix, entry)| {
                entry["rules"].as_array().into_iter().flatten().map(move |rule| (*prefix, rule))
            })
            .collect();
        if !rules.iter().all(|(prefix, rule)| self.passes(prefix, rule, arguments, now)) {
            return false;
        }
        let mut reserved: Vec<(String, i64)> = Vec::new();
        for counted in rules.iter().filter_map(|(prefix, rule)| counted(prefix, rule, arguments)) {
            let count = self.count(&counted.key, now);
            let fits = |amount: &i64| *amount == 0 || (count + amount) as f64 <= counted.limit;
            let Some(amount) = counted.amount.filter(fits) else {
                for (key, amount) in reserved {
                    self.counts.get_mut(&key).unwrap().2 -= amount;
                }
                return false;
            };
            let window = now.div_euclid(counted.seconds);
            self.counts.insert(counted.key.clone(), (counted.seconds, window, count + amount));
            reserved.push((counted.key, amount));
        }
        true
    }

    /// A counter that was never used reads as 0, and so does one whose window has passed.
    fn count(&self, key: &str, now: i64) -> i64 {
        match self.counts.get(key) {
            Some((seconds, window, count)) if now.div_euclid(*seconds) == *window => *count,
            _ => 0,
        }
    }

    fn passes(&self, prefix: &str, rule: &Value, arguments: &Value, now: i64) -> bool {
        if rule["action"] == "deny" {
            return false;
        }
        if let Some(counted) = rule.get("rate_limit").and_then(|_| counted(prefix, rule, arguments)) {
            return self.count(&counted.key, now) as f64 <= counted.limit;
        }
        let mut conditions = rule["conditions"].as_array().unwrap().iter();
        conditions.all(|condition| {
            let path = condition["path"].as_str().unwrap();
            if let Some(key) = path.strip_prefix("state.") {
                return holds(condition, Some(&Value::from(self.count(key, now))));
            }
            holds(condition, found(arguments, path))
        })
    }
}

fn counted(prefix: &str, rule: &Value, arguments: &Value) -> Option<Counted> {
    let seconds = |window: &str| match window {
        "minute" => 60,
        "hour" => 3600,
        _ => 86_400,
    };
    if let Some(rate) = rule["rate_limit"].as_str() {
        let (limit, window) = rate.split_once('/').unwrap();
        return Some(Counted {
            key: format!("{prefix}._rate_{window}"),
            seconds: seconds(window),
            limit: limit.parse().unwrap(),
            amount: Some(1),
        });
    }
    let state = rule.get("state")?;
    let key = format!("{prefix}.{}", state["counter"].as_str().unwrap());
    let own = format!("state.{key}");
    let condition = rule["conditions"].as_array().unwrap().iter().find(|condition| condition["path"] == own)?;
    let bound = condition["value"].as_f64().unwrap();
    let amount = match state["increment_from"].as_str() {
        Some(path) => found(arguments, path).and_then(Value::as_f64).map(|amount| amount as i64),
        None => Some(state["increment"].as_i64().unwrap_or(1)),
    };
    let limit = if condition["op"] == "lt" { bound - 1.0 } else { bound };
    Some(Counted { key, seconds: seconds(state["window"].as_str().unwrap()), limit, amount })
}

/// Objects only.
fn found<'a>(arguments: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').skip(1).try_fold(arguments, |value, part| value.as_object()?.get(part))
}

/// What is missing makes every operator false but `exists`.
fn holds(condition: &Value, found: Option<&Value>) -> bool {
    let (op, operand) = (condition["op"].as_str().unwrap(), &condition["value"]);
    if op == "exists" {
        return found.is_some_and(|value| !value.is_null()) == operand.as_bool().unwrap();
    }
    let Some(value) = found else { return false };
    let among = || operand.as_array().unwrap().iter().any(|operand| equal(value, operand));
    let compared = || value.as_f64().zip(operand.as_f64()).and_then(|(value, operand)| value.partial_cmp(&operand));
    match op {
        "eq" => equal(value, operand),
        "neq" => !equal(value, operand),
        "in" => among(),
        "not_in" => !among(),
        "lt" => compared().is_some_and(|order| order.is_lt()),
        "lte" => compared().is_some_and(|order| order.is_le()),
        "gt" => compared().is_some_and(|order| order.is_gt()),
        "gte" => compared().is_some_and(|order| order.is_ge()),
        "regex" => value.as_str().is_some_and(|text| Regex::new(operand.as_str().unwrap()).unwrap().is_match(text)),
        "contains" => match value {
            Value::String(text) => text.contains(operand.as_str().unwrap()),
            Value::Array(elements) => elements.iter().any(|element| equal(element, operand)),
            _ => false,
        },
        other => panic!("no operator is named {other}"),
    }
}

/// Two numbers as floats, all else as Go prints it.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => printed(a) == printed(b),
    }
}

/// `fmt.Sprint` of what `encoding/json` makes of it; of numbers only those below a million.
fn printed(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.as_f64().unwrap().to_string(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => format!("[{}]", list(elements.iter().map(printed).collect())),
        Value::Object(members) => {
            format!("map[{}]", list(members.iter().map(|(name, value)| format!("{name}:{}", printed(value))).collect()))
        }
    }
}
