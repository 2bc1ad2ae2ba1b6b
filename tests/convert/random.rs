//! Random documents of Intercept and random calls, from so few words that they meet each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Tools that documents name, and one that none does.
pub const TOOLS: [&str; 5] = ["pay", "send", "x.y", "find", "other"];
const WINDOWS: [&str; 3] = ["minute", "hour", "day"];

pub struct Call {
    pub tool: &'static str,
    pub arguments: Value,
    /// Seconds since the call before.
    pub after: i64,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} after {}", self.tool, self.arguments, self.after)
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1_i64..4).prop_map(Value::from),
        1 => select(vec![json!(0.5), json!(2.5), json!(-1.5)]),
        3 => select(vec!["a", "ab", "1", "true", "b a", ""]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
    ]
}

fn argument() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        1 => vec(scalar(), 0..3).prop_map(Value::from),
        2 => scalar().prop_map(|value| json!({ "c": value })),
    ]
}

pub fn call() -> impl Strategy<Value = Call> {
    let amount = option::weighted(0.8, prop_oneof![6 => (0_i64..4).prop_map(Value::from), 1 => Just(json!("2"))]);
    let arguments = (option::weighted(0.8, argument()), option::weighted(0.5, argument()), amount);
    let after = prop_oneof![6 => 0_i64..15, 2 => 30_i64..90, 1 => Just(3600), 1 => Just(86_400)];
    (select(&TOOLS[..]), arguments, after).prop_map(|(tool, (a, b, n), after)| {
        let members = [("a", a), ("b", b), ("n", n)];
        let arguments: Map<String, Value> =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Call { tool, arguments: Value::from(arguments), after }
    })
}

fn on_argument() -> impl Strategy<Value = Value> {
    let path = select(vec!["args.a", "args.a", "args.b", "args.a.c", "args.b.c", "args.n"]);
    let equal = (select(vec!["eq", "neq", "neq"]), scalar());
    let among = (select(vec!["in", "not_in", "not_in"]), vec(scalar(), 0..4).prop_map(Value::from));
    let bound = prop_oneof![(-1_i64..4).prop_map(Value::from), Just(json!(1.5))];
    let ordered = (select(vec!["lt", "lte", "gt", "gte"]), bound);
    let regex = (Just("regex"), select(vec!["a", "^a", "b$", "^[0-9]+$", "^$", "(?i)AB"]).prop_map(Value::from));
    let contains = (Just("contains"), select(vec!["a", "1", " ", ""]).prop_map(Value::from));
    let exists = (Just("exists"), any::<bool>().prop_map(Value::from));
    let operation = prop_oneof![equal, among, ordered, regex, contains, exists];
    (path, operation).prop_map(|(path, (op, value))| json!({ "path": path, "op": op, "value": value }))
}

/// What a comparison with a counter allows.
fn bound() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        (1_i64..6).prop_map(|bound| ("lt", Value::from(bound))),
        (0_i64..6).prop_map(|bound| ("lte", Value::from(bound))),
        Just(("lte", json!(2.5))),
    ]
}

