//! `mcp-policy scan`, before servers that are good, endless, huge, hostile, and none at all.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use mcp_policy::playground;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

/// What the binary said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn scan(arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-policy"));
    command.arg("scan").args(arguments).env("NO_PROXY", "127.0.0.1");
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().expect("no signal"), out: text(stdout), err: text(stderr) }
}

/// One line on what is wrong, and exit code 2.
fn fails(arguments: &[&str], words: &str) {
    let Said { code, out, err } = scan(arguments);
    assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
    assert!(err.starts_with("mcp-policy: ") && err.lines().count() == 1, "{arguments:?}: {err}");
    assert!(err.contains(words), "{arguments:?}: {err}");
}

/// The result of `tools/list` for a cursor.
type Pages = dyn Fn(Option<&str>) -> Value + Send + Sync;

/// An MCP server of 2025-11-25 on streamable HTTP; as event streams, or as JSON.
struct Server {
    address: SocketAddr,
}

impl Server {
    fn start(as_events: bool, pages: impl Fn(Option<&str>) -> Value + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let pages: Arc<Pages> = Arc::new(pages);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                thread::spawn(move || serve(stream, as_events, &*pages));
            }
        });
        Self { address }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

/// One connection, until it ends.
fn serve(stream: TcpStream, as_events: bool, pages: &Pages) -> Option<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().ok()?), stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let is_post = line.starts_with("POST");
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = &message["id"];
        let answer = match message["method"].as_str() {
            Some("initialize") => json!({ "jsonrpc": "2.0", "id": id, "result": {
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "fix\u{1b}ture", "version": "1" } } }),
            Some("tools/list") => {
                json!({ "jsonrpc": "2.0", "id": id, "result": pages(message["params"]["cursor"].as_str()) })
            }
            Some(_) if !id.is_null() => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": "Method not found" } })
            }
            _ if is_post => Value::Null,
            _ => {
                writer.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").ok()?;
                continue;
            }
        };
        let (status, kind, body) = match answer {
            Value::Null => ("202 Accepted", "application/json", String::new()),
            answer if as_events => ("200 OK", "text/event-stream", format!("event: message\ndata: {answer}\n\n")),
            answer => ("200 OK", "application/json", answer.to_string()),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        // In one piece: the second of two small ones would wait for the first one's acknowledgement.
        writer.write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}

fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

