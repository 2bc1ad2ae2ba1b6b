//! The gates and the host that the targets try their inputs on.

use super::judge::{self, Json, LineEnds, fold};
use super::support::{self, Driver};
use mcp_policy::config::Gate;
use mcp_policy::exchange::Headers;
use mcp_policy::policy::MemoryStore;
use mcp_policy::timestamp::Timestamp;
use std::rc::Rc;

/// Hides `hidden*`, and lets no server ask for sampling.
pub const HIDING: &str = r#"{"version":"1","default":"allow","hide":["hidden*"],"prompts":{"hide":["hidden*"]},
    "resources":{"hide":["file:///hidden/*"]},"methods":{"deny":["sampling/*"]}}"#;
pub const OPEN: &str = r#"{"version":"1","default":"allow"}"#;

/// Every list: its method, the member of the result that holds it, and the member that names an element.
pub const LISTS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

thread_local! {
    pub static HIDING_GATE: Rc<Gate> = support::gate(HIDING);
    pub static OPEN_GATE: Rc<Gate> = support::gate(OPEN);
}

/// Whether [`HIDING`] hides this, of any kind.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with("hidden") || name.starts_with("file:///hidden/")
}

/// What a client could find in `message` and must not: a hidden name in a list, or a request for sampling.
pub fn forbidden(message: &Json) -> Option<String> {
    message.each().iter().find_map(|message| hidden_in_list(message).or_else(|| asks_for_sampling(message)))
}

fn hidden_in_list(message: &Json) -> Option<String> {
    for result in message.readings("result") {
        for (_, list, name) in LISTS {
            for element in result.readings(list).flat_map(Json::each) {
                let mut names = element.readings(name).filter_map(Json::text);
                if let Some(hidden) = names.find(|name| is_hidden(name)) {
                    return Some(format!("{hidden:?} in {list}"));
                }
            }
        }
    }
    None
}

/// The same, of requests alone.
pub fn asks_for_sampling(message: &Json) -> Option<String> {
    let asks = |request: &Json| {
        let method =
            request.readings("method").filter_map(Json::text).find(|method| method.starts_with("sampling/"))?;
        Some(format!("a request of {method:?}"))
    };
    if message.readings("id").next().is_some() && asks(message).is_some() {
        return asks(message);
    }
    let inputs = message.readings("result").flat_map(|result| result.readings("inputRequests"));
    inputs
        .filter_map(|inputs| match inputs {
            Json::Object(members) => members.iter().find_map(|(_, request)| asks(request)),
            _ => None,
        })
        .next()
}

/// The same, for a client that reads an event stream.
pub fn forbidden_in_events(stream: &[u8]) -> Option<String> {
    LineEnds::ALL.into_iter().find_map(|ends| {
        let events = judge::events(stream, ends);
        let found = events.iter().find_map(|event| forbidden(&Json::lax(&event.data)?));
        found.map(|found| format!("{found}, to a client that reads {ends:?} lines"))
    })
}

/// What [`HIDING`] leaves of a plain message.
pub fn without_hidden(message: &Json) -> Json {
    let Json::Object(members) = message else { return message.clone() };
    let result = |value: &Json| {
        let Json::Object(members) = value else { return value.clone() };
        let list = |(name, value): &(String, Json)| {
            let named = LISTS.iter().find(|(_, list, _)| list == name).map(|(_, _, named)| *named);
            let (Some(named), Json::Array(elements)) = (named, value) else { return (name.clone(), value.clone()) };
            let is_shown = |element: &&Json| !element.get(named).and_then(Json::text).is_some_and(is_hidden);
            (name.clone(), Json::Array(elements.iter().filter(is_shown).cloned().collect()))
        };
        Json::Object(members.iter().map(list).collect())
    };
    let member =
        |(name, value): &(String, Json)| (name.clone(), if name == "result" { result(value) } else { value.clone() });
    Json::Object(members.iter().map(member).collect())
}

/// Whether a message has one meaning to every parser: strict and plain, its protocol members in their own case,
/// its lists lists of things with a name.
pub fn is_clear(message: &Json) -> bool {
    let is_exact = |object: &Json, names: &[&str]| match object {
        Json::Object(members) => {
            members.iter().all(|(member, _)| names.iter().all(|name| member == name || fold(member) != fold(name)))
        }
        _ => false,
    };
    let named =
        |element: &Json, name: &str| is_exact(element, &[name]) && element.get(name).and_then(Json::text).is_some();
    let Some(result) = message.get("result") else {
        return message.is_plain() && is_exact(message, &["result", "method", "id", "error"]);
    };
    // So much is asked of an object whose members must be told apart.
    let is_small = |object: &Json| match object {
        Json::Object(members) => members.len() <= 64 && members.iter().all(|(name, _)| name.len() <= 256),
        _ => true,
    };
    let inputs = match result.get("inputRequests") {
        Some(Json::Object(members)) => members.as_slice(),
        _ => &[],
    };
    let is_input = |request: &Json| !request.is_object() || is_exact(request, &["method"]) && is_small(request);
    let lists: Vec<&str> = LISTS.iter().map(|(_, list, _)| *list).chain(["inputRequests"]).collect();
    message.is_plain()
        && inputs.iter().all(|(_, request)| is_input(request))
        && is_exact(message, &["result", "method", "id", "error"])
        && (!result.is_object() || is_exact(result, &lists))
        && LISTS.iter().all(|(_, list, name)| match result.get(list) {
            None => true,
            Some(Json::Array(elements)) => elements.iter().all(|element| named(element, name)),
            Some(_) => false,
        })
}

/// Whether it is the error that we send in the place of an answer.
pub fn is_our_error(message: &Json) -> bool {
    let text = message.get("error").and_then(|error| error.get("message")).and_then(Json::text);
    text.is_some_and(|text| text.starts_with("The server's answer was not passed on by the policy gateway"))
}

/// Three ways to cut `bytes` into chunks; the last depends on nothing but the bytes.
pub fn cuts(bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    let mut state = bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    let (mut chunks, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = usize::try_from(state >> 59).unwrap_or_default().min(rest.len());
        let (chunk, after) = rest.split_at(size);
        chunks.push(chunk);
        rest = after;
    }
    let whole = if bytes.is_empty() { Vec::new() } else { vec![bytes] };
    [whole, bytes.chunks(1).collect(), chunks]
}

/// What a client gets of `chunks` that a server sends, after a request of `method`, or after a GET.
pub fn answered(gate: &Rc<Gate>, method: Option<&str>, content_type: Option<&str>, chunks: &[&[u8]]) -> Vec<u8> {
    let mut store = MemoryStore::default();
    let mut driver = Driver::new(gate, &mut store, 0);
    match method {
        Some(method) => {
            let params = if method == "tools/call" { r#","params":{"name":"a"}"# } else { "" };
            drop(driver.post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#)));
        }
        None => drop(driver.request(&support::headers(&[(":method", "GET")]), &[], false)),
    }
    driver.answer("200", content_type, chunks)
}

/// Header lines from text, `name: value` each; a colon may begin a name.
pub fn headers(text: &[u8]) -> Headers {
    Headers::new(lines(text))
}

pub fn lines(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let line = |line: &[u8]| {
        let colon = line.iter().skip(1).position(|byte| *byte == b':')? + 1;
        let value = &line[colon + 1..];
        Some((line[..colon].to_ascii_lowercase(), value.strip_prefix(b" ").unwrap_or(value).to_vec()))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

pub fn now() -> Timestamp {
    Timestamp::from_millis(0)
}
