//! The listener on which people approve calls, put beside the one for clients in a file that `render` has made.
//!
//! The template is `envoy/approvals.yaml`, of which it is a part.

use super::render::WASM_LINE;
use super::template::{RenderError, quoted, replace_line};

const APPROVALS: &str = include_str!("../../envoy/approvals.yaml");

/// Where the listener of the console begins, and what comes after the listeners.
const CONSOLE: &str = "  - name: mcp_admin\n";
const CLUSTERS: &str = "  clusters:\n";
const CONSOLE_LISTENER_LINE: &str = "socket_address: { address: 127.0.0.1, port_value: 10001 }";
const CONSOLE_TOKEN_LINE: &str =
    r#""token_sha256": "0000000000000000000000000000000000000000000000000000000000000000""#;

/// The port on loopback where people approve calls unless told otherwise.
pub const DEFAULT_ADMIN_PORT: u16 = 10001;

/// The listener on which people approve calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console<'a> {
    /// The port on 127.0.0.1 where people connect.
    pub port: u16,
    /// The SHA-256 of the token that they show, in hex digits.
    pub token_sha256: &'a str,
    /// Path of the plugin.
    pub wasm: &'a str,
}

/// `file`, made for [`Origin::Watched`](super::render::Origin::Watched), with the console beside it.
///
/// # Errors
/// As [`envoy`](super::render::envoy).
pub fn with_console(file: &str, console: &Console<'_>) -> Result<String, RenderError> {
    let missing = |line| move || RenderError::Template { line };
    let (_, listener) = APPROVALS.split_once(CONSOLE).ok_or_else(missing(CONSOLE))?;
    let (listener, _) = listener.split_once(CLUSTERS).ok_or_else(missing(CLUSTERS))?;
    let address = format!("socket_address: {{ address: 127.0.0.1, port_value: {} }}", console.port);
    let listener = replace_line(listener, CONSOLE_LISTENER_LINE, &address)?;
    let token = format!("\"token_sha256\": {}", quoted("digest of the token", console.token_sha256)?);
    let listener = replace_line(&listener, CONSOLE_TOKEN_LINE, &token)?;
    let wasm = format!("filename: {}", quoted("path of the plugin", console.wasm)?);
    let listener = replace_line(&listener, WASM_LINE, &wasm)?;
    let (before, after) = file.split_once(CLUSTERS).ok_or_else(missing(CLUSTERS))?;
    Ok([before, CONSOLE, &listener, CLUSTERS, after].concat())
}

#[cfg(test)]
mod tests {
    use super::super::render::{DEFAULT_WASM, Envoy, Origin, envoy};
    use super::super::upstream::Upstream;
    use super::*;

    #[test]
    fn the_listener_is_that_of_the_template() {
        let plugin = Origin::Watched("envoy/reload/plugin.yaml");
        let file = envoy(&Envoy { plugin, port: 10000, upstream: Upstream::default(), authorities: "" }).unwrap();
        let token_sha256 = &"0".repeat(64);
        let both =
            with_console(&file, &Console { port: DEFAULT_ADMIN_PORT, token_sha256, wasm: DEFAULT_WASM }).unwrap();
        let (_, expected) = APPROVALS.split_once(CONSOLE).unwrap();
        assert!(both.ends_with(expected));
        assert!(both.starts_with(file.split_once(CLUSTERS).unwrap().0));
        let token_sha256 = &"a".repeat(64);
        let other = with_console(&file, &Console { port: 9, token_sha256, wasm: "/p.wasm" }).unwrap();
        let new: Vec<&str> = other.lines().filter(|line| !both.contains(line)).map(str::trim).collect();
        let token = format!(r#""token_sha256": "{token_sha256}""#);
        let expected = ["socket_address: { address: 127.0.0.1, port_value: 9 }", &token, r#"filename: "/p.wasm""#];
        assert_eq!(new, expected);
    }
}
