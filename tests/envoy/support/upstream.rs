//! A scripted HTTP/1.1 server for what no real MCP server does: faults, odd shapes, chosen chunks, and an exact account
//! of what reached it. One thread for each connection; they end with the connections, and the listener with the test
//! run.

use super::http::{Framing, Head, Wire};
use super::wait;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

/// Where nobody listens: a port that no system hands out, of a service that is history.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// What answers every request.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

/// One request, as far as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// Its request line and headers.
    pub(crate) head: Head,
    /// Its body, without the framing.
    pub(crate) body: Vec<u8>,
    /// It came to its end.
    pub(crate) is_whole: bool,
}

/// How a request is answered.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
    fault: Option<Fault>,
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed in the place of it.
    NoHead,
    /// Nothing is sent, and the connection stays open until the other side closes it.
    Silence,
    /// The connection is closed after so many bytes of the body, of which more were announced.
    CutAt(usize),
    /// The rest is not sent, and the connection stays open until the other side closes it.
    SilentAt(usize),
}

enum Body {
    /// With its length, written in pieces of so many bytes.
    Sized(Vec<u8>, usize),
    /// In chunks of so many bytes, each written by itself.
    Chunked(Vec<u8>, usize),
    /// In chunks, with a trailer after the last one.
    Trailed(Vec<u8>),
    /// In one chunk for each message, until the sender is dropped.
    Live(mpsc::Receiver<Vec<u8>>),
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    /// How many requests came whole.
    whole: AtomicUsize,
    /// Nothing of a request is kept once it is answered.
    forgets: bool,
    requests: Mutex<Vec<Received>>,
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

impl Upstream {
    /// Starts one that answers each whole request with what `script` says.
    pub(crate) fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::serving(Seen::default(), script)
    }

    fn serving(seen: Seen, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let seen = Arc::new(seen);
        let (script, account): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                account.connections.fetch_add(1, Ordering::SeqCst);
                account.open.fetch_add(1, Ordering::SeqCst);
                let (script, account) = (Arc::clone(&script), Arc::clone(&account));
                thread::spawn(move || {
                    // A connection that breaks is what some tests are about; the account tells.
                    let _ = serve(&mut Wire::new(stream), &*script, &account);
                    account.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    /// Starts one that runs every call, and says so under the call's id.
    pub(crate) fn running_every_call() -> Self {
        Self::start(run)
    }

    /// The same for more calls than memory should hold: it counts them, and keeps none.
    pub(crate) fn running_and_forgetting_every_call() -> Self {
        Self::serving(Seen { forgets: true, ..Seen::default() }, run)
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Every request so far, in the order in which their heads came.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests().clone()
    }

    /// How many requests came whole so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.whole.load(Ordering::SeqCst)
    }

    /// Every request there will be. To be called when whoever sends them is gone: waits until the last byte of theirs
    /// is read.
    pub(crate) fn settled(&self) -> Vec<Received> {
        wait::until("all connections to the upstream are closed", || self.seen.open.load(Ordering::SeqCst) == 0);
        self.requests()
    }
}

impl Received {
    /// The value of the header's first line, as text; empty without one.
    pub(crate) fn header(&self, name: &str) -> String {
        self.head.text(name)
    }
}

impl Answer {
    /// A body with its length, status 200.
    pub(crate) fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers =
            if content_type.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        Self { status: 200, headers, body: Body::Sized(body.into(), usize::MAX), fault: None }
    }

    /// `application/json`
    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new("application/json", body)
    }

    /// `text/event-stream` in chunks of so many bytes.
    pub(crate) fn events(body: impl Into<Vec<u8>>, chunk: usize) -> Self {
        Self { body: Body::Chunked(body.into(), chunk), ..Self::new("text/event-stream", "") }
    }

    /// `text/event-stream` that sends what the channel brings, as soon as it does.
    pub(crate) fn live(events: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { body: Body::Live(events), ..Self::new("text/event-stream", "") }
    }

    /// With another status.
    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The body written in pieces of so many bytes.
    pub(crate) fn in_pieces_of(self, size: usize) -> Self {
        let body = match self.body {
            Body::Sized(bytes, _) => Body::Sized(bytes, size),
            other => other,
        };
        Self { body, ..self }
    }

