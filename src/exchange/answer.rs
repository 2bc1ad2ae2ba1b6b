//! The answer's side: what is hidden leaves every list, requests of the server that policy refuses are
//! dropped, and what could hide a list and cannot be read does not pass.

use super::request::Asked;
use super::settlement::upstream;
use super::{Exchange, HeaderEdit, HeaderStep, Headers, Phase, Reading, Reply, Step};
use crate::policy::{Outcome, Policy, Store};
use crate::record::bounded;
use crate::timestamp::Timestamp;
use crate::wire::jsonrpc::INTERNAL_ERROR;
use crate::wire::mcp::{Feature, List};
use crate::wire::media_type::{MediaType, is_ambiguous};
use crate::wire::reply;
use crate::wire::sse::{Decoder, Event, Verdict, could_be_json};
use crate::wire::to_client::{self, Filter, Filtered, Unreadable};
use std::fmt::Display;

/// The largest JSON answer, and the largest event of a stream, that is read; a larger one is not passed.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// UTF-8's, which clients pass over before JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const REFUSED: &str = "it is a request that is not permitted by policy";

/// The body may change its size.
const RESIZE: &[HeaderEdit] = &[HeaderEdit::Remove("content-length")];
/// A list may change: what names its bytes goes too.
const RELIST: &[HeaderEdit] = &[
    HeaderEdit::Remove("content-length"),
    HeaderEdit::Remove("etag"),
    HeaderEdit::Remove("digest"),
    HeaderEdit::Remove("content-digest"),
    HeaderEdit::Remove("repr-digest"),
];
/// The same where the body will be JSON whatever the server called it.
const SUBSTITUTE: &[HeaderEdit] = &[
    HeaderEdit::Remove("content-length"),
    HeaderEdit::Remove("etag"),
    HeaderEdit::Remove("digest"),
    HeaderEdit::Remove("content-digest"),
    HeaderEdit::Remove("repr-digest"),
    HeaderEdit::Set("content-type", "application/json"),
];

/// How the body of an answer is treated.
#[derive(Debug, Default)]
pub(super) enum Answer {
    /// It cannot carry a list.
    #[default]
    Pass,
    /// Of no type that says how it is read: its first visible byte will tell.
    Unlabelled,
    /// One JSON text.
    Whole {
        /// It must hold this list.
        wanted: Option<List>,
    },
    /// An event stream.
    Events(Box<Decoder>, Progress),
    /// It is replaced by an error; the flag tells whether that has left.
    Substitute { reason: &'static str, sent: bool },
}

/// What of an event stream has passed.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The answer to the request was among it.
    answered: bool,
    /// That answer was a JSON-RPC error.
    has_error: bool,
    /// An event did not pass that may have been that answer.
    withheld: bool,
}

impl Exchange {
    /// The answer's headers have come; `end_of_stream`: there is no body.
    pub fn answer_headers(&mut self, headers: &Headers, end_of_stream: bool) -> HeaderStep {
        if self.phase == Phase::Answered {
            return HeaderStep::plain(Step::Continue);
        }
        let status = headers.first(":status").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let status: u16 = status.unwrap_or(0);
        if let Some(record) = &mut self.record {
            record.upstream_status = Some(status);
        }
        if self.policy().is_none() {
            // Only where headers are not held: nothing will be forwarded, and nothing can be shown.
            return self.reject("it came before the request was judged");
        }
        let media_type = MediaType::of_response(headers.first("content-type"));
        // A legacy server answers 202 here and sends the list elsewhere; an error page holds no list.
        let is_accepted = status == 202;
        let list = self.asked.lists.filter(|_| !is_accepted);
        let wanted = list.filter(|_| status < 400);
        if end_of_stream {
            return match wanted {
                Some(list) => self.reject(without(list)),
                None => HeaderStep::plain(Step::Continue),
            };
        }
        let is_plain = match headers.only("content-encoding") {
            Ok(encoding) => encoding.is_none_or(|value| value.trim_ascii().eq_ignore_ascii_case(b"identity")),
            Err(()) => false,
        };
        if !is_plain {
            return self.reject("it came encoded although it was asked for plain");
        }
        if is_ambiguous(headers.values("content-type")) {
            return self.reject("its content-type is given in two ways");
        }
        let edits;
        (self.answer, edits) = match media_type {
            MediaType::EventStream => {
                (Answer::Events(Box::new(Decoder::new(MAX_ANSWER_BYTES)), Progress::default()), RESIZE)
            }
            MediaType::Other if list.is_some() => {
                (Answer::Substitute { reason: "it is neither JSON nor an event stream", sent: false }, SUBSTITUTE)
            }
            MediaType::Absent if wanted.is_some() => (Answer::Whole { wanted }, SUBSTITUTE),
            MediaType::Json if wanted.is_some() => (Answer::Whole { wanted }, RELIST),
            // Some clients read an event stream whatever its type, and a type may be wrong.
            MediaType::Json | MediaType::Absent | MediaType::Other => (Answer::Unlabelled, RESIZE),
        };
        HeaderStep { edits, step: Step::Continue }
    }

