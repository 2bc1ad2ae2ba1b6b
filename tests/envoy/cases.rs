//! The cases of the shipped policies, asked over HTTP: the plugin in Envoy decides them as the engine does.
//!
//! Envoy's clock is not ours to set. A case is asked when it holds as well with every call made now, which the engine
//! says beforehand; the others are counted and named.

use super::native;
use super::support::envoy::Envoy;
use super::support::parts::{Parts, root};
use super::support::request::Request;
use super::support::setup::Setup;
use super::support::upstream::{Answer, Received, Upstream, result};
use super::support::wait;
use mcp_policy::cases::{Call, CallCase, Case, CaseFile, Element, Upstream as Ending};
use mcp_policy::policy::{Outcome, Policy};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::mcp::Feature;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every window of the shipped policies is a multiple of this.
const WINDOW_SECONDS: u64 = 10;

/// One case, as it is asked.
struct Asked {
    /// What it is called in messages.
    name: String,
    policy: Arc<Policy>,
    /// Under grants of its own, so that its counters are fresh.
    case: Case,
}

/// What one Envoy is configured with.
#[derive(Default)]
struct Batch {
    policies: Map<String, Value>,
    grants: Vec<Value>,
    ids: BTreeSet<String>,
    default_policy: Value,
    asked: Vec<Asked>,
}

/// How the server ends the next call.
#[derive(Clone)]
struct Script(Arc<Mutex<(Ending, Value)>>);

impl Script {
    fn set(&self, ending: Ending, result: Value) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (ending, result);
    }

    fn answer(&self, request: &Received) -> Answer {
        let (ending, value) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let done = result(&request.body, &value.to_string());
        match ending {
            Ending::Success => Answer::json(done),
            Ending::ToolError => Answer::json(result(&request.body, r#"{"content":[],"isError":true}"#)),
            Ending::JsonRpcError => {
                Answer::json(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"broken"}}"#)
            }
            Ending::HttpError => Answer::new("text/plain", "broken").status(503),
            Ending::Unreachable | Ending::InDoubt => panic!("no answer of a server"),
        }
    }
}

fn calls(case: &mut CallCase) -> impl Iterator<Item = &mut Call> {
    case.after.iter_mut().chain([&mut case.call])
}

fn holds(case: Case, policy: &Policy) -> bool {
    CaseFile { cases: vec![case] }.run(policy).is_empty()
}

impl Batch {
    /// Takes the case over if its grants are free here. Without `own`, the policy is one for all cases of its file.
    fn takes(&mut self, asked: &Asked, document: &Value, own: bool, file: &str) -> bool {
        let mut case = match &asked.case {
            Case::Call(case) => case.clone(),
            Case::List(_) => return false,
        };
        let ids: BTreeSet<String> = calls(&mut case).map(|call| call.grant.clone()).collect();
        if ids.iter().any(|id| self.ids.contains(id)) {
            return false;
        }
        let policy = if own { asked.name.clone() } else { file.to_owned() };
        self.policies.entry(policy.clone()).or_insert_with(|| document.clone());
        for id in &ids {
            if id == "anonymous" {
                self.default_policy = policy.clone().into();
            } else {
                let header = json!({ "name": "x-grant", "equals": id });
                self.grants.push(json!({ "id": id, "match": { "header": header }, "policy": policy }));
            }
        }
        self.ids.extend(ids);
        true
    }
}

