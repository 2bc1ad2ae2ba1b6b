//! `mcp-policy validate`: every problem of every file, each with its pointer.

use super::read;
use mcp_policy::config::Gate;
use mcp_policy::policy::Problems;
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
            Ok(gate) => println!("{}: valid, version {}", path.display(), gate.policy().version()),
            Err(problems) => {
                report(path, &problems);
                worst = worst.max(1);
            }
        }
    }
    ExitCode::from(worst)
}

/// Prints every problem; exit code 1.
pub(super) fn report(path: &Path, problems: &Problems) -> ExitCode {
    for problem in problems.iter() {
        eprintln!("{}: {problem}", path.display());
    }
    ExitCode::from(1)
}
