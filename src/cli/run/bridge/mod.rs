//! A server that speaks on its standard streams, served as streamable HTTP: each session has a process of its own, and
//! clients without session (MCP 2026-07-28) share one.
//!
//! It listens on a socket in a directory of this user alone, which only Envoy is told of, so nothing reaches the server
//! past the policy. Messages pass as they were written.

mod child;
mod http;
mod message;
mod room;
mod session;

use child::{Child, End, MAX_WAITING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use session::Session;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Where the server is.
pub(super) const PATH: &str = "/mcp";
/// Sessions, each with a process.
const MAX_SESSIONS: usize = 64;
/// Processes: of sessions, the shared one, and some that take their time to end.
const MAX_PROCESSES: usize = MAX_SESSIONS + 8;
/// After which a session that nobody uses ends: as long as Envoy keeps a silent stream.
const MAX_IDLE: Duration = Duration::from_secs(3600);

/// The server's processes and who may speak with them.
#[derive(Debug)]
pub(super) struct Bridge {
    words: Vec<OsString>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<String, Arc<Session>>,
    shared: Option<Arc<Session>>,
    processes: Vec<JoinHandle<()>>,
    is_over: bool,
}

/// A session whose client does not know its name yet. It ends when this is dropped.
struct Unnamed<'a> {
    bridge: &'a Bridge,
    name: String,
}

/// Why there is no session.
#[derive(Debug)]
enum Refusal {
    /// All are in use.
    Full,
    /// There is no process.
    NoProcess(String),
}

impl Bridge {
    /// Serves `words` at `socket`, within a runtime.
    pub(super) fn start(words: Vec<OsString>, socket: &Path) -> io::Result<Arc<Self>> {
        let listener = UnixListener::bind(socket)?;
        let bridge = Arc::new(Self { words, table: Mutex::default() });
        tokio::spawn(accept(listener, Arc::clone(&bridge)));
        tokio::spawn(sweep(Arc::clone(&bridge)));
        Ok(bridge)
    }

    /// Ends every process.
    pub(super) async fn end(&self) {
        let processes = {
            let mut table = self.table();
            table.is_over = true;
            for session in table.sessions.values().chain(&table.shared) {
                session.end(End::Now);
            }
            table.sessions.clear();
            table.shared = None;
            std::mem::take(&mut table.processes)
        };
        for process in processes {
            let _ = process.await;
        }
    }

    fn session(&self, id: &str) -> Option<Arc<Session>> {
        let mut table = self.table();
        let session = table.sessions.get(id).cloned()?;
        if session.is_over() {
            table.sessions.remove(id);
            return None;
        }
        Some(session)
    }

    /// A new session, under a name that nobody can guess.
    fn open(&self) -> Result<(String, Arc<Session>), Refusal> {
        let mut table = self.table();
        table.sessions.retain(|_, session| !session.is_over());
        // Before one gives way for nothing.
        table.has_room()?;
        if table.sessions.len() >= MAX_SESSIONS {
            // One that nobody listens to before one that somebody may come back to.
            let idle = |(id, session): (&String, &Arc<Session>)| session.idle().map(|idle| (idle, id.clone()));
            let longest = table.sessions.iter().filter_map(idle).max_by_key(|((listens, idle), _)| (!listens, *idle));
            let (_, id) = longest.ok_or(Refusal::Full)?;
            table.end(&id);
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Refusal::NoProcess(error.to_string()))?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let session = table.start(&self.words, false)?;
        table.sessions.insert(id.clone(), Arc::clone(&session));
        Ok((id, session))
    }

