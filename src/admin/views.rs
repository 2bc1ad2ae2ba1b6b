//! Approvals as the admin API writes them.

use crate::approvals::{Entry, Shown};
use crate::timestamp::Timestamp;
use serde_json::{Map, Value, json};

/// The states of the API: those of approvals, and that their time has run out.
pub(super) const STATES: [&str; 5] = ["pending", "approved", "denied", "used", "expired"];

/// `{"approvals": [...]}`; all, or those in one state.
pub(super) fn list(all: &[(Entry, Option<Shown>)], wanted: Option<&str>, now: Timestamp) -> String {
    let chosen = all.iter().filter(|(entry, _)| wanted.is_none_or(|wanted| entry.shown_state(now.millis()) == wanted));
    let texts: Vec<String> = chosen.map(|(entry, shown)| one(entry, shown.as_ref(), now)).collect();
    format!(r#"{{"approvals":[{}]}}"#, texts.join(","))
}

pub(super) fn one(entry: &Entry, shown: Option<&Shown>, now: Timestamp) -> String {
    let time = |millis: u64| Value::from(Timestamp::from_millis(millis).to_string());
    let mut members = Map::new();
    members.insert("id".into(), entry.id.to_string().into());
    members.insert("state".into(), entry.shown_state(now.millis()).into());
    members.insert("created_at".into(), time(entry.id.created));
    members.insert("expires_at".into(), time(entry.expires));
    let mut arguments = "null";
    if let Some(shown) = shown {
        for (name, text) in [
            ("grant", &shown.grant),
            ("method", &shown.method),
            ("target", &shown.target),
            ("policy", &shown.policy),
            ("policy_version", &shown.policy_version),
            ("rule", &shown.rule),
            ("reason", &shown.reason),
        ] {
            members.insert(name.into(), text.as_str().into());
        }
        for (name, text) in [("session", &shown.session), ("note", &shown.note)] {
            members.extend(text.as_deref().map(|text| (name.to_owned(), Value::from(text))));
        }
        if shown.is_cut {
            members.insert("arguments_cut".into(), json!(true));
        }
        if shown.says_more {
            members.insert("says_more".into(), json!(true));
        }
        arguments = shown.arguments.as_deref().unwrap_or(arguments);
    }
    // The call's own text, digit for digit.
    let object = Value::from(members).to_string();
    let open = object.strip_suffix('}').unwrap_or(&object);
    format!(r#"{open},"arguments":{arguments}}}"#)
}
