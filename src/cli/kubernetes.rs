//! `mcp-policy render istio` and `render envoy-gateway`: a plugin configuration, the place of the plugin and what it
//! judges for become the objects of a cluster.
//!
//! The templates are files of `envoy/`, as for `render envoy`; see [`super::render`]. Knows no files and no policy.

use super::flow;
use super::template::{RenderError, quoted, replace_block, replace_line, replace_lines};
use super::upstream::parse_url;
use std::collections::BTreeSet;

const WASM_PLUGIN: &str = include_str!("../../envoy/istio-wasmplugin.yaml");
const TRAFFIC_EXTENSION: &str = include_str!("../../envoy/istio-trafficextension.yaml");
const ENVOY_GATEWAY: &str = include_str!("../../envoy/envoy-gateway.yaml");

/// The lines of the templates that options replace, without their indentation.
const NAME_LINE: &str = r#"name: "mcp-policy""#;
const NAMESPACE_LINE: &str = r#"namespace: "mcp""#;
const GATEWAY_LINE: &str =
    r#"targetRefs: [ { group: gateway.networking.k8s.io, kind: Gateway, name: "mcp-gateway" } ]"#;
const ROUTE_LINE: &str = r#"targetRefs: [ { group: gateway.networking.k8s.io, kind: HTTPRoute, name: "mcp" } ]"#;
const ISTIO_URL_LINE: &str = r#"url: "oci://ghcr.io/OWNER/mcp-policy:0.1.0""#;
const IMAGE_TYPE_LINE: &str = "type: Image";
const IMAGE_LINE: &str = "image:";
const IMAGE_URL_LINE: &str = r#"url: "ghcr.io/OWNER/mcp-policy:0.1.0""#;
const SHA256_LINE: &str = r#"sha256: "0000000000000000000000000000000000000000000000000000000000000000""#;
const ISTIO_CONFIGURATION_LINE: &str = "pluginConfig:";
const ENVOY_GATEWAY_CONFIGURATION_LINE: &str = "config:";

/// What the objects of the templates are called, and where they are.
pub const DEFAULT_NAME: &str = "mcp-policy";
/// See [`DEFAULT_NAME`].
pub const DEFAULT_NAMESPACE: &str = "mcp";
/// What they are for.
pub const DEFAULT_GATEWAY: &str = "mcp-gateway";
/// See [`DEFAULT_GATEWAY`].
pub const DEFAULT_ROUTE: &str = "mcp";

/// What every platform is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// The name of each object.
    pub name: &'a str,
    /// Where they are.
    pub namespace: &'a str,
    /// The plugin; without one the template's own stays, which no registry has.
    pub module: Option<Module<'a>>,
    /// The plugin configuration as JSON text: the object form, or a bare policy.
    pub configuration: &'a str,
}

/// The plugin, and how it is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// The digest of the image, or of the plugin itself, in hexadecimal; an image may have it in its reference.
    pub sha256: Option<&'a str>,
}