    /// The process of those without session.
    fn shared(&self) -> Result<Arc<Session>, Refusal> {
        let mut table = self.table();
        if let Some(session) = table.shared.as_ref().filter(|session| !session.is_over()) {
            return Ok(Arc::clone(session));
        }
        let session = table.start(&self.words, true)?;
        table.shared = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Ends a session; whether there was one.
    fn close(&self, id: &str) -> bool {
        self.table().end(id)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unnamed<'_> {
    /// For the client, to which the session belongs from now on.
    fn tell(mut self) -> String {
        std::mem::take(&mut self.name)
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        // No session has the empty name of one that was told.
        self.bridge.close(&self.name);
    }
}

impl Table {
    /// Whether one more process may start.
    fn has_room(&mut self) -> Result<(), Refusal> {
        self.processes.retain(|process| !process.is_finished());
        let is_full = self.is_over || self.processes.len() >= MAX_PROCESSES;
        if is_full { Err(Refusal::Full) } else { Ok(()) }
    }

    fn start(&mut self, words: &[OsString], is_shared: bool) -> Result<Arc<Session>, Refusal> {
        self.has_room()?;
        let child = Child::start(words).map_err(|error| Refusal::NoProcess(error.to_string()))?;
        let ((end, ends), (input, messages)) = (watch::channel(End::No), mpsc::channel(MAX_WAITING));
        let session = Arc::new(Session::new(is_shared, input, end));
        self.processes.push(child.serve(Arc::clone(&session), messages, ends));
        Ok(session)
    }

    fn end(&mut self, id: &str) -> bool {
        let session = self.sessions.remove(id);
        session.inspect(|session| session.end(End::Gently)).is_some()
    }
}

async fn accept(listener: UnixListener, bridge: Arc<Bridge>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, for a while.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let bridge = Arc::clone(&bridge);
        tokio::spawn(serve(bridge, stream));
    }
}

async fn serve(bridge: Arc<Bridge>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| http::answer(Arc::clone(&bridge), request));
    // What fails is the connection, which Envoy sees too.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Ends what nobody uses any more.
async fn sweep(bridge: Arc<Bridge>) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        let mut table = bridge.table();
        let is_old = |session: &Arc<Session>| session.idle().is_some_and(|(listens, idle)| !listens && idle > MAX_IDLE);
        let old = table.sessions.iter().filter(|(_, session)| is_old(session)).map(|(id, _)| id.clone());
        for id in old.collect::<Vec<_>>() {
            table.end(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::message::Message;
    use super::session::Asked;
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn bridge(script: &str) -> Bridge {
        Bridge { words: ["sh", "-c", script].map(OsString::from).to_vec(), table: Mutex::default() }
    }

    fn ask(session: &Arc<Session>) -> Asked {
        session.ask(&Message::parse(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#).unwrap(), true).unwrap()
    }

    #[tokio::test]
    async fn when_all_sessions_are_taken_the_longest_idle_gives_way_and_none_that_is_in_use() {
        // Never answers.
        let bridge = bridge("exec sleep 60");
        let mut open = Vec::new();
        for _ in 0..MAX_SESSIONS {
            open.push(bridge.open().unwrap());
        }
        let mut asked = vec![ask(&open[0].1)];
        // Somebody listens to the next one, so the third is what nobody misses.
        let _stream = open[1].1.listen();
        let (newest, _) = bridge.open().unwrap();
        assert!(bridge.session(&open[0].0).is_some() && bridge.session(&open[1].0).is_some());
        assert!(bridge.session(&open[2].0).is_none() && bridge.session(&newest).is_some());
        let left: Vec<_> = bridge.table().sessions.values().cloned().collect();
        asked.extend(left.iter().filter(|session| session.idle().is_some()).map(ask));
        assert_eq!(asked.len(), MAX_SESSIONS);
        assert!(matches!(bridge.open(), Err(Refusal::Full)));
        bridge.end().await;
        assert!(left.iter().all(|session| session.is_over()));
        assert!(bridge.open().is_err() && bridge.shared().is_err());
    }

    #[tokio::test]
    async fn a_session_whose_client_leaves_before_its_name_is_told_ends() {
        // Says nothing.
        let bridge = Arc::new(bridge("exec sleep 600"));
        let (mut client, server) = tokio::io::duplex(4096);
        let message = r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#;
        let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{message}", message.len());
        client.write_all(request.as_bytes()).await.unwrap();
        let leaves = async {
            while bridge.table().sessions.is_empty() {
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        tokio::join!(serve(Arc::clone(&bridge), server), leaves);
        assert!(bridge.table().sessions.is_empty());
        bridge.end().await;
    }

    #[tokio::test]
    async fn processes_are_bounded_while_those_of_ended_sessions_take_their_time() {
        let bridge = bridge("exec sleep 600");
        for _ in 0..MAX_PROCESSES {
            let (name, _) = bridge.open().unwrap();
            assert!(bridge.close(&name));
        }
        assert!(matches!(bridge.open(), Err(Refusal::Full)) && matches!(bridge.shared(), Err(Refusal::Full)));
        bridge.end().await;
    }

    #[tokio::test]
    async fn a_process_that_ends_takes_its_session_with_it_and_the_shared_one_starts_again() {
        let bridge = bridge("read -r line; exit 3");
        let (name, session) = bridge.open().unwrap();
        let shared = bridge.shared().unwrap();
        for session in [&session, &shared] {
            let mut asked = ask(session);
            assert!(matches!(asked.next().await, Some(session::Event::Answer { is_error: true, .. })));
            assert!(asked.next().await.is_none());
        }
        assert!(bridge.session(&name).is_none());
        assert!(!Arc::ptr_eq(&bridge.shared().unwrap(), &shared));
        bridge.end().await;
    }

    #[tokio::test]
    async fn a_process_that_closes_its_output_is_ended_though_nobody_asks() {
        let bridge = bridge("exec >&-; sleep 600");
        let (name, session) = bridge.open().unwrap();
        let shared = bridge.shared().unwrap();
        for asked in &mut [ask(&session), ask(&shared)] {
            assert!(matches!(asked.next().await, Some(session::Event::Answer { is_error: true, .. })));
        }
        // Each is forgotten before the end.
        assert!(bridge.session(&name).is_none());
        assert!(!Arc::ptr_eq(&bridge.shared().unwrap(), &shared));
        tokio::time::timeout(Duration::from_secs(30), bridge.end()).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_does_not_end_by_itself_is_ended() {
        // Neither the end of its input nor TERM ends it; what it has started reads on.
        let bridge =
            bridge("trap '' TERM; sleep 600 & echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}'; wait; sleep 600");
        let (_, session) = bridge.open().unwrap();
        let mut asked = ask(&session);
        assert!(asked.next().await.is_some());
        bridge.end().await;
        assert!(session.is_over());
        assert!(bridge.table().processes.is_empty());
    }
}
