//! Answers the call of a hidden tool as its server answers the call of a tool that it does not have.
//!
//! Every server has its own words, status and timing for that, so none of ours would be the same. The
//! call goes on with a name that no server has in the place of the hidden one, as long as the name was
//! written, and without arguments; in the answer the hidden name takes its place again.

use crate::wire::json::Raw;
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
    pub(super) fn of(
        body: &[u8],
        name: &str,
        name_token: Raw<'_>,
        arguments: Option<Raw<'_>>,
    ) -> Option<(Self, Vec<u8>)> {
        let mut sent = body.to_vec();
        let inside = |token: Raw<'_>| token.span().start + 1..token.span().end - 1;
        let filler = sent.get_mut(inside(name_token)).filter(|inside| !inside.is_empty())?;
        filler.fill(FILLER);
        let filler = filler.to_vec();
        if let Some(arguments) = arguments {
            sent.get_mut(inside(arguments))?.fill(b' ');
        }
        let quoted = reply::string(name);
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
        let mcp::Operation::CallTool { name, name_token, arguments, .. } = operation else { panic!("a call") };
        let (stand_in, sent) = StandIn::of(body, &name, name_token, arguments).unwrap();
        let expected =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{       },"name":"~~~~~~~~~~"}}"#;
        assert_eq!(sent, expected);
        let answer = stand_in.restore(br#"{"text":"Tool ~~~~~~~~~~ not found"}"#);
        assert_eq!(answer, Some(br#"{"text":"Tool ab\"c not found"}"#.to_vec()));
        assert_eq!(stand_in.restore(b"not found"), None);
    }
}
