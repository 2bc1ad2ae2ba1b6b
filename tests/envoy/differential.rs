//! The differential farm: each disguise of `tests/differential/` as raw bytes through the gate to real servers, which
//! tell what they were asked to run. Whatever a server runs, the gate must have judged exactly that, and allowed it.

#[path = "../differential/case.rs"]
#[allow(dead_code, reason = "shared with the test target of the corpus")]
mod case;
#[path = "../differential/corpus.rs"]
mod corpus;
#[path = "../differential/json.rs"]
mod json;
mod send;
mod servers;

use crate::native::{Driver, Fate, gate, headers, store};
use crate::support::envoy::Envoy;
use crate::support::parts::{Parts, root};
use crate::support::setup::Setup;
use case::{Case, Gate};
use send::{Answer, Outcome, send, send_directly};
use serde_json::{Map, Value};
use servers::{PARTS, Run, SERVERS, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

/// The marker of the call that ends a run, when everything else has happened.
const LAST: &str = "the-end";

/// How the markers begin of what is sent to a server without the gate.
const DIRECT: &str = "direct.";

/// What became of the corpus before one server.
#[derive(Debug, Default)]
struct Tally {
    forwarded: usize,
    refused: usize,
    runs: usize,
    /// What the server runs, asked directly, although the case says that nothing may run.
    direct: BTreeSet<String>,
    violations: Vec<String>,
    faults: Vec<String>,
}

/// A member that the TypeScript SDK's schemas drop from arguments, lest it change what the object inherits.
const INHERITED: &str = "__proto__";

/// All that the gate put on record of one case.
type Records = BTreeMap<String, Vec<Value>>;

#[test]
fn no_server_runs_what_the_gate_did_not_judge_and_allow() {
    let Some(parts) = Parts::with(&PARTS) else { return };
    let (start, cases) = (Instant::now(), corpus::all());
    let only = std::env::var("MCP_POLICY_DIFFERENTIAL").ok();
    let chosen: Vec<&(&str, &[&str])> =
        SERVERS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)).collect();
    let tallies: Vec<(&str, Tally)> = std::thread::scope(|scope| {
        let farm = |(name, command): &'static (&'static str, &'static [&'static str])| {
            let (parts, cases) = (&parts, &cases);
            (*name, scope.spawn(move || try_all(parts, name, command, cases)))
        };
        let running: Vec<_> = chosen.into_iter().map(farm).collect();
        running.into_iter().map(|(name, thread)| (name, thread.join().expect("a server is tried to the end"))).collect()
    });
    let mut text = format!("differential: {} cases, {} servers, {:?}\n", cases.len(), tallies.len(), start.elapsed());
    for (name, tally) in &tallies {
        let Tally { forwarded, refused, runs, direct, .. } = tally;
        let (direct, violations, faults) = (direct.len(), tally.violations.len(), tally.faults.len());
        let _ = writeln!(
            text,
            "  {name}: {forwarded} forwarded, {refused} refused, {runs} ran, {violations} violations, {faults} faults; \
             without the gate it ran {direct} of the refused"
        );
    }
    let direct: BTreeSet<&String> = tallies.iter().flat_map(|(_, tally)| &tally.direct).collect();
    let _ = writeln!(text, "  without the gate some server ran {} of the refused", direct.len());
    // Not by `println!`, which the test harness keeps to itself unless the test fails.
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::fs::write(root().join("target/e2e/differential.txt"), &text);
    let all: Vec<String> = tallies
        .into_iter()
        .flat_map(|(name, tally)| {
            let violations = tally.violations.into_iter().map(move |text| format!("VIOLATION {name}: {text}"));
            violations.chain(tally.faults.into_iter().map(move |text| format!("{name}: {text}")))
        })
        .collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Sends every case to one server, first without and then with the gate before it.
