//! The configuration of the admin side.

use super::grants::{TokenHash, unhex};
use crate::policy::{Fields, Problems};
use crate::wire::value::Value;

/// What the admin side was told.
#[derive(Debug)]
pub struct Admin {
    /// Of the token that its callers show.
    pub(crate) token: TokenHash,
    /// Names it is asked by beside this machine's own.
    pub(crate) hosts: Vec<String>,
}

impl Admin {
    pub(super) fn read(value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut root = Fields::of(value, &crate::policy::Pointer::root(), problems)?;
        let (value, at) = root.take(super::ADMIN)?;
        root.finish(problems);
        let mut fields = Fields::of(value, &at, problems)?;
        fields.require("token_sha256", problems);
        let token = fields.take("token_sha256").map(|(value, at)| (unhex_value(value), at));
        if let Some((None, at)) = &token {
            // Its value may be the token itself, put where the hash belongs.
            problems.add(at, "token_sha256 must be the SHA-256 of the token as 64 hex digits");
        }
        let mut hosts = Vec::new();
        for (value, at) in fields.list("hosts", problems) {
            match value {
                Value::String(host) if is_host(host) => hosts.push(host.to_ascii_lowercase()),
                _ => problems.add(&at, format!("hosts must hold names without scheme and port, got {value}")),
            }
        }
        fields.finish(problems);
        Some(Self { token: token?.0?, hosts })
    }
}

fn unhex_value(value: &Value) -> Option<TokenHash> {
    if let Value::String(text) = value { unhex(text) } else { None }
}

fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (1..=253).contains(&host.len()) && host.bytes().all(is_plain)
}
