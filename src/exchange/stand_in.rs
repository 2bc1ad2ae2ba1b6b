//! Answers the call of a hidden tool as its server answers the call of a tool that it does not have, and
//! so for prompts and resources.
//!
//! Every server has its own words, status and timing for that, so none of ours would be the same. The
//! call goes on with a name that no server has in the place of the hidden one, as long as the name was
//! written, and without arguments; in the answer the hidden name takes its place again. Of a URI the
//! scheme and the punctuation stay: servers tell by them what kind of resource is meant.

use crate::wire::json::Raw;
use crate::wire::mcp::{Feature, Named};
use crate::wire::reply;

/// A character that the names of tools do not have (MCP 2025-11-25, tool names).
const FILLER: u8 = b'~';

/// The name that went upstream and the one that the client used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandIn {
    filler: Vec<u8>,
    /// The client's name, escaped for JSON, without quotes.
    name: Vec<u8>,
}

impl StandIn {
    /// The request to send instead of `body`, as long as it is; `None` when the name leaves no room.
    pub(super) fn of(body: &[u8], named: &Named<'_>) -> Option<(Self, Vec<u8>)> {
        let mut sent = body.to_vec();
        let inside = |token: Raw<'_>| token.span().start + 1..token.span().end - 1;
        let filler = sent.get_mut(inside(named.token?)).filter(|inside| !inside.is_empty())?;
        let scheme = match named.feature {
            Feature::Tool | Feature::Prompt => None,
            // Half an escape would be no JSON.
            Feature::Resource => filler.iter().position(|byte| *byte == b':').filter(|_| !filler.contains(&b'\\')),
        };
        match scheme.and_then(|end| filler.get_mut(end..)) {
            Some(rest) => rest.iter_mut().filter(|byte| !byte.is_ascii_punctuation()).for_each(|byte| *byte = FILLER),
            None => filler.fill(FILLER),
        }
        let filler = filler.to_vec();
        if filler == named.name.as_bytes() {
            return None;
        }
        if let Some(arguments) = named.arguments {
            sent.get_mut(inside(arguments))?.fill(b' ');
        }
        let quoted = reply::string(&named.name);
        let name = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec();
        Some((Self { filler, name }, sent))
    }

    /// `answer` with the client's name in its place; `None` when it does not hold the other.
    pub(super) fn restore(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut restored = Vec::with_capacity(answer.len());
        let (mut rest, mut found) = (answer, false);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(self.filler.as_slice()) {
                restored.extend_from_slice(&self.name);
                (rest, found) = (after, true);
            } else if let Some((first, after)) = rest.split_first() {
                restored.push(*first);
                rest = after;
            }
        }
        found.then_some(restored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{jsonrpc, mcp};

    #[test]
    fn only_the_name_and_the_arguments_change_and_no_length_does() {
        let body =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"x":"y"},"name":"a\u0062\"c"}}"#;
        let operation = mcp::classify(jsonrpc::parse(body).unwrap()).unwrap();
        let mcp::Operation::Use { named, .. } = operation else { panic!("a call") };
        let (stand_in, sent) = StandIn::of(body, &named).unwrap();
        let expected =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{       },"name":"~~~~~~~~~~"}}"#;
        assert_eq!(sent, expected);
        let answer = stand_in.restore(br#"{"text":"Tool ~~~~~~~~~~ not found"}"#);
        assert_eq!(answer, Some(br#"{"text":"Tool ab\"c not found"}"#.to_vec()));
        assert_eq!(stand_in.restore(b"not found"), None);
    }

    #[test]
    fn of_a_uri_the_scheme_and_the_punctuation_stay() {
        for (uri, expected) in [
            ("file:///etc/pass-wd", Some("file:///~~~/~~~~-~~")),
            ("a:b{c}", Some("a:~{~}")),
            ("secret", Some("~~~~~~")),
            ("f\\u0069le:a", Some("~~~~~~~~~~~")),
            ("a:é", Some("a:~~")),
            ("a://", None),
        ] {
            let around = |uri: &str| {
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{{"uri":"{uri}"}}}}"#)
            };
            let body = around(uri);
            let operation = mcp::classify(jsonrpc::parse(body.as_bytes()).unwrap()).unwrap();
            let mcp::Operation::Use { named, .. } = operation else { panic!("a resource") };
            let sent = StandIn::of(body.as_bytes(), &named).map(|(_, sent)| String::from_utf8(sent).unwrap());
            assert_eq!(sent, expected.map(around), "{uri}");
        }
    }
}
