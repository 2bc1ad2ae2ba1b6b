//! Telling somebody that an approval waits or is settled, by signed requests to an address of the operator's.
//!
//! What is to be told follows from the table of approvals, not from what changed it: whoever looks ([`due`]) compares the
//! table with what was told so far, so nothing is lost with a request, a worker or a configuration. INVARIANT: whoever
//! makes a call has claimed it by one compare-and-swap, until a time after which another worker takes over; so of several
//! workers one tells each event, and a receiver may get it twice, but hardly not at all. It is never waited for by a call
//! that needs an approval, and changes none.

mod event;
mod force;
mod ledger;
mod webhook;

pub use event::Event;
pub use ledger::Claim;
pub use webhook::{SECRET_BYTES, Secret};

use super::kept::{Change, Kept, MAX_TRIES, change, read};
use super::table::Table;
use crate::policy::{PutError, Store, Unavailable};
use crate::timestamp::Timestamp;
use ledger::{Due, Ledger, Reported, Terms};
use std::fmt;

/// Calls that one worker has under way at a time.
pub const MAX_CALLS: usize = 4;
/// How long a worker may say nothing of a call beyond its timeout, in milliseconds, before another makes it again.
const SLACK_MS: u64 = 5000;

/// Who is told, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The proxy's cluster that the receiver is reached by.
    pub cluster: String,
    /// The `host` of the requests.
    pub authority: String,
    /// Their path.
    pub path: String,
    /// What they are signed with.
    pub secret: Secret,
    /// How long one may take.
    pub timeout_ms: u32,
    /// How often one event is tried.
    pub attempts: u8,
    /// Where a person decides, if there is a page.
    pub page: Option<String>,
}

/// One request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// What it tells; to be handed to [`report`] with how it ended.
    pub claim: Claim,
    /// With the pseudo-headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status: the receiver's, or the proxy's own where it had no answer.
    Status(u16),
    /// Without any.
    Silent,
    /// The proxy did not take it: there is no such cluster, or none of its hosts can be asked.
    NotMade,
}

/// An event that nobody is told any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    claim: Claim,
    last: Ended,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { id, event, attempt } = self.claim;
        let last = match self.last {
            Ended::Status(status) => format!("was answered with status {status}"),
            Ended::Silent => "got no answer".to_owned(),
            Ended::NotMade => "could not be made (does the cluster exist, and has it a host?)".to_owned(),
        };
        write!(f, "nobody was told approval.{} of {id}: attempt {attempt} was the last, and {last}", event.as_str())
    }
}

/// From now on these settings tell, and those before do not. To be called when they are surely in force: of several plugins
/// on one store the last that calls this tells of the approvals of all.
///
/// # Errors
/// When the store fails, or holds what is not ours.
pub fn announce(notify: &Notify, store: &mut dyn Store) -> Result<(), Unavailable> {
    force::announce(notify, store)
}

/// What is to be told now, at most `room` events, which are the caller's to tell from now on; and what nobody tells any
/// more. To be called from time to time.
///
/// # Errors
/// When the store fails, or holds what is not ours.
pub fn due(
    notify: &Notify,
    room: usize,
    now: Timestamp,
    store: &mut dyn Store,
) -> Result<(Vec<Post>, Vec<GivenUp>), Unavailable> {
    if !force::is_in_force(notify, store)? {
        return Ok(Default::default());
    }
    let patience = u64::from(notify.timeout_ms).saturating_add(SLACK_MS);
    let terms = Terms { attempts: notify.attempts, patience };
    let (Due { claims, given_up }, table) = claim(&terms, room, now.millis(), store)?;
    let posts = claims.into_iter().filter_map(|claim| notify.post(claim, &table, now.millis(), store)).collect();
    let given_up = given_up.into_iter().map(|claim| GivenUp { claim, last: Ended::Silent }).collect();
    Ok((posts, given_up))
}

fn claim(terms: &Terms, room: usize, now: u64, store: &mut dyn Store) -> Result<(Due, Table), Unavailable> {
    for _ in 0..MAX_TRIES {
        // In this order: the ledger knows of nothing that the table has not had.
        let (mut ledger, version) = read::<Ledger>(store)?;
        let (table, _) = read::<Table>(store)?;
        let due = ledger.claim(&table, terms, room, now);
        if due.is_empty() {
            return Ok((due, table));
        }
        match store.put(Ledger::KEY, &ledger.encode(), version) {
            Ok(()) => return Ok((due, table)),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return Err(Unavailable),
        }
    }
    Err(Unavailable)
}

/// Notes how a request ended; told is what got a status of 200 to 299. Returns what that was the last attempt of.
///
/// # Errors
/// When the store fails, or holds what is not ours: then another worker makes the call again.
pub fn report(
    notify: &Notify,
    claim: &Claim,
    ended: Ended,
    now: Timestamp,
    store: &mut dyn Store,
) -> Result<Option<GivenUp>, Unavailable> {
    let is_told = matches!(ended, Ended::Status(200..=299));
    let reported =
        change(store, |ledger: &mut Ledger| match ledger.report(claim, is_told, notify.attempts, now.millis()) {
            Reported::Old => Change::Leave(Reported::Old),
            reported @ (Reported::Noted | Reported::Last) => Change::Write(reported),
        })?;
    Ok((reported == Reported::Last).then_some(GivenUp { claim: *claim, last: ended }))
}

impl Notify {
    /// `webhook-id` is the same for each attempt, so that a receiver knows what it had before.
    fn post(&self, claim: Claim, table: &Table, now: u64, store: &mut dyn Store) -> Option<Post> {
        let Claim { id, event, .. } = claim;
        let body = event::body(event, id, table.find(id), self.page.as_deref(), now, store);
        let (name, seconds) = (format!("{id}_{}", event.as_str()), now / 1000);
        let headers = vec![
            (":method", "POST".to_owned()),
            (":path", self.path.clone()),
            (":authority", self.authority.clone()),
            ("content-type", "application/json".to_owned()),
            ("user-agent", "mcp-policy".to_owned()),
            ("webhook-signature", self.secret.sign(&name, seconds, &body)?),
            ("webhook-id", name),
            ("webhook-timestamp", seconds.to_string()),
        ];
        Some(Post { claim, headers, body })
    }
}

#[cfg(test)]
mod tests;
