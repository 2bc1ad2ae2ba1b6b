//! `mcp-policy run`: Envoy found and started by the command line, before servers at an address and before commands that
//! speak on their standard streams.

use super::support::clients::{Outcome, Step, python, python_in_mode, rust, typescript, typescript_2};
use super::support::everything::Everything;
use super::support::http::{Connection, Response};
use super::support::mcp;
use super::support::parts::{PEERS, PYTHON, Parts, root, scratch};
use super::support::process::Process;
use super::support::request::Request;
use super::support::wait;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// What it says when all is up.
const UP: &str = "Ctrl-C ends it.";
/// Denies `get-sum` and hides `get-env`.
const POLICY: &str = "policies/reference-server.json";

/// A running `mcp-policy run`. Ended, with all that it has started, when dropped.
struct Run {
    process: Process,
    address: SocketAddr,
}

impl Run {
    fn start(parts: &Parts, name: &str, policy: &str, server: &[&str]) -> Self {
        Self::start_until(parts, name, policy, server, UP)
    }

    /// Waits until it has said this.
    fn start_until(parts: &Parts, name: &str, policy: &str, server: &[&str], words: &str) -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
        command.current_dir(root()).args(["run", "--policy", policy, "--port", &address.port().to_string()]);
        command.arg("--envoy").arg(&parts.envoy).args(server);
        let mut process = Process::start(name, &mut command);
        process.wait_for("a policy in force", |process| process.log().contains(words).then_some(()));
        Self { process, address }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    fn exchange(&self, request: &Request) -> Response {
        Connection::open(self.address).exchange(request)
    }

    /// The decisions that it has given so far.
    fn records(&self) -> Vec<Value> {
        self.process.output().lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.process.terminate();
        wait::poll(|| self.process.has_ended().then_some(()));
    }
}

/// A directory for temporary files, with a path that is short enough for sockets. Removed when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcp-policy-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever has failed may have left more there.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

fn everything() -> PathBuf {
    root().join(PEERS).join("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

/// The definitions in an answer to `tools/list`, as they are written.
fn definitions(answer: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        result: Tools,
    }
    #[derive(serde::Deserialize)]
    struct Tools {
        tools: Vec<Box<RawValue>>,
    }
    let answer: Answer = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error} in {answer}"));
    answer.result.tools.iter().map(|tool| tool.get().to_owned()).collect()
}

/// What the server itself says to this message.
fn asked_directly(message: &str) -> String {
    let mut command = Command::new("node");
    command.arg(everything()).arg("stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the server");
    let mut input = child.stdin.take().expect("its input");
    writeln!(input, "{message}").expect("a server that reads");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    child.kill().expect("a running server");
    child.wait().expect("its end");
    line
}

#[test]
fn a_command_is_served_to_every_client() {
    let Some(parts) = Parts::with_peers() else { return };
    let run =
        Run::start(&parts, "run-command", POLICY, &["--", "node", everything().to_str().expect("UTF-8"), "stdio"]);
    let steps = [
        Step::List,
        Step::Call("echo", json!({ "message": "hello" })),
        Step::Call("get-sum", json!({ "a": 1, "b": 2 })),
    ];
    let auto = |url: &str, steps: &[Step]| typescript_2(url, steps, "auto");
    for (name, client) in
        [("typescript", typescript as fn(&str, &[Step]) -> _), ("python", python), ("rust", rust), ("2", auto)]
    {
        let outcomes = client(&run.url(), &steps);
        let [Outcome::Tools(tools), echo, sum] = outcomes.as_slice() else { panic!("{name}: {outcomes:?}") };
        assert!(
            tools.iter().any(|tool| tool == "echo") && tools.iter().all(|tool| tool != "get-env"),
            "{name}: {tools:?}"
        );
        assert_eq!(*echo, Outcome::Result(false, "Echo: hello".to_owned()), "{name}");
        let Outcome::Result(true, text) = sum else { panic!("{name}: {sum:?}") };
        assert!(text.starts_with("[POLICY DENIED] Sums are switched off here."), "{name}: {text}");
    }
    let log = run.process.log();
    assert!(log.contains("Hidden from them:\n  get-env\n"), "{log}");
    assert!(log.contains(&format!("claude mcp add --transport http reference-server {}", run.url())), "{log}");
    wait::until("a record of each denied call", || {
        run.records().iter().filter(|record| record["rule"] == "/tools/get-sum/action").count() == 4
    });
}

/// Speaks 2026-07-28, without sessions, and the revisions before.
const DUAL: &str = r#"
from mcp.server import MCPServer
server = MCPServer("dual")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
@server.tool()
def remove() -> str:
    return "gone"
server.run("stdio")
"#;