/// Where the plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In an image, with or without `oci://`.
    Image(&'a str),
    /// At an address.
    Url(&'a str),
    /// In a file of the proxy's.
    File(&'a str),
}

/// Which of Istio's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// WasmPlugin, which every Istio has.
    WasmPlugin,
    /// TrafficExtension, which takes its place from Istio 1.30 on.
    TrafficExtension,
}

/// Whose traffic the plugin judges on Istio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// A gateway's.
    Gateway(&'a str),
    /// That of a service behind a waypoint.
    Service(&'a str),
    /// That of the pods that have all these labels, each as `KEY=VALUE`.
    Pods(&'a [String]),
}

/// The object for Istio.
///
/// # Errors
/// What cannot be a name or a digest, or what YAML cannot hold.
pub fn istio(kind: Kind, target: &Target<'_>, object: &Object<'_>) -> Result<String, RenderError> {
    let template = match kind {
        Kind::WasmPlugin => WASM_PLUGIN,
        Kind::TrafficExtension => TRAFFIC_EXTENSION,
    };
    let target = match target {
        Target::Gateway(name) => gateway(name)?,
        Target::Service(name) => {
            format!("targetRefs: [ {{ group: \"\", kind: Service, name: {} }} ]", checked_name("service", name)?)
        }
        Target::Pods(labels) => {
            let keys = labels.iter().map(|label| label.split('=').next());
            if keys.collect::<BTreeSet<_>>().len() < labels.len() {
                return Err(refused("selector", &labels.join(" "), "must have each label once"));
            }
            let labels = labels.iter().map(|label| self::label(label)).collect::<Result<Vec<_>, _>>()?;
            format!("selector: {{ matchLabels: {{ {} }} }}", labels.join(", "))
        }
    };
    let mut file = fill_metadata(template, 1, object)?;
    file = replace_line(&file, GATEWAY_LINE, &target)?;
    if let Some(module) = &object.module {
        let url = match module.place {
            Place::Image(reference) => format!("oci://{}", image(reference)?),
            Place::Url(url) => address(url)?.to_owned(),
            Place::File(path) => format!("file://{}", absolute(path)?),
        };
        file = replace_line(&file, ISTIO_URL_LINE, &format!("url: {}", quoted("address of the plugin", &url)?))?;
        file = replace_line(&file, SHA256_LINE, &format!("sha256: \"{}\"", module.digest()?))?;
    }
    // The last, because its lines are another person's text.
    replace_block(&file, ISTIO_CONFIGURATION_LINE, &flow::yaml(object.configuration)?)
}

/// The objects for Envoy Gateway, by the names of the route and of the gateway that it belongs to.
///
/// # Errors
/// As [`istio`].
pub fn envoy_gateway(route: &str, gateway: &str, object: &Object<'_>) -> Result<String, RenderError> {
    let route = format!(
        "targetRefs: [ {{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: {} }} ]",
        checked_name("route", route)?
    );
    let mut file = fill_metadata(ENVOY_GATEWAY, 2, object)?;
    file = replace_line(&file, ROUTE_LINE, &route)?;
    file = replace_line(&file, GATEWAY_LINE, &self::gateway(gateway)?)?;
    if let Some(module) = &object.module {
        let url = match module.place {
            Place::Image(reference) => image(reference)?,
            Place::Url(url) => {
                file = replace_line(&file, IMAGE_TYPE_LINE, "type: HTTP")?;
                file = replace_line(&file, IMAGE_LINE, "http:")?;
                address(url)?
            }
            Place::File(path) => return Err(refused("file", path, "is not a place from which Envoy Gateway loads")),
        };
        file = replace_line(&file, IMAGE_URL_LINE, &format!("url: {}", quoted("address of the plugin", url)?))?;
        file = replace_line(&file, SHA256_LINE, &format!("sha256: \"{}\"", module.digest()?))?;
    }
    replace_block(&file, ENVOY_GATEWAY_CONFIGURATION_LINE, &flow::yaml(object.configuration)?)
}

fn fill_metadata(template: &str, objects: usize, object: &Object<'_>) -> Result<String, RenderError> {
    let name = checked_name("name", object.name)?;
    let namespace = checked_name("namespace", object.namespace)?;
    if object.namespace.contains('.') || object.namespace.len() > 63 {
        return Err(refused("namespace", object.namespace, "must have no dots, and 63 characters at most"));
    }
    let file = replace_lines(template, NAME_LINE, objects, &format!("name: {name}"))?;
    replace_lines(&file, NAMESPACE_LINE, objects, &format!("namespace: {namespace}"))
}

fn gateway(name: &str) -> Result<String, RenderError> {
    let name = checked_name("gateway", name)?;
    Ok(format!("targetRefs: [ {{ group: gateway.networking.k8s.io, kind: Gateway, name: {name} }} ]"))
}

impl Module<'_> {
    /// The digest, which is also there when it is part of the reference.
    fn digest(&self) -> Result<&str, RenderError> {
        let in_reference = match self.place {
            Place::Image(reference) => reference.rsplit_once("@sha256:").map(|(_, digest)| digest),
            Place::Url(_) | Place::File(_) => None,
        };
        let digest = match (self.sha256, in_reference) {
            (Some(given), Some(other)) if given != other => {
                return Err(refused("digest", given, "is not the one in the image's reference"));
            }
            (Some(digest), _) | (None, Some(digest)) => digest,
            (None, None) => {
                let (Place::Image(place) | Place::Url(place) | Place::File(place)) = self.place;
                return Err(refused("plugin", place, "needs its digest: --sha256, by which the proxy knows it again"));
            }
        };
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if digest.len() == 64 && digest.chars().all(is_digit) {
            Ok(digest)
        } else {
            Err(refused("digest", digest, "must be 64 hexadecimal digits, in lower case"))
        }
    }
}

fn refused(option: &'static str, value: &str, why: &'static str) -> RenderError {
    RenderError::Value { option, value: value.to_owned(), why }
}

/// A name as Kubernetes has them (RFC 1123), in quotes: `1` and `true` are names too.
pub(super) fn checked_name(option: &'static str, name: &str) -> Result<String, RenderError> {
    let is_inside = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(is_inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        quoted(option, name)
    } else {
        Err(refused(option, name, "must be a name in Kubernetes: lower-case letters, digits and, inside, - and dots"))
    }
}

/// `KEY=VALUE` as a member of a flow mapping.
fn label(label: &str) -> Result<String, RenderError> {
    let refuse = || refused("selector", label, "must be a label in Kubernetes, like app=mcp-server");
    let (key, value) = label.split_once('=').ok_or_else(refuse)?;
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_word = |word: &str| {
        word.len() <= 63
            && word.chars().all(is_inside)
            && is_end(word.chars().next())
            && is_end(word.chars().next_back())
    };
    let is_good = is_word(name) && (value.is_empty() || is_word(value));
    if !is_good || prefix.is_some_and(|prefix| checked_name("selector", prefix).is_err()) {
        return Err(refuse());
    }
    Ok(format!("{}: {}", quoted("selector", key)?, quoted("selector", value)?))
}

/// The reference of an image, without its scheme. Strict, because Istio loads no plugin at all, and lets every call
/// pass, where it cannot read the address as a URL.
fn image(reference: &str) -> Result<&str, RenderError> {
    let bare = reference.strip_prefix("oci://").unwrap_or(reference);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| is_name(c) || matches!(c, '_' | ':' | '@'))
    };
    let is_good = bare.split_once('/').is_some_and(|(registry, path)| {
        let (host, port) = registry.split_once(':').unwrap_or((registry, "443"));
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        // A tag may have capitals, the name before it not: registries and proxies refuse it.
        let name = path.split([':', '@']).next().unwrap_or(path);
        let is_lower = !name.contains(|c: char| c.is_ascii_uppercase());
        is_part(host) && host.chars().all(is_name) && is_port && path.split('/').all(is_part) && is_lower
    });
    if is_good {
        Ok(bare)
    } else {
        Err(refused("image", reference, "must be like registry.example.com/mcp-policy:1.0.0, in lower case"))
    }
}

/// The URL of the plugin; as strict.
fn address(url: &str) -> Result<&str, RenderError> {
    const OPTION: &str = "address of the plugin";
    parse_url(OPTION, url)?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._~:/?[]@!$&'()*+,;=%".contains(c);
    let is_escape = |after: &str| after.chars().take(2).filter(char::is_ascii_hexdigit).count() == 2;
    if url.chars().all(is_good) && url.split('%').skip(1).all(is_escape) {
        Ok(url)
    } else {
        Err(refused(OPTION, url, "must have %XX for whatever URLs do not hold"))
    }
}

fn absolute(path: &str) -> Result<&str, RenderError> {
    // It is part of a URL, in which others mean something else.
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '+' | '~');
    if path.starts_with('/') && path.chars().all(is_good) {
        Ok(path)
    } else {
        Err(refused("file", path, "must be an absolute path of letters, digits, and . - _ + ~"))
    }
}
