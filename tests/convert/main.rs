//! `mcp-policy convert`: documents and what becomes of them, and random ones, whose decisions must be those of their
//! source.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
// The reference reads numbers as Go does.
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, missing_docs)]

mod random;
mod reference;

use mcp_policy::convert::{self, Conversion};
use mcp_policy::policy::{Decision, MemoryStore, NoFacts, Outcome, Policy, Principal, Problems, Query, Store, Target};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::Reader;
use mcp_policy::wire::mcp::Feature;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reference::Reference;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the binary said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn convert(arguments: &[&str], input: &[u8]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.arg("convert").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command runs");
    let _ = child.stdin.take().expect("an input").write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().expect("no signal"), out: text(stdout), err: text(stderr) }
}

/// One document, and the policy that comes of it with what is told, or why there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The lines of a document of Intercept.
    #[serde(default)]
    intercept: Vec<String>,
    /// Settings of Claude Code.
    claude_code: Option<Value>,
    server: Option<String>,
    policy: Option<Value>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    problems: Vec<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../cases/convert.json")).expect("cases")
}

#[test]
fn documents_become_policies_or_are_refused_with_the_reason() {
    let mut failed = Vec::new();
    for case in cases() {
        let (origin, input) = match &case.claude_code {
            Some(settings) => ("claude-code", settings.to_string()),
            None => ("intercept", case.intercept.join("\n")),
        };
        let mut arguments = vec![origin, "-"];
        arguments.extend(case.server.iter().flat_map(|server| ["--server", server]));
        let said = convert(&arguments, input.as_bytes());
        let policy: Option<Value> = (!said.out.is_empty()).then(|| serde_json::from_str(&said.out).expect("JSON"));
        let lines = if case.policy.is_some() { &case.notes } else { &case.problems };
        let expected: Vec<String> = lines.iter().map(|line| format!("-: {line}")).collect();
        let is_right = policy == case.policy
            && said.err.lines().eq(expected.iter().map(String::as_str))
            && said.code == i32::from(case.policy.is_none());
        if !is_right || (case.policy.is_none() && case.problems.is_empty()) {
            failed.push(format!("{}\n{}{}", case.name, said.out, said.err));
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// The names of what stands somewhere in the documents of Intercept that become policies.
#[test]
fn every_member_and_operator_of_intercept_is_converted_somewhere() {
    let sources: Vec<String> =
        cases().iter().filter(|case| case.policy.is_some()).map(|case| case.intercept.join("\n")).collect();
    let all = sources.join("\n");
    for word in [
        "version:",
        "description:",
        "default: allow",
        "default: deny",
        "hide:",
        "tools:",
        "rules:",
        "name:",
        "action: evaluate",
        "action: deny",
        "action: require_approval",
        "conditions:",
        "path: args.",
        "path: state.",
        "path: state._global.",
        "on_deny:",
        "rate_limit:",
        "state:",
        "counter:",
        "window: minute",
        "window: hour",
        "window: day",
        "increment:",
        "increment_from:",
        "approval_timeout:",
        "approvals:",
        "/minute",
        "/hour",
        "/day",
        "\"*\":",
        "op: eq",
        "op: neq",
        "op: in",
        "op: not_in",
        "op: lt",
        "op: lte",
        "op: gt",
        "op: gte",
        "op: regex",
        "op: contains",
        "op: exists",
    ] {
        assert!(all.contains(word), "no document that is converted has {word}");
    }
    let refused = cases().iter().filter(|case| case.policy.is_none() && !case.intercept.is_empty()).count();
    assert!(sources.iter().filter(|source| !source.is_empty()).count() >= 30 && refused >= 30, "{refused} are refused");
}

#[test]
fn members_stand_in_the_order_of_the_reader_and_tools_in_that_of_the_document() {
    let source = r#"
tools:
  b: {}
  a:
    rules: [{name: n, action: deny}]
  "*":
    rules: [{rate_limit: 9/day}]
hide: [x]
description: d
default: deny
version: 1
"#;
    let said = convert(&["intercept", "-"], source.as_bytes());
    let expected = r#"{
  "version": "1",
  "description": "d",
  "default": "deny",
  "hide": [
    "x"
  ],
  "all_tools": {
    "limits": [
      {
        "counter": "_global._rate_day",
        "window": "day",
        "max": 9,
        "scope": "global"
      }
    ]
  },
  "tools": {
    "b": {},
    "a": {
      "deny_if": [
        {
          "id": "n",
          "conditions": []
        }
      ]
    }
  }
}
"#;
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
}

#[test]
fn a_policy_is_written_whole_or_not_at_all() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("convert");
    std::fs::create_dir_all(&place).expect("a directory");
    let path = |name: &str| place.join(name).to_str().expect("UTF-8").to_owned();
    let (good, bad, out) = (path("good.yaml"), path("bad.yaml"), path("policy.json"));
    std::fs::write(&good, "version: \"1\"\nhide: [a*]\n").expect("a file");
    std::fs::write(&bad, "version: \"2\"\n").expect("a file");
    std::fs::write(&out, "before").expect("a file");
    let there = || std::fs::read_to_string(&out).expect("a file");
    let said = convert(&["intercept", &bad, "-o", &out], b"");
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert_eq!(said.err, format!("{bad}: /version: version must be \"1\", got \"2\"\n"));
    assert_eq!(there(), "before");
    let said = convert(&["intercept", &good, "-o", &out], b"");
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(said.err.starts_with(&format!("{good}: /hide/0: hides every tool")), "{}", said.err);
    assert!(Policy::load("p", &there()).is_ok());
    let left: BTreeSet<String> = std::fs::read_dir(&place)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(left, ["bad.yaml", "good.yaml", "policy.json"].map(str::to_owned).into());
    for arguments in [
        vec!["intercept", "/no/such/file"],
        vec!["intercept", "."],
        vec!["intercept", &good, "-o", "/no/such/directory/policy.json"],
        vec!["intercept", &good, "-o", place.to_str().expect("UTF-8")],
        vec!["intercept"],
        vec!["claude-code"],
        vec!["intercept", &good, "--server", "x"],
        vec!["elsewhere", &good],
    ] {
        let said = convert(&arguments, b"");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {}", said.err);
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
    let said = convert(&["intercept", "-"], b"version: \"1\"\ndescription: \"\xff\"\n");
    assert_eq!((said.code, said.err.as_str()), (1, "-: (document): not UTF-8\n"));
}

fn decide<'p>(policy: &'p Policy, tool: &str, arguments: &Value, now: i64, store: &mut dyn Store) -> Decision<'p> {
    let arguments = arguments.to_string();
    let principal = Principal { grant: "anonymous".into(), session: None };
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: tool }),
        arguments: Some(Reader::new(&arguments).value().unwrap()),
        continues: false,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
        meta: None,
        now: Timestamp::from_millis(u64::try_from(now * 1000).unwrap()),
        facts: &NoFacts,
    };
    policy.decide(&query, store)
}

