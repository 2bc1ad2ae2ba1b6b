//! `mcp-policy render`: a plugin configuration, an upstream and a port become a complete Envoy file, or two of them
//! where the plugin is to change while Envoy runs.
//!
//! The templates are `envoy/envoy.yaml` and the two files of `envoy/reload/`, which a person may also use as they stand:
//! what is printed is such a file, its comments included, with a few of its lines exchanged. Only values of options
//! reach it, each of them quoted or checked, because whoever writes a policy's text must not write Envoy's
//! configuration. Knows no files and no policy: that the configuration is a valid one is for the caller to say.

use super::upstream::Upstream;
use std::fmt;
use std::path::Path;

/// The file that `render envoy` prints, for its own default options.
const ENVOY: &str = include_str!("../../envoy/envoy.yaml");
/// The same without the plugin, which is in a file that Envoy watches.
const WATCHING: &str = include_str!("../../envoy/reload/envoy.yaml");
/// That file: what `render plugin` prints.
const PLUGIN: &str = include_str!("../../envoy/reload/plugin.yaml");

/// The lines of the templates that options replace, without their indentation; where one stands, it stands once.
const LISTENER_LINE: &str = "socket_address: { address: 127.0.0.1, port_value: 10000 }";
const CONFIGURATION_LINE: &str = "value: |";
const WASM_LINE: &str = r#"filename: "target/wasm32-wasip1/release/mcp_policy.wasm""#;
const UPSTREAM_LINE: &str = r#"socket_address: { address: "127.0.0.1", port_value: 3001 }"#;
const WATCHED_FILE_LINE: &str = r#"path: "envoy/reload/plugin.yaml""#;
const WATCHED_DIRECTORY_LINE: &str = r#"watched_directory: { path: "envoy/reload" }"#;

/// The port on loopback where Envoy listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 10000;

/// Where `make wasm` leaves the plugin, from the root of the checkout.
pub const DEFAULT_WASM: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";

/// What an Envoy file is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envoy<'a> {
    /// The plugin that judges.
    pub plugin: Origin<'a>,
    /// The port on 127.0.0.1 where MCP clients connect.
    pub port: u16,
    /// The MCP server behind the plugin.
    pub upstream: Upstream,
}

/// Where Envoy finds the plugin and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<'a> {
    /// In the Envoy file itself.
    Inline(Plugin<'a>),
    /// In a file of its own, by its path, as [`plugin`] makes it. Envoy takes up a new one that is moved there.
    Watched(&'a str),
}

/// The plugin and its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plugin<'a> {
    /// The plugin configuration as JSON text: the object form, or a bare policy; see [`configuration`].
    pub configuration: &'a str,
    /// Path of the plugin; a relative one starts from the directory Envoy is started in.
    pub wasm: &'a str,
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
            Self::Template { line } => write!(f, "the template must have exactly one line `{line}`"),
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
    let template = match options.plugin {
        Origin::Inline(_) => ENVOY,
        Origin::Watched(_) => WATCHING,
    };
    fill_envoy(template, options)
}

