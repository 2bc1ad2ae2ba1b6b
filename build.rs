//! Lays the playground's engine where the admin side takes it from: `scripts/wasm.sh` builds it first, and names the file.
//! Every other build has an empty one, and an admin side without it.

use std::path::Path;
use std::{env, fs};

/// A gzip of the engine as built for the browser.
const ENGINE: &str = "MCP_POLICY_PLAYGROUND";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-env-changed={ENGINE}");
    let place = env::var_os("OUT_DIR").unwrap_or_default();
    let place = Path::new(&place).join("playground.wasm.gz");
    match env::var_os(ENGINE) {
        Some(engine) => {
            println!("cargo::rerun-if-changed={}", Path::new(&engine).display());
            fs::copy(engine, place).map(drop)
        }
        None => fs::write(place, []),
    }
}
