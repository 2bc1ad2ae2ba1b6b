//! What can be asked for, and by which method and path.

use super::console::{Page, page};
use super::{Reply, Side, force, json, problem, standing, unavailable, views};
use crate::approvals::Id;
use crate::approvals::book::{self, Undecided};
use crate::exchange::Headers;
use crate::policy::Store;
use crate::recent;
use crate::timestamp::Timestamp;
use crate::wire::media_type;
use serde::Deserialize;
use std::borrow::Cow;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    /// A file of the console, which asks for a token itself.
    Page(&'static Page),
    /// All approvals, or those in one state.
    Approvals(Option<&'static str>),
    Approval(Id),
    Decide {
        id: Id,
        approves: bool,
    },
    Policy,
    Limits,
    Decisions,
}

/// What comes with a decision.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    note: Option<String>,
}

impl Route {
    pub(super) fn of(headers: &Headers) -> Result<Self, Reply> {
        let text = |name: &str| headers.first(name).and_then(|value| std::str::from_utf8(value).ok());
        let not_found =
            || problem(404, "not_found", "There is nothing here; the admin API is described in docs/admin-api.md");
        let (method, path) = text(":method").zip(text(":path")).ok_or_else(not_found)?;
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let id = |text: &str| {
            Id::parse(text).ok_or_else(|| {
                problem(404, "unknown", "There is no approval of this name; it may have given way to newer ones")
            })
        };
        let (route, allowed) = match path.strip_prefix("/v1/approvals") {
            Some("") => (Self::Approvals(state(query)?), "GET"),
            Some(rest) => match rest.strip_prefix('/').ok_or_else(not_found)?.split_once('/') {
                None => (Self::Approval(id(rest.get(1..).unwrap_or_default())?), "GET"),
                Some((name, "approve")) => (Self::Decide { id: id(name)?, approves: true }, "POST"),
                Some((name, "deny")) => (Self::Decide { id: id(name)?, approves: false }, "POST"),
                Some(_) => return Err(not_found()),
            },
            None => match path {
                "/healthz" => (Self::Health, "GET"),
                "/v1/policy" => (Self::Policy, "GET"),
                "/v1/limits" => (Self::Limits, "GET"),
                "/v1/decisions" => (Self::Decisions, "GET"),
                _ => (page(path).map(Self::Page).ok_or_else(not_found)?, "GET"),
            },
        };
        if method != allowed {
            let mut reply = problem(405, "method_not_allowed", "This method is not for this path");
            reply.headers.push(("allow", Cow::Borrowed(allowed)));
            return Err(reply);
        }
        // A form of another site can send no JSON without asking first.
        let is_json = headers.first("content-type").is_some_and(media_type::is_json_request);
        if route.takes_body() && !is_json {
            return Err(problem(415, "not_json", "content-type must be application/json"));
        }
        Ok(route)
    }

    pub(super) fn needs_token(&self) -> bool {
        !matches!(self, Self::Health | Self::Page(_))
    }

    pub(super) fn takes_body(&self) -> bool {
        matches!(self, Self::Decide { .. })
    }

    pub(super) fn answer(self, body: &[u8], side: &Side, now: Timestamp, store: &mut dyn Store) -> Reply {
        match self {
            Self::Health => json(200, r#"{"status":"ok"}"#.to_owned()),
            Self::Page(page) => page.reply(),
            Self::Approvals(state) => match book::list(now.millis(), store) {
                Ok(all) => json(200, views::list(&all, state, now)),
                Err(_) => undecided(Undecided::Unavailable),
            },
            Self::Approval(id) => one(id, now, store),
            Self::Decide { id, approves } => decide(id, approves, body, now, store),
            Self::Policy => force::answer(store),
            Self::Limits => standing::answer(side, now, store),
            Self::Decisions => match recent::list(store) {
                Ok(lines) => json(200, format!(r#"{{"decisions":[{}]}}"#, lines.join(","))),
                Err(_) => unavailable(),
            },
        }
    }
}

fn state(query: Option<&str>) -> Result<Option<&'static str>, Reply> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    let wanted = query.strip_prefix("state=");
    let known = wanted.and_then(|wanted| views::STATES.into_iter().find(|state| *state == wanted));
    known.map(Some).ok_or_else(|| {
        problem(400, "bad_request", &format!("The only parameter is state, one of {}", views::STATES.join(", ")))
    })
}

fn one(id: Id, now: Timestamp, store: &mut dyn Store) -> Reply {
    let Ok(all) = book::list(now.millis(), store) else { return undecided(Undecided::Unavailable) };
    match all.iter().find(|(entry, _)| entry.id == id) {
        Some((entry, shown)) => json(200, views::one(entry, shown.as_ref(), now)),
        None => undecided(Undecided::Unknown),
    }
}

fn decide(id: Id, approves: bool, body: &[u8], now: Timestamp, store: &mut dyn Store) -> Reply {
    let decided = if body.trim_ascii().is_empty() { Ok(Decided::default()) } else { serde_json::from_slice(body) };
    let Ok(Decided { note }) = decided else {
        return problem(400, "bad_request", "The body must be a JSON object with at most the member `note`, a string");
    };
    match book::decide(id, approves, note.as_deref(), now.millis(), store) {
        Ok(_) => one(id, now, store),
        Err(reason) => undecided(reason),
    }
}

fn undecided(reason: Undecided) -> Reply {
    match reason {
        Undecided::Unknown => {
            problem(404, "unknown", "There is no approval of this name; it may have given way to newer ones")
        }
        Undecided::Settled(state) => {
            problem(409, "already_decided", &format!("It was decided before: it is {}", state.as_str()))
        }
        Undecided::Expired => problem(410, "expired", "Its time has run out; the call has to be made again"),
        Undecided::Unseen => {
            problem(409, "unseen", "What would be approved is not known yet; let the call be made again")
        }
        Undecided::Unavailable => unavailable(),
    }
}
