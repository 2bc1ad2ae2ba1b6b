//! `mcp-policy completions` and `mcp-policy man`: what shells and `man` are told of the command line, made from the same
//! definition as the parser, so that neither says what it does not take.

use super::unusable;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Where the pages are put: one for each verb
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Prints the script by which a shell completes the command line.
pub(super) fn completions(arguments: &CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "mcp-policy", &mut script);
    let mut out = io::stdout().lock();
    match out.write_all(&script).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unusable(error),
    }
}

/// Writes the manual's pages.
pub(super) fn man(arguments: &ManArguments) -> ExitCode {
    match clap_mangen::generate_to(super::Arguments::command(), &arguments.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unusable(format_args!("{}: {error}", arguments.directory.display())),
    }
}
