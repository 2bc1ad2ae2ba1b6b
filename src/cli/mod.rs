//! The command line: one file per verb. Knows files and terminals; the library does the work.

// The command line is the host here: it may read files, and printing is its answer.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod approvals;
mod approve;
mod console;
mod convert;
mod decide;
mod flow;
pub mod kubernetes;
mod manifest;
mod manual;
pub mod outside;
mod ratelimit;
pub mod render;
mod resource;
mod run;
mod scan;
mod template;
mod terminal;
mod test;
pub mod upstream;
mod validate;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A policy gateway for MCP: checks, tests and deploys policies.
#[derive(Debug, Parser)]
#[command(name = "mcp-policy", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report every problem of policies or plugin configurations
    Validate(validate::Arguments),
    /// Judge calls as a proxy would, without one
    Decide(decide::Arguments),
    /// Run the tests within policies, and the cases beside them (NAME.json is tested by NAME.cases.json)
    Test(test::Arguments),
    /// Judge the risk of a server's tools, and write a policy to begin with
    Scan(scan::Arguments),
    /// Write a policy from what another tool was configured by, and say what it says otherwise
    Convert {
        #[command(subcommand)]
        origin: Origin,
    },
    /// List, approve and deny the calls that wait for a person
    Approvals(approvals::Arguments),
    /// Sign the approval of a call, for proxies that a person cannot reach
    Approve(approve::Arguments),
    /// Serve a policy: Envoy with the plugin before a server, its decisions as they happen, each save in force
    Run(run::Arguments),
    /// Print a complete configuration of a proxy, or of the service that counts for it
    Render {
        #[command(subcommand)]
        platform: Platform,
    },
    /// Print the script by which a shell completes this command line
    Completions(manual::CompletionsArguments),
    /// Write the manual's pages into a directory
    #[command(hide = true)]
    Man(manual::ManArguments),
}

#[derive(Debug, Subcommand)]
enum Origin {
    /// A policy of Intercept, in YAML
    Intercept(convert::Arguments),
    /// The permissions of Claude Code: settings.json
    ClaudeCode(convert::ClaudeCodeArguments),
}

#[derive(Debug, Subcommand)]
enum Platform {
    /// A bootstrap file for plain Envoy
    Envoy(resource::EnvoyArguments),
    /// The plugin and its policy, for the file that Envoy watches after `render envoy --plugin-file`
    Plugin(resource::PluginArguments),
    /// The object that has an Istio gateway, waypoint or sidecar load the plugin
    Istio(manifest::IstioArguments),
    /// The objects that have Envoy Gateway load the plugin
    EnvoyGateway(manifest::EnvoyGatewayArguments),
    /// The counters of a plugin configuration, for envoyproxy/ratelimit
    Ratelimit(ratelimit::Arguments),
}

/// A policy or a plugin configuration, one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A plugin configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    /// The file, and whether it is to be a policy.
    fn path(&self) -> (&Path, bool) {
        // The command line has made sure of one.
        match &self.policy {
            Some(path) => (path, true),
            None => (self.config.as_deref().unwrap_or(Path::new("")), false),
        }
    }
}

/// Runs the verb that the arguments name.
pub fn run() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Decide(arguments) => decide::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Scan(arguments) => scan::run(&arguments),
        Verb::Convert { origin: Origin::Intercept(arguments) } => convert::intercept(&arguments),
        Verb::Convert { origin: Origin::ClaudeCode(arguments) } => convert::claude_code(&arguments),
        Verb::Approvals(arguments) => approvals::run(&arguments),
        Verb::Approve(arguments) => approve::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Render { platform: Platform::Envoy(arguments) } => resource::envoy(&arguments),
        Verb::Render { platform: Platform::Plugin(arguments) } => resource::plugin(&arguments),
        Verb::Render { platform: Platform::Istio(arguments) } => manifest::istio(&arguments),
        Verb::Render { platform: Platform::EnvoyGateway(arguments) } => manifest::envoy_gateway(&arguments),
        Verb::Render { platform: Platform::Ratelimit(arguments) } => ratelimit::run(&arguments),
        Verb::Completions(arguments) => manual::completions(&arguments),
        Verb::Man(arguments) => manual::man(&arguments),
    }
}

/// The bytes of a file, or exit code 2 after one line that says why not.
fn read_bytes(path: &Path) -> Result<Vec<u8>, ExitCode> {
    std::fs::read(path).map_err(|error| unusable(format_args!("{}: {error}", path.display())))
}

/// The text of a file, or exit code 2 after one line that says why not.
fn read(path: &Path) -> Result<String, ExitCode> {
    std::fs::read_to_string(path).map_err(|error| unusable(format_args!("{}: {error}", path.display())))
}

/// Puts a file with this text at `path` in one step: whoever reads there, at whatever moment and also after a crash,
/// finds all of the old file or all of the new one. It is written beside it and moved, which is what Envoy waits for.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // Of this process only, so that two that write at once do not write into one file.
    let mut new = OsString::from(name);
    new.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(new);
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        // It may not even be there.
        let _ = fs::remove_file(&new);
    })
}

/// Exit code 2, after one line on what is wrong.
fn unusable(error: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "mcp-policy: {error}");
    ExitCode::from(2)
}
