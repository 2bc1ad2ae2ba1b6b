//! Who speaks with one server process, and which of its messages goes where.
//!
//! A process of a session belongs to one client: what it writes belongs to a request by its id or its progress token, and
//! else to the client's GET stream, or to what the client has open. A process that is shared by clients without session
//! gets requests under ids and progress tokens of ours, so that equal ones of two clients are not mixed.

use super::child::End;
use super::message::{Id, Kind, Message, error};
use super::room::{Room, Waiting};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Requests that one process works on at a time.
const MAX_PENDING: usize = 256;
/// Messages that wait for one stream to be read, or for one to be opened.
const MAX_WAITING: usize = 1024;
/// Bytes of messages that wait until the server reads; one alone can be half of it.
const MAX_BYTES_TO_SERVER: usize = 32 << 20;
/// Bytes of messages of the server that wait until its clients read, without the answers; one alone can be as long.
const MAX_BYTES_OF_SERVER: usize = 64 << 20;
/// JSON-RPC's own code for what is wrong in here.
const INTERNAL_ERROR: i32 = -32603;

/// What comes for a request.
#[derive(Debug)]
pub(super) enum Event {
    /// A message that belongs to it.
    Message(Waiting),
    /// Its answer, which is the last.
    Answer {
        /// As the server wrote it.
        text: String,
        /// Whether it tells an error.
        is_error: bool,
    },
}

/// One server process and those who speak with it.
#[derive(Debug)]
pub(super) struct Session {
    is_shared: bool,
    end: watch::Sender<End>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None once the process has ended, or is to end.
    input: Option<mpsc::Sender<Waiting>>,
    to_server: Room,
    of_server: Room,
    pending: HashMap<Id, Pending>,
    /// Of the next request.
    number: u64,
    stream: Option<mpsc::Sender<Waiting>>,
    /// What came for a stream that was not open.
    waiting: VecDeque<Waiting>,
    last_used: Instant,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    /// As its client wrote it.
    id: String,
    progress_token: Option<String>,
    takes_events: bool,
    events: mpsc::Sender<Event>,
}

/// A request that is under way. The client has gone when it is dropped.
#[derive(Debug)]
pub(super) struct Asked {
    events: mpsc::Receiver<Event>,
    key: Id,
    number: u64,
    session: Weak<Session>,
}

impl Session {
    pub(super) fn new(is_shared: bool, input: mpsc::Sender<Waiting>, end: watch::Sender<End>) -> Self {
        let state = State {
            input: Some(input),
            to_server: Room::new(MAX_BYTES_TO_SERVER),
            of_server: Room::new(MAX_BYTES_OF_SERVER),
            pending: HashMap::new(),
            number: 0,
            stream: None,
            waiting: VecDeque::new(),
            last_used: Instant::now(),
        };
        Self { is_shared, end, state: Mutex::new(state) }
    }

