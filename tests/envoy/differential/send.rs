//! Sends a case's bytes on one connection, and tells what came back.

use super::case::{Case, Gate, HOST};
use crate::support::http::{Framing, Head, Wire};
use crate::support::request::Request;
use serde_json::{Value, json};
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer through the gate may take: much longer than it does, and shorter than Envoy's own limits.
const PATIENCE: Duration = Duration::from_secs(15);
/// A server that is asked directly may as well wait for more.
const DIRECT_PATIENCE: Duration = Duration::from_secs(1);

/// What came back for one request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Its status, its content type and its body.
    Given(u16, String, Vec<u8>),
    /// The connection ended before one.
    None,
    /// Nothing came for so long that nothing will.
    Hang,
}

/// All that came back.
#[derive(Debug)]
pub(super) struct Outcome {
    /// For each request that was sent.
    pub(super) answers: Vec<Answer>,
    /// To an honest call behind them on the same connection, if that was still open.
    pub(super) after: Option<Answer>,
}

/// A connection that is sent to with patience.
struct Line {
    wire: Wire,
    stream: TcpStream,
    /// The other side says that it ends the connection; Envoy takes a second for that.
    is_ending: bool,
}

/// Sends `case` to the gate, then an honest call under the marker `MARKER.after`.
pub(super) fn send(address: SocketAddr, case: &Case, marker: &str) -> Outcome {
    let mut line = Line::open(address, PATIENCE);
    let mut outcome = Outcome { answers: Vec::new(), after: None };
    for request in &case.requests {
        // What breaks off here tells by its answer, or by none.
        let _ = line.wire.send(&request.bytes(marker));
        if case.ends_early {
            let _ = line.stream.shutdown(Shutdown::Write);
        }
        let is_whole = request.method() == b"POST";
        let answer = line.answer(is_whole, request.method() == b"HEAD");
        let goes_on = matches!(answer, Answer::Given(..)) && is_whole && !line.is_ending;
        outcome.answers.push(answer);
        if !goes_on {
            return outcome;
        }
    }
    if !case.ends_early {
        let call = r#"{"jsonrpc":"2.0","id":"after","method":"tools/call","params":{"name":"free","arguments":{}}}"#;
        let call = Request::post(call).without("host").with("host", HOST).with("x-case", format!("{marker}.after"));
        let _ = line.wire.send(&call.bytes());
        let mut answer = line.answer(true, false);
        // What was smuggled is answered first.
        while let Answer::Given(_, _, body) = &answer
            && case.requests.iter().any(|request| request.is_raw)
            && !body.windows(5).any(|part| part == b"after")
        {
            answer = line.answer(true, false);
        }
        outcome.after = Some(answer);
    }
    outcome
}

/// Sends `case` to a server as if there were no gate. What the server makes of it, it says itself.
pub(super) fn send_directly(address: SocketAddr, case: &Case, marker: &str) {
    let mut line = Line::open(address, DIRECT_PATIENCE);
    for request in &case.requests {
        let _ = line.wire.send(&request.bytes(marker));
        if case.ends_early {
            let _ = line.stream.shutdown(Shutdown::Write);
        }
        let answer = line.answer(request.method() == b"POST", request.method() == b"HEAD");
        if !matches!(answer, Answer::Given(..)) {
            return;
        }
    }
}

impl Line {
    fn open(address: SocketAddr, patience: Duration) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(patience)).expect("a read timeout");
        stream.set_write_timeout(Some(patience)).expect("a write timeout");
        let wire = Wire::new(stream.try_clone().expect("a second handle of a stream"));
        Self { wire, stream, is_ending: false }
    }

    /// Reads an answer; of what need not end only the head.
    fn answer(&mut self, is_whole: bool, is_head: bool) -> Answer {
        match self.read(is_whole, is_head) {
            Ok(Some(answer)) => answer,
            Ok(None) => Answer::None,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Answer::Hang,
            Err(_) => Answer::None,
        }
    }

    fn read(&mut self, is_whole: bool, is_head: bool) -> io::Result<Option<Answer>> {
        let head = loop {
            let Some(head) = self.wire.head()? else { return Ok(None) };
            if status(&head) != 100 {
                break head;
            }
        };
        self.is_ending = head.text("connection").eq_ignore_ascii_case("close");
        let mut body = Vec::new();
        let mut framing = if is_head || status(&head) == 204 { Framing::Done } else { head.framing() };
        // An error has an end, a stream need not.
        let is_whole = is_whole || matches!(framing, Framing::Sized(_));
        while let Some(piece) = if is_whole { self.wire.piece(&mut framing)? } else { None } {
            body.extend(piece);
        }
        Ok(Some(Answer::Given(status(&head), head.text("content-type"), body)))
    }
}

fn status(head: &Head) -> u16 {
    head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

impl Answer {
    /// Whether it is what the gate does by `gate`, under an id that is the request's if there is one. An answer of a
    /// server may have any form.
    pub(super) fn is(&self, gate: Gate) -> bool {
        let Self::Given(status, content_type, body) = self else {
            return gate == Gate::Closed && matches!(self, Self::None);
        };
        let message = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match gate {
            Gate::Forwarded | Gate::StandIn => true,
            Gate::Closed => false,
            Gate::Envoy(wanted) => *status == wanted,
            Gate::Empty(wanted) => *status == wanted && body.is_empty(),
            Gate::Policy => {
                let message = message();
                let text = message["result"]["content"][0]["text"].as_str().unwrap_or_default();
                *status == 200
                    && content_type == "application/json"
                    && message["result"]["isError"] == json!(true)
                    && text.starts_with("[POLICY DENIED] ")
                    && !message["id"].is_null()
            }
            Gate::Error(wanted, code) => {
                let message = message();
                *status == wanted
                    && content_type == "application/json"
                    && message["jsonrpc"] == "2.0"
                    && message["error"]["code"] == json!(code)
                    && message.get("id").is_some_and(|id| wanted != 200 || !id.is_null())
            }
        }
    }
}
