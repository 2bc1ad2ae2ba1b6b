//! What has to be installed or built before a test can run, found at fixed places.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The plugin, from the root of the checkout.
pub(crate) const PLUGIN: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";
/// The node packages and scripts, from the root of the checkout.
pub(crate) const PEERS: &str = "target/peers";
/// The Python that has the `mcp` package, from the root of the checkout.
pub(crate) const PYTHON: &str = "target/peers/venv/bin/python";

/// Everything that the test asked for is there.
pub(crate) struct Parts {
    /// The Envoy to run.
    pub(crate) envoy: PathBuf,
}

impl Parts {
    /// Envoy and the plugin. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn gateway() -> Option<Self> {
        Self::find(&[PLUGIN])
    }

    /// Envoy, the plugin, and these files. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn with(files: &[&str]) -> Option<Self> {
        Self::find(&[&[PLUGIN], files].concat())
    }

    /// Envoy, the plugin, and the real servers and clients. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn with_peers() -> Option<Self> {
        Self::find(&[PLUGIN, "target/peers/node_modules", PYTHON])
    }

    /// All that, and the conformance suites. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn with_conformance() -> Option<Self> {
        Self::find(&[PLUGIN, "target/peers/node_modules", "target/peers/conformance/node_modules", PYTHON])
    }

    /// Envoy, the plugin, and a rate limit service. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn with_rate_limit_service() -> Option<Self> {
        Self::find(&[PLUGIN, "target/ratelimit/ratelimit", "target/ratelimit/redis-server"])
    }

    /// Envoy, the plugin, and a browser with what drives it. `None`, after saying why, when the test has to be skipped.
    pub(crate) fn with_browser() -> Option<(Self, PathBuf)> {
        let browser = env::var("MCP_POLICY_CHROMIUM").unwrap_or("the path of a Chromium in MCP_POLICY_CHROMIUM".into());
        let parts = Self::find(&[PLUGIN, "target/peers/node_modules/playwright-core", &browser])?;
        Some((parts, browser.into()))
    }

    fn find(files: &[&str]) -> Option<Self> {
        let envoy = env::var_os("MCP_POLICY_ENVOY").map(|path| root().join(path));
        let mut missing: Vec<String> =
            files.iter().filter(|file| !root().join(file).exists()).map(|file| (*file).to_owned()).collect();
        match &envoy {
            None => missing.push("the path of an Envoy in MCP_POLICY_ENVOY".to_owned()),
            Some(path) if !path.exists() => missing.push(format!("{} (MCP_POLICY_ENVOY)", path.display())),
            Some(_) => {}
        }
        if let (Some(envoy), true) = (envoy, missing.is_empty()) {
            return Some(Self { envoy });
        }
        let missing = missing.join(", ");
        let is_required = env::var("MCP_POLICY_E2E").is_ok_and(|value| value == "required");
        assert!(!is_required, "MCP_POLICY_E2E=required, but there is no {missing}");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not by `eprintln!`, which the test harness keeps to itself unless the test fails.
        let _ = writeln!(std::io::stderr(), "{test} skipped: `make test` brings what is missing: {missing}");
        None
    }
}

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file for this test run: `target/e2e/NAME`.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let directory = root().join("target/e2e");
    std::fs::create_dir_all(&directory).expect("target/e2e can be made");
    directory.join(name)
}