fn try_all(parts: &Parts, name: &str, command: &[&str], cases: &[Case]) -> Tally {
    let name = format!("differential-{name}");
    let mut server = Server::start(&format!("{name}-server"), command);
    let policy: Value = serde_json::from_str(corpus::POLICY).expect("a policy");
    let log = "request_id: \"%REQ(X-REQUEST-ID)%\"";
    let setup = Setup::new(&policy).edit(log, "request_id: \"%REQ(X-CASE)%\"");
    for case in cases {
        send_directly(server.address, case, &format!("{DIRECT}{}", case.name));
    }
    let mut envoy = Envoy::start_with(parts, &name, &setup.render(&name, server.address), 1);

    let outcomes: Vec<Outcome> = cases.iter().map(|case| send(envoy.address, case, &case.name)).collect();
    let last = Case::new(LAST, "", &[Gate::Forwarded])
        .posting(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":{}}}"#);
    send(envoy.address, &last, LAST);
    let marker = |line: &Value| line["request_id"].as_str().unwrap_or_default().to_owned();
    let lines = envoy.access_log_to(|line| marker(line) == format!("{LAST}.after"));
    let mut tally = Tally::default();
    let mut records = Records::new();
    for line in &lines {
        records.entry(marker(line)).or_default().push(line.clone());
    }
    let all = server.runs(&format!("{LAST}.after"));
    let (direct, runs): (Vec<Run>, Vec<Run>) = all.into_iter().partition(|run| run.case.starts_with(DIRECT));
    let ran = |case: &&Case| direct.iter().any(|run| run.case.strip_prefix(DIRECT) == Some(&case.name));
    let refused = cases.iter().filter(|case| case.runs.is_none() && case.gate.iter().all(|gate| gate.refuses()));
    tally.direct = refused.filter(ran).map(|case| case.name.clone()).collect();
    let traps = envoy.traps();
    if traps > 0 {
        tally.faults.push(format!("the plugin trapped {traps} times"));
    }
    tally.runs = runs.iter().filter(|run| !run.case.ends_with(".after") && run.case != LAST).count();
    for run in &runs {
        if let Err(fault) = is_covered(run, &runs, &records, cases) {
            let case = cases.iter().find(|case| case.name == run.case.trim_end_matches(".after"));
            let bytes = case.map(shown).unwrap_or_default();
            tally.violations.push(format!("{}: {fault}; ran {run:?}; sent {bytes}", run.case));
        }
    }
    for (case, outcome) in cases.iter().zip(&outcomes) {
        check(case, outcome, &runs, &records, &mut tally);
    }
    tally
}

/// The invariant: the gate has a record that it allowed exactly this tool, once for each run, and the engine, asked
/// for this tool with these arguments, allows it.
fn is_covered(run: &Run, runs: &[Run], records: &Records, cases: &[Case]) -> Result<(), String> {
    let tool = run.tool.as_deref().ok_or("a tool without a name")?;
    let decisions = decisions(records, &run.case);
    if is_stand_in(run) {
        let is_refused = decisions.iter().any(|record| record["outcome"] == "denied");
        return if is_refused { Ok(()) } else { Err("a stand-in for nothing that was refused".to_owned()) };
    }
    let allowed: Vec<&Value> = decisions
        .iter()
        .filter(|record| record["outcome"] == "allowed" && record["method"] == "tools/call")
        .filter(|record| record["tool"].as_str().is_some_and(|name| is_name(name, tool)))
        .collect();
    let ran = runs.iter().filter(|other| other.case == run.case && other.tool == run.tool).count();
    if allowed.len() < ran {
        return Err(format!("{} records of allowing it for {ran} runs", allowed.len()));
    }
    let arguments: Option<Value> = run.arguments.as_deref().and_then(|text| serde_json::from_str(text).ok());
    if let Some(object) = arguments.as_ref().and_then(Value::as_object) {
        let mut names: Vec<&str> = object.keys().map(String::as_str).filter(|name| *name != INHERITED).collect();
        names.sort_unstable();
        names.truncate(32);
        let keys = |record: &Value| -> Vec<String> {
            let keys = record["arg_keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            keys.filter(|name| *name != INHERITED).map(str::to_owned).collect()
        };
        if !allowed.iter().any(|record| keys(record) == names) {
            return Err(format!("no record of the arguments {names:?}"));
        }
    }
    if let (Some(arguments), Some(judged)) = (&arguments, judged_arguments(run, tool, cases))
        && !judged.iter().any(|judged| is_equal(judged, arguments))
    {
        return Err(format!("the arguments differ from those judged, {judged:?}"));
    }
    if !engine_allows(tool, run.arguments.as_deref()) {
        return Err("the engine refuses it".to_owned());
    }
    Ok(())
}

/// Whether it was asked for what no server has, in the place of a call that was refused.
fn is_stand_in(run: &Run) -> bool {
    run.tool.as_deref().is_some_and(|tool| tool.starts_with("[POLICY DENIED] "))
}

/// What a reader of its own makes of the arguments of a case's calls; `None` where framing or text is not for it.
fn judged_arguments(run: &Run, tool: &str, cases: &[Case]) -> Option<Vec<Value>> {
    let case = cases.iter().find(|case| case.name == run.case)?;
    if case.requests.iter().any(|request| request.is_raw) {
        return None;
    }
    let bodies: Option<Vec<Value>> =
        case.requests.iter().map(|request| serde_json::from_slice(&request.body).ok()).collect();
    let calls = bodies?.into_iter().filter(|body| body["params"]["name"] == tool);
    Some(calls.map(|body| body["params"]["arguments"].clone()).collect())
}

/// Equal but for how exact a number is, which the engine is asked about in its own words.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a == b || (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let count = |object: &Map<String, Value>| object.keys().filter(|name| *name != INHERITED).count();
            let is_there =
                |(name, a): (&String, &Value)| name == INHERITED || b.get(name).is_some_and(|b| is_equal(a, b));
            count(a) == count(b) && a.iter().all(is_there)
        }
        // Absent, or as good as that.
        (Value::Null, Value::Object(b)) => b.is_empty(),
        _ => a == b,
    }
}

