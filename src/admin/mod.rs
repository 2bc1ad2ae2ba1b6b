//! The admin side: what a person, a page or a command asks of approvals and policies, over HTTP, on a listener of its own.
//!
//! Knows no host: headers and body in, a [`Reply`] out. It shares the [`Store`] with the gate, and nothing else.

mod console;
mod door;
mod force;
mod routes;
mod standing;
mod views;

pub use force::{note_in_force, note_refused};

use crate::config::Admin;
use crate::exchange::{Headers, Reply};
use crate::policy::{Policy, Store};
use crate::timestamp::Timestamp;
use routes::Route;
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// The largest request body that is read.
pub const MAX_BODY_BYTES: usize = 8 << 10;

/// The admin side of one worker.
#[derive(Debug)]
pub struct Side {
    admin: Admin,
    /// The policies that were in force when it was last asked about limits.
    compiled: RefCell<Vec<Rc<Policy>>>,
}

impl Side {
    /// As configured.
    #[must_use]
    pub fn new(admin: Admin) -> Self {
        Self { admin, compiled: RefCell::default() }
    }
}

/// One request to the admin side.
#[derive(Debug)]
pub struct Visit {
    side: Rc<Side>,
    route: Option<Route>,
}

impl Visit {
    /// Before its first event.
    #[must_use]
    pub fn new(side: Rc<Side>) -> Self {
        Self { side, route: None }
    }

    /// The request's headers have come; `end_of_stream`: there is no body. `None`: its body is needed.
    pub fn headers(
        &mut self,
        headers: &Headers,
        end_of_stream: bool,
        now: Timestamp,
        store: &mut dyn Store,
    ) -> Option<Reply> {
        match self.admit(headers, now, store) {
            Err(reply) => Some(reply),
            Ok(route) if route.takes_body() && !end_of_stream => {
                self.route = Some(route);
                None
            }
            Ok(route) => Some(route.answer(b"", &self.side, now, store)),
        }
    }

    /// So many bytes of its body have come, and it is not whole.
    #[must_use]
    pub fn grows(&self, bytes: usize) -> Option<Reply> {
        (bytes > MAX_BODY_BYTES).then(|| problem(413, "too_large", "The body is too large"))
    }

    /// Its body is whole.
    pub fn whole(&mut self, body: &[u8], now: Timestamp, store: &mut dyn Store) -> Reply {
        if let Some(reply) = self.grows(body.len()) {
            return reply;
        }
        match self.route.take() {
            Some(route) => route.answer(body, &self.side, now, store),
            None => problem(400, "bad_request", "The request is not one that has a body"),
        }
    }

    fn admit(&self, headers: &Headers, now: Timestamp, store: &mut dyn Store) -> Result<Route, Reply> {
        door::check_origin(&self.side.admin, headers)?;
        let route = Route::of(headers)?;
        if route.needs_token() {
            door::check_token(&self.side.admin, headers, now, store)?;
        }
        Ok(route)
    }
}

/// A page may show what it is sent, and load nothing from elsewhere. It may compile WebAssembly, which is the playground's
/// engine, and still no script out of text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

/// What every answer says: nobody else keeps it, frames it, or reads it as something else.
const GUARDS: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

fn reply(status: u16, content_type: &'static str, body: Vec<u8>) -> Reply {
    let mut headers: Vec<(&'static str, Cow<'static, str>)> =
        GUARDS.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
    headers.push(("content-type", Cow::Borrowed(content_type)));
    Reply { status, headers, body, details: "mcp_admin" }
}

fn json(status: u16, body: String) -> Reply {
    reply(status, "application/json", body.into_bytes())
}

/// The store failed.
fn unavailable() -> Reply {
    problem(503, "unavailable", "What this proxy keeps cannot be read")
}

/// `code`: one word for a program.
fn problem(status: u16, code: &str, message: &str) -> Reply {
    json(status, serde_json::json!({ "error": { "code": code, "message": message } }).to_string())
}