    /// An answer that is not passed on at all.
    fn reject(&mut self, reason: &'static str) -> HeaderStep {
        self.note(reason);
        self.phase = Phase::Answered;
        HeaderStep::plain(Step::Reply(self.asked.unreadable(reason)))
    }

    /// The answer's first bytes have come, all of them held: tells how the rest is read. While they are but
    /// blanks or a byte order mark, more of them are needed.
    pub fn answer_begins(&mut self, bytes: &[u8], end_of_stream: bool) {
        let mut text = bytes.trim_ascii_start();
        if self.asked.is_bare {
            text = text.strip_prefix(BYTE_ORDER_MARK).map_or(text, <[u8]>::trim_ascii_start);
        }
        // A mark that has not come whole tells as little as blanks.
        let tells = if self.asked.is_bare { !BYTE_ORDER_MARK.starts_with(text) } else { !text.is_empty() };
        if !matches!(self.answer, Answer::Unlabelled) || !tells && !end_of_stream {
            return;
        }
        // On a GET no client reads JSON in another encoding than UTF-8, and what is no text may be a file.
        let is_json = match text.first() {
            Some(b'{' | b'[') => true,
            Some(first) => !self.asked.is_bare && !first.is_ascii_graphic(),
            None => false,
        };
        self.answer = if is_json {
            Answer::Whole { wanted: None }
        } else {
            Answer::Events(Box::new(Decoder::new(MAX_ANSWER_BYTES)), Progress::default())
        };
    }

    /// How the answer's body is to be reported.
    #[must_use]
    pub fn answer_reading(&self) -> Reading {
        match &self.answer {
            Answer::Unlabelled => Reading::Beginning,
            Answer::Whole { .. } => Reading::Whole,
            Answer::Events(..) | Answer::Substitute { .. } => Reading::Chunks,
            Answer::Pass => Reading::Nothing,
        }
    }

    /// So many bytes of the answer have come, and it is not whole. [`Step::Replace`] replaces all of them.
    pub fn answer_grows(&mut self, bytes: usize) -> Step {
        if bytes <= MAX_ANSWER_BYTES {
            return Step::Wait;
        }
        let reason = "it is too large to be read";
        self.answer = Answer::Substitute { reason, sent: true };
        self.note(reason);
        Step::Replace(self.asked.error(None, reason))
    }

    /// The answer is whole, by its end or by trailers.
    pub fn answer_whole(&mut self, body: &[u8]) -> Step {
        let Answer::Whole { wanted } = &self.answer else { return Step::Continue };
        let policy = self.caller.as_ref().and_then(|caller| self.gate.policy_for(caller));
        let Some(policy) = policy else { return Step::Replace(Vec::new()) };
        let mut notes = Vec::new();
        let step = match self.asked.filter(body, *wanted, policy, &mut self.has_error, &mut notes) {
            Ok(None) => Step::Continue,
            Ok(Some(replaced)) => Step::Replace(replaced),
            Err((reason, error)) => {
                notes.push(withheld(reason));
                Step::Replace(error)
            }
        };
        self.note_all(notes);
        step
    }

