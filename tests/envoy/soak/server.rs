//! A server of MCP that can be restarted: it holds any number of event streams open and sends on each of them, answers
//! lists in three forms, runs calls, and keeps account of what should never have reached it.

use super::super::support::http::{Head, Wire};
use super::super::support::upstream::result;
use super::super::support::wait::{self, DEADLINE};
use super::shapes::{HIDDEN, REFUSED};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Between two events on a stream.
const EVENT_INTERVAL: Duration = Duration::from_secs(2);
/// How long it is away in a restart.
const AWAY: Duration = Duration::from_secs(1);
/// For so long after a restart a request may still meet a connection of the time before.
const GRACE: Duration = Duration::from_secs(5);
/// How many tools its long list has, about 300 KiB; each tenth is hidden.
pub(super) const LONG_LIST: usize = 1_500;

/// A running server. Its threads end when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// What its threads share.
#[derive(Default)]
struct Shared {
    is_away: AtomicBool,
    /// When it last began or ceased to be away.
    changed: Mutex<Option<Instant>>,
    connections: Mutex<HashMap<u64, TcpStream>>,
    streams: Mutex<Vec<Stream>>,
    faults: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// An event stream that is open.
struct Stream {
    connection: u64,
    wire: Wire,
    sent: usize,
    due: Instant,
}

/// The event of this number, as the server sends it or, `filtered`, as a client is to get it.
pub(super) fn event(number: usize, filtered: bool) -> String {
    match number % 3 {
        0 => format!(": keepalive {number}\n\n"),
        1 => {
            let hidden = if filtered { "" } else { r#"{"name":"hidden_b"},"# };
            format!(
                "id: {number}\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{number},\"result\":{{\"tools\":[{hidden}{{\"name\":\"free\"}}]}}}}\n\n"
            )
        }
        _ => {
            format!(
                "id: {number}\nevent: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"info\",\"data\":{number}}}}}\n\n"
            )
        }
    }
}

impl Server {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let sender = Arc::clone(&shared);
        thread::spawn(move || sender.send_events());
        let listener = Some(listen(listener, &shared));
        Self { address, shared, listener }
    }

    /// Breaks every connection, is away for a while, and listens on the same port again.
    pub(super) fn restart(&mut self) {
        self.stop();
        sleep(AWAY);
        let listener = wait::poll(|| TcpListener::bind(self.address).ok()).expect("the port that was its own");
        self.shared.is_away.store(false, Ordering::SeqCst);
        *self.shared.changed() = Some(Instant::now());
        self.listener = Some(listen(listener, &self.shared));
    }

    /// Asks later, from another thread, whether it was away.
    pub(super) fn absence(&self) -> Absence {
        Absence(Arc::clone(&self.shared))
    }

    /// How many event streams are open.
    pub(super) fn streams(&self) -> usize {
        self.shared.streams().len()
    }

    /// What reached it and should not have.
    pub(super) fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stop(&mut self) {
        self.shared.is_away.store(true, Ordering::SeqCst);
        *self.shared.changed() = Some(Instant::now());
        // Nothing else wakes a thread that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.shared.connections().drain().for_each(|(_, connection)| drop(connection.shutdown(Shutdown::Both)));
        self.shared.streams().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.stop();
    }
}

/// Whether the server was away, for those who lost a connection.
#[derive(Clone)]
pub(super) struct Absence(Arc<Shared>);

impl Absence {
    /// Whether it was away at some time since then, or so shortly before that it may still be felt.
    pub(super) fn since(&self, then: Instant) -> bool {
        let changed = *self.0.changed();
        self.0.is_away.load(Ordering::SeqCst) || changed.is_some_and(|changed| changed + GRACE > then)
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Sends on each stream when its next event is due; a stream whose client is gone is let go.
    fn send_events(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let mut gone = Vec::new();
            self.streams().retain_mut(|stream| {
                if stream.due > Instant::now() {
                    return true;
                }
                stream.due += EVENT_INTERVAL;
                let is_sent = stream.wire.send(&chunk(event(stream.sent, false).as_bytes())).is_ok();
                stream.sent += 1;
                if !is_sent {
                    gone.push(stream.connection);
                }
                is_sent
            });
            let mut connections = self.connections();
            gone.iter().for_each(|connection| drop(connections.remove(connection)));
            drop(connections);
            sleep(EVENT_INTERVAL / 40);
        }
    }

    /// Answers the requests of a connection, until it is closed or becomes an event stream.
    fn serve(&self, connection: u64, mut wire: Wire) -> io::Result<()> {
        while let Some(head) = wire.head()? {
            let mut framing = head.framing();
            let mut body = Vec::new();
            while let Some(piece) = wire.piece(&mut framing)? {
                body.extend(piece);
            }
            if head.start.starts_with("GET ") {
                wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
                self.streams().push(Stream { connection, wire, sent: 0, due: Instant::now() });
                return Ok(());
            }
            wire.send(&self.answer(&head, &body))?;
        }
        self.connections().remove(&connection);
        Ok(())
    }

    fn answer(&self, head: &Head, body: &[u8]) -> Vec<u8> {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = request["params"]["name"].as_str().unwrap_or_default();
        if REFUSED.contains(&name) || request["id"].is_null() {
            self.fault(String::from_utf8_lossy(body).into_owned());
        }
        if !head.start.starts_with("POST /mcp ") {
            return sized(202, "text/plain", "Accepted");
        }
        if request["method"] == "tools/call" {
            return sized(200, "application/json", &result(body, r#"{"content":[{"type":"text","text":"ran"}]}"#));
        }
        match head.text("x-answer").as_str() {
            "long" => sized(200, "application/json", &result(body, &list(LONG_LIST))),
            "long event" => {
                let event = format!("event: message\ndata: {}\n\n", result(body, &list(LONG_LIST)));
                let mut answer =
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                        .to_vec();
                event.as_bytes().chunks(8 * 1024).for_each(|piece| answer.extend(chunk(piece)));
                answer.extend(b"0\r\n\r\n");
                answer
            }
            "events" => {
                let event = format!("event: message\ndata: {}\n\n", result(body, &list(20)));
                sized(200, "text/event-stream", &event)
            }
            _ => sized(200, "application/json", &result(body, &list(20))),
        }
    }
}

fn listen(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if shared.is_away.load(Ordering::SeqCst) {
                return;
            }
            let connection = CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            // One that does not take what is sent is a stream that hangs.
            stream.set_write_timeout(Some(DEADLINE)).expect("a write timeout");
            shared.connections().insert(connection, stream.try_clone().expect("a descriptor that is left"));
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if shared.serve(connection, Wire::new(stream)).is_err() {
                    shared.connections().remove(&connection);
                }
            });
        }
    })
}

/// A list of so many tools, each tenth of them hidden.
fn list(tools: usize) -> String {
    let description = "What this tool does, in as many words as such descriptions have. ".repeat(2);
    let tools: Vec<Value> = (0..tools)
        .map(|index| {
            let name = if index % 10 == 5 { format!("{HIDDEN}{index}") } else { format!("tool_{index}") };
            json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
        })
        .collect();
    json!({ "tools": tools }).to_string()
}

fn sized(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
