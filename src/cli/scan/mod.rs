//! `mcp-policy scan`: what the tools of a server can do, a policy to begin with, and what has changed since.

pub(super) mod client;
mod drift;
pub(super) mod listing;
mod report;
mod wire;

use super::{read_bytes, replace_file, unusable};
use clap::{Args, ValueEnum};
use client::Server;
use http::{HeaderName, HeaderValue};
use listing::Listing;
use mcp_policy::policy::Pin;
use mcp_policy::risk;
use mcp_policy::starter;
use mcp_policy::wire::json::Reader;
use report::Judged;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The server's MCP endpoint
    #[arg(long, value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// A header of every request, such as `authorization: Bearer …`; `NAME: @FILE` takes the value from a file
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url")]
    headers: Vec<String>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write a policy to begin with: for each tool the rule that is recommended for its risk
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Pin each tool of that policy to the definition that it has now
    #[arg(long, requires = "output")]
    pin: bool,
    /// Write the list of tools, as `validate --tools` takes it
    #[arg(long, value_name = "FILE")]
    tools_out: Option<PathBuf>,
    /// Instead: report what has changed since this policy was written; exit code 1 if anything has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "pin"])]
    policy: Option<PathBuf>,
    /// Seconds until the list must be complete
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Start this command, and speak with it over its standard streams
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns, for people
    Table,
    /// One object: `{server, revision, tools: [{name, category, severity, reasons}]}`
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match scan(arguments) {
        Ok(code) | Err(code) => code,
    }
}

fn scan(arguments: &Arguments) -> Result<ExitCode, ExitCode> {
    let server = match &arguments.url {
        Some(url) => Server::Url(url.clone(), headers(&arguments.headers)?),
        None => Server::Command(arguments.command.clone()),
    };
    // What cannot be read is said before anybody is asked.
    let policy = arguments.policy.as_deref().map(|path| drift::Known::read(path, &read_bytes(path)?)).transpose()?;
    let shows = io::stderr().is_terminal();
    let mut progress = |tools: usize| {
        if shows {
            eprint!("\r{tools} tools …");
        }
    };
    let listed = client::list(&server, Duration::from_secs(arguments.timeout), &mut progress);
    if shows {
        eprint!("\r\x1b[K");
    }
    let listing = listed.map_err(unusable)?;
    let judged = judge(&listing)?;
    if let Some(path) = &arguments.tools_out {
        let text = serde_json::to_string_pretty(&json!({ "tools": listing.tools })).unwrap_or_default();
        put(path, &format!("{text}\n"))?;
    }
    if let Some(path) = &arguments.output {
        put(path, &policy_for(&listing, &judged, arguments.pin))?;
    }
    let mut out = io::stdout().lock();
    let written = match (&policy, arguments.format) {
        (Some(known), format) => drift::report(known, &listing, &judged, format == Format::Json, &mut out),
        (None, Format::Json) => report::json(&listing, &judged, &mut out).map(|()| false),
        (None, Format::Table) => report::table(&listing, &judged, &mut out).map(|()| false),
    };
    let has_changed = written.and_then(|changed| out.flush().map(|()| changed)).map_err(unusable)?;
    Ok(ExitCode::from(u8::from(has_changed)))
}

/// The headers of `--header`, or exit code 2 after one line that says what is wrong.
pub(super) fn headers(lines: &[String]) -> Result<Vec<(HeaderName, HeaderValue)>, ExitCode> {
    let header = |line: &String| {
        let (name, value) = line.split_once(':').ok_or("--header must be `NAME: VALUE`".to_owned())?;
        let value = value.trim();
        let value = match value.strip_prefix('@') {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => value.to_owned(),
        };
        let name = HeaderName::try_from(name.trim()).map_err(|_| format!("--header {name}: no name of a header"))?;
        // Its value may be a secret, so it is not repeated.
        let mut value = HeaderValue::try_from(value).map_err(|_| format!("--header {name}: no value of a header"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    lines.iter().map(header).collect::<Result<_, String>>().map_err(unusable)
}

fn judge(listing: &Listing) -> Result<Vec<Judged>, ExitCode> {
    let judge = |(index, definition): (usize, &Value)| {
        let tool = risk::Tool::of(definition);
        if tool.name.is_empty() {
            return Err(unusable(format_args!("tools/list: tool {index} has no name")));
        }
        Ok(Judged { name: tool.name.to_owned(), assessment: risk::assess(&tool) })
    };
    listing.tools.iter().enumerate().map(judge).collect()
}

/// The pin of a definition.
fn pin_of(definition: &Value) -> Option<Pin> {
    Reader::new(&definition.to_string()).value().ok().and_then(Pin::of)
}

fn policy_for(listing: &Listing, judged: &[Judged], pins: bool) -> String {
    let tools: Vec<starter::Tool<'_>> = listing
        .tools
        .iter()
        .zip(judged)
        .map(|(definition, Judged { name, assessment })| starter::Tool {
            name,
            category: assessment.category,
            pin: pin_of(definition).filter(|_| pins),
        })
        .collect();
    for tool in tools.iter().filter(|tool| !starter::can_be_named(tool.name)) {
        eprintln!("mcp-policy: no policy can name the tool {}; it is denied by default", report::shown(tool.name));
    }
    for (tool, definition) in tools.iter().zip(&listing.tools).filter(|(tool, _)| pins && tool.pin.is_none()) {
        let _ = definition;
        eprintln!(
            "mcp-policy: the definition of {} has no single reading, so it is not pinned",
            report::shown(tool.name)
        );
    }
    starter::policy(Some(&report::shown(&listing.server)), &tools)
}

fn put(path: &Path, text: &str) -> Result<(), ExitCode> {
    replace_file(path, text).map_err(|error| unusable(format_args!("{}: {error}", path.display())))
}