    /// The next chunk of an event stream has come.
    pub fn answer_chunk(&mut self, chunk: &[u8], end_of_stream: bool) -> Step {
        let (mut notes, asked) = (Vec::new(), &self.asked);
        let step = match &mut self.answer {
            Answer::Events(decoder, progress) => {
                let policy = self.caller.as_ref().and_then(|caller| self.gate.policy_for(caller));
                let Some(policy) = policy else { return Step::Replace(Vec::new()) };
                let mut out = decoder.push(chunk, &mut |event| asked.judge(event, policy, progress, &mut notes));
                if end_of_stream {
                    let mut rest = decoder.finish(&mut |event| asked.judge(event, policy, progress, &mut notes));
                    rest.extend(asked.last_word(progress));
                    if !rest.is_empty() {
                        out.get_or_insert_with(|| chunk.to_vec()).extend(rest);
                    }
                }
                self.has_error |= progress.has_error;
                out.map_or(Step::Continue, Step::Replace)
            }
            Answer::Substitute { reason, sent } => {
                let first = !std::mem::replace(sent, true);
                let error = if first { asked.error(None, reason) } else { Vec::new() };
                notes.extend(first.then(|| withheld(reason)));
                Step::Replace(error)
            }
            Answer::Pass | Answer::Unlabelled | Answer::Whole { .. } => Step::Continue,
        };
        self.note_all(notes);
        step
    }

    /// Whether the call holds what its end may give back: only then [`Exchange::end`] needs `details`.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.reservation.is_empty()
    }

    /// The exchange is over; settles the call's limits and completes the record. `details` is the host's own
    /// word on who answered (`%RESPONSE_CODE_DETAILS%`).
    pub fn end(&mut self, details: &str, now: Timestamp, store: &mut dyn Store) {
        let (Phase::Forwarded, Some(record)) = (self.phase, &mut self.record) else { return };
        record.latency_ms = Some(now.millis().saturating_sub(self.judged_at));
        if upstream(record.upstream_status, details, self.has_error).refunds() {
            record.rolled_back = !self.reservation.is_empty();
            std::mem::take(&mut self.reservation).refund(store);
        }
    }

    fn note(&mut self, reason: &str) {
        self.note_all(vec![withheld(reason)]);
    }

    /// The record keeps the first note. A stream of its own (GET) gets a record only for one.
    fn note_all(&mut self, notes: Vec<String>) {
        let Some(note) = notes.into_iter().next() else { return };
        if self.record.is_none() && self.asked.is_bare {
            self.record = Some(self.start_record(Timestamp::from_millis(self.judged_at)));
        }
        if let Some(record) = &mut self.record {
            record.answer.get_or_insert(note);
        }
    }
}

impl Asked {
    /// Takes what is hidden out of one JSON answer; `Err` has the reason and what to send instead.
    fn filter(
        &self,
        body: &[u8],
        wanted: Option<List>,
        policy: &Policy,
        has_error: &mut bool,
        notes: &mut Vec<String>,
    ) -> Result<Option<Vec<u8>>, (&'static str, Vec<u8>)> {
        match filter(body, policy, notes) {
            // Its id is the server's own; the client waits for an answer under its own.
            Ok(filtered) if filtered.is_refused => Err(self.fault(None, REFUSED)),
            Ok(filtered) => match wanted {
                Some(list) if !filtered.lists.contains(&list) && !filtered.has_error => {
                    Err(self.fault(filtered.id, without(list)))
                }
                _ => {
                    *has_error |= filtered.has_error && filtered.id == self.id;
                    Ok(self.restored(filtered.replaced, body))
                }
            },
            Err(unreadable) => Err(self.fault(unreadable.id, unreadable.reason)),
        }
    }

    fn fault(&self, id: Option<String>, reason: &'static str) -> (&'static str, Vec<u8>) {
        (reason, self.error(id.as_deref(), reason))
    }

