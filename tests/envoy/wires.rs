//! HTTP/2 on both sides of the plugin: however a body is cut into frames and however it ends, a request is judged
//! whole and an answer is filtered whole; what breaks off ends for the client too.
//!
//! What may happen on the wire, and where it is shown:
//!
//! | what | HTTP/1.1 | HTTP/2 |
//! | --- | --- | --- |
//! | a request in pieces, in chunks of one byte, with trailers | `forwarding`, `framing` | here |
//! | a request without a body, with an empty last frame, with trailers alone | `bad_input`, `framing` | here |
//! | a body of one byte below the limit, at it, above it | `bad_input` | here |
//! | framing that lies: lengths, encodings, two requests in one | `framing` | here |
//! | an answer in pieces of one byte, of 64 KiB, with trailers | `lists`, `answers` | here |
//! | an answer that is empty, HTML, an error, encoded | `faults`, `unreadable` | here |
//! | a server that resets or goes silent, at every point | `faults` | here |
//! | a client that leaves, at every point | `abandoned` | here |
//! | filters before and after the plugin, and their local replies | `neighbours` | |
//! | a list that flows, and a refusal of the HTTP+SSE transport | `lists`, `revisions`, `faults` | here |

use super::support::envoy::Envoy;
use super::support::h2::{Answer, Client, End, Frames, Received, Server, UPSTREAM};
use super::support::mcp;
use super::support::parts::Parts;
use super::support::setup::{Mode, Setup};
use super::support::upstream::result;
use super::support::wait;
use http::Method;
use serde_json::{Value, json};

const MAX_BODY_BYTES: usize = 32 << 10;

const DENIED: &str = r#"[POLICY DENIED] Tool "denied" is denied by policy"#;

fn setup(mode: Mode) -> Setup {
    let policy =
        json!({ "version": "1", "default": "allow", "hide": ["admin_*"], "tools": { "denied": { "action": "deny" } } });
    Setup::new(&policy).mode(mode).with("max_body_bytes", MAX_BODY_BYTES).edit(UPSTREAM.0, UPSTREAM.1)
}

/// Every way to cut `body`.
fn shapes(body: &str) -> Vec<(&'static str, Frames)> {
    vec![
        ("in one frame", Frames::of(body, usize::MAX, End::Flag)),
        ("in frames of 8 KiB", Frames::of(body, 8 << 10, End::Flag)),
        ("its end in frames of 1 byte", Frames::ending_in_bytes(body, 600, End::Flag)),
        ("an empty last frame", Frames::of(body, 8 << 10, End::EmptyFrame)),
        ("an empty frame before each", Frames::of(body, 1000, End::EmptyFrame).with_empty_ones()),
        ("trailers", Frames::of(body, 8 << 10, End::Trailers)),
        ("its end in frames of 1 byte, and trailers", Frames::ending_in_bytes(body, 600, End::Trailers)),
    ]
}

/// A server that runs every call, and takes every message of the HTTP+SSE transport.
fn running_every_call() -> Server {
    Server::start(|request| {
        if request.path.starts_with("/message") {
            return Answer::new("", Frames::none(End::Flag)).status(202);
        }
        let ran = result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#);
        Answer::new("application/json", Frames::of(ran, usize::MAX, End::Flag))
    })
}

/// Padded with blanks to so many bytes.
fn padded(body: &str, size: usize) -> String {
    format!("{body:size$}")
}

fn said(received: &Received) -> Value {
    let json: Value = serde_json::from_slice(&received.body).unwrap_or_else(|error| panic!("{error}: {received:?}"));
    json["result"]["content"][0]["text"].clone()
}

