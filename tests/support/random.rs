//! Random policies, calls and messages, from a vocabulary so small that they meet each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

pub const TOOLS: [&str; 9] = ["a", "b", "get_a", "get_b", "del", "x_y", "é", "A", ""];
const PATTERNS: [&str; 12] = ["a", "b", "get_a", "del", "get_*", "*_y", "?", "a*", "*e*", "g?t_*", "é", "x_y"];
const WORDS: [&str; 8] = ["a", "b", "1", "true", "", "anonymous", "1.0", "X"];

fn word() -> impl Strategy<Value = String> {
    select(&WORDS[..]).prop_map(str::to_owned)
}

fn member(members: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value.into());
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2_i64..3).prop_map(Value::from),
        Just(json!(9_007_199_254_740_993_u64)),
        Just(json!(0.5)),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        word().prop_map(Value::from),
    ]
}

fn path() -> impl Strategy<Value = &'static str> {
    select(vec![
        "args.x",
        "args.y",
        "args.x[*]",
        "args.x[0]",
        "args.x.y",
        "args[\"x\"]",
        "args.x[*].y",
        "meta.x",
        "grant.id",
        "session.id",
        "header.accept",
        "header.none",
        "jwt.sub",
        "uri",
    ])
}

fn test() -> impl Strategy<Value = Value> {
    let equal = (select(vec!["eq", "neq", "contains", "not_contains"]), scalar());
    let listed = (select(vec!["in", "not_in"]), vec(scalar(), 0..3).prop_map(Value::from));
    let ordered = (select(vec!["lt", "lte", "gt", "gte"]), (-2_i64..3).prop_map(Value::from));
    let text =
        (select(vec!["starts_with", "ends_with", "regex", "matches", "not_regex"]), word().prop_map(Value::from));
    let there = (select(vec!["exists", "not_exists"]), any::<bool>().prop_map(Value::from));
    let operation = prop_oneof![equal, listed, ordered, text, there];
    (path(), operation).prop_map(|(path, (op, value))| json!({"path": path, "op": op, "value": value}))
}

fn condition() -> impl Strategy<Value = Value> {
    test().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(|list| json!({ "all": list })),
            vec(inner.clone(), 1..3).prop_map(|list| json!({ "any": list })),
            inner.prop_map(|inner| json!({ "not": inner })),
        ]
    })
}

/// A rule of at least so many conditions, enforced.
pub fn rule(least: usize) -> impl Strategy<Value = Value> {
    let long = (vec(condition(), least..3), option::of(word())).prop_map(|(conditions, on_deny)| {
        let mut rule = Map::from_iter([("conditions".to_owned(), Value::from(conditions))]);
        member(&mut rule, "on_deny", on_deny);
        Value::from(rule)
    });
    prop_oneof![test(), long]
}

fn rules(least: usize) -> impl Strategy<Value = Vec<Value>> {
    let rule = (rule(least), any::<bool>(), prop::bool::weighted(0.2));
    vec(rule, 0..3).prop_map(|rules| {
        let number = |(index, (mut rule, has_id, is_shadow)): (usize, (Value, bool, bool))| {
            if let Some(members) = rule.as_object_mut().filter(|members| members.contains_key("conditions")) {
                member(members, "id", has_id.then(|| format!("r{index}")));
                member(members, "mode", is_shadow.then_some("shadow"));
            }
            rule
        };
        rules.into_iter().enumerate().map(number).collect()
    })
}

fn limits() -> impl Strategy<Value = Vec<Value>> {
    let window = select(vec![json!("minute"), json!("day"), json!(60), json!("week")]);
    let scope =
        select(vec![json!("grant"), json!("session"), json!("tool"), json!("global"), json!(["tool", "grant"])]);
    let amount = select(vec![json!({}), json!({"increment": 0}), json!({"increment_from": "args.x"})]);
    let limit = (window, scope, amount, 0_u32..4, any::<bool>(), prop::bool::weighted(0.2));
    vec(limit, 0..3).prop_map(|limits| {
        type Parts = (Value, Value, Value, u32, bool, bool);
        let number = |(index, (window, scope, mut limit, max, is_rolling, is_shadow)): (usize, Parts)| {
            if let Some(members) = Value::as_object_mut(&mut limit) {
                member(members, "counter", Some(format!("c{index}")));
                member(members, "window", Some(window));
                member(members, "scope", Some(scope));
                member(members, "max", Some(max));
                member(members, "align", is_rolling.then_some("rolling"));
                member(members, "mode", is_shadow.then_some("shadow"));
            }
            limit
        };
        limits.into_iter().enumerate().map(number).collect()
    })
}

