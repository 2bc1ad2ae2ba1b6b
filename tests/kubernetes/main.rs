//! `mcp-policy render istio` and `render envoy-gateway`: what comes out is what the platform takes, fails closed, and
//! holds for any policy exactly that policy.
#![cfg(not(target_arch = "wasm32"))]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod schema;
mod texts;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const POLICY: &str = "policies/reference-server.json";
const IMAGE: &str = "registry.example.com/team/mcp-policy:1.0.0";

/// Each object that holds the plugin: how it is asked for, and where its configuration is.
const PLATFORMS: [(&[&str], &str); 3] = [
    (&["istio"], "/spec/pluginConfig"),
    (&["istio", "--kind", "traffic-extension"], "/spec/wasm/pluginConfig"),
    (&["envoy-gateway"], "/spec/wasm/0/config"),
];

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.arg("render").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("the command runs")
}

/// What is printed, which must be all there is to say.
fn rendered(platform: &[&str], arguments: &[&str]) -> String {
    let output = run(&[platform, arguments].concat());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{platform:?} {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\nin {text}"))
}

/// The first object that is printed.
fn object(platform: &[&str], arguments: &[&str]) -> Value {
    documents(&rendered(platform, arguments)).swap_remove(0)
}

/// A file of this test's own.
fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a writable directory");
    path
}

fn digest(digit: &str) -> String {
    digit.repeat(64)
}

#[test]
fn the_defaults_give_the_shipped_files() {
    let files = [
        include_str!("../../envoy/istio-wasmplugin.yaml"),
        include_str!("../../envoy/istio-trafficextension.yaml"),
        include_str!("../../envoy/envoy-gateway.yaml"),
    ];
    for ((platform, _), file) in PLATFORMS.iter().zip(files) {
        assert_eq!(rendered(platform, &["--policy", POLICY]), file, "{platform:?}");
    }
}

#[test]
fn every_option_arrives_on_istio() {
    let (a, b) = (digest("a"), digest("b"));
    let reference = format!("oci://{IMAGE}@sha256:{b}");
    let in_reference = format!("{IMAGE}@sha256:{b}");
    let url = "https://example.com:8443/a%20b's?x=[1]&y=*";
    let gateway = |name: &str| json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name }]);
    let rows: [(&[&str], &str, &str, Value, Value); 5] = [
        (
            &["--image", IMAGE, "--sha256", &a, "--gateway", "123"],
            &format!("oci://{IMAGE}"),
            &a,
            gateway("123"),
            json!(null),
        ),
        (&["--image", &reference], &reference, &b, gateway("mcp-gateway"), json!(null)),
        (
            &["--image", &in_reference, "--sha256", &b, "--service", "tools"],
            &reference,
            &b,
            json!([{ "group": "", "kind": "Service", "name": "tools" }]),
            json!(null),
        ),
        (
            &["--url", url, "--sha256", &a, "--selector", "app.kubernetes.io/name=mcp", "--selector", "on=yes"],
            url,
            &a,
            json!(null),
            json!({ "matchLabels": { "app.kubernetes.io/name": "mcp", "on": "yes" } }),
        ),
        (
            &["--file", "/opt/mcp_policy.wasm", "--sha256", &a, "--selector", "null="],
            "file:///opt/mcp_policy.wasm",
            &a,
            json!(null),
            json!({ "matchLabels": { "null": "" } }),
        ),
    ];
    for (arguments, url, sha256, targets, selector) in rows {
        for (platform, place) in &PLATFORMS[..2] {
            let common = ["--policy", POLICY, "--name", "a.b", "--namespace", "007"];
            let object = object(platform, &[&common, arguments].concat());
            let plugin = object.pointer(place.strip_suffix("/pluginConfig").expect("Istio's")).expect("a plugin");
            assert_eq!(object["metadata"], json!({ "name": "a.b", "namespace": "007" }), "{arguments:?}");
            assert_eq!((&plugin["url"], &plugin["sha256"]), (&json!(url), &json!(sha256)), "{arguments:?}");
            let spec = &object["spec"];
            assert_eq!((&spec["targetRefs"], &spec["selector"]), (&targets, &selector), "{arguments:?}");
            assert_eq!(plugin["failStrategy"], "FAIL_RELOAD", "{arguments:?}");
        }
    }
}

