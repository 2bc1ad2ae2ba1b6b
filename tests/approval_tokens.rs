//! Calls that bring a signed approval along, as Envoy would hand them over.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, missing_docs)]

mod support;

use mcp_policy::approvals::{Id, SigningKey, Token, book};
use mcp_policy::config::Gate;
use mcp_policy::exchange::HeaderEdit;
use mcp_policy::policy::MemoryStore;
use serde_json::{Value, json};
use std::rc::Rc;
use support::{Driver, Fate, POST, headers, store};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_795_243_342_123;
const HEADER: &str = "mcp-approval-token";
const INVALID: &str = "[POLICY DENIED] Approval token refused: it is not valid for this call \
                       (without it, the call can be approved here)";

fn key() -> SigningKey {
    SigningKey::ed25519(&[7; 32]).unwrap()
}

fn gate(keys: &Value) -> Rc<Gate> {
    let policy = json!({
        "version": "1", "default": "allow",
        "tools": {"pay": {"require_approval": [{"id": "all", "conditions": []}],
                          "limits": [{"counter": "calls", "window": "day", "max": 2}]}},
    });
    let configuration = json!({"policies": {"p": policy}, "default_policy": "p", "approvals": {"keys": keys}});
    support::gate(&configuration.to_string())
}

fn with_key() -> Rc<Gate> {
    let (member, value) = key().key().member();
    gate(&json!([{"id": "ops", member: value}]))
}

