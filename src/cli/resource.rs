//! `mcp-policy render envoy` and `render plugin`: from files to what Envoy reads, printed or put in its place.

use super::render::{self, Origin};
use super::template::RenderError;
use super::{Source, read, replace_file, unusable, upstream, validate};
use clap::Args;
use mcp_policy::config::Gate;
use mcp_policy::policy::Policy;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct EnvoyArguments {
    #[command(flatten)]
    plugin: PluginSource,
    /// The MCP server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3001/mcp")]
    upstream: String,
    /// Who may sign the certificate of an https:// server, instead of /etc/ssl/certs/ca-certificates.crt
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// The port on 127.0.0.1 that clients connect to
    #[arg(long, value_name = "N", default_value_t = render::DEFAULT_PORT)]
    port: u16,
    /// The plugin
    #[arg(long, value_name = "FILE", default_value = render::DEFAULT_WASM, conflicts_with = "plugin_file")]
    wasm: String,
}

/// A policy, a plugin configuration, or the file that Envoy watches for one; one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PluginSource {
    /// A policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A plugin configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Watch this file, made by `render plugin`, and take up what is moved there
    #[arg(long, value_name = "FILE")]
    plugin_file: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PluginArguments {
    #[command(flatten)]
    source: Source,
    /// The plugin
    #[arg(long, value_name = "FILE", default_value = render::DEFAULT_WASM)]
    wasm: String,
    /// Where to put it, in one step, instead of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints a bootstrap file.
pub(super) fn envoy(arguments: &EnvoyArguments) -> ExitCode {
    let PluginSource { policy, config, plugin_file } = &arguments.plugin;
    let source = Source { policy: policy.clone(), config: config.clone() };
    // What is watched need not exist yet.
    let configuration = if plugin_file.is_some() { Ok(String::new()) } else { configuration(&source) };
    let configuration = match configuration {
        Ok(configuration) => configuration,
        Err(code) => return code,
    };
    let plugin = match plugin_file {
        Some(path) => Origin::Watched(path),
        None => Origin::Inline(render::Plugin { configuration: &configuration, wasm: &arguments.wasm }),
    };
    let options = upstream::parse_upstream(&arguments.upstream).map(|upstream| render::Envoy {
        plugin,
        port: arguments.port,
        upstream,
        authorities: arguments.ca.as_deref().unwrap_or(render::DEFAULT_AUTHORITIES),
    });
    if arguments.ca.is_some() && options.as_ref().is_ok_and(|options| !options.upstream.is_tls) {
        return unusable("--ca is for an https:// upstream, whose certificate it judges");
    }
    print(options.and_then(|options| render::envoy(&options)))
}

/// Prints the file that Envoy watches, or puts it in its place.
pub(super) fn plugin(arguments: &PluginArguments) -> ExitCode {
    let configuration = match configuration(&arguments.source) {
        Ok(configuration) => configuration,
        Err(code) => return code,
    };
    let rendered = render::plugin(&render::Plugin { configuration: &configuration, wasm: &arguments.wasm });
    match (&arguments.output, rendered) {
        (Some(path), Ok(yaml)) => match replace_file(path, &yaml) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => unusable(format_args!("{}: {error}", path.display())),
        },
        (_, rendered) => print(rendered),
    }
}

/// The plugin configuration of `source`, as text, in the object form.
pub(super) fn configuration(source: &Source) -> Result<String, ExitCode> {
    let (text, gate) = valid(source)?;
    Ok(if gate.is_some() { text } else { render::configuration(&text) })
}

/// The text of `source`, and what it is as a plugin configuration, unless it is a policy: what is rendered is valid,
/// or is not rendered.
pub(super) fn valid(source: &Source) -> Result<(String, Option<Gate>), ExitCode> {
    let (path, is_policy) = source.path();
    let text = read(path)?;
    let gate =
        if is_policy { Policy::load("default", &text).map(|_| None) } else { Gate::load(text.as_bytes()).map(Some) };
    match gate {
        Err(problems) => Err(validate::report(path, &problems)),
        Ok(gate) => Ok((text, gate)),
    }
}

/// Prints what was rendered, or says why nothing was.
pub(super) fn print(rendered: Result<String, RenderError>) -> ExitCode {
    match rendered {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => unusable(error),
    }
}
