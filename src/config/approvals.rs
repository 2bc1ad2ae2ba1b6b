//! What holds for calls that a person must approve.

use crate::approvals::Redaction;
use crate::policy::{Fields, Problems};
use crate::wire::value::Value;

/// Bytes of an address; it stands in every refusal.
const MAX_URL_BYTES: usize = 512;

/// What holds for calls that a person must approve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Where a person finds the page to approve them on.
    pub url: Option<String>,
    /// Which arguments that person is not to see.
    pub redaction: Redaction,
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
        fields.finish(problems);
        Self { url, redaction: Redaction::new(paths).unwrap_or_default() }
    }
}

fn is_address(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#');
    url.len() <= MAX_URL_BYTES && host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_plain))
}
