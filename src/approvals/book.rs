//! What is done with approvals: asked for by a call, decided by a person, used, and given back.

use super::kept::{Change, MAX_TRIES, change, read};
use super::nonces::{Nonces, Taking};
use super::shown::Shown;
use super::table::{Entry, State, Table, grant_tag};
use super::{DEFAULT_TIMEOUT_SECONDS, Id, Nonce, Token};
use crate::policy::{PutError, Store, Unavailable, Version};

/// A call that must be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// What it is bound to.
    pub digest: [u8; 32],
    /// The caller's grant.
    pub grant: String,
    /// How long it waits, and how long an approval may be used, in seconds; `None`: an hour.
    pub timeout_seconds: Option<u64>,
}

/// What a call finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was approved, and goes on; the approval is used up.
    Approved(Claim),
    /// It waits for a person.
    Pending {
        /// Its approval.
        entry: Entry,
        /// It was not waiting before.
        is_new: bool,
        /// The approval that it took the place of, although that was still waiting.
        dropped: Option<Id>,
    },
    /// A person has denied it, and said this.
    Denied(Id, Option<String>),
    /// So many calls are approved and not used that there is no place to wait.
    Full,
}

/// The right to make one call, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The approval that was used up.
    pub id: Id,
    /// Of the token that was taken, where this proxy knows nothing else of the approval.
    nonce: Option<Nonce>,
}

/// What comes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// The call goes on; the token is used up.
    Approved(Claim),
    /// It was used before, or the approval that it is for was used or denied here.
    Settled,
    /// So many tokens were used that still hold that it could not be told from them later.
    Full,
}

/// Why an approval is not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// There is none of this name.
    Unknown,
    /// It was decided before, as this.
    Settled(State),
    /// Its time has run out.
    Expired,
    /// Nobody could know what is to be decided: what the call says is not there.
    Unseen,
    /// The store failed.
    Unavailable,
}

impl From<Unavailable> for Undecided {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// What a call finds, which it changes: an approval that is there is used up, and without any it waits from now on.
/// `show` writes down what a person is to see of a call that waits.
///
/// # Errors
/// When the store fails, or holds what is not ours.
pub fn ask(
    asking: &Asking,
    now: u64,
    store: &mut dyn Store,
    show: impl FnOnce(&Id) -> Shown,
) -> Result<Standing, Unavailable> {
    let timeout = asking.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS).saturating_mul(1000);
    let found = change(store, |table: &mut Table| {
        if let Some((place, entry)) = table.standing(&asking.digest, now) {
            if entry.state != State::Approved {
                return Change::Leave(Some((place, entry, false, None)));
            }
            table.set(place, Entry { state: State::Used, ..entry });
            return Change::Write(Some((place, entry, false, None)));
        }
        // Two approvals of one call have two names, also within a millisecond and when the clock steps back.
        let of_call = table.entries().filter(|(_, entry)| entry.id.digest == asking.digest);
        let created = of_call.map(|(_, entry)| entry.id.created + 1).max().unwrap_or(0).max(now);
        let id = Id { digest: asking.digest, created };
        let expires = now.saturating_add(timeout);
        let entry = Entry { id, expires, timeout, grant: grant_tag(&asking.grant), state: State::Pending };
        match table.place(entry, now) {
            Some((place, dropped)) => Change::Write(Some((place, entry, true, dropped))),
            None => Change::Leave(None),
        }
    })?;
    let Some((place, entry, is_new, dropped)) = found else { return Ok(Standing::Full) };
    Ok(match entry.state {
        State::Approved => Standing::Approved(Claim { id: entry.id, nonce: None }),
        State::Denied => Standing::Denied(entry.id, shown_at(place, entry.id, store).and_then(|shown| shown.note)),
        State::Pending | State::Used => {
            // A worker that ended before it wrote this down left an approval that nobody can judge.
            if is_new || shown_at(place, entry.id, store).is_none() {
                write_shown(place, &show(&entry.id), store);
            }
            Standing::Pending { entry, is_new, dropped }
        }
    })
}

/// Uses up a token, which somebody who may has made. Where the approval that it is for is known here, it is a decision on
/// that one: of two decisions the first holds, and the call goes on once.
///
/// # Errors
/// When the store fails, or holds what is not ours.
pub fn redeem(token: &Token, now: u64, store: &mut dyn Store) -> Result<Redeemed, Unavailable> {
    let taking = change(store, |nonces: &mut Nonces| match nonces.take(token.nonce, token.expires, now) {
        Taking::Done => Change::Write(Taking::Done),
        other => Change::Leave(other),
    })?;
    let known = change(store, |table: &mut Table| {
        let Some((place, entry)) = table.find(token.id) else { return Change::Leave(None) };
        // One that was approved here, or was given back, needs no token any more.
        let is_open = entry.state == State::Approved || entry.state == State::Pending && taking == Taking::Done;
        if !is_open {
            return Change::Leave(Some((place, false)));
        }
        table.set(place, Entry { state: State::Used, expires: now.saturating_add(entry.timeout), ..entry });
        Change::Write(Some((place, true)))
    })?;
    let id = token.id;
    Ok(match (known, taking) {
        (Some((place, true)), _) => {
            if let Some(mut shown) = shown_at(place, id, store).filter(|shown| shown.note.is_none()) {
                shown.settle(None);
                write_shown(place, &shown, store);
            }
            Redeemed::Approved(Claim { id, nonce: None })
        }
        (None, Taking::Done) => Redeemed::Approved(Claim { id, nonce: Some(token.nonce) }),
        (Some((_, false)), _) | (None, Taking::Again) => Redeemed::Settled,
        (None, Taking::Full) => Redeemed::Full,
    })
}

