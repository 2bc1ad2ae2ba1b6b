//! `mcp-policy validate`: every problem of every file, each with its pointer, and what is likely not meant.

use super::{read_bytes, unusable};
use clap::{Args, ValueEnum};
use mcp_policy::config::{self, Gate, Role};
use mcp_policy::policy::lint::ToolList;
use mcp_policy::policy::{Policy, Problems};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Policies or plugin configurations
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The server's answer to tools/list, or its `tools`: also warn of what does not fit them
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line a finding
    Text,
    /// A list of `{file, pointer, message, severity}`
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    pointer: String,
    message: String,
    severity: Severity,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let tools = match arguments.tools.as_deref().map(read_tools).transpose() {
        Ok(tools) => tools,
        Err(code) => return code,
    };
    let (mut findings, mut is_unreadable) = (Vec::new(), false);
    for path in &arguments.files {
        let Ok(bytes) = read_bytes(path) else {
            is_unreadable = true;
            continue;
        };
        match Role::load(&bytes) {
            Ok(role) => {
                let what = match &role {
                    Role::Gate(gate) => versions(gate),
                    Role::Admin(_) => "the admin side".to_owned(),
                };
                if arguments.format == Format::Text {
                    println!("{}: valid, {what}", path.display());
                }
                findings.extend(Finding::each(path, Severity::Warning, &config::lint(&bytes, tools.as_ref())));
            }
            Err(problems) => findings.extend(Finding::each(path, Severity::Error, &problems)),
        }
    }
    match arguments.format {
        Format::Text => findings.iter().for_each(Finding::print),
        Format::Json => match serde_json::to_string_pretty(&findings) {
            Ok(json) => println!("{json}"),
            Err(error) => return unusable(error),
        },
    }
    let has_error = findings.iter().any(|finding| finding.severity == Severity::Error);
    ExitCode::from(if is_unreadable { 2 } else { u8::from(has_error) })
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
    Finding::each(path, Severity::Error, problems).iter().for_each(Finding::print);
    ExitCode::from(1)
}

fn read_tools(path: &Path) -> Result<ToolList, ExitCode> {
    ToolList::parse(&read_bytes(path)?).map_err(|error| unusable(format_args!("{}: {error}", path.display())))
}

impl Finding {
    fn each(path: &Path, severity: Severity, problems: &Problems) -> Vec<Self> {
        let finding = |problem: &mcp_policy::policy::Problem| Self {
            file: path.display().to_string(),
            pointer: problem.pointer.to_string(),
            message: problem.message.clone(),
            severity,
        };
        problems.iter().map(finding).collect()
    }

    fn print(&self) {
        let Self { file, pointer, message, severity } = self;
        let place = if pointer.is_empty() { "(document)" } else { pointer };
        let warning = if *severity == Severity::Warning { "warning: " } else { "" };
        // Whoever serves meanwhile goes on, also when nobody reads this any more.
        let _ = writeln!(io::stderr(), "{file}: {warning}{place}: {message}");
    }
}
