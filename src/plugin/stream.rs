//! One HTTP stream: callbacks → [`Exchange`] → host calls.
//!
//! Whatever a host call fails at, the stream does not go on: the client gets a 500 of ours where an
//! answer is still possible, else the stream is held until Envoy's own timeout ends it.

use super::hall::Hall;
use super::host::{self, HostError, Properties, SharedData};
use crate::approvals::book;
use crate::config::{Gate, Log};
use crate::exchange::{Exchange, HeaderEdit, HeaderStep, Reading, Reply, Step};
use crate::policy::Outcome;
use crate::recent::{Place, Recent};
use crate::timestamp::Timestamp;
use crate::wire::jsonrpc::INTERNAL_ERROR;
use crate::wire::reply;
use log::{error, info, warn};
use proxy_wasm::types::{Action, BufferType, MapType};
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// The filter state `wasm.mcp_policy`, which access logs print.
const RECORD: &str = "mcp_policy";

pub(super) struct Stream {
    /// Its number, by which the host knows it.
    id: u32,
    /// Where it is found again from outside its own callbacks.
    this: Weak<RefCell<Self>>,
    hall: Rc<Hall>,
    exchange: Option<Exchange>,
    /// Bytes of the request's body that the host holds.
    request_bytes: usize,
    /// Bytes of a held answer.
    answer_bytes: usize,
    /// The call to the rate limit service that the request waits for.
    call: Option<u32>,
    is_logged: bool,
    broken: Option<Side>,
    recent: Rc<Recent>,
    /// Where its decision is among the last ones.
    place: Option<Place>,
}

/// Which half of the stream a host call failed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

impl Side {
    /// What the later callbacks of an answer are told.
    fn on_answer(self) -> Action {
        match self {
            // It is our own 500 that comes back through here.
            Self::Request => Action::Continue,
            Self::Answer => Action::Pause,
        }
    }
}

impl Stream {
    pub(super) fn new(
        id: u32,
        this: Weak<RefCell<Self>>,
        gate: Option<Rc<Gate>>,
        recent: Rc<Recent>,
        hall: Rc<Hall>,
    ) -> Self {
        let exchange = gate.map(|gate| Exchange::verified_by(Box::new(Properties), gate).in_room(hall.room()));
        Self {
            id,
            this,
            hall,
            recent,
            place: None,
            exchange,
            request_bytes: 0,
            answer_bytes: 0,
            call: None,
            is_logged: false,
            broken: None,
        }
    }