/// The file for [`Origin::Watched`].
///
/// # Errors
/// As [`envoy`].
pub fn plugin(plugin: &Plugin<'_>) -> Result<String, RenderError> {
    fill_plugin(PLUGIN, plugin)
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

/// The known lines of `template` exchanged. The plugin comes last: the lines of its configuration are another person's
/// text, and must not be taken for lines of the template.
fn fill_envoy(template: &str, options: &Envoy<'_>) -> Result<String, RenderError> {
    let listener = format!("socket_address: {{ address: 127.0.0.1, port_value: {} }}", options.port);
    let Upstream { host, port, path: _ } = &options.upstream;
    let upstream = format!("socket_address: {{ address: {}, port_value: {port} }}", quoted("upstream", host)?);
    let file = replace_line(template, LISTENER_LINE, &listener)?;
    let file = replace_line(&file, UPSTREAM_LINE, &upstream)?;
    match &options.plugin {
        Origin::Inline(plugin) => fill_plugin(&file, plugin),
        Origin::Watched(path) => {
            let directory = Path::new(path).parent().and_then(Path::to_str).filter(|parent| !parent.is_empty());
            let option = "path of the plugin file";
            let watched = format!("watched_directory: {{ path: {} }}", quoted(option, directory.unwrap_or("."))?);
            let file = replace_line(&file, WATCHED_DIRECTORY_LINE, &watched)?;
            replace_line(&file, WATCHED_FILE_LINE, &format!("path: {}", quoted(option, path)?))
        }
    }
}

/// The lines of the plugin exchanged, its configuration last.
fn fill_plugin(template: &str, plugin: &Plugin<'_>) -> Result<String, RenderError> {
    let wasm = format!("filename: {}", quoted("path of the plugin", plugin.wasm)?);
    let file = replace_line(template, WASM_LINE, &wasm)?;
    replace_block(&file, CONFIGURATION_LINE, plugin.configuration)
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
    use super::super::upstream::parse_upstream;
    use super::*;

    const POLICY: &str = include_str!("../../policies/reference-server.json");

    fn options(configuration: &str) -> Envoy<'_> {
        with_plugin(Plugin { configuration, wasm: DEFAULT_WASM })
    }

    fn with_plugin(plugin: Plugin<'_>) -> Envoy<'_> {
        Envoy { plugin: Origin::Inline(plugin), port: DEFAULT_PORT, upstream: Upstream::default() }
    }

    fn watching(path: &str) -> Envoy<'_> {
        Envoy { plugin: Origin::Watched(path), port: DEFAULT_PORT, upstream: Upstream::default() }
    }

    /// The lines of `file` that `template` has not.
    fn new_lines<'f>(file: &'f str, template: &str) -> Vec<&'f str> {
        file.lines().filter(|line| !template.lines().any(|old| old == *line)).collect()
    }

    #[test]
    fn the_defaults_give_the_files_themselves() {
        let configuration = configuration(POLICY);
        assert_eq!(envoy(&options(&configuration)), Ok(ENVOY.to_owned()));
        assert_eq!(envoy(&watching("envoy/reload/plugin.yaml")), Ok(WATCHING.to_owned()));
        let inline = Plugin { configuration: &configuration, wasm: DEFAULT_WASM };
        assert_eq!(plugin(&inline), Ok(PLUGIN.to_owned()));
    }

    #[test]
    fn each_option_changes_its_lines_and_no_others() {
        let default = configuration(POLICY);
        let upstream = |url: &str| parse_upstream(url).unwrap();
        let wasm = Plugin { configuration: &default, wasm: r#"/opt/a "b" #c\d.wasm"# };
        let rows: [(&str, Envoy<'_>, &[&str]); 7] = [
            (
                "port",
                Envoy { port: 8080, ..options(&default) },
                &["      socket_address: { address: 127.0.0.1, port_value: 8080 }"],
            ),
            (
                "upstream",
                Envoy { upstream: upstream("http://tools.example:8000/mcp"), ..options(&default) },
                &[r#"              socket_address: { address: "tools.example", port_value: 8000 }"#],
            ),
            (
                "IPv6",
                Envoy { upstream: upstream("http://[::1]/"), ..options(&default) },
                &[r#"              socket_address: { address: "::1", port_value: 80 }"#],
            ),
            ("wasm", with_plugin(wasm), &[r#"                      filename: "/opt/a \"b\" #c\\d.wasm""#]),
            (
                "a watched file",
                watching("/etc/a \"b\"/c.yaml"),
                &[
                    r#"                  path: "/etc/a \"b\"/c.yaml""#,
                    r#"                  watched_directory: { path: "/etc/a \"b\"" }"#,
                ],
            ),
            (
                "a watched file here",
                watching("c.yaml"),
                &[r#"                  path: "c.yaml""#, r#"                  watched_directory: { path: "." }"#],
            ),
            (
                "a watched file in the root",
                Envoy { port: 1, ..watching("/c.yaml") },
                &[
                    "      socket_address: { address: 127.0.0.1, port_value: 1 }",
                    r#"                  path: "/c.yaml""#,
                    r#"                  watched_directory: { path: "/" }"#,
                ],
            ),
        ];
        for (name, options, lines) in rows {
            let template = if matches!(options.plugin, Origin::Inline(_)) { ENVOY } else { WATCHING };
            let file = envoy(&options).unwrap();
            assert_eq!(new_lines(&file, template), lines, "{name}");
            assert_eq!(file.lines().count(), template.lines().count(), "{name}");
        }
        assert_eq!(new_lines(&plugin(&wasm).unwrap(), PLUGIN), [r#"            filename: "/opt/a \"b\" #c\\d.wasm""#]);
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
        let (inline, watching) = (options("{}"), watching("plugin.yaml"));
        let rows: [(&str, &Envoy<'_>, &[&'static str]); 2] = [
            (ENVOY, &inline, &[LISTENER_LINE, UPSTREAM_LINE, WASM_LINE, CONFIGURATION_LINE]),
            (WATCHING, &watching, &[LISTENER_LINE, UPSTREAM_LINE, WATCHED_FILE_LINE, WATCHED_DIRECTORY_LINE]),
        ];
        for (template, options, lines) in rows {
            for line in lines {
                let refused = Err(RenderError::Template { line });
                assert_eq!(fill_envoy(&template.replace(line, "other: line"), options), refused, "missing {line}");
                assert_eq!(fill_envoy(&format!("{template}{line}\n"), options), refused, "doubled {line}");
            }
        }
    }

    #[test]
    fn characters_that_yaml_cannot_hold_are_refused() {
        for character in ['\0', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}'] {
            let text = format!("{{\"a\": \"{character}\"}}");
            assert_eq!(envoy(&options(&text)), Err(RenderError::Unprintable { option: "configuration", character }));
            let wasm = format!("a{character}.wasm");
            assert_eq!(
                plugin(&Plugin { configuration: "{}", wasm: &wasm }),
                Err(RenderError::Unprintable { option: "path of the plugin", character })
            );
            assert_eq!(
                envoy(&watching(&wasm)),
                Err(RenderError::Unprintable { option: "path of the plugin file", character })
            );
        }
    }
}
