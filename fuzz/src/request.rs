//! A request's body: what goes on means one thing to every server, and the policy allows that.

use super::host;
use super::judge::{Json, fold};
use super::support::{self, Driver, Fate};
use mcp_policy::config::Gate;
use mcp_policy::policy::{MemoryStore, Outcome};
use mcp_policy::record::Record;
use std::rc::Rc;

/// A policy that is simple enough to be judged by [`permits`] below.
const POLICY: &str = r#"{"version":"1","default":"deny","hide":["hidden*"],
    "all_tools":{"deny_if":[{"path":"args.path","op":"contains","value":"secret"}]},
    "tools":{"a":{},"get_*":{},"no":{"action":"deny"}},
    "prompts":{"default":"deny","hide":["hidden*"],"items":{"p":{},"a":{}}},
    "resources":{"default":"deny","hide":["file:///hidden/*"],"items":{"file:///open/*":{}}},
    "methods":{"deny":["logging/*"]}}"#;

/// The methods that name something, with the members that do.
const NAMING: [&str; 7] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
    "subscriptions/listen",
];

thread_local! {
    static GATES: [Rc<Gate>; 2] = [
        support::gate(POLICY),
        support::gate(&format!(
            r#"{{"policies":{{"x":{POLICY}}},"default_policy":"x","hidden_reply":"unknown_tool"}}"#
        )),
    ];
}

/// One body.
pub fn check(body: &[u8]) {
    if body.is_empty() {
        return;
    }
    GATES.with(|gates| {
        for (gate, stands_in) in gates.iter().zip([false, true]) {
            let (fate, record) = sent(gate, body);
            match &fate {
                Fate::Forwarded(bytes) => forwarded(body, bytes, &record, stands_in),
                Fate::Replied(reply) => replied(body, reply.status, &reply.body, &record),
            }
            rewritten(gate, body, &fate, &record);
        }
    });
}

fn sent(gate: &Rc<Gate>, body: &[u8]) -> (Fate, Record) {
    let mut store = MemoryStore::default();
    let mut driver = Driver::new(gate, &mut store, 0);
    let [_, _, chunks] = host::cuts(body);
    let fate = driver.request(&support::headers(&support::POST), &chunks, body.len() % 2 == 1);
    let record = driver.exchange.record().unwrap_or_else(|| panic!("no record of {:?}", String::from_utf8_lossy(body)));
    (fate, record.clone())
}

fn forwarded(body: &[u8], bytes: &[u8], record: &Record, stands_in: bool) {
    let what = || format!("{:?} of {:?}", String::from_utf8_lossy(bytes), String::from_utf8_lossy(body));
    let is_replaced = bytes != body;
    assert!(!is_replaced || stands_in && record.rule == "(hidden)" && bytes.len() == body.len(), "changed: {}", what());
    let message = Json::strict(bytes).unwrap_or_else(|| panic!("serde_json cannot read {}", what()));
    // Nothing that a lax parser reads otherwise.
    assert!(Json::lax(bytes).as_ref() == Some(&message), "a lax parser differs on {}", what());
    for name in ["jsonrpc", "id", "method", "params", "result", "error"] {
        let Json::Object(members) = &message else { panic!("no object: {}", what()) };
        let found: Vec<&String> =
            members.iter().map(|(member, _)| member).filter(|member| fold(member) == name).collect();
        assert!(found.len() <= 1 && found.iter().all(|found| *found == name), "{name} is ambiguous in {}", what());
    }
    let Some(method) = message.get("method") else {
        assert!(message.get("result").or(message.get("error")).is_some() && message.get("id").is_some(), "{}", what());
        return;
    };
    assert!(message.get("result").or(message.get("error")).is_none(), "two kinds of message: {}", what());
    let method = method.text().unwrap_or_else(|| panic!("no method: {}", what()));
    let known =
        NAMING.iter().chain(host::LISTS.iter().map(|(list, ..)| list)).find(|known| fold(known) == fold(method));
    assert!(known.is_none_or(|known| *known == method), "the method is spelt oddly in {}", what());
    assert!(!method.starts_with("logging/"), "a refused method goes on: {}", what());
    let empty = Json::Object(Vec::new());
    let params = message.get("params").unwrap_or(&empty);
    assert!(params.is_object(), "params: {}", what());
    for params in message.readings("params") {
        if NAMING.contains(&method) && (method != "subscriptions/listen" || !names(method, params).is_empty()) {
            assert!(message.get("id").is_some(), "a call without an id goes on: {}", what());
        }
        if is_replaced {
            // Nothing of what it named is left.
            for name in names(method, params) {
                assert!(!host::is_hidden(&name), "a hidden name goes on: {}", what());
            }
            assert!(params.readings("arguments").all(|value| *value == empty || method != "tools/call"), "{}", what());
        } else {
            let allowed = permits(method, params);
            assert!(allowed, "the policy refuses {}", what());
            // What is on record is what was asked.
            let named = record.tool.as_ref().or(record.prompt.as_ref()).or(record.resource.as_ref());
            if let Some(named) = named.filter(|named| !named.ends_with('…')) {
                assert!(names(method, params).iter().all(|name| name == named), "another name on record: {}", what());
            }
        }
    }
    assert!(is_replaced || record.outcome == Outcome::Allowed, "{:?}: {}", record.outcome, what());
}

