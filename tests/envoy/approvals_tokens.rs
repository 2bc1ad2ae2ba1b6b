//! A call that one proxy refuses and a person approves by the command line, at proxies that never heard of it.

use super::approvals::{Came, came, start, sum, waits};
use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::{Parts, root};
use super::support::request::Request;
use super::support::upstream::Upstream;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const HEADER: &str = "mcp-approval-token";

/// A key of this test's own, and its member of `approvals.keys`.
pub(super) struct Signer(PathBuf);

impl Signer {
    pub(super) fn new(name: &str, kind: &str) -> (Self, String) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.key"));
        let _ = std::fs::remove_file(&path);
        let signer = Self(path);
        let member = signer.run(&["--new-key", kind, "--name", name]);
        (signer, member)
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
        command.current_dir(root()).args(["approve", "--key"]).arg(&self.0).args(arguments);
        let output = command.output().expect("the command line tool runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    pub(super) fn approve(&self, id: &str) -> String {
        self.run(&["--id", id, "--expires", "10m"])
    }
}

/// The shipped file with these keys.
fn knowing(parts: &Parts, name: &str, upstream: &Upstream, keys: &str) -> Envoy {
    let with = format!(r#""approvals": {{ "keys": [{keys}], "#);
    start(parts, name, upstream, &[(r#""approvals": {"#, &with)])
}

fn call(a: u64, meta: &Value) -> Request {
    let params = json!({ "name": "get-sum", "arguments": { "a": a, "b": 1 }, "_meta": meta });
    Request::post(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string())
}

fn sent(envoy: &Envoy, request: &Request) -> Came {
    came(&envoy.connect().exchange(request).json())
}

fn with_token(envoy: &Envoy, a: u64, token: &str) -> Came {
    sent(envoy, &call(a, &json!({})).with(HEADER, token))
}

fn refused() -> Came {
    let why = "it is not valid for this call (without it, the call can be approved here)";
    Came::Refused(format!("[POLICY DENIED] Approval token refused: {why}"))
}

#[test]
fn a_call_approved_elsewhere_runs_once_at_each_proxy() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let ((hmac, one), (ed25519, other)) =
        (Signer::new("tokens-hmac", "hmac"), Signer::new("tokens-ed25519", "ed25519"));
    let (stranger, _) = Signer::new("tokens-stranger", "ed25519");
    let keys = format!("{one}, {other}");
    let first = knowing(&parts, "tokens-first", &upstream, &keys);
    let second = knowing(&parts, "tokens-second", &upstream, &keys);
    for (round, signer) in [(0, &hmac), (1, &ed25519)] {
        let a = 500 + round;
        let before = upstream.count();
        let id = waits(sum(&mut first.connect(), a, 1));
        let token = signer.approve(&id);
        assert_eq!(with_token(&second, a, &stranger.approve(&id)), refused(), "another key");
        assert_eq!(with_token(&second, a + 50, &token), refused(), "another argument");
        assert_eq!(with_token(&second, a, &token[..token.len() - 2]), refused(), "cut");
        assert_eq!(upstream.count(), before);
        assert_eq!(with_token(&second, a, &token), Came::Ran);
        assert_eq!(with_token(&second, a, &token), refused(), "a second use");
        assert_eq!(with_token(&first, a, &token), Came::Ran, "another proxy does not know of the first use");
        assert_eq!(with_token(&first, a, &token), refused());
        assert_ne!(waits(sum(&mut first.connect(), a, 1)), id, "the approval that waited there is used");
        let in_meta = |token: &str| call(a, &json!({ "mcp-policy/approval_token": token }));
        let token = signer.approve(&id);
        assert_eq!(sent(&second, &in_meta(&token)), Came::Ran);
        assert_eq!(sent(&second, &in_meta(&token)), refused());
        assert_eq!(upstream.count(), before + 3);
    }
    assert!(upstream.requests().iter().all(|request| request.header(HEADER).is_empty()), "no server sees it");
    assert_eq!((first.traps(), second.traps()), (0, 0));
}

#[test]
fn of_200_calls_with_one_token_one_runs() {
    let Some(parts) = Parts::gateway() else { return };
    let upstream = Upstream::running_every_call();
    let (signer, key) = Signer::new("tokens-race", "hmac");
    let first = knowing(&parts, "tokens-race-first", &upstream, &key);
    let second = knowing(&parts, "tokens-race-second", &upstream, &key);
    let id = waits(sum(&mut first.connect(), 700, 1));
    for envoy in [&first, &second] {
        let (token, before, ran) = (signer.approve(&id), upstream.count(), AtomicUsize::new(0));
        let body = mcp::call_with("1", "get-sum", &json!({ "a": 700, "b": 1 }));
        let request = Request::post(&body).with(HEADER, &token);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let mut agent = envoy.connect();
                    let runs = (0..10).filter(|_| came(&agent.exchange(&request).json()) == Came::Ran).count();
                    ran.fetch_add(runs, Ordering::Relaxed);
                });
            }
        });
        assert_eq!((ran.into_inner(), upstream.count() - before), (1, 1));
        assert_eq!(envoy.traps(), 0);
    }
}
