//! What Envoy reads: its own file, and the one with the plugin and the policy, which changes while it runs.

use super::place::Place;
use crate::cli::render::{self, Envoy, Origin};
use crate::cli::resource::configuration;
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
    plugin: PathBuf,
    /// Envoy's log.
    pub(super) log: PathBuf,
}

impl<'a> Stage<'a> {
    /// In `place`; `wasm` is the plugin's path.
    pub(super) fn new(source: &'a Source, wasm: &Path, place: &Place) -> Self {
        let (policy, _) = source.path();
        let wasm = wasm.to_string_lossy().into_owned();
        Self { source, policy, wasm, plugin: place.file("plugin.yaml"), log: place.file("envoy.log") }
    }

    /// Puts the plugin and the policy where Envoy looks, in one step. What is wrong is told on the standard error.
    pub(super) fn put(&self) -> Result<(), ExitCode> {
        let configuration = configuration(self.source)?;
        let plugin = render::plugin(&render::Plugin { configuration: &configuration, wasm: &self.wasm });
        let plugin = plugin.map_err(unusable)?;
        replace_file(&self.plugin, &plugin)
            .map_err(|error| unusable(format_args!("{}: {error}", self.plugin.display())))
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
        match server {
            Server::Url(upstream, authorities) => options(upstream, authorities),
            Server::Socket(path) => render::before_socket(
                &options(&Upstream::default(), render::DEFAULT_AUTHORITIES)?,
                &path.to_string_lossy(),
            ),
        }
    }
}
