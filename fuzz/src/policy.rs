//! A policy or a configuration: one that loads decides, hides what it says, and means the same however it is
//! written; one that does not load says what is wrong, and where.

use super::judge::Json;
use mcp_policy::cases::CaseFile;
use mcp_policy::config::{self, Gate};
use mcp_policy::policy::{MemoryStore, NoFacts, Outcome, Policy, Principal, Query, Target, rule};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::Reader;
use mcp_policy::wire::mcp::Feature;

/// Names that are tried beside those of the document itself.
const NAMES: [&str; 3] = ["a", "get_a", "file:///hidden/x"];
const ARGUMENTS: [Option<&str>; 4] =
    [None, Some("{}"), Some(r#"{"x":[{"y":1e2}],"path":"a","amount":-0}"#), Some(r#"{"x":null,"X":[],"amount":"5"}"#)];
const METHODS: [(&str, Feature); 4] = [
    ("tools/call", Feature::Tool),
    ("prompts/get", Feature::Prompt),
    ("resources/read", Feature::Resource),
    ("resources/unsubscribe", Feature::Resource),
];

/// One document.
pub fn check(text: &[u8]) {
    let document = Json::strict(text);
    let what = || String::from_utf8_lossy(text).into_owned();
    if let Ok(text) = std::str::from_utf8(text) {
        drop(CaseFile::parse(text));
    }
    drop(config::lint(text, None));
    let gate = match Gate::load(text) {
        Ok(gate) => gate,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason: {}", what());
            for problem in problems.iter() {
                let pointer = problem.pointer.as_str();
                assert!(!problem.message.is_empty(), "{}", what());
                assert!(
                    document.as_ref().map_or(pointer.is_empty(), |document| leads_somewhere(document, pointer)),
                    "{pointer} of {}",
                    what()
                );
            }
            return;
        }
    };
    let document = document.unwrap_or_else(|| panic!("loads what is no JSON: {}", what()));
    let names = names(&document);
    let again = document.is_plain().then(|| {
        let written = document.written(true);
        Gate::load(written.as_bytes())
            .unwrap_or_else(|problems| panic!("{problems}\nin {written}\nbut not in {}", what()))
    });
    for (index, policy) in gate.policies().enumerate() {
        let other = again.as_ref().and_then(|again| again.policies().nth(index));
        assert!(other.is_none_or(|other| other.version() == policy.version()), "two versions of {}", what());
        for name in &names {
            for (method, feature) in METHODS {
                judged(policy, other, method, Target { feature, name }, &what);
            }
        }
    }
    if document.get("policies").is_none()
        && let Some(policy) = gate.default_policy()
    {
        plainly(&document, policy, &names, &what);
    }
}

/// Whether the place, or the one around it, is there.
fn leads_somewhere(document: &Json, pointer: &str) -> bool {
    let mut places = vec![document];
    let mut tokens = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).peekable();
    while let Some(token) = tokens.next() {
        let inner: Vec<&Json> = places
            .iter()
            .flat_map(|place| match place {
                Json::Object(members) => {
                    members.iter().filter(|(name, _)| *name == token).map(|(_, value)| value).collect()
                }
                Json::Array(elements) => {
                    token.parse().ok().and_then(|index: usize| elements.get(index)).into_iter().collect()
                }
                Json::Word(_) | Json::String(_) => Vec::new(),
            })
            .collect();
        if inner.is_empty() {
            return tokens.peek().is_none();
        }
        places = inner;
    }
    true
}

/// Texts of the document that may be names, and [`NAMES`].
fn names(document: &Json) -> Vec<String> {
    let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Json::String(text) => names.push(text.replace('*', "x").replace('?', "é")),
            Json::Array(elements) => open.extend(elements),
            Json::Object(members) => {
                for (name, value) in members {
                    names.push(name.replace('*', "").replace('?', "b"));
                    open.push(value);
                }
            }
            Json::Word(_) => {}
        }
        if names.len() > 30 {
            break;
        }
    }
    names
}

