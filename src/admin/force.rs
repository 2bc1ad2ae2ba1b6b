//! Which policies are in force, as the gate tells the admin side.

use super::{Reply, json, unavailable};
use crate::config::Gate;
use crate::policy::{Problems, PutError, Store, Unavailable};
use crate::timestamp::Timestamp;
use crate::wire::reply::string;
use serde::{Deserialize, Serialize};

/// What the gate was last configured with, and what it last refused.
const IN_FORCE: &[u8] = b"mcp-policy:in-force";
const REFUSED: &[u8] = b"mcp-policy:refused";
/// Problems that are told; a document may have any number.
const MAX_PROBLEMS: usize = 50;
/// Bytes of a document that is told, and of all of them.
const MAX_DOCUMENT_BYTES: usize = 256 << 10;
const MAX_DOCUMENTS_BYTES: usize = 1 << 20;
/// Callers that are told.
const MAX_CALLERS: usize = 1000;
const MAX_TRIES: usize = 64;

/// What is in force: neither grants' tokens nor what else callers show.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InForce {
    pub(super) policies: Vec<Told>,
    /// Each grant that has a policy, and that policy's name.
    pub(super) callers: Vec<(String, String)>,
    /// There are more callers.
    pub(super) is_cut: bool,
    /// A rate limit service keeps the counts.
    pub(super) by_service: bool,
}

/// One policy in force.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) version: String,
    since: String,
    /// As configured, without blanks; `None` where it is too long.
    pub(super) document: Option<String>,
}

/// A configuration takes force.
pub fn note_in_force(gate: &mut Gate, now: Timestamp, store: &mut dyn Store) {
    let mut room = MAX_DOCUMENTS_BYTES;
    let documents: Vec<Option<String>> = gate
        .take_documents()
        .map(|document| {
            let told = Some(document).filter(|text| text.len() <= MAX_DOCUMENT_BYTES.min(room));
            room -= told.as_ref().map_or(0, String::len);
            told
        })
        .collect();
    let mut callers: Vec<(String, String)> =
        gate.callers().map(|(grant, policy)| (grant.to_owned(), policy.name().to_owned())).collect();
    let is_cut = callers.len() > MAX_CALLERS;
    callers.truncate(MAX_CALLERS);
    let mut new = InForce { policies: Vec::new(), callers, is_cut, by_service: gate.limits.service().is_some() };
    for (policy, document) in gate.policies().zip(documents) {
        let (name, version) = (policy.name().to_owned(), policy.version().to_owned());
        new.policies.push(Told { name, version, since: now.to_string(), document });
    }
    update(IN_FORCE, store, |old| {
        // Every worker says so, and the first of them when.
        let old: Option<InForce> = old.and_then(|old| serde_json::from_slice(old).ok());
        for told in &mut new.policies {
            let same = |old: &&Told| old.name == told.name && old.version == told.version;
            if let Some(old) = old.iter().flat_map(|old| &old.policies).find(same) {
                told.since.clone_from(&old.since);
            }
        }
        if old.as_ref() == Some(&new) { None } else { serde_json::to_vec(&new).ok() }
    });
    update(REFUSED, store, |old| old.filter(|old| *old != b"null").map(|_| b"null".to_vec()));
}

/// A configuration is refused; the one before stays in force.
pub fn note_refused(problems: &Problems, now: Timestamp, store: &mut dyn Store) {
    let problems: Vec<String> =
        problems.iter().take(MAX_PROBLEMS).map(|problem| string(&problem.to_string())).collect();
    let text = format!(r#"{{"at":"{now}","problems":[{}]}}"#, problems.join(","));
    update(REFUSED, store, |_| Some(text.as_bytes().to_vec()));
}

/// Writes what `to` makes of what is there, if anything. What cannot be written is not told; nothing depends on it.
fn update(key: &[u8], store: &mut dyn Store, mut to: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) {
    for _ in 0..MAX_TRIES {
        let Ok(old) = store.get(key) else { return };
        let Some(new) = to(old.as_ref().map(|(value, _)| value.as_slice())) else { return };
        if store.put(key, &new, old.map(|(_, version)| version)) != Err(PutError::Conflict) {
            return;
        }
    }
}

/// What is in force; nothing before a gate was configured.
pub(super) fn read(store: &mut dyn Store) -> Result<InForce, Unavailable> {
    let stored = store.get(IN_FORCE)?;
    Ok(stored.and_then(|(value, _)| serde_json::from_slice(&value).ok()).unwrap_or_default())
}

pub(super) fn answer(store: &mut dyn Store) -> Reply {
    let (Ok(in_force), Ok(refused)) = (read(store), store.get(REFUSED)) else { return unavailable() };
    let policies = in_force.policies.iter().map(|Told { name, version, since, document }| {
        let (name, version, since) = (string(name), string(version), string(since));
        // The document's own text, digit for digit.
        let document = document.as_deref().unwrap_or(r#"null,"document_cut":true"#);
        format!(r#"{{"name":{name},"version":{version},"since":{since},"document":{document}}}"#)
    });
    let refused = refused.and_then(|(value, _)| String::from_utf8(value).ok());
    let refused = refused.as_deref().unwrap_or("null");
    json(200, format!(r#"{{"policies":[{}],"refused":{refused}}}"#, policies.collect::<Vec<_>>().join(",")))
}
