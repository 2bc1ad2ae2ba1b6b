//! `approvals.notify`: who is told that an approval waits or is settled.

use super::grants::open;
use super::limits::read_name;
use crate::approvals::notify::{Notify, SECRET_BYTES, Secret};
use crate::policy::{Fields, Problems};
use crate::wire::value::Value;

/// How long a request may take unless `timeout_ms` says otherwise.
const DEFAULT_TIMEOUT_MS: u32 = 2000;
/// The most that `timeout_ms` may say.
const LARGEST_TIMEOUT_MS: u32 = 60_000;
/// How often an event is tried unless `attempts` says otherwise.
const DEFAULT_ATTEMPTS: u8 = 5;
/// The most that `attempts` may say: the last one is made about a quarter of an hour after the first.
const LARGEST_ATTEMPTS: u8 = 10;
/// Bytes of a path.
const MAX_PATH_BYTES: usize = 512;
/// Bytes of a host's name with a port.
const MAX_AUTHORITY_BYTES: usize = 255;

/// `page`: where people approve. No problem repeats what stands in the place of the secret.
pub(super) fn read(fields: &mut Fields<'_>, page: Option<&str>, problems: &mut Problems) -> Option<Notify> {
    let (value, at) = fields.take("notify")?;
    let mut fields = open(value, &at, "notify", problems)?;
    let cluster = read_name(&mut fields, "cluster", problems);
    fields.require("path", problems);
    let path = fields.string("path", problems).map(str::to_owned);
    if path.as_deref().is_some_and(|path| !is_path(path)) {
        let what =
            format!("path must begin with / and be at most {MAX_PATH_BYTES} visible ASCII characters, without #");
        problems.add(&at.child("path"), what);
    }
    let authority = fields.string("authority", problems).map(str::to_owned);
    if authority.as_deref().is_some_and(|authority| !is_authority(authority)) {
        problems.add(
            &at.child("authority"),
            "authority must be a host, with a port if need be, such as \"hooks.example.com\"",
        );
    }
    fields.require("hmac_sha256", problems);
    let secret = fields.take("hmac_sha256").and_then(|(value, at)| {
        let secret = if let Value::String(text) = value { Secret::parse(text) } else { None };
        if secret.is_none() {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            problems.add(&at, format!("hmac_sha256 must be a secret of {least} to {most} bytes in base64"));
        }
        secret
    });
    let timeout_ms = fields.integer("timeout_ms", 1..=LARGEST_TIMEOUT_MS, problems).unwrap_or(DEFAULT_TIMEOUT_MS);
    let attempts = fields.integer("attempts", 1..=LARGEST_ATTEMPTS, problems).unwrap_or(DEFAULT_ATTEMPTS);
    fields.finish(problems);
    let cluster = cluster?;
    let authority = authority.unwrap_or_else(|| cluster.clone());
    Some(Notify {
        cluster,
        authority,
        path: path?,
        secret: secret?,
        timeout_ms,
        attempts,
        page: page.map(str::to_owned),
    })
}

fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    path.len() <= MAX_PATH_BYTES && path.starts_with('/') && path.bytes().all(is_plain)
}

fn is_authority(authority: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (1..=MAX_AUTHORITY_BYTES).contains(&authority.len()) && authority.bytes().all(is_plain)
}
