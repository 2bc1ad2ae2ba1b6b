//! The command line as a person meets it: what each verb prints, where, and its exit code. `tests/commands.rs` runs the
//! examples of `docs/cli.md`.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the binary said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
    // A verb that does not read it has closed it.
    let _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().expect("no signal"), out: text(stdout), err: text(stderr) }
}

/// A file of this test's own.
fn write(name: &str, text: impl AsRef<[u8]>) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a writable directory");
    path.to_str().expect("UTF-8").to_owned()
}

const GOOD: &str = r#"{"version":"1","default":"allow","tools":{"a":{"action":"deny"}}}"#;

#[test]
fn validate_tells_findings_from_files_that_cannot_be_read() {
    let good = write("good.json", GOOD);
    let bad = write("bad.json", r#"{"version":"1","default":"allow","tols":{}}"#);
    let binary = write("binary.json", b"\xff\xfe");
    let text = write("text.json", "version: 1");
    let failing = write(
        "failing.json",
        r#"{"version":"1","default":"allow","tests":[{"name":"x","call":{"tool":"a"},"expect":"denied"}]}"#,
    );
    for (files, code) in [
        (vec![good.as_str()], 0),
        (vec![&bad], 1),
        (vec![&good, &bad], 1),
        (vec![&text], 1),
        (vec![&binary], 1),
        (vec![&failing], 1),
        (vec!["/no/such/file"], 2),
        (vec![&bad, "/no/such/file", &good], 2),
        (vec!["."], 2),
        (vec![], 2),
        (vec![&good, "--tools", "/no/such/file"], 2),
        (vec![&good, "--tools", &text], 2),
        (vec![&good, "--tools", &good], 2),
        (vec![&good, "--format", "xml"], 2),
        (vec![&good, "--no-such-flag"], 2),
    ] {
        let said = run(&[&["validate"], files.as_slice()].concat(), "");
        assert_eq!(said.code, code, "{files:?}: {}{}", said.out, said.err);
        assert_eq!(said.err.is_empty(), code == 0, "{files:?}: {}", said.err);
    }
    let said = run(&["validate", &good, &bad], "");
    assert!(said.out.starts_with(&format!("{good}: valid, version ")), "{}", said.out);
    assert_eq!(said.err, format!("{bad}: (document): unknown field \"tols\"; did you mean \"tools\"?\n"));
}

#[test]
fn validate_reports_as_json() {
    let good = write("json-good.json", GOOD);
    let bad = write("json-bad.json", r#"{"version":"2","default":"allow"}"#);
    let tools = write("json-tools.json", r#"[{"name":"b"}]"#);
    let config = write(
        "json-config.json",
        r#"{"policies":{"x/y":{"version":"1","default":"allow","hide":["a"],"tools":{"a":{}}}},"default_policy":"x/y"}"#,
    );
    let findings = |arguments: &[&str]| -> (i32, Value) {
        let said = run(&[&["validate", "--format", "json"], arguments].concat(), "");
        (said.code, serde_json::from_str(&said.out).expect("JSON"))
    };
    let finding = |file: &str, pointer: &str, message: &str, severity: &str| json!({"file": file, "pointer": pointer, "message": message, "severity": severity});
    assert_eq!(findings(&[&good]), (0, json!([])));
    let error = finding(&bad, "/version", "version must be \"1\", got \"2\"", "error");
    let warning = finding(&good, "/tools/a", "no tool is named \"a\"; did you mean \"b\"?", "warning");
    assert_eq!(findings(&[&good, "--tools", &tools]), (0, json!([warning])));
    assert_eq!(findings(&[&bad, &good, "--tools", &tools]), (1, json!([error, warning])));
    assert_eq!(findings(&[&bad, "/no/such/file"]), (2, json!([error])));
    let hidden = "this entry never applies: /policies/x~1y/hide/0 hides what it names";
    assert_eq!(findings(&[&config]), (0, json!([finding(&config, "/policies/x~1y/tools/a", hidden, "warning")])));
}

/// One limit, one shadow rule, one approval.
const RULES: &str = r#"{"version":"1","default":"allow","schedule":{"days":["sat"],"on_deny":"Saturdays only."},
    "tools":{"pay":{"require_approval":true},"try":{"deny_if":[{"id":"s","conditions":[],"mode":"shadow"}]},
    "count":{"limits":[{"counter":"c","window":"minute","max":1,"scope":"session","on_deny":"Enough."}]}}}"#;

#[test]
fn decide_answers_each_call_and_names_each_line_that_is_none() {
    let policy = write("decide.json", RULES);
    let saturday = r#""at":"2026-11-21T09:30:00Z""#;
    let allowed = r#"{"outcome":"allowed","rule":"","message":""}"#;
    let enough = r#"{"outcome":"denied","rule":"/tools/count/limits/c","message":"Enough."}"#;
    let closed = r#"{"outcome":"denied","rule":"/schedule","message":"Saturdays only."}"#;
    let lines = [
        // The epoch was a Thursday.
        (r#"{"tool":"other"}"#.to_owned(), Ok(closed)),
        (format!(r#"{{"tool":"other",{saturday}}}"#), Ok(allowed)),
        // The time of the line before.
        (r#"{"tool":"count","session":"a"}"#.to_owned(), Ok(allowed)),
        (r#"{"tool":"count","session":"a"}"#.to_owned(), Ok(enough)),
        (r#"{"tool":"count","session":"b","upstream":"http_error"}"#.to_owned(), Ok(allowed)),
        (r#"{"tool":"count","session":"b","upstream":"tool_error"}"#.to_owned(), Ok(allowed)),
        (r#"{"tool":"count","session":"b","arguments":null}"#.to_owned(), Ok(enough)),
        (r#"{"tool":"count","session":"b","grant":"g"}"#.to_owned(), Ok(allowed)),
        (
            r#"{"tool":"try","arguments":{"text":"\ud800"}}"#.to_owned(),
            Ok(r#"{"outcome":"shadow_denied","rule":"/tools/try/deny_if/s","message":"Denied by rule \"s\""}"#),
        ),
        (
            r#"{"tool":"pay"}"#.to_owned(),
            Ok(
                r#"{"outcome":"approval_required","rule":"/tools/pay/require_approval/always","message":"Approval required: rule \"/tools/pay/require_approval/always\""}"#,
            ),
        ),
        (String::new(), Ok("")),
        ("nonsense".to_owned(), Err("(document): not JSON: unexpected character at byte 1")),
        (r#"{"tool":"a"} {}"#.to_owned(), Err("(document): not JSON: text after the value, at byte 13")),
        (r#"[]"#.to_owned(), Err("(document): must be an object, got a list")),
        (r#"{}"#.to_owned(), Err("(document): tool, prompt, resource or method is required")),
        (
            r#"{"tool":"a","prompt":"b"}"#.to_owned(),
            Err("(document): tool and prompt cannot both be given: a call reaches one thing"),
        ),
        (r#"{"tool":"a","arguments":[]}"#.to_owned(), Err("/arguments: arguments must be an object")),
        (r#"{"tool":"a","tool":"b"}"#.to_owned(), Err("/tool: member is given twice")),
        (r#"{"tool":"a","arguments":{},"arguments":{}}"#.to_owned(), Err("/arguments: member is given twice")),
        (
            r#"{"tool":"a","argument":{}}"#.to_owned(),
            Err("(document): unknown field \"argument\"; did you mean \"arguments\"?"),
        ),
        (r#"{"tool":"a","times":2}"#.to_owned(), Err("(document): unknown field \"times\"")),
        (
            r#"{"tool":"a","at":"2026-02-29T00:00:00Z"}"#.to_owned(),
            Err(
                "/at: at must be a time as \"2026-11-21T09:30:00Z\", or milliseconds since 1970, got \"2026-02-29T00:00:00Z\"",
            ),
        ),
        (r#"{"tool":"other"}"#.to_owned(), Ok(allowed)),
    ];
    let input: String = lines.iter().map(|(line, _)| format!("{line}\r\n")).collect();
    let wanted = |is_error: bool| -> Vec<String> {
        let numbered = (1..).zip(&lines);
        let wanted = numbered.filter_map(|(number, (_, expected))| match expected {
            Ok(line) if !is_error && !line.is_empty() => Some((*line).to_owned()),
            Err(problem) if is_error => Some(format!("-:{number}: {problem}")),
            _ => None,
        });
        wanted.collect()
    };
    let said = run(&["decide", "--policy", &policy, "--calls", "-"], &input);
    assert_eq!(said.out.lines().collect::<Vec<_>>(), wanted(false));
    assert_eq!(said.err.lines().collect::<Vec<_>>(), wanted(true));
    assert_eq!(said.code, 1);
    // The same from a file, and under a configuration.
    let calls = write("decide.jsonl", &input);
    let config = write("decide-config.json", format!(r#"{{"policies":{{"p":{RULES}}},"default_policy":"p"}}"#));
    for source in [["--policy", &policy], ["--config", &config], ["--config", &policy]] {
        let again = run(&[&["decide", "--calls", &calls], source.as_slice()].concat(), "");
        assert_eq!((again.code, again.out.as_str()), (1, said.out.as_str()), "{source:?}");
    }
}

#[test]
fn decide_judges_what_stands_around_a_call_as_it_is_written() {
    let text = r#"{"version":"1","default":"allow","all_tools":{"deny_if":[{"path":"meta.n","op":"eq","value":9007199254740993}]},
        "tools":{"h":{"require":[{"path":"header.x-team","op":"eq","value":"a"}]},
        "j":{"require":[{"path":"jwt.n","op":"eq","value":9007199254740992}]}}}"#;
    let policy = write("around.json", text);
    let doubled = "Invalid Request: `_meta` has two members whose names are equal or differ only in case";
    for (line, expected) in [
        (r#"{"tool":"a","meta":{"n":9007199254740992}}"#, "allowed,,"),
        (r#"{"tool":"a","meta":{"n":9007199254740993.0}}"#, "denied,/all_tools/deny_if/meta.n-eq,"),
        (r#"{"tool":"a","meta":{"x":1,"x":1}}"#, &format!("denied,(malformed),{doubled}")),
        (r#"{"method":"ping","meta":{"x":1,"X":1}}"#, &format!("denied,(malformed),{doubled}")),
        (r#"{"tool":"a","meta":null}"#, "allowed,,"),
        (r#"{"tool":"h","headers":{"X-Team":"a"}}"#, "allowed,,"),
        (r#"{"tool":"h"}"#, "denied,/tools/h/require/header.x-team-eq,"),
        (r#"{"tool":"j","claims":{"n":9007199254740993}}"#, "allowed,,"),
        (r#"{"tool":"j"}"#, "denied,/tools/j/require/jwt.n-eq,"),
        (r#"{"tool":"a","meta":[]}"#, "/meta: meta must be an object"),
        (r#"{"tool":"a","meta":{},"meta":{}}"#, "/meta: member is given twice"),
        (r#"{"tool":"a","headers":{"x":1}}"#, "/headers/x: header must be a string, got 1"),
        (r#"{"tool":"a","claims":[]}"#, "/claims: claims must be an object, got a list"),
    ] {
        let said = run(&["decide", "--policy", &policy, "--calls", "-"], line);
        if said.out.is_empty() {
            assert_eq!(said.err, format!("-:1: {expected}\n"), "{line}");
            continue;
        }
        let decision: Value = serde_json::from_str(&said.out).expect("JSON");
        let text = |member: &str| decision[member].as_str().expect("a text").to_owned();
        let found = format!("{},{},{}", text("outcome"), text("rule"), text("message"));
        assert!(found.starts_with(expected), "{line}: {found}");
    }
}

#[test]
fn decide_explains_what_becomes_of_prompts_resources_and_methods() {
    let policy = write(
        "sections.json",
        r#"{"version":"1","default":"allow","methods":{"default":"deny","allow":["*/get","resources/*"],"deny":["x"]},
            "prompts":{"hide":["secret"]},"resources":{"default":"deny","items":{"a:*":{"limits":[
                {"counter":"c","window":"day","max":5}]}}}}"#,
    );
    let input = r#"{"prompt":"open","arguments":{"a":"b"}}
        {"prompt":"secret"}
        {"resource":"a:b","method":"resources/subscribe"}
        {"resource":"b:c"}
        {"method":"x"}
        {"tool":"t"}"#;
    let said = run(&["decide", "--policy", &policy, "--calls", "-", "--format", "text"], input);
    let expected = r#"1: open at 1970-01-01T00:00:00.000Z, grant anonymous
  passed   /methods/default
  passed   (hidden)
  no entry of prompts
  allowed
2: secret at 1970-01-01T00:00:00.000Z, grant anonymous
  passed   /methods/default
  decided  (hidden)
  denied: Prompt "secret" is hidden by policy
3: resources/subscribe a:b at 1970-01-01T00:00:00.000Z, grant anonymous
  passed   /methods/default
  entry    /resources/items/a:*
  passed   (default deny)
  passed   /resources/items/a:*/limits/c
  allowed
4: b:c at 1970-01-01T00:00:00.000Z, grant anonymous
  passed   /methods/default
  no entry of resources
  decided  (default deny)
  denied: Resource "b:c" is not permitted by policy
5: x at 1970-01-01T00:00:00.000Z, grant anonymous
  decided  /methods/deny/x
  denied: Method "x" is not permitted by policy
6: t at 1970-01-01T00:00:00.000Z, grant anonymous
  decided  /methods/default
  denied: Method "tools/call" is not permitted by policy
"#;
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
}

#[test]
fn decide_explains_every_step() {
    let policy = write("explain.json", RULES);
    let input = r#"{"tool":"try","at":"2026-11-21T09:30:00Z"}
        {"tool":"count","session":"s","upstream":"unreachable"}
        {"tool":"none"}
        {"tool":"pay","at":0}"#;
    let said = run(&["decide", "--policy", &policy, "--calls", "-", "--format", "text"], input);
    let expected = r#"1: try at 2026-11-21T09:30:00.000Z, grant anonymous
  entry    /tools/try
  passed   /schedule
  shadow   /tools/try/deny_if/s
  shadow_denied: Denied by rule "s"
2: count at 2026-11-21T09:30:00.000Z, grant anonymous, session s
  entry    /tools/count
  passed   /schedule
  passed   /tools/count/limits/c
  allowed
  the server failed, so limits get back what the call spent
3: none at 2026-11-21T09:30:00.000Z, grant anonymous
  no entry of tools
  passed   /schedule
  allowed
4: pay at 1970-01-01T00:00:00.000Z, grant anonymous
  entry    /tools/pay
  decided  /schedule
  denied: Saturdays only.
"#;
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
}

#[test]
fn decide_says_what_it_cannot_use() {
    let good = write("decide-good.json", GOOD);
    let bad = write("decide-bad.json", r#"{"version":"1"}"#);
    let failing = r#"{"version":"1","default":"allow","tests":[{"name":"x","call":{"tool":"a"},"expect":"denied"}]}"#;
    let failing = write("decide-failing.json", failing);
    for (arguments, code) in [
        (vec!["--policy", good.as_str(), "--calls", "-"], 0),
        (vec!["--policy", &failing, "--calls", "-"], 0),
        (vec!["--config", &failing, "--calls", "-"], 1),
        (vec!["--policy", &bad, "--calls", "-"], 1),
        (vec!["--policy", &good], 2),
        (vec!["--calls", "-"], 2),
        (vec!["--policy", &good, "--config", &good, "--calls", "-"], 2),
        (vec!["--policy", "/no/such/file", "--calls", "-"], 2),
        (vec!["--policy", &good, "--calls", "/no/such/file"], 2),
        (vec!["--policy", &good, "--calls", "-", "--format", "xml"], 2),
    ] {
        let said = run(&[&["decide"], arguments.as_slice()].concat(), "");
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
        assert_eq!((said.out.is_empty(), said.err.is_empty()), (true, code == 0), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn test_runs_what_stands_in_a_policy_and_beside_it() {
    let with = |tests: &str| {
        format!(r#"{{"version":"1","default":"allow","tools":{{"a":{{"action":"deny"}}}},"tests":[{tests}]}}"#)
    };
    let pass = r#"{"name":"a is refused","call":{"tool":"a"},"expect":"denied","rule":"/tools/a/action"}"#;
    let fail = r#"{"name":"a goes on","call":{"tool":"a"},"expect":"allowed","message":""}"#;
    let other = r#"{"name":"b goes on","call":{"tool":"b"},"expect":"allowed"}"#;
    let inside = write("test-inside.json", with(&format!("{pass},{fail}")));
    let beside = write("test-beside.json", GOOD);
    let cases = write("test-beside.cases.json", format!(r#"{{"cases":[{other}]}}"#));
    let both = write("test-both.json", with(pass));
    write("test-both.cases.json", format!(r#"{{"cases":[{other}]}}"#));
    let none = write("test-none.json", GOOD);
    let bad_cases = write("test-bad-cases.json", GOOD);
    write("test-bad-cases.cases.json", r#"{"cases":[{"name":"x"}]}"#);
    let untouched = format!("{beside}: no case touches /tools/a/action\n");
    let diff = format!(
        "{inside}: /tests/1: a goes on\n  - outcome: \"allowed\"\n  + outcome: \"denied\"\n  - message: \"\"\n  \
         + message: \"Tool \\\"a\\\" is denied by policy\"\n  + rule: \"/tools/a/action\"\n"
    );
    let missing = none.replace(".json", ".cases.json");
    let nothing = format!("mcp-policy: {none}: nothing to run: it has no tests, and there is no {missing}\n");
    let problems = bad_cases.replace(".json", ".cases.json");
    let problems = format!("{problems}: /cases/0: call is required\n{problems}: /cases/0: expect is required\n");
    for (arguments, code, out, err) in [
        (vec![both.as_str()], 0, "2 passed, 0 failed\n".to_owned(), ""),
        (vec![&both, "--coverage"], 0, "2 passed, 0 failed\n".to_owned(), ""),
        (vec![&inside], 1, format!("{diff}1 passed, 1 failed\n"), ""),
        (vec![&beside], 0, format!("{untouched}1 passed, 0 failed\n"), ""),
        (vec![&cases], 0, format!("{untouched}1 passed, 0 failed\n"), ""),
        (vec![&beside, &cases, &both], 0, format!("{untouched}3 passed, 0 failed\n"), ""),
        (vec![&beside, "--coverage"], 1, format!("{untouched}1 passed, 0 failed\n"), ""),
        (vec![&none], 2, String::new(), &nothing),
        (vec![&bad_cases], 1, String::new(), &problems),
    ] {
        let said = run(&[&["test"], arguments.as_slice()].concat(), "");
        assert_eq!((said.code, said.out, said.err.as_str()), (code, out, err), "{arguments:?}");
    }
    for arguments in [vec![], vec!["/no/such/file"], vec!["/no/such/file.cases.json"]] {
        let said = run(&[&["test"], arguments.as_slice()].concat(), "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
    }
}

#[test]
fn every_verb_is_told_and_an_unknown_one_is_wrong_usage() {
    let said = run(&["--help"], "");
    assert_eq!(said.code, 0);
    for verb in ["validate", "decide", "test", "render"] {
        assert!(said.out.contains(verb), "{}", said.out);
        assert_eq!(run(&[verb, "--help"], "").code, 0, "{verb}");
        assert_eq!(run(&[verb], "").code, 2, "{verb}");
    }
    for arguments in [vec![], vec!["scry"]] {
        let said = run(&arguments, "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
    }
    let rendered = run(&["render", "envoy", "--policy", "policies/refunds.json"], "");
    assert_eq!((rendered.code, rendered.err.as_str()), (0, ""));
    assert_eq!(run(&["render", "envoy", "--policy", "docs/cli/draft.json"], "").code, 1);
    assert_eq!(run(&["render", "envoy", "--policy", "/no/such/file"], "").code, 2);
}

#[test]
fn approve_signs_with_a_key_that_it_made_itself() {
    use mcp_policy::approvals::{Id, Key, Keys, Unfit};
    let id = Id { digest: [5; 32], created: 1_795_243_342_123 };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("approvals.key");
    let file = path.to_str().expect("UTF-8");
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        u64::try_from(since.as_millis()).expect("this millennium")
    };
    for (kind, member) in [("hmac", "hmac_sha256"), ("ed25519", "ed25519")] {
        let _ = std::fs::remove_file(&path);
        let made = run(&["approve", "--key", file, "--new-key", kind, "--name", "ops"], "");
        let printed: Value = serde_json::from_str(&made.out).expect("JSON");
        assert_eq!((made.code, &printed["id"]), (0, &json!("ops")), "{}", made.err);
        let value = printed[member].as_str().expect("a key");
        let key = if kind == "hmac" { Key::hmac_sha256(value) } else { Key::ed25519(value) };
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).expect("a file")) & 0o777, 0o600);
        assert_eq!(run(&["approve", "--key", file, "--new-key", kind], "").code, 2, "no key is written over");

        let keys = Keys::new(vec![("ops".into(), key.expect("a key"))]);
        let sign = |more: &[&str]| run(&[&["approve", "--key", file, "--id", &id.to_string()], more].concat(), "");
        let (before, token) = (now(), sign(&["--expires", "90s"]));
        let text = token.out.trim_end();
        assert_eq!(token.code, 0, "{}", token.err);
        let (read, _) = keys.open(text, &id.digest, now()).expect("it is valid");
        assert!(read.id == id && read.expires - read.not_before == 90_000 && read.not_before >= before, "{read:?}");
        assert_eq!(keys.open(text, &id.digest, read.expires), Err(Unfit::Expired));
        assert_ne!(sign(&["--expires", "90s"]).out, token.out, "each is another one");
        for wrong in [&["--expires", "25h"][..], &["--expires", "0s"], &["--expires", "5"], &["--name", "x"]] {
            assert_eq!(sign(wrong).code, 2, "{wrong:?}");
        }
    }
    let no_key = write("no.key", "hmac-sha256:c2hvcnQ=");
    for arguments in
        [&["--key", file, "--id", "ap_x"][..], &["--key", &no_key, "--id", &id.to_string()], &["--key", file]]
    {
        let said = run(&[&["approve"], arguments].concat(), "");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!said.err.contains("c2hvcnQ"), "{}", said.err);
    }
}

#[test]
fn shells_and_the_manual_are_told_of_each_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(&["completions", shell], "");
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{shell}");
        assert!(["validate", "render", "envoy-gateway", "pin"].iter().all(|word| said.out.contains(word)), "{shell}");
    }
    let pages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    std::fs::create_dir_all(&pages).expect("a writable directory");
    let said = run(&["man", pages.to_str().expect("UTF-8")], "");
    assert_eq!((said.code, said.out + &said.err), (0, String::new()));
    for page in ["mcp-policy.1", "mcp-policy-scan.1", "mcp-policy-render-istio.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
    let nowhere = run(&["man", "/no/such/directory"], "");
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.err.starts_with("mcp-policy: /no/such/directory: "), "{}", nowhere.err);
    assert_eq!(run(&["completions", "tcsh"], "").code, 2);
}
