//! The playground in a real browser: a person writes a policy on the page that the plugin serves, and reads there what the
//! command line says.

mod risk;

use super::approvals::{TOKEN, start, sum, waits};
use super::console::is_picture;
use super::support::envoy::Envoy;
use super::support::parts::{Parts, root, scratch};
use super::support::upstream::Upstream;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

const REFUNDS: &str = include_str!("../../policies/refunds.json");
const APPROVALS: &str = include_str!("../../policies/refund-approval.json");
const TOOLS: &str = include_str!("../../docs/cli/tools.json");
const SCRIPT: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>";
/// A policy that says no more than it has to.
const EMPTY: &str = r#"{ "version": "1", "default": "deny" }"#;

/// A person at the playground, until dropped.
struct Session {
    browser: Child,
    actions: ChildStdin,
    pages: BufReader<ChildStdout>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

impl Session {
    /// With a `token`: signed in.
    fn open(chromium: &Path, envoy: &Envoy, token: Option<&str>) -> Self {
        let mut command = Command::new("node");
        command.current_dir(root()).arg("tests/console/playground.mjs");
        command.arg(format!("http://{}/", envoy.admin_side())).args(token).env("MCP_POLICY_CHROMIUM", chromium);
        let mut browser = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
        let actions = browser.stdin.take().expect("a pipe");
        let pages = BufReader::new(browser.stdout.take().expect("a pipe"));
        Self { browser, actions, pages }
    }

    /// Does this on the page; returns what it then shows.
    fn act(&mut self, action: &Value) -> Value {
        writeln!(self.actions, "{action}").expect("the browser listens");
        let mut line = String::new();
        self.pages.read_line(&mut line).expect("the browser answers");
        let page: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{action}: no answer, see stderr"));
        for fault in ["errors", "violations", "elsewhere", "sent"] {
            assert_eq!(page[fault], json!([]), "{action}: {fault}");
        }
        assert_eq!((&page["problem"], &page["intruders"]), (&json!(""), &json!(0)), "{action}");
        assert!(page["overflow"].as_i64().is_some_and(|pixels| pixels <= 0), "{action}: it scrolls sideways");
        page
    }