#[test]
fn a_command_that_knows_no_sessions_is_served_without_one() {
    let Some(parts) = Parts::with_peers() else { return };
    let (policy, program) = (scratch("run-dual.json"), scratch("run-dual.py"));
    fs::write(&policy, r#"{"version":"1","default":"allow","hide":["remove"]}"#).expect("a policy");
    fs::write(&program, DUAL).expect("a program");
    let python_path = root().join(PYTHON);
    let [policy, program, interpreter] = [&policy, &program, &python_path].map(|path| path.to_str().expect("UTF-8"));
    let run = Run::start(&parts, "run-dual", policy, &["--", interpreter, program]);
    let steps = [Step::Revision, Step::List, Step::Call("add", json!({ "a": 1, "b": 2 }))];
    let expected = |revision: &str| {
        let tools = Outcome::Tools(vec!["add".to_owned()]);
        vec![Outcome::Revision(revision.to_owned()), tools, Outcome::Result(false, "3".to_owned())]
    };
    assert_eq!(python_in_mode(&run.url(), &steps, "2026-07-28"), expected("2026-07-28"));
    assert_eq!(typescript_2(&run.url(), &steps, "auto"), expected("2026-07-28"));
    assert_eq!(typescript(&run.url(), &steps), expected("2025-11-25"));
}

#[test]
fn what_a_command_says_passes_byte_for_byte() {
    let Some(parts) = Parts::with_peers() else { return };
    let run = Run::start(&parts, "run-bytes", POLICY, &["--", "node", everything().to_str().expect("UTF-8"), "stdio"]);
    let through = run.exchange(&Request::post(mcp::list("1"))).text();
    let direct = asked_directly(&mcp::list("1"));
    let (through, mut direct) = (definitions(&through), definitions(&direct));
    direct.retain(|tool| !tool.contains(r#""name":"get-env""#));
    assert!(through.len() > 10, "{through:?}");
    assert_eq!(through, direct);
}

#[test]
fn clients_with_equal_ids_and_tokens_get_their_own() {
    let Some(parts) = Parts::with_peers() else { return };
    let run = Run::start(&parts, "run-ids", POLICY, &["--", "node", everything().to_str().expect("UTF-8"), "stdio"]);
    let call = |steps: u32| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"same","method":"tools/call","params":{{"name":"trigger-long-running-operation","arguments":{{"duration":1,"steps":{steps}}},"_meta":{{"progressToken":"same"}}}}}}"#
        )
    };
    let answers: Vec<String> = thread::scope(|scope| {
        let ask = |steps| run.exchange(&Request::post(call(steps))).text();
        let asked: Vec<_> = [2, 3, 4].map(|steps| scope.spawn(move || ask(steps))).into_iter().collect();
        asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
    });
    for (steps, answer) in [2, 3, 4].into_iter().zip(answers) {
        let events: Vec<Value> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect();
        let (last, progress) = events.split_last().expect("an answer");
        assert!(last["result"]["content"][0]["text"].to_string().contains(&format!("Steps: {steps}")), "{answer}");
        assert_eq!(last["id"], "same");
        assert_eq!(progress.len(), steps, "{answer}");
        for event in progress {
            assert_eq!((&event["params"]["progressToken"], &event["params"]["total"]), (&json!("same"), &json!(steps)));
        }
    }
}

/// Opens a session; its id.
fn session(run: &Run) -> String {
    session_with(run, &json!({}))
}

/// The same for a client that can do this.
fn session_with(run: &Run, capabilities: &Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "1" } });
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = run.exchange(&Request::post(initialize.to_string()));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.head.text("mcp-session-id")
}

#[test]
fn a_session_has_a_process_of_its_own_until_it_is_deleted() {
    let Some(parts) = Parts::with_peers() else { return };
    let run =
        Run::start(&parts, "run-session", POLICY, &["--", "node", everything().to_str().expect("UTF-8"), "stdio"]);
    let (first, second) = (session(&run), session(&run));
    assert_ne!(first, second);
    let list = |id: &str| run.exchange(&Request::post(mcp::list("7")).with("mcp-session-id", id));
    for id in [&first, &second] {
        assert_eq!(list(id).json()["id"], 7);
    }
    let before = children_of(run.process.id()).len();
    let deleted = run.exchange(&Request::get("/mcp").by("DELETE").with("mcp-session-id", &first));
    assert_eq!(deleted.status, 200);
    wait::until("the end of its process", || children_of(run.process.id()).len() == before - 1);
    let gone = list(&first);
    assert_eq!((gone.status, gone.json()["id"].clone()), (404, json!(7)), "{gone:?}");
    assert_eq!(list(&second).status, 200);
    let rebound = run.exchange(&Request::post(mcp::list("7")).without("host").with("host", "evil.example"));
    assert_eq!(rebound.status, 403, "{rebound:?}");
}

