//! Two blocks of header lines, a blank line between them: a request's and its answer's. What goes on is what
//! every server reads alike, and under no headers does a hidden tool reach the client.

use super::host;
use super::judge::Json;
use super::support;
use mcp_policy::config::Gate;
use mcp_policy::exchange::{Exchange, HeaderEdit, Reading, Step};
use mcp_policy::policy::{MemoryStore, Outcome};
use std::rc::Rc;

const MAX_BODY_BYTES: usize = 100;
const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
const LIST: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const ANSWER: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden_x"},{"name":"a"}]}}"#;
const EVENTS: &[u8] = b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"hidden_x\"}]}}\n\n";

thread_local! {
    static GATES: [Rc<Gate>; 3] = ["", r#","strip_authorization":true,"hold_request_headers":true"#,
        r#","strip_cookies":true,"grants":[{"id":"g","match":{"header":{"name":"x-team","equals":"t"}},"policy":"x"}]"#,
    ].map(|more| {
        let policy = host::HIDING;
        support::gate(&format!(r#"{{"policies":{{"x":{policy}}},"default_policy":"x","max_body_bytes":{MAX_BODY_BYTES}{more}}}"#))
    });
}

/// Both blocks.
pub fn check(text: &[u8]) {
    let split = text.windows(2).position(|pair| pair == b"\n\n").unwrap_or(text.len());
    let (request, answer) = (&text[..split], text.get(split + 2..).unwrap_or_default());
    GATES.with(|gates| {
        for (index, gate) in gates.iter().enumerate() {
            for body in [Some(CALL), Some(LIST), None] {
                exchange(gate, index, request, answer, body);
            }
        }
    });
}

fn exchange(gate: &Rc<Gate>, index: usize, request: &[u8], answer: &[u8], body: Option<&[u8]>) {
    let lines = host::lines(request);
    let what = || {
        format!(
            "{:?} and {:?}, body {}",
            String::from_utf8_lossy(request),
            String::from_utf8_lossy(answer),
            body.is_some()
        )
    };
    let values = |name: &str| -> Vec<&[u8]> {
        lines.iter().filter(|(line, _)| line == name.as_bytes()).map(|(_, value)| value.as_slice()).collect()
    };
    let mut exchange = Exchange::new(Rc::clone(gate));
    let step = exchange.request_headers(&host::headers(request), body.is_none(), host::now());
    let method = values(":method").first().copied().unwrap_or_default();
    let is_good = match (method, body) {
        (b"POST", Some(_)) => is_good_post(&values),
        (b"GET" | b"DELETE" | b"HEAD" | b"OPTIONS", None) => true,
        _ => false,
    };
    if let Step::Reply(reply) = &step.step {
        assert!(!is_good, "refused: {}", what());
        refused(&exchange, reply.status, &reply.body, &what);
        return;
    }
    assert!(is_good, "goes on: {}", what());
    let is_held = method == b"POST" && index == 1;
    assert!(step.step == if is_held { Step::Wait } else { Step::Continue }, "{:?}: {}", step.step, what());
    assert!(step.edits.contains(&HeaderEdit::Set("accept-encoding", "identity")), "{}", what());
    assert_eq!(step.edits.contains(&HeaderEdit::Remove("authorization")), index == 1, "{}", what());
    assert_eq!(step.edits.contains(&HeaderEdit::Remove("cookie")), index == 2, "{}", what());
    if let Some(body) = body {
        let is_id = |value: &&[u8]| value.len() <= 1024 && value.iter().all(|byte| (0x21..0x7F).contains(byte));
        // Of a revision that repeats in headers what the body says; these bodies say nothing of it.
        let is_later = |value: &&[u8]| value.trim_ascii().len() == 10 && value.trim_ascii() > b"2025-11-25".as_slice();
        let (sessions, versions) = (values("mcp-session-id"), values("mcp-protocol-version"));
        let is_doubled = versions.len() > 1 || values("mcp-method").len() > 1 || values("mcp-name").len() > 1;
        match exchange.request_whole(body, host::now(), &mut MemoryStore::default()) {
            Step::Continue => {
                assert!(sessions.len() <= 1 && sessions.iter().all(is_id), "a session: {}", what());
                assert!(!is_doubled, "a header that servers route by: {}", what());
            }
            Step::Reply(reply) => {
                let is_good = sessions.len() <= 1 && sessions.iter().all(is_id);
                assert!(!is_good || is_doubled || versions.iter().any(is_later), "refused: {}", what());
                return refused(&exchange, reply.status, &reply.body, &what);
            }
            other => panic!("{other:?}: {}", what()),
        }
    }
    for bytes in [ANSWER, EVENTS] {
        // An exchange has one answer.
        let mut exchange = Exchange::new(Rc::clone(gate));
        exchange.request_headers(&host::headers(request), body.is_none(), host::now());
        if let Some(body) = body {
            exchange.request_whole(body, host::now(), &mut MemoryStore::default());
        }
        answered(&mut exchange, answer, bytes, &what);
    }
}

/// What a POST must say of its body for every server to read it as JSON.
fn is_good_post<'l>(values: &dyn Fn(&str) -> Vec<&'l [u8]>) -> bool {
    let lower = |value: &[u8]| String::from_utf8_lossy(value).to_ascii_lowercase();
    let blank = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let [content_type] = values("content-type")[..] else { return false };
    let content_type = lower(content_type);
    let mut parts = content_type.split(';').map(|part| part.trim_matches(blank));
    let is_json = parts.next() == Some("application/json")
        && parts.all(|part| matches!(part, "" | "charset=utf-8" | "charset=\"utf-8\""));
    let is_plain = match values("content-encoding")[..] {
        [] => true,
        [value] => lower(value).trim_matches(blank) == "identity",
        _ => false,
    };
    let length = values("content-length").first().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    is_json && is_plain && length.is_none_or(|length: usize| length <= MAX_BODY_BYTES)
}

fn refused(exchange: &Exchange, status: u16, body: &[u8], what: &dyn Fn() -> String) {
    assert!(matches!(status, 200 | 400 | 405 | 413 | 415), "{status}: {}", what());
    let message = Json::strict(body);
    assert!(message.is_some_and(|message| message.get("error").is_some() && message.get("id").is_some()), "{}", what());
    let record = exchange.record().unwrap_or_else(|| panic!("no record: {}", what()));
    assert!(record.outcome == Outcome::Denied && !record.message.is_empty(), "{}", what());
    assert!(!record.to_line().contains('\n'), "{}", what());
}

fn answered(exchange: &mut Exchange, answer: &[u8], bytes: &[u8], what: &dyn Fn() -> String) {
    let lines = host::lines(answer);
    let step = exchange.answer_headers(&host::headers(answer), false);
    let got = match step.step {
        Step::Reply(reply) => {
            let message = Json::strict(&reply.body);
            assert!(message.is_some_and(|message| host::is_our_error(&message)), "{}", what());
            return;
        }
        Step::Continue => {
            let encodings: Vec<&[u8]> = lines
                .iter()
                .filter(|(name, _)| name == b"content-encoding")
                .map(|(_, value)| value.as_slice())
                .collect();
            let is_plain = encodings.len() <= 1
                && encodings.iter().all(|value| value.trim_ascii().eq_ignore_ascii_case(b"identity"));
            assert!(is_plain, "an encoded answer passes: {}", what());
            let mut reading = exchange.answer_reading();
            if reading == Reading::Beginning {
                exchange.answer_begins(bytes, true);
                reading = exchange.answer_reading();
            }
            let end = match reading {
                Reading::Nothing => Step::Continue,
                Reading::Beginning => panic!("unread: {}", what()),
                Reading::Chunks => exchange.answer_chunk(bytes, true, &mut MemoryStore::default()),
                Reading::Whole => exchange.answer_whole(bytes, &mut MemoryStore::default()),
            };
            match end {
                Step::Continue => bytes.to_vec(),
                Step::Replace(other) => {
                    assert!(step.edits.contains(&HeaderEdit::Remove("content-length")), "a length stays: {}", what());
                    other
                }
                other => panic!("{other:?}: {}", what()),
            }
        }
        other => panic!("{other:?}: {}", what()),
    };
    // Nobody reads JSON where every type given is that of events.
    let types: Vec<&[u8]> =
        lines.iter().filter(|(name, _)| name == b"content-type").map(|(_, value)| value.as_slice()).collect();
    let are_events = |value: &&[u8]| {
        let value = value.to_ascii_lowercase();
        value.windows(17).any(|part| part == b"text/event-stream")
            && !value.windows(16).any(|part| part == b"application/json")
    };
    let is_json = types.is_empty() || !types.iter().all(are_events);
    let json = Json::lax(&got).filter(|_| is_json);
    let found = json.as_ref().and_then(host::forbidden).or_else(|| host::forbidden_in_events(&got));
    assert!(
        found.is_none(),
        "a client finds {} in {:?} after {}",
        found.unwrap(),
        String::from_utf8_lossy(&got),
        what()
    );
}
