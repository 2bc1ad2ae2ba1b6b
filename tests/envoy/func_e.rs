//! The shipped file under func-e, which fetches and runs Envoy: func-e is built from its module, and a program of this
//! machine stands in the place of the Envoy that it would download. A list of versions and an archive are served on the
//! loopback interface.

use super::grants::sha256;
use super::support::clients::{Outcome, Step, typescript};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::parts::{PEERS, PYTHON, Parts, root, scratch};
use super::support::process::Process;
use super::support::setup::Setup;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `scripts/func-e.sh` puts it, from the root of the checkout.
pub(super) const FUNC_E: &str = "target/func-e/func-e";

/// A func-e with folders of its own. What it could download from ends when this is dropped.
pub(super) struct FuncE {
    _mirror: Process,
    /// Runs func-e, as anybody would who has set its variables.
    pub(super) program: PathBuf,
    /// Runs Envoy by it, with what it is given.
    envoy: PathBuf,
}

impl FuncE {
    /// One that takes `envoy` for Envoy 1.40.0. Its files are in `target/e2e/NAME`.
    pub(super) fn new(name: &str, envoy: &Path) -> Self {
        let place = scratch(name);
        let _ = fs::remove_dir_all(&place);
        let served = place.join("served");
        write(&served.join("envoy/bin/envoy"), &format!("exec {} \"$@\"", envoy.display()));
        let archive = served.join("envoy.tar.gz");
        let is_done = Command::new("tar").arg("czf").arg(&archive).arg("-C").arg(&served).arg("envoy").status();
        assert!(is_done.expect("tar runs").success());

        let mut mirror = Command::new(root().join(PYTHON));
        mirror.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(&served);
        let mut mirror = Process::start(&format!("{name}.mirror"), &mut mirror);
        let url = mirror.wait_for("an address", |process| {
            // Serving HTTP on 127.0.0.1 port 1234 (http://127.0.0.1:1234/) ...
            Some(process.output().split_once('(')?.1.split_once(')')?.0.to_owned())
        });
        let sha256 = sha256(fs::read(&archive).expect("the archive"));
        let versions = json!({
            "versions": { "1.40.0": { "releaseDate": "2026-10-01", "tarballs": { platform(): format!("{url}envoy.tar.gz") } } },
            "sha256sums": { "envoy.tar.gz": sha256 },
        });
        fs::write(served.join("versions.json"), versions.to_string()).expect("a file");

        let program = place.join("func-e");
        let folders = ["CONFIG_HOME", "DATA_HOME", "STATE_HOME", "RUNTIME_DIR"]
            .map(|folder| format!("export FUNC_E_{folder}={}", place.join(folder).display()));
        let script = format!(
            "{}\nexport ENVOY_VERSIONS_URL={url}versions.json\nexec {} \"$@\"",
            folders.join("\n"),
            root().join(FUNC_E).display()
        );
        write(&program, &script);
        let envoy = place.join("envoy");
        write(&envoy, &format!("exec {} run \"$@\"", program.display()));
        Self { _mirror: mirror, program, envoy }
    }
}

/// This machine as Go calls it.
fn platform() -> String {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    format!("{}/{architecture}", if cfg!(target_os = "macos") { "darwin" } else { "linux" })
}

/// A shell script that can be run.
fn write(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
}

#[test]
fn an_envoy_that_func_e_has_fetched_denies_a_call() {
    let Some(parts) = Parts::with(&[FUNC_E, PEERS, PYTHON]) else { return };
    let server = Everything::start("func-e.server");
    let func_e = FuncE::new("func-e", &parts.envoy);
    let policy = json!({ "version": "1", "default": "allow", "tools": { "get-sum": { "action": "deny" } } });
    let file = Setup::new(&policy).render("func-e-serves", server.address);
    let envoy = Envoy::start(&Parts { envoy: func_e.envoy.clone() }, "func-e-serves", &file);
    let sum = || Step::Call("get-sum", json!({ "a": 1, "b": 2 }));
    let outcomes = typescript(&envoy.url(), &[sum(), Step::Call("echo", json!({ "message": "hello" }))]);
    let denied = Outcome::Result(true, "[POLICY DENIED] Tool \"get-sum\" is denied by policy".to_owned());
    assert_eq!(outcomes, [denied, Outcome::Result(false, "Echo: hello".to_owned())]);
    assert_eq!(envoy.traps(), 0);
}