/// Five tools on two pages, one of each category.
fn two_pages(cursor: Option<&str>) -> Value {
    let mut odd = tool("get_user", "Gets a user.");
    // What the SDK does not know is a part of the definition all the same.
    odd["annotations"] = json!({ "readOnlyHint": true, "x-own": 1.50 });
    match cursor {
        None => json!({ "tools": [odd, tool("update_user", "Updates a user."), tool("run_job", "Runs a job.")],
            "nextCursor": "2" }),
        Some(_) => {
            json!({ "tools": [tool("delete_user", "Deletes a user for ever."), tool("create_payment", "Pays.")] })
        }
    }
}

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn every_tool_of_every_page_is_judged_and_the_policy_says_so() {
    for as_events in [false, true] {
        let server = Server::start(as_events, two_pages);
        let (policy, tools) = (scratch("scan-policy.json"), scratch("scan-tools.json"));
        let [policy, tools] = [&policy, &tools].map(|path| path.to_str().expect("UTF-8"));
        let said = scan(&["--url", &server.url(), "--format", "json", "-o", policy, "--pin", "--tools-out", tools]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let report: Value = serde_json::from_str(&said.out).expect("JSON");
        let judged = |index: usize| {
            let tool = &report["tools"][index];
            (tool["name"].as_str().expect("a name"), tool["category"].as_str().expect("a category"))
        };
        let expected = [
            ("get_user", "read"),
            ("update_user", "write"),
            ("run_job", "execute"),
            ("delete_user", "destructive"),
            ("create_payment", "financial"),
        ];
        assert_eq!(report["tools"].as_array().map(Vec::len), Some(expected.len()));
        for (index, expected) in expected.into_iter().enumerate() {
            assert_eq!(judged(index), expected);
            assert!(!report["tools"][index]["reasons"].as_array().expect("reasons").is_empty(), "{report}");
        }
        let written: Value = serde_json::from_str(&std::fs::read_to_string(policy).expect("a policy")).expect("JSON");
        assert_eq!(written["hide"], json!(["delete_user"]));
        assert_eq!(written["tools"]["create_payment"]["require_approval"], true);
        // The list that was written fits the policy, pins and all.
        let validated =
            Command::new(env!("CARGO_BIN_EXE_mcp-policy")).args(["validate", "--tools", tools, policy]).output();
        let validated = validated.expect("the command runs");
        assert!(validated.status.success() && validated.stderr.is_empty(), "{validated:?}");
        let again = scan(&["--url", &server.url(), "--policy", policy]);
        assert_eq!(again.code, 0, "{}{}", again.out, again.err);
        assert!(again.out.contains("nothing has changed"), "{}", again.out);
    }
}

#[test]
fn what_has_changed_is_told_with_what_the_policy_says_of_it() {
    let policy = scratch("scan-drift.json");
    let policy = policy.to_str().expect("UTF-8");
    assert_eq!(scan(&["--url", &Server::start(false, two_pages).url(), "-o", policy, "--pin"]).code, 0);
    let changed = Server::start(false, |_| {
        json!({ "tools": [tool("get_user", "Gets a user."), tool("update_user", "Updates a user."),
            tool("run_job", "Runs a job."), tool("create_payment", "Pays."), tool("drop_table", "Drops a table.")] })
    });
    let said = scan(&["--url", &changed.url(), "--policy", policy, "--format", "json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        report["changes"],
        json!([
            { "tool": "get_user", "change": "changed", "policy": "denied", "rule": "/tools/get_user/pin", "category": "Read" },
            { "tool": "drop_table", "change": "new", "policy": "denied", "rule": "(default deny)", "category": "Destructive" },
            { "tool": "delete_user", "change": "gone", "policy": "hidden", "rule": "(hidden)" }
        ])
    );
    let table = scan(&["--url", &changed.url(), "--policy", policy]);
    assert!(table.out.contains("drop_table") && table.out.contains("new"), "{}", table.out);
}

/// Lists of tools: our own, and those of real servers that lie beside the checkout, where they do.
fn lists() -> Vec<Vec<Value>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own: Value = serde_json::from_str(include_str!("../docs/cli/tools.json")).expect("JSON");
    let judged: Value = serde_json::from_str(include_str!("cases/risk.json")).expect("JSON");
    let groups = judged.as_array().expect("groups").iter().map(|group| group["tools"].clone());
    let own = own.get("tools").unwrap_or(&own).clone();
    let mut lists: Vec<Vec<Value>> = groups.chain([own]).map(|list| list.as_array().expect("tools").clone()).collect();
    for path in ["seed-servers/fluentcrm.jsonl", "seed-servers/iterable.jsonl", "tool-risk/train.jsonl"] {
        let Ok(text) = std::fs::read_to_string(root.join("../shared/data").join(path)) else {
            eprintln!("skipped: no ../shared/data/{path}");
            continue;
        };
        let definition = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("a row");
            tool(row["tool"].as_str().expect("a name"), row["description"].as_str().unwrap_or_default())
        };
        lists.push(text.lines().map(definition).collect());
    }
    // What the client takes for no tool.
    lists.iter_mut().for_each(|list| list.retain(|tool| !tool["annotations"]["destructiveHint"].is_string()));
    for definition in lists.iter_mut().flatten() {
        let schema = definition.get("inputSchema").cloned();
        definition["inputSchema"] = schema.unwrap_or_else(|| json!({ "type": "object" }));
    }
    lists
}

