//! What a call of a case states, as the facts that the plugin would find in Envoy.

use crate::claims;
use crate::policy::case::{Call, SESSION_HEADER};
use crate::policy::{Claim, Facts, Unclear};

/// The facts of one call.
pub(super) struct Stated<'c>(pub(super) &'c Call);

impl Facts for Stated<'_> {
    fn header(&self, name: &str) -> Result<Option<String>, Unclear> {
        let session = self.0.session.iter().map(|session| (SESSION_HEADER, session));
        let lines = self.0.headers.iter().map(|(name, value)| (name.as_str(), value)).chain(session);
        let mut values = lines.filter(|(line, _)| *line == name).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() { Err(Unclear) } else { Ok(value.cloned()) }
    }

    fn claim(&self, path: &[String]) -> Result<Option<Claim>, Unclear> {
        self.0.claims.as_ref().map_or(Ok(None), |payload| claims::find(payload, path))
    }

    /// A case names its grant; how its caller is known is the configuration's matter.
    fn peer_san(&self) -> Result<Option<String>, Unclear> {
        Ok(None)
    }
}