fn schedule() -> impl Strategy<Value = Value> {
    select(vec![json!({"from": "00:00", "to": "12:00"}), json!({"days": ["thu"]}), json!({"days": ["fri", "sat"]})])
}

fn checks() -> impl Strategy<Value = Map<String, Value>> {
    let approvals = option::weighted(0.2, rules(0));
    let rate = option::weighted(0.3, select(vec!["1/minute", "2/day"]));
    (rules(1), rules(0), limits(), approvals, rate, prop::bool::weighted(0.15)).prop_map(
        |(require, deny_if, limits, approvals, rate, is_shadow)| {
            let mut checks = Map::new();
            member(&mut checks, "require", Some(require));
            member(&mut checks, "deny_if", Some(deny_if));
            member(&mut checks, "limits", Some(limits));
            member(&mut checks, "require_approval", approvals);
            member(&mut checks, "rate_limit", rate);
            member(&mut checks, "mode", is_shadow.then_some("shadow"));
            checks
        },
    )
}

fn entry() -> impl Strategy<Value = Value> {
    let checked = (checks(), option::weighted(0.2, schedule())).prop_map(|(mut checks, schedule)| {
        member(&mut checks, "schedule", schedule);
        Value::from(checks)
    });
    let action = select(vec!["allow", "deny", "require_approval"]).prop_map(|action| json!({ "action": action }));
    prop_oneof![1 => Just(json!({})), 1 => Just(Value::Null), 1 => action, 3 => checked]
}

/// A good policy that is enforced as a whole.
pub fn policy() -> impl Strategy<Value = Value> {
    let names = proptest::sample::subsequence(PATTERNS.to_vec(), 0..6);
    let tools = names.prop_flat_map(|names| {
        vec(entry(), names.len())
            .prop_map(move |entries| Value::from_iter(names.iter().map(|name| (*name).to_owned()).zip(entries)))
    });
    let hide = proptest::sample::subsequence(PATTERNS.to_vec(), 0..3);
    let schedule = option::weighted(0.1, schedule());
    let default = select(vec!["allow", "deny"]);
    let all_tools = prop_oneof![Just(Map::new()), checks()];
    (default, hide, any::<bool>(), schedule, all_tools, tools).prop_map(
        |(default, hide, hide_unlisted, schedule, all_tools, tools)| {
            let mut policy =
                Map::from_iter([("version".to_owned(), json!("1")), ("default".to_owned(), json!(default))]);
            member(&mut policy, "hide", Some(hide));
            member(&mut policy, "hide_unlisted", Some(hide_unlisted));
            member(&mut policy, "schedule", schedule);
            member(&mut policy, "all_tools", Some(all_tools));
            member(&mut policy, "tools", Some(tools));
            Value::from(policy)
        },
    )
}

/// A JSON text; its objects may have a member twice, or in two cases.
pub fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => scalar().prop_map(|value| value.to_string()),
        1 => select(vec!["1e400", "-0", "1.0", "1E0", "100000000000000000000000000001", "\"\\ud800\"", "\"\\u0061\""])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            vec((member_name(), inner), 0..4).prop_map(|members| object(&members)),
        ]
    })
}

fn member_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => select(vec!["x", "y", "z"]), 1 => select(vec!["X", "\\u0079", "ſ"])]
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// What is called, by whom and when.
#[derive(Debug, Clone)]
pub struct Call {
    pub tool: &'static str,
    /// An object.
    pub arguments: Option<String>,
    pub meta: Option<String>,
    pub session: Option<&'static str>,
    pub at: u64,
}

pub fn call() -> impl Strategy<Value = Call> {
    let arguments = vec((member_name(), json_text()), 0..4).prop_map(|members| object(&members));
    let meta = option::weighted(0.3, select(vec!["{\"x\":1}", "{}", "{\"x\":\"a\"}"]).prop_map(str::to_owned));
    let session = option::of(select(vec!["s", "t"]));
    let at = select(vec![0, 30_000, 61_000, 50_000_000, 100_000_000]);
    (select(&TOOLS[..]), option::weighted(0.9, arguments), meta, session, at)
        .prop_map(|(tool, arguments, meta, session, at)| Call { tool, arguments, meta, session, at })
}

