//! From a policy to an Envoy configuration: what `mcp-policy render` prints, on a port of Envoy's own choice.

use super::parts::{PLUGIN, root, scratch};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `render` is told to listen on; exchanged for port 0, because a port that is free now may not be in a moment.
const RENDERED_PORT: &str = "10000";

/// Whether Envoy holds a request's headers until its body is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the shipped file has it.
    Held,
    /// For hosts that cannot: the headers go on at once.
    Fallback,
}

/// A plugin configuration in the making.
pub(crate) struct Setup {
    mode: Mode,
    configuration: Value,
    edits: Vec<(&'static str, &'static str)>,
}

impl Setup {
    /// One policy for everyone, in the mode that the shipped file has.
    pub(crate) fn new(policy: &Value) -> Self {
        let configuration = json!({ "policies": { "default": policy }, "default_policy": "default" });
        Self { mode: Mode::Held, configuration, edits: Vec::new() }
    }

    /// In this mode.
    pub(crate) fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// With one more member of the plugin configuration.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.configuration[member] = value.into();
        self
    }

    /// With one text of the Envoy file, which must stand there once, exchanged for another.
    pub(crate) fn edit(mut self, from: &'static str, to: &'static str) -> Self {
        self.edits.push((from, to));
        self
    }

    /// The Envoy file. The configuration it is made from is left in `target/e2e/NAME.config.json`.
    pub(crate) fn render(mut self, name: &str, upstream: SocketAddr) -> String {
        self.configuration["hold_request_headers"] = (self.mode == Mode::Held).into();
        let mut file = render(name, "--config", &self.configuration, upstream);
        if self.mode == Mode::Fallback {
            self.edits.push(("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false"));
        }
        for (from, to) in &self.edits {
            file = exchange(&file, from, to);
        }
        file
    }
}

/// The Envoy file for `document`, which is a policy or a plugin configuration as `option` says.
pub(crate) fn render(name: &str, option: &str, document: &Value, upstream: SocketAddr) -> String {
    let path = written(name, document);
    let upstream = format!("http://{upstream}/mcp");
    envoy_file(&[option, text(&path), "--upstream", &upstream, "--wasm", PLUGIN])
}

/// The Envoy file whose plugin is in the file `plugin`, which Envoy watches.
pub(crate) fn render_watching(plugin: &Path, upstream: SocketAddr) -> String {
    envoy_file(&["--plugin-file", text(plugin), "--upstream", &format!("http://{upstream}/mcp")])
}

/// The Envoy file for `policy` before the server at `url`, whose certificate is signed by one of `authorities`.
pub(crate) fn render_https(name: &str, policy: &Value, url: &str, authorities: &Path) -> String {
    let policy = written(name, policy);
    envoy_file(&["--policy", text(&policy), "--upstream", url, "--ca", text(authorities), "--wasm", PLUGIN])
}

/// The same, whose plugin is in the file `plugin`, which Envoy watches.
pub(crate) fn render_https_watching(plugin: &Path, url: &str, authorities: &Path) -> String {
    envoy_file(&["--plugin-file", text(plugin), "--upstream", url, "--ca", text(authorities)])
}

/// Puts the plugin with this policy at `plugin`, as a person would.
pub(crate) fn put_plugin(name: &str, policy: &Value, plugin: &Path) {
    let policy = written(name, policy);
    mcp_policy(&["render", "plugin", "--policy", text(&policy), "--wasm", PLUGIN, "--output", text(plugin)]);
}

/// `document` in `target/e2e/NAME.config.json`.
fn written(name: &str, document: &Value) -> PathBuf {
    let path = scratch(&format!("{name}.config.json"));
    fs::write(&path, format!("{document:#}\n")).expect("a configuration in target/e2e");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn envoy_file(arguments: &[&str]) -> String {
    let file = mcp_policy(&[&["render", "envoy", "--port", RENDERED_PORT], arguments].concat());
    exchange(&file, &format!("port_value: {RENDERED_PORT}"), "port_value: 0")
}

/// What the command line says, which must be all well.
fn mcp_policy(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    let output = command.current_dir(root()).args(arguments).output().expect("the command line tool runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mcp-policy {arguments:?}: {}: {error}", output.status);
    String::from_utf8(output.stdout).expect("Envoy files are UTF-8")
}

/// `file` with another plugin configuration, which `render` would refuse: `lines` stand for all of `configuration:`.
pub(crate) fn with_configuration(file: &str, lines: &[&str]) -> String {
    let start = |key: &str| {
        let mut offset = 0;
        let line = file.split_inclusive('\n').find(|line| {
            offset += line.len();
            line.trim() == key
        });
        let line = line.unwrap_or_else(|| panic!("no line `{key}`"));
        (offset - line.len(), line.len() - line.trim_start().len())
    };
    let ((from, indent), (to, _)) = (start("configuration:"), start("vm_config:"));
    let lines: String = lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect();
    format!("{}{lines}{}", &file[..from], &file[to..])
}

/// `file` with this text as the plugin configuration, which `render` would refuse.
pub(crate) fn with_text(file: &str, text: &str) -> String {
    let value = format!("  value: '{}'", text.replace('\'', "''"));
    let kind = r#"  "@type": type.googleapis.com/google.protobuf.StringValue"#;
    with_configuration(file, &["configuration:", kind, &value])
}

/// `file` with one text of its settings, which must stand there once, exchanged for another.
pub(crate) fn exchange(file: &str, from: &str, to: &str) -> String {
    // Comments may name a setting too; they are left alone.
    let is_setting = |line: &&str| !line.trim_start().starts_with('#') && line.contains(from);
    let found: Vec<&str> = file.lines().filter(is_setting).collect();
    let [line] = found.as_slice() else { panic!("`{from}` is on {} lines of the Envoy file", found.len()) };
    file.replacen(line, &line.replacen(from, to, 1), 1)
}