/// Every case of `policies/`, spread so that none finds a grant in use.
fn batches(skipped: &mut BTreeMap<&'static str, Vec<String>>) -> Vec<Batch> {
    let mut batches = vec![Batch::default()];
    let folder = fs::read_dir(root().join("policies")).expect("policies");
    let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for path in files {
        let Some(file) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".cases.json")) else { continue };
        let text = fs::read_to_string(path.with_file_name(format!("{file}.json"))).expect("a policy");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let policy = Arc::new(Policy::load(file, &text).expect("a policy"));
        // Its counts may be of more than a grant.
        let is_shared = [r#""global""#, r#""tool""#, r#""pin""#].iter().any(|word| document.to_string().contains(word));
        let cases = CaseFile::parse(&fs::read_to_string(&path).expect("cases")).expect("cases").cases;
        for (index, case) in cases.into_iter().enumerate() {
            let (name, policy) = (format!("{file}.{index}"), Arc::clone(&policy));
            let mut renamed = match &case {
                Case::Call(case) => case.clone(),
                Case::List(case) => {
                    // Asked by a call of the same grant.
                    let header = json!({ "name": "x-grant", "equals": name });
                    batches[0].grants.push(json!({ "id": name, "match": { "header": header }, "policy": file }));
                    batches[0].policies.entry(file).or_insert_with(|| document.clone());
                    batches[0].asked.push(Asked { name, policy, case: Case::List(case.clone()) });
                    continue;
                }
            };
            if calls(&mut renamed).any(|call| call.upstream == Ending::Unreachable) {
                skipped.entry("the server is to be unreachable").or_default().push(format!("{file}: {}", case.name()));
                continue;
            }
            if calls(&mut renamed).any(|call| call.claims.is_some()) {
                let why = "a claim needs a token, which the tests of claims have";
                skipped.entry(why).or_default().push(format!("{file}: {}", case.name()));
                continue;
            }
            calls(&mut renamed).for_each(|call| call.grant = format!("{name}.{}", call.grant));
            let renamed = Case::Call(renamed);
            // Unless a rule reads the grant's id, any will do.
            let case = if holds(renamed.clone(), &policy) { renamed } else { case };
            let asked = Asked { name, policy, case };
            let free = batches.iter_mut().position(|batch| batch.takes(&asked, &document, is_shared, file));
            let place = free.unwrap_or_else(|| {
                batches.push(Batch::default());
                let place = batches.len() - 1;
                assert!(batches[place].takes(&asked, &document, is_shared, file), "{}", asked.name);
                place
            });
            batches[place].asked.push(asked);
        }
    }
    batches
}

/// The method of a list, its member in the result, and the member that names its elements.
fn listed(of: Feature) -> (&'static str, &'static str, &'static str) {
    match of {
        Feature::Tool => ("tools/list", "tools", "name"),
        Feature::Prompt => ("prompts/list", "prompts", "name"),
        Feature::Resource => ("resources/list", "resources", "uri"),
    }
}

/// What the server answers to the request for this list.
fn list_of(of: Feature, list: &[Element]) -> Value {
    let (_, member, key) = listed(of);
    let element = |element: &Element| match &element.definition {
        Some(definition) => serde_json::from_str(definition).expect("a definition"),
        None => json!({ key: element.name }),
    };
    json!({ member: list.iter().map(element).collect::<Vec<Value>>() })
}

/// The request for it.
fn request_for(of: Feature, grant: &str) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": listed(of).0 }).to_string();
    Request::post(body).with("x-grant", grant)
}

/// A case that was asked, with the answer to its last request and that request's number.
type Answered = (Asked, usize, Value);

fn check(answered: &Answered, records: &[Value]) {
    let (Asked { name, case, .. }, number, answer) = answered;
    let name = format!("{name}: {}", case.name());
    match case {
        Case::List(case) => {
            let (_, list, member) = listed(case.of);
            let found = answer["result"][list].as_array().unwrap_or_else(|| panic!("{name}: {answer}"));
            let found: Vec<&str> = found.iter().filter_map(|element| element[member].as_str()).collect();
            assert_eq!(found, case.visible, "{name}");
        }
        Case::Call(case) => {
            let record: Value = serde_json::from_str(records[*number]["decision"].as_str().expect("a record")).unwrap();
            let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
            assert_eq!(text("outcome"), case.expect.as_str(), "{name}: {record}");
            for (member, expected) in [("rule", &case.rule), ("message", &case.message)] {
                let Some(expected) = expected else { continue };
                assert_eq!(&text(member), expected, "{name}: {record}");
            }
            if matches!(case.expect, Outcome::Denied | Outcome::ApprovalRequired) {
                let said = answer["error"]["message"].as_str().or(answer["result"]["content"][0]["text"].as_str());
                let message = text("message");
                let prefix = if text("rule") == "(malformed)" { "" } else { "[POLICY DENIED] " };
                let said = said.unwrap_or_default();
                let is_limit = !answer["result"]["_meta"].is_null() || !answer["error"]["data"].is_null();
                let said = if is_limit { said.rsplit_once(" (").expect("what is left").0 } else { said };
                assert_eq!(said, format!("{prefix}{message}"), "{name}: {answer}");
            } else {
                assert_eq!(records[*number]["details"], "via_upstream", "{name}: {record}");
            }
        }
    }
}

