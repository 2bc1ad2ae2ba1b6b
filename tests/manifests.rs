//! The shipped configurations of Envoy, Istio and Envoy Gateway: each of the shape its platform takes, each with the
//! same policy, which the plugin accepts, and each fail closed.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use mcp_policy::config::{Gate, OnFailure, Role};
use mcp_policy::exchange::MAX_ANSWER_BYTES;
use serde_json::{Value, json};
use std::path::Path;

const ENVOY: &str = include_str!("../envoy/envoy.yaml");
const GRANTS: [(&str, &str); 4] = [
    ("bearer", include_str!("../envoy/grants-bearer.yaml")),
    ("header", include_str!("../envoy/grants-header.yaml")),
    ("jwt", include_str!("../envoy/grants-jwt.yaml")),
    ("mtls", include_str!("../envoy/grants-mtls.yaml")),
];
const RATE_LIMIT_SERVICE: &str = include_str!("../envoy/rate-limit-service.yaml");
const APPROVALS: &str = include_str!("../envoy/approvals.yaml");
const RELOAD: &str = include_str!("../envoy/reload/envoy.yaml");
const RELOAD_PLUGIN: &str = include_str!("../envoy/reload/plugin.yaml");
const ISTIO: &str = include_str!("../envoy/istio-wasmplugin.yaml");
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
    let spec = &yaml(ISTIO)["spec"];
    assert_eq!(spec["failStrategy"], "FAIL_RELOAD");
    assert_eq!(spec["pluginConfig"], policy());
    assert!(!load(&spec["pluginConfig"].to_string()).settings.hold_request_headers);
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
    for text in [ISTIO, ENVOY_GATEWAY] {
        let unquoted = text.replace(r#"version: "1""#, "version: 1");
        assert_ne!(unquoted, text);
        let manifest = yaml(&unquoted);
        let configuration = match &manifest["spec"]["pluginConfig"] {
            Value::Null => &manifest["spec"]["wasm"][0]["config"],
            istio => istio,
        };
        let problems = Gate::load(configuration.to_string().as_bytes()).expect_err("refused");
        assert!(problems.to_string().contains("version"), "{problems}");
    }
}

/// The schema of Istio's WasmPlugin as JSON Schema, in which, as in a cluster with strict validation, a field that it
/// does not know fails. None where this checkout has no reference shelf beside it.
fn wasm_plugin_schema() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/wasmplugin-crd.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no ../shared/reference/wasmplugin-crd.yaml, so Istio's schema is not at hand");
        return None;
    };
    let mut schema = yaml(&text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    // What each object of a cluster has, and its own schema does not mention.
    schema["properties"]["apiVersion"] = json!({ "const": "extensions.istio.io/v1alpha1" });
    schema["properties"]["kind"] = json!({ "const": "WasmPlugin" });
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "namespace": { "type": "string" } },
        "required": ["name"],
    });
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    close(&mut schema);
    Some(schema)
}

/// Makes every object of an OpenAPI structural schema refuse the fields that it does not name.
fn close(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    let is_open = members.contains_key("additionalProperties")
        || members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if members.get("type").is_some_and(|kind| kind == "object") && !is_open {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
    if let Some(items) = members.get_mut("items") {
        close(items);
    }
}

#[test]
fn istio_takes_the_manifest() {
    let Some(schema) = wasm_plugin_schema() else { return };
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors = |manifest: &Value| -> Vec<String> {
        validator.iter_errors(manifest).map(|error| format!("{}: {error}", error.instance_path())).collect()
    };
    let manifest = yaml(ISTIO);
    assert_eq!(errors(&manifest), [""; 0]);

    // That the check can fail: by a wrong value, a missing one, and a field that is not known, at each depth.
    type Break = fn(&mut Value);
    let rows: [(&str, Break); 7] = [
        ("unknown field of the object", |m| m["specs"] = json!({})),
        ("unknown field of the spec", |m| m["spec"]["allow_on_headers_stop_iteration"] = json!(true)),
        ("unknown field of a target", |m| m["spec"]["targetRefs"][0]["labels"] = json!({})),
        ("unknown strategy", |m| m["spec"]["failStrategy"] = json!("FAIL_CLOSED")),
        ("digest with its algorithm", |m| m["spec"]["sha256"] = json!("sha256:00")),
        ("configuration as text", |m| m["spec"]["pluginConfig"] = json!("{}")),
        ("no url", |m| drop(m["spec"].as_object_mut().map(|spec| spec.remove("url")))),
    ];
    for (name, change) in rows {
        let mut broken = manifest.clone();
        change(&mut broken);
        assert_eq!(errors(&broken).len(), 1, "{name}: {:?}", errors(&broken));
    }
    // The policy itself is free form for Istio; whether it is one is the plugin's to say, above.
    let mut other = manifest;
    other["spec"]["pluginConfig"]["anything"] = json!(1);
    assert_eq!(errors(&other), [""; 0]);
}
