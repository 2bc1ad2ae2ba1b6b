//! Answers the call of a hidden tool as its server answers the call of a tool that it does not have.
//!
//! Every server has its own words, status and timing for that, so none of ours would be the same. The
//! call goes on with a name that no server has in the place of the hidden one, as long as the name was
//! written, and without arguments; in the answer the hidden name takes its place again.

use crate::wire::json::Raw;
use crate::wire::reply;

/// Characters that the names of tools do not have (MCP 2025-11-25, tool names), and that JSON writes as they
/// are.
const FILLERS: &[u8] = b"~^!$%*+=|;";
/// Shorter names could be met in an answer by chance.
const MIN_NAME_BYTES: usize = 3;

/// The name that went upstream and the one that the client used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandIn {
    /// The name that went upstream is so many of these.
    filler: u8,
    length: usize,
    /// The client's name, escaped for JSON, without quotes.
    name: Vec<u8>,
}

impl StandIn {
    /// The request to send instead of `body`, as long as it is; `None` when the name is too short, or when
    /// the rest of the request has every filler: it might come back in the answer.
    pub(super) fn of(
        body: &[u8],
        name: &str,
        name_token: Raw<'_>,
        arguments: Option<Raw<'_>>,
    ) -> Option<(Self, Vec<u8>)> {
        let mut sent = body.to_vec();
        let inside = |token: Raw<'_>| token.span().start + 1..token.span().end - 1;
        sent.get_mut(inside(name_token)).filter(|inside| inside.len() >= MIN_NAME_BYTES)?.fill(b' ');
        if let Some(arguments) = arguments {
            sent.get_mut(inside(arguments))?.fill(b' ');
        }
        let filler = FILLERS.iter().copied().find(|filler| !sent.contains(filler))?;
        let placed = sent.get_mut(inside(name_token))?;
        placed.fill(filler);
        let length = placed.len();
        let quoted = reply::string(name);
        let name = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec();
        Some((Self { filler, length, name }, sent))
    }

    /// `answer` with the client's name in its place; `None` when it does not hold the other.
    pub(super) fn restore(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut restored = Vec::with_capacity(answer.len());
        let (mut rest, mut found) = (answer, false);
        while let Some(start) = rest.iter().position(|byte| *byte == self.filler) {
            let (before, run) = rest.split_at_checked(start)?;
            let length = run.iter().position(|byte| *byte != self.filler).unwrap_or(run.len());
            let (run, after) = run.split_at_checked(length)?;
            restored.extend_from_slice(before);
            let is_name = length == self.length;
            restored.extend_from_slice(if is_name { &self.name } else { run });
            found |= is_name;
            rest = after;
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
        let operation = mcp::classify(jsonrpc::parse(body).unwrap()).unwrap();
        let mcp::Operation::CallTool { name, name_token, arguments, .. } = operation else { panic!("a call") };
        let (stand_in, sent) = StandIn::of(body, &name, name_token, arguments).unwrap();
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
            let operation = mcp::classify(jsonrpc::parse(body.as_bytes()).unwrap()).unwrap();
            let mcp::Operation::CallTool { name, name_token, .. } = operation else { panic!("a call") };
            let (stand_in, sent) = StandIn::of(body.as_bytes(), &name, name_token, None)?;
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
}
