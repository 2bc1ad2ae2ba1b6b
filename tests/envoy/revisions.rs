//! Each revision that a client speaks, through the gateway: its user sees the list without the hidden tool, has an
//! allowed call run, reads why a denied one was not, and cannot tell a hidden tool from none.

use super::support::clients::{
    Outcome, Step, python, python_in_mode, rust_by_discovery, rust_by_handshake, typescript, typescript_2,
};
use super::support::envoy::Envoy;
use super::support::everything::Everything;
use super::support::fixtures::Fixtures;
use super::support::parts::Parts;
use super::support::setup::Setup;
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

const HIDDEN: &str = "get-env";
const UNKNOWN: &str = "get-xyz";

fn policy() -> Value {
    json!({
        "version": "1",
        "default": "allow",
        "hide": [HIDDEN],
        "tools": { "get-sum": { "action": "deny", "reason": "No sums today." } }
    })
}

/// What the client does: where to connect, which steps.
type Act<'a> = &'a dyn Fn(&str, &[Step]) -> Vec<Outcome>;

/// Runs every client, each with the revision that it must come to speak, on a server that speaks them all.
fn are_served(name: &str, clients: &[(&str, Act<'_>)]) {
    let Some(parts) = Parts::with_peers() else { return };
    let server = Fixtures::start(&format!("{name}.server"));
    let start = |name: &str, setup: Setup| Envoy::start(&parts, name, &setup.render(name, server.address));
    let envoy = start(name, Setup::new(&policy()));
    let discreet = start(&format!("{name}-unknown"), Setup::new(&policy()).with("hidden_reply", "unknown_tool"));
    let call = |tool| Step::Call(tool, json!({ "message": "hello" }));
    for (revision, act) in clients {
        let spoken = Outcome::Revision((*revision).to_owned());
        let refused = |message: &str| Outcome::Result(true, format!("[POLICY DENIED] {message}"));
        let unknown = |tool: &str| Outcome::Error(-32602, format!("Unknown tool: {tool}"));

        let direct = act(&server.url(), &[Step::Revision, Step::List, call(UNKNOWN)]);
        let [first, Outcome::Tools(tools), third] = direct.as_slice() else { panic!("{revision}: {direct:?}") };
        assert_eq!((first, third), (&spoken, &unknown(UNKNOWN)), "{revision}");
        assert!(tools.iter().any(|tool| tool == HIDDEN), "the server has the tool that is to be hidden: {tools:?}");
        let visible: Vec<String> = tools.iter().filter(|tool| *tool != HIDDEN).cloned().collect();

        let steps = [Step::Revision, Step::List, call("echo"), call("get-sum"), call(HIDDEN), call("echo")];
        let expected = [
            spoken,
            Outcome::Tools(visible),
            Outcome::Result(false, "Echo: hello".to_owned()),
            refused("No sums today."),
            refused("Tool \"get-env\" is hidden by policy"),
            Outcome::Result(false, "Echo: hello".to_owned()),
        ];
        assert_eq!(act(&envoy.url(), &steps), expected, "{revision}");
        let outcomes = act(&discreet.url(), &[call(HIDDEN), call(UNKNOWN)]);
        assert_eq!(outcomes, [unknown(HIDDEN), unknown(UNKNOWN)], "{revision}");
    }
    assert_eq!((envoy.traps(), discreet.traps()), (0, 0));
}

#[test]
fn the_first_typescript_client_is_served() {
    are_served("revisions-typescript", &[("2025-11-25", &typescript)]);
}

#[test]
fn the_second_typescript_client_is_served_in_every_revision() {
    let offering = |revision: &'static str| move |url: &str, steps: &[Step]| typescript_2(url, steps, revision);
    are_served(
        "revisions-typescript-2",
        &[
            ("2024-11-05", &offering("2024-11-05")),
            ("2025-03-26", &offering("2025-03-26")),
            ("2025-06-18", &offering("2025-06-18")),
            ("2025-11-25", &offering("2025-11-25")),
            ("2026-07-28", &offering("2026-07-28")),
            ("2026-07-28", &offering("auto")),
        ],
    );
}

#[test]
fn the_python_client_is_served_in_every_mode() {
    let mode = |mode: &'static str| move |url: &str, steps: &[Step]| python_in_mode(url, steps, mode);
    are_served(
        "revisions-python",
        &[("2025-11-25", &mode("legacy")), ("2026-07-28", &mode("2026-07-28")), ("2026-07-28", &mode("auto"))],
    );
}

#[test]
fn rmcp_is_served_in_every_revision() {
    let handshake =
        |revision: ProtocolVersion| move |url: &str, steps: &[Step]| rust_by_handshake(url, steps, revision.clone());
    let modern = |url: &str, steps: &[Step]| rust_by_discovery(url, steps, ProtocolVersion::V_2026_07_28);
    are_served(
        "revisions-rust",
        &[
            ("2024-11-05", &handshake(ProtocolVersion::V_2024_11_05)),
            ("2025-03-26", &handshake(ProtocolVersion::V_2025_03_26)),
            ("2025-06-18", &handshake(ProtocolVersion::V_2025_06_18)),
            ("2025-11-25", &handshake(ProtocolVersion::V_2025_11_25)),
            ("2026-07-28", &modern),
        ],
    );
}

/// The transport of 2024-11-05: answers come on a GET stream of their own, whatever was asked by POST.
#[test]
fn lists_calls_and_refusals_pass_over_http_and_sse() {
    let Some(parts) = Parts::with_peers() else { return };
    let name = "revisions-sse";
    let server = Everything::start_on_sse(&format!("{name}.server"));
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy()).render(name, server.address));
    let direct = typescript(&format!("http://{}/sse", server.address), &[Step::List]);
    let [Outcome::Tools(tools)] = direct.as_slice() else { panic!("the server's own list: {direct:?}") };
    assert!(tools.iter().any(|tool| tool == HIDDEN), "the server has the tool that is to be hidden: {tools:?}");
    let visible: Vec<String> = tools.iter().filter(|tool| *tool != HIDDEN).cloned().collect();
    let steps = [Step::List, Step::Call("echo", json!({ "message": "hello" })), Step::List];
    let expected =
        [Outcome::Tools(visible.clone()), Outcome::Result(false, "Echo: hello".to_owned()), Outcome::Tools(visible)];
    for client in [typescript, python] {
        assert_eq!(client(&format!("http://{}/sse", envoy.address), &steps), expected);
    }
    // Where the client waits for the answer, the server says the refusal.
    let steps = [Step::Call(HIDDEN, json!({})), Step::Call("echo", json!({ "message": "on" }))];
    for client in [typescript, python] {
        let outcomes = client(&format!("http://{}/sse", envoy.address), &steps);
        let [Outcome::Result(true, refused), echoed] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert!(refused.contains(&format!("[POLICY DENIED] Tool \"{HIDDEN}\" is hidden by policy")), "{refused}");
        assert_eq!(*echoed, Outcome::Result(false, "Echo: on".to_owned()));
    }
    assert_eq!(envoy.traps(), 0);
}
