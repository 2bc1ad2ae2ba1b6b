//! What the pages say is so: their examples load, their tables of problems are whole, and the tests that they name exist.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/pages.rs"]
mod pages;

use mcp_policy::cases::CaseFile;
use mcp_policy::config::{Gate, Role};
use mcp_policy::policy::Policy;
use pages::{examples, fits, quoted, read, root, rows};
use serde_json::{Value, json};

const LIBRARY: &str = include_str!("../docs/policies.md");
const POLICY: &str = include_str!("../docs/policy.md");
const PROBLEMS: &str = include_str!("../docs/problems.md");
const QUESTIONS: &str = include_str!("../docs/faq.md");
const SECURITY: &str = include_str!("../docs/security.md");
/// What stands for the hash of somebody's token.
const HASH: &str = "<64 hex digits>";

/// The documents that `example` may be a part of, each with a place that it may have there.
fn placed(example: &str) -> [String; 5] {
    let in_policy = |default: &str, members: &str| format!(r#"{{"version":"1","default":"{default}",{members}}}"#);
    [
        example.to_owned(),
        in_policy("deny", example),
        in_policy("allow", &format!(r#""tools":{{{example}}}"#)),
        in_policy("allow", &format!(r#""tools":{{"x":{{{example}}}}}"#)),
        in_policy("allow", &format!(r#""tests":[{example}]"#)),
    ]
}

#[test]
fn every_example_of_a_policy_loads() {
    let mut count = 0;
    for example in examples(POLICY).chain(examples(QUESTIONS)) {
        // Cases are about another policy, so they are read and not run.
        let is_case = |text: &str| CaseFile::parse(text).is_ok();
        let is_cases = is_case(example) || is_case(&format!(r#"{{"cases":[{example}]}}"#));
        let refusals: Vec<String> = placed(example)
            .iter()
            .filter_map(|text| Policy::load("p", text).err().or_else(|| Gate::load(text.as_bytes()).err()))
            .map(|problems| problems.to_string())
            .collect();
        assert!(is_cases || refusals.len() < placed(example).len(), "{example}\n{}", refusals.join("\n"));
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[test]
fn every_example_of_a_configuration_loads() {
    for page in ["docs/admin-api.md", "docs/configuration.md", "docs/grants.md"] {
        let text = read(page);
        assert!(examples(&text).next().is_some(), "{page}");
        for example in examples(&text) {
            let example = example.replace(HASH, &"0".repeat(64));
            Role::load(example.as_bytes()).unwrap_or_else(|problems| panic!("{page}: {problems}\nin {example}"));
        }
    }
}

#[test]
fn every_member_and_operator_is_shown_by_an_example_of_its_section() {
    let mut count = 0;
    for section in POLICY.split("\n## ") {
        let shown: String = examples(section).collect::<Vec<_>>().concat();
        for row in rows(section, "member") {
            for member in quoted(row.first().expect("a cell")) {
                assert!(shown.contains(&format!("\"{member}\": ")), "no example has {member}");
                count += 1;
            }
        }
        for row in rows(section, "op") {
            for op in quoted(row.first().expect("a cell")) {
                assert!(shown.contains(&format!("\"op\": \"{op}\"")), "no example has the operator {op}");
                count += 1;
            }
        }
        for row in rows(section, "path") {
            for path in quoted(row.first().expect("a cell")) {
                let start = path.find(['.', '[']).map_or(path, |end| path.get(..end).expect("a part"));
                assert!(shown.contains(&format!("\"path\": \"{start}")), "no example has a path into {start}");
                count += 1;
            }
        }
    }
    assert!(count > 60, "{count}");
}

/// Every problem in the data of the tests, without its place, and the one that would be too long to stand there.
fn known_problems() -> Vec<String> {
    let documents: Value = serde_json::from_str(&read("tests/cases/documents.json")).expect("JSON");
    let grants: Value = serde_json::from_str(&read("tests/cases/grants.json")).expect("JSON");
    let rows = [&documents, &grants["faulty"]].into_iter().flat_map(|rows| rows.as_array().expect("a list"));
    let problems = rows.flat_map(|row| row["problems"].as_array().expect("a list"));
    let mut known: Vec<String> = problems.map(|problem| problem.as_str().expect("a text").to_owned()).collect();
    let test = json!({"name": "a", "list": [], "visible": []});
    let policy = json!({"version": "1", "default": "deny", "tests": vec![test; 1001]});
    let refused = Gate::load(policy.to_string().as_bytes()).expect_err("too many tests");
    known.extend(refused.iter().map(ToString::to_string));
    known.iter().map(|problem| problem.split_once(": ").expect("a place").1.to_owned()).collect()
}

#[test]
fn the_tables_have_every_problem_and_no_other() {
    let rows = rows(PROBLEMS, "text");
    let texts: Vec<&str> = rows.iter().flat_map(|row| quoted(row.first().expect("a cell"))).collect();
    let known = known_problems();
    for text in &texts {
        assert!(known.iter().any(|problem| fits(text, problem)), "no document has the problem: {text}");
    }
    for problem in &known {
        assert!(texts.iter().any(|text| fits(text, problem)), "no table has the problem: {problem}");
    }
    assert!(texts.len() > 100, "{}", texts.len());
}

/// Whether the file has a function of that name, or a row of data.
fn has(text: &str, is_data: bool, name: &str) -> bool {
    let found = if is_data { format!("\"name\": {}", Value::from(name)) } else { format!("fn {name}(") };
    text.contains(&found)
}

/// In the last column of the promises: files, each with the tests or cases in it that are meant.
#[test]
fn every_promise_names_tests_that_exist() {
    let promises = rows(SECURITY, "promise");
    assert!(promises.len() > 20, "{}", promises.len());
    for row in &promises {
        let [promise, shown_by] = row.as_slice() else { panic!("{row:?}") };
        let mut file = None;
        for name in quoted(shown_by) {
            if name.starts_with("tests/") || name.starts_with("src/") || name.starts_with("policies/") {
                file = Some((name, read(name)));
                continue;
            }
            let (path, text) = file.as_ref().unwrap_or_else(|| panic!("{promise}: {name} is in no file"));
            assert!(has(text, path.ends_with(".json"), name), "{promise}: {path} has no {name}");
        }
        assert!(file.is_some(), "{promise}: nothing shows it");
    }
}

/// In the first table of the library: each policy with its server, what it does and how many cases it has.
#[test]
fn the_library_has_the_policies_and_cases_that_its_page_says() {
    let rows = rows(LIBRARY, "policy");
    let policies: Vec<&Vec<&str>> = rows.iter().filter(|row| row.len() == 4).collect();
    assert!(policies.len() >= 7, "{}", policies.len());
    for row in policies {
        let name = quoted(row[0])[0];
        assert!(row[0].ends_with(&format!("(../policies/{name}.json)")), "{name}");
        let cases = CaseFile::parse(&read(&format!("policies/{name}.cases.json"))).expect("cases").cases.len();
        assert_eq!(row[3], cases.to_string(), "{name}");
        assert!(cases >= 12, "{name} has too few cases");
    }
}

/// How many tools of which risk the page of questions says that a server has: as many as have the rule of that risk.
#[test]
fn the_servers_have_as_many_tools_of_each_risk_as_the_page_says() {
    let rows: Vec<Vec<&str>> = rows(QUESTIONS, "server");
    assert!(rows.len() >= 2, "{rows:?}");
    for row in rows {
        let name = quoted(row[0])[0];
        let policy: Value = serde_json::from_str(&read(&format!("policies/{name}.json"))).expect("JSON");
        let entries: Vec<&Value> = policy["tools"].as_object().expect("entries").values().collect();
        let count = |is_meant: &dyn Fn(&Value) -> bool| entries.iter().filter(|entry| is_meant(entry)).count();
        let limited_to = |max: u64| count(&|entry| entry["limits"][0]["max"] == max);
        let hidden = policy["hide"].as_array().expect("a list").len();
        let read = count(&|entry| entry.as_object().is_some_and(serde_json::Map::is_empty));
        let financial = count(&|entry| entry.get("require_approval").is_some());
        let counts = [entries.len() + hidden, read, limited_to(30), limited_to(10), hidden, financial];
        assert_eq!(row[1..], counts.map(|count| count.to_string()), "{name}");
    }
}

/// Every link of a page that leads to another one, or to a part of one.
#[test]
fn every_link_leads_somewhere() {
    let anchors = |text: &str| -> Vec<String> {
        let kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
        let anchor = |title: &str| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
        text.lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor(line.trim_start_matches(['#', ' '])))
            .collect()
    };
    for page in &pages::all() {
        let text = read(page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let path = match file {
                "" => root().join(page),
                file => root().join(page).parent().expect("a folder").join(file),
            };
            assert!(path.exists(), "{page}: {link} leads nowhere");
            if !part.is_empty() {
                let text = std::fs::read_to_string(&path).expect("a page");
                assert!(anchors(&text).iter().any(|anchor| anchor == part), "{page}: {link} leads to no part");
            }
        }
    }
}
