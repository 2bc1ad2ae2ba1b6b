//! `mcp-policy run`: a policy in force before a server, on this machine, until Ctrl-C. Envoy and the plugin are found, what
//! Envoy reads is made, and an edit of the policy is in force once it is saved.

mod admin;
mod admission;
mod bridge;
mod checks;
mod clients;
mod decisions;
mod envoy;
mod gateway;
mod place;
mod plugin;
mod process;
mod screen;
mod stage;
mod tools;
mod watch;

use super::console::DEFAULT_ADMIN_PORT;
use super::{Source, render, scan, unusable};
use bridge::Bridge;
use checks::{Checked, Served};
use clap::{Args, ValueEnum};
use gateway::Gateway;
use place::Place;
use screen::{Screen, warn};
use stage::{Server, Stage};
use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The server's MCP endpoint
    #[arg(long, value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// Who may sign the certificate of an https:// server, instead of /etc/ssl/certs/ca-certificates.crt
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<String>,
    /// A header of the requests for the list of tools that is shown, as `scan` takes it
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The port on 127.0.0.1 that clients connect to
    #[arg(long, value_name = "N", default_value_t = render::DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The port on 127.0.0.1 where a person approves calls, if the policy has any wait for one
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ADMIN_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    admin_port: u16,
    /// The plugin, instead of the one that is carried or built here
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// The Envoy to run, instead of $ENVOY or the one that is found
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// How to show decisions; without it lines on a terminal, records elsewhere
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Start this command for each session of a client, and speak with it over its standard streams
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, for people
    Text,
    /// A record a line, as docs/decisions.md has it
    Json,
}

/// What ended it before anybody asked.
enum Failure {
    /// What it says is on the standard error.
    Code(ExitCode),
    /// A sentence.
    Why(String),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let checked = match checks::check(arguments) {
        Ok(checked) => checked,
        Err(code) => return code,
    };
    let mut place = match Place::new() {
        Ok(place) => place,
        Err(error) => {
            return unusable(format_args!("no directory can be made in {}: {error}", std::env::temp_dir().display()));
        }
    };
    let screen = Screen::new(arguments.format.map(|format| format == Format::Json));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unusable(error),
    };
    let served = runtime.block_on(serve(arguments, &checked, &place, screen));
    // What is still read from or written to has ended.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Code(code)) => code,
        Err(Failure::Why(why)) => {
            warn(format_args!(
                "mcp-policy: {why}\nmcp-policy: what was made for Envoy is left in {}",
                place.keep().display()
            ));
            ExitCode::from(1)
        }
    };
    // The last words, too.
    screen.end();
    code
}

/// Everything, from the first process to the last.
async fn serve(arguments: &Arguments, checked: &Checked, place: &Place, screen: Screen) -> Result<(), Failure> {
    let why = |error: std::io::Error| Failure::Why(error.to_string());
    // Listened for before there is anything to end.
    let mut stops = Stops::listen().map_err(why)?;
    let wasm = checked.plugin.path(place).map_err(why)?;
    let stage = Stage::new(&arguments.source, &wasm, checked.admission.as_ref(), place);
    // Read before it is put, so that an edit in between is seen.
    let taken = std::fs::read(stage.policy).ok();
    stage.put().map_err(|_| Failure::Code(ExitCode::from(2)))?;
    let socket = place.file("server.sock");
    let bridge = match &checked.served {
        Served::Command => Some(Bridge::start(arguments.command.clone(), &socket).map_err(why)?),
        Served::Url(_) => None,
    };
    let server = match &checked.served {
        Served::Url(upstream) => Server::Url(upstream, arguments.ca.as_deref().unwrap_or(render::DEFAULT_AUTHORITIES)),
        Served::Command => Server::Socket(&socket),
    };
    let file = place.file("envoy.yaml");
    stage.write(&file, arguments.port, &server).map_err(Failure::Code)?;
    let (mut gateway, log) = Gateway::start(&checked.envoy, &file, place, arguments.port).map_err(why)?;
    let outcome = tokio::select! {
        biased;
        () = stops.next() => Ok(()),
        outcome = live(arguments, checked, &stage, &mut gateway, log, taken, screen) => outcome,
    };
    let end_bridge = async {
        if let Some(bridge) = &bridge {
            bridge.end().await;
        }
    };
    tokio::join!(gateway.end(), end_bridge);
    outcome
}

/// From Envoy's start until it ends, or until nobody reads the decisions any more.
async fn live(
    arguments: &Arguments,
    checked: &Checked,
    stage: &Stage<'_>,
    gateway: &mut Gateway,
    log: tokio::process::ChildStdout,
    taken: Option<Vec<u8>>,
    screen: Screen,
) -> Result<(), Failure> {
    gateway.ready().await.map_err(Failure::Why)?;
    let path = match &checked.served {
        Served::Url(upstream) => upstream.path.as_str(),
        Served::Command => bridge::PATH,
    };
    let url = format!("http://127.0.0.1:{}{path}", arguments.port);
    let policy = stage.policy.display();
    let words: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
    let server = arguments.url.clone().unwrap_or_else(|| format!("`{}`", words.join(" ")));
    screen.say(&format!("mcp-policy serves {policy} before {server}, by Envoy {}", checked.envoy.version));
    screen.say(&format!("\nGive this address to MCP clients: {url}\n"));
    screen.say(&clients::blocks(&clients::name(stage.policy), &url));
    if let Some(admission) = &checked.admission {
        screen.say(&admission.told());
    }
    let admin = gateway.admin.clone();
    let direct = match &arguments.url {
        Some(url) => scan::client::Server::Url(url.clone(), checked.headers.clone()),
        None => scan::client::Server::Command(arguments.command.clone()),
    };
    let gate = scan::client::Server::Url(url, checked.headers.clone());
    // Whatever the server does, edits are in force meanwhile.
    let list = async {
        tools::show(&direct, &gate, screen).await;
        screen.say(&format!("\nEdit {policy} and save it: the next call is judged by it. Ctrl-C ends it.\n"));
        pending().await
    };
    tokio::select! {
        why = gateway.ended() => Err(Failure::Why(why)),
        () = list => Ok(()),
        () = watch::follow(stage, &admin, taken, screen) => Ok(()),
        () = decisions::show(log, screen) => Ok(()),
    }
}

/// What asks it to end: Ctrl-C, `kill`, and a terminal that goes away.
struct Stops(Vec<Signal>);

impl Stops {
    fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.into_iter().map(signal).collect::<Result<_, _>>().map(Self)
    }

    async fn next(&mut self) {
        match self.0.as_mut_slice() {
            [interrupt, terminate, hangup] => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            },
            // There are three.
            _ => pending().await,
        }
    }
}
