//! The answers of `tests/cases/streams.json` through a real Envoy: what comes out is what comes out without it.

use super::support::envoy::Envoy;
use super::support::mcp;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Answer, Upstream};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    request: String,
    status: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    filler: Option<usize>,
    server: String,
    client: Option<String>,
}

impl Row {
    fn request(&self) -> Request {
        match self.request.as_str() {
            "call" => Request::post(mcp::call("1", "a")),
            "GET" => Request::stream(),
            "list" => Request::post(mcp::list("1")),
            method => Request::post(json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string()),
        }
    }

    fn text(&self, text: &str) -> String {
        text.replace("FILLER", &"x".repeat(self.filler.unwrap_or(0)))
    }

    /// In pieces of so many bytes.
    fn answer(&self, size: usize) -> Answer {
        let status = self.status.as_deref().map_or(200, |status| status.parse().expect("a status"));
        let answer = Answer::new(self.content_type.as_deref().unwrap_or_default(), self.text(&self.server));
        let answer = answer.status(status).in_pieces_of(size);
        match &self.content_encoding {
            Some(encoding) => answer.with("content-encoding", encoding),
            None => answer,
        }
    }
}

#[test]
fn each_answer_comes_out_as_it_should() {
    let Some(parts) = Parts::gateway() else { return };
    // The policy that `tests/streams.rs` asks.
    let policy = json!({
        "version": "1",
        "default": "allow",
        "hide": ["hidden_*"],
        "prompts": { "hide": ["hidden_*"] },
        "resources": { "hide": ["file:///hidden/*"] },
        "methods": { "deny": ["sampling/*"] }
    });
    let next = Arc::new(Mutex::new((Row::default(), 0)));
    let upstream = {
        let next = Arc::clone(&next);
        Upstream::start(move |_| {
            let (row, size) = next.lock().unwrap_or_else(PoisonError::into_inner).clone();
            row.answer(size)
        })
    };
    let name = "answers";
    let envoy = Envoy::start(&parts, name, &Setup::new(&policy).render(name, upstream.address));
    let rows: Vec<Row> = serde_json::from_str(include_str!("../cases/streams.json")).expect("rows");
    assert!(rows.len() > 100, "{}", rows.len());
    for row in rows {
        let expected = row.text(row.client.as_ref().unwrap_or(&row.server));
        for size in [usize::MAX, 40.max(row.server.len() / 8)] {
            *next.lock().unwrap_or_else(PoisonError::into_inner) = (row.clone(), size);
            // A connection of its own, because Envoy closes some of them after an answer of ours.
            let found = envoy.connect().exchange(&row.request()).text();
            assert!(found == expected, "{}, in pieces of {size}: {found:.1000}, not {expected:.1000}", row.name);
        }
    }
    assert_eq!(envoy.traps(), 0);
}
