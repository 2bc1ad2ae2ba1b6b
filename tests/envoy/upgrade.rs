//! Another build of the plugin takes the place of the one that runs, as `docs/upgrade.md` says: what was counted stays
//! counted, and what is no plugin changes nothing.

use super::reload::updates;
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{PLUGIN, Parts, root, scratch};
use super::support::request::Request;
use super::support::setup::{put_plugin, render_watching};
use super::support::upstream::Upstream;
use super::support::wait;
use super::watched::directory;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn runs(envoy: &Envoy, tool: &str) -> bool {
    envoy.connect().exchange(&Request::post(mcp::call("1", tool))).json()["result"]["isError"] != true
}

/// Allows two calls of `a`, and `others` as often as they like.
fn policy(others: &[&str]) -> Value {
    let limit = json!({ "counter": "calls", "window": "day", "max": 2, "scope": "grant" });
    let mut policy = json!({ "version": "1", "default": "deny", "tools": { "a": { "limits": [limit] } } });
    for tool in others {
        policy["tools"][tool] = json!({});
    }
    policy
}

/// Puts the plugin that has these bytes at `plugin`, with this policy.
fn put_bytes(name: &str, bytes: &[u8], policy: &Value, plugin: &Path) {
    let (wasm, new) = (scratch(&format!("{name}.wasm")), scratch(&format!("{name}.yaml")));
    fs::write(&wasm, bytes).expect("a plugin in target/e2e");
    put_plugin(name, policy, &new);
    let file = fs::read_to_string(&new).expect("the plugin's file");
    assert_eq!(file.matches(PLUGIN).count(), 1);
    fs::write(&new, file.replace(PLUGIN, wasm.to_str().expect("UTF-8"))).expect("a file in target/e2e");
    fs::rename(&new, plugin).expect("a directory in target/e2e");
}

#[test]
fn counts_outlive_the_plugin_that_made_them() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "upgrade";
    let upstream = Upstream::running_every_call();
    let plugin = directory(name).join("plugin.yaml");
    put_plugin(name, &policy(&[]), &plugin);
    let envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
    assert!(runs(&envoy, "a") && !runs(&envoy, "b"));

    // Other bytes, and so another VM: a section that means nothing, with the name `x`.
    let mut other = fs::read(root().join(PLUGIN)).expect("the plugin");
    other.extend([0, 2, 1, b'x']);
    put_bytes("upgrade-other", &other, &policy(&["b"]), &plugin);
    wait::until("the new plugin is in force", || runs(&envoy, "b"));
    assert!(runs(&envoy, "a"), "the second of two calls");
    assert!(!runs(&envoy, "a"), "the first one was counted by the plugin before");

    put_bytes("upgrade-half", &other[..other.len() / 2], &policy(&["c"]), &plugin);
    wait::until("half a plugin is refused", || updates(&envoy, "rejected") == 1);
    assert!(runs(&envoy, "b") && !runs(&envoy, "c"), "the one before stays in force");
}
