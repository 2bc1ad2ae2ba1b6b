//! Drives an [`Exchange`] as Envoy would: whole bodies are held, event streams come chunk by chunk.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod case;
pub mod policies;

use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, HeaderEdit, Headers, Reading, Reply, Step, Verified};
use mcp_policy::policy::{Claim, MemoryStore, Store, Unclear};
use mcp_policy::timestamp::Timestamp;
use serde_json::{Value, json};
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

/// A proxy that verified a token with this payload, under the key that is the default, and a certificate.
#[derive(Debug)]
pub struct Proxy {
    pub claims: Value,
    pub san: Option<String>,
}

impl Verified for Proxy {
    fn claim(&self, payload_key: &str, path: &[String]) -> Result<Option<Claim>, Unclear> {
        assert_eq!(payload_key, "jwt_payload");
        let mut value = &self.claims;
        for part in path {
            value = &value[part.as_str()];
        }
        match value {
            Value::Null => Ok(None),
            Value::Bool(truth) => Ok(Some(Claim { boolean: Some(*truth), ..Claim::default() })),
            Value::Number(number) => Ok(Some(Claim { number: Some(number.to_string()), ..Claim::default() })),
            Value::String(text) => Ok(Some(Claim { text: Some(text.clone()), ..Claim::default() })),
            Value::Array(list) => {
                let list = list.iter().map(|element| element.as_str().map(str::to_owned)).collect::<Option<_>>();
                list.map(|list| Some(Claim { list: Some(list), ..Claim::default() })).ok_or(Unclear)
            }
            Value::Object(_) => Err(Unclear),
        }
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        Ok(self.san.clone())
    }
}

/// A case's call as the JSON-RPC request that it is on the wire, with its arguments and its `_meta` as they were written.
pub fn message(call: &mcp_policy::cases::Call) -> String {
    use mcp_policy::wire::mcp::{Feature, takes_arguments};
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
    let arguments = call.arguments.as_ref().filter(|_| takes_arguments(call.method()));
    let responses = call.continues.then(|| "{}".to_owned());
    for (name, value) in
        [("arguments", arguments), ("inputResponses", responses.as_ref()), ("_meta", call.meta.as_ref())]
    {
        let Some(value) = value else { continue };
        params.pop();
        let comma = if params.ends_with('{') { "" } else { "," };
        params.push_str(&format!("{comma}\"{name}\":{value}}}"));
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

    /// The same, behind a proxy that knows callers.
    pub fn verified_by(proxy: Proxy, gate: &Rc<Gate>, store: &'s mut dyn Store, at: u64) -> Self {
        Self { exchange: Exchange::verified_by(Box::new(proxy), Rc::clone(gate)), ..Self::new(gate, store, at) }
    }

    /// Sends a request; its body comes in `chunks`, and ends with trailers if `trailers`.
    pub fn request(&mut self, headers: &Headers, chunks: &[&[u8]], trailers: bool) -> Fate {
        let end = chunks.is_empty() && !trailers;
        match self.exchange.request_headers(headers, end, self.now).step {
            Step::Reply(reply) => return Fate::Replied(reply),
            Step::Replace(_) | Step::Resize(_) | Step::Ask(_) => panic!("headers are not replaced"),
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
            Step::Replace(body) | Step::Resize(body) => Fate::Forwarded(body),
            Step::Wait | Step::Ask(_) => panic!("a whole request is not held"),
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
                Reading::Chunks => self.exchange.answer_chunk(chunk, end, self.store),
                Reading::Whole => {
                    held.extend_from_slice(chunk);
                    let opens = !end && self.exchange.answer_may_open(held.len());
                    match if opens { self.exchange.answer_opens(&held, self.store) } else { Step::Wait } {
                        Step::Wait if end => self.exchange.answer_whole(&held, self.store),
                        Step::Wait => self.exchange.answer_grows(held.len()),
                        step => step,
                    }
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
                Step::Reply(_) | Step::Resize(_) | Step::Ask(_) => panic!("too late for that"),
            }
        }
        assert!(held.is_empty(), "the answer's end was not reported");
        out
    }

    /// Ends the exchange; `details` is Envoy's word on who answered.
    pub fn end(&mut self, details: &str) {
        self.exchange.end(details, self.now, self.store);
    }
}

/// A store for one exchange.
pub fn store() -> MemoryStore {
    MemoryStore::default()
}