impl Claim {
    /// Gives the approval back, because the call did not run, or its server answered with an error. What cannot be given
    /// back stays used.
    pub fn release(self, now: u64, store: &mut dyn Store) {
        if let Some(nonce) = self.nonce {
            let _ = change(store, |nonces: &mut Nonces| {
                nonces.give_back(nonce);
                Change::Write(())
            });
            return;
        }
        let _ = change(store, |table: &mut Table| match table.find(self.id) {
            Some((place, entry)) if entry.state == State::Used && entry.is_live(now) => {
                table.set(place, Entry { state: State::Approved, ..entry });
                Change::Write(())
            }
            _ => Change::Leave(()),
        });
    }
}

/// Approves or denies what waits, with a person's note. An approval may be used for as long as it could be waited for.
///
/// # Errors
/// See [`Undecided`].
pub fn decide(id: Id, approves: bool, note: Option<&str>, now: u64, store: &mut dyn Store) -> Result<Shown, Undecided> {
    let (place, _) = read::<Table>(store)?.0.find(id).ok_or(Undecided::Unknown)?;
    let mut shown = shown_at(place, id, store);
    change(store, |table: &mut Table| {
        let Some((place, entry)) = table.find(id) else { return Change::Leave(Err(Undecided::Unknown)) };
        if entry.state != State::Pending {
            return Change::Leave(Err(Undecided::Settled(entry.state)));
        }
        if !entry.is_live(now) {
            return Change::Leave(Err(Undecided::Expired));
        }
        if shown.is_none() {
            return Change::Leave(Err(Undecided::Unseen));
        }
        let state = if approves { State::Approved } else { State::Denied };
        table.set(place, Entry { state, expires: now.saturating_add(entry.timeout), ..entry });
        Change::Write(Ok(()))
    })??;
    let shown = shown.as_mut().ok_or(Undecided::Unseen)?;
    shown.settle(note);
    write_shown(place, shown, store);
    Ok(shown.clone())
}

/// Every approval that is kept, the newest first, with what a person may see of it. What has run out loses its arguments.
///
/// # Errors
/// When the store fails, or holds what is not ours.
pub fn list(now: u64, store: &mut dyn Store) -> Result<Vec<(Entry, Option<Shown>)>, Unavailable> {
    let (table, _) = read::<Table>(store)?;
    let mut all = Vec::new();
    for (place, entry) in table.entries() {
        let mut shown = read_shown(place, entry.id, store);
        if let Some((shown, version)) =
            shown.as_mut().filter(|(shown, _)| !entry.is_live(now) && shown.arguments.is_some())
        {
            shown.settle(None);
            // Where another approval has come into its place meanwhile, there is nothing to forget.
            let _ = serde_json::to_vec(shown).map(|value| store.put(&shown_key(place), &value, Some(*version)));
        }
        all.push((*entry, shown.map(|(shown, _)| shown)));
    }
    all.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.id.created));
    Ok(all)
}

/// Which calls wait for a person, at one moment.
#[derive(Debug)]
pub struct Waiting(Table);

impl Waiting {
    /// Reads it once, for all that ask.
    ///
    /// # Errors
    /// When the store fails, or holds what is not ours.
    pub fn read(store: &mut dyn Store) -> Result<Self, Unavailable> {
        read::<Table>(store).map(|(table, _)| Self(table))
    }

    /// Whether nobody has decided on this one, and somebody still may.
    #[must_use]
    pub fn has(&self, id: Id, now: u64) -> bool {
        self.0.find(id).is_some_and(|(_, entry)| entry.state == State::Pending && entry.is_live(now))
    }
}

fn shown_key(place: usize) -> Vec<u8> {
    format!("mcp-policy:approval:{place}").into_bytes()
}

/// What was written down of this approval; `None` where that is another's, or not there.
pub(super) fn shown_at(place: usize, id: Id, store: &mut dyn Store) -> Option<Shown> {
    read_shown(place, id, store).map(|(shown, _)| shown)
}

fn read_shown(place: usize, id: Id, store: &mut dyn Store) -> Option<(Shown, Version)> {
    let (value, version) = store.get(&shown_key(place)).ok()??;
    let shown: Shown = serde_json::from_slice(&value).ok()?;
    (shown.id == id.to_string()).then_some((shown, version))
}

/// What cannot be written is written by the next call of the same kind.
fn write_shown(place: usize, shown: &Shown, store: &mut dyn Store) {
    let Ok(value) = serde_json::to_vec(shown) else { return };
    for _ in 0..MAX_TRIES {
        let Ok(old) = store.get(&shown_key(place)) else { return };
        if store.put(&shown_key(place), &value, old.map(|(_, version)| version)) != Err(PutError::Conflict) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