/// Every name that some server could take for what is meant.
fn names(method: &str, params: &Json) -> Vec<String> {
    let texts = |object: &Json, name: &str| -> Vec<String> {
        object.readings(name).map(|value| value.text().unwrap_or_default().to_owned()).collect()
    };
    match method {
        "tools/call" | "prompts/get" => texts(params, "name"),
        "completion/complete" => {
            let found = params.readings("ref").flat_map(|found| {
                let is_prompt = texts(found, "type").iter().any(|kind| kind == "ref/prompt");
                texts(found, if is_prompt { "name" } else { "uri" })
            });
            found.collect()
        }
        "subscriptions/listen" => {
            let wanted = params.readings("notifications").flat_map(|wanted| wanted.readings("resourceSubscriptions"));
            wanted.flat_map(Json::each).map(|uri| uri.text().unwrap_or_default().to_owned()).collect()
        }
        // Without a URI they are judged as if it were empty.
        "resources/subscribe" | "resources/unsubscribe" => {
            let found = texts(params, "uri");
            if found.is_empty() { vec![String::new()] } else { found }
        }
        _ => texts(params, "uri"),
    }
}

/// [`POLICY`] in plain words, for every reading.
fn permits(method: &str, params: &Json) -> bool {
    let names = names(method, params);
    if !NAMING.contains(&method) {
        return true;
    }
    let is_one = names.len() == 1 || method == "subscriptions/listen";
    let is_open = |uri: &String| uri.starts_with("file:///open/");
    is_one
        && match method {
            "tools/call" => {
                let of_arguments = |arguments: &Json| {
                    arguments.readings("path").all(|path| match path {
                        Json::String(text) => !text.contains("secret"),
                        Json::Array(elements) => !elements.iter().any(|element| element.text() == Some("secret")),
                        Json::Word(word) => word == "null",
                        Json::Object(_) => false,
                    })
                };
                let is_listed = |name: &String| name == "a" || name.starts_with("get_");
                names.iter().all(is_listed) && params.readings("arguments").all(of_arguments)
            }
            "prompts/get" => names.iter().all(|name| name == "p" || name == "a"),
            // Leaving is judged as a method only.
            "resources/unsubscribe" => true,
            "completion/complete" => names.iter().all(|name| name == "p" || name == "a" || is_open(name)),
            _ => names.iter().all(is_open),
        }
}

fn replied(body: &[u8], status: u16, answer: &[u8], record: &Record) {
    let what = || format!("{status} {:?} to {:?}", String::from_utf8_lossy(answer), String::from_utf8_lossy(body));
    assert!(matches!(record.outcome, Outcome::Denied | Outcome::ApprovalRequired), "{:?}: {}", record.outcome, what());
    assert!(!record.rule.is_empty() && !record.message.is_empty(), "no reason on record: {}", what());
    let line: serde_json::Value = serde_json::from_str(&record.to_line()).unwrap();
    assert!(line.is_object() && !record.to_line().contains('\n'), "the record is no line: {}", what());
    let request = Json::strict(body);
    // The same member, as a parser that is not ours lends it out.
    let id_of = |text: &[u8]| -> Option<String> {
        let members: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_slice(text).ok()?;
        Some(members.get("id")?.get().to_owned())
    };
    if answer.is_empty() {
        assert!(status == 202 && id_of(body).is_none(), "no answer: {}", what());
        return;
    }
    let message = Json::strict(answer).unwrap_or_else(|| panic!("no JSON: {}", what()));
    assert!(message.get("jsonrpc").and_then(Json::text) == Some("2.0"), "{}", what());
    assert!(message.get("result").is_some() != message.get("error").is_some(), "{}", what());
    let id = id_of(answer).unwrap_or_else(|| panic!("no id: {}", what()));
    // Headers that do not say what the body says are refused as 2026-07-28 asks, with an id and yet 400.
    let is_mismatch = message.get("error").and_then(|error| error.get("code")) == Some(&Json::Word("-32020".into()));
    assert!(status == if id == "null" || is_mismatch { 400 } else { 200 }, "{}", what());
    let clear = request.as_ref().filter(|request| request.is_object() && request.is_plain());
    let Some(Json::Object(members)) = clear else { return };
    let is_small = members.len() <= 64
        && members.iter().all(|(name, _)| name.len() <= 256)
        && body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() < 100;
    if let Some(wanted) = id_of(body).filter(|_| is_small) {
        let digits = wanted.strip_prefix('-').unwrap_or(&wanted);
        let is_exact = digits.parse().is_ok_and(|id: u64| id < 1 << 53);
        let may_be_echoed = wanted.starts_with('"') || is_exact;
        assert!(id == if may_be_echoed { wanted.as_str() } else { "null" }, "another id: {}", what());
    }
}

/// The same message in other bytes meets the same fate.
fn rewritten(gate: &Rc<Gate>, body: &[u8], fate: &Fate, record: &Record) {
    let Some(message) = Json::strict(body).filter(Json::is_plain) else { return };
    for escape in [false, true] {
        let other = message.written(escape);
        let (other_fate, other_record) = sent(gate, other.as_bytes());
        let same_reply = match (fate, &other_fate) {
            // Whether a name is long enough to be replaced is a matter of its bytes.
            _ if record.rule == "(hidden)" => true,
            (Fate::Forwarded(_), Fate::Forwarded(_)) => true,
            (Fate::Replied(one), Fate::Replied(other)) => one.status == other.status,
            _ => false,
        };
        let is_about_bytes = record.message.contains(" at byte ");
        assert!(
            same_reply && (is_about_bytes || *record == other_record),
            "{:?}\n and {other:?}\n differ: {record:?}\n {other_record:?}",
            String::from_utf8_lossy(body)
        );
    }
}
