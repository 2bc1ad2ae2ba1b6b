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

/// Characters that the names of tools do not have (MCP 2025-11-25, tool names), and that JSON writes as they
/// are.
const FILLERS: &[u8] = b"~^!$%*+=|;";
/// Those of them that may stand anywhere in a URI (RFC 3986, section 2).
const URI_FILLERS: &[u8] = b"~!$*+=;";
/// Shorter names could be met in an answer by chance.
const MIN_NAME_BYTES: usize = 3;

/// The name that went upstream and the one that the client used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandIn {
    /// What stands in the place of the name's own characters; it stands nowhere else in the request.
    filler: u8,
    /// The name that went upstream.
    sent: Vec<u8>,
    /// The client's name, escaped for JSON, without quotes.
    name: Vec<u8>,
}

impl StandIn {
    /// The request to send instead of `body`, as long as it is; `None` when the name is too short, or when
    /// the rest of the request has every filler: it might come back in the answer.
    pub(super) fn of(body: &[u8], named: &Named<'_>) -> Option<(Self, Vec<u8>)> {
        let mut sent = body.to_vec();
        let inside = |token: Raw<'_>| token.span().start + 1..token.span().end - 1;
        let place = inside(named.token?);
        let own = body.get(place.clone()).filter(|own| own.len() >= MIN_NAME_BYTES)?;
        let (scheme, fillers) = match named.feature {
            Feature::Tool | Feature::Prompt => (None, FILLERS),
            // Half an escape would be no JSON.
            Feature::Resource => {
                (own.iter().position(|byte| *byte == b':').filter(|_| !own.contains(&b'\\')), URI_FILLERS)
            }
        };
        let stays = |(at, byte): (usize, &u8)| scheme.is_some_and(|end| at < end || byte.is_ascii_punctuation());
        if own.iter().enumerate().all(stays) {
            return None;
        }
        let with =
            |filler: u8| own.iter().enumerate().map(move |(at, byte)| if stays((at, byte)) { *byte } else { filler });
        sent.splice(place.clone(), with(b' '));
        if let Some(arguments) = named.arguments {
            sent.get_mut(inside(arguments))?.fill(b' ');
        }
        let filler = fillers.iter().copied().find(|filler| !sent.contains(filler))?;
        let placed: Vec<u8> = with(filler).collect();
        sent.splice(place, placed.iter().copied());
        let quoted = reply::string(&named.name);
        let name = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec();
        Some((Self { filler, sent: placed, name }, sent))
    }

    /// `answer` with the client's name in its place; `None` when it does not hold the other.
    pub(super) fn restore(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let is_filler = |byte: &u8| *byte == self.filler;
        let run_of = |bytes: &[u8]| bytes.iter().position(|byte| !is_filler(byte)).unwrap_or(bytes.len());
        // What of the name stands before its first filler.
        let before = self.sent.iter().position(is_filler)?;
        let mut restored = Vec::with_capacity(answer.len());
        let (mut rest, mut found) = (answer, false);
        while let Some(run) = rest.iter().position(is_filler) {
            let name = run.checked_sub(before).and_then(|start| {
                let after = rest.get(start..)?.strip_prefix(self.sent.as_slice())?;
                // A longer run of fillers is another name.
                let is_whole = !(self.sent.last().is_some_and(is_filler) && after.first().is_some_and(is_filler));
                is_whole.then_some((start, after))
            });
            if let Some((start, after)) = name {
                restored.extend_from_slice(rest.get(..start)?);
                restored.extend_from_slice(&self.name);
                (rest, found) = (after, true);
            } else {
                let (passed, after) = rest.split_at_checked(run + run_of(rest.get(run..)?))?;
                restored.extend_from_slice(passed);
                rest = after;
            }
        }
        restored.extend_from_slice(rest);
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
        let operation = mcp::classify(&jsonrpc::parse(body).unwrap()).unwrap();
        let mcp::Operation::Use { named, .. } = operation else { panic!("a call") };
        let (stand_in, sent) = StandIn::of(body, &named).unwrap();
        let expected =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{       },"name":"~~~~~~~~~~"}}"#;
        assert_eq!(sent, expected);
        let answer = stand_in.restore(br#"{"text":"Tool ~~~~~~~~~~ not found"}"#);
        assert_eq!(answer, Some(br#"{"text":"Tool ab\"c not found"}"#.to_vec()));
        assert_eq!(stand_in.restore(b"not found"), None);
        assert_eq!(stand_in.restore(b"~~~~~~~~~~~ and ~"), None);
    }

    #[test]
    fn nothing_else_of_the_request_can_be_taken_for_the_name() {
        let stand_in = |id: &str, name: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"{name}"}}}}"#);
            let operation = mcp::classify(&jsonrpc::parse(body.as_bytes()).unwrap()).unwrap();
            let mcp::Operation::Use { named, .. } = operation else { panic!("a call") };
            let (stand_in, sent) = StandIn::of(body.as_bytes(), &named)?;
            // A server that sends back all it got.
            let answer = stand_in.restore(&sent).unwrap();
            assert_eq!(answer, body.as_bytes());
            Some(())
        };
        assert!(stand_in("~~~~~~", "secret").is_some());
        assert!(stand_in("~^!$%*+=|", "secret").is_some());
        assert_eq!(stand_in("~^!$%*+=|;", "secret"), None);
        assert_eq!(stand_in("1", "ab"), None);
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
            ("a:b/~c", Some("a:!/~!")),
        ] {
            let around = |uri: &str| {
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{{"uri":"{uri}"}}}}"#)
            };
            let body = around(uri);
            let operation = mcp::classify(&jsonrpc::parse(body.as_bytes()).unwrap()).unwrap();
            let mcp::Operation::Use { named, .. } = operation else { panic!("a resource") };
            let stand_in = StandIn::of(body.as_bytes(), &named);
            let sent = stand_in.as_ref().map(|(_, sent)| String::from_utf8(sent.clone()).unwrap());
            assert_eq!(sent, expected.map(around), "{uri}");
            let Some((stand_in, sent)) = stand_in else { continue };
            let answer = stand_in.restore(&sent).map(|answer| String::from_utf8(answer).unwrap());
            assert_eq!(answer, Some(around(&named.name)), "{uri}");
        }
    }
}
