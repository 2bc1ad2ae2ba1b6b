//! That nothing is left out: each weakness that the engine must not have, and each text of a problem, has its named case
//! in the data that the other tests run.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};

/// Weaknesses of gateways of this kind, as they were found in one; the cases' names begin with their numbers.
const WEAKNESSES: [(u32, &str); 25] = [
    (1, "`params` that do not parse are forwarded"),
    (2, "member names are matched without regard to case"),
    (3, "a body that is not JSON is forwarded"),
    (4, "a batch is forwarded whole"),
    (5, "an encoded answer passes unread"),
    (6, "a GET stream is not filtered"),
    (7, "a long line ends an event stream"),
    (8, "a negative amount is added"),
    (9, "fractions of amounts are cut"),
    (10, "an outage uses quota up"),
    (11, "a late failure gives back to another window"),
    (12, "a limit that nothing counts passes validation"),
    (13, "a fractional limit is off by one"),
    (14, "two names make one key"),
    (15, "one count for all clients"),
    (16, "members of a list's result are lost"),
    (17, "comments and `retry` of events are lost"),
    (18, "a batch answered by an event stream hangs"),
    (19, "a refused notification is answered"),
    (20, "unknown members are ignored"),
    (21, "a quota's refusal is logged without a rule"),
    (22, "a reload mixes two policies"),
    (23, "only tools are judged"),
    (24, "no patterns, no `any`, no `not`, and lists as long as ever"),
    (25, "large numbers lose digits"),
];

/// What the problems of a document say, each as far as it is the same for every document.
const PROBLEMS: [&str; 54] = [
    "version must be \"1\", got ",
    "default is required",
    "default must be \"allow\" or \"deny\", got ",
    "mode must be \"enforce\" or \"shadow\"",
    "entry must not be empty",
    "duplicate entry \"",
    "unknown field \"",
    "\"*\" is not a tool name; put rules for every tool under all_tools",
    "tool name must not be empty",
    "action must be \"allow\", \"deny\", \"rate_limit\" or \"require_approval\", got \"",
    "action \"rate_limit\" needs a rate_limit",
    "schedule cannot be used with action \"deny\"",
    "require cannot be used with action \"deny\"",
    "deny_if cannot be used with action \"deny\"",
    "require_approval cannot be used with action \"deny\"",
    "limits cannot be used with action \"deny\"",
    "rate_limit cannot be used with action \"deny\"",
    "rule must have conditions",
    "require rule must have at least one condition",
    "give either conditions or one inline condition",
    "duplicate rule id \"",
    "id must not be empty",
    "path must start with \"args.\"",
    "path is malformed",
    "path has an index above 999999999",
    "unknown operator \"",
    "requires a list value",
    "requires a numeric value",
    "requires a boolean value",
    "requires a string value",
    "requires a value",
    "invalid regex \"",
    "any must be a non-empty list",
    "all must be a non-empty list",
    "counter must not be empty",
    "window must be ",
    "max must be a number of at least 0",
    "unknown scope \"",
    "scope list must be distinct and must not mix in global",
    "window \"session\" needs scope \"session\"",
    "cannot be rolling",
    "align must be \"calendar\" or \"rolling\"",
    "increment must be an integer of at least 0",
    "increment_from must start with \"args.\"",
    "give either increment or increment_from",
    "on_missing must be \"deny\" or \"skip\" and needs increment_from",
    "duplicate counter \"",
    "rate_limit must be \"N/window\", got \"",
    "rate_limit count must be a positive integer, got \"",
    "rate_limit window must be ",
    "unknown day \"",
    "from must be HH:MM",
    "to must be HH:MM",
    "utc_offset must be +HH:MM or -HH:MM",
];

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn folder(name: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a folder");
    folder.map(|entry| entry.expect("an entry").path()).collect()
}

/// The values of every member `name` that is a text, at any depth.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| names(element, found)),
        Value::Object(members) => {
            found.extend(members.get("name").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| names(member, found));
        }
        _ => {}
    }
}

#[test]
fn each_weakness_has_a_case() {
    let mut found = Vec::new();
    let is_cases = |path: &PathBuf| path.to_string_lossy().ends_with(".cases.json");
    let files: Vec<PathBuf> =
        folder("tests/cases").into_iter().chain(folder("policies").into_iter().filter(is_cases)).collect();
    files.iter().for_each(|path| names(&read(path), &mut found));
    for (number, what) in WEAKNESSES {
        let start = format!("W{number}: ");
        assert!(found.iter().any(|name| name.starts_with(&start)), "no case of W{number}, {what}");
    }
}

#[test]
fn each_problem_has_a_document() {
    let rows = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/documents.json"));
    let rows = rows.as_array().expect("a list").iter();
    let problems: Vec<&str> =
        rows.flat_map(|row| row["problems"].as_array().expect("a list")).filter_map(Value::as_str).collect();
    for text in PROBLEMS {
        assert!(problems.iter().any(|problem| problem.contains(text)), "no document with: {text}");
    }
}
