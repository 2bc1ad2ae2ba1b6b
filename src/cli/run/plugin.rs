//! The plugin's file: named, carried in the command line, or found where it is built.

use super::place::Place;
use crate::cli::render::DEFAULT_WASM;
use std::fs;
use std::path::{Path, PathBuf};

/// Empty, unless the build was given it (`build.rs`).
const CARRIED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"));
/// What a WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";

/// Where the plugin comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// From this command line.
    Carried,
    /// From a file, by its absolute path.
    File(PathBuf),
}

/// The plugin that is named, or else the first there is.
///
/// # Errors
/// One sentence on what to do.
pub(super) fn find(named: Option<&Path>) -> Result<Plugin, String> {
    if let Some(path) = named {
        return file(path).ok_or_else(|| format!("{} is no WebAssembly file; --wasm takes the plugin", path.display()));
    }
    if !CARRIED.is_empty() {
        return Ok(Plugin::Carried);
    }
    let beside = std::env::current_exe().ok().and_then(|binary| Some(binary.parent()?.join("mcp_policy.wasm")));
    let found = [Some(PathBuf::from(DEFAULT_WASM)), beside].iter().flatten().find_map(|path| file(path));
    found.ok_or_else(|| {
        format!(
            "no plugin is found, neither at {DEFAULT_WASM} (make wasm) nor beside this program; name it: --wasm FILE"
        )
    })
}

fn file(path: &Path) -> Option<Plugin> {
    let is_wasm = fs::read(path).is_ok_and(|bytes| bytes.starts_with(MAGIC));
    is_wasm.then(|| Plugin::File(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
}

impl Plugin {
    /// Its path for Envoy.
    pub(super) fn path(&self, place: &Place) -> std::io::Result<PathBuf> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Carried => {
                let path = place.file("mcp_policy.wasm");
                fs::write(&path, CARRIED).map(|()| path)
            }
        }
    }
}
