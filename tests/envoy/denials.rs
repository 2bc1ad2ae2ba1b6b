//! The words of a refusal: the caller's id digit for digit, the prefix, and a hidden tool that cannot be told from one
//! that does not exist.

use super::support::clients::{Outcome, Step, rust};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::Upstream;
use serde_json::json;

#[test]
fn the_id_comes_back_as_it_was_written() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "denials-id";
    let policy = json!({ "version": "1", "default": "deny" });
    let upstream = Upstream::running_every_call();
    let config = Setup::new(&policy).with("deny_prefix", "No \"way\": ").render(name, upstream.address);
    let envoy = Envoy::start(&parts, name, &config);
    let mut connection = envoy.connect();
    for id in ["0", "-1", "9007199254740991", "-9007199254740991", r#""""#, r#""\u0041\"é""#] {
        let response = connection.exchange(&Request::post(mcp::call(id, "x")));
        let expected = mcp::refused(id, r#"No "way": Tool "x" is not permitted by policy"#);
        assert_eq!((response.status, response.text()), (200, expected), "{id}");
        assert_eq!(response.head.text("content-type"), "application/json", "{id}");
    }
    drop(envoy);
    assert_eq!(upstream.settled().len(), 0);
}

#[test]
fn a_hidden_tool_cannot_be_told_from_one_that_does_not_exist() {
    let Some(parts) = Parts::with_peers() else { return };
    let name = "denials-unknown";
    let server = Everything::start(&format!("{name}.server"));
    let policy = json!({ "version": "1", "default": "allow", "hide": ["get-env"] });
    let config = Setup::new(&policy).with("hidden_reply", "unknown_tool").render(name, server.address);
    let envoy = Envoy::start(&parts, name, &config);
    let call = |tool| [Step::Call(tool, json!({ "message": "get-env" }))];
    let hidden = rust(&envoy.url(), &call("get-env"));
    let unknown = rust(&server.url(), &call("get-xyz"));
    let [Outcome::Result(true, text)] = unknown.as_slice() else { panic!("{unknown:?}") };
    assert_eq!(hidden, [Outcome::Result(true, text.replace("get-xyz", "get-env"))]);
    assert_eq!(envoy.traps(), 0);
}
