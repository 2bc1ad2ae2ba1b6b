//! What there is to tell of an approval, and how it is told: the body of one request.

use super::super::shown::Shown;
use super::super::table::{Entry, State};
use super::super::{Id, book};
use crate::policy::Store;
use crate::timestamp::Timestamp;
use serde_json::{Map, Value, json};

/// What happened to an approval. Each happens at most once: first it is [`Event::Pending`], and then one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It waits for a person.
    Pending,
    /// A person has approved it, on the admin side or by a signed token.
    Approved,
    /// A person has denied it.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// It gave way to others, and cannot be decided any more.
    Dropped,
}

impl Event {
    pub(super) const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Dropped];

    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Pending => 1,
            Self::Approved => 2,
            Self::Denied => 3,
            Self::Expired => 4,
            Self::Dropped => 5,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.byte() == byte)
    }

    /// The word behind `approval.` in a body's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }

    /// What is to be told of an approval that is still kept, and when that happened.
    pub(super) fn of(entry: &Entry, now: u64) -> (Self, u64) {
        match entry.state {
            State::Pending if entry.is_live(now) => (Self::Pending, entry.id.created),
            State::Pending => (Self::Expired, entry.expires),
            State::Denied => (Self::Denied, decided(entry)),
            // Whoever was faster than the one who tells has used it already.
            State::Approved | State::Used => (Self::Approved, decided(entry)),
        }
    }
}

/// When a person decided: from then on it holds for as long as it could be waited for.
fn decided(entry: &Entry) -> u64 {
    entry.expires.saturating_sub(entry.timeout)
}

/// The body: `type`, `timestamp` and `data`, whose members are those of the admin API. INVARIANT: no argument's value is
/// in it, because it leaves the proxy, and neither is the session, which is a credential at many servers.
pub(super) fn body(
    event: Event,
    id: Id,
    found: Option<(usize, Entry)>,
    page: Option<&str>,
    now: u64,
    store: &mut dyn Store,
) -> String {
    let time = |millis: u64| Value::from(Timestamp::from_millis(millis).to_string());
    let (name, mut at) = (id.to_string(), now);
    let mut data = Map::new();
    data.insert("id".into(), json!(name));
    data.insert("created_at".into(), time(id.created));
    if let Some((place, entry)) = found {
        at = Event::of(&entry, now).1;
        data.insert("state".into(), entry.shown_state(now).into());
        data.insert("expires_at".into(), time(entry.expires));
        if matches!(event, Event::Approved | Event::Denied) {
            data.insert("decided_at".into(), time(at));
        }
        if let Some(shown) = book::shown_at(place, id, store) {
            describe(&shown, &mut data);
        }
    }
    if event == Event::Pending {
        data.extend(page.map(|page| ("url".to_owned(), json!(format!("{page}#{name}")))));
    }
    json!({ "type": format!("approval.{}", event.as_str()), "timestamp": time(at), "data": data }).to_string()
}

fn describe(shown: &Shown, data: &mut Map<String, Value>) {
    for (name, text) in [
        ("grant", &shown.grant),
        ("method", &shown.method),
        ("target", &shown.target),
        ("policy", &shown.policy),
        ("policy_version", &shown.policy_version),
        ("rule", &shown.rule),
        ("reason", &shown.reason),
    ] {
        data.insert(name.into(), text.as_str().into());
    }
    data.extend(shown.note.as_deref().map(|note| ("note".to_owned(), Value::from(note))));
}
