//! The shipped configurations of Envoy, Istio and Envoy Gateway: each of the shape its platform takes, each with the
//! same policy, which the plugin accepts, and each fail closed.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use mcp_policy::config::{Gate, OnFailure, Role};
use mcp_policy::exchange::MAX_ANSWER_BYTES;
use serde_json::{Value, json};

const ENVOY: &str = include_str!("../envoy/envoy.yaml");
const GRANTS: [(&str, &str); 4] = [
    ("bearer", include_str!("../envoy/grants-bearer.yaml")),
    ("header", include_str!("../envoy/grants-header.yaml")),
    ("jwt", include_str!("../envoy/grants-jwt.yaml")),
    ("mtls", include_str!("../envoy/grants-mtls.yaml")),
];
const RATE_LIMIT_SERVICE: &str = include_str!("../envoy/rate-limit-service.yaml");
const APPROVALS: &str = include_str!("../envoy/approvals.yaml");
const HTTPS: &str = include_str!("../envoy/https.yaml");
const RELOAD: &str = include_str!("../envoy/reload/envoy.yaml");
const RELOAD_PLUGIN: &str = include_str!("../envoy/reload/plugin.yaml");
const ISTIO: &str = include_str!("../envoy/istio-wasmplugin.yaml");
const TRAFFIC_EXTENSION: &str = include_str!("../envoy/istio-trafficextension.yaml");
const ENVOY_GATEWAY: &str = include_str!("../envoy/envoy-gateway.yaml");
const POLICY: &str = include_str!("../policies/reference-server.json");

/// The first document of a file.
fn yaml(text: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    documents.into_iter().next().expect("a document")
}

