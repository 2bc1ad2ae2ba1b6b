//! The whole way of an approval, with what people really use: an SDK's client, the reference server behind a real Envoy,
//! and a person in a browser, at a terminal, or far away with a key.

use super::approvals::{Person, TOKEN, by_command_line, file_before};
use super::approvals_tokens::Signer;
use super::console::{Browser, browser};
use super::support::clients::{Client, Outcome, Step, python, rust, typescript};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::parts::Parts;
use super::support::wait;
use serde_json::{Value, json};
use std::thread;

const TOOL: &str = "get-sum";
const SUM: &str = "The sum of 500 and 1 is 501.";

/// An Envoy on the shipped file before the reference server, with two kinds of keys and these terms of its rule.
struct Gateway {
    envoy: Envoy,
    browser: Browser,
    signer: Signer,
    _server: Everything,
}

impl Gateway {
    fn start(name: &str, terms: &str) -> Option<Self> {
        Parts::with_peers()?;
        let (parts, chromium) = Parts::with_browser()?;
        let server = Everything::start(&format!("{name}.server"));
        let (signer, key) = Signer::new(name, "ed25519");
        let keys = format!(r#""approvals": {{ "keys": [{key}], "#);
        let edits = [(r#""approvals": {"#, keys.as_str()), (r#""timeout": "30m""#, terms)];
        let envoy = Envoy::start(&parts, name, &file_before(server.address, &edits));
        let browser = browser(chromium, &envoy);
        Some(Self { envoy, browser, signer, _server: server })
    }

    /// What comes of the one call, with this `_meta`, made by a client that begins anew.
    fn call(&self, client: Client, meta: Option<Value>) -> Outcome {
        let arguments = json!({ "a": 500, "b": 1 });
        let step = match meta {
            None => Step::Call(TOOL, arguments),
            Some(meta) => Step::CallWith(TOOL, arguments, meta),
        };
        client(&self.envoy.url(), &[step]).remove(0)
    }

    /// The same call is refused, and waits.
    fn waits(&self, client: Client) -> String {
        match self.call(client, None) {
            Outcome::Result(true, text) => {
                let (_, rest) = text.split_once("approval ap_").unwrap_or_else(|| panic!("no approval in {text}"));
                format!("ap_{}", rest.trim_end_matches(')'))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ran() -> Outcome {
    Outcome::Result(false, SUM.to_owned())
}

/// Refused, approved in each of the three ways, done once, and refused again.
fn is_approved_in_every_way(name: &str, client: Client) {
    let Some(gateway) = Gateway::start(name, r#""timeout": "30m""#) else { return };

    let id = gateway.waits(client);
    gateway.browser.act(TOKEN, &["approve", &id, "seen"]);
    assert_eq!(gateway.call(client, None), ran(), "approved on the page");

    let next = gateway.waits(client);
    assert_ne!(next, id, "a second run needs an approval of its own");
    let done = by_command_line(gateway.envoy.admin_side(), &["approve", &next], TOKEN);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(gateway.call(client, None), ran(), "approved in a terminal");

    let last = gateway.waits(client);
    assert!(last != id && last != next, "{last}");
    let token = json!({ "mcp-policy/approval_token": gateway.signer.approve(&last) });
    assert_eq!(gateway.call(client, Some(token.clone())), ran(), "approved by a signature");
    let again = gateway.call(client, Some(token));
    assert!(matches!(&again, Outcome::Result(true, text) if text.contains("token refused")), "{again:?}");
    gateway.waits(client);
    assert_eq!(gateway.envoy.traps(), 0);
}

#[test]
fn the_typescript_sdk_s_call_is_approved_in_every_way() {
    is_approved_in_every_way("approved-typescript", typescript);
}

#[test]
fn the_python_sdk_s_call_is_approved_in_every_way() {
    is_approved_in_every_way("approved-python", python);
}

#[test]
fn rmcp_s_call_is_approved_in_every_way() {
    is_approved_in_every_way("approved-rust", rust);
}

#[test]
fn a_call_that_is_held_goes_on_by_a_click() {
    let Some(gateway) = Gateway::start("approved-held", r#""timeout": "30m", "wait": "50s""#) else { return };
    let person = Person(gateway.envoy.admin_side());
    for client in [typescript as Client, python, rust] {
        let outcome = thread::scope(|scope| {
            let call = scope.spawn(|| gateway.call(client, None));
            let mut id = String::new();
            wait::until("the call waits", || {
                let waiting = person.list("pending");
                id = waiting.first().map(|one| one["id"].as_str().expect("an id").to_owned()).unwrap_or_default();
                !id.is_empty()
            });
            assert!(!call.is_finished(), "it is held");
            gateway.browser.act(TOKEN, &["approve", &id]);
            call.join().expect("a client that ends well")
        });
        assert_eq!(outcome, ran());
    }
    assert_eq!(gateway.envoy.traps(), 0);
}