    fn write(&mut self, field: &str, text: &str) -> Value {
        self.act(&json!(["write", field, text]))
    }
}

/// Opens the page, for nobody who is signed in.
fn visit(name: &str) -> Option<(Envoy, Session)> {
    let (parts, chromium) = Parts::with_browser()?;
    let envoy = start(&parts, name, &Upstream::running_every_call(), &[]);
    let session = Session::open(&chromium, &envoy, None);
    Some((envoy, session))
}

/// What the command line says of this policy.
fn command_line(name: &str, policy: &str, verb: &str, arguments: &[&str]) -> Output {
    let path = scratch(&format!("{name}.json"));
    std::fs::write(&path, policy).expect("target/e2e can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.current_dir(root()).arg(verb);
    if verb == "decide" {
        command.arg("--policy");
    }
    command.arg(path).args(arguments).output().expect("the command line runs")
}

/// The outcome, and each step as the page says it, of the last of `calls` by the command line.
fn decided(name: &str, policy: &str, calls: &[&str]) -> (String, Vec<(String, bool)>) {
    let path = scratch(&format!("{name}.jsonl"));
    std::fs::write(&path, calls.join("\n")).expect("target/e2e can be written");
    let path = path.to_str().expect("a path in UTF-8");
    let output = command_line(name, policy, "decide", &["--calls", path, "--format", "text"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().rev().take_while(|line| line.starts_with("  ")).collect::<Vec<_>>().into_iter().rev();
    let (mut steps, mut outcome) = (Vec::new(), String::new());
    for line in lines {
        match line.trim().split_once("  ") {
            Some((word, at)) => {
                let word = match word {
                    "entry" => "Entry",
                    "passed" => "Passed",
                    "shadow" => "In shadow",
                    "decided" => "Decided",
                    other => panic!("{other}"),
                };
                steps.push((format!("{word} {}", at.trim()), word == "Decided"));
            }
            None => match line.trim().strip_prefix("no entry of ") {
                Some(section) => steps.push((format!("No entry {section}"), false)),
                None => outcome = line.trim().to_owned(),
            },
        }
    }
    (outcome, steps)
}

/// Its steps, as the page shows them.
fn steps(page: &Value) -> Vec<(String, bool)> {
    let steps = page["steps"].as_array().expect("steps").iter();
    let pair = |step: &Value| Some((step["text"].as_str()?.to_owned(), step["decides"].as_bool()?));
    steps.map(|step| pair(step).expect("a step")).collect()
}

/// The row of this tool.
fn tool<'p>(page: &'p Value, name: &str) -> &'p Value {
    let tools = page["tools"].as_array().expect("tools");
    tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no tool {name}: {page}"))
}

#[test]
fn a_mistake_is_marked_where_it_stands() {
    let Some((envoy, mut person)) = visit("playground-marks") else { return };
    let page = person.act(&json!(["state"]));
    assert!(page["state"].as_str().is_some_and(|state| state.starts_with("Valid, version ")), "{page}");
    assert_eq!((&page["marks"], &page["findings"]), (&json!([]), &json!([])), "the example has none: {page}");

    let faulty = REFUNDS.replace(r#""day""#, r#""daily""#);
    let page = person.write("draft", &faulty);
    assert_eq!(page["marks"][0], json!({ "kind": "problem", "text": "\"daily\"" }), "{page}");
    let place = faulty.find("\"daily\"").expect("the mistake");
    let line = faulty[..place].matches('\n').count() + 1;
    let column = place - faulty[..place].rfind('\n').expect("a line before");
    assert_eq!(page["findings"][0]["at"], format!("{line}:{column}"));
    // The last line ends here, and only here.
    assert_eq!(page["layer"], faulty.trim_end(), "the marks lie under the text");
    // What the command line says, it says.
    let output = command_line("playground-marks", &faulty, "validate", &[]);
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    let findings = page["findings"].as_array().expect("findings");
    for (finding, told) in findings.iter().zip(told.lines()) {
        let (_, told) = told.split_once(".json: ").expect("a file");
        let (pointer, message) = told.split_once(": ").expect("a place");
        assert_eq!(
            (&finding["kind"], &finding["message"]),
            (&json!("Problem"), &json!(format!("{message} {pointer}")))
        );
    }
    assert_eq!(findings.len(), told.lines().count());
    let page = person.act(&json!(["press", "#findings button"]));
    assert_eq!((&page["focus"], &page["selected"]), (&json!("draft"), &json!("\"daily\"")), "the caret is there");

    let page = person.write("draft", &faulty.replace("daily", "day"));
    assert_eq!((&page["marks"], &page["findings"]), (&json!([]), &json!([])), "{page}");

    let page = person.write("draft", "{\n  \"version\": \"1\",\n  \"default\" \"deny\"\n}");
    assert_eq!((&page["marks"][0]["kind"], &page["findings"][0]["at"]), (&json!("problem"), &json!("3:13")), "{page}");
    assert_eq!(tool(&page, "get_order")["canChoose"], false, "there is nothing that could be edited");
    let page = person.write("draft", "{");
    assert_eq!(page["marks"], json!([{ "kind": "problem", "text": "{" }]), "what is missing at the end");

    let warned = r#"{ "version": "1", "default": "deny", "hide": ["nothing_*"] }"#;
    let page = person.write("draft", warned);
    assert_eq!(page["marks"], json!([{ "kind": "warning", "text": "\"nothing_*\"" }]), "{page}");
    assert_eq!(page["findings"][0]["kind"], "Warning", "in words, too");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_call_is_decided_as_the_command_line_decides() {
    let Some((envoy, mut person)) = visit("playground-calls") else { return };
    let refund = r#"{"tool":"create_refund","arguments":{"charge_id":"ch_1","amount":90}}"#;
    let large = r#"{"tool":"create_refund","arguments":{"charge_id":"ch_1","amount":900},"grant":"support"}"#;
    for (policy, call, times, shown) in [
        (REFUNDS, refund, 1, "Allowed"),
        (REFUNDS, refund, 3, "Denied"),
        (REFUNDS, large, 1, "Denied"),
        (REFUNDS, r#"{"tool":"delete_all"}"#, 1, "Denied"),
        (REFUNDS, r#"{"tool":"other"}"#, 1, "Denied"),
        (APPROVALS, large, 1, "Needs a person"),
        (r#"{"version":"1","mode":"shadow","default":"deny"}"#, refund, 1, "Allowed, would be denied"),
    ] {
        person.write("draft", policy);
        person.write("call", call);
        let page = person.act(&json!(["times", times.to_string()]));
        let (told, expected) = decided("playground-calls", policy, &vec![call; times]);
        assert_eq!((page["outcome"].as_str(), steps(&page)), (Some(shown), expected), "{call}: {told}");
        let message = told.split_once(": ").map_or("", |(_, message)| message);
        assert!(page["decision"].as_str().is_some_and(|text| text.contains(message)), "{page}: {told}");
    }
    person.act(&json!(["times", "3"]));
    person.write("draft", REFUNDS);
    let page = person.write("call", refund);
    assert!(page["decision"].as_str().is_some_and(|text| text.contains("Of 3 calls 2 went on")), "{page}");
    let page = person.act(&json!(["press", "#decision .steps .decided button"]));
    assert_eq!(page["focus"], "draft", "a step leads to its place");
    let selected = page["selected"].as_str().expect("text");
    assert!(selected.starts_with("{ \"counter\": \"spend\"") && selected.ends_with("}"), "{selected}");

    let page = person.write("call", r#"{"tool":"a","argument":{}}"#);
    assert!(page["decision"].as_str().is_some_and(|text| text.contains("unknown field \"argument\"")), "{page}");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_recent_decision_and_the_policy_in_force_are_tried() {
    let Some((parts, chromium)) = Parts::with_browser() else { return };
    let envoy = start(&parts, "playground-recent", &Upstream::running_every_call(), &[]);
    waits(sum(&mut envoy.connect(), 500, 1));
    let mut person = Session::open(&chromium, &envoy, Some(TOKEN));
    let page = person.act(&json!(["start", "In force: default"]));
    let policy: Value = serde_json::from_str(page["policy"].as_str().expect("text")).expect("JSON");
    assert_eq!(policy["tools"]["get-sum"]["require_approval"][0]["id"], "large", "{policy}");

    assert_eq!(page["recent"], json!(["get-sum (a, b) anonymous"]));
    let page = person.act(&json!(["pick", "get-sum"]));
    assert_eq!((&page["focus"], &page["selected"]), (&json!("call"), &json!("…")), "to be filled in");
    let mut call: Value = serde_json::from_str(page["call"].as_str().expect("text")).expect("JSON");
    assert_eq!((&call["tool"], &call["arguments"]), (&json!("get-sum"), &json!({ "a": "…", "b": "…" })));
    assert!(call["at"].is_string(), "as if it were made then: {call}");
    call["arguments"] = json!({ "a": 500, "b": 1 });
    let page = person.write("call", &call.to_string());
    assert_eq!(page["outcome"], "Needs a person", "{page}");
    call["arguments"] = json!({ "a": 5, "b": 1 });
    assert_eq!(person.write("call", &call.to_string())["outcome"], "Allowed");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn each_choice_makes_the_policy_say_so() {
    let Some((envoy, mut person)) = visit("playground-choices") else { return };
    let path = root().join("docs/cli/tools.json");
    person.act(&json!(["file", path.to_str().expect("a path in UTF-8")]));
    let mut page = person.write("draft", EMPTY);
    assert_eq!(page["tools"].as_array().map(Vec::len), Some(2), "{page}");
    assert_eq!(tool(&page, "get_order")["now"], "Denied by (default deny)");
    assert_eq!(tool(&page, "get_order")["choice"], "deny");

    let call = r#"{"tool":"get_order"}"#;
    for (choice, now, calls, outcome) in [
        ("allow", "Allowed", 100, "allowed"),
        ("deny", "Denied by /tools/get_order/action", 1, "denied"),
        ("hide", "Hidden", 1, "denied"),
        ("limit", "Allowed within a limit by /tools/get_order/limits/get_order", 30, "allowed"),
        ("approve", "Needs a person by /tools/get_order/require_approval/always", 1, "approval_required"),
        ("limit", "Allowed within a limit by /tools/get_order/limits/get_order", 31, "denied"),
    ] {
        page = person.act(&json!(["choose", "get_order", choice]));
        let row = tool(&page, "get_order");
        assert_eq!(
            (&row["choice"], &row["now"], &row["rate"]),
            (&json!(choice), &json!(now), &json!(choice == "limit"))
        );
        assert_eq!(page["focus"], choice, "it stays where it was");
        assert_eq!(tool(&page, "create_refund")["choice"], "deny", "the other tool is not meant");
        assert_eq!(page["findings"], json!([]), "{page}");
        let policy = page["policy"].as_str().expect("text");
        let (told, steps) = decided("playground-choices", policy, &vec![call; calls]);
        assert!(told.starts_with(outcome), "{choice}: {told}\n{policy}");
        let is_hidden = steps.contains(&("Decided (hidden)".to_owned(), true));
        assert_eq!(is_hidden, choice == "hide", "{steps:?}");
    }
    let limited = page["policy"].clone();
    let page = person.act(&json!(["limit", "get_order", "2", "day"]));
    let policy = page["policy"].as_str().expect("text");
    let (told, _) = decided("playground-choices", policy, &[call; 3]);
    assert_eq!(told, "denied: Rate limit of 2 per day reached. Try again later.");

    person.act(&json!(["press", "#undo"]));
    let page = person.act(&json!(["press", "#undo"]));
    assert_eq!(page["policy"], limited, "its window, then its number");
    let page = person.act(&json!(["download"]));
    assert_eq!(page["downloaded"].as_str().map(str::trim_end), page["policy"].as_str());
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn a_choice_changes_nothing_else_of_the_text() {
    let Some((envoy, mut person)) = visit("playground-edits") else { return };
    person.act(&json!(["paste", TOOLS]));
    let policy =
        REFUNDS.replace("\"max\": 250", "\"max\": 250.000").replace(r#""hide": ["delete_*"]"#, r#""hide": ["get_o*"]"#);
    let page = person.write("draft", &policy);
    let row = tool(&page, "get_order");
    assert_eq!((&row["choice"], &row["canChoose"]), (&json!("hide"), &json!(false)), "a pattern hides others, too");
    assert_eq!(row["note"], "Hidden with others by /hide/get_o*");
    let row = tool(&page, "create_refund");
    assert_eq!((&row["choice"], &row["canChoose"]), (&json!(""), &json!(true)), "it has rules of its own");

    let policy = policy.replace("get_o*", "get_order");
    person.write("draft", &policy);
    let page = person.act(&json!(["choose", "get_order", "deny"]));
    let expected = policy.replace(r#""hide": ["get_order"]"#, r#""hide": []"#);
    let at = expected.rfind("\n  },\n  \"tests\"").expect("the end of the tools");
    let expected = format!("{},\n    \"get_order\": {{ \"action\": \"deny\" }}{}", &expected[..at], &expected[at..]);
    // A choice that is passed on the way leaves nothing behind.
    assert_eq!(page["policy"], expected);
    assert!(
        page["findings"][0]["message"].as_str().is_some_and(|text| text.contains("/tests/2")),
        "a test fails: {page}"
    );
    let page = person.act(&json!(["press", "#undo"]));
    assert_ne!(page["policy"], expected);
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn what_is_pasted_is_text_and_goes_nowhere() {
    let Some((envoy, mut person)) = visit("playground-script") else { return };
    let tools = json!([{ "name": SCRIPT, "title": SCRIPT, "description": format!("{SCRIPT}\u{202e}") }]);
    let page = person.act(&json!(["paste", tools.to_string()]));
    let row = &page["tools"][0];
    assert_eq!(row["name"], SCRIPT);
    assert!(row["about"].as_str().is_some_and(|text| text.contains("<script>")), "{row}");
    person.write("draft", EMPTY);
    for choice in ["hide", "limit", "approve"] {
        let page = person.act(&json!(["choose", SCRIPT, choice]));
        assert!(page["policy"].as_str().is_some_and(|text| text.contains(SCRIPT)), "{page}");
        assert_eq!(page["tools"][0]["choice"], choice);
    }
    let page = person.write("call", &json!({ "tool": SCRIPT, "arguments": { SCRIPT: SCRIPT } }).to_string());
    assert!(page["decision"].as_str().is_some_and(|text| text.contains("onerror")), "{page}");
    let page = person.write("draft", &json!({ "version": "1", "default": "deny", SCRIPT: SCRIPT }).to_string());
    assert!(page["findings"][0]["message"].as_str().is_some_and(|text| text.contains(SCRIPT)), "{page}");
    let page = person.act(&json!(["paste", SCRIPT]));
    assert_ne!(page["toolsProblem"], "", "{page}");
    assert_eq!(envoy.traps(), 0);
}

#[test]
fn it_is_left_by_the_keyboard() {
    let Some((_envoy, mut person)) = visit("playground-keyboard") else { return };
    assert_eq!(person.act(&json!(["tab", "#draft"]))["focus"], "copy", "there is nothing to undo, nor to mend");
    assert_eq!(person.act(&json!(["tab", "#call"]))["focus"], "times");
    let before = person.act(&json!(["state"]));
    let page = person.write("draft", EMPTY);
    assert_eq!(page["policy"], EMPTY);
    assert_eq!(person.act(&json!(["tab", "#draft"]))["focus"], "undo");
    let page = person.act(&json!(["press", "#undo"]));
    assert_eq!((&page["policy"], &page["focus"]), (&before["policy"], &json!("draft")));
}

/// `make screenshots` puts them into the docs.
#[test]
fn the_playground_has_its_picture_taken() {
    let Some((parts, chromium)) = Parts::with_browser() else { return };
    let envoy = start(&parts, "playground-pictures", &Upstream::running_every_call(), &[]);
    sum(&mut envoy.connect(), 2, 3);
    let mut person = Session::open(&chromium, &envoy, Some(TOKEN));
    let page = person.act(&json!(["press", "#tools summary", 5]));
    let to = std::env::var("MCP_POLICY_SCREENSHOTS").map_or_else(|_| scratch(""), |folder| root().join(folder));
    let picture = |person: &mut Session, name: &str, more: &[&str]| {
        let path = to.join(format!("playground-{name}.png"));
        let text = path.to_str().expect("a path in UTF-8");
        person.act(&json!([&["screenshot", text][..], more].concat()));
        assert!(is_picture(&path), "{name}");
    };
    for (name, more) in [("light", &[][..]), ("dark", &["--dark"]), ("phone", &["--width", "390"])] {
        picture(&mut person, name, more);
    }
    let faulty = page["policy"].as_str().expect("text").replace("\"max\": 10", "\"max\": \"ten\"");
    person.write("draft", &faulty);
    picture(&mut person, "mistake", &["--only", "#playground > section"]);
}
