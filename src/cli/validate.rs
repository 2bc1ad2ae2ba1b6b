//! `mcp-policy validate`: every problem of every file, each with its pointer.

use super::read;
use mcp_policy::config::Gate;
use mcp_policy::policy::{Policy, Problems};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn run(files: &[PathBuf]) -> ExitCode {
    let mut worst = 0;
    for path in files {
        let Ok(text) = read(path) else {
            worst = 2;
            continue;
        };
        match Gate::load(text.as_bytes()) {
            Ok(gate) => println!("{}: valid, {}", path.display(), versions(&gate)),
            Err(problems) => {
                report(path, &problems);
                worst = worst.max(1);
            }
        }
    }
    ExitCode::from(worst)
}

/// The version of each policy, by name where there are several.
fn versions(gate: &Gate) -> String {
    let policies: Vec<&Policy> = gate.policies().collect();
    match policies.as_slice() {
        [policy] => format!("version {}", policy.version()),
        [] => "without policies".to_owned(),
        several => {
            let version = |policy: &&Policy| format!("\"{}\" version {}", policy.name(), policy.version());
            several.iter().map(version).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Prints every problem; exit code 1.
pub(super) fn report(path: &Path, problems: &Problems) -> ExitCode {
    for problem in problems.iter() {
        eprintln!("{}: {problem}", path.display());
    }
    ExitCode::from(1)
}
