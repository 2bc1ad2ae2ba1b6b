//! Lays files where the code takes them from: the playground's engine for the admin side, which `scripts/wasm.sh` builds
//! first and names, and the plugin for a command line that carries it. Every other build has empty ones, and does without.

use std::path::Path;
use std::{env, fs};

/// A gzip of the engine as built for the browser.
const ENGINE: &str = "MCP_POLICY_PLAYGROUND";
/// The plugin as built for Envoy.
const PLUGIN: &str = "MCP_POLICY_PLUGIN";

fn main() -> std::io::Result<()> {
    lay(ENGINE, "playground.wasm.gz")?;
    if env::var_os("CARGO_CFG_TARGET_ARCH").is_some_and(|target| target != "wasm32") {
        lay(PLUGIN, "plugin.wasm")?;
    }
    Ok(())
}

/// Puts the file that `variable` names into the build's own directory under `name`, or an empty one.
fn lay(variable: &str, name: &str) -> std::io::Result<()> {
    println!("cargo::rerun-if-env-changed={variable}");
    let place = env::var_os("OUT_DIR").unwrap_or_default();
    let place = Path::new(&place).join(name);
    match env::var_os(variable) {
        Some(file) => {
            println!("cargo::rerun-if-changed={}", Path::new(&file).display());
            fs::copy(file, place).map(drop)
        }
        None => fs::write(place, []),
    }
}
