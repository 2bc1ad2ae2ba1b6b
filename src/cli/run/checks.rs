//! What must be so before anything is started. Each fault is one line that says what to do.

use super::Arguments;
use super::admission::{Admission, asks_people};
use super::envoy::{self, Envoy};
use super::plugin::{self, Plugin};
use crate::cli::upstream::{Upstream, parse_upstream};
use crate::cli::{render, resource, scan, unusable};
use http::{HeaderName, HeaderValue};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What will be served, by what.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) served: Served,
    pub(super) envoy: Envoy,
    pub(super) plugin: Plugin,
    /// Of the requests for the list of tools.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Where a person approves calls, when one may have to.
    pub(super) admission: Option<Admission>,
}

#[derive(Debug)]
pub(super) enum Served {
    /// A server at an address.
    Url(Upstream),
    /// One that speaks on its standard streams.
    Command,
}

pub(super) fn check(arguments: &Arguments) -> Result<Checked, ExitCode> {
    let (policy, _) = arguments.source.path();
    if policy.is_dir() {
        return Err(unusable(format_args!("{} is a directory; name a file in it", policy.display())));
    }
    // Its problems are findings elsewhere; here they mean that nothing can be served.
    let configuration = resource::configuration(&arguments.source).map_err(|_| ExitCode::from(2))?;
    let served = match &arguments.url {
        Some(url) => Served::Url(upstream(url, arguments.ca.as_deref())?),
        None => command(arguments)?,
    };
    let headers = scan::headers(&arguments.headers)?;
    port(arguments.port, "--port")?;
    let admission = admission(&configuration, arguments)?;
    let envoy = envoy::find(arguments.envoy.as_deref()).map_err(unusable)?;
    let plugin = plugin::find(arguments.wasm.as_deref()).map_err(unusable)?;
    Ok(Checked { served, envoy, plugin, headers, admission })
}

fn admission(configuration: &str, arguments: &Arguments) -> Result<Option<Admission>, ExitCode> {
    if !asks_people(configuration) {
        return Ok(None);
    }
    if arguments.admin_port == arguments.port {
        return Err(unusable("--port and --admin-port must differ: who approves calls must not be who asks"));
    }
    port(arguments.admin_port, "--admin-port")?;
    Admission::new(arguments.admin_port).map(Some).map_err(unusable)
}

fn upstream(url: &str, authorities: Option<&str>) -> Result<Upstream, ExitCode> {
    let upstream = parse_upstream(url).map_err(unusable)?;
    if authorities.is_some() && !upstream.is_tls {
        return Err(unusable("--ca is for an https:// server, whose certificate it judges"));
    }
    let authorities = authorities.unwrap_or(render::DEFAULT_AUTHORITIES);
    if upstream.is_tls && !Path::new(authorities).is_file() {
        return Err(unusable(format_args!(
            "there is no file {authorities} of those who may sign the server's certificate; name one: --ca FILE"
        )));
    }
    Ok(upstream)
}

fn command(arguments: &Arguments) -> Result<Served, ExitCode> {
    let Some(program) = arguments.command.first() else { return Err(unusable("no command after --")) };
    if envoy::program(program).is_some() {
        return Ok(Served::Command);
    }
    let name = program.to_string_lossy();
    Err(unusable(format_args!("the command {name} is not found; install it, or give its path after --")))
}

/// Whether it can be listened on; `option` chooses another.
fn port(port: u16, option: &str) -> Result<(), ExitCode> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Asked, because two Envoys may share a port, and then each would answer some of the calls.
    let is_taken = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    match TcpListener::bind(address) {
        Ok(_) if !is_taken => Ok(()),
        Err(error) if !is_taken && error.kind() != io::ErrorKind::AddrInUse => {
            Err(unusable(format_args!("port {port} on 127.0.0.1: {error}; choose another: {option} N")))
        }
        _ => Err(unusable(format_args!("port {port} on 127.0.0.1 is taken; choose another: {option} N"))),
    }
}
