//! Istio's own schema, which what is rendered for it passes.

use super::{IMAGE, PLATFORMS, POLICY, digest, documents, object};
use serde_json::{Value, json};
use std::path::Path;

/// The schemas of Istio's objects as JSON Schema, in which, as in a cluster with strict validation, an unknown field
/// fails: WasmPlugin's own, and TrafficExtension's, which has the same fields, those of the plugin in `wasm`. None where
/// this checkout has no reference shelf beside it.
fn istio_schemas() -> Option<[Value; 2]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/wasmplugin-crd.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no ../shared/reference/wasmplugin-crd.yaml, so Istio's schema is not at hand");
        return None;
    };
    let wasm_plugin = documents(&text)[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let mut traffic_extension = wasm_plugin.clone();
    let spec = traffic_extension["properties"]["spec"].as_object_mut().expect("a schema");
    let mut plugin = spec.clone();
    let own = ["selector", "targetRefs", "phase", "priority", "match"];
    let of_plugin = |field: &str| !own.contains(&field) && field != "targetRef";
    for (schema, is_in_it) in [(&mut *spec, false), (&mut plugin, true)] {
        let fields = schema["properties"].as_object_mut().expect("fields");
        fields.retain(|field, _| if is_in_it { of_plugin(field) } else { own.contains(&field.as_str()) });
    }
    spec["properties"]["wasm"] = Value::Object(plugin);
    spec.insert("required".to_owned(), json!(["wasm"]));
    Some([("WasmPlugin", wasm_plugin), ("TrafficExtension", traffic_extension)].map(|(kind, mut schema)| {
        // What each object of a cluster has, and its own schema does not mention.
        schema["properties"]["apiVersion"] = json!({ "const": "extensions.istio.io/v1alpha1" });
        schema["properties"]["kind"] = json!({ "const": kind });
        schema["properties"]["metadata"] = json!({
            "type": "object",
            "properties": { "name": { "type": "string" }, "namespace": { "type": "string" } },
            "required": ["name"],
        });
        schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
        close(&mut schema);
        schema
    }))
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

fn errors(schema: &Value, object: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The file in `MCP_POLICY_MANIFEST`, which `scripts/getting-started.sh` has had rendered.
#[test]
fn the_manifest_that_is_named_is_what_istio_takes() {
    let Some(file) = std::env::var_os("MCP_POLICY_MANIFEST") else { return };
    let Some([wasm_plugin, _]) = istio_schemas() else { return };
    let text = std::fs::read_to_string(file).expect("a file");
    assert_eq!(errors(&wasm_plugin, &documents(&text)[0]), [""; 0]);
}

#[test]
fn istio_takes_what_is_rendered() {
    let Some(schemas) = istio_schemas() else { return };
    let (a, reference) = (digest("a"), format!("oci://{IMAGE}@sha256:{}", digest("b")));
    let rows: [&[&str]; 6] = [
        &[],
        &["--image", IMAGE, "--sha256", &a, "--gateway", "edge", "--name", "true", "--namespace", "1"],
        &["--image", &reference, "--service", "mcp.a"],
        &["--url", "https://example.com/mcp_policy.wasm?v=1&a='b'", "--sha256", &a, "--selector", "app=mcp"],
        &["--file", "/etc/envoy/mcp_policy.wasm", "--sha256", &a, "--selector", "a.b/c=", "--selector", "x=1.0"],
        &["--gateway", "null"],
    ];
    for arguments in rows {
        for ((platform, _), schema) in PLATFORMS.iter().zip(&schemas) {
            let object = object(platform, &[&["--policy", POLICY], arguments].concat());
            assert_eq!(errors(schema, &object), [""; 0], "{platform:?} {arguments:?}");
        }
    }

    // That the check can fail: by a wrong value, a missing one, and a field that is not known, at each depth.
    type Break = fn(&mut Value, &str);
    let rows: [(&str, Break); 7] = [
        ("unknown field of the object", |m, _| m["specs"] = json!({})),
        ("unknown field of the plugin", |m, plugin| {
            m.pointer_mut(plugin).expect("a plugin")["allow_on_headers_stop_iteration"] = json!(true);
        }),
        ("unknown field of a target", |m, _| m["spec"]["targetRefs"][0]["labels"] = json!({})),
        ("unknown strategy", |m, plugin| {
            m.pointer_mut(plugin).expect("a plugin")["failStrategy"] = json!("FAIL_CLOSED")
        }),
        ("digest with its algorithm", |m, plugin| {
            m.pointer_mut(plugin).expect("a plugin")["sha256"] = json!("sha256:0")
        }),
        ("configuration as text", |m, plugin| m.pointer_mut(plugin).expect("a plugin")["pluginConfig"] = json!("{}")),
        ("no url", |m, plugin| {
            m.pointer_mut(plugin).and_then(Value::as_object_mut).expect("a plugin").remove("url");
        }),
    ];
    for ((platform, place), schema) in PLATFORMS.iter().zip(&schemas) {
        let whole = object(platform, &["--policy", POLICY]);
        let plugin = place.strip_suffix("/pluginConfig").expect("Istio's");
        for (name, change) in rows {
            let mut broken = whole.clone();
            change(&mut broken, plugin);
            assert_eq!(errors(schema, &broken).len(), 1, "{name}: {:?}", errors(schema, &broken));
        }
        // The policy itself is free form for Istio; whether it is one is the plugin's to say.
        let mut other = whole;
        other.pointer_mut(place).expect("a configuration")["anything"] = json!(1);
        assert_eq!(errors(schema, &other), [""; 0]);
    }
}
