//! `mcp-policy test`: runs `NAME.cases.json` against `NAME.json`, and says what failed.

use super::{read, unusable, validate};
use mcp_policy::cases::CaseFile;
use mcp_policy::policy::Policy;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn run(policies: &[PathBuf]) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for path in policies {
        match test(path) {
            Ok((total, failures)) => {
                failed += failures;
                passed += total - failures;
            }
            Err(code) => return code,
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// How many cases there are, and how many failed.
fn test(path: &Path) -> Result<(usize, usize), ExitCode> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let policy = Policy::load(&name, &read(path)?).map_err(|problems| validate::report(path, &problems))?;
    let cases_path = path.with_extension("cases.json");
    let cases = CaseFile::parse(&read(&cases_path)?)
        .map_err(|error| unusable(format_args!("{}:\n{error}", cases_path.display())))?;
    let failures = cases.run(&policy);
    for failure in &failures {
        println!("{}: {failure}", path.display());
    }
    Ok((cases.cases.len(), failures.len()))
}