    /// The body in one chunk, with a trailer after it.
    pub(crate) fn with_trailer(self) -> Self {
        let body = match self.body {
            Body::Sized(bytes, _) | Body::Chunked(bytes, _) => Body::Trailed(bytes),
            other => other,
        };
        Self { body, ..self }
    }

    /// With this fault.
    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    fn write(self, wire: &mut Wire) -> io::Result<()> {
        match self.fault {
            Some(Fault::NoHead) => return Err(ErrorKind::ConnectionAborted.into()),
            Some(Fault::Silence) => return wire.until_closed(),
            Some(Fault::CutAt(_) | Fault::SilentAt(_)) | None => {}
        }
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match &self.body {
            // A length would be wrong there.
            Body::Sized(..) if self.status == 204 => head += "\r\n",
            Body::Sized(bytes, _) => head += &format!("content-length: {}\r\n\r\n", bytes.len()),
            Body::Chunked(..) | Body::Trailed(_) | Body::Live(_) => head += "transfer-encoding: chunked\r\n\r\n",
        }
        wire.send(head.as_bytes())?;
        let begun = |at| match self.body {
            // A chunk of no bytes would be the last one.
            _ if at == 0 => Vec::new(),
            Body::Sized(ref bytes, _) => bytes[..at].to_vec(),
            Body::Chunked(ref bytes, _) | Body::Trailed(ref bytes) => chunk(&bytes[..at]),
            Body::Live(_) => Vec::new(),
        };
        match self.fault {
            Some(Fault::CutAt(at)) => {
                wire.send(&begun(at))?;
                return Err(ErrorKind::ConnectionAborted.into());
            }
            Some(Fault::SilentAt(at)) => {
                wire.send(&begun(at))?;
                return wire.until_closed();
            }
            Some(Fault::NoHead | Fault::Silence) | None => {}
        }
        match self.body {
            Body::Sized(bytes, size) => bytes.chunks(size).try_for_each(|piece| wire.send(piece)),
            Body::Chunked(bytes, size) => {
                bytes.chunks(size).try_for_each(|piece| wire.send(&chunk(piece)))?;
                wire.send(b"0\r\n\r\n")
            }
            Body::Trailed(bytes) => {
                wire.send(&chunk(&bytes))?;
                wire.send(b"0\r\nx-trailer: 1\r\n\r\n")
            }
            Body::Live(events) => {
                events.iter().try_for_each(|event| wire.send(&chunk(&event)))?;
                wire.send(b"0\r\n\r\n")
            }
        }
    }
}

impl Seen {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to `request` with this result, under the request's id as it was written.
pub(crate) fn result(request: &[u8], result: &str) -> String {
    // Not by a parser, because tests send numbers and strings that not every parser takes.
    let request = String::from_utf8_lossy(request);
    let (_, from_id) = request.split_once("\"id\":").expect("a request with an id");
    let id = from_id.split([',', '}']).next().unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// Says that it ran the call.
fn run(request: &Received) -> Answer {
    Answer::json(result(&request.body, r#"{"content":[{"type":"text","text":"ran"}]}"#))
}

fn serve(wire: &mut Wire, script: &Script, seen: &Seen) -> io::Result<()> {
    while let Some(head) = wire.head()? {
        let mut framing: Framing = head.framing();
        if seen.forgets {
            let mut request = Received { head, ..Received::default() };
            while let Some(piece) = wire.piece(&mut framing)? {
                request.body.extend(piece);
            }
            seen.whole.fetch_add(1, Ordering::SeqCst);
            script(&request).write(wire)?;
            continue;
        }
        let at = {
            let mut requests = seen.requests();
            requests.push(Received { head, ..Received::default() });
            requests.len() - 1
        };
        while let Some(piece) = wire.piece(&mut framing)? {
            // At once, so that it is known how much came of a request that is then broken off.
            seen.requests()[at].body.extend(piece);
        }
        let request = {
            let mut requests = seen.requests();
            requests[at].is_whole = true;
            seen.whole.fetch_add(1, Ordering::SeqCst);
            requests[at].clone()
        };
        script(&request).write(wire)?;
    }
    Ok(())
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