    /// Judges one event by its data alone.
    fn judge(&self, event: &Event<'_>, policy: &Policy, progress: &mut Progress, notes: &mut Vec<String>) -> Verdict {
        if event.oversized || event.ambiguous {
            notes.push(withheld(if event.oversized {
                "an event is too large to be read"
            } else {
                "an event has no single reading"
            }));
            progress.withheld = true;
            return Verdict::Drop;
        }
        // Without data nothing is delivered: comments, `id` and `retry` alone.
        let Some(data) = event.data.as_deref().filter(|data| !data.trim_ascii().is_empty()) else {
            return Verdict::Keep;
        };
        let (id, reason) = match filter(data, policy, notes) {
            Ok(filtered) if filtered.is_refused => {
                progress.withheld |= filtered.has_result || filtered.has_error;
                return Verdict::Drop;
            }
            Ok(filtered) => match self.lists.filter(|list| filtered.has_result && !filtered.lists.contains(list)) {
                Some(list) => (filtered.id, without(list)),
                None => {
                    let is_answer = (filtered.has_result || filtered.has_error) && filtered.id == self.id;
                    progress.answered |= is_answer;
                    progress.has_error |= is_answer && filtered.has_error;
                    return self.restored(filtered.replaced, data).map_or(Verdict::Keep, Verdict::Replace);
                }
            },
            Err(_) if !matches!(event.kind, b"" | b"message") && !could_be_json(data) => return Verdict::Keep,
            Err(unreadable) => (unreadable.id, unreadable.reason),
        };
        notes.push(withheld(reason));
        if let Some(id) = id {
            progress.answered |= self.id.as_ref() == Some(&id);
            return Verdict::Replace(self.error(Some(&id), reason));
        }
        progress.withheld = true;
        Verdict::Drop
    }

    /// What ends an event stream whose answer may be among the events that did not pass: without it the
    /// client would wait.
    fn last_word(&self, progress: &Progress) -> Vec<u8> {
        if progress.answered || !progress.withheld || self.id.is_none() {
            return Vec::new();
        }
        let error = self.error(None, "an event could not be read");
        [b"\n\nevent: message\ndata: ", error.as_slice(), b"\n\n"].concat()
    }

    /// The bytes to send, with a hidden tool's name in the place of the one that went upstream.
    fn restored(&self, replaced: Option<Vec<u8>>, original: &[u8]) -> Option<Vec<u8>> {
        let Some(stand_in) = &self.stand_in else { return replaced };
        stand_in.restore(replaced.as_deref().unwrap_or(original)).or(replaced)
    }

    fn error(&self, id: Option<&str>, reason: &str) -> Vec<u8> {
        let message = format!("The server's answer was not passed on by the policy gateway: {reason}");
        reply::error(id.or(self.id.as_deref()), INTERNAL_ERROR, &message)
    }

    fn unreadable(&self, reason: &str) -> Reply {
        let status = if self.id.is_some() { 200 } else { 502 };
        Reply { status, headers: &[], body: self.error(None, reason), details: "mcp_answer_unreadable" }
    }
}

/// What of one message may flow to the client under `policy`.
fn filter(message: &[u8], policy: &Policy, notes: &mut Vec<String>) -> Result<Filtered, Unreadable> {
    let visible = |feature: Feature, name: &str| policy.visible(feature, name);
    let mut permits = |method: &str| {
        let decision = policy.decide_server_request(method);
        let what = format!("the server's request {}, by {}", reply::string(&bounded(method)), decision.rule);
        match decision.outcome {
            Outcome::Allowed => {}
            Outcome::ShadowDenied => notes.push(format!("passed on in shadow mode: {what}")),
            Outcome::Denied | Outcome::ApprovalRequired => notes.push(withheld(what)),
        }
        decision.outcome.goes_on()
    };
    let permits: Option<&mut dyn FnMut(&str) -> bool> = if policy.judges_methods() { Some(&mut permits) } else { None };
    to_client::rewrite(message, Filter { visible: &visible, permits })
}

fn withheld(what: impl Display) -> String {
    format!("not passed on: {what}")
}

fn without(list: List) -> &'static str {
    match list {
        List::Tools => "it holds no list of tools",
        List::Prompts => "it holds no list of prompts",
        List::Resources => "it holds no list of resources",
        List::ResourceTemplates => "it holds no list of resource templates",
    }
}
