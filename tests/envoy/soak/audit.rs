//! The records of a soak, against what its clients were told: one for each request, in the access log, and one for each
//! refusal, in Envoy's own log.

use super::super::support::parts::scratch;
use super::super::support::wait;
use super::clients::{Tally, request_id};
use super::shapes::Shape;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Compares them; returns how many refusals there were by each rule, by what the clients were told and by the records.
pub(super) fn check(name: &str, tallies: &[Tally], shapes: &[Shape]) -> BTreeMap<String, (usize, usize)> {
    let requests: usize = tallies.iter().map(|tally| tally.outcomes.len()).sum();
    let access = format!("{name}.out");
    let is_ours = |line: &String| line.contains(r#""request_id":"soak-"#);
    wait::until("the access log has a line for each request", || lines(&access).filter(is_ours).count() >= requests);
    let mut decisions = HashMap::<String, Vec<Value>>::new();
    for line in lines(&access).filter(is_ours) {
        let line: Value = serde_json::from_str(&line).expect("a JSON line");
        let decision = line["decision"].as_str().unwrap_or_else(|| panic!("no decision in {line}"));
        let decision = serde_json::from_str(decision).expect("a record");
        decisions.entry(line["request_id"].to_string()).or_default().push(decision);
    }
    let mut logged = HashMap::<String, usize>::new();
    for line in lines(&format!("{name}.log")).filter(|line| line.contains(r#""outcome":""#)) {
        let record: Value = serde_json::from_str(&line[line.find('{').unwrap_or_default()..]).expect("a record");
        *logged.entry(record["request_id"].to_string()).or_default() += 1;
    }

    let mut rules = BTreeMap::<String, (usize, usize)>::new();
    for (caller, tally) in tallies.iter().enumerate() {
        for (request, (at, outcome)) in tally.outcomes.iter().enumerate() {
            let (shape, id) = (&shapes[*at], Value::from(request_id(caller, request)).to_string());
            let told = format!("{id}, {}, {outcome:?}", shape.name);
            let [record] = decisions.get(&id).map(Vec::as_slice).unwrap_or_default() else {
                panic!("{told}: not one record: {:?}", decisions.get(&id));
            };
            let is_refused = shape.expected.is_refused(*outcome);
            let rule = shape.expected.rule().filter(|_| is_refused).unwrap_or_default();
            let expected = if is_refused { "denied" } else { "allowed" };
            assert_eq!((&record["outcome"], &record["rule"]), (&expected.into(), &rule.into()), "{told}: {record}");
            // An answer of the server's that was not passed on is on record, too.
            let is_logged = is_refused || !record["answer"].is_null();
            let lines = logged.get(&id).copied().unwrap_or_default();
            assert_eq!(lines, usize::from(is_logged), "{told}: lines in the log");
            if is_refused {
                let key = |rule: &str| if rule.is_empty() { record["message"].to_string() } else { rule.to_owned() };
                rules.entry(key(rule)).or_default().0 += 1;
                rules.entry(key(record["rule"].as_str().unwrap_or_default())).or_default().1 += 1;
            }
        }
    }
    rules
}

/// The whole lines of a file in `target/e2e`.
fn lines(file: &str) -> impl Iterator<Item = String> {
    BufReader::new(File::open(scratch(file)).expect("a log")).lines().map(|line| line.expect("UTF-8"))
}
