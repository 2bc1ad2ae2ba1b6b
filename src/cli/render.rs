//! `mcp-policy render`: a plugin configuration, an upstream and a port become a complete Envoy file, or two of them
//! where the plugin is to change while Envoy runs.
//!
//! The templates are `envoy/envoy.yaml`, `envoy/https.yaml` and the two files of `envoy/reload/`, which a person may
//! also use as they stand: what is printed is such a file, its comments included, with a few of its lines exchanged.
//! Knows no files and no policy: that the configuration is a valid one is for the caller to say.

use super::template::{RenderError, quoted, replace_block, replace_line};
use super::upstream::Upstream;
use std::net::IpAddr;
use std::path::Path;

/// The file that `render envoy` prints, for its own default options.
const ENVOY: &str = include_str!("../../envoy/envoy.yaml");
/// The same before a server that is reached by TLS.
const HTTPS: &str = include_str!("../../envoy/https.yaml");
/// [`ENVOY`] without the plugin, which is in a file that Envoy watches.
const WATCHING: &str = include_str!("../../envoy/reload/envoy.yaml");
/// That file: what `render plugin` prints.
const PLUGIN: &str = include_str!("../../envoy/reload/plugin.yaml");

/// The lines of the templates that options replace, without their indentation; where one stands, it stands once.
const LISTENER_LINE: &str = "socket_address: { address: 127.0.0.1, port_value: 10000 }";
const CONFIGURATION_LINE: &str = "value: |";
pub(super) const WASM_LINE: &str = r#"filename: "target/wasm32-wasip1/release/mcp_policy.wasm""#;
const UPSTREAM_LINE: &str = r#"socket_address: { address: "127.0.0.1", port_value: 3001 }"#;
const LOOKUP_LINE: &str = "type: STRICT_DNS";
const LOOKUP_FAMILY: &str = "    dns_lookup_family: V4_PREFERRED\n";
const TLS_UPSTREAM_LINE: &str = r#"socket_address: { address: "mcp.example.com", port_value: 443 }"#;
const TLS_HOST_LINE: &str = r#"host_rewrite_literal: "mcp.example.com""#;
const TLS_NAME_LINE: &str = r#"sni: "mcp.example.com""#;
const TLS_AUTHORITIES_LINE: &str = r#"trusted_ca: { filename: "/etc/ssl/certs/ca-certificates.crt" }"#;
const TLS_CERTIFICATE_LINE: &str = r#"- { san_type: DNS, matcher: { exact: "mcp.example.com" } }"#;
const WATCHED_FILE_LINE: &str = r#"path: "envoy/reload/plugin.yaml""#;
const WATCHED_DIRECTORY_LINE: &str = r#"watched_directory: { path: "envoy/reload" }"#;

/// The port on loopback where Envoy listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 10000;

/// Where `make wasm` leaves the plugin, from the root of the checkout.
pub const DEFAULT_WASM: &str = "target/wasm32-wasip1/release/mcp_policy.wasm";

/// Who may sign the certificate of a server, unless told otherwise: those whom Debian trusts.
pub const DEFAULT_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where the files begin to tell of the server: they are the same before it, with TLS and without.
const SERVER_LINE: &str = "          route_config:\n";

/// What an Envoy file is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envoy<'a> {
    /// The plugin that judges.
    pub plugin: Origin<'a>,
    /// The port on 127.0.0.1 where MCP clients connect.
    pub port: u16,
    /// The MCP server behind the plugin.
    pub upstream: Upstream,
    /// The file of those who may sign its certificate, where it is reached by TLS.
    pub authorities: &'a str,
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

/// A complete Envoy file: the template with `options` in it.
///
/// # Errors
/// A text that YAML cannot hold, or a template whose lines are not the ones known here.
pub fn envoy(options: &Envoy<'_>) -> Result<String, RenderError> {
    match (&options.plugin, options.upstream.is_tls) {
        (Origin::Inline(_), false) => fill_envoy(ENVOY, options),
        (Origin::Inline(_), true) => fill_envoy(HTTPS, options),
        (Origin::Watched(_), false) => fill_envoy(WATCHING, options),
        (Origin::Watched(_), true) => fill_envoy(&with_server(WATCHING, HTTPS)?, options),
    }
}

/// The file `template` up to where the server begins, and `other` from there on.
fn with_server(template: &str, other: &str) -> Result<String, RenderError> {
    let missing = || RenderError::Template { line: SERVER_LINE.trim() };
    let (before, _) = template.split_once(SERVER_LINE).ok_or_else(missing)?;
    let (_, after) = other.split_once(SERVER_LINE).ok_or_else(missing)?;
    Ok([before, SERVER_LINE, after].concat())
}

