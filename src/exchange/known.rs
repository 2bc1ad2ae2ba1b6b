//! What is known of a request beside its body: its headers, and what the proxy's own filters verified.

use super::{Exchange, Headers};
use crate::policy::{Claim, Facts, Unclear};
use std::fmt::Debug;

/// What the proxy's own filters verified of the caller; the host answers. Nothing of it is read from a header.
pub trait Verified: Debug {
    /// A claim of the JWT whose payload the proxy keeps under `payload_key`.
    ///
    /// # Errors
    /// When there is a value that has no reading, or the host does not say whether there is one.
    fn claim(&self, payload_key: &str, path: &[String]) -> Result<Option<Claim>, Unclear>;

    /// The first URI among the subject alternative names of the client's certificate.
    ///
    /// # Errors
    /// When it is no text, or the host does not say whether there is one.
    fn peer_san(&self) -> Result<Option<String>, Unclear>;
}

/// A proxy that verifies nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nobody;

impl Verified for Nobody {
    fn claim(&self, _payload_key: &str, _path: &[String]) -> Result<Option<Claim>, Unclear> {
        Ok(None)
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        Ok(None)
    }
}

/// One request's facts.
#[derive(Clone, Copy)]
pub(super) struct Known<'e> {
    headers: &'e Headers,
    verified: &'e dyn Verified,
    payload_key: &'e str,
}

impl Exchange {
    pub(super) fn known(&self) -> Known<'_> {
        let payload_key = &self.gate.settings.jwt_payload_key;
        Known { headers: &self.headers, verified: &*self.verified, payload_key }
    }
}

impl Facts for Known<'_> {
    fn header(&self, name: &str) -> Result<Option<String>, Unclear> {
        let value = self.headers.only(name).map_err(|()| Unclear)?;
        value.map(|value| std::str::from_utf8(value).map(str::to_owned)).transpose().map_err(|_| Unclear)
    }

    fn claim(&self, path: &[String]) -> Result<Option<Claim>, Unclear> {
        self.verified.claim(self.payload_key, path)
    }

    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        self.verified.peer_san()
    }
}
