//! The request's side: headers and body in; forward, hold, or refuse with the right JSON-RPC answer.

use super::approval::{Approval, NOT_BOUND, Sought, own_state, without_own_state};
use super::asked::Asked;
use super::head::Head;
use super::hidden::Unknown;
use super::legacy;
use super::presented;
use super::recording::top_level_names;
use super::refusal::Refusal;
use super::spent;
use super::stand_in::StandIn;
use super::{Exchange, HeaderEdit, HeaderStep, Headers, Phase, Reply, Step};
use crate::config::HiddenReply;
use crate::policy::{Decision, Policy, Principal, Query, Store, Target, rule};
use crate::record::{Record, bounded};
use crate::timestamp::Timestamp;
use crate::wire::json::Raw;
use crate::wire::jsonrpc::{self, HEADER_MISMATCH, INVALID_REQUEST, Id, Malformed, PARSE_ERROR, POLICY_DENIED};
use crate::wire::mcp::{self, Feature, Operation};
use crate::wire::mirror;
use crate::wire::{media_type, reply};
use std::rc::Rc;

/// Answers come readable, or are not passed on.
const READABLE: HeaderEdit = HeaderEdit::Set("accept-encoding", "identity");
const NO_TOKEN: HeaderEdit = HeaderEdit::Remove("authorization");
const NO_COOKIES: HeaderEdit = HeaderEdit::Remove("cookie");
const NO_APPROVAL: HeaderEdit = HeaderEdit::Remove(presented::HEADER);

impl Exchange {
    /// The request's headers have come; `end_of_stream`: there is no body.
    pub fn request_headers(&mut self, headers: &Headers, end_of_stream: bool, now: Timestamp) -> HeaderStep {
        self.head = Head::read(headers);
        self.headers = headers.clone();
        self.caller = self.gate.caller(&self.known());
        if let Err(refusal) = self.check_head(headers, end_of_stream) {
            return HeaderStep::plain(self.refuse(refusal, None, now));
        }
        let edits = self.edits();
        let is_post = self.head.method == b"POST";
        if is_post && self.gate.settings.hold_request_headers {
            return HeaderStep { edits, step: Step::Wait };
        }
        // Step 2, where the headers would go on now. Elsewhere it waits for the body: an answer before the end of a
        // request costs the client its connection.
        if self.caller.is_none() {
            return HeaderStep::plain(self.refuse(Refusal::no_grant(), None, now));
        }
        if is_post {
            return HeaderStep { edits, step: Step::Continue };
        }
        // Step 3, for what carries no message.
        if self.policy().is_none() {
            return HeaderStep::plain(self.refuse(Refusal::no_policy(405), None, now));
        }
        self.phase = Phase::Forwarded;
        self.judged_at = now.millis();
        self.asked.is_bare = true;
        HeaderStep { edits, step: Step::Continue }
    }