/// Which counter another rule looks at, as a share of those that there are.
type Look = (prop::sample::Index, (&'static str, Value));

/// Up to where, by which window, how much at once, and other conditions.
type Counts = ((&'static str, Value), &'static str, Option<Value>, Vec<Value>);

#[derive(Debug, Clone)]
struct Rules {
    deny: bool,
    plain: Vec<(Vec<Value>, Option<Look>)>,
    state: Option<Counts>,
    rates: Vec<(u8, &'static str)>,
    on_deny: bool,
}

fn rules() -> impl Strategy<Value = Rules> {
    let look = option::weighted(0.25, (any::<prop::sample::Index>(), bound()));
    let amount = option::of(prop_oneof![
        (1_i64..4).prop_map(|amount| json!({ "increment": amount })),
        Just(json!({ "increment_from": "args.n" })),
    ]);
    let state = option::weighted(0.4, (bound(), select(&WINDOWS[..]), amount, vec(on_argument(), 0..2)));
    let rates = vec((1_u8..5, select(&WINDOWS[..])), 0..2);
    (prop::bool::weighted(0.05), vec((vec(on_argument(), 1..3), look), 0..2), state, rates, any::<bool>())
        .prop_map(|(deny, plain, state, rates, on_deny)| Rules { deny, plain, state, rates, on_deny })
}

fn prefix(tool: &str) -> &str {
    if tool == "*" { "_global" } else { tool }
}

/// A counter: its path, its list, and whether an argument says the amount.
type Owner = (String, String, bool);

fn owners(entries: &[(&str, Rules)]) -> Vec<Owner> {
    let mut found = Vec::new();
    for (tool, rules) in entries {
        let path = |counter: &str| format!("state.{}.{counter}", prefix(tool));
        if let Some((_, _, amount, _)) = &rules.state {
            let is_argument = amount.as_ref().is_some_and(|amount| amount.get("increment_from").is_some());
            found.push((path("c"), (*tool).to_owned(), is_argument));
        }
        found.extend(
            rules.rates.iter().map(|(_, window)| (path(&format!("_rate_{window}")), (*tool).to_owned(), false)),
        );
    }
    found
}

fn write(tool: &str, rules: &Rules, owners: &[Owner]) -> Value {
    let mut written = Vec::new();
    let mut add = |name: &str, mut rule: Value| {
        rule["name"] = json!(name);
        if rules.on_deny {
            rule["on_deny"] = json!(format!("No {name}."));
        }
        written.push(rule);
    };
    for (conditions, look) in &rules.plain {
        let mut conditions = conditions.clone();
        if let Some((index, (op, value))) = look {
            // What is refused is left out: a count that the same call changes by what it says. And what is stricter: a
            // tool's count that all tools are held to.
            let can = |(_, owner, is_argument): &&Owner| {
                let is_same_call = owner == tool || owner == "*";
                !(is_same_call && *is_argument) && (tool != "*" || owner == "*")
            };
            let choices: Vec<&Owner> = owners.iter().filter(can).collect();
            if !choices.is_empty() {
                conditions.push(json!({ "path": choices[index.index(choices.len())].0, "op": op, "value": value }));
            }
        }
        // One name for several.
        add("plain", json!({ "conditions": conditions }));
    }
    if let Some(((op, value), window, amount, conditions)) = &rules.state {
        let mut conditions = conditions.clone();
        conditions.push(json!({ "path": format!("state.{}.c", prefix(tool)), "op": op, "value": value }));
        let mut state = json!({ "counter": "c", "window": window });
        for (name, value) in amount.iter().flat_map(|amount| amount.as_object().unwrap()) {
            state[name] = value.clone();
        }
        add("counts", json!({ "action": "evaluate", "conditions": conditions, "state": state }));
    }
    for (count, window) in &rules.rates {
        add("rate", json!({ "rate_limit": format!("{count}/{window}") }));
    }
    if rules.deny {
        add("never", json!({ "action": "deny" }));
    }
    json!({ "rules": written })
}

/// A document as JSON, which is YAML too.
pub fn document() -> impl Strategy<Value = Value> {
    let default = option::of(select(vec!["allow", "deny"]));
    let hide = vec(select(vec!["find", "send", "nothing"]), 0..2);
    let entries = vec(option::weighted(0.7, rules()), 5);
    (default, hide, entries).prop_map(|(default, hide, entries)| {
        let names = ["*", "pay", "send", "x.y", "find"];
        let entries: Vec<(&str, Rules)> =
            names.into_iter().zip(entries).filter_map(|(name, rules)| Some((name, rules?))).collect();
        let owners = owners(&entries);
        let tools: Map<String, Value> =
            entries.iter().map(|(name, rules)| ((*name).to_owned(), write(name, rules, &owners))).collect();
        let mut document = json!({ "version": "1", "hide": hide, "tools": tools });
        if let Some(default) = default {
            document["default"] = json!(default);
        }
        document
    })
}
