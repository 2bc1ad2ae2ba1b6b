//! `mcp-policy test`: runs the tests within policies and the cases beside them, and says what failed and
//! which rules nothing touched.

use super::{read, read_bytes, unusable, validate};
use clap::Args;
use mcp_policy::cases::{self, CaseFile, Coverage};
use mcp_policy::policy::Policy;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How the name of a file of cases ends.
const CASES: &str = ".cases.json";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Policies, or the files of cases beside them; either stands for both
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Fail when a rule decided none of the calls
    #[arg(long)]
    coverage: bool,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    untouched: usize,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut tally = Tally::default();
    for path in policies(&arguments.files) {
        if let Err(code) = test(&path, &mut tally) {
            return code;
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ExitCode::from(u8::from(tally.failed > 0 || arguments.coverage && tally.untouched > 0))
}

/// Each policy once, though `*.json` names it and its cases.
fn policies(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut policies: Vec<PathBuf> = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let policy = match name.strip_suffix(CASES) {
            Some(stem) => file.with_file_name(format!("{stem}.json")),
            None => file.clone(),
        };
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    policies
}

fn test(path: &Path, tally: &mut Tally) -> Result<(), ExitCode> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut policy =
        Policy::load_bytes(&name, &read_bytes(path)?).map_err(|problems| validate::report(path, &problems))?;
    let beside = path.with_file_name(format!("{name}{CASES}"));
    let mut suites = vec![(path, "/tests", policy.take_tests())];
    if beside.exists() {
        let file = CaseFile::parse(&read(&beside)?).map_err(|problems| validate::report(&beside, &problems))?;
        suites.push((&beside, "/cases", file.cases));
    } else if suites.iter().all(|(_, _, cases)| cases.is_empty()) {
        let beside = beside.display();
        return Err(unusable(format_args!(
            "{}: nothing to run: it has no tests, and there is no {beside}",
            path.display()
        )));
    }
    let mut coverage = Coverage::default();
    for (file, list, cases) in suites {
        let failures = cases::run(&cases, &policy, &mut coverage);
        for failure in &failures {
            println!("{}: {list}/{}: {failure}", file.display(), failure.index);
        }
        tally.failed += failures.len();
        tally.passed += cases.len() - failures.len();
    }
    let untouched = coverage.untouched(&policy);
    for rule in &untouched {
        println!("{}: no case touches {rule}", path.display());
    }
    tally.untouched += untouched.len();
    Ok(())
}
