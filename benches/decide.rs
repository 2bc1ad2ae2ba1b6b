//! What a decision costs by the size of the policy, and what it costs to compile a large one. Ends with an
//! error when a decision under 1,000 tools costs more than 1.2 times that under 10, or when 5,000 tools with
//! 20,000 rules take a second: `make bench-decide`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

use mcp_policy::policy::{MemoryStore, NoFacts, Outcome, Policy, Principal, Query, Target};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::Reader;
use mcp_policy::wire::mcp::Feature;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SMALL: usize = 10;
const LARGE: usize = 1000;
const MOST: f64 = 1.2;
/// The fastest of so many rounds counts, so that what else the machine does counts least.
const ROUNDS: usize = 60;
const DECISIONS: usize = 2000;

/// The keys of a policy, by their index, and the names that meet them.
struct Mix {
    name: &'static str,
    key: fn(usize) -> String,
    /// Whether the bound holds for it: patterns without a literal end are tried one by one.
    is_bounded: bool,
}

const MIXES: [Mix; 4] = [
    Mix { name: "names", key: |index| format!("tool_{index}"), is_bounded: true },
    Mix {
        name: "names and prefixes, half each",
        key: |index| if index % 2 == 0 { format!("tool_{index}") } else { format!("group_{index}_*") },
        is_bounded: true,
    },
    Mix {
        name: "names, prefixes, suffixes, both ends, a quarter each",
        key: |index| match index % 4 {
            0 => format!("tool_{index}"),
            1 => format!("group_{index}_*"),
            2 => format!("*_kind{index}"),
            _ => format!("get_*_of{index}"),
        },
        is_bounded: true,
    },
    Mix { name: "patterns without literal ends", key: |index| format!("*x{index}y*"), is_bounded: false },
];

fn entry(index: usize) -> Value {
    json!({
        "require": [{"id": "own", "conditions": [{"path": "args.to", "op": "ends_with", "value": "@example.com"}]}],
        "deny_if": [
            {"id": "large", "conditions": [{"path": "args.amount", "op": "gt", "value": 100 + index}]},
            {"id": "html", "conditions": [{"path": "args.text", "op": "regex", "value": "(?i)<script"}]},
            {"id": "kind", "conditions": [{"path": "args.kind", "op": "in", "value": ["a", "b"]}]}
        ],
        "limits": [{"counter": "calls", "window": "day", "max": 1_000_000_000}]
    })
}

fn document(mix: &Mix, size: usize) -> String {
    let tools: Map<String, Value> = (0..size).map(|index| ((mix.key)(index), entry(index))).collect();
    let limits = json!([{"counter": "all", "window": "day", "max": 1_000_000_000}]);
    json!({"version": "1", "default": "allow", "hide": ["hidden_*"], "all_tools": {"limits": limits}, "tools": tools})
        .to_string()
}

/// So many decisions on these names in turn; each must be what the mix says.
fn measure(policy: &Policy, names: &[String], store: &mut MemoryStore) -> Duration {
    let principal = Principal { grant: "g".into(), session: None };
    let text = r#"{"to":"ann@example.com","amount":7.50,"text":"Hello, <b>you</b>","kind":"c","more":[1,2,3]}"#;
    let started = Instant::now();
    for name in names.iter().cycle().take(DECISIONS) {
        let query = Query {
            principal: &principal,
            method: "tools/call",
            target: Some(Target { feature: Feature::Tool, name }),
            arguments: Reader::new(text).value().ok(),
            continues: false,
            defers_limits: false,
            tells_budgets: false,
            approved: None,
            meta: None,
            now: Timestamp::from_millis(0),
            facts: &NoFacts,
        };
        assert_eq!(black_box(policy.decide(&query, store)).outcome, Outcome::Allowed, "{name}");
    }
    started.elapsed()
}

fn main() -> ExitCode {
    let mut is_good = true;
    for mix in &MIXES {
        let policies = [SMALL, LARGE].map(|size| Policy::load("bench", &document(mix, size)).unwrap());
        let listed: Vec<String> = (0..SMALL).map(|index| (mix.key)(index).replace('*', "any")).collect();
        let unlisted: Vec<String> = (0..SMALL).map(|index| format!("other_{index}")).collect();
        for (what, names) in [("listed tools", &listed), ("unlisted tools", &unlisted)] {
            let mut best = [Duration::MAX; 2];
            let mut stores = [MemoryStore::default(), MemoryStore::default()];
            for _ in 0..ROUNDS {
                for ((policy, best), store) in policies.iter().zip(&mut best).zip(&mut stores) {
                    *best = measure(policy, names, store).min(*best);
                }
            }
            let [small, large] = best.map(|time| time.as_secs_f64() * 1e9 / DECISIONS as f64);
            let ratio = large / small;
            let verdict = if !mix.is_bounded {
                "no bound"
            } else if ratio <= MOST {
                "ok"
            } else {
                "TOO SLOW"
            };
            is_good &= !mix.is_bounded || ratio <= MOST;
            println!(
                "{}, {what}: {small:.0} ns under {SMALL}, {large:.0} ns under {LARGE}, {ratio:.2} times: {verdict}",
                mix.name
            );
        }
    }
    for mix in &MIXES {
        let text = document(mix, 5000);
        let compile = || {
            let started = Instant::now();
            assert!(black_box(Policy::load("bench", black_box(&text))).is_ok());
            started.elapsed()
        };
        let took = (0..5).map(|_| compile()).min().unwrap_or_default();
        is_good &= took < Duration::from_secs(1);
        let size = text.len() / 1024;
        println!("{}: 5,000 tools with 20,000 rules and 5,000 limits ({size} KiB) compile in {took:.0?}", mix.name);
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