#[test]
fn what_a_server_asks_comes_on_the_stream_and_its_answer_goes_back() {
    let Some(parts) = Parts::with_peers() else { return };
    let run = Run::start(&parts, "run-asks", POLICY, &["--", "node", everything().to_str().expect("UTF-8"), "stdio"]);
    let id = session_with(&run, &json!({ "roots": { "listChanged": true } }));
    let of_session = |request: Request| request.with("mcp-session-id", &id);
    let tell = |message: &Value| run.exchange(&of_session(Request::post(message.to_string())));
    assert_eq!(tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).status, 202);
    let mut stream = Connection::open(run.address);
    stream.send(&of_session(Request::stream()).bytes());
    let head = stream.head();
    assert_eq!((head.status(), head.text("content-type")), (200, "text/event-stream".to_owned()));
    let mut seen = String::new();
    // The stream has no end, and the connection fails the test when it takes too long.
    let asked = loop {
        seen += &String::from_utf8(stream.piece().expect("an event")).expect("UTF-8");
        let events = seen.lines().filter_map(|line| line.strip_prefix("data: "));
        let mut events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        if let Some(asked) = events.find(|event| event["method"] == "roots/list") {
            break asked;
        }
    };
    let roots = json!({ "roots": [{ "uri": "file:///srv/bridged", "name": "bridged" }] });
    assert_eq!(tell(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": roots })).status, 202);
    // What the server was told it tells again.
    let call = mcp::call("5", "get-roots-list");
    wait::until("the roots in an answer", || {
        run.exchange(&of_session(Request::post(&call))).text().contains("file:///srv/bridged")
    });
}

#[test]
fn a_command_that_ends_is_told_and_started_again() {
    let Some(parts) = Parts::gateway() else { return };
    // Answers a ping, and ends on everything else.
    let server = r#"while read -r line; do case "$line" in
        *'"ping"'*) echo '{"jsonrpc":"2.0","id":1,"result":{}}';;
        *) exit 3;; esac; done"#;
    let run = Run::start(&parts, "run-ends", POLICY, &["--", "sh", "-c", server]);
    let log = run.process.log();
    assert!(log.contains("The server does not list its tools now: "), "{log}");
    let answer = run.exchange(&Request::post(mcp::call("9", "echo")));
    assert_eq!(answer.json()["id"], 9);
    assert_eq!(mcp::error_code(&answer.json()), -32603);
    let ping = r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#;
    assert_eq!(run.exchange(&Request::post(ping)).status, 200);
}