/// `file`, made for the template's own upstream, before a server that listens on a socket of this machine.
///
/// # Errors
/// As [`envoy`].
pub fn before_socket(file: &str, path: &str) -> Result<String, RenderError> {
    let pipe = format!("pipe: {{ path: {} }}", quoted("path of the socket", path)?);
    let file = replace_line(file, UPSTREAM_LINE, &pipe)?;
    // A socket has no name to look up.
    let file = replace_line(&file, LOOKUP_LINE, "type: STATIC")?;
    Ok(file.replace(LOOKUP_FAMILY, ""))
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
    object_form(policy, "")
}

/// The same, whose refusals name the page where a person approves calls; `page` is an address without quotes.
#[must_use]
pub fn configuration_with_page(policy: &str, page: &str) -> String {
    object_form(policy, &format!("  \"approvals\": {{ \"url\": \"{page}\" }},\n"))
}

fn object_form(policy: &str, members: &str) -> String {
    // By text, not by value: the order of members, the spacing and every number stay as they were reviewed. A JSON
    // string has no line breaks inside, so indenting the lines changes no value.
    let policy = policy.trim().lines().collect::<Vec<_>>().join("\n    ");
    format!(
        "{{\n  \"policies\": {{\n    \"default\": {policy}\n  }},\n  \"default_policy\": \"default\",\n{members}  \
         \"hold_request_headers\": true\n}}\n"
    )
}

