//! What holds for calls that a person must approve.

use super::grants::open;
use super::notify;
use crate::approvals::notify::Notify;
use crate::approvals::{HMAC_SECRET_BYTES, Key, Keys, Redaction};
use crate::policy::{Fields, Pointer, Problems};
use crate::wire::value::Value;

/// Bytes of an address; it stands in every refusal.
const MAX_URL_BYTES: usize = 512;
/// Calls that each worker may be told to hold: each has a body, and a connection.
const MAX_HELD: usize = 1024;
const DEFAULT_MAX_HELD: usize = 64;
/// Keys that may sign approvals.
const MAX_KEYS: usize = 16;
/// Bytes of a key's name; it stands in records.
const MAX_KEY_ID_BYTES: usize = 64;

/// What holds for calls that a person must approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// Where a person finds the page to approve them on.
    pub url: Option<String>,
    /// Which arguments that person is not to see.
    pub redaction: Redaction,
    /// By which an approval may be signed that was given elsewhere.
    pub keys: Keys,
    /// How many calls each worker holds at a time, whose rules have them wait.
    pub max_held: usize,
    /// Who is told of them.
    pub notify: Option<Notify>,
}

impl Default for Approvals {
    fn default() -> Self {
        let (redaction, keys) = (Redaction::default(), Keys::default());
        Self { url: None, redaction, keys, max_held: DEFAULT_MAX_HELD, notify: None }
    }
}

impl Approvals {
    pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Self {
        let Some((value, at)) = fields.take("approvals") else { return Self::default() };
        let Some(mut fields) = Fields::of(value, &at, problems) else { return Self::default() };
        let url = fields.string("url", problems).map(str::to_owned);
        if url.as_deref().is_some_and(|url| !is_address(url)) {
            let what = "url must be an http or https address without a fragment, at most 512 visible ASCII characters";
            problems.add(&at.child("url"), what);
        }
        let mut paths = Vec::new();
        for (value, at) in fields.list("redact", problems) {
            match value {
                Value::String(path) if Redaction::new([path.as_str()]).is_ok() => paths.push(path.as_str()),
                _ => problems.add(&at, format!("redact must hold paths such as \"args.card.number\", got {value}")),
            }
        }
        let keys = read_keys(&mut fields, problems);
        let max_held = fields.integer("max_held", 0..=MAX_HELD, problems).unwrap_or(DEFAULT_MAX_HELD);
        let notify = notify::read(&mut fields, url.as_deref(), problems);
        fields.finish(problems);
        Self { url, redaction: Redaction::new(paths).unwrap_or_default(), keys, max_held, notify }
    }
}

/// No problem repeats a key: one may be a secret, and what is no key may be one in the wrong form.
fn read_keys(fields: &mut Fields<'_>, problems: &mut Problems) -> Keys {
    let at = fields.at().child("keys");
    let (given, mut keys) = (fields.take("keys").map(|(value, _)| value), Vec::<(String, Key)>::new());
    let Some(Value::Array(given)) = given else {
        if given.is_some() {
            problems.add(&at, "keys must be a list");
        }
        return Keys::default();
    };
    if given.len() > MAX_KEYS {
        problems.add(&at, format!("keys must be at most {MAX_KEYS}, got {}", given.len()));
        return Keys::default();
    }
    for (index, value) in given.iter().enumerate() {
        let at = at.child(index);
        let Some(mut fields) = open(value, &at, "a key", problems) else { continue };
        let id = read_key_id(&mut fields, problems).unwrap_or_default();
        let key = read_key(&mut fields, problems);
        fields.finish(problems);
        if !id.is_empty() && keys.iter().any(|(other, _)| *other == id) {
            problems.add(&at.child("id"), format!("duplicate key id \"{id}\""));
        }
        let Some(key) = key else { continue };
        if let Some((other, _)) = keys.iter().find(|(_, other)| *other == key) {
            problems.add(&at, format!("the same key is that of \"{other}\""));
        }
        keys.push((id, key));
    }
    Keys::new(keys)
}

fn read_key_id(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    fields.require("id", problems);
    let (value, at) = fields.take("id")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match value {
        Value::String(id) if (1..=MAX_KEY_ID_BYTES).contains(&id.len()) && id.bytes().all(is_plain) => Some(id.clone()),
        _ => {
            problems.add(&at, "id must be a name of 1 to 64 letters, digits, dots, hyphens and underscores");
            None
        }
    }
}

fn read_key(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Key> {
    let mut read = |name: &'static str, parse: fn(&str) -> Option<Key>, what: String| {
        let (value, at) = fields.take(name)?;
        let key = if let Value::String(text) = value { parse(text) } else { None };
        if key.is_none() {
            problems.add(&at, what);
        }
        Some(key)
    };
    let (least, most) = (HMAC_SECRET_BYTES.start(), HMAC_SECRET_BYTES.end());
    let secret = read(
        "hmac_sha256",
        Key::hmac_sha256,
        format!("hmac_sha256 must be a secret of {least} to {most} bytes in base64"),
    );
    let public = read("ed25519", Key::ed25519, "ed25519 must be a public key, 32 bytes in base64".to_owned());
    let at: &Pointer = fields.at();
    match (secret, public) {
        (Some(key), None) | (None, Some(key)) => key,
        (None, None) | (Some(_), Some(_)) => {
            problems.add(at, "a key must have one of \"hmac_sha256\" and \"ed25519\"");
            None
        }
    }
}

fn is_address(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#');
    url.len() <= MAX_URL_BYTES && host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_plain))
}