fn ask(parts: &Parts, name: &str, batch: Batch, skipped: &mut BTreeMap<&'static str, Vec<String>>) -> usize {
    let script = Script(Arc::new(Mutex::new((Ending::Success, Value::Null))));
    let upstream = {
        let script = script.clone();
        Upstream::start(move |request| script.answer(request))
    };
    // Nobody is there to approve what a rule has `wait`.
    let approvals = json!({ "max_held": 0 });
    let setup = Setup::new(&Value::Null).with("policies", batch.policies).with("grants", batch.grants);
    let setup = setup.with("approvals", approvals);
    let setup = setup.with("default_policy", batch.default_policy).with("log", "none");
    let mut envoy = Envoy::start(parts, name, &setup.render(name, upstream.address));
    let mut connection = envoy.connect();
    let (mut sent, mut all) = (0, Vec::new());
    for asked in batch.asked {
        let mut last = None;
        match &asked.case {
            Case::List(case) => {
                script.set(Ending::Success, list_of(case.of, &case.list));
                last = Some(connection.exchange(&request_for(case.of, &asked.name)));
                sent += 1;
            }
            Case::Call(case) => {
                wait::for_room_in(WINDOW_SECONDS, Duration::from_secs(2));
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
                let mut at_once = case.clone();
                calls(&mut at_once)
                    .for_each(|call| call.at = Timestamp::from_millis(u64::try_from(now).expect("a time")));
                if !holds(Case::Call(at_once.clone()), &asked.policy) {
                    skipped.entry("it is about time").or_default().push(format!("{}: {}", asked.name, case.name));
                    continue;
                }
                if !case.listed.is_empty() {
                    script.set(Ending::Success, list_of(Feature::Tool, &case.listed));
                    connection.exchange(&request_for(Feature::Tool, &case.call.grant));
                    sent += 1;
                }
                for call in calls(&mut at_once) {
                    script.set(call.upstream, json!({ "content": [] }));
                    let mut request = Request::post(native::message(call)).with("x-grant", &call.grant);
                    for (name, value) in &call.headers {
                        request = request.with(name, value);
                    }
                    if let Some(session) = &call.session {
                        request = request.with("mcp-session-id", session);
                    }
                    for _ in 0..call.times {
                        last = Some(connection.exchange(&request));
                        sent += 1;
                    }
                }
            }
        }
        let answer = serde_json::from_slice(&last.expect("a request").body).unwrap_or_default();
        all.push((asked, sent - 1, answer));
    }
    let records = envoy.access_log(sent);
    assert_eq!(records.len(), sent);
    all.iter().for_each(|answered| check(answered, &records));
    assert_eq!(envoy.traps(), 0);
    all.len()
}

#[test]
fn envoy_decides_every_case_that_can_be_asked_now() {
    let Some(parts) = Parts::gateway() else { return };
    let mut skipped = BTreeMap::new();
    let mut asked = 0;
    for (index, batch) in batches(&mut skipped).into_iter().enumerate() {
        asked += ask(&parts, &format!("cases-{index}"), batch, &mut skipped);
    }
    println!("{asked} cases asked over HTTP");
    for (why, names) in &skipped {
        println!("{} not asked, because {why}:\n  {}", names.len(), names.join("\n  "));
    }
    assert!(asked > 500, "{asked}");
    assert!(skipped.values().map(Vec::len).sum::<usize>() < asked / 6, "{skipped:#?}");
}
