//! The address of an MCP server, as the command line takes it: `http[s]://host[:port][/path][?query]`.

use super::template::RenderError;
use std::net::Ipv6Addr;

/// An MCP server that is reached by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// A host name, or an IPv4 or IPv6 address without brackets.
    pub host: String,
    /// Its TCP port, from 1.
    pub port: u16,
    /// Whether by TLS.
    pub is_tls: bool,
    /// Where its MCP endpoint is, with the query if there is one; `/` when the URL named nothing. Envoy passes every
    /// path on as it came, so this only tells clients what to put behind Envoy's own address.
    pub path: String,
}

impl Default for Upstream {
    /// The server that the template names: `http://127.0.0.1:3001/mcp`.
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 3001, is_tls: false, path: "/mcp".to_owned() }
    }
}

/// Reads `http://host[:port][/path][?query]` or the same with `https`; without a port it is 80 or 443.
///
/// # Errors
/// [`RenderError::Value`] for whatever cannot be used.
pub fn parse_upstream(url: &str) -> Result<Upstream, RenderError> {
    parse_url("upstream", url)
}

/// The same for the address of something else, which errors call `option`.
pub(super) fn parse_url(option: &'static str, url: &str) -> Result<Upstream, RenderError> {
    let refuse = |why| RenderError::Value { option, value: url.to_owned(), why };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("must be like http://host:port/path"))?;
    let is_tls = scheme.eq_ignore_ascii_case("https");
    if !is_tls && !scheme.eq_ignore_ascii_case("http") {
        return Err(refuse("must begin with http:// or https://"));
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
        None if is_tls => 443,
        None => 80,
        // Digits only, because Rust's own reading would take "+80".
        Some(digits) if digits.chars().all(|character| character.is_ascii_digit()) => digits.parse().unwrap_or(0),
        Some(_) => 0,
    };
    if port == 0 {
        return Err(refuse("must have a port from 1 to 65535"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Upstream { host: host.to_owned(), port, is_tls, path })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams() {
        let upstream = |host: &str, port, path: &str| Upstream {
            host: host.to_owned(),
            port,
            is_tls: false,
            path: path.to_owned(),
        };
        let is = |host: &str, port, path: &str| Ok(upstream(host, port, path));
        let is_tls = |host: &str, port, path: &str| Ok(Upstream { is_tls: true, ..upstream(host, port, path) });
        let rows = [
            ("http://127.0.0.1:3001/mcp", is("127.0.0.1", 3001, "/mcp")),
            ("HTTP://tools.example", is("tools.example", 80, "/")),
            ("http://tools_1.example:8000/a/b?c=d:e", is("tools_1.example", 8000, "/a/b?c=d:e")),
            ("http://tools.example?c=/d", is("tools.example", 80, "/?c=/d")),
            ("http://[fd00::1]:65535/mcp", is("fd00::1", 65535, "/mcp")),
            ("http://[::1]", is("::1", 80, "/")),
            ("HTTPS://mcp.example.com/mcp", is_tls("mcp.example.com", 443, "/mcp")),
            ("https://[fd00::1]:8443", is_tls("fd00::1", 8443, "/")),
            ("https://mcp.example.com:80/", is_tls("mcp.example.com", 80, "/")),
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
            ("ws://host/mcp", "must begin with http:// or https://"),
            ("https://", "must name a host"),
            ("https://user:secret@host/", "must not hold a user name"),
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
