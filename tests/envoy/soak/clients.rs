//! The clients of a soak: callers, each with one connection that asks one thing after another, and followers, each with
//! one event stream that it opens again when the server's restart has ended it. None waits for anything without a
//! deadline: what has no end by then is a hang, and fails the test.

use super::super::support::http::{Framing, Response, Wire};
use super::super::support::request::Request;
use super::super::support::wait::DEADLINE;
use super::server::{Absence, event};
use super::shapes::{Expected, Outcome, shapes};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Between two requests of one caller, unless the one before took longer.
const REQUEST_INTERVAL: Duration = Duration::from_millis(20);
/// Between two attempts to open a stream while the server is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What all clients know.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) address: SocketAddr,
    pub(super) absence: Absence,
    pub(super) is_over: Arc<AtomicBool>,
}

/// What came of the requests of one caller, in order: the shape's place in the table, and the outcome.
pub(super) struct Tally {
    pub(super) outcomes: Vec<(usize, Outcome)>,
    pub(super) longest: Duration,
}

/// The account of all followers.
#[derive(Default)]
pub(super) struct Followed {
    /// Events that came, each byte for byte as it had to be.
    pub(super) events: AtomicUsize,
    /// Streams that ended with a restart.
    pub(super) ended: AtomicUsize,
}

/// The id of a caller's request, by which its records are found.
pub(super) fn request_id(caller: usize, request: usize) -> String {
    format!("soak-{caller}-{request}")
}

/// Starts a caller.
pub(super) fn call(scene: Scene, caller: usize) -> JoinHandle<Tally> {
    thread::spawn(move || {
        let shapes = shapes();
        let mut tally = Tally { outcomes: Vec::new(), longest: Duration::ZERO };
        let (mut wire, mut due) = (None, Instant::now());
        while !scene.is_over.load(Ordering::SeqCst) {
            let request = tally.outcomes.len();
            // Each begins at another place, so that all kinds are under way at once.
            let at = (request + caller * 5) % shapes.len();
            let shape = &shapes[at];
            let id = request_id(caller, request);
            let started = Instant::now();
            let bytes = shape.request.clone().with("x-request-id", &id).bytes();
            let response = exchange(wire.get_or_insert_with(|| open(scene.address)), &bytes);
            let was_away = scene.absence.since(started);
            let outcome = match &response {
                Ok(response) => shape.expected.outcome(shape.name, response, was_away),
                Err(error) => {
                    check_end(&format!("{id}, {}", shape.name), error, was_away);
                    assert!(!matches!(shape.expected, Expected::Refused(..)), "{id}, {}: {error}", shape.name);
                    Outcome::Broken
                }
            };
            if !response.is_ok_and(|response| response.head.text("connection") != "close") {
                wire = None;
            }
            tally.longest = tally.longest.max(started.elapsed());
            tally.outcomes.push((at, outcome));
            due = (due + REQUEST_INTERVAL).max(Instant::now() - REQUEST_INTERVAL);
            sleep(due.saturating_duration_since(Instant::now()));
        }
        tally
    })
}

/// Starts a follower.
pub(super) fn follow(scene: Scene, followed: Arc<Followed>) -> JoinHandle<()> {
    let run = move || {
        while !scene.is_over.load(Ordering::SeqCst) {
            let opened = Instant::now();
            let mut wire = open(scene.address);
            let ended = read_events(&mut wire, &scene, &followed);
            let Err(error) = ended else { return };
            // A stream that was open since long before the restart ends by it as well.
            check_end("an event stream", &error, scene.absence.since(opened));
            followed.ended.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::Builder::new().stack_size(256 * 1024).spawn(run).expect("a thread")
}

/// Reads events until the stream ends, which is an error, or the soak does.
fn read_events(wire: &mut Wire, scene: &Scene, followed: &Followed) -> io::Result<()> {
    let started = Instant::now();
    let mut framing = loop {
        wire.send(&Request::stream().bytes())?;
        let head = wire.head()?.ok_or(ErrorKind::UnexpectedEof)?;
        if head.status() == 200 {
            break head.framing();
        }
        assert!(head.status() == 503 && scene.absence.since(started), "{head:?}");
        assert!(started.elapsed() < DEADLINE, "no stream within {DEADLINE:?}: {head:?}");
        let mut framing = head.framing();
        while wire.piece(&mut framing)?.is_some() {}
        sleep(RETRY_INTERVAL);
    };
    let mut text = Vec::new();
    for number in 0.. {
        let expected = event(number, true);
        while text.len() < expected.len() {
            text.extend(wire.piece(&mut framing)?.ok_or(ErrorKind::UnexpectedEof)?);
        }
        let event: Vec<u8> = text.drain(..expected.len()).collect();
        assert_eq!(String::from_utf8_lossy(&event), expected);
        followed.events.fetch_add(1, Ordering::SeqCst);
        if scene.is_over.load(Ordering::SeqCst) {
            break;
        }
    }
    Ok(())
}

/// Connects.
pub(super) fn open(address: SocketAddr) -> Wire {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("Envoy listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
    Wire::new(stream)
}

fn exchange(wire: &mut Wire, bytes: &[u8]) -> io::Result<Response> {
    wire.send(bytes)?;
    let head = wire.head()?.ok_or(ErrorKind::UnexpectedEof)?;
    let mut framing = if head.status() == 204 { Framing::Done } else { head.framing() };
    let mut body = Vec::new();
    while let Some(piece) = wire.piece(&mut framing)? {
        body.extend(piece);
    }
    Ok(Response { status: head.status(), head, body })
}

/// Only a restart of the server may end anything early, and nothing may go on for ever.
fn check_end(what: &str, error: &io::Error, was_away: bool) {
    let is_hang = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!is_hang, "{what}: neither an answer nor an end within {DEADLINE:?}");
    assert!(was_away, "{what}: {error}, and the server was there");
}
