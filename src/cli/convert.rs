//! `mcp-policy convert`: a policy from what another tool was configured by, and a line for each thing that it says
//! otherwise.

use super::{read_bytes, replace_file, unusable};
use clap::Args;
use mcp_policy::convert::{self, Conversion};
use mcp_policy::policy::{Pointer, Problems};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What is converted; `-` reads the standard input
    file: PathBuf,
    /// Write the policy there, in one step, and not to the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ClaudeCodeArguments {
    #[command(flatten)]
    common: Arguments,
    /// The server that the policy is for, as entries name it; needed where they name several
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

pub(super) fn intercept(arguments: &Arguments) -> ExitCode {
    run(arguments, convert::intercept)
}

pub(super) fn claude_code(arguments: &ClaudeCodeArguments) -> ExitCode {
    run(&arguments.common, |text| convert::claude_code(text, arguments.server.as_deref()))
}

fn run(arguments: &Arguments, convert: impl Fn(&str) -> Result<Conversion, Problems>) -> ExitCode {
    let bytes = match read_input(&arguments.file) {
        Ok(bytes) => bytes,
        Err(code) => return code,
    };
    let converted = match std::str::from_utf8(&bytes) {
        Ok(text) => convert(text),
        Err(_) => {
            let mut problems = Problems::default();
            problems.add(&Pointer::root(), "not UTF-8");
            Err(problems)
        }
    };
    match converted {
        Ok(Conversion { policy, notes }) => {
            if let Err(code) = put(arguments.output.as_deref(), &policy) {
                return code;
            }
            print(&arguments.file, &notes);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            print(&arguments.file, &problems);
            ExitCode::from(1)
        }
    }
}

fn read_input(path: &Path) -> Result<Vec<u8>, ExitCode> {
    if path.as_os_str() != "-" {
        return read_bytes(path);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unusable(format_args!("-: {error}")))?;
    Ok(bytes)
}

fn put(path: Option<&Path>, policy: &str) -> Result<(), ExitCode> {
    match path {
        Some(path) => replace_file(path, policy).map_err(|error| unusable(format_args!("{}: {error}", path.display()))),
        None => {
            let mut out = io::stdout().lock();
            out.write_all(policy.as_bytes()).and_then(|()| out.flush()).map_err(unusable)
        }
    }
}

fn print(path: &Path, problems: &Problems) {
    for problem in problems.iter() {
        eprintln!("{}: {problem}", path.display());
    }
}