fn each_request_is_judged(name: &str, mode: Mode) {
    let Some(parts) = Parts::gateway() else { return };
    let server = running_every_call();
    let mut envoy = Envoy::start(&parts, name, &setup(mode).render(name, server.address));
    let mut client = Client::open(envoy.address);
    let (mut ran, mut records) = (Vec::new(), 0);
    let free = padded(&mcp::call("1", "free"), 20_000);
    let denied = padded(&mcp::call("1", "denied"), 20_000);
    for (shape, frames) in shapes(&free) {
        let answer = client.post("/mcp", &[], frames);
        assert_eq!((answer.status, said(&answer)), (200, json!("ran")), "{shape}: {answer:?}");
        ran.push(free.clone());
        records += 1;
    }
    for (shape, frames) in shapes(&denied) {
        let length = denied.len().to_string();
        for headers in [&[][..], &[("content-length", length.as_str())]] {
            let answer = client.post("/mcp", headers, frames.clone());
            assert_eq!((answer.status, answer.text()), (200, mcp::refused("1", DENIED)), "{shape}: {answer:?}");
            assert!(answer.is_whole, "{shape}");
            records += 1;
        }
    }
    for (size, status) in [(MAX_BODY_BYTES - 1, 200), (MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)] {
        let body = padded(&mcp::call("1", "free"), size);
        for (shape, frames) in shapes(&body) {
            let answer = client.post("/mcp", &[], frames);
            assert_eq!(answer.status, status, "{size} bytes, {shape}: {answer:?}");
            if status == 200 {
                ran.push(body.clone());
            }
            records += 1;
        }
    }
    for (shape, headers, frames) in [
        ("headers alone", &[][..], Frames::none(End::Flag)),
        ("headers that say so", &[("content-length", "0")], Frames::none(End::Flag)),
        ("an empty frame", &[], Frames::none(End::EmptyFrame)),
        ("an empty frame that was announced", &[("content-length", "0")], Frames::none(End::EmptyFrame)),
        ("trailers alone", &[], Frames::none(End::Trailers)),
        ("blanks", &[], Frames::of("  ", 1, End::EmptyFrame)),
    ] {
        let answer = client.post("/mcp", headers, frames);
        assert_eq!(answer.status, 400, "{shape}: {answer:?}");
        let error: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{shape}: {answer:?}"));
        assert_eq!(mcp::error_code(&error), -32700, "{shape}");
        records += 1;
    }
    // Lengths that are lies: Envoy's own answer or a reset, and never a call.
    for length in ["1", "30000", "x"] {
        let answer = client.post("/mcp", &[("content-length", length)], Frames::of(&free, usize::MAX, End::Flag));
        assert_ne!(answer.status, 200, "{length}: {answer:?}");
    }
    let lines = envoy.access_log(records);
    for (index, line) in lines.iter().take(records).enumerate() {
        assert!(line["decision"].is_string(), "no record in line {index}: {line}");
    }
    assert_eq!(envoy.traps(), 0);
    drop(envoy);
    let requests = server.requests();
    let whole: Vec<String> = requests.iter().filter(|request| request.is_whole).map(Received::text).collect();
    assert!(whole == ran, "{} of {} requests came as they were sent", whole.len(), ran.len());
    let others = requests.iter().filter(|request| !request.is_whole);
    others.for_each(|request| assert!(mode == Mode::Fallback && request.body.is_empty(), "{request:?}"));
}

#[test]
fn each_request_is_judged_however_its_frames_are_cut() {
    each_request_is_judged("wires-requests-held", Mode::Held);
}

#[test]
fn each_request_is_judged_however_its_frames_are_cut_without_held_headers() {
    each_request_is_judged("wires-requests-fallback", Mode::Fallback);
}

/// The server gets another body than the client sent: under HTTP/2 a length that is wrong would end the stream.
#[test]
fn a_server_of_the_old_transport_is_made_to_say_a_refusal() {
    let Some(parts) = Parts::gateway() else { return };
    for (mode, name) in [(Mode::Held, "wires-legacy-held"), (Mode::Fallback, "wires-legacy-fallback")] {
        let server = running_every_call();
        let envoy = Envoy::start(&parts, name, &setup(mode).render(name, server.address));
        let mut client = Client::open(envoy.address);
        let mut count = 0;
        // Shorter than what takes its place only where headers are held.
        let sizes: &[usize] = if mode == Mode::Held { &[0, 20_000] } else { &[20_000] };
        for size in sizes {
            let body = padded(&mcp::call("1", "denied"), *size);
            let length = body.len().to_string();
            for (shape, frames) in shapes(&body) {
                for headers in [&[][..], &[("content-length", length.as_str())]] {
                    let answer = client.post("/message?sessionId=1", headers, frames.clone());
                    assert_eq!((answer.status, answer.is_whole), (202, true), "{mode:?}, {shape}: {answer:?}");
                    count += 1;
                    let requests = server.requests();
                    let sent = requests.last().filter(|sent| sent.is_whole).expect("a request in its place");
                    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
                    assert_eq!(sent["params"], json!({ "name": DENIED, "arguments": {} }), "{mode:?}, {shape}");
                }
            }
        }
        assert_eq!((server.requests().len(), envoy.traps()), (count, 0));
    }
}

const SHORT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"admin_x"},{"name":"a"}],"nextCursor":"n"}}"#;
const SHORT_SHOWN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"n"}}"#;