    fn edits(&self) -> &'static [HeaderEdit] {
        let settings = &self.gate.settings;
        // Where no key is known, an approval's token may be for another proxy behind this one.
        match (settings.strip_authorization, settings.strip_cookies, self.gate.approvals.keys.is_empty()) {
            (false, false, true) => &[READABLE],
            (false, false, false) => &[READABLE, NO_APPROVAL],
            (true, false, true) => &[READABLE, NO_TOKEN],
            (true, false, false) => &[READABLE, NO_TOKEN, NO_APPROVAL],
            (false, true, true) => &[READABLE, NO_COOKIES],
            (false, true, false) => &[READABLE, NO_COOKIES, NO_APPROVAL],
            (true, true, true) => &[READABLE, NO_TOKEN, NO_COOKIES],
            (true, true, false) => &[READABLE, NO_TOKEN, NO_COOKIES, NO_APPROVAL],
        }
    }

    /// So many bytes of the body have come, and it is not whole.
    pub fn request_grows(&mut self, bytes: usize, now: Timestamp) -> Step {
        match self.phase {
            Phase::Judging => {}
            Phase::Forwarded => return Step::Continue,
            Phase::Held | Phase::Asking | Phase::Answered => return Step::Wait,
        }
        if bytes > self.gate.settings.max_body_bytes {
            let refusal = self.too_large();
            return self.refuse(refusal, None, now);
        }
        Step::Wait
    }

    /// The body is whole, by its end or by trailers. After [`Step::Continue`] or [`Step::Replace`] the
    /// request may go on.
    pub fn request_whole(&mut self, body: &[u8], now: Timestamp, store: &mut dyn Store) -> Step {
        match self.phase {
            Phase::Judging => {}
            Phase::Forwarded => return Step::Continue,
            Phase::Held | Phase::Asking | Phase::Answered => return Step::Wait,
        }
        if body.len() > self.gate.settings.max_body_bytes {
            let refusal = self.too_large();
            return self.refuse(refusal, None, now);
        }
        let step = match self.read(body) {
            Ok((id, operation)) => self.judge(body, id, &operation, now, store),
            Err(malformed) => {
                let id = malformed.id.map(|id| id.as_str().to_owned());
                let status = self.head.status_of(malformed.code, id.is_some());
                let refusal = Refusal { status, ..Refusal::bad_request(malformed.code, malformed.reason) };
                self.refuse(refusal, id.as_deref(), now)
            }
        };
        if self.head.is_legacy { self.refuse_upstream(step, body.len(), now) } else { step }
    }

    /// Has a refusal said on the stream on which a client of 2024-11-05 waits for it.
    pub(super) fn refuse_upstream(&mut self, step: Step, length: usize, now: Timestamp) -> Step {
        let Step::Reply(reply) = step else { return step };
        let Some(request) = legacy::instead_of(&reply) else { return Step::Reply(reply) };
        let instead = if self.gate.settings.hold_request_headers {
            Step::Resize(request)
        } else {
            // The headers have gone with the length that the body had.
            let Some(request) = legacy::fitted(request, length) else { return Step::Reply(reply) };
            Step::Replace(request)
        };
        self.judged_at = now.millis();
        self.phase = Phase::Forwarded;
        instead
    }

    fn check_head(&self, headers: &Headers, end_of_stream: bool) -> Result<(), Refusal> {
        match self.head.method.as_slice() {
            b"POST" => {}
            b"GET" | b"DELETE" | b"HEAD" | b"OPTIONS" if end_of_stream => return Ok(()),
            b"GET" | b"DELETE" | b"HEAD" | b"OPTIONS" => {
                let reason = "Invalid Request: only POST may have a body";
                return Err(Refusal::bad_request(INVALID_REQUEST, reason));
            }
            _ => {
                let headers = &[("allow", "GET, POST, DELETE, HEAD, OPTIONS")];
                let reason = "Invalid Request: this HTTP method is not used by MCP";
                return Err(Refusal { status: 405, headers, ..Refusal::bad_request(INVALID_REQUEST, reason) });
            }
        }
        let unsupported = |reason| Refusal { status: 415, ..Refusal::bad_request(INVALID_REQUEST, reason) };
        if !matches!(headers.only("content-type"), Ok(Some(value)) if media_type::is_json_request(value)) {
            return Err(unsupported("Invalid Request: content-type must be application/json, once, in UTF-8"));
        }
        match headers.only("content-encoding") {
            Ok(None) => {}
            Ok(Some(value)) if value.trim_ascii().eq_ignore_ascii_case(b"identity") => {}
            _ => return Err(unsupported("Invalid Request: an encoded body cannot be judged, send it plain")),
        }
        let length = headers.first("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > self.gate.settings.max_body_bytes) {
            return Err(self.too_large());
        }
        if end_of_stream {
            return Err(Refusal::bad_request(PARSE_ERROR, "Parse error: the body is empty"));
        }
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        let limit = self.gate.settings.max_body_bytes;
        let reason = format!("Invalid Request: the body is larger than {limit} bytes");
        Refusal { status: 413, details: "mcp_too_large", ..Refusal::bad_request(INVALID_REQUEST, reason) }
    }

    fn read<'b>(&self, body: &'b [u8]) -> Result<(Option<Id<'b>>, Operation<'b>), Malformed<'b>> {
        let message = jsonrpc::parse(body)?;
        let id = message.id;
        if self.head.session_fault {
            let reason = "Invalid Request: Mcp-Session-Id must be given once, in visible ASCII";
            return Err(Malformed::new(INVALID_REQUEST, reason, id));
        }
        if let Some(name) = self.head.doubled {
            return Err(Malformed::new(
                HEADER_MISMATCH,
                format!("Header mismatch: `{name}` is given more than once"),
                id,
            ));
        }
        let operation = mcp::classify(&message)?;
        mirror::check(&message, &self.head.mirrors, !self.head.is_legacy)?;
        Ok((id, operation))
    }

    fn judge(
        &mut self,
        body: &[u8],
        id: Option<Id<'_>>,
        operation: &Operation<'_>,
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Step {
        let mut record = self.start_record(now);
        record.method = Some(bounded(operation.method())).filter(|method| !method.is_empty());
        let mut asked = Asked { id: id.map(|id| id.as_str().to_owned()), ..Asked::default() };
        let gate = Rc::clone(&self.gate);
        let (mut named, mut meta, mut targets) = (None, None, Vec::new());
        match operation {
            Operation::Use { named: one, .. } => {
                record.tells(one);
                targets.push(Target { feature: one.feature, name: &one.name });
                (named, meta) = (Some(one), one.meta);
            }
            Operation::Listen { uris, meta: given } => {
                targets.extend(uris.iter().map(|uri| Target { feature: Feature::Resource, name: uri }));
                meta = *given;
            }
            Operation::List(list) => asked.lists = Some(*list),
            Operation::Other { .. } | Operation::Response => {}
        }
        // Steps 2 and 3.
        let Some(caller) = self.caller.clone() else {
            let refusal = Refusal::no_grant();
            record.refuse(refusal.rule, &refusal.reason);
            return self.answer(refusal.reply(id.map(|id| id.as_str())), record);
        };
        let Some(policy) = gate.policy_for(&caller) else {
            return self.deny_without_policy(id, operation, record);
        };
        record.arg_keys = named.and_then(|named| named.arguments).map(top_level_names).unwrap_or_default();
        if *operation == Operation::Response {
            return self.forward(asked, record, now, Step::Continue);
        }
        if !targets.is_empty() && id.is_none() {
            // A notification is never answered, and an upstream might still run it.
            record.refuse(rule::MALFORMED, &format!("Invalid Request: {} needs an id", operation.method()));
            return self.answer(Reply::empty(202), record);
        }
        let principal = Principal { grant: caller.grant, session: self.head.session.clone() };
        let known = self.known();
        let mut query = Query {
            principal: &principal,
            method: operation.method(),
            target: None,
            arguments: named.and_then(|named| named.arguments),
            // Who comes back with our own state begins, for the server.
            continues: named.is_some_and(|named| named.continues && own_state(&named.rest).is_none()),
            meta,
            defers_limits: gate.limits.service().is_some(),
            tells_budgets: gate.settings.report_budget,
            approved: None,
            now,
            facts: &known,
        };
        let (decision, target) = policy.decide_all(&query, &targets, store);
        query.target = target;
        let rest = named.map(|named| named.rest.as_slice()).unwrap_or_default();
        let call = Sought {
            policy,
            query,
            targets: &targets,
            rest,
            asks: self.may_ask(&query, policy),
            headers: &self.headers,
        };
        let (decision, standing) =
            gate.approvals.seek(&call, decision, store, |query, store| policy.decide_all(query, &targets, store).0);
        record.note(&decision);
        record.approves(&standing);
        let is_call = is_call(operation);
        let kind = (is_call, body.len());
        if decision.outcome.goes_on() {
            self.claim = standing.claim();
            let own_state = self.claim.and_then(|claim| without_own_state(body, rest, claim.id));
            let then = own_state.map_or(Step::Continue, Step::Replace);
            return self.pass(decision.reservation, then, (asked, record), kind, now, store);
        }
        let Some(id) = id else { return self.answer(Reply::empty(202), record) };
        if decision.rule == rule::HIDDEN && gate.settings.hidden_reply == HiddenReply::UnknownTool {
            let guess = policy.decide_as_unknown(&call.query, store);
            let guess = gate.approvals.seek(&call, guess, store, |query, store| policy.decide_as_unknown(query, store));
            // With held or passed-on headers, `Mcp-Name` would contradict the other name.
            let named = named.filter(|_| self.head.mirrors.name.is_none());
            let stand_in = named.and_then(|named| StandIn::of(body, named));
            let unknown = Unknown { guess, target, stand_in };
            return self.answer_as_unknown(id, unknown, (asked, record), kind, now, store);
        }
        if decision.rule == rule::MALFORMED {
            let status = self.head.status_of(INVALID_REQUEST, true);
            let refusal = Refusal { status, ..Refusal::bad_request(INVALID_REQUEST, decision.message) };
            return self.answer(refusal.reply(Some(id.as_str())), record);
        }
        self.refuse_call(id, is_call, &decision, &standing, record, now)
    }

    /// The `_meta` of a request that may be answered, in its revision's own way, by a request to show an address.
    fn may_ask<'a>(&self, query: &Query<'a>, policy: &Policy) -> Option<Raw<'a>> {
        let is_later = self.head.mirrors.version.as_deref().is_some_and(mirror::is_mirrored);
        let is_answered = matches!(query.method, "tools/call" | "prompts/get" | "resources/read");
        let may_ask = || policy.decide_server_request("elicitation/create").outcome.goes_on();
        query.meta.filter(|_| is_later && is_answered && may_ask())
    }

    /// Says why a call does not go on, and what can be done about it.
    pub(super) fn refuse_call(
        &mut self,
        id: Id<'_>,
        is_call: bool,
        decision: &Decision<'_>,
        standing: &Approval,
        record: Record,
        now: Timestamp,
    ) -> Step {
        let record = match standing {
            Approval::Pending(waiting) => match self.hold(waiting, record, now) {
                Ok(step) => return step,
                Err(record) => *record,
            },
            _ => record,
        };
        let (settings, words) = (&self.gate.settings, (decision.rule, decision.message.as_ref()));
        let reply = match (&decision.budget, standing) {
            (Some(budget), _) => spent::reply(id.as_str(), is_call, words, budget, settings),
            (None, Approval::Pending(waiting)) => {
                self.gate.approvals.reply(id.as_str(), is_call, words, waiting, settings)
            }
            (None, Approval::Impossible) => {
                let message = format!("{}; {NOT_BOUND}", decision.message);
                return self.deny(Some(id.as_str()), is_call, &message, record);
            }
            _ => return self.deny(Some(id.as_str()), is_call, &decision.message, record),
        };
        self.answer(reply, record)
    }

    pub(super) fn forward(&mut self, asked: Asked, record: Record, now: Timestamp, step: Step) -> Step {
        self.record = Some(record);
        self.judged_at = now.millis();
        self.phase = Phase::Forwarded;
        self.asked = asked;
        step
    }

    /// `id`: the raw token; without one nobody waits for an answer.
    pub(super) fn deny(&mut self, id: Option<&str>, is_call: bool, message: &str, record: Record) -> Step {
        let Some(id) = id else { return self.answer(Reply::empty(202), record) };
        let text = format!("{}{message}", self.gate.settings.deny_prefix);
        // Only the result of a call can say that it failed, in words that reach the model.
        let body = if is_call { reply::refused_call(id, &text) } else { reply::error(Some(id), POLICY_DENIED, &text) };
        self.answer(Reply { status: 200, headers: Vec::new(), body, details: "mcp_denied" }, record)
    }

    /// Every request of a grant without a policy: in the form that keeps a client alive, so that it shows the reason.
    fn deny_without_policy(&mut self, id: Option<Id<'_>>, operation: &Operation<'_>, mut record: Record) -> Step {
        record.refuse(rule::NO_POLICY, Decision::NO_POLICY);
        match (id, operation) {
            (None, _) | (Some(_), Operation::Response) => self.answer(Reply::empty(202), record),
            (Some(id), operation) if is_call(operation) => {
                self.deny(Some(id.as_str()), true, Decision::NO_POLICY, record)
            }
            (Some(id), _) => self.answer(Refusal::no_policy(200).reply(Some(id.as_str())), record),
        }
    }

    fn refuse(&mut self, refusal: Refusal, id: Option<&str>, now: Timestamp) -> Step {
        let mut record = self.start_record(now);
        record.refuse(refusal.rule, &refusal.reason);
        self.answer(refusal.reply(id), record)
    }

    pub(super) fn answer(&mut self, reply: Reply, record: Record) -> Step {
        self.record = Some(record);
        self.phase = Phase::Answered;
        Step::Reply(reply)
    }
}

impl Reply {
    fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), details: "mcp_denied" }
    }
}

fn is_call(operation: &Operation<'_>) -> bool {
    matches!(operation, Operation::Use { method: "tools/call", .. })
}
