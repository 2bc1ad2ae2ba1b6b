//! MCP with a server, by the SDK's client: over streamable HTTP, or over the standard streams of a command.

use super::listing::{Listing, Seen};
use super::wire::{Http, Lines};
use crate::cli::upstream::parse_upstream;
use http::{HeaderName, HeaderValue};
use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::model::{ClientConfig, Implementation, PaginatedRequestParams, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};
use std::collections::HashSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, BufReader};

/// Pages of a list; a server that has more has no end.
const MAX_PAGES: usize = 2_000;
/// Tools of a list. The longest that are known have some hundreds.
const MAX_TOOLS: usize = 100_000;
/// Of what a command says on its standard error, as much as is repeated.
const MAX_ERROR_BYTES: u64 = 64 << 10;

/// Who is asked.
#[derive(Debug)]
pub(in crate::cli) enum Server {
    /// At its MCP endpoint, with headers of the caller's own.
    Url(String, Vec<(HeaderName, HeaderValue)>),
    /// Started for the purpose, and ended afterwards.
    Command(Vec<OsString>),
}

/// Asks for all tools.
///
/// # Errors
/// One sentence on why there is no list, for a person at a terminal.
pub(in crate::cli) fn list(
    server: &Server,
    limit: Duration,
    progress: &mut dyn FnMut(usize),
) -> Result<Listing, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let result = runtime.block_on(async {
        match tokio::time::timeout(limit, ask(server, progress)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no complete list of tools within {} s (--timeout)", limit.as_secs())),
        }
    });
    // A command that does not end by itself is ended; its streams may still be read from.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The same, within a runtime and without a limit.
///
/// # Errors
/// As [`list`].
pub(in crate::cli) async fn ask(server: &Server, progress: &mut dyn FnMut(usize)) -> Result<Listing, String> {
    match server {
        Server::Url(url, headers) => over_http(url, headers, progress).await,
        Server::Command(words) => over_streams(words, progress).await,
    }
}

async fn over_http(
    url: &str,
    headers: &[(HeaderName, HeaderValue)],
    progress: &mut dyn FnMut(usize),
) -> Result<Listing, String> {
    // Without a provider of its own, the TLS library takes the process's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seen = Seen::default();
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(headers.iter().cloned().collect());
    let client = Http::new(seen.clone(), is_on_loopback(url)).map_err(|error| error.to_string())?;
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let service = serve(transport).await.map_err(|error| format!("no MCP server at {url}: {error}"))?;
    let listed = pages(&service, &seen, progress).await;
    let _ = service.cancel().await;
    listed
}

/// Whether it is this machine, which no proxy leads to.
fn is_on_loopback(url: &str) -> bool {
    parse_upstream(url).is_ok_and(|server| {
        let is_loopback = |address: IpAddr| address.is_loopback();
        server.host.eq_ignore_ascii_case("localhost") || server.host.parse().is_ok_and(is_loopback)
    })
}

async fn over_streams(words: &[OsString], progress: &mut dyn FnMut(usize)) -> Result<Listing, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no command".to_owned()) };
    let name = program.to_string_lossy().into_owned();
    let mut command = CommandWrap::with_new(program, |command| {
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    // Package runners start the server as a child of their own.
    command.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(format!("{name}: no standard streams"));
    };
    let errors = tokio::spawn(async move {
        let (mut said, mut stderr) = (Vec::new(), BufReader::new(stderr));
        let _ = (&mut stderr).take(MAX_ERROR_BYTES).read_to_end(&mut said).await;
        // What is not read would stop it.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        said
    });
    let seen = Seen::default();
    let listed = match serve((Lines::new(stdout, seen.clone()), stdin)).await {
        Ok(service) => {
            let listed = pages(&service, &seen, progress).await;
            let _ = service.cancel().await;
            listed
        }
        Err(error) => Err(format!("`{name}` does not speak MCP on its standard streams: {error}")),
    };
    // It was told by the end of its input.
    if tokio::time::timeout(Duration::from_secs(2), child.wait()).await.is_err() {
        let _ = Box::into_pin(child.kill()).await;
    }
    match listed {
        Ok(listing) => Ok(listing),
        Err(why) => {
            let said = tokio::time::timeout(Duration::from_secs(1), errors).await;
            let said = said.ok().and_then(Result::ok).unwrap_or_default();
            let last = String::from_utf8_lossy(&said).lines().rev().find(|line| !line.trim().is_empty()).map(escaped);
            Err(last.map_or(why.clone(), |last| format!("{why}; it said: {last}")))
        }
    }
}

fn escaped(text: &str) -> String {
    text.chars().take(500).flat_map(char::escape_debug).collect()
}

async fn serve<T, E, A>(transport: T) -> Result<RunningService<RoleClient, ClientConfig>, String>
where
    T: rmcp::transport::IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let latest = ProtocolVersion::V_2026_07_28;
    let mut info = ClientConfig::default();
    info.client_info = Implementation::new("mcp-policy", env!("CARGO_PKG_VERSION"));
    // Newer servers are asked without a handshake, older ones with one.
    let lifecycle = ClientLifecycleMode::Auto { preferred_versions: vec![latest], legacy_version: None };
    info.serve_with_lifecycle(transport, lifecycle).await.map_err(|error| match error {
        ClientInitializeError::TransportError { error, .. } => one_line(&*error.error),
        error => one_line(&error),
    })
}

/// What is at the bottom of an error: what stands above it speaks of the client's own parts.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(inner)) => inner,
        _ => error,
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    escaped(&cause.to_string())
}

async fn pages(
    service: &RunningService<RoleClient, ClientConfig>,
    seen: &Seen,
    progress: &mut dyn FnMut(usize),
) -> Result<Listing, String> {
    let (mut cursor, mut cursors, mut tools) = (None, HashSet::new(), Vec::new());
    for _ in 0..MAX_PAGES {
        let mut params = PaginatedRequestParams::default();
        params.cursor.clone_from(&cursor);
        let page = service.list_tools(Some(params)).await.map_err(|error| match error {
            ServiceError::TransportSend(error) => format!("tools/list failed: {}", one_line(&*error.error)),
            error => format!("tools/list failed: {}", one_line(&error)),
        })?;
        // As the server wrote them: the client's own types leave out what they do not know.
        let written = seen.take();
        if written.len() != page.tools.len() {
            return Err("tools/list: an answer that cannot be read in one way only".to_owned());
        }
        tools.extend(written);
        progress(tools.len());
        if tools.len() > MAX_TOOLS {
            return Err(format!("tools/list: more than {MAX_TOOLS} tools"));
        }
        cursor = page.next_cursor;
        match &cursor {
            None => {
                let (server, revision) = match service.peer_info() {
                    Some(info) => {
                        let server = info.server_info.as_ref();
                        let server = server.map(|server| format!("{} {}", server.name, server.version));
                        (server.unwrap_or_default(), info.protocol_version.to_string())
                    }
                    None => (String::new(), String::new()),
                };
                return Ok(Listing { server, revision, tools });
            }
            Some(next) if !cursors.insert(next.clone()) => {
                return Err("tools/list: its pages go round in a circle (a cursor came twice)".to_owned());
            }
            Some(_) => {}
        }
    }
    Err(format!("tools/list: more than {MAX_PAGES} pages"))
}
