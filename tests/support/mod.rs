//! Drives an [`Exchange`] as Envoy would: whole bodies are held, event streams come chunk by chunk.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, HeaderEdit, Headers, Reading, Reply, Step};
use mcp_policy::policy::{MemoryStore, Store};
use mcp_policy::timestamp::Timestamp;
use std::rc::Rc;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// These bytes went upstream.
    Forwarded(Vec<u8>),
    /// We answered.
    Replied(Reply),
}

/// One exchange and the host around it.
pub struct Driver<'s> {
    pub exchange: Exchange,
    store: &'s mut dyn Store,
    now: Timestamp,
}

pub fn gate(configuration: &str) -> Rc<Gate> {
    Rc::new(Gate::load(configuration.as_bytes()).unwrap_or_else(|problems| panic!("{problems}")))
}

pub fn headers(lines: &[(&str, &str)]) -> Headers {
    Headers::new(lines.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

/// A case's call as the JSON-RPC request that it is on the wire, with the arguments as they were written.
pub fn message(call: &mcp_policy::cases::Call) -> String {
    use mcp_policy::wire::mcp::{Feature, takes_arguments};
    use serde_json::json;
    let params = match (call.method(), call.target()) {
        ("completion/complete", Some(target)) => {
            let (kind, member) = match target.feature {
                Feature::Resource => ("ref/resource", "uri"),
                Feature::Tool | Feature::Prompt => ("ref/prompt", "name"),
            };
            json!({"ref": {"type": kind, member: target.name}, "argument": {"name": "a", "value": ""}})
        }
        (_, Some(target)) if target.feature == Feature::Resource => json!({"uri": target.name}),
        (_, Some(target)) => json!({"name": target.name}),
        (_, None) => json!({}),
    };
    let mut params = params.to_string();
    if let Some(arguments) = call.arguments.as_ref().filter(|_| takes_arguments(call.method())) {
        params.pop();
        params.push_str(&format!(",\"arguments\":{arguments}}}"));
    }
    let method = json!(call.method());
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method},"params":{params}}}"#)
}

/// What every MCP client sends.
pub const POST: [(&str, &str); 3] =
    [(":method", "POST"), ("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

impl<'s> Driver<'s> {
    pub fn new(gate: &Rc<Gate>, store: &'s mut dyn Store, at: u64) -> Self {
        Self { exchange: Exchange::new(Rc::clone(gate)), store, now: Timestamp::from_millis(at) }
    }

    /// Sends a request; its body comes in `chunks`, and ends with trailers if `trailers`.
    pub fn request(&mut self, headers: &Headers, chunks: &[&[u8]], trailers: bool) -> Fate {
        let end = chunks.is_empty() && !trailers;
        match self.exchange.request_headers(headers, end, self.now).step {
            Step::Reply(reply) => return Fate::Replied(reply),
            Step::Replace(_) => panic!("headers are not replaced"),
            Step::Continue | Step::Wait => {}
        }
        let mut body = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            body.extend_from_slice(chunk);
            if index + 1 < chunks.len() || trailers {
                match self.exchange.request_grows(body.len(), self.now) {
                    Step::Reply(reply) => return Fate::Replied(reply),
                    step => assert_eq!(step, Step::Wait, "nothing goes on before the body is judged"),
                }
            }
        }
        if end {
            return Fate::Forwarded(body);
        }
        match self.exchange.request_whole(&body, self.now, self.store) {
            Step::Reply(reply) => Fate::Replied(reply),
            Step::Continue => Fate::Forwarded(body),
            Step::Replace(body) => Fate::Forwarded(body),
            Step::Wait => panic!("a whole request is not held"),
        }
    }

    /// Sends a POST of `body` that must be let through.
    pub fn post(&mut self, body: &str) -> Vec<u8> {
        match self.request(&headers(&POST), &[body.as_bytes()], false) {
            Fate::Forwarded(body) => body,
            Fate::Replied(reply) => panic!("refused: {}", String::from_utf8_lossy(&reply.body)),
        }
    }

    /// Lets the server answer; returns what the client gets.
    pub fn answer(&mut self, status: &str, content_type: Option<&str>, chunks: &[&[u8]]) -> Vec<u8> {
        let mut lines = vec![(":status", status)];
        lines.extend(content_type.map(|value| ("content-type", value)));
        self.answer_with(&lines, chunks)
    }

    /// The same with these headers.
    pub fn answer_with(&mut self, lines: &[(&str, &str)], chunks: &[&[u8]]) -> Vec<u8> {
        let step = self.exchange.answer_headers(&headers(lines), chunks.is_empty());
        if let Step::Reply(reply) = step.step {
            return reply.body;
        }
        let may_change = step.edits.contains(&HeaderEdit::Remove("content-length"));
        let (mut held, mut begun, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for (index, chunk) in chunks.iter().enumerate() {
            let end = index + 1 == chunks.len();
            if self.exchange.answer_reading() == Reading::Beginning {
                held.extend_from_slice(chunk);
                self.exchange.answer_begins(&held, end);
                if self.exchange.answer_reading() != Reading::Beginning {
                    begun = std::mem::take(&mut held);
                }
            }
            let chunk = if begun.is_empty() { chunk.to_vec() } else { std::mem::take(&mut begun) };
            let chunk = &chunk.as_slice();
            let step = match self.exchange.answer_reading() {
                Reading::Nothing => Step::Continue,
                Reading::Beginning => Step::Wait,
                Reading::Chunks => self.exchange.answer_chunk(chunk, end),
                Reading::Whole => {
                    held.extend_from_slice(chunk);
                    if end { self.exchange.answer_whole(&held) } else { self.exchange.answer_grows(held.len()) }
                }
            };
            let visible = if held.is_empty() { chunk.to_vec() } else { std::mem::take(&mut held) };
            match step {
                Step::Continue => out.extend(visible),
                Step::Replace(bytes) => {
                    assert!(may_change || bytes.len() == visible.len(), "content-length was kept");
                    out.extend(bytes);
                }
                Step::Wait => held = visible,
                Step::Reply(_) => panic!("too late for a reply"),
            }
        }
        assert!(held.is_empty(), "the answer's end was not reported");
        out
    }
}

/// A store for one exchange.
pub fn store() -> MemoryStore {
    MemoryStore::default()
}
