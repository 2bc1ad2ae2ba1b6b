//! `mcp-policy render istio` and `render envoy-gateway`: from files to what a cluster is given.

use super::kubernetes::{self, Kind, Module, Object, Place, Target};
use super::outside;
use super::resource::{print, valid};
use super::template::RenderError;
use super::{Source, unusable};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct IstioArguments {
    #[command(flatten)]
    common: Common,
    /// The object that Istio is given
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin)]
    kind: Kind,
    /// The plugin, as a file of the proxy's
    #[arg(long, value_name = "PATH", group = "module")]
    file: Option<String>,
    /// Judge the traffic of this gateway (without any of the three: mcp-gateway)
    #[arg(long, value_name = "NAME", group = "target")]
    gateway: Option<String>,
    /// Judge the traffic of this service, at its waypoint
    #[arg(long, value_name = "NAME", group = "target")]
    service: Option<String>,
    /// Judge the traffic of pods with this label; more than once for more labels
    #[arg(long, value_name = "KEY=VALUE", group = "target")]
    selector: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct EnvoyGatewayArguments {
    #[command(flatten)]
    common: Common,
    /// Judge the traffic of this HTTPRoute
    #[arg(long, value_name = "NAME", default_value = kubernetes::DEFAULT_ROUTE)]
    route: String,
    /// The gateway that the route belongs to
    #[arg(long, value_name = "NAME", default_value = kubernetes::DEFAULT_GATEWAY)]
    gateway: String,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// What the objects are called
    #[arg(long, value_name = "NAME", default_value = kubernetes::DEFAULT_NAME)]
    name: String,
    /// Where they are
    #[arg(long, value_name = "NAME", default_value = kubernetes::DEFAULT_NAMESPACE)]
    namespace: String,
    /// An MCP server outside of the cluster, at an https:// address, to which the gateway is to lead
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The plugin, in an image
    #[arg(long, value_name = "REFERENCE", group = "module")]
    image: Option<String>,
    /// The plugin, at this address
    #[arg(long, value_name = "URL", group = "module")]
    url: Option<String>,
    /// The digest of the image, or the SHA-256 of the plugin
    #[arg(long, value_name = "DIGEST", requires = "module")]
    sha256: Option<String>,
}

/// Prints the object for Istio.
pub(super) fn istio(arguments: &IstioArguments) -> ExitCode {
    let gateway = arguments.gateway.as_deref().unwrap_or(kubernetes::DEFAULT_GATEWAY);
    let target = match (&arguments.service, arguments.selector.as_slice()) {
        (Some(service), _) => Target::Service(service),
        (None, []) => Target::Gateway(gateway),
        (None, labels) => Target::Pods(labels),
    };
    if arguments.common.upstream.is_some() && !matches!(target, Target::Gateway(_)) {
        return unusable("--upstream is for a gateway, which leads to it; name one with --gateway");
    }
    arguments.common.print(arguments.file.as_deref(), |object| {
        let plugin = kubernetes::istio(arguments.kind, &target, object)?;
        with(plugin, arguments.common.upstream.as_deref().map(|url| outside::istio(url, gateway, object)))
    })
}

/// Prints the objects for Envoy Gateway.
pub(super) fn envoy_gateway(arguments: &EnvoyGatewayArguments) -> ExitCode {
    let EnvoyGatewayArguments { common, route, gateway } = arguments;
    common.print(None, |object| {
        let plugin = kubernetes::envoy_gateway(route, gateway, object)?;
        with(plugin, common.upstream.as_deref().map(|url| outside::envoy_gateway(url, route, gateway, object)))
    })
}

/// The objects of the plugin, and those of the way to the server, if they are asked for.
fn with(plugin: String, way: Option<Result<String, RenderError>>) -> Result<String, RenderError> {
    Ok(match way {
        Some(way) => format!("{plugin}---\n{}", way?),
        None => plugin,
    })
}

impl Common {
    /// Prints the objects that `render` makes of these and of the plugin, which may also be in a `file`.
    fn print(&self, file: Option<&str>, render: impl FnOnce(&Object<'_>) -> Result<String, RenderError>) -> ExitCode {
        let (configuration, gate) = match valid(&self.source) {
            Ok(valid) => valid,
            Err(code) => return code,
        };
        // The objects have no field for the option of Envoy's that it needs.
        if gate.is_some_and(|gate| gate.settings.hold_request_headers) {
            let (path, _) = self.source.path();
            let why = "hold_request_headers must be false: here every call would hang with it";
            return unusable(format_args!("{}: {why}", path.display()));
        }
        let image = self.image.as_deref().map(Place::Image);
        let place = image.or(self.url.as_deref().map(Place::Url)).or(file.map(Place::File));
        print(render(&Object {
            name: &self.name,
            namespace: &self.namespace,
            module: place.map(|place| Module { place, sha256: self.sha256.as_deref() }),
            configuration: &configuration,
        }))
    }
}