/// A list above what is held whole, and the same without what is hidden.
fn long() -> (String, String) {
    let list = |kinds: &[&str]| {
        let tools: Vec<String> = (0..1000)
            .flat_map(|number| kinds.iter().map(move |kind| (number, kind)))
            .map(|(number, kind)| format!(r#"{{"name":"{kind}_{number}","description":"{}"}}"#, "x".repeat(200)))
            .collect();
        let tools = tools.join(",");
        // The end, which comes byte by byte, holds elements, the bracket and what stands after it.
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}],"nextCursor":"n"}}}}"#)
    };
    (list(&["admin", "user"]), list(&["user"]))
}

fn events(list: &str) -> String {
    format!(": open\n\nid: 1\ndata: {list}\n\n")
}

#[test]
fn each_answer_is_filtered_however_its_frames_are_cut() {
    let Some(parts) = Parts::gateway() else { return };
    let name = "wires-answers";
    let (long, long_shown) = long();
    let kinds = [
        ("a list", "application/json", SHORT.to_owned(), SHORT_SHOWN.to_owned()),
        ("a list that flows", "application/json", long.clone(), long_shown.clone()),
        ("a list that flows, of another type", "application/json; charset=utf-8", long.clone(), long_shown.clone()),
        ("an event stream", "text/event-stream", events(SHORT), events(SHORT_SHOWN)),
        ("a large event", "text/event-stream", events(&long), events(&long_shown)),
    ];
    let answers: Vec<(String, Answer, String)> = kinds
        .iter()
        .flat_map(|(kind, content_type, sent, shown)| {
            shapes(sent).into_iter().map(move |(shape, frames)| {
                (format!("{kind}, {shape}"), Answer::new(content_type, frames), shown.clone())
            })
        })
        .collect();
    let scripted = answers.clone();
    let server =
        Server::start(move |request| scripted[request.header("x-row").parse::<usize>().expect("a row")].1.clone());
    let envoy = Envoy::start(&parts, name, &setup(Mode::Held).render(name, server.address));
    let mut client = Client::open(envoy.address);
    for (row, (what, _, shown)) in answers.iter().enumerate() {
        let headers = [("x-row", &*row.to_string())];
        let list = Frames::of(mcp::list("1"), usize::MAX, End::Flag);
        for answer in [client.post("/mcp", &headers, list), client.stream("/mcp", &headers)] {
            let text = answer.text();
            assert!(!text.contains("admin_"), "{what}: a hidden name passed");
            assert!(text == *shown, "{what}: {} bytes, not {}: {text:.300}", text.len(), shown.len());
            assert_eq!((answer.status, answer.is_whole), (200, true), "{what}");
            assert_eq!(answer.has_trailers, what.contains("trailers"), "{what}");
        }
    }
    assert_eq!(envoy.traps(), 0);
}

/// What a client gets for a list where the server sent none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// An error under the id.
    Error,
    /// What the server sent.
    Same,
    /// Nothing, because there is no place for it; the stream ends.
    Nothing,
}