/// The text of a JSON-RPC message that may hold a list of tools, more or less well.
pub fn list_text() -> impl Strategy<Value = String> {
    let name = select(vec!["\"hidden\"", "\"shown\"", "\"\\u0068idden\"", "1", "null", "\"Hidden\""]);
    let tool =
        vec((select(vec!["name", "name", "name", "Name", "title", "n\\u0061me"]), name), 0..3).prop_map(|members| {
            let members: Vec<(&str, String)> =
                members.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            object(&members)
        });
    let tool = prop_oneof![9 => tool, 1 => json_text()];
    let tools = vec(tool, 0..4).prop_map(|tools| format!("[ {} ]", tools.join(" , ")));
    let tools = prop_oneof![9 => tools, 1 => json_text()];
    let names = select(vec!["tools", "tools", "tools", "Tools", "tool\\u017f", "nextCursor", "t\\u006fols"]);
    let result = vec((names, tools), 0..3).prop_map(|members| object(&members));
    let result = prop_oneof![9 => result, 1 => json_text()];
    let names = select(vec!["result", "result", "result", "Result", "id", "error", "jsonrpc", "r\\u0065sult"]);
    let message = vec((names, result), 0..4).prop_map(|members| object(&members));
    let whole = prop_oneof![
        8 => message.clone(),
        1 => vec(message, 0..3).prop_map(|messages| format!("[{}]", messages.join(","))),
        1 => json_text(),
    ];
    // Sometimes a byte too many or too few.
    (whole, option::weighted(0.2, (any::<prop::sample::Index>(), select(vec!["", "}", "{", ",", "\"", "\\", "\n"]))))
        .prop_map(|(text, damage)| {
            let Some((index, put)) = damage else { return text };
            let mut characters: Vec<String> = text.chars().map(String::from).collect();
            if !characters.is_empty() {
                let index = index.index(characters.len());
                characters[index] = put.to_owned();
            }
            characters.concat()
        })
}

/// Words of JSON-RPC, of JSON and of documents, in any order.
pub fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "\n",
        "\r",
        "\r\n\r\n",
        "data:",
        "id:",
        "event:",
        "null",
        "1e400",
        "-",
        "0",
        "\"jsonrpc\":\"2.0\"",
        "\"id\":1",
        "\"method\":\"tools/call\"",
        "\"params\":{",
        "\"name\":\"hidden\"",
        "\"arguments\":{",
        "\"_meta\":{",
        "\"result\":{",
        "\"tools\":[",
        "{\"name\":\"hidden\"}",
        "\\ud800",
        "é",
        "\u{feff}",
        "\"version\":\"1\"",
        "\"default\":\"deny\"",
        "\"deny_if\":[",
        "\"conditions\":[",
        "\"path\":\"args[\\\"",
        "\"op\":",
    ];
    let word = prop_oneof![
        8 => select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(word, 0..24).prop_map(|words| words.concat())
}

/// JSON of the words that documents are made of, mostly in wrong places.
pub fn document() -> impl Strategy<Value = Value> {
    const WORDS: [&str; 34] = [
        "version",
        "default",
        "hide",
        "mode",
        "schedule",
        "all_tools",
        "tools",
        "action",
        "reason",
        "require",
        "deny_if",
        "require_approval",
        "limits",
        "rate_limit",
        "conditions",
        "id",
        "on_deny",
        "timeout",
        "path",
        "op",
        "value",
        "all",
        "any",
        "not",
        "counter",
        "window",
        "max",
        "scope",
        "increment",
        "increment_from",
        "days",
        "from",
        "policies",
        "default_policy",
    ];
    let text = prop_oneof![
        select(&WORDS[..]).prop_map(str::to_owned),
        select(vec!["1", "deny", "args.x", "eq", "regex", "5/day", "30m", "09:00", "session", "month"])
            .prop_map(str::to_owned),
        ".{0,6}",
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let key = prop_oneof![9 => select(&WORDS[..]).prop_map(str::to_owned), 1 => ".{0,6}"];
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), vec((key, inner), 0..6).prop_map(Value::from_iter),]
    })
}
