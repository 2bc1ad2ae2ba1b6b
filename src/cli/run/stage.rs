//! What Envoy reads: its own file, and the one with the plugin and the policy, which changes while it runs.

use super::admission::{Admission, asks_people};
use super::place::Place;
use crate::cli::console::{Console, with_console};
use crate::cli::render::{self, Envoy, Origin};
use crate::cli::resource::valid;
use crate::cli::template::RenderError;
use crate::cli::upstream::Upstream;
use crate::cli::{Source, replace_file, unusable};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the server is.
#[derive(Debug)]
pub(super) enum Server<'a> {
    /// At an address.
    Url(&'a Upstream, &'a str),
    /// On a socket of this machine.
    Socket(&'a Path),
}

/// The files, and what they are made of.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    source: &'a Source,
    /// The file that is edited.
    pub(super) policy: &'a Path,
    wasm: String,
    console: Option<&'a Admission>,
    plugin: PathBuf,
    /// Envoy's log.
    pub(super) log: PathBuf,
}

impl<'a> Stage<'a> {
    /// In `place`; `wasm` is the plugin's path.
    pub(super) fn new(source: &'a Source, wasm: &Path, console: Option<&'a Admission>, place: &Place) -> Self {
        let (policy, _) = source.path();
        let wasm = wasm.to_string_lossy().into_owned();
        let (plugin, log) = (place.file("plugin.yaml"), place.file("envoy.log"));
        Self { source, policy, wasm, console, plugin, log }
    }

    /// Puts the plugin and the policy where Envoy looks, in one step. What is wrong is told on the standard error. What
    /// comes back is whether a call may now wait for a person whom nothing here serves.
    pub(super) fn put(&self) -> Result<bool, ExitCode> {
        let (text, gate) = valid(self.source)?;
        let configuration = match (gate, self.console) {
            (Some(_), _) => text,
            (None, Some(admission)) => render::configuration_with_page(&text, &admission.page()),
            (None, None) => render::configuration(&text),
        };
        let plugin = render::plugin(&render::Plugin { configuration: &configuration, wasm: &self.wasm });
        let plugin = plugin.map_err(unusable)?;
        let put = replace_file(&self.plugin, &plugin);
        put.map_err(|error| unusable(format_args!("{}: {error}", self.plugin.display())))?;
        Ok(self.console.is_none() && asks_people(&configuration))
    }

    /// Writes Envoy's own file.
    pub(super) fn write(&self, file: &Path, port: u16, server: &Server<'_>) -> Result<(), ExitCode> {
        let text = self.render(port, server).map_err(unusable)?;
        fs::write(file, text).map_err(|error| unusable(format_args!("{}: {error}", file.display())))
    }

    fn render(&self, port: u16, server: &Server<'_>) -> Result<String, RenderError> {
        let plugin = self.plugin.to_string_lossy();
        let options = |upstream: &Upstream, authorities| {
            render::envoy(&Envoy { plugin: Origin::Watched(&plugin), port, upstream: upstream.clone(), authorities })
        };
        let file = match server {
            Server::Url(upstream, authorities) => options(upstream, authorities)?,
            Server::Socket(path) => {
                let file = options(&Upstream::default(), render::DEFAULT_AUTHORITIES)?;
                render::before_socket(&file, &path.to_string_lossy())?
            }
        };
        let Some(admission) = self.console else { return Ok(file) };
        let console = Console { port: admission.port, token_sha256: &admission.digest(), wasm: &self.wasm };
        with_console(&file, &console)
    }
}