#[test]
fn every_option_arrives_on_envoy_gateway() {
    let a = digest("a");
    let url = "https://example.com/mcp_policy.wasm";
    let oci = format!("oci://{IMAGE}");
    let image = json!({ "type": "Image", "image": { "url": IMAGE, "sha256": a } });
    let rows: [(&[&str], Value); 3] = [
        (&["--image", IMAGE, "--sha256", &a], image.clone()),
        (&["--image", &oci, "--sha256", &a], image),
        (&["--url", url, "--sha256", &a], json!({ "type": "HTTP", "http": { "url": url, "sha256": a } })),
    ];
    for (arguments, code) in rows {
        let common = ["--policy", POLICY, "--name", "1", "--namespace", "a", "--route", "true", "--gateway", "2"];
        let text = rendered(&["envoy-gateway"], &[&common, arguments].concat());
        let documents = documents(&text);
        let [extension, traffic] = documents.as_slice() else { panic!("two objects: {text}") };
        let target =
            |kind: &str, name: &str| json!([{ "group": "gateway.networking.k8s.io", "kind": kind, "name": name }]);
        for (object, kind, targets) in [
            (extension, "EnvoyExtensionPolicy", target("HTTPRoute", "true")),
            (traffic, "ClientTrafficPolicy", target("Gateway", "2")),
        ] {
            assert_eq!(object["apiVersion"], "gateway.envoyproxy.io/v1alpha1");
            assert_eq!(object["kind"], kind);
            assert_eq!(object["metadata"], json!({ "name": "1", "namespace": "a" }));
            assert_eq!(object["spec"]["targetRefs"], targets);
        }
        let plugin = &extension["spec"]["wasm"][0];
        assert_eq!((&plugin["code"], &plugin["failOpen"]), (&code, &json!(false)));
        assert_eq!(traffic["spec"]["connection"], json!({ "bufferLimit": "17Mi" }));
    }
}

#[test]
fn the_way_to_a_server_outside_is_printed_besides_and_holds_its_certificate_against_its_name() {
    let shipped = [
        include_str!("../../envoy/istio-https.yaml"),
        include_str!("../../envoy/istio-https.yaml"),
        include_str!("../../envoy/envoy-gateway-https.yaml"),
    ];
    for ((platform, _), shipped) in PLATFORMS.iter().zip(shipped) {
        let plugin = rendered(platform, &["--policy", POLICY]);
        let both = rendered(platform, &["--policy", POLICY, "--upstream", "https://mcp.example.com/mcp"]);
        assert_eq!(both, format!("{plugin}---\n{shipped}"), "{platform:?}");
    }

    let host = "123.tools.example";
    let common = ["--policy", POLICY, "--upstream", "https://123.Tools.example.:8443/x", "--gateway", "true"];
    let named = ["--name", "007", "--namespace", "1"];
    let objects = documents(&rendered(&["istio"], &[&common[..], &named].concat()));
    let [_, entry, rule, route] = objects.as_slice() else { panic!("four objects: {objects:?}") };
    assert_eq!(entry["spec"]["hosts"], json!([host]));
    assert_eq!(
        (&entry["spec"]["ports"][0]["number"], &entry["spec"]["ports"][0]["targetPort"]),
        (&json!(80), &json!(8443))
    );
    assert_eq!(rule["spec"]["host"], host);
    let port = &rule["spec"]["trafficPolicy"]["portLevelSettings"][0];
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    let tls = json!({ "mode": "SIMPLE", "sni": host, "caCertificates": authorities, "subjectAltNames": [host] });
    assert_eq!(*port, json!({ "port": { "number": 80 }, "tls": tls }));
    let backend = json!([{ "group": "networking.istio.io", "kind": "Hostname", "name": host, "port": 80 }]);
    check_route(route, "007", host, &backend);
    assert!(objects.iter().all(|object| object["metadata"] == json!({ "name": "007", "namespace": "1" })));

    let objects = documents(&rendered(&["envoy-gateway"], &[&common[..], &named, &["--route", "9"]].concat()));
    let [_, _, backend, policy, route] = objects.as_slice() else { panic!("five objects: {objects:?}") };
    assert_eq!(backend["spec"]["endpoints"], json!([{ "fqdn": { "hostname": host, "port": 8443 } }]));
    let target = json!([{ "group": "gateway.envoyproxy.io", "kind": "Backend", "name": "007" }]);
    assert_eq!(policy["spec"]["targetRefs"], target);
    assert_eq!(policy["spec"]["validation"], json!({ "wellKnownCACertificates": "System", "hostname": host }));
    check_route(route, "9", host, &target);
    assert_eq!(backend["metadata"], json!({ "name": "007", "namespace": "1" }));
}