fn pay(amount: u32, meta: &Value) -> String {
    let params = json!({"name": "pay", "arguments": {"amount": amount}, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

/// What came of a call: nothing when it went on, else the text.
fn send(driver: &mut Driver<'_>, lines: &[(&str, &str)], body: &str) -> Result<(), String> {
    match driver.request(&headers(&[&POST, lines].concat()), &[body.as_bytes()], false) {
        Fate::Forwarded(sent) => {
            assert_eq!(sent, body.as_bytes());
            Ok(())
        }
        Fate::Replied(reply) => {
            let answer: Value = serde_json::from_slice(&reply.body).unwrap();
            Err(answer["result"]["content"][0]["text"].as_str().unwrap().to_owned())
        }
    }
}

/// The token for a call that another proxy refused with this id.
fn token(amount: u32, expires: u64) -> String {
    let (gate, mut store) = (with_key(), store());
    let mut driver = Driver::new(&gate, &mut store, NOW - 9);
    assert!(send(&mut driver, &[], &pay(amount, &json!({}))).is_err());
    let id = Id::parse(driver.exchange.record().unwrap().approval.as_ref().unwrap()).unwrap();
    Token { id, nonce: [amount as u8; 16], not_before: NOW, expires }.sign(&key())
}

fn pending(store: &mut MemoryStore) -> usize {
    book::list(NOW, store).unwrap().len()
}

#[test]
fn a_call_goes_on_once_by_its_token_in_the_header_or_in_meta() {
    let text = token(5, NOW + 1000);
    let in_meta = json!({"mcp-policy/approval_token": text});
    for (lines, meta) in [(vec![(HEADER, text.as_str())], json!({})), (vec![], in_meta)] {
        let (gate, mut store) = (with_key(), store());
        let mut driver = Driver::new(&gate, &mut store, NOW);
        assert_eq!(send(&mut driver, &lines, &pay(5, &meta)), Ok(()), "{lines:?}");
        let record = driver.exchange.record().unwrap();
        assert_eq!((record.outcome.as_str(), record.approval_key.as_deref()), ("allowed", Some("ops")));
        assert!(record.approval.as_ref().unwrap().starts_with("ap_"));
        let mut again = Driver::new(&gate, &mut store, NOW);
        assert_eq!(send(&mut again, &lines, &pay(5, &meta)), Err(INVALID.to_owned()), "a second use");
        let record = again.exchange.record().unwrap();
        assert_eq!((record.outcome.as_str(), record.rule.as_str()), ("denied", "/tools/pay/require_approval/all"));
        assert_eq!(pending(&mut store), 0, "nothing waits because of it");
    }
}

#[test]
fn a_token_that_is_not_for_this_call_now_lets_nothing_through_and_nothing_wait() {
    let (good, other) = (token(5, NOW + 1000), token(6, NOW + 1000));
    let expired = "[POLICY DENIED] Approval token refused: it has expired (without it, the call can be approved here)";
    let long = "x".repeat(1025);
    let meta = json!({"mcp-policy/approval_token": good});
    let refused = |why: &str| format!("[POLICY DENIED] Approval token refused: {why}");
    for (lines, meta, words) in [
        (vec![(HEADER, other.as_str())], json!({}), INVALID.to_owned()),
        (vec![(HEADER, good.get(..good.len() - 1).unwrap())], json!({}), INVALID.to_owned()),
        (vec![(HEADER, "")], json!({}), INVALID.to_owned()),
        (vec![(HEADER, &token(5, NOW))], json!({}), expired.to_owned()),
        (
            vec![(HEADER, &good), (HEADER, &good)],
            json!({}),
            refused("the header `mcp-approval-token` is given more than once"),
        ),
        (vec![(HEADER, &other)], meta, refused("the header and `_meta` give different ones")),
        (vec![(HEADER, &long)], json!({}), refused("it is longer than 1024 bytes")),
        (
            vec![],
            json!({"mcp-policy/approval_token": 1}),
            refused("`mcp-policy/approval_token` in `_meta` is not a string"),
        ),
    ] {
        let (gate, mut store) = (with_key(), store());
        let sent = send(&mut Driver::new(&gate, &mut store, NOW), &lines, &pay(5, &meta));
        assert_eq!(sent, Err(words), "{lines:?}");
        assert_eq!(pending(&mut store), 0, "{lines:?}");
    }
}

#[test]
fn a_token_is_given_back_by_a_call_that_surely_did_not_run() {
    let (gate, mut store, text) = (with_key(), store(), token(5, NOW + 1000));
    let lines = [(HEADER, text.as_str())];
    let mut failed = Driver::new(&gate, &mut store, NOW);
    assert_eq!(send(&mut failed, &lines, &pay(5, &json!({}))), Ok(()));
    failed.answer("503", Some("application/json"), &[b"{}"]);
    failed.end("via_upstream");
    let mut ran = Driver::new(&gate, &mut store, NOW);
    assert_eq!(send(&mut ran, &lines, &pay(5, &json!({}))), Ok(()));
    ran.answer("200", Some("application/json"), &[br#"{"jsonrpc":"2.0","id":1,"result":{}}"#]);
    ran.end("via_upstream");
    assert_eq!(send(&mut Driver::new(&gate, &mut store, NOW), &lines, &pay(5, &json!({}))), Err(INVALID.to_owned()));

    // A limit that refuses what was approved keeps nothing of the approval.
    let (second, third) = (token(6, NOW + 1000), token(7, NOW + 86_400_000));
    assert_eq!(send(&mut Driver::new(&gate, &mut store, NOW), &[(HEADER, &second)], &pay(6, &json!({}))), Ok(()));
    let lines = [(HEADER, third.as_str())];
    let over = send(&mut Driver::new(&gate, &mut store, NOW), &lines, &pay(7, &json!({}))).unwrap_err();
    assert!(!over.contains("token"), "{over}");
    let tomorrow = NOW + 86_399_999;
    assert_eq!(send(&mut Driver::new(&gate, &mut store, tomorrow), &lines, &pay(7, &json!({}))), Ok(()));
}

#[test]
fn the_header_is_for_the_proxy_that_has_keys() {
    let text = token(5, NOW + 1000);
    let lines = headers(&[&POST[..], &[(HEADER, text.as_str())]].concat());
    for (gate, is_removed) in [(with_key(), true), (gate(&json!([])), false)] {
        let mut store = store();
        let mut driver = Driver::new(&gate, &mut store, NOW);
        let step = driver.exchange.request_headers(&lines, false, mcp_policy::timestamp::Timestamp::from_millis(NOW));
        assert_eq!(step.edits.contains(&HeaderEdit::Remove(HEADER)), is_removed);
    }
    let (gate, mut store) = (gate(&json!([])), store());
    let words = send(&mut Driver::new(&gate, &mut store, NOW), &[(HEADER, &text)], &pay(5, &json!({}))).unwrap_err();
    assert!(words.starts_with("[POLICY DENIED] Approval required"), "{words}");
    assert_eq!(pending(&mut store), 1, "without keys, a token is a header like any other");
}
