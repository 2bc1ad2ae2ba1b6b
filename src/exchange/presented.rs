//! The signed approval that a call brings along: a header, or a member of its `_meta`.

use super::Headers;
use crate::approvals::MAX_TOKEN_BYTES;
use crate::wire::json::{Raw, Reader};
use crate::wire::members::Members;
use std::borrow::Cow;

/// The header; it is for the gateway alone.
pub(super) const HEADER: &str = "mcp-approval-token";
/// The member of `params._meta`.
const MEMBER: &str = "mcp-policy/approval_token";

/// What a call shows that it was approved; `None` when it shows nothing.
///
/// # Errors
/// Why there is no telling which token is meant: one clause.
pub(super) fn presented<'a>(headers: &'a Headers, meta: Option<Raw<'a>>) -> Result<Option<Cow<'a, str>>, &'static str> {
    let header = match headers.only(HEADER) {
        Ok(None) => None,
        Ok(Some(value)) => Some(std::str::from_utf8(value).map_err(|_| "the header is not text")?),
        Err(()) => return Err("the header `mcp-approval-token` is given more than once"),
    };
    let member = meta.and_then(|meta| Members::read(&mut Reader::new(meta.as_str())).ok()?.get(MEMBER));
    let member = match member {
        None => None,
        Some(raw) => {
            let text = raw.string().and_then(|text| text.decode());
            Some(text.ok_or("`mcp-policy/approval_token` in `_meta` is not a string")?)
        }
    };
    let token = match (header, member) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) if one != other => return Err("the header and `_meta` give different ones"),
        (Some(header), _) => Cow::Borrowed(header),
        (None, Some(member)) => member,
    };
    if token.len() > MAX_TOKEN_BYTES { Err("it is longer than 1024 bytes") } else { Ok(Some(token)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_meant_or_none() {
        let long = "x".repeat(MAX_TOKEN_BYTES + 1);
        let quoted = format!(r#"{{"{MEMBER}":"{long}"}}"#);
        let meta = |value: &str| format!(r#"{{"a":1,"mcp-policy\/approval_token":{value}}}"#);
        let own = meta(r#""apt_\u0031""#);
        for (lines, text, expected) in [
            (&[][..], None, Ok(None)),
            (&[], Some("{}"), Ok(None)),
            (&["apt_1"], None, Ok(Some("apt_1"))),
            (&["apt_1"], Some(r#"{"a":1}"#), Ok(Some("apt_1"))),
            (&[], Some(own.as_str()), Ok(Some("apt_1"))),
            (&["apt_1"], Some(&own), Ok(Some("apt_1"))),
            (&["apt_2"], Some(&own), Err("the header and `_meta` give different ones")),
            (&[""], Some(&own), Err("the header and `_meta` give different ones")),
            (&["apt_1", "apt_1"], None, Err("the header `mcp-approval-token` is given more than once")),
            (&[&long], None, Err("it is longer than 1024 bytes")),
            (&[], Some(&quoted), Err("it is longer than 1024 bytes")),
            (&[], Some(&meta("null")), Err("`mcp-policy/approval_token` in `_meta` is not a string")),
            (&[], Some(&meta(r#""\ud800""#)), Err("`mcp-policy/approval_token` in `_meta` is not a string")),
        ] {
            let headers = Headers::new(lines.iter().map(|line| (HEADER.into(), line.as_bytes().to_vec())).collect());
            let meta = text.map(|text| Reader::new(text).value().unwrap());
            assert_eq!(presented(&headers, meta), expected.map(|token| token.map(Cow::Borrowed)), "{lines:?} {text:?}");
        }
        let latin = Headers::new(vec![(HEADER.into(), b"apt_\xFF".to_vec())]);
        assert_eq!(presented(&latin, None), Err("the header is not text"));
    }
}