/// The plugin's gate, as the platform would load it from `configuration`.
fn load(configuration: &str) -> Gate {
    Gate::load(configuration.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\nin {configuration}"))
}

fn policy() -> Value {
    serde_json::from_str(POLICY).expect("JSON")
}

/// The filter's configuration in Envoy's file.
fn filter(envoy: &Value) -> &Value {
    let connection_manager = &envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    &connection_manager["typed_config"]["http_filters"][0]["typed_config"]["config"]
}

#[test]
fn envoy_serves_the_policy_with_held_headers_and_fails_closed() {
    let envoy = yaml(ENVOY);
    let filter = filter(&envoy);
    assert_eq!(filter["failure_policy"], "FAIL_RELOAD");
    assert_eq!(filter["configuration"]["@type"], "type.googleapis.com/google.protobuf.StringValue");

    let configuration = filter["configuration"]["value"].as_str().expect("a text");
    let gate = load(configuration);
    assert!(gate.settings.hold_request_headers);
    assert_eq!(filter["allow_on_headers_stop_iteration"], gate.settings.hold_request_headers);
    let value: Value = serde_json::from_str(configuration).expect("JSON");
    assert_eq!(value["policies"]["default"], policy());

    // Else Envoy's own plain 413 or 500 would answer what the plugin is to answer.
    let held =
        envoy["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"].as_u64().expect("a number");
    let limit = MAX_ANSWER_BYTES.max(gate.settings.max_body_bytes);
    assert!(held > limit as u64, "Envoy holds {held} bytes, the plugin judges {limit}");
}

#[test]
fn the_examples_of_grants_differ_from_it_in_who_calls_and_fail_closed_like_it() {
    let reference = yaml(ENVOY);
    for (name, text) in GRANTS {
        let envoy = yaml(text);
        let connection_manager = &envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        let filters = connection_manager["typed_config"]["http_filters"].as_array().expect("a list");
        let filter = filters.iter().find(|filter| filter["name"] == "envoy.filters.http.wasm").expect("the plugin");
        let mut filter = filter["typed_config"]["config"].clone();
        let configuration = filter["configuration"]["value"].take();
        let mut expected = self::filter(&reference).clone();
        expected["configuration"]["value"].take();
        assert_eq!(filter, expected, "{name}");
        assert_eq!(envoy["static_resources"]["clusters"], reference["static_resources"]["clusters"], "{name}");

        let gate = load(configuration.as_str().expect("a text"));
        assert!(gate.settings.hold_request_headers, "{name}");
        assert!(gate.default_policy().is_none(), "{name}: a caller without a grant is refused");
        assert_eq!(gate.policies().count(), 2, "{name}");
    }
}

#[test]
fn the_example_of_a_rate_limit_service_differs_from_it_in_who_counts() {
    let (reference, envoy) = (yaml(ENVOY), yaml(RATE_LIMIT_SERVICE));
    let (mut filter, mut expected) = (filter(&envoy).clone(), filter(&reference).clone());
    expected["configuration"]["value"].take();
    let configuration = filter["configuration"]["value"].take();
    assert_eq!(filter, expected);
    let [server, service] = envoy["static_resources"]["clusters"].as_array().expect("a list").as_slice() else {
        panic!("two clusters")
    };
    assert_eq!(*server, reference["static_resources"]["clusters"][0]);

    let gate = load(configuration.as_str().expect("a text"));
    assert!(gate.settings.hold_request_headers);
    let limits = gate.limits.service().expect("a service");
    assert_eq!((service["name"].as_str(), limits.on_failure), (Some(limits.cluster.as_str()), OnFailure::Deny));
    let options =
        &service["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert_eq!(options["explicit_http_config"]["http2_protocol_options"], json!({}), "gRPC needs HTTP/2");
}

#[test]
fn the_example_of_approvals_differs_from_it_in_a_second_listener_that_serves_the_admin_side() {
    let (reference, envoy) = (yaml(ENVOY), yaml(APPROVALS));
    let (mut filter, mut expected) = (filter(&envoy).clone(), filter(&reference).clone());
    expected["configuration"]["value"].take();
    let configuration = filter["configuration"]["value"].take();
    assert_eq!(filter, expected);
    assert_eq!(envoy["static_resources"]["clusters"], reference["static_resources"]["clusters"]);
    assert!(load(configuration.as_str().expect("a text")).settings.hold_request_headers);

    let admin = &envoy["static_resources"]["listeners"][1];
    assert_eq!(admin["address"]["socket_address"]["address"], "127.0.0.1", "whoever reaches it may try tokens");
    let manager = &admin["filter_chains"][0]["filters"][0]["typed_config"];
    let plugin = &manager["http_filters"][0]["typed_config"]["config"];
    for member in ["vm_config", "failure_policy", "allow_on_headers_stop_iteration"] {
        assert_eq!(plugin[member], expected[member], "{member}");
    }
    let text = plugin["configuration"]["value"].as_str().expect("a text");
    assert!(matches!(Role::load(text.as_bytes()), Ok(Role::Admin(_))));
    let route = &manager["route_config"]["virtual_hosts"][0]["routes"][0];
    assert_eq!(route["direct_response"]["status"], 404, "nothing of it goes upstream");
}

#[test]
fn the_example_of_an_https_server_differs_from_it_in_how_the_server_is_reached() {
    let (mut reference, envoy) = (yaml(ENVOY), yaml(HTTPS));
    let (server, expected) = (&envoy["static_resources"]["clusters"][0], &reference["static_resources"]["clusters"][0]);
    for member in ["name", "type", "dns_lookup_family", "connect_timeout"] {
        assert_eq!(server[member], expected[member], "{member}");
    }
    let validation = &server["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"];
    // Without either of them any certificate would do.
    assert!(validation["trusted_ca"]["filename"].is_string());
    let endpoint = &server["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    let host = &endpoint["address"]["socket_address"]["address"];
    assert_eq!(
        validation["match_typed_subject_alt_names"],
        json!([{ "san_type": "DNS", "matcher": { "exact": host } }])
    );
    assert_eq!(server["transport_socket"]["typed_config"]["sni"], *host);

    let virtual_host =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0";
    let mut hosts = envoy.clone();
    let route = hosts.pointer_mut(virtual_host).expect("a host").take();
    reference.pointer_mut(virtual_host).expect("a host").take();
    assert_eq!(hosts["static_resources"]["listeners"], reference["static_resources"]["listeners"]);
    // The server is told its own name, so that only Envoy can refuse others.
    assert_eq!(route["routes"][0]["route"]["host_rewrite_literal"], *host);
    assert_eq!(route["domains"], json!(["127.0.0.1", "127.0.0.1:*", "localhost", "localhost:*"]));
}

#[test]
fn the_example_of_a_reload_differs_from_it_in_where_the_plugin_is() {
    let (reference, mut envoy) = (yaml(ENVOY), yaml(RELOAD));
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    let plugin = reference.pointer(filters).expect("the plugin").clone();
    let discovered = std::mem::replace(envoy.pointer_mut(filters).expect("the plugin"), plugin.clone());
    assert_eq!(envoy["static_resources"], reference["static_resources"]);

    let resource = &yaml(RELOAD_PLUGIN)["resources"][0];
    assert_eq!(resource["name"], discovered["name"]);
    assert_eq!(resource["typed_config"], plugin["typed_config"]);
    let discovery = &discovered["config_discovery"];
    // Either of these would let calls pass while there is no policy.
    assert_eq!((&discovery["default_config"], &discovered["is_optional"]), (&Value::Null, &Value::Null));
    assert_eq!(discovery["type_urls"], json!([plugin["typed_config"]["@type"]]));
}

#[test]
fn istio_serves_the_policy_without_held_headers_and_fails_closed() {
    for plugin in [&yaml(ISTIO)["spec"], &yaml(TRAFFIC_EXTENSION)["spec"]["wasm"]] {
        assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
        assert_eq!(plugin["pluginConfig"], policy());
        assert!(!load(&plugin["pluginConfig"].to_string()).settings.hold_request_headers);
    }
}

#[test]
fn envoy_gateway_serves_the_policy_without_held_headers_and_fails_closed() {
    let manifest = yaml(ENVOY_GATEWAY);
    let wasm = &manifest["spec"]["wasm"][0];
    assert_eq!(wasm["failOpen"], false);
    assert_eq!(wasm["config"], policy());
    assert!(!load(&wasm["config"].to_string()).settings.hold_request_headers);
}

#[test]
fn a_version_without_its_quotes_is_refused_as_the_manifests_say() {
    for (text, place) in [
        (ISTIO, "/spec/pluginConfig"),
        (TRAFFIC_EXTENSION, "/spec/wasm/pluginConfig"),
        (ENVOY_GATEWAY, "/spec/wasm/0/config"),
    ] {
        let unquoted = text.replace(r#""version": "1""#, r#""version": 1"#);
        assert_ne!(unquoted, text);
        let manifest = yaml(&unquoted);
        let configuration = manifest.pointer(place).expect("a configuration");
        let problems = Gate::load(configuration.to_string().as_bytes()).expect_err("refused");
        assert!(problems.to_string().contains("version"), "{problems}");
    }
}