#[test]
fn the_playground_says_of_each_tool_what_a_scan_says_and_begins_with_the_same_policy() {
    for (index, list) in lists().into_iter().enumerate() {
        let count = list.len();
        let server = Server::start(false, move |_| json!({ "tools": list }));
        let (policy, tools) = (scratch(&format!("scan-{index}.json")), scratch(&format!("scan-{index}-tools.json")));
        let [policy_path, tools_path] = [&policy, &tools].map(|path| path.to_str().expect("UTF-8"));
        let url = server.url();
        let arguments = ["--url", &url, "--format", "json", "-o", policy_path, "--tools-out", tools_path];
        for pin in [true, false] {
            let said = scan(&[&arguments[..], if pin { &["--pin"] } else { &[] }].concat());
            assert_eq!(said.code, 0, "{}", said.err);
            let report: Value = serde_json::from_str(&said.out).expect("JSON");
            let tools = std::fs::read_to_string(&tools).expect("a list");
            let request = json!({ "policy": "", "tools": tools, "starter": true, "pin": pin });
            let answer: Value = serde_json::from_str(&playground::answer(&request.to_string())).expect("JSON");
            let on_the_page = answer["tools"].as_array().expect("tools");
            assert_eq!(on_the_page.len(), count);
            for (told, scanned) in on_the_page.iter().zip(report["tools"].as_array().expect("tools")) {
                let mut risk = told["risk"].clone();
                risk["name"] = told["name"].clone();
                assert_eq!(risk, *scanned);
            }
            // The page knows the tools of the server, and not its name.
            let written = std::fs::read_to_string(&policy).expect("a policy");
            let line = |text: &str| text.lines().nth(2).expect("the description").to_owned();
            let starter = answer["starter"]["policy"].as_str().expect("a policy");
            assert_eq!(starter.replace(&line(starter), &line(&written)), written);
            assert!(line(starter).contains("\"Tools by their risk: "), "{starter}");
        }
    }
}

#[test]
fn ten_thousand_tools_are_judged() {
    let server = Server::start(false, |cursor| {
        let page: usize = cursor.map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
        let tools: Vec<Value> = (0..500).map(|n| tool(&format!("get_{page}_{n}"), &"Gets. ".repeat(100))).collect();
        let mut result = json!({ "tools": tools });
        if page < 19 {
            result["nextCursor"] = (page + 1).to_string().into();
        }
        result
    });
    let said = scan(&["--url", &server.url()]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.ends_with("10000 Read\n"), "{}", said.out.lines().last().unwrap_or_default());
}

#[test]
fn no_name_acts_on_the_terminal() {
    let server = Server::start(
        false,
        |_| json!({ "tools": [tool("a\u{1b}]0;x\u{7}b", "Gets."), tool("\u{202e}c\n", "Gets.")] }),
    );
    let said = scan(&["--url", &server.url()]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("a\\u{1b}]0;x\\u{7}b") && said.out.contains("\\u{202e}c\\u{a}"), "{}", said.out);
    assert!(!said.out.chars().any(|character| character.is_control() && character != '\n'), "{:?}", said.out);
}

#[test]
fn what_is_no_server_or_has_no_end_is_said_in_one_line() {
    let circle = Server::start(false, |_| json!({ "tools": [tool("a", "")], "nextCursor": "again" }));
    fails(&["--url", &circle.url()], "go round in a circle");
    let endless = Server::start(false, |cursor| {
        let page: u64 = cursor.map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
        json!({ "tools": [], "nextCursor": (page + 1).to_string() })
    });
    fails(&["--url", &endless.url(), "--timeout", "600"], "more than 2000 pages");
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    fails(
        &["--url", &format!("http://{}/mcp", mute.local_addr().expect("an address")), "--timeout", "1"],
        "within 1 s",
    );
    let nobody = {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        format!("http://{}/mcp", free.local_addr().expect("an address"))
    };
    fails(&["--url", &nobody], "refused");
    let no_list = Server::start(false, |_| json!({ "resources": [] }));
    fails(&["--url", &no_list.url()], "tools/list");
    fails(&["--", "no-such-command-anywhere"], "no-such-command-anywhere");
    fails(&["--", "sh", "-c", "echo what went wrong >&2; exit 3"], "what went wrong");
    fails(&["--url", &nobody, "--header", "nonsense"], "--header");
}

#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() {
    let server = Server::start(false, two_pages);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scan-folder");
    std::fs::create_dir_all(&folder).expect("a folder");
    fails(&["--url", &server.url(), "-o", folder.to_str().expect("UTF-8")], "scan-folder");
    fails(&["--url", &server.url(), "-o", "/no/such/folder/policy.json"], "/no/such/folder");
    fails(&["--url", &server.url(), "--policy", folder.to_str().expect("UTF-8")], "scan-folder");
}