fn loaded(conversion: Result<Conversion, Problems>, source: &str) -> Policy {
    let conversion = conversion.unwrap_or_else(|problems| panic!("{problems}\nin {source}"));
    Policy::load("default", &conversion.policy)
        .unwrap_or_else(|problems| panic!("{problems}\nin {}", conversion.policy))
}

/// The first second of a day that is long past.
const START: i64 = 1_700_006_400;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_decides_as_its_source(
        document in random::document(),
        calls in vec(random::call(), 1..25),
        is_block in any::<bool>(),
    ) {
        let text = if is_block { serde_saphyr::to_string(&document).unwrap() } else { document.to_string() };
        let policy = loaded(convert::intercept(&text), &text);
        let (mut reference, mut store, mut now) = (Reference::new(&document), MemoryStore::default(), START);
        for (index, call) in calls.iter().enumerate() {
            now += call.after;
            let wanted = reference.allows(call.tool, &call.arguments, now);
            let found = decide(&policy, call.tool, &call.arguments, now, &mut store);
            prop_assert_eq!(found.outcome.goes_on(), wanted, "call {} of {:?}\nof {}", index, calls, text);
        }
    }

    /// A byte in another place, or another byte.
    #[test]
    fn no_document_is_too_odd_to_be_refused(
        document in random::document(),
        changes in vec((any::<prop::sample::Index>(), select(&b"\n :-[]{}\"'#&*!|>%@,?~<0a\t"[..])), 1..4),
        is_block in any::<bool>(),
    ) {
        let text = if is_block { serde_saphyr::to_string(&document).unwrap() } else { document.to_string() };
        let mut bytes = text.into_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let text = String::from_utf8(bytes).unwrap();
        match convert::intercept(&text) {
            Ok(conversion) => prop_assert!(Policy::load("default", &conversion.policy).is_ok()),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
        // Settings that are YAML are none.
        prop_assert!(convert::claude_code(&text, None).is_err());
    }

    /// Deny before ask before allow, and what nobody names is asked about, which is refused here.
    #[test]
    fn permissions_decide_as_claude_code(entries in vec((0_usize..3, select(&ENTRIES[..])), 0..8)) {
        let mut permissions = json!({ "allow": ["Read(./x)"], "ask": [], "deny": ["mcp__other__a"] });
        for (list, entry) in &entries {
            permissions[LISTS[*list]].as_array_mut().unwrap().push(json!(entry));
        }
        let settings = json!({ "permissions": permissions });
        let converted = convert::claude_code(&settings.to_string(), Some("s"));
        if entries.is_empty() {
            prop_assert!(converted.is_err());
            return Ok(());
        }
        let policy = loaded(converted, &settings.to_string());
        for tool in ["a", "ab", "b", "none"] {
            let names = |list: usize| entries.iter().any(|(own, entry)| *own == list && fits(entry, tool, list > 0));
            let wanted = match (names(0), names(1), names(2)) {
                (_, _, true) => Outcome::Denied,
                (_, true, _) => Outcome::ApprovalRequired,
                (true, _, _) => Outcome::Allowed,
                _ => Outcome::Denied,
            };
            let found = decide(&policy, tool, &json!({}), START, &mut MemoryStore::default());
            prop_assert_eq!(found.outcome, wanted, "{} in {}", tool, settings);
        }
    }
}

