//! `mcp-policy render`: a plugin configuration, an upstream and a port become a complete Envoy file.
//!
//! The template is `envoy/envoy.yaml`, the file a person may also use as it stands: what is printed is that file, its
//! comments included, with a few of its lines exchanged. Only values of options reach it, each of them quoted or
//! checked, because whoever writes a policy's text must not write Envoy's configuration. Knows no files and no policy:
//! that the configuration is a valid one is for the caller to say.

use std::fmt;
use std::net::Ipv6Addr;

/// The file that `render` prints, for its own default options.
const ENVOY: &str = include_str!("../../envoy/envoy.yaml");

/// The lines of [`ENVOY`] that options replace, without their indentation; each stands there once.
const LISTENER_LINE: &str = "socket_address: { address: 127.0.0.1, port_value: 10000 }";
const CONFIGURATION_LINE: &str = "value: |";
const WASM_LINE: &str = r#"filename: "target/wasm32-wasip1/release/mcp_policy.wasm""#;
const UPSTREAM_LINE: &str = r#"socket_address: { address: "127.0.0.1", port_value: 3001 }"#;

/// The port on loopback where Envoy listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 10000;

/// Where `make wasm` leaves the plugin, from the root of the checkout.
pub const DEFAULT_WASM: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";

/// What an Envoy file is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envoy<'a> {
    /// The plugin configuration as JSON text: the object form, or a bare policy; see [`configuration`].
    pub configuration: &'a str,
    /// The port on 127.0.0.1 where MCP clients connect.
    pub port: u16,
    /// The MCP server behind the plugin.
    pub upstream: Upstream,
    /// Path of the plugin; a relative one starts from the directory Envoy is started in.
    pub wasm: &'a str,
}

/// An MCP server that is reached by plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A host name, or an IPv4 or IPv6 address without brackets.
    pub host: String,
    /// Its TCP port, from 1.
    pub port: u16,
    /// Where its MCP endpoint is, with the query if there is one; `/` when the URL named nothing. Envoy passes every
    /// path on as it came, so this only tells clients what to put behind Envoy's own address.
    pub path: String,
}

impl Default for Upstream {
    /// The server that the template names: `http://127.0.0.1:3001/mcp`.
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 3001, path: "/mcp".to_owned() }
    }
}

/// Why nothing was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderError {
    /// The upstream is not a URL that can be used.
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The upstream is reached by TLS, which the template does not set up.
    Https {
        /// As it was given.
        url: String,
    },
    /// A text holds a character that YAML cannot hold as it is.
    Unprintable {
        /// Which option.
        option: &'static str,
        /// The character.
        character: char,
    },
    /// The template has not exactly one line of this text, so it cannot be filled in.
    Template {
        /// The line, without its indentation.
        line: &'static str,
    },
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, why } => write!(f, "the upstream `{}` {why}", url.escape_debug()),
            Self::Https { url } => write!(
                f,
                "the upstream `{}` needs TLS, which is not rendered yet: name an http:// address, such as that of a \
                 proxy on this machine that speaks TLS to it",
                url.escape_debug()
            ),
            Self::Unprintable { option, character } => {
                write!(
                    f,
                    "the {option} holds the character U+{:04X}, which YAML cannot hold as it is",
                    *character as u32
                )?;
                if *option == CONFIGURATION { f.write_str(": in JSON write it as an escape") } else { Ok(()) }
            }
            Self::Template { line } => write!(f, "envoy/envoy.yaml must have exactly one line `{line}`"),
        }
    }
}

impl std::error::Error for RenderError {}

/// What [`RenderError::Unprintable`] calls the plugin configuration.
const CONFIGURATION: &str = "configuration";

/// A complete Envoy file: the template with `options` in it.
///
/// # Errors
/// A text that YAML cannot hold, or a template whose lines are not the ones known here.
pub fn envoy(options: &Envoy<'_>) -> Result<String, RenderError> {
    fill(ENVOY, options)
}

