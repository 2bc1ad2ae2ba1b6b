//! The answer's side: what is hidden leaves every list, requests of the server that policy refuses are
//! dropped, and what could hide a list and cannot be read does not pass.

use super::asked::Progress;
use super::passage::{Passage, withheld};
use super::settlement::upstream;
use super::{Exchange, HeaderEdit, HeaderStep, Headers, Phase, Reading, Step};
use crate::policy::Store;
use crate::timestamp::Timestamp;
use crate::wire::list_stream::{Flow, ListStream};
use crate::wire::mcp::List;
use crate::wire::media_type::{MediaType, is_ambiguous};
use crate::wire::sse::Decoder;

/// The largest JSON answer, and the largest event of a stream, that is read; a larger one is not passed.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A list in JSON flows once so much of its answer has come; a shorter answer is held until it is whole, and judged as a
/// whole.
pub const LONG_LIST_BYTES: usize = 256 << 10;

/// UTF-8's, which clients pass over before JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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
        /// At how many bytes it is looked for a list that has begun.
        look_at: usize,
    },
    /// One JSON text whose long list flows.
    Listing(Box<ListStream>),
    /// An event stream.
    Events(Box<Decoder>, Progress),
    /// It is replaced by an error; the flag tells whether that has left.
    Substitute { reason: &'static str, sent: bool },
}

impl Answer {
    fn whole(wanted: Option<List>) -> Self {
        Self::Whole { wanted, look_at: LONG_LIST_BYTES }
    }
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
            MediaType::Absent if wanted.is_some() => (Answer::whole(wanted), SUBSTITUTE),
            MediaType::Json if wanted.is_some() => (Answer::whole(wanted), RELIST),
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
            Answer::whole(None)
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
            Answer::Events(..) | Answer::Listing(..) | Answer::Substitute { .. } => Reading::Chunks,
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

    /// Whether so many bytes of a held answer are worth [`Exchange::answer_opens`].
    #[must_use]
    pub fn answer_may_open(&self, bytes: usize) -> bool {
        matches!(self.answer, Answer::Whole { look_at, .. } if bytes >= look_at) && self.asked.stand_in.is_none()
    }

    /// All bytes that are held of an answer which is not whole. If a list has begun in them, the answer flows from here
    /// on, and [`Step::Replace`] replaces all of them.
    pub fn answer_opens(&mut self, bytes: &[u8], store: &mut dyn Store) -> Step {
        let Answer::Whole { look_at, .. } = &mut self.answer else { return Step::Wait };
        *look_at = bytes.len().saturating_mul(2);
        let passage = Passage::new(&self.gate, self.caller.as_ref(), store);
        let Some(mut passage) = passage else { return Step::Wait };
        let opened = ListStream::open(bytes, &mut passage);
        let mut notes = passage.notes;
        let step = match opened {
            Ok(None) => return Step::Wait,
            Ok(Some((stream, flow))) => {
                notes.extend(flow.broken.map(withheld));
                self.answer = Answer::Listing(Box::new(stream));
                Step::Replace(flow.out)
            }
            Err(unreadable) => {
                self.answer = Answer::Substitute { reason: unreadable.reason, sent: true };
                notes.push(withheld(unreadable.reason));
                Step::Replace(self.asked.error(unreadable.id.as_deref(), unreadable.reason))
            }
        };
        self.note_all(notes);
        step
    }

    /// The answer is whole, by its end or by trailers.
    pub fn answer_whole(&mut self, body: &[u8], store: &mut dyn Store) -> Step {
        let Answer::Whole { wanted, .. } = &self.answer else { return Step::Continue };
        let passage = Passage::new(&self.gate, self.caller.as_ref(), store);
        let Some(mut passage) = passage else { return Step::Replace(Vec::new()) };
        let step = match self.asked.filter(body, *wanted, &mut passage, &mut self.has_error) {
            Ok(None) => Step::Continue,
            Ok(Some(replaced)) => Step::Replace(replaced),
            Err((reason, error)) => {
                passage.withheld(reason);
                Step::Replace(error)
            }
        };
        let notes = passage.notes;
        self.note_all(notes);
        step
    }

    /// The next chunk of an event stream, or of a list that flows, has come.
    pub fn answer_chunk(&mut self, chunk: &[u8], end_of_stream: bool, store: &mut dyn Store) -> Step {
        let (mut notes, asked) = (Vec::new(), &self.asked);
        let step = match &mut self.answer {
            Answer::Events(decoder, progress) => {
                let passage = Passage::new(&self.gate, self.caller.as_ref(), store);
                let Some(mut passage) = passage else { return Step::Replace(Vec::new()) };
                let mut out = decoder.push(chunk, &mut |event| asked.judge(event, progress, &mut passage));
                if end_of_stream {
                    let mut rest = decoder.finish(&mut |event| asked.judge(event, progress, &mut passage));
                    rest.extend(asked.last_word(progress));
                    if !rest.is_empty() {
                        out.get_or_insert_with(|| chunk.to_vec()).extend(rest);
                    }
                }
                self.has_error |= progress.has_error;
                notes = passage.notes;
                out.map_or(Step::Continue, Step::Replace)
            }
            Answer::Listing(stream) => {
                let passage = Passage::new(&self.gate, self.caller.as_ref(), store);
                let Some(mut passage) = passage else { return Step::Replace(Vec::new()) };
                let flow = stream.push(chunk, &mut passage);
                let last = if end_of_stream { stream.finish(&mut passage) } else { Flow::default() };
                notes = passage.notes;
                notes.extend(flow.broken.or(last.broken).map(withheld));
                Step::Replace([flow.out, last.out].concat())
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
        !self.reservation.is_empty() || self.claim.is_some()
    }

    /// The exchange is over; settles the call's limits and completes the record. `details` is the host's own
    /// word on who answered (`%RESPONSE_CODE_DETAILS%`).
    pub fn end(&mut self, details: &str, now: Timestamp, store: &mut dyn Store) {
        if self.phase == Phase::Asking {
            self.give_back(now, store);
        }
        self.leave();
        let is_unsettled = self.is_unsettled();
        let (Phase::Forwarded, Some(record)) = (self.phase, &mut self.record) else { return };
        record.latency_ms = Some(now.millis().saturating_sub(self.judged_at));
        if upstream(record.upstream_status, details, self.has_error).refunds() {
            record.rolled_back = is_unsettled;
            self.give_back(now, store);
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

pub(super) fn without(list: List) -> &'static str {
    match list {
        List::Tools => "it holds no list of tools",
        List::Prompts => "it holds no list of prompts",
        List::Resources => "it holds no list of resources",
        List::ResourceTemplates => "it holds no list of resource templates",
    }
}