#[test]
fn an_answer_without_a_list_is_an_error_whatever_it_is_made_of() {
    use Said::{Error, Nothing, Same};
    let Some(parts) = Parts::gateway() else { return };
    let (json, page, stream) = ("application/json", "text/html", "text/event-stream");
    let rows = [
        ("no body", Error, 200, json, "", 1, End::Flag),
        ("no body, no type", Error, 200, "", "", 1, End::Flag),
        ("204", Error, 204, "", "", 1, End::Flag),
        ("an empty frame", Error, 200, json, "", 1, End::EmptyFrame),
        ("an empty frame, no type", Error, 200, "", "", 1, End::EmptyFrame),
        ("an empty page", Error, 200, page, "", 1, End::EmptyFrame),
        ("an empty stream", Same, 200, stream, "", 1, End::EmptyFrame),
        ("a stream of a comment", Same, 200, stream, ": a\n\n", 1, End::EmptyFrame),
        ("a page", Error, 200, page, "<p>admin_x</p>", 1, End::Flag),
        ("a page, trailers", Error, 200, page, "<p>admin_x</p>", 1, End::Trailers),
        ("a page in one frame, trailers", Error, 200, page, "<p>admin_x</p>", 99, End::Trailers),
        ("an error page", Error, 500, page, "<p>admin_x</p>", 1, End::EmptyFrame),
        ("an empty error", Same, 502, "", "", 1, End::Flag),
        ("no list", Error, 200, json, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 1, End::Trailers),
        ("trailers alone", Nothing, 200, json, "", 1, End::Trailers),
        ("trailers alone, no type", Nothing, 200, "", "", 1, End::Trailers),
        ("trailers alone, a page", Nothing, 200, page, "", 1, End::Trailers),
        ("trailers alone, a stream", Same, 200, stream, "", 1, End::Trailers),
    ];
    for (mode, name) in [(Mode::Held, "wires-no-list-held"), (Mode::Fallback, "wires-no-list-fallback")] {
        let server = Server::start(move |request| {
            let (_, _, status, kind, body, size, end) = rows[request.header("x-row").parse::<usize>().expect("a row")];
            Answer::new(kind, Frames::of(body, size, end)).status(status)
        });
        let mut envoy = Envoy::start(&parts, name, &setup(mode).render(name, server.address));
        let mut client = Client::open(envoy.address);
        for (row, (what, said, status, _, body, ..)) in rows.into_iter().enumerate() {
            let headers = [("x-row", &*row.to_string())];
            let answer = client.post("/mcp", &headers, Frames::of(mcp::list("1"), usize::MAX, End::Flag));
            match said {
                Error => {
                    let error: Value =
                        serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{what}: {answer:?}"));
                    assert_eq!((mcp::error_code(&error), &error["id"]), (-32603, &json!(1)), "{what}");
                    assert!(answer.is_whole, "{what}: {answer:?}");
                }
                Same => {
                    assert_eq!((answer.status, answer.text().as_str(), answer.is_whole), (status, body, true), "{what}")
                }
                Nothing => assert_eq!(answer.text(), "", "{what}"),
            }
            // Where no list is asked for, what can be none is no business of the gateway's. But before trailers there
            // is no place for the end of what is read as a stream.
            let body = if what.contains("page") && what.contains("trailers") { "" } else { body };
            let call = Frames::of(mcp::call("1", "free"), usize::MAX, End::Flag);
            for answer in [client.post("/mcp", &headers, call), client.stream("/mcp", &headers)] {
                assert_eq!((answer.status, answer.text().as_str(), answer.is_whole), (status, body, true), "{what}");
            }
        }
        let lines = envoy.access_log(3 * rows.len());
        let records = lines.iter().filter(|line| line["decision"].is_string()).count();
        assert_eq!((records, envoy.traps()), (2 * rows.len(), 0), "each POST leaves a record");
    }
}

#[test]
fn a_reset_of_the_server_ends_the_stream_of_the_client() {
    let Some(parts) = Parts::gateway() else { return };
    let (long, _) = long();
    let event = events(SHORT);
    let cut = |kind: &'static str, text: &str, length: usize| {
        (length, Answer::new(kind, Frames::of(&text[..length], 8 << 10, End::Reset)))
    };
    let rows = [
        ("before the headers", (0, Answer::reset())),
        ("after the headers", cut("application/json", "", 0)),
        ("after the headers of a stream", cut("text/event-stream", "", 0)),
        ("within a list", cut("application/json", SHORT, SHORT.len() - 5)),
        ("within an event", cut("text/event-stream", &event, event.len() - 5)),
        ("within a list that flows", cut("application/json", &long, 400_000)),
        ("within the end of a list that flows", cut("application/json", &long, long.len() - 2)),
        ("within a page", cut("text/html", "<p>admin_x", 10)),
    ];
    for (mode, name) in [(Mode::Held, "wires-resets-held"), (Mode::Fallback, "wires-resets-fallback")] {
        let scripted = rows.clone();
        let server = Server::start(move |request| {
            scripted[request.header("x-row").parse::<usize>().expect("a row")].1.1.clone()
        });
        let mut envoy = Envoy::start(&parts, name, &setup(mode).render(name, server.address));
        let mut client = Client::open(envoy.address);
        let mut count = 0;
        for (row, (what, (length, _))) in rows.iter().enumerate() {
            let call = mcp::call("1", "free");
            for body in [Some(mcp::list("1")), Some(call), None] {
                let headers = [("x-row", &*row.to_string())];
                let asked = server.requests().len();
                let read = envoy.stat("cluster.mcp_server.upstream_cx_rx_bytes_total");
                // The reset must not overtake what comes before it.
                let reset_when_read = |_: &Received| {
                    let has_read = envoy.stat("cluster.mcp_server.upstream_cx_rx_bytes_total") - read;
                    if server.requests().len() > asked && has_read > *length as u64 {
                        server.reset();
                    }
                    false
                };
                let (method, frames) = match &body {
                    Some(body) => (Method::POST, Frames::of(body, usize::MAX, End::Flag)),
                    None => (Method::GET, Frames::none(End::Flag)),
                };
                let answer = client.exchange(method, "/mcp", &headers, frames, reset_when_read);
                let text = answer.text();
                assert!(!text.contains("admin_"), "{what}, {body:?}: a hidden name passed: {text:.300}");
                if *what == "before the headers" {
                    assert!(answer.is_whole && answer.status >= 200, "{what}, {body:?}: {answer:?}");
                }
                count += 1;
                let lines = envoy.access_log(count);
                // A stream of its own is judged by what comes on it.
                assert!(body.is_none() || lines[count - 1]["decision"].is_string(), "{what}: {}", lines[count - 1]);
            }
        }
        // A refusal that the server is made to say, and does not.
        let denied = Frames::of(padded(&mcp::call("1", "denied"), 1000), 1, End::Flag);
        let answer = client.post("/message?sessionId=1", &[("x-row", "0")], denied);
        assert!(answer.is_whole && answer.status >= 500, "{mode:?}: {answer:?}");
        let sent: Value = serde_json::from_slice(&server.requests().pop().expect("a request").body).expect("JSON");
        assert_eq!(sent["params"]["name"], DENIED, "{mode:?}");
        let answer = client.post("/mcp", &[("x-row", "0")], Frames::of(mcp::call("1", "denied"), 1, End::Flag));
        assert_eq!(answer.text(), mcp::refused("1", DENIED), "{mode:?}: Envoy still judges");
        assert_eq!(envoy.traps(), 0);
    }
}