    fn request_whole(&mut self) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Pause) };
        let body = host::buffer(BufferType::HttpRequestBody, self.request_bytes)?;
        let step = exchange.request_whole(&body, host::now(), &mut SharedData);
        self.take(BufferType::HttpRequestBody, self.request_bytes, step)
    }

    fn answer_comes(&mut self, size: usize, end_of_stream: bool) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Continue) };
        let read = || host::buffer(BufferType::HttpResponseBody, size);
        // What its kind is told by is all that has come, and is not asked for again.
        let mut bytes = None;
        if exchange.answer_reading() == Reading::Beginning {
            let beginning = read()?;
            exchange.answer_begins(&beginning, end_of_stream);
            bytes = Some(beginning);
        }
        let reading = exchange.answer_reading();
        if matches!(reading, Reading::Beginning | Reading::Whole) {
            self.answer_bytes = size;
        }
        let step = match reading {
            Reading::Nothing => return Ok(Action::Continue),
            Reading::Beginning => return Ok(Action::Pause),
            Reading::Whole if !end_of_stream => return self.answer_grows(size),
            Reading::Whole => exchange.answer_whole(&bytes.map_or_else(read, Ok)?, &mut SharedData),
            Reading::Chunks => exchange.answer_chunk(&bytes.map_or_else(read, Ok)?, end_of_stream, &mut SharedData),
        };
        self.take(BufferType::HttpResponseBody, size, step)
    }

    /// With trailers, no body callback says that the body is whole.
    fn answer_whole(&mut self) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Pause) };
        let body = host::buffer(BufferType::HttpResponseBody, self.answer_bytes)?;
        let step = exchange.answer_whole(&body, &mut SharedData);
        self.take(BufferType::HttpResponseBody, self.answer_bytes, step)
    }

    fn answer_grows(&mut self, size: usize) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Pause) };
        let step = if exchange.answer_may_open(size) {
            let bytes = host::buffer(BufferType::HttpResponseBody, size)?;
            exchange.answer_opens(&bytes, &mut SharedData)
        } else {
            Step::Wait
        };
        let step = if step == Step::Wait { exchange.answer_grows(size) } else { step };
        self.take(BufferType::HttpResponseBody, size, step)
    }

    fn take_headers(&mut self, kind: MapType, step: HeaderStep) -> Result<Action, HostError> {
        host::edit_headers(kind, step.edits)?;
        match step.step {
            // Headers have no bytes to replace.
            Step::Replace(_) | Step::Resize(_) | Step::Ask(_) | Step::Hold => Err(HostError::IMPOSSIBLE),
            step => self.take(BufferType::HttpRequestBody, 0, step),
        }
    }

    /// Does what a step says; `visible`: the bytes of `buffer` that it is about.
    fn take(&mut self, buffer: BufferType, visible: usize, step: Step) -> Result<Action, HostError> {
        self.log_decision();
        match step {
            Step::Continue => Ok(Action::Continue),
            Step::Wait => Ok(Action::Pause),
            Step::Replace(bytes) => host::replace_buffer(buffer, visible, &bytes).map(|()| Action::Continue),
            Step::Resize(bytes) => {
                host::edit_headers(MapType::HttpRequestHeaders, &[HeaderEdit::Remove("content-length")])?;
                host::replace_buffer(buffer, visible, &bytes).map(|()| Action::Continue)
            }
            Step::Reply(reply) => host::reply(&reply).map(|()| Action::Pause),
            Step::Ask(message) => self.ask(buffer, visible, &message),
            Step::Hold => {
                self.hall.enter(Weak::clone(&self.this));
                Ok(Action::Pause)
            }
        }
    }

    /// Makes a request of the rate limit service; where that is not possible, the exchange is told at once.
    fn ask(&mut self, buffer: BufferType, visible: usize, message: &[u8]) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Pause) };
        let service = exchange.gate().limits.service().ok_or(HostError::IMPOSSIBLE)?;
        match host::ask(service, message) {
            Ok(call) => {
                self.call = Some(call);
                Ok(Action::Pause)
            }
            Err(failure) => {
                error!("the rate limit service cannot be called: {failure:?}");
                let step = exchange.limits_counted(None, host::now(), &mut SharedData);
                self.take(buffer, visible, step)
            }
        }
    }

    /// Nobody waits for the service any more.
    fn forget_call(&mut self) {
        if let Some(call) = self.call.take() {
            host::cancel(call);
        }
    }

    /// The service's answer has come, or will not.
    fn answered(&mut self, status: u32, size: usize) -> Result<(), HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let reply = match status {
            host::GRPC_OK => Some(host::buffer(BufferType::GrpcReceiveBuffer, size)?),
            _ => None,
        };
        let step = exchange.limits_counted(reply.as_deref(), host::now(), &mut SharedData);
        let action = self.take(BufferType::HttpRequestBody, self.request_bytes, step)?;
        if action == Action::Continue { host::resume_request() } else { Ok(()) }
    }

    /// Whether a person is still asked; `now` and `waiting` as they are for all that is held.
    pub(super) fn is_awaited(&self, waiting: Option<&book::Waiting>, now: Timestamp) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.is_awaited(waiting, now))
    }

    /// Judges a call once more that was held. INVARIANT: the host was told that this stream is meant.
    pub(super) fn hold_ended(&mut self) {
        // One that has left, or is broken, is not looked at again.
        if self.broken.is_some() || !self.exchange.as_ref().is_some_and(Exchange::is_held) {
            return;
        }
        let result = self.request_again();
        self.act(Side::Request, result);
    }

    fn request_again(&mut self) -> Result<Action, HostError> {
        let Some(exchange) = &mut self.exchange else { return Ok(Action::Pause) };
        let body = host::buffer(BufferType::HttpRequestBody, self.request_bytes)?;
        let step = exchange.hold_ended(&body, host::now(), &mut SharedData);
        let action = self.take(BufferType::HttpRequestBody, self.request_bytes, step)?;
        if action == Action::Continue {
            host::resume_request()?;
        }
        Ok(action)
    }

    /// The host's number of this stream.
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// The call to the rate limit service that it waits for.
    pub(super) const fn call(&self) -> Option<u32> {
        self.call
    }

    /// Writes the decision to Envoy's log, once, when it is made.
    fn log_decision(&mut self) {
        let Some(exchange) = self.exchange.as_ref().filter(|_| !self.is_logged) else { return };
        let Some(record) = exchange.record() else { return };
        self.is_logged = true;
        // Of a refusal nothing more will be known.
        if !record.outcome.goes_on() {
            self.place = self.recent.keep(record, None, &mut SharedData);
        }
        match (record.outcome, exchange.gate().settings.log) {
            (Outcome::Denied | Outcome::ApprovalRequired | Outcome::ShadowDenied, Log::Refusals | Log::All) => {
                warn!("{}", record.to_line())
            }
            (Outcome::Allowed, Log::All) => info!("{}", record.to_line()),
            (Outcome::Allowed, Log::Refusals) | (_, Log::None) => {}
        }
    }

    /// Keeps what goes on among the last decisions, as it stands; its line.
    fn keep_decision(&mut self) -> Option<String> {
        let record = self.exchange.as_ref().and_then(Exchange::record)?;
        let line = record.to_line();
        if record.outcome.goes_on() {
            self.place = self.recent.keep_line(record, &line, self.place, &mut SharedData);
        }
        Some(line)
    }

    /// INVARIANT: a failed host call never lets anything through.
    fn act(&mut self, side: Side, result: Result<Action, HostError>) -> Action {
        result.unwrap_or_else(|failure| {
            error!("host call failed: {failure:?}");
            if self.broken.replace(side).is_none() {
                let body = reply::error(None, INTERNAL_ERROR, "Internal policy error");
                let failed = Reply { status: 500, headers: Vec::new(), body, details: "mcp_policy_error" };
                // Where no answer of ours is possible any more, none of the server's passes either.
                if host::reply(&failed).is_err() {
                    self.broken = Some(Side::Answer);
                }
            }
            Action::Pause
        })
    }
}