/// Records keep the beginning of a name.
fn is_name(recorded: &str, tool: &str) -> bool {
    recorded == tool || recorded.strip_suffix('…').is_some_and(|start| tool.starts_with(start))
}

fn engine_allows(tool: &str, arguments: Option<&str>) -> bool {
    let arguments = arguments.map(|arguments| format!(r#","arguments":{arguments}"#)).unwrap_or_default();
    let tool = Value::from(tool);
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{tool}{arguments}}}}}"#);
    let (gate, mut store) = (gate(corpus::POLICY), store());
    let mut driver = Driver::new(&gate, &mut store, 0);
    matches!(driver.request(&headers(&crate::native::POST), &[call.as_bytes()], false), Fate::Forwarded(_))
}

fn decisions(records: &Records, marker: &str) -> Vec<Value> {
    let lines = records.get(marker).into_iter().flatten();
    lines.filter_map(|line| serde_json::from_str(line["decision"].as_str()?).ok()).collect()
}

/// Whether the gate did what the case says, and left a record of it.
fn check(case: &Case, outcome: &Outcome, runs: &[Run], records: &Records, tally: &mut Tally) {
    let fault =
        |tally: &mut Tally, text: String| tally.faults.push(format!("{}: {text}; sent {}", case.name, shown(case)));
    // The line of the last request that was written as one; what was smuggled in comes after it.
    let line = records.get(&case.name).and_then(|lines| lines.get(case.requests.len() - 1));
    let decision: Option<Value> = line.and_then(|line| serde_json::from_str(line["decision"].as_str()?).ok());
    let is_allowed = decision.as_ref().is_none_or(|record| record["outcome"] == "allowed");
    let is_forwarded = is_allowed && line.is_some_and(|line| line["upstream"].is_string());
    if is_forwarded {
        tally.forwarded += 1;
    } else {
        tally.refused += 1;
    }
    if outcome.answers.iter().any(|answer| matches!(answer, Answer::Hang)) {
        fault(tally, format!("hangs: {:?}", outcome.answers));
    }
    let ran: Vec<&Run> = runs.iter().filter(|run| run.case == case.name && !is_stand_in(run)).collect();
    if case.needs.as_deref().is_some_and(|needs| corpus::NOT_YET.contains(&needs)) {
        return;
    }
    let answer = outcome.answers.last().expect("something was sent");
    let is_due = |gate: &Gate| {
        let recorded = match gate {
            Gate::Forwarded => is_forwarded,
            // Envoy's own refusals leave none.
            Gate::Envoy(_) | Gate::Closed => !is_forwarded,
            Gate::Policy | Gate::Error(..) | Gate::Empty(_) | Gate::StandIn => {
                decision.as_ref().is_some_and(|record| record["outcome"] == "denied")
            }
        };
        recorded && answer.is(*gate)
    };
    if !case.gate.iter().any(is_due) {
        let said: Vec<String> = case.gate.iter().map(ToString::to_string).collect();
        let given = match answer {
            Answer::Given(status, _, body) => format!("{status} {}", String::from_utf8_lossy(body)),
            other => format!("{other:?}"),
        };
        fault(tally, format!("not {}: {given}; on record {decision:?}", said.join(" or ")));
    }
    if let Some(run) = ran.iter().find(|run| run.tool != case.runs) {
        tally.violations.push(format!("{}: ran {run:?}, which the case rules out", case.name));
    }
    if case.everywhere && ran.is_empty() {
        fault(tally, format!("an honest call was not run: {answer:?}"));
    }
    // A connection is left in order, or closed.
    if let Some(Answer::Given(status, _, body)) = &outcome.after {
        let ran = runs.iter().filter(|run| run.case == format!("{}.after", case.name)).count();
        if *status != 200 || ran != 1 {
            let body = String::from_utf8_lossy(body);
            fault(tally, format!("an honest call behind it got {status} {body} and ran {ran} times"));
        }
    }
    if matches!(outcome.after, Some(Answer::Hang)) {
        fault(tally, "an honest call behind it hangs".to_owned());
    }
}

/// The beginning of what was sent, as text.
fn shown(case: &Case) -> String {
    let bytes: Vec<u8> = case.requests.iter().flat_map(|request| request.bytes(&case.name)).take(1500).collect();
    bytes.escape_ascii().to_string()
}