const LISTS: [&str; 3] = ["allow", "ask", "deny"];
const ENTRIES: [&str; 6] = ["mcp__s", "mcp__s__*", "mcp__s__a", "mcp__s__ab", "mcp__s__b", "mcp__s__a(x)"];

/// An entry with details allows nothing, and is otherwise for the whole tool.
fn fits(entry: &str, tool: &str, ignores_details: bool) -> bool {
    let entry = if ignores_details { entry.trim_end_matches("(x)") } else { entry };
    match entry.strip_prefix("mcp__s").unwrap() {
        "" | "__*" => true,
        rest => rest.strip_prefix("__") == Some(tool),
    }
}

/// The laws above would hold of nothing at all; so what is tried must differ.
#[test]
fn random_calls_meet_every_fate() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    let mut notes = BTreeMap::new();
    for _ in 0..600 {
        let strategy = (random::document(), vec(random::call(), 25));
        let (document, calls) = strategy.new_tree(&mut runner).unwrap().current();
        let conversion = convert::intercept(&document.to_string()).unwrap_or_else(|problems| panic!("{problems}"));
        for note in conversion.notes.iter() {
            let words: Vec<&str> = note.message.split(' ').filter(|word| !word.contains('"')).take(3).collect();
            *notes.entry(words.join(" ")).or_insert(0) += 1;
        }
        let policy = Policy::load("default", &conversion.policy).unwrap();
        let (mut store, mut now) = (MemoryStore::default(), START);
        for call in calls {
            now += call.after;
            let decision = decide(&policy, call.tool, &call.arguments, now, &mut store);
            let parts: Vec<&str> = decision.rule.split('/').collect();
            let fate = match parts.as_slice() {
                ["", "tools", _, list, ..] => format!("tool {list}"),
                ["", "all_tools", list, ..] => format!("every tool {list}"),
                _ => format!("{:?} {}", decision.outcome, decision.rule),
            };
            *seen.entry(fate).or_insert(0) += 1;
        }
    }
    println!("{seen:#?} {notes:#?}");
    for fate in [
        "Allowed ",
        "Denied (hidden)",
        "Denied (default deny)",
        "tool require",
        "tool deny_if",
        "tool limits",
        "every tool require",
        "every tool deny_if",
        "every tool limits",
    ] {
        assert!(seen.get(fate).is_some_and(|count| *count >= 20), "{fate}: {seen:#?}");
    }
}
