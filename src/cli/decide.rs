//! `mcp-policy decide`: calls in, one a line, and what a policy makes of each.
//!
//! Counters are carried from line to line, as one proxy would. A line that is no call is reported with its
//! number and makes the exit code 1; the others are decided all the same, as if it had not been there.

use super::{Source, unusable, validate};
use clap::{Args, ValueEnum};
use mcp_policy::cases::{Call, Defaults};
use mcp_policy::config::Gate;
use mcp_policy::policy::{Decision, MemoryStore, Outcome, Policy, StepKind, Steps, Untraced};
use serde::Serialize;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Calls, one JSON object a line; `-` reads them from the standard input
    #[arg(long, value_name = "FILE")]
    calls: PathBuf,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a call
    Jsonl,
    /// Each step that a call passed, and the one that decided
    Text,
}

/// What judges: a policy as it is, even while its own tests fail, or what a plugin would put in force.
enum Judge {
    Policy(Box<Policy>),
    Gate(Box<Gate>),
}

impl Judge {
    /// The policy for this call, by its grant; else what is said to a caller without one.
    fn policy_for(&self, call: &Call) -> Result<&Policy, Box<Decision<'static>>> {
        let gate = match self {
            Self::Policy(policy) => return Ok(policy),
            Self::Gate(gate) => gate,
        };
        // Where callers are not told apart, a grant only divides the counts of a trial.
        let policy = if gate.has_grants() { gate.policy_of(&call.grant) } else { gate.default_policy() };
        policy.ok_or_else(|| {
            let has_grant = gate.grant_named(&call.grant).is_some();
            Box::new(if has_grant { Decision::no_policy() } else { Decision::no_grant() })
        })
    }
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (path, is_policy) = arguments.source.path();
    let judge = match super::read_bytes(path) {
        Ok(bytes) if is_policy => Policy::load_bytes("default", &bytes).map(|policy| Judge::Policy(Box::new(policy))),
        Ok(bytes) => Gate::load(&bytes).map(|gate| Judge::Gate(Box::new(gate))),
        Err(code) => return code,
    };
    let judge = match judge {
        Ok(judge) => judge,
        Err(problems) => return validate::report(path, &problems),
    };
    let calls: Box<dyn BufRead> = if arguments.calls == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        match std::fs::File::open(&arguments.calls) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => return unusable(format_args!("{}: {error}", arguments.calls.display())),
        }
    };
    match decide(&judge, calls, arguments, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => unusable(error),
    }
}

/// Whether every line was a call.
fn decide(judge: &Judge, calls: Box<dyn BufRead>, arguments: &Arguments, out: &mut dyn Write) -> io::Result<bool> {
    let (mut store, mut defaults, mut all_read) = (MemoryStore::default(), Defaults::default(), true);
    for (number, line) in (1..).zip(calls.split(b'\n')) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let call = match std::str::from_utf8(&line) {
            Ok(text) => Call::parse(text, &defaults).map_err(|problems| problems.to_string()),
            Err(_) => Err("not UTF-8".to_owned()),
        };
        let call = match call {
            Ok(call) => call,
            Err(problems) => {
                let path = arguments.calls.display();
                problems.lines().for_each(|problem| eprintln!("{path}:{number}: {problem}"));
                all_read = false;
                continue;
            }
        };
        defaults.at = call.at;
        let policy = judge.policy_for(&call);
        match arguments.format {
            Format::Jsonl => {
                let decision = match policy {
                    Ok(policy) => call.make(policy, &mut store, &mut Untraced),
                    Err(refusal) => *refusal,
                };
                let Decision { outcome, rule, message, .. } = &decision;
                let line = Line { outcome: *outcome, rule, message };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            Format::Text => {
                let mut steps = Steps::of(call.target().map(|target| target.feature));
                let decision = match policy {
                    Ok(policy) => call.make(policy, &mut store, &mut steps),
                    Err(refusal) => *refusal,
                };
                explain(number, &call, &steps, &decision, out)?;
            }
        }
    }
    out.flush()?;
    Ok(all_read)
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'d> {
    outcome: Outcome,
    rule: &'d str,
    message: &'d str,
}

fn explain(number: u64, call: &Call, steps: &Steps, decision: &Decision<'_>, out: &mut dyn Write) -> io::Result<()> {
    let what = match (&call.method, call.target()) {
        (Some(method), Some(target)) => format!("{method} {}", target.name),
        (Some(method), None) => method.clone(),
        (None, target) => target.map(|target| target.name.to_owned()).unwrap_or_default(),
    };
    let session = call.session.as_ref().map(|session| format!(", session {session}")).unwrap_or_default();
    writeln!(out, "{number}: {what} at {}, grant {}{session}", call.at, call.grant)?;
    for (kind, at) in steps.iter() {
        match kind {
            StepKind::Entry => writeln!(out, "  entry    {at}"),
            StepKind::NoEntry => writeln!(out, "  no entry of {at}"),
            StepKind::Passed | StepKind::Shadow | StepKind::Decided => writeln!(out, "  {:7}  {at}", kind.as_str()),
        }?;
    }
    let message = if decision.message.is_empty() { String::new() } else { format!(": {}", decision.message) };
    writeln!(out, "  {}{message}", decision.outcome.as_str())?;
    if decision.outcome.goes_on() && call.upstream.refunds() {
        writeln!(out, "  the server failed, so limits get back what the call spent")?;
    }
    Ok(())
}
