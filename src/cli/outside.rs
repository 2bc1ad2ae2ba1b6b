//! A cluster's way to an MCP server outside of it that is reached by TLS: what `render istio` and
//! `render envoy-gateway` print besides, when they are given its URL.
//!
//! The templates are `envoy/istio-https.yaml` and `envoy/envoy-gateway-https.yaml`.

use super::kubernetes::{Object, checked_name};
use super::template::{RenderError, quoted, replace_line, replace_lines};
use super::upstream::{Upstream, parse_upstream};
use std::net::IpAddr;

const ISTIO: &str = include_str!("../../envoy/istio-https.yaml");
const ENVOY_GATEWAY: &str = include_str!("../../envoy/envoy-gateway-https.yaml");

/// The objects for Istio, by which `gateway` reaches the server at `url`.
///
/// # Errors
/// What is no name, and a URL that is not one of `https`.
pub fn istio(url: &str, gateway: &str, object: &Object<'_>) -> Result<String, RenderError> {
    let (host, port) = server(url)?;
    let file = fill(ISTIO, 3, gateway, object)?;
    let file =
        replace_lines(&file, r#"name: "mcp-policy""#, 3, &format!("name: {}", checked_name("name", object.name)?))?;
    let backend = format!("backendRefs: [ {{ group: networking.istio.io, kind: Hostname, name: {host}, port: 80 }} ]");
    let lines = [
        (r#"hosts: [ "mcp.example.com" ]"#, format!("hosts: [ {host} ]")),
        ("targetPort: 443", format!("targetPort: {port}")),
        (r#"host: "mcp.example.com""#, format!("host: {host}")),
        (r#"sni: "mcp.example.com""#, format!("sni: {host}")),
        (r#"subjectAltNames: [ "mcp.example.com" ]"#, format!("subjectAltNames: [ {host} ]")),
        (r#"urlRewrite: { hostname: "mcp.example.com" }"#, format!("urlRewrite: {{ hostname: {host} }}")),
        (
            r#"backendRefs: [ { group: networking.istio.io, kind: Hostname, name: "mcp.example.com", port: 80 } ]"#,
            backend,
        ),
    ];
    lines.into_iter().try_fold(file, |file, (known, line)| replace_line(&file, known, &line))
}

/// The objects for Envoy Gateway, among them the route of this name.
///
/// # Errors
/// As [`istio`].
pub fn envoy_gateway(url: &str, route: &str, gateway: &str, object: &Object<'_>) -> Result<String, RenderError> {
    let (host, port) = server(url)?;
    let (route, name) = (checked_name("route", route)?, checked_name("name", object.name)?);
    let file = fill(ENVOY_GATEWAY, 3, gateway, object)?;
    let file = replace_lines(&file, r#"name: "mcp-policy""#, 2, &format!("name: {name}"))?;
    let backend = |list: &str| format!("{list}: [ {{ group: gateway.envoyproxy.io, kind: Backend, name: {name} }} ]");
    let lines = [
        (r#"name: "mcp""#, format!("name: {route}")),
        (
            r#"- fqdn: { hostname: "mcp.example.com", port: 443 }"#,
            format!("- fqdn: {{ hostname: {host}, port: {port} }}"),
        ),
        (
            r#"targetRefs: [ { group: gateway.envoyproxy.io, kind: Backend, name: "mcp-policy" } ]"#,
            backend("targetRefs"),
        ),
        (r#"hostname: "mcp.example.com""#, format!("hostname: {host}")),
        (r#"urlRewrite: { hostname: "mcp.example.com" }"#, format!("urlRewrite: {{ hostname: {host} }}")),
        (
            r#"backendRefs: [ { group: gateway.envoyproxy.io, kind: Backend, name: "mcp-policy" } ]"#,
            backend("backendRefs"),
        ),
    ];
    lines.into_iter().try_fold(file, |file, (known, line)| replace_line(&file, known, &line))
}

fn fill(template: &str, objects: usize, gateway: &str, object: &Object<'_>) -> Result<String, RenderError> {
    let namespace = checked_name("namespace", object.namespace)?;
    let file = replace_lines(template, r#"namespace: "mcp""#, objects, &format!("namespace: {namespace}"))?;
    let gateway = checked_name("gateway", gateway)?;
    let parents = format!("parentRefs: [ {{ name: {gateway} }} ]");
    replace_line(&file, r#"parentRefs: [ { name: "mcp-gateway" } ]"#, &parents)
}

/// The server's name, in quotes, and its port.
fn server(url: &str) -> Result<(String, u16), RenderError> {
    let refuse = |why| RenderError::Value { option: "upstream", value: url.to_owned(), why };
    let Upstream { host, port, is_tls, path: _ } = parse_upstream(url)?;
    if !is_tls {
        return Err(refuse("must begin with https://: to a server in the cluster leads a route of your own"));
    }
    // As certificates spell names: without the dot by which DNS may end them.
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() || checked_name("upstream", &host).is_err() {
        return Err(refuse("must have a name that its certificate can have"));
    }
    Ok((quoted("upstream", &host)?, port))
}
