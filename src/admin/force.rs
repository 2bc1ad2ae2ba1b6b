//! Which policies are in force, as the gate tells the admin side.

use super::{Reply, json};
use crate::config::Gate;
use crate::policy::{Problems, PutError, Store};
use crate::timestamp::Timestamp;
use crate::wire::reply::string;

/// What the gate was last configured with, and what it last refused.
const IN_FORCE: &[u8] = b"mcp-policy:in-force";
const REFUSED: &[u8] = b"mcp-policy:refused";
/// Problems that are told; a document may have any number.
const MAX_PROBLEMS: usize = 50;
const MAX_TRIES: usize = 64;

/// A configuration takes force.
pub fn note_in_force(gate: &Gate, now: Timestamp, store: &mut dyn Store) {
    let policies = gate.policies().map(|policy| {
        let (name, version) = (string(policy.name()), string(policy.version()));
        format!(r#"{{"name":{name},"version":{version},"since":"{now}"}}"#)
    });
    let text = format!("[{}]", policies.collect::<Vec<_>>().join(","));
    // Every worker says so, and the first of them when.
    let same = |old: &[u8]| without_times(old) == without_times(text.as_bytes());
    write(IN_FORCE, &text, store, same);
    write(REFUSED, "null", store, |old| old == b"null");
}

/// A configuration is refused; the one before stays in force.
pub fn note_refused(problems: &Problems, now: Timestamp, store: &mut dyn Store) {
    let problems: Vec<String> =
        problems.iter().take(MAX_PROBLEMS).map(|problem| string(&problem.to_string())).collect();
    let text = format!(r#"{{"at":"{now}","problems":[{}]}}"#, problems.join(","));
    write(REFUSED, &text, store, |_| false);
}

fn without_times(text: &[u8]) -> Vec<serde_json::Value> {
    let mut policies: Vec<serde_json::Value> = serde_json::from_slice(text).unwrap_or_default();
    for policy in policies.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        policy.remove("since");
    }
    policies
}

/// What cannot be written is not told; nothing depends on it.
fn write(key: &[u8], text: &str, store: &mut dyn Store, is_same: impl Fn(&[u8]) -> bool) {
    for _ in 0..MAX_TRIES {
        let Ok(old) = store.get(key) else { return };
        if old.as_ref().is_some_and(|(old, _)| is_same(old)) {
            return;
        }
        if store.put(key, text.as_bytes(), old.map(|(_, version)| version)) != Err(PutError::Conflict) {
            return;
        }
    }
}

pub(super) fn answer(store: &mut dyn Store) -> Reply {
    let mut read = |key: &[u8], none: &str| {
        let text = store.get(key).ok().flatten().and_then(|(value, _)| String::from_utf8(value).ok());
        text.unwrap_or_else(|| none.to_owned())
    };
    json(200, format!(r#"{{"policies":{},"refused":{}}}"#, read(IN_FORCE, "[]"), read(REFUSED, "null")))
}