    /// Hands a request to the server.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(super) fn ask(self: &Arc<Self>, message: &Message<'_>, takes_events: bool) -> Result<Asked, &'static str> {
        let (id, token) = (message.id.unwrap_or("null"), message.asks_progress_by());
        let mut state = self.state();
        state.number += 1;
        let number = state.number;
        let (key, text) = if self.is_shared {
            let own = number.to_string();
            (Id::of(&own), message.with(&[message.id, token], &own))
        } else {
            (Id::of(id), message.with(&[], ""))
        };
        let key = key.ok_or("the id must be a text or a number")?;
        if state.pending.len() >= MAX_PENDING {
            return Err("the server works on too many requests; try again later");
        }
        if state.pending.contains_key(&key) {
            return Err("a request with this id is under way");
        }
        state.send(text)?;
        // One more than messages, for the answer.
        let (sender, events) = mpsc::channel(MAX_WAITING + 1);
        let progress_token = token.map(str::to_owned);
        let pending = Pending { number, id: id.to_owned(), progress_token, takes_events, events: sender };
        state.pending.insert(key.clone(), pending);
        state.last_used = Instant::now();
        Ok(Asked { events, key, number, session: Arc::downgrade(self) })
    }

    /// Hands a notification or an answer to the server.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(super) fn tell(&self, message: &Message<'_>) -> Result<(), &'static str> {
        let mut state = self.state();
        state.last_used = Instant::now();
        // Nobody without a session was asked anything, and whose request is cancelled is not to be known.
        if self.is_shared && (message.kind == Kind::Response || message.method == "notifications/cancelled") {
            return Ok(());
        }
        state.send(message.with(&[], ""))
    }

    /// Opens the stream of what belongs to no request; the one before it ends.
    pub(super) fn listen(&self) -> mpsc::Receiver<Waiting> {
        let (sender, stream) = mpsc::channel(MAX_WAITING);
        let mut state = self.state();
        for message in state.waiting.drain(..) {
            // There is room for as many.
            let _ = sender.try_send(message);
        }
        state.stream = Some(sender);
        state.last_used = Instant::now();
        stream
    }

    /// Takes a line of the server; whether it was a message.
    pub(super) fn take(&self, line: &str) -> bool {
        let Some(message) = Message::parse(line) else { return false };
        let mut state = self.state();
        state.last_used = Instant::now();
        match (message.kind, self.is_shared) {
            (Kind::Response, is_shared) => {
                if let Some(pending) = message.id.and_then(Id::of).and_then(|id| state.pending.remove(&id)) {
                    let text = if is_shared { message.with(&[message.id], &pending.id) } else { message.with(&[], "") };
                    let _ = pending.events.try_send(Event::Answer { text, is_error: message.is_error });
                }
            }
            (Kind::Request, true) => {
                let refusal = error(message.id, -32601, "no client can be asked outside of a session");
                let _ = state.send(refusal);
            }
            (Kind::Notification, true) => state.give_to_its_request(&message),
            (Kind::Request | Kind::Notification, false) => state.give_to_the_client(&message),
        }
        true
    }

    /// Nothing more will come: who waits is told, and a process that is left ends.
    pub(super) fn has_ended(&self) {
        self.end.send_if_modified(|end| {
            *end == End::No && {
                *end = End::Gently;
                true
            }
        });
        let mut state = self.state();
        state.input = None;
        state.stream = None;
        for (_, Pending { id, events, .. }) in state.pending.drain() {
            let text = error(Some(&id), INTERNAL_ERROR, "the server's process has ended before it answered");
            let _ = events.try_send(Event::Answer { text, is_error: true });
        }
    }

    /// Whether its process is gone, or going.
    pub(super) fn is_over(&self) -> bool {
        self.state().input.is_none()
    }

    /// Has the process end.
    pub(super) fn end(&self, how: End) {
        self.state().input = None;
        self.end.send_replace(how);
    }

    /// For how long nobody has used it, and whether a stream of it is open; none while a request is under way.
    pub(super) fn idle(&self) -> Option<(bool, Duration)> {
        let state = self.state();
        let has_stream = state.stream.as_ref().is_some_and(|stream| !stream.is_closed());
        state.pending.is_empty().then(|| (has_stream, state.last_used.elapsed()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A message to the server.
    ///
    /// # Errors
    /// Why not, for the client.
    fn send(&self, text: String) -> Result<(), &'static str> {
        let input = self.input.as_ref().ok_or("the server has ended")?;
        let message = self.to_server.hold(text);
        message.and_then(|message| input.try_send(message).ok()).ok_or("the server does not read its messages")
    }

    /// A message to the one client of the process.
    fn give_to_the_client(&mut self, message: &Message<'_>) {
        let text = message.with(&[], "");
        // Newer ones are worth more than those that no stream was open for.
        while !self.of_server.is_for(&text) && self.waiting.pop_front().is_some() {}
        let Some(text) = self.of_server.hold(text) else { return };
        let token = message.belongs_to().and_then(Id::of);
        let is_of = |pending: &&Pending| {
            token.is_some() && pending.progress_token.as_deref().and_then(Id::of).as_ref() == token.as_ref()
        };
        let can_be_told = |pending: &&Pending| pending.takes_events;
        if let Some(pending) = self.pending.values().filter(can_be_told).find(is_of) {
            pending.tell(text);
            return;
        }
        let text = match &self.stream {
            Some(stream) => match stream.try_send(text) {
                Ok(()) => return,
                // A stream that nobody reads any more, or too slowly.
                Err(mpsc::error::TrySendError::Closed(text) | mpsc::error::TrySendError::Full(text)) => {
                    self.stream = None;
                    text
                }
            },
            None => text,
        };
        match self.pending.values().filter(can_be_told).max_by_key(|pending| pending.number) {
            Some(pending) => pending.tell(text),
            None => {
                if self.waiting.len() == MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(text);
            }
        }
    }

    /// A notification of a shared process, to the one whose request it names, and else to nobody: whose words are in it is
    /// not to be known, even where one request alone is under way.
    fn give_to_its_request(&mut self, message: &Message<'_>) {
        let name = message.belongs_to();
        let pending = name.and_then(Id::of).and_then(|id| self.pending.get(&id));
        let Some(pending) = pending.filter(|pending| pending.takes_events) else { return };
        let its_name = match (&pending.progress_token, message.method == "notifications/progress") {
            (Some(token), true) => token,
            _ => &pending.id,
        };
        if let Some(text) = self.of_server.hold(message.with(&[name], its_name)) {
            pending.tell(text);
        }
    }
}

impl Pending {
    /// A message on the way to the answer, which keeps a place.
    fn tell(&self, text: Waiting) {
        if self.events.capacity() > 1 {
            let _ = self.events.try_send(Event::Message(text));
        }
    }
}

impl Asked {
    /// The next event; none after the answer.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(session) = self.session.upgrade() else { return };
        let mut state = session.state();
        // Answered, or another request by now.
        if state.pending.get(&self.key).is_none_or(|pending| pending.number != self.number) {
            return;
        }
        state.pending.remove(&self.key);
        // Without a session, a client that goes away is one that cancels; within one it may come back.
        if session.is_shared {
            let number = self.number;
            let params = format!(r#"{{"requestId":{number},"reason":"the client has gone"}}"#);
            let cancelled = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
            let _ = state.send(cancelled);
        }
    }
}

#[cfg(test)]
mod tests;
