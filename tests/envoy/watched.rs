//! The files that `mcp-policy render` makes for a policy that changes while Envoy runs: each way in which a new one
//! comes to its place, and a start without a good one, which lets nothing pass.

use super::reload::updates;
use super::support::envoy::{Envoy, start_in_vain, validate};
use super::support::http::Response;
use super::support::mcp;
use super::support::parts::{Parts, root, scratch};
use super::support::request::Request;
use super::support::setup::{put_plugin, render_watching};
use super::support::upstream::{NOWHERE, Upstream};
use super::support::wait;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const RESOURCE: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
/// A filter that judges nothing.
const CORS: &str = r#"{ "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors }"#;

/// A directory of the test's own, in which there is nothing: Envoy notices whatever is moved there.
pub(crate) fn directory(name: &str) -> PathBuf {
    let directory = scratch(name);
    // There is none before the first run.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a directory in target/e2e");
    directory
}

/// Allows this tool and no other.
fn only(tool: &str) -> Value {
    json!({ "version": "1", "default": "deny", "tools": { tool: {} } })
}

fn called(envoy: &Envoy, tool: &str) -> Response {
    envoy.connect().exchange(&Request::post(mcp::call("1", tool)))
}

fn runs(envoy: &Envoy, tool: &str) -> bool {
    called(envoy, tool).json()["result"]["isError"] != true
}

/// Files that are no plugin with a policy, each with what it is.
fn faulty(good: &str) -> [(&'static str, String); 5] {
    let resource = format!("resources:\n- {{ \"@type\": {RESOURCE}, name: mcp-policy, typed_config: {CORS} }}\n");
    [
        ("a faulty policy", good.replacen("\"deny\"", "\"denied\"", 1)),
        ("half a file", good[..good.len() / 2].to_owned()),
        ("nothing", String::new()),
        ("no plugin", "resources: []\n".to_owned()),
        ("another filter", resource),
    ]
}

#[test]
fn the_example_is_what_envoy_takes() {
    let Some(parts) = Parts::gateway() else { return };
    let example = fs::read_to_string(root().join("envoy/reload/envoy.yaml")).expect("the example");
    let (status, log) = validate(&parts, "watched-example", &example);
    assert!(status.success(), "{log}");
}

#[test]
fn a_file_is_taken_up_when_it_is_moved_into_its_place_and_not_while_it_is_written() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "watched-moved";
    let upstream = Upstream::running_every_call();
    let plugin = directory(name).join("plugin.yaml");
    put_plugin(name, &only("a"), &plugin);
    let envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
    assert!(runs(&envoy, "a") && !runs(&envoy, "b"));

    let good = fs::read_to_string(&plugin).expect("the plugin's file");
    fs::write(&plugin, good.replace(r#""a""#, r#""z""#)).expect("a file in target/e2e");
    put_plugin(name, &only("b"), &plugin);
    wait::until("the file that was moved is in force", || runs(&envoy, "b"));
    // The file at the start, and the one that was moved; what was written in between was never read.
    assert_eq!((updates(&envoy, "attempt"), updates(&envoy, "success")), (2, 2));

    fs::remove_file(&plugin).expect("the plugin's file");
    fs::write(plugin.with_file_name("other.new"), "").expect("a file in target/e2e");
    fs::rename(plugin.with_file_name("other.new"), plugin.with_file_name("other")).expect("a file in target/e2e");
    wait::until("Envoy misses its file", || updates(&envoy, "failure") == 1);
    assert!(runs(&envoy, "b"), "the policy stays in force without its file");
    let left: Vec<_> = fs::read_dir(plugin.with_file_name("")).expect("the directory").collect();
    assert_eq!(left.len(), 1, "nothing but `other` is left: {left:?}");
}

/// As the kubelet updates a ConfigMap: files are links through `..data`, which is exchanged.
#[test]
fn a_config_map_takes_hold_when_its_link_is_exchanged() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "watched-link";
    let upstream = Upstream::running_every_call();
    let mount = directory(name);
    let version = |directory: &str, tool: &str| {
        fs::create_dir(mount.join(directory)).expect("a directory in target/e2e");
        put_plugin(name, &only(tool), &mount.join(directory).join("plugin.yaml"));
        symlink(directory, mount.join("..data_tmp")).expect("a link in target/e2e");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a link in target/e2e");
    };
    version("..1", "a");
    symlink("..data/plugin.yaml", mount.join("plugin.yaml")).expect("a link in target/e2e");
    let envoy = Envoy::start(&parts, name, &render_watching(&mount.join("plugin.yaml"), upstream.address));
    assert!(runs(&envoy, "a") && !runs(&envoy, "b"));
    version("..2", "b");
    wait::until("the second version is in force", || runs(&envoy, "b"));
    assert!(!runs(&envoy, "a"));
}

#[test]
fn a_start_without_a_good_file_lets_nothing_pass() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "watched-start";
    let plugin = directory(name).join("plugin.yaml");
    let (status, log) = start_in_vain(&parts, "watched-missing", &render_watching(&plugin, NOWHERE));
    assert!(!status.success() && log.contains("plugin.yaml' does not exist"), "{status}: {log}");

    let upstream = Upstream::running_every_call();
    put_plugin(name, &only("a"), &plugin);
    let good = fs::read_to_string(&plugin).expect("the plugin's file");
    for (what, faulty) in faulty(&good) {
        fs::write(&plugin, faulty).expect("a file in target/e2e");
        let envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
        for request in [Request::post(mcp::call("1", "a")), Request::stream(), Request::post(mcp::list("1"))] {
            assert_eq!(envoy.connect().exchange(&request).status, 500, "{what}");
        }
        assert_eq!(upstream.settled().len(), 0, "{what}: nothing reaches the server");
    }
    let envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
    put_plugin(name, &only("a"), &plugin);
    wait::until("the good file is in force", || called(&envoy, "a").status == 200);
    assert!(runs(&envoy, "a") && !runs(&envoy, "b"));
}

#[test]
fn a_faulty_file_leaves_the_one_before_in_force() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "watched-faulty";
    let upstream = Upstream::running_every_call();
    let plugin = directory(name).join("plugin.yaml");
    put_plugin(name, &only("a"), &plugin);
    let envoy = Envoy::start(&parts, name, &render_watching(&plugin, upstream.address));
    let good = fs::read_to_string(&plugin).expect("the plugin's file");
    for (refused, (what, faulty)) in (1..).zip(faulty(&good)) {
        let new = plugin.with_extension("new");
        fs::write(&new, faulty).expect("a file in target/e2e");
        fs::rename(&new, &plugin).expect("a file in target/e2e");
        let refusals = || updates(&envoy, "rejected") + updates(&envoy, "failure");
        wait::until(&format!("Envoy refuses {what}"), || refusals() == refused);
        assert!(runs(&envoy, "a") && !runs(&envoy, "b"), "{what}");
    }
    assert_eq!((updates(&envoy, "success"), envoy.traps()), (1, 0));
}
