//! What a request's headers say beside its body.

use super::Headers;
use super::legacy::is_legacy;
use crate::record::bounded;
use crate::wire::jsonrpc::HEADER_MISMATCH;
use crate::wire::mirror::{self, Mirrors};

/// Longest `Mcp-Session-Id` that is taken for one, in bytes.
const MAX_SESSION_BYTES: usize = 1024;

/// What the request's headers say.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: Vec<u8>,
    pub(super) request_id: Option<String>,
    pub(super) session: Option<String>,
    pub(super) session_fault: bool,
    /// The transport is that of 2024-11-05.
    pub(super) is_legacy: bool,
    pub(super) mirrors: Mirrors,
    /// One of the mirroring headers is given more than once.
    pub(super) doubled: Option<&'static str>,
}

impl Head {
    pub(super) fn read(headers: &Headers) -> Self {
        let session = headers.only("mcp-session-id");
        let is_id = |value: &[u8]| value.len() <= MAX_SESSION_BYTES && value.iter().all(u8::is_ascii_graphic);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut doubled = None;
        let mut mirror = |name: &'static str| match headers.only(name) {
            Ok(value) => value.map(<[u8]>::to_vec),
            Err(()) => {
                doubled.get_or_insert(name);
                None
            }
        };
        Self {
            method: headers.first(":method").unwrap_or_default().to_vec(),
            request_id: headers.first("x-request-id").map(|value| bounded(&text(value))),
            session: session.ok().flatten().filter(|value| is_id(value)).map(text),
            is_legacy: is_legacy(headers),
            session_fault: !session.is_ok_and(|value| value.is_none_or(is_id)),
            mirrors: Mirrors {
                version: mirror("mcp-protocol-version"),
                method: mirror("mcp-method"),
                name: mirror("mcp-name"),
            },
            doubled,
        }
    }

    /// The HTTP status of an answer that says that a message cannot be read. Clients of 2026-07-28 read what comes with
    /// 400; older ones lose all but the status, so they get 200 where there is an id to answer under.
    pub(super) fn status_of(&self, code: i32, has_id: bool) -> u16 {
        let is_mirrored = self.mirrors.version.as_deref().is_some_and(mirror::is_mirrored);
        if has_id && !is_mirrored && code != HEADER_MISMATCH { 200 } else { 400 }
    }
}