/// The plugin configuration, in the object form, in which `policy` (JSON text) holds for everyone and denied requests
/// are kept whole from the server (`hold_request_headers`, which the template's Envoy is set up for).
#[must_use]
pub fn configuration(policy: &str) -> String {
    // By text, not by value: the order of members, the spacing and every number stay as they were reviewed. A JSON
    // string has no line breaks inside, so indenting the lines changes no value.
    let policy = policy.trim().lines().collect::<Vec<_>>().join("\n    ");
    format!(
        "{{\n  \"policies\": {{\n    \"default\": {policy}\n  }},\n  \"default_policy\": \"default\",\n  \
         \"hold_request_headers\": true\n}}\n"
    )
}

/// Reads `http://host[:port][/path][?query]`; without a port it is 80.
///
/// # Errors
/// [`RenderError::Https`] for `https://`, and [`RenderError::Url`] for whatever else cannot be used.
pub fn parse_upstream(url: &str) -> Result<Upstream, RenderError> {
    let refuse = |why| RenderError::Url { url: url.to_owned(), why };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("must be like http://host:port/path"))?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err(RenderError::Https { url: url.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(refuse("must begin with http://"));
    }
    if !rest.chars().all(|character| character.is_ascii_graphic()) {
        return Err(refuse("must be printable ASCII, without spaces"));
    }
    if rest.contains('#') {
        return Err(refuse("must not have a #fragment"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let path = rest.strip_prefix(authority).unwrap_or_default();
    if authority.contains('@') {
        return Err(refuse("must not hold a user name or password"));
    }
    let (host, port) = split_port(authority).ok_or_else(|| refuse("has a [ without its ]"))?;
    let is_address = authority.starts_with('[');
    if is_address && host.parse::<Ipv6Addr>().is_err() {
        return Err(refuse("has no IPv6 address between its brackets"));
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    if !is_address && (host.is_empty() || !host.chars().all(is_name)) {
        return Err(refuse("must name a host by letters, digits, dots and hyphens, or an IPv6 address in brackets"));
    }
    let port = match port {
        None => 80,
        // Digits only, because Rust's own reading would take "+80".
        Some(digits) if digits.chars().all(|character| character.is_ascii_digit()) => digits.parse().unwrap_or(0),
        Some(_) => 0,
    };
    if port == 0 {
        return Err(refuse("must have a port from 1 to 65535"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Upstream { host: host.to_owned(), port, path })
}

/// `host[:port]` or `[host][:port]` as its two parts; none when a bracket is not closed, or not by the end of the host.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inside) = authority.strip_prefix('[') {
        let (host, after) = inside.split_once(']')?;
        return if after.is_empty() { Some((host, None)) } else { Some((host, Some(after.strip_prefix(':')?))) };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

/// The known lines of `template` exchanged. The configuration comes last: its lines are another person's text, and must
/// not be taken for lines of the template.
fn fill(template: &str, options: &Envoy<'_>) -> Result<String, RenderError> {
    let listener = format!("socket_address: {{ address: 127.0.0.1, port_value: {} }}", options.port);
    let Upstream { host, port, path: _ } = &options.upstream;
    let upstream = format!("socket_address: {{ address: {}, port_value: {port} }}", quoted("upstream", host)?);
    let wasm = format!("filename: {}", quoted("path of the plugin", options.wasm)?);

    let file = replace_line(template, LISTENER_LINE, &listener)?;
    let file = replace_line(&file, UPSTREAM_LINE, &upstream)?;
    let file = replace_line(&file, WASM_LINE, &wasm)?;
    replace_block(&file, CONFIGURATION_LINE, options.configuration)
}

/// The one line that reads `known`, exchanged for `line` at the same indentation.
fn replace_line(file: &str, known: &'static str, line: &str) -> Result<String, RenderError> {
    only_once(file, known)?;
    let exchange = |old: &str| {
        if old.trim_start() == known { format!("{}{line}\n", indentation(old)) } else { format!("{old}\n") }
    };
    Ok(file.lines().map(exchange).collect())
}

/// The lines that stand deeper than the one that reads `known`, exchanged for those of `text`.
fn replace_block(file: &str, known: &'static str, text: &str) -> Result<String, RenderError> {
    only_once(file, known)?;
    holdable(CONFIGURATION, text, &['\n', '\r', '\t'])?;
    // YAML takes a carriage return for a line break, JSON for a blank.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut filled = String::with_capacity(file.len() + 2 * text.len());
    // How deep the known line stands, while we are between it and the first line that is not deeper.
    let mut block: Option<&str> = None;
    for line in file.lines() {
        if block.is_some_and(|outer| line.is_empty() || indentation(line).len() > outer.len()) {
            continue;
        }
        block = None;
        filled.push_str(line);
        filled.push('\n');
        if line.trim_start() == known {
            block = Some(indentation(line));
            // The first line sets the depth of a block scalar, so no blanks may precede it; JSON gives them no meaning.
            for part in text.trim().lines() {
                filled.push_str(format!("{}  {}", indentation(line), part.trim_end()).trim_end());
                filled.push('\n');
            }
        }
    }
    Ok(filled)
}

fn only_once(file: &str, known: &'static str) -> Result<(), RenderError> {
    match file.lines().filter(|line| line.trim_start() == known).count() {
        1 => Ok(()),
        _ => Err(RenderError::Template { line: known }),
    }
}

/// The blanks that `line` begins with.
fn indentation(line: &str) -> &str {
    line.strip_suffix(line.trim_start()).unwrap_or_default()
}

/// `text` as a double-quoted scalar.
fn quoted(option: &'static str, text: &str) -> Result<String, RenderError> {
    holdable(option, text, &[])?;
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#)))
}

/// Refuses what YAML 1.1 or 1.2 reads as a line break, or not as text at all; `blanks` are fine where this text goes.
fn holdable(option: &'static str, text: &str, blanks: &[char]) -> Result<(), RenderError> {
    let breaks =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}');
    match text.chars().find(|character| breaks(*character) && !blanks.contains(character)) {
        Some(character) => Err(RenderError::Unprintable { option, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = include_str!("../../policies/reference-server.json");

    fn options(configuration: &str) -> Envoy<'_> {
        Envoy { configuration, port: DEFAULT_PORT, upstream: Upstream::default(), wasm: DEFAULT_WASM }
    }

    /// The lines of `file` that `ENVOY` has not.
    fn new_lines(file: &str) -> Vec<&str> {
        file.lines().filter(|line| !ENVOY.lines().any(|old| old == *line)).collect()
    }

    #[test]
    fn the_defaults_give_the_file_itself() {
        let configuration = configuration(POLICY);
        assert_eq!(envoy(&options(&configuration)), Ok(ENVOY.to_owned()));
    }

    #[test]
    fn each_option_changes_its_line_and_no_other() {
        let default = configuration(POLICY);
        let upstream = |url: &str| parse_upstream(url).unwrap();
        let rows = [
            (
                "port",
                Envoy { port: 8080, ..options(&default) },
                "      socket_address: { address: 127.0.0.1, port_value: 8080 }",
            ),
            (
                "upstream",
                Envoy { upstream: upstream("http://tools.example:8000/mcp"), ..options(&default) },
                r#"              socket_address: { address: "tools.example", port_value: 8000 }"#,
            ),
            (
                "IPv6",
                Envoy { upstream: upstream("http://[::1]/"), ..options(&default) },
                r#"              socket_address: { address: "::1", port_value: 80 }"#,
            ),
            (
                "wasm",
                Envoy { wasm: r#"/opt/a "b" #c\d.wasm"#, ..options(&default) },
                r#"                      filename: "/opt/a \"b\" #c\\d.wasm""#,
            ),
        ];
        for (name, options, line) in rows {
            let file = envoy(&options).unwrap();
            assert_eq!(new_lines(&file), [line], "{name}");
            assert_eq!(file.lines().count(), ENVOY.lines().count(), "{name}");
        }
    }

    #[test]
    fn the_configuration_replaces_the_whole_block() {
        let file = envoy(&options("\r\n  {\"a\":\r\n\r\n\t1\r}  \r\n")).unwrap();
        let block = "                  value: |\n                    {\"a\":\n\n                    \t1\n                    }\n                vm_config:\n";
        assert!(file.contains(block), "{file}");
        assert!(!file.contains("get-env"), "nothing of the template's own policy stays");
    }

    #[test]
    fn the_lines_of_a_configuration_are_never_taken_for_lines_of_the_template() {
        let hostile = format!("{{\n{LISTENER_LINE}\n{UPSTREAM_LINE}\n{WASM_LINE}\n{CONFIGURATION_LINE}\n}}");
        let file = envoy(&Envoy { port: 8080, ..options(&hostile) }).unwrap();
        for line in hostile.lines() {
            assert!(file.contains(&format!("\n                    {line}\n")), "{line}");
        }
        assert!(file.contains("\n      socket_address: { address: 127.0.0.1, port_value: 8080 }\n"));
    }

    #[test]
    fn a_template_with_a_known_line_missing_or_doubled_is_refused() {
        for line in [LISTENER_LINE, UPSTREAM_LINE, WASM_LINE, CONFIGURATION_LINE] {
            let refused = Err(RenderError::Template { line });
            assert_eq!(fill(&ENVOY.replace(line, "other: line"), &options("{}")), refused, "missing {line}");
            assert_eq!(fill(&format!("{ENVOY}{line}\n"), &options("{}")), refused, "doubled {line}");
        }
    }

    #[test]
    fn characters_that_yaml_cannot_hold_are_refused() {
        for character in ['\0', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}'] {
            let text = format!("{{\"a\": \"{character}\"}}");
            assert_eq!(envoy(&options(&text)), Err(RenderError::Unprintable { option: "configuration", character }));
            let wasm = format!("a{character}.wasm");
            assert_eq!(
                envoy(&Envoy { wasm: &wasm, ..options("{}") }),
                Err(RenderError::Unprintable { option: "path of the plugin", character })
            );
        }
    }

    #[test]
    fn upstreams() {
        let is = |host: &str, port, path: &str| Ok(Upstream { host: host.to_owned(), port, path: path.to_owned() });
        let rows = [
            ("http://127.0.0.1:3001/mcp", is("127.0.0.1", 3001, "/mcp")),
            ("HTTP://tools.example", is("tools.example", 80, "/")),
            ("http://tools_1.example:8000/a/b?c=d:e", is("tools_1.example", 8000, "/a/b?c=d:e")),
            ("http://tools.example?c=/d", is("tools.example", 80, "/?c=/d")),
            ("http://[fd00::1]:65535/mcp", is("fd00::1", 65535, "/mcp")),
            ("http://[::1]", is("::1", 80, "/")),
        ];
        for (url, upstream) in rows {
            assert_eq!(parse_upstream(url), upstream, "{url}");
        }
        assert_eq!(parse_upstream("http://127.0.0.1:3001/mcp"), Ok(Upstream::default()));
    }

    #[test]
    fn upstreams_that_cannot_be_used_say_why() {
        let rows = [
            ("", "must be like http://host:port/path"),
            ("127.0.0.1:3001", "must be like http://host:port/path"),
            ("ws://host/mcp", "must begin with http://"),
            ("HTTPS://mcp.example.com/mcp", "needs TLS"),
            ("http://", "must name a host"),
            ("http:///mcp", "must name a host"),
            ("http://:80/mcp", "must name a host"),
            ("http://a,b/mcp", "must name a host"),
            ("http://a\" }/mcp", "printable ASCII"),
            ("http://a\nb/mcp", "printable ASCII"),
            ("http://bücher.example/", "printable ASCII"),
            ("http://user:secret@host/", "must not hold a user name"),
            ("http://host/#top", "must not have a #fragment"),
            ("http://host:/", "port from 1 to 65535"),
            ("http://host:0/", "port from 1 to 65535"),
            ("http://host:+80/", "port from 1 to 65535"),
            ("http://host:65536/", "port from 1 to 65535"),
            ("http://::1/", "or an IPv6 address in brackets"),
            ("http://[::1/", "has a [ without its ]"),
            ("http://[::1]80/", "has a [ without its ]"),
            ("http://[name]/", "has no IPv6 address"),
        ];
        for (url, why) in rows {
            let message = parse_upstream(url).unwrap_err().to_string();
            assert!(message.contains(why), "{url:?}: {message}");
            assert!(!message.contains('\n'), "{url:?}: one line");
        }
    }
}