/// The known lines of `template` exchanged. The plugin comes last: the lines of its configuration are another person's
/// text, and must not be taken for lines of the template.
fn fill_envoy(template: &str, options: &Envoy<'_>) -> Result<String, RenderError> {
    let listener = format!("socket_address: {{ address: 127.0.0.1, port_value: {} }}", options.port);
    let Upstream { host, port, is_tls, path: _ } = &options.upstream;
    let upstream = format!("socket_address: {{ address: {}, port_value: {port} }}", quoted("upstream", host)?);
    let file = replace_line(template, LISTENER_LINE, &listener)?;
    let file = if *is_tls {
        let file = replace_line(&file, TLS_UPSTREAM_LINE, &upstream)?;
        fill_tls(&file, &options.upstream, options.authorities)?
    } else {
        replace_line(&file, UPSTREAM_LINE, &upstream)?
    };
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

/// The lines that say which certificate is good, and what the server is told of its own name.
fn fill_tls(template: &str, upstream: &Upstream, authorities: &str) -> Result<String, RenderError> {
    // As certificates spell names: without the dot by which DNS may end them.
    let name = upstream.host.trim_end_matches('.').to_ascii_lowercase();
    let (kind, exact, sni) = match name.parse::<IpAddr>() {
        // As Envoy spells it.
        Ok(address) => ("IP_ADDRESS", address.to_string(), "# No SNI: an address is no name.".to_owned()),
        Err(_) => ("DNS", name.clone(), format!("sni: {}", quoted("upstream", &name)?)),
    };
    let host = if name.contains(':') { format!("[{name}]") } else { name };
    let host = if upstream.port == 443 { host } else { format!("{host}:{}", upstream.port) };
    let trusted = quoted("path of the authorities", authorities)?;
    let exact = quoted("upstream", &exact)?;
    let file = replace_line(template, TLS_HOST_LINE, &format!("host_rewrite_literal: {}", quoted("upstream", &host)?))?;
    let file = replace_line(&file, TLS_NAME_LINE, &sni)?;
    let file = replace_line(&file, TLS_AUTHORITIES_LINE, &format!("trusted_ca: {{ filename: {trusted} }}"))?;
    let certificate = format!("- {{ san_type: {kind}, matcher: {{ exact: {exact} }} }}");
    replace_line(&file, TLS_CERTIFICATE_LINE, &certificate)
}

/// The lines of the plugin exchanged, its configuration last.
fn fill_plugin(template: &str, plugin: &Plugin<'_>) -> Result<String, RenderError> {
    let wasm = format!("filename: {}", quoted("path of the plugin", plugin.wasm)?);
    let file = replace_line(template, WASM_LINE, &wasm)?;
    replace_block(&file, CONFIGURATION_LINE, plugin.configuration)
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
        let (upstream, authorities) = (Upstream::default(), DEFAULT_AUTHORITIES);
        Envoy { plugin: Origin::Inline(plugin), port: DEFAULT_PORT, upstream, authorities }
    }

    fn watching(path: &str) -> Envoy<'_> {
        Envoy { plugin: Origin::Watched(path), ..options("") }
    }

    fn https<'a>(options: Envoy<'a>, url: &str) -> Envoy<'a> {
        Envoy { upstream: parse_upstream(url).unwrap(), ..options }
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
        assert_eq!(envoy(&https(options(&configuration), "https://mcp.example.com/mcp")), Ok(HTTPS.to_owned()));
        let inline = Plugin { configuration: &configuration, wasm: DEFAULT_WASM };
        assert_eq!(plugin(&inline), Ok(PLUGIN.to_owned()));
    }

    #[test]
    fn a_socket_takes_the_place_of_the_address() {
        let file = envoy(&watching("envoy/reload/plugin.yaml")).unwrap();
        let socket = before_socket(&file, "/run/x/server.sock").unwrap();
        let new: Vec<&str> = new_lines(&socket, WATCHING).into_iter().map(str::trim).collect();
        assert_eq!(new, ["type: STATIC", r#"pipe: { path: "/run/x/server.sock" }"#]);
        assert_eq!(socket.lines().count() + 1, WATCHING.lines().count(), "a socket has no addresses to choose from");
        assert!(before_socket(&file, "a\nb").is_err());
    }

    #[test]
    fn refusals_name_the_page() {
        let text = configuration_with_page(POLICY, "http://127.0.0.1:9/");
        let gate = mcp_policy::config::Gate::load(text.as_bytes()).unwrap();
        assert_eq!(gate.approvals.url.as_deref(), Some("http://127.0.0.1:9/"));
        assert!(gate.settings.hold_request_headers);
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
    fn with_tls_the_certificate_is_held_against_the_host_that_the_url_names() {
        let default = configuration(POLICY);
        let rows = [
            ("https://MCP.Tools.example./mcp", "mcp.tools.example", Some("mcp.tools.example"), "DNS", 443),
            ("https://tools.example:8443", "tools.example:8443", Some("tools.example"), "DNS", 8443),
            ("https://192.0.2.7/mcp", "192.0.2.7", None, "IP_ADDRESS", 443),
            ("https://[2001:DB8::0:7]:8443/", "[2001:db8::0:7]:8443", None, "IP_ADDRESS", 8443),
        ];
        for (url, host, name, kind, port) in rows {
            let options = Envoy { authorities: "/a \"b\"/ca.pem", ..https(options(&default), url) };
            let file = envoy(&options).unwrap();
            let sni = name.map_or("# No SNI: an address is no name.".to_owned(), |name| format!("sni: \"{name}\""));
            let exact = name.unwrap_or(if host.starts_with('[') { "2001:db8::7" } else { host });
            let socket = format!("address: \"{}\", port_value: {port}", options.upstream.host);
            let expected = [
                format!("                  host_rewrite_literal: \"{host}\""),
                format!("        {sni}"),
                r#"            trusted_ca: { filename: "/a \"b\"/ca.pem" }"#.to_owned(),
                format!("            - {{ san_type: {kind}, matcher: {{ exact: \"{exact}\" }} }}"),
                format!("              socket_address: {{ {socket} }}"),
            ];
            assert_eq!(new_lines(&file, HTTPS), expected, "{url}");
            assert_eq!(file.lines().count(), HTTPS.lines().count(), "{url}");
        }
    }

    #[test]
    fn the_files_are_the_same_up_to_the_server_and_after_it() {
        let parts = |file| str::split_once(file, SERVER_LINE).unwrap();
        let after_the_title = |file: &'static str| parts(file).0.split_once('\n').unwrap().1;
        assert_eq!(after_the_title(HTTPS), after_the_title(ENVOY));
        assert_eq!(parts(WATCHING).1, parts(ENVOY).1);
        let file = envoy(&https(watching("envoy/reload/plugin.yaml"), "https://mcp.example.com/mcp")).unwrap();
        assert_eq!(parts(&file), (parts(WATCHING).0, parts(HTTPS).1));
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
        let https = https(options("{}"), "https://mcp.example.com/mcp");
        let tls: [&'static str; 5] =
            [TLS_UPSTREAM_LINE, TLS_HOST_LINE, TLS_NAME_LINE, TLS_AUTHORITIES_LINE, TLS_CERTIFICATE_LINE];
        let rows: [(&str, &Envoy<'_>, &[&'static str]); 3] = [
            (HTTPS, &https, &tls),
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
