//! Approvals: a call that a person must allow, bound to exactly that call, and what became of it.
//!
//! A first call is written down as [`State::Pending`] and refused with its [`Id`]. When a person has approved it, the same
//! call goes on once. All of it lies in the [`Store`](crate::policy::Store), so that every worker, and the admin side of
//! the same proxy, knows the same. INVARIANT: whatever changes an approval is one compare-and-swap on [`book`]'s one table,
//! so no order of workers lets a call through twice, or one that was not approved.

mod binding;
pub mod book;
mod id;
mod kept;
mod key;
mod nonces;
pub mod notify;
mod shown;
mod table;
mod token;

pub use binding::{Call, NotBound};
pub use id::Id;
pub use key::{HMAC_SECRET_BYTES, Key, SigningKey};
pub use shown::{Redaction, Shown};
pub use table::{Entry, MAX_ENTRIES, State};
pub use token::{Keys, MAX_LIFETIME_MS, MAX_SKEW_MS, MAX_TOKEN_BYTES, Nonce, Token, Unfit};

/// How long an approval may be waited for, and how long one that was given may be used, where its rule does not say, in
/// seconds.
pub const DEFAULT_TIMEOUT_SECONDS: u64 = 3600;