/// Its callbacks.
impl Stream {
    pub(super) fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        if self.broken.is_some() || self.call != Some(token) {
            return;
        }
        self.call = None;
        let result = self.answered(status, size).map(|()| Action::Pause);
        self.act(Side::Request, result);
    }

    pub(super) fn on_http_request_headers(&mut self, end_of_stream: bool) -> Action {
        let result = host::headers(MapType::HttpRequestHeaders).and_then(|headers| {
            // Without a gate in force there is no policy to pass.
            let exchange = self.exchange.as_mut().ok_or(HostError::IMPOSSIBLE)?;
            let step = exchange.request_headers(&headers, end_of_stream, host::now());
            self.take_headers(MapType::HttpRequestHeaders, step)
        });
        self.act(Side::Request, result)
    }

    pub(super) fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.broken.is_some() {
            return Action::Pause;
        }
        // While held, the host reports the total.
        self.request_bytes = size;
        let result = if end_of_stream {
            self.request_whole()
        } else {
            match &mut self.exchange {
                Some(exchange) => {
                    let step = exchange.request_grows(size, host::now());
                    self.take(BufferType::HttpRequestBody, size, step)
                }
                None => Ok(Action::Pause),
            }
        };
        self.act(Side::Request, result)
    }

    /// With trailers, no body callback says that the body is whole.
    pub(super) fn on_http_request_trailers(&mut self) -> Action {
        if self.broken.is_some() {
            return Action::Pause;
        }
        let result = self.request_whole();
        self.act(Side::Request, result)
    }

    pub(super) fn on_http_response_headers(&mut self, end_of_stream: bool) -> Action {
        // A request that is answered before it went on does not go on any more.
        self.forget_call();
        if let Some(exchange) = &mut self.exchange {
            exchange.leave();
        }
        if let Some(side) = self.broken {
            return side.on_answer();
        }
        let Some(exchange) = &mut self.exchange else { return Action::Continue };
        let result = host::headers(MapType::HttpResponseHeaders);
        let result = match result {
            Ok(headers) => {
                let step = exchange.answer_headers(&headers, end_of_stream);
                self.take_headers(MapType::HttpResponseHeaders, step)
            }
            Err(failure) => Err(failure),
        };
        // It may last for hours, so its decision does not wait for its end.
        if !end_of_stream && self.exchange.as_ref().is_some_and(|exchange| exchange.answer_reading() == Reading::Chunks)
        {
            self.keep_decision();
        }
        self.act(Side::Answer, result)
    }

    pub(super) fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(side) = self.broken {
            return side.on_answer();
        }
        let result = self.answer_comes(size, end_of_stream);
        self.act(Side::Answer, result)
    }

    pub(super) fn on_http_response_trailers(&mut self) -> Action {
        if let Some(side) = self.broken {
            return side.on_answer();
        }
        // An event stream's last event passes only with its blank line: here nothing can be added to a body
        // that is not held. Blanks alone, whose kind was never told, go as they are.
        let reading = self.exchange.as_ref().map_or(Reading::Nothing, Exchange::answer_reading);
        let result = match reading {
            Reading::Whole => self.answer_whole(),
            Reading::Chunks | Reading::Beginning | Reading::Nothing => Ok(Action::Continue),
        };
        self.act(Side::Answer, result)
    }

    pub(super) fn on_log(&mut self) {
        self.forget_call();
        let Some(exchange) = &mut self.exchange else { return };
        // Where the host does not tell, whether the call ran is in doubt.
        let details = || host::property(["response", "code_details"]).ok().flatten();
        let details = exchange.is_unsettled().then(details).flatten().unwrap_or_default();
        exchange.end(&String::from_utf8_lossy(&details), host::now(), &mut SharedData);
        // Of a call whose client left while it was held.
        self.log_decision();
        let Some(line) = self.keep_decision() else { return };
        let Some(exchange) = &self.exchange else { return };
        let Some(record) = exchange.record() else { return };
        let is_silent = exchange.gate().settings.log == Log::None || !record.outcome.goes_on();
        if let Some(limits) = record.limits.filter(|_| !is_silent) {
            warn!("limits {limits}, because the rate limit service did not count them: {line}");
        }
        if let Some(answer) = record.answer.as_ref().filter(|_| exchange.gate().settings.log != Log::None) {
            warn!("answer {answer}: {line}");
        }
        if let Err(failure) = host::set_filter_state(RECORD, &line) {
            error!("the decision record could not be kept: {failure:?}");
        }
    }
}