fn judged(policy: &Policy, other: Option<&Policy>, method: &str, target: Target<'_>, what: &dyn Fn() -> String) {
    let principal = Principal { grant: Principal::ANONYMOUS.to_owned(), session: Some("s".to_owned()) };
    for arguments in ARGUMENTS {
        let query = Query {
            principal: &principal,
            method,
            target: Some(target),
            arguments: arguments.and_then(|text| Reader::new(text).value().ok()),
            continues: false,
            meta: None,
            now: Timestamp::from_millis(1_700_000_000_000),
            facts: &NoFacts,
            defers_limits: false,
            tells_budgets: false,
            approved: None,
        };
        let decision = policy.decide(&query, &mut MemoryStore::default());
        let named = || format!("{method} {:?} {arguments:?} under {}", target.name, what());
        let is_read = method != "resources/unsubscribe";
        if is_read && !policy.visible(target.feature, target.name) {
            assert!(!decision.outcome.goes_on(), "hidden and goes on: {}", named());
        }
        // In shadow mode it is told, and seen.
        if decision.rule == rule::HIDDEN && !decision.outcome.goes_on() {
            assert!(!policy.visible(target.feature, target.name), "hidden and listed: {}", named());
        }
        if !decision.outcome.goes_on() {
            assert!(!decision.rule.is_empty() && !decision.message.is_empty(), "no reason: {}", named());
            // A refused message has spent nothing, and a second store tells the same.
            let mut store = MemoryStore::default();
            let first = policy.decide(&query, &mut store);
            let second = policy.decide(&query, &mut store);
            assert_eq!((first.outcome, first.rule), (second.outcome, second.rule), "{}", named());
        }
        let guess = policy.decide_as_unknown(&query, &mut MemoryStore::default());
        assert!(guess.rule != rule::HIDDEN, "a guess learns of a hidden name: {}", named());
        if let Some(other) = other {
            let again = other.decide(&query, &mut MemoryStore::default());
            assert_eq!(
                (decision.outcome, decision.rule, decision.message),
                (again.outcome, again.rule, again.message),
                "{}",
                named()
            );
        }
    }
}

/// What a bare policy says in so many words.
fn plainly(document: &Json, policy: &Policy, names: &[String], what: &dyn Fn() -> String) {
    let is_shadow = document.get("mode").and_then(Json::text) == Some("shadow");
    let hide: Vec<&str> =
        document.get("hide").map(Json::each).unwrap_or_default().iter().filter_map(Json::text).collect();
    let denies = document.get("default").and_then(Json::text) == Some("deny");
    let principal = Principal { grant: Principal::ANONYMOUS.to_owned(), session: None };
    for name in names {
        let query = Query {
            principal: &principal,
            method: "tools/call",
            target: Some(Target { feature: Feature::Tool, name }),
            arguments: None,
            continues: false,
            meta: None,
            now: Timestamp::from_millis(0),
            facts: &NoFacts,
            defers_limits: false,
            tells_budgets: false,
            approved: None,
        };
        let decision = policy.decide(&query, &mut MemoryStore::default());
        if is_shadow {
            assert!(decision.outcome.goes_on() && policy.visible(Feature::Tool, name), "{name:?} under {}", what());
            continue;
        }
        let characters: Vec<char> = name.chars().collect();
        let is_hidden = hide.iter().any(|pattern| fits(&pattern.chars().collect::<Vec<char>>(), &characters));
        if is_hidden {
            assert!(!policy.visible(Feature::Tool, name), "{name:?} is shown under {}", what());
            assert_eq!(decision.outcome, Outcome::Denied, "{name:?} under {}", what());
        }
        if denies && document.get("tools").is_none() {
            assert_eq!(decision.outcome, Outcome::Denied, "{name:?} under {}", what());
        }
    }
}

/// Whether `pattern` fits, a table row for each of its characters.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match wanted {
                '*' => reached[at] || at > 0 && next[at - 1],
                '?' => at > 0 && reached[at - 1],
                literal => at > 0 && reached[at - 1] && name[at - 1] == *literal,
            };
        }
        reached = next;
    }
    reached[name.len()]
}