#[test]
fn a_server_at_an_address_is_served_and_edits_are_in_force() {
    let Some(parts) = Parts::with_peers() else { return };
    let server = Everything::start("run-url.server");
    let policy = scratch("run-url.json");
    let text = fs::read_to_string(root().join(POLICY)).expect("a policy");
    fs::write(&policy, &text).expect("a policy");
    let run = Run::start(&parts, "run-url", policy.to_str().expect("UTF-8"), &["--url", &server.url()]);
    let denied = |words: &str| {
        let answer = run.exchange(&Request::post(mcp::call("1", "get-sum"))).text();
        answer.contains(words)
    };
    assert!(denied("Sums are switched off here."));
    let says = |words: &str, times: usize| {
        let line = format!("{} is {words}", policy.display());
        wait::until(&line, || run.process.log().matches(&line).count() == times);
    };
    // Half of it is refused if it is seen, and never in force.
    fs::write(&policy, &text[..text.len() / 2]).expect("half a policy");
    fs::write(&policy, text.replace("switched off here", "off today")).expect("a policy");
    says("in force", 1);
    assert!(denied("Sums are off today."));
    fs::write(&policy, text.replace("\"hide\"", "\"hides\"")).expect("a policy");
    wait::until("a refusal", || run.process.log().contains("is refused, and the policy before stays in force"));
    assert!(run.process.log().contains(r#"unknown field "hides"; did you mean "hide"?"#));
    assert!(denied("Sums are off today."));
    assert_eq!(typescript(&run.url(), &[Step::Call("echo", json!({ "message": "hi" }))]).len(), 1);
}

#[test]
fn edits_are_in_force_before_a_server_that_says_nothing() {
    let Some(parts) = Parts::gateway() else { return };
    let policy = scratch("run-mute.json");
    let denied = |words: &str| json!({ "version": "1", "default": "deny", "tools": { "a": { "action": "deny", "reason": words } } });
    fs::write(&policy, denied("Not yet.").to_string()).expect("a policy");
    let path = policy.to_str().expect("UTF-8");
    let run = Run::start_until(
        &parts,
        "run-mute",
        path,
        &["--", "sh", "-c", "while read -r _; do :; done"],
        "Give this address",
    );
    fs::write(&policy, denied("Nor now.").to_string()).expect("a policy");
    wait::until("the edit", || run.process.log().contains("is in force, "));
    assert!(run.exchange(&Request::post(mcp::call("1", "a"))).text().contains("Nor now."));
    // The list that is still waited for does not keep it.
    assert!(!run.process.log().contains(UP));
}

#[test]
fn it_leaves_nothing_behind() {
    let Some(parts) = Parts::with_peers() else { return };
    let place = Place::new("place");
    let address = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.current_dir(root()).args(["run", "--policy", POLICY, "--port", &address.port().to_string()]);
    command
        .arg("--envoy")
        .arg(&parts.envoy)
        .env("TMPDIR", &place.0)
        .arg("--")
        .arg("node")
        .arg(everything())
        .arg("stdio");
    let mut process = Process::start("run-ended", &mut command);
    process.wait_for("a policy in force", |process| process.log().contains(UP).then_some(()));
    let children = children_of(process.id());
    assert!(children.len() >= 2, "Envoy and a server: {children:?}");
    process.terminate();
    assert_eq!(process.ended().code(), Some(0));
    assert!(children.iter().all(|child| !Path::new(&format!("/proc/{child}")).exists()), "{children:?}");
    assert_eq!(fs::read_dir(&place.0).expect("a directory").count(), 0);
    assert!(TcpListener::bind(address).is_ok());
}

/// Those whose parent it is (proc(5), `stat`).
fn children_of(parent: u32) -> Vec<u32> {
    let parent_of = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let processes = fs::read_dir("/proc").expect("proc(5)").flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| parent_of(*process) == Some(parent)).collect()
}

#[test]
fn an_envoy_that_ends_by_itself_is_told_with_its_last_words() {
    let Some(parts) = Parts::gateway() else { return };
    let address = free_address();
    let place = Place::new("died");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.current_dir(root()).args(["run", "--policy", POLICY, "--port", &address.port().to_string()]);
    command.arg("--envoy").arg(&parts.envoy).env("TMPDIR", &place.0).args(["--url", "http://127.0.0.1:9/mcp"]);
    let mut process = Process::start("run-died", &mut command);
    process.wait_for("a policy in force", |process| process.log().contains(UP).then_some(()));
    for child in children_of(process.id()) {
        let killed = Command::new("kill").args(["-KILL", &child.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    }
    assert_eq!(process.ended().code(), Some(1));
    let log = process.log();
    assert!(log.contains("mcp-policy: Envoy has ended (signal: 9"), "{log}");
    // What it says it has left is there.
    let (_, left) = log.rsplit_once("is left in ").expect("a place");
    assert!(Path::new(left.trim()).join("envoy.yaml").is_file(), "{log}");
}

#[test]
fn a_policy_that_asks_a_person_has_its_console_beside_it() {
    let Some(parts) = Parts::with_peers() else { return };
    let policy = scratch("run-approvals.json");
    let text = json!({ "version": "1", "default": "allow", "tools": { "echo": { "action": "require_approval" } } });
    fs::write(&policy, text.to_string()).expect("a policy");
    let admin = free_address();
    let port = admin.port().to_string();
    let program = everything();
    let server = ["--admin-port", &port, "--", "node", program.to_str().expect("UTF-8"), "stdio"];
    let run = Run::start(&parts, "run-approvals", policy.to_str().expect("UTF-8"), &server);
    let log = run.process.log();
    let (_, told) = log.split_once("MCP_POLICY_ADMIN_TOKEN=").unwrap_or_else(|| panic!("no token: {log}"));
    let (token, _) = told.split_once(' ').expect("a command");
    let call = mcp::call_with("1", "echo", &json!({ "message": "hello" }));
    let refusal = run.exchange(&Request::post(&call)).json();
    let approval = &refusal["result"]["_meta"]["mcp-policy/approval"];
    let id = approval["id"].as_str().unwrap_or_else(|| panic!("no approval: {refusal}"));
    assert!(approval["url"].as_str().is_some_and(|url| url.starts_with(&format!("http://{admin}/"))), "{refusal}");
    let approvals = |token: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
        command.args(["approvals", "approve", id, "--admin", &format!("http://{admin}")]);
        command.env("MCP_POLICY_ADMIN_TOKEN", token).output().expect("the command runs").status
    };
    assert!(!approvals("another").success());
    assert!(approvals(token).success());
    assert!(run.exchange(&Request::post(&call)).text().contains("Echo: hello"));
    assert_eq!(run.exchange(&Request::post(&call)).json()["result"]["isError"], true, "once");
}
