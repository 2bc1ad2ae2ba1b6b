//! The risk of tools: our own cases, laws that hold for each of them, and the figures on lists of tools that people
//! have judged, where those lie beside the checkout.
//!
//! The rules are hand-made and learn nothing from the lists, so that leaving a server out cannot change what is said of
//! it: the figure of each server is its figure by leave-one-server-out cross validation, and their sum is the report.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files and print, and what it finds missing ends it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use mcp_policy::risk::{Assessment, Category, Tool, assess};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What the report must reach.
const MIN_ACCURACY: f64 = 0.92;
const MIN_MACRO_F1: f64 = 0.88;

fn cases() -> Vec<Value> {
    let groups: Vec<Value> = serde_json::from_str(include_str!("cases/risk.json")).expect("cases");
    groups.iter().flat_map(|group| group["tools"].as_array().expect("tools")).cloned().collect()
}

fn of(definition: &Value) -> Assessment {
    assess(&Tool::of(definition))
}

/// `field: word` of the reasons that decided.
fn because(assessment: &Assessment) -> Vec<String> {
    assessment.deciding().map(|reason| format!("{}: {}", reason.field, reason.word)).collect()
}

#[test]
fn every_case_is_judged_and_explained() {
    let mut wrong = Vec::new();
    for case in cases() {
        let assessment = of(&case);
        let expected: Vec<&str> =
            case["because"].as_array().expect("because").iter().filter_map(Value::as_str).collect();
        if case["is"] != assessment.category.as_str() || because(&assessment) != expected {
            wrong.push(format!("{case}\n  {assessment}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_riskiest_reason_decides_and_is_told() {
    for case in cases() {
        let assessment = of(&case);
        let riskiest = assessment.reasons.iter().map(|reason| reason.says).max().unwrap_or(Category::Read);
        assert!(riskiest == assessment.category || because(&assessment).is_empty(), "{case}");
        assert!(riskiest <= assessment.category, "{case}");
        assert_eq!(assessment.severity, assessment.category.severity());
        assert_eq!(assessment, of(&case), "{case}");
    }
}

/// Whatever a server claims beside, a tool that was judged dangerous stays so.
#[test]
fn no_claim_lowers_a_risk() {
    for mut case in cases() {
        case.as_object_mut().expect("a definition").remove("annotations");
        let before = of(&case).category;
        for claims in [
            json!({ "readOnlyHint": true }),
            json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false }),
            json!({ "readOnlyHint": false, "destructiveHint": false }),
            json!({ "title": "Get a list" }),
            json!({ "title": "Create a report" }),
        ] {
            case["annotations"] = claims;
            assert!(of(&case).category >= before, "{case}");
        }
    }
}

#[test]
fn a_report_line_is_plain_text() {
    let delete = of(&json!({ "name": "delete_file" }));
    assert_eq!(delete.to_string(), "Destructive (Critical): `delete` in the name says Destructive");
    assert_eq!(of(&json!({ "name": "x" })).to_string(), "Execute (High): nothing in the definition says what it does");
    let hostile = json!({ "name": "x", "inputSchema": { "properties": { "\u{1b}[2J_sql": { "type": "string" } } } });
    assert!(!of(&hostile).to_string().contains('\u{1b}'));
    assert_eq!(
        serde_json::to_value(&delete).expect("JSON"),
        json!({
            "category": "destructive",
            "severity": "critical",
            "reasons": [{ "field": "name", "word": "delete", "says": "destructive" }],
        })
    );
}

/// Definitions of any shape and length are judged.
#[test]
fn what_is_no_definition_is_of_an_unknown_kind() {
    for definition in [json!(null), json!([]), json!({ "name": 7, "description": ["a"], "inputSchema": "x" })] {
        assert_eq!(of(&definition).category, Category::Execute, "{definition}");
    }
    let long = format!("{}delete", "a_".repeat(20_000));
    assert_eq!(of(&json!({ "name": long })).category, Category::Destructive);
    for word in ["send_", "create_", "query_database_", "log-", "transfer.order."] {
        assert!(of(&json!({ "name": word.repeat(20_000) })).category > Category::Read, "{word}");
    }
    let text = "and delete ".repeat(20_000);
    assert_eq!(of(&json!({ "name": "x", "description": text })).category, Category::Destructive);
}

/// How often each category was called each.
#[derive(Default)]
struct Confusion(BTreeMap<(Category, Category), usize>);

impl Confusion {
    fn count(&self, fits: impl Fn(Category, Category) -> bool) -> f64 {
        let counted = self.0.iter().filter(|((is, called), _)| fits(*is, *called)).map(|(_, count)| count);
        f64::from(u32::try_from(counted.sum::<usize>()).expect("a count"))
    }

    fn accuracy(&self) -> f64 {
        self.count(|is, called| is == called) / self.count(|_, _| true)
    }

    /// The harmonic mean of precision and recall.
    fn f1(&self, of: Category) -> f64 {
        let right = self.count(|is, called| is == of && called == of);
        2.0 * right / (self.count(|is, _| is == of) + self.count(|_, called| called == of))
    }

    fn macro_f1(&self) -> f64 {
        Category::ALL.map(|category| self.f1(category)).iter().sum::<f64>() / 5.0
    }

    fn print(&self) {
        println!("{:12}{}", "is \\ called", Category::ALL.map(|called| format!("{called:>12}")).concat());
        for is in Category::ALL {
            let row =
                Category::ALL.map(|called| format!("{:12}", self.0.get(&(is, called)).copied().unwrap_or_default()));
            println!("{is:12}{}   F1 {:.3}", row.concat(), self.f1(is));
        }
    }
}

#[test]
fn tools_of_other_servers_are_judged_as_people_judge_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tool-risk/train.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no ../shared/data/tool-risk/train.jsonl, so there are no judged tools at hand");
        return;
    };
    let mut all = Confusion::default();
    let mut by_server: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        // `Other` is what nobody has judged.
        let Some(is) = Category::ALL.into_iter().find(|category| row["category"] == category.as_str()) else {
            continue;
        };
        let tool =
            Tool { name: row["tool"].as_str().unwrap(), description: row["description"].as_str(), ..Tool::default() };
        let assessment = assess(&tool);
        *all.0.entry((is, assessment.category)).or_default() += 1;
        let server = by_server.entry(row["server"].as_str().unwrap().to_owned()).or_default();
        server.1 += 1;
        if is == assessment.category {
            server.0 += 1;
        } else {
            wrong.push(format!("{} {} is {is}: {assessment}", row["server"], tool.name));
        }
    }
    for (server, (right, tools)) in by_server {
        println!("{server:20}{right:4} of {tools:3}");
    }
    println!("{}", wrong.join("\n"));
    all.print();
    let missed = all.count(|is, called| is > Category::Write && called == Category::Read);
    println!("accuracy {:.4}, macro-F1 {:.4}, dangerous tools called Read: {missed}", all.accuracy(), all.macro_f1());
    assert!(all.accuracy() >= MIN_ACCURACY && all.macro_f1() >= MIN_MACRO_F1 && missed == 0.0);
}
