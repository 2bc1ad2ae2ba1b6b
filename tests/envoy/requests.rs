//! The requests of `tests/cases/requests.json` as HTTP through a real Envoy: on they go, byte for byte, or they are
//! refused with the same status, code, id and words as without it.

use super::support::envoy::Envoy;
use super::support::http::Response;
use super::support::parts::Parts;
use super::support::request::Request;
use super::support::setup::{Mode, Setup};
use super::support::upstream::{Answer, Upstream};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    body: Option<String>,
    body_bytes: Option<Vec<u8>>,
    #[serde(default)]
    trailers: bool,
    status: Option<u16>,
    code: Option<i64>,
    id: Option<String>,
    text: Option<String>,
}

impl Row {
    fn body(&self) -> Option<Vec<u8>> {
        self.body_bytes.clone().or_else(|| self.body.clone().map(String::into_bytes))
    }

    /// Why HTTP has no such request, if so.
    fn is_no_request(&self) -> Option<&'static str> {
        let has = |name: &str, value: &str| {
            self.headers
                .iter()
                .any(|(header, found)| header == name && (value.is_empty() || found.as_deref() == Some(value)))
        };
        if has("content-length", "") {
            return Some("its length is not that of its body");
        }
        // Envoy answers by itself.
        has(":method", "post").then_some("Envoy knows no such method")
    }

    fn request(&self) -> Request {
        let mut request = match self.body() {
            Some(body) => Request::post(body),
            None if self.trailers => Request::post(""),
            None => Request::get("/mcp")
                .by("POST")
                .with("accept", "application/json, text/event-stream")
                .with("content-type", "application/json"),
        };
        for (name, _) in &self.headers {
            request = request.without(name);
        }
        for (name, value) in &self.headers {
            match (name.as_str(), value) {
                (":method", Some(method)) => request = request.by(method.clone().leak()),
                (_, Some(value)) => request = request.with(name, value),
                (_, None) => {}
            }
        }
        if self.trailers { request.with_trailer("x-trailer", "1") } else { request }
    }

    fn check(&self, response: &Response) {
        let name = &self.name;
        assert_eq!(Some(response.status), self.status, "{name}: {response:?}");
        let text = response.text();
        if text.is_empty() {
            assert_eq!((self.code, self.id.as_ref()), (None, None), "{name}: the answer is empty");
            return;
        }
        let id = self.id.as_deref().unwrap_or("null");
        assert!(text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{name}: {text}");
        let answer: Value = response.json();
        assert_eq!(answer["error"]["code"].as_i64(), self.code, "{name}: {text}");
        assert_eq!(answer["result"]["isError"].as_bool(), self.code.is_none().then_some(true), "{name}");
        assert!(text.contains(self.text.as_deref().unwrap_or_default()), "{name}: {text}");
    }
}

/// Each row in turn; a request that goes on is answered by an empty 202.
fn go_on_or_are_refused(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    // The policy that `tests/cases.rs` asks.
    let policy = json!({
        "version": "1",
        "default": "allow",
        "hide": ["hidden"],
        "prompts": { "hide": ["hidden"] },
        "resources": { "hide": ["file:///etc/*"] },
        "methods": { "deny": ["logging/*"] }
    });
    let upstream = Upstream::start(|_| Answer::new("", "").status(202).with("x-ran", "1"));
    let setup = Setup::new(&policy).mode(mode).with("max_body_bytes", 200);
    let envoy = Envoy::start(&parts, name, &setup.render(name, upstream.address));
    let rows: Vec<Row> = serde_json::from_str(include_str!("../cases/requests.json")).expect("rows");
    let (mut forwarded, mut refused, mut skipped) = (Vec::new(), 0, Vec::new());
    for row in &rows {
        if let Some(why) = row.is_no_request() {
            skipped.push((row.name.as_str(), why));
            continue;
        }
        // A connection of its own, because Envoy closes some of them after an error.
        let response = envoy.connect().exchange(&row.request());
        if row.status.is_some() {
            assert_eq!(response.head.text("x-ran"), "", "{}: it reached the server", row.name);
            row.check(&response);
            refused += 1;
        } else {
            assert_eq!((response.status, response.head.text("x-ran").as_str()), (202, "1"), "{}", row.name);
            forwarded.push(row.body().unwrap_or_default());
        }
    }
    assert_eq!(envoy.traps(), 0);
    drop(envoy);
    let received = upstream.settled().into_iter().filter(|request| request.is_whole).map(|request| request.body);
    assert_eq!(received.collect::<Vec<_>>(), forwarded, "{name}: what reached the server");
    assert!(forwarded.len() > 15 && refused > 75, "{} on, {refused} refused", forwarded.len());
    assert!(skipped.len() < 5, "not asked: {skipped:?}");
}

#[test]
fn each_request_goes_on_or_is_refused_with_held_headers() {
    go_on_or_are_refused("requests-held", Mode::Held);
}

#[test]
fn each_request_goes_on_or_is_refused_without_held_headers() {
    go_on_or_are_refused("requests-fallback", Mode::Fallback);
}
