//! `mcp-policy approvals`: what waits for a person, and that person's word on it, for people who live in terminals.

use super::terminal::plain;
use super::unusable;
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Where the token is looked for when no file is named.
const TOKEN: &str = "MCP_POLICY_ADMIN_TOKEN";
/// How long the admin side may take.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Where the admin side listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10001", global = true)]
    admin: String,
    /// A file with the admin token; without it the environment's MCP_POLICY_ADMIN_TOKEN is taken
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print what waits, the newest first
    List {
        /// Of which state
        #[arg(long, value_enum, default_value_t = State::Pending)]
        state: State,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Let a call go on, once
    Approve(Decision),
    /// Refuse a call
    Deny(Decision),
}

#[derive(Debug, Args)]
struct Decision {
    /// The approval's id, `ap_…`
    id: String,
    /// What the caller is told
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Whatever is kept
    All,
    /// Nobody has decided
    Pending,
    /// Approved, and not used
    Approved,
    /// Denied
    Denied,
    /// Approved, and used
    Used,
    /// Nobody decided, or used it, in time
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Paragraphs for people
    Text,
    /// The admin API's own JSON
    Json,
}

/// An approval, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Approval {
    id: String,
    state: String,
    expires_at: String,
    #[serde(default)]
    grant: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    arguments_cut: bool,
    #[serde(default)]
    says_more: bool,
    #[serde(default)]
    note: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let token = match &arguments.token_file {
        Some(path) => match super::read(path) {
            Ok(token) => token,
            Err(code) => return code,
        },
        None => match std::env::var(TOKEN) {
            Ok(token) => token,
            Err(_) => return unusable(format_args!("give the admin token by --token-file or {TOKEN}")),
        },
    };
    let side = Side { base: arguments.admin.trim_end_matches('/'), token: token.trim() };
    match &arguments.verb {
        Verb::List { state, format } => list(&side, *state, *format),
        Verb::Approve(decision) => decide(&side, decision, "approve"),
        Verb::Deny(decision) => decide(&side, decision, "deny"),
    }
}

fn list(side: &Side<'_>, state: State, format: Format) -> ExitCode {
    let query = match state.to_possible_value() {
        Some(value) if state != State::All => format!("?state={}", value.get_name()),
        _ => String::new(),
    };
    let body = match side.ask(&format!("/v1/approvals{query}"), None) {
        Ok(body) => body,
        Err(code) => return code,
    };
    if format == Format::Json {
        println!("{body:#}");
        return ExitCode::SUCCESS;
    }
    let approvals = body.get("approvals").cloned().unwrap_or_default();
    let Ok(approvals) = serde_json::from_value::<Vec<Approval>>(approvals) else {
        return unusable("what came is no list of approvals");
    };
    for approval in &approvals {
        approval.print();
    }
    ExitCode::SUCCESS
}

impl Approval {
    fn print(&self) {
        println!("{}", plain(&self.id));
        println!("  {} until {}: {} by {}", self.state, self.expires_at, plain(&self.target), plain(&self.grant));
        println!("  {}", plain(&self.reason));
        if !self.arguments.is_null() {
            println!("  {}", plain(&self.arguments.to_string()));
        }
        if self.arguments_cut {
            println!("  its arguments are too long to be shown");
        }
        if self.says_more {
            println!("  it says more than is shown: a longer target, or members beside its arguments");
        }
        if let Some(note) = &self.note {
            println!("  note: {}", plain(note));
        }
    }
}

fn decide(side: &Side<'_>, decision: &Decision, verb: &str) -> ExitCode {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !decision.id.bytes().all(is_id) {
        return unusable(format_args!("{:?} is no approval's id", decision.id));
    }
    let body = decision.note.as_ref().map_or_else(|| json!({}), |note| json!({ "note": note }));
    match side.ask(&format!("/v1/approvals/{}/{verb}", decision.id), Some(&body)) {
        Ok(body) => {
            let state = body.get("state").and_then(Value::as_str).unwrap_or_default();
            println!("{}: {state}", decision.id);
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// The admin side.
struct Side<'a> {
    base: &'a str,
    token: &'a str,
}

impl Side<'_> {
    /// Exit code 1 for what the admin side refuses, 2 where it cannot be asked; after one line that says why.
    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, ExitCode> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build()
            .into();
        let (url, token) = (format!("{}{path}", self.base), format!("Bearer {}", self.token));
        let sent = match body {
            None => agent.get(&url).header("authorization", &token).call(),
            Some(body) => agent.post(&url).header("authorization", &token).send_json(body),
        };
        let mut response = sent.map_err(|error| unusable(format_args!("{url}: {error}")))?;
        let status = response.status().as_u16();
        let body: Value = response.body_mut().read_json().unwrap_or_default();
        if status == 200 {
            return Ok(body);
        }
        let words = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("the admin side did not say why");
        eprintln!("mcp-policy: {words} (HTTP status {status})");
        Err(ExitCode::from(if matches!(status, 404 | 409 | 410) { 1 } else { 2 }))
    }
}
