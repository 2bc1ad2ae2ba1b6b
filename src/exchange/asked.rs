//! What the answer must fit: one message or event of it against what was asked.

use super::Reply;
use super::answer::without;
use super::passage::Passage;
use super::spent::BUDGET;
use super::stand_in::StandIn;
use crate::wire::jsonrpc::INTERNAL_ERROR;
use crate::wire::mcp::List;
use crate::wire::meta::with_meta;
use crate::wire::reply;
use crate::wire::sse::{Event, Verdict, could_be_json};

const REFUSED: &str = "it is a request that is not permitted by policy";

/// What the answer must fit. Until it is known, whatever a POST may get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The raw id of a request.
    pub(super) id: Option<String>,
    /// It was a `tools/list` or its like.
    pub(super) lists: Option<List>,
    /// It carried no message: GET, DELETE.
    pub(super) is_bare: bool,
    /// What it named was hidden, and another name went in its place.
    pub(super) stand_in: Option<StandIn>,
    /// What its limits leave, to be told in the `_meta` of its result: the text of a JSON value.
    pub(super) report: Option<String>,
}

/// What of an event stream has passed.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The answer to the request was among it.
    pub(super) answered: bool,
    /// That answer was a JSON-RPC error.
    pub(super) has_error: bool,
    /// An event did not pass that may have been that answer.
    pub(super) withheld: bool,
}

impl Asked {
    /// Takes what is hidden out of one JSON answer; `Err` has the reason and what to send instead.
    pub(super) fn filter(
        &self,
        body: &[u8],
        wanted: Option<List>,
        passage: &mut Passage<'_, '_>,
        has_error: &mut bool,
    ) -> Result<Option<Vec<u8>>, (&'static str, Vec<u8>)> {
        match passage.filter(body) {
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
    pub(super) fn judge(&self, event: &Event<'_>, progress: &mut Progress, passage: &mut Passage<'_, '_>) -> Verdict {
        if event.oversized || event.ambiguous {
            passage.withheld(if event.oversized {
                "an event is too large to be read"
            } else {
                "an event has no single reading"
            });
            progress.withheld = true;
            return Verdict::Drop;
        }
        // Without data nothing is delivered: comments, `id` and `retry` alone.
        let Some(data) = event.data.as_deref().filter(|data| !data.trim_ascii().is_empty()) else {
            return Verdict::Keep;
        };
        let (id, reason) = match passage.filter(data) {
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
        passage.withheld(reason);
        if let Some(id) = id {
            progress.answered |= self.id.as_ref() == Some(&id);
            return Verdict::Replace(self.error(Some(&id), reason));
        }
        progress.withheld = true;
        Verdict::Drop
    }

    /// What ends an event stream whose answer may be among the events that did not pass: without it the
    /// client would wait.
    pub(super) fn last_word(&self, progress: &Progress) -> Vec<u8> {
        if progress.answered || !progress.withheld || self.id.is_none() {
            return Vec::new();
        }
        let error = self.error(None, "an event could not be read");
        [b"\n\nevent: message\ndata: ", error.as_slice(), b"\n\n"].concat()
    }

    /// The bytes to send: with a hidden tool's name in the place of the one that went upstream, and with what the limits
    /// leave.
    fn restored(&self, replaced: Option<Vec<u8>>, original: &[u8]) -> Option<Vec<u8>> {
        let restored = match &self.stand_in {
            Some(stand_in) => stand_in.restore(replaced.as_deref().unwrap_or(original)).or(replaced),
            None => replaced,
        };
        let (Some(id), Some(report)) = (&self.id, &self.report) else { return restored };
        with_meta(restored.as_deref().unwrap_or(original), id, BUDGET, report).or(restored)
    }

    pub(super) fn error(&self, id: Option<&str>, reason: &str) -> Vec<u8> {
        let message = format!("The server's answer was not passed on by the policy gateway: {reason}");
        reply::error(id.or(self.id.as_deref()), INTERNAL_ERROR, &message)
    }

    pub(super) fn unreadable(&self, reason: &str) -> Reply {
        let status = if self.id.is_some() { 200 } else { 502 };
        Reply { status, headers: Vec::new(), body: self.error(None, reason), details: "mcp_answer_unreadable" }
    }
}
