//! Which JSON-RPC methods may pass: a client's on the way to the server, and those of requests that the
//! server makes of its client.

use super::decision::Finding;
use super::document::{self, Default};
use super::names::Names;
use super::problem::Pointer;

/// Refusing it would leave work running that the client wants stopped.
const NEVER_REFUSED: &str = "tasks/cancel";

/// The member `methods`, compiled.
#[derive(Debug)]
pub(super) struct Methods {
    /// The rule that refuses what neither list names.
    default_deny: Option<String>,
    allow: Names<()>,
    /// With the rule's pointer.
    deny: Names<String>,
}

impl Methods {
    pub(super) fn new(policy_at: &Pointer, document: document::Methods) -> Self {
        let at = document.at.within(policy_at);
        let denied = at.child("deny");
        let deny = document.deny.into_iter().map(|pattern| {
            let pointer = denied.child(pattern.as_str()).as_str().to_owned();
            (pattern, pointer)
        });
        Self {
            default_deny: (document.default == Default::Deny).then(|| at.child("default").as_str().to_owned()),
            allow: Names::new(document.allow.into_iter().map(|pattern| (pattern, ()))),
            deny: Names::new(deny),
        }
    }

    /// The rules that may refuse.
    pub(super) fn rules(&self) -> impl Iterator<Item = &str> {
        self.default_deny().into_iter().chain(self.deny.iter().map(String::as_str))
    }

    /// The rule that refuses what neither list names, if there is one.
    pub(super) fn default_deny(&self) -> Option<&str> {
        self.default_deny.as_deref()
    }

    /// How many patterns there are.
    pub(super) fn patterns(&self) -> usize {
        self.allow.patterns() + self.deny.patterns()
    }

    /// Step 4. What `deny` names is refused whatever `allow` says.
    pub(super) fn refuses(&self, method: &str) -> Option<Finding<'_>> {
        let unlisted = || self.default_deny.as_ref().filter(|_| self.allow.get(method).is_none());
        let rule = self.deny.get(method).or_else(unlisted).filter(|_| method != NEVER_REFUSED)?;
        Some(Finding::new(rule, format!("Method \"{method}\" is not permitted by policy")))
    }
}