fn check_route(route: &Value, name: &str, host: &str, backend: &Value) {
    assert_eq!(route["metadata"], json!({ "name": name, "namespace": "1" }));
    assert_eq!(route["spec"]["parentRefs"], json!([{ "name": "true" }]));
    let rule = &route["spec"]["rules"][0];
    assert_eq!(rule["filters"], json!([{ "type": "URLRewrite", "urlRewrite": { "hostname": host } }]));
    assert_eq!((&rule["backendRefs"], &rule["timeouts"]), (backend, &json!({ "request": "0s" })));
}

#[test]
fn what_cannot_be_rendered_says_why_in_one_line() {
    let bad = write("kubernetes bad.json", r#"{"version": "1", "default": "allow", "hides": []}"#);
    let held =
        r#"{"policies":{"p":{"version":"1","default":"allow"}},"default_policy":"p","hold_request_headers":true}"#;
    let held = write("kubernetes held.json", held);
    let condition = |bound: &str| {
        let rule = format!(r#"{{"conditions":[{{"path":"args.a","op":"gt","value":{bound}}}]}}"#);
        format!(r#"{{"version":"1","default":"allow","tools":{{"a":{{"deny_if":[{rule}]}}}}}}"#)
    };
    let rounded = write("kubernetes rounded.json", &condition("9007199254740993"));
    let long = write(
        "kubernetes long.json",
        &format!(r#"{{"version":"1","default":"allow","tools":{{"{}":{{}}}}}}"#, "n".repeat(1001)),
    );
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let (bad, held, rounded, long) = (path(&bad), path(&held), path(&rounded), path(&long));
    let (a, with_digest) = (digest("a"), format!("{IMAGE}@sha256:{}", digest("b")));
    let (upper, short) = (digest("A"), "a".repeat(63));
    let policy = ["--policy", POLICY];
    let both: [(i32, &str, &[&str]); 31] = [
        (1, "hides", &["--policy", &bad]),
        (2, "policies/none.json", &["--policy", "policies/none.json"]),
        (2, "hold_request_headers must be false", &["--config", &held]),
        (2, "`9007199254740993` would be rounded", &["--policy", &rounded]),
        (2, "is a name of more than 1000 bytes", &["--policy", &long]),
        (2, "needs its digest", &["--image", IMAGE]),
        (2, "needs its digest", &["--url", "https://example.com/a.wasm"]),
        (2, "must be 64 hexadecimal digits", &["--image", IMAGE, "--sha256", &upper]),
        (2, "must be 64 hexadecimal digits", &["--image", IMAGE, "--sha256", &short]),
        (2, "is not the one in the image's reference", &["--image", &with_digest, "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "", "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "https://x/y", "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "x/y\"\nfailOpen: true", "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "mcp-policy:1.0.0", "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "x:y/mcp-policy", "--sha256", &a]),
        (2, "in lower case", &["--image", "ghcr.io/OWNER/mcp-policy:1.0.0", "--sha256", &a]),
        (2, "must be like registry.example.com", &["--image", "x@y/mcp-policy", "--sha256", &a]),
        (2, "must have %XX", &["--url", "https://x/%zz", "--sha256", &a]),
        (2, "must have %XX", &["--url", "https://x/\"{}", "--sha256", &a]),
        (2, "must begin with http:// or https://", &["--url", "ftp://x/y", "--sha256", &a]),
        (2, "must be printable ASCII", &["--url", "https://x/y\nfailOpen: true", "--sha256", &a]),
        (2, "must not hold a user name", &["--url", "https://u:p@x/y", "--sha256", &a]),
        (2, "must begin with https://", &["--upstream", "http://mcp.example.com/mcp"]),
        (2, "must have a name that its certificate can have", &["--upstream", "https://192.0.2.7/mcp"]),
        (2, "must have a name that its certificate can have", &["--upstream", "https://a_b.example/mcp"]),
        (2, "the name `A` must be a name in Kubernetes", &["--name", "A"]),
        (2, "the name `a\\n` must be", &["--name", "a\n"]),
        (2, "the name `-a` must be", &["--name=-a"]),
        (2, "the namespace `a.b` must have no dots", &["--namespace", "a.b"]),
        (2, "the namespace `` must be", &["--namespace", ""]),
        (2, "the gateway `é` must be", &["--gateway", "é"]),
    ];
    let istio: [(i32, &str, &[&str]); 7] = [
        (2, "must have each label once", &["--selector", "a=b", "--selector", "a=c"]),
        (2, "--upstream is for a gateway", &["--service", "a", "--upstream", "https://mcp.example.com/mcp"]),
        (2, "must be an absolute path", &["--file", "a.wasm", "--sha256", &a]),
        (2, "must be an absolute path", &["--file", "/a\"b", "--sha256", &a]),
        (2, "must be a label in Kubernetes", &["--selector", "app"]),
        (2, "must be a label in Kubernetes", &["--selector", "a/=b"]),
        (2, "the service `a/b` must be", &["--service", "a/b"]),
    ];
    let gateway: [(i32, &str, &[&str]); 1] = [(2, "the route `a_b` must be", &["--route", "a_b"])];
    for (platforms, rows) in [(&PLATFORMS[..], &both[..]), (&PLATFORMS[..2], &istio), (&PLATFORMS[2..], &gateway)] {
        for ((platform, _), (code, why, arguments)) in platforms.iter().flat_map(|p| rows.iter().map(move |r| (p, r))) {
            let has_source = arguments.iter().any(|argument| matches!(*argument, "--policy" | "--config"));
            let source: &[&str] = if has_source { &[] } else { &policy };
            let output = run(&[platform, source, arguments].concat());
            // The problems of a policy are an answer, the others are complaints.
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert_eq!(output.status.code(), Some(*code), "{platform:?} {arguments:?}: {text}");
            assert!(text.contains(why) && text.lines().count() == 1, "{platform:?} {arguments:?}: {text}");
        }
    }
    // What is against the command's own grammar is told with its usage.
    let usage: [&[&str]; 6] = [
        &["istio", "--policy", POLICY, "--sha256", &a],
        &["istio", "--policy", POLICY, "--image", IMAGE, "--url", "https://x/y", "--sha256", &a],
        &["istio", "--policy", POLICY, "--gateway", "a", "--service", "b"],
        &["istio", "--policy", POLICY, "--service", "b", "--selector", "a=b"],
        &["envoy-gateway", "--policy", POLICY, "--file", "/a.wasm", "--sha256", &a],
        &["istio", "--kind", "wasm-plugin"],
    ];
    for arguments in usage {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