#[test]
fn a_client_that_resets_at_any_point_harms_no_worker() {
    let Some(parts) = Parts::gateway() else { return };
    let (long, _) = long();
    for (mode, name) in [(Mode::Held, "wires-gone-held"), (Mode::Fallback, "wires-gone-fallback")] {
        let long = long.clone();
        let server = Server::start(move |request| match request.header("x-row").as_str() {
            "silent" => Answer::new("application/json", Frames::none(End::Reset)),
            "held" => Answer::new("application/json", Frames::of(&SHORT[..60], 1, End::Reset)),
            "stream" => Answer::new("text/event-stream", Frames::of(events(SHORT) + "data: {", 1, End::Reset)),
            _ => Answer::new("application/json", Frames::of(&long[..400_000], 8 << 10, End::Reset)),
        });
        let mut envoy = Envoy::start(&parts, name, &setup(mode).render(name, server.address));
        let mut client = Client::open(envoy.address);
        let active = |count: u64| envoy.stat("http.mcp.downstream_rq_active") == count;
        let call = mcp::call("1", "free");
        // In the middle of a request: before its body, within it, and before its last byte is said to be the last.
        for path in ["/mcp", "/message?sessionId=1"] {
            for body in ["", &call[..20], &call] {
                client.exchange(Method::POST, path, &[], Frames::of(body, 1, End::Reset), |_| active(1));
                wait::until("Envoy has given the request up", || active(0));
            }
        }
        assert!(server.requests().iter().all(|request| mode == Mode::Fallback && request.body.is_empty()));
        // In the middle of an answer.
        let asked = || Frames::of(mcp::list("1"), usize::MAX, End::Flag);
        for (row, length) in [("silent", 0), ("held", 60), ("stream", 60), ("flows", 100_000)] {
            let before = envoy.stat("cluster.mcp_server.upstream_cx_rx_bytes_total");
            let has_come = |received: &Received| {
                let read = envoy.stat("cluster.mcp_server.upstream_cx_rx_bytes_total") - before;
                assert!(!received.text().contains("admin_"), "{row}");
                // What passes at once has passed.
                let passed = if matches!(row, "stream" | "flows") { length } else { 0 };
                read > length as u64 && received.body.len() >= passed
            };
            client.exchange(Method::POST, "/mcp", &[("x-row", row)], asked(), has_come);
            wait::until("Envoy has given the answer up", || active(0));
        }
        // With the whole connection.
        let lost =
            Client::open(envoy.address).exchange(Method::POST, "/mcp", &[], Frames::none(End::Reset), |_| active(1));
        assert_eq!(lost.status, 0);
        wait::until("Envoy has given the connection up", || active(0));
        let lines = envoy.access_log(11);
        for line in &lines[6..10] {
            assert!(line["decision"].is_string(), "{mode:?}: no record: {line}");
        }
        let answer = client.post("/mcp", &[], Frames::of(mcp::call("1", "denied"), 1, End::Flag));
        assert_eq!(answer.text(), mcp::refused("1", DENIED), "{mode:?}: Envoy still judges");
        assert_eq!(envoy.traps(), 0);
    }
}
