//! A TCP relay whose target may change: for servers that start when the gateway before them is running already.

use super::parts::scratch;
use super::wait;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes bytes on. Its threads end with the connections, and the listener with the test run.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The file that says where each new connection leads.
    pub(crate) target: PathBuf,
    open: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts one; its target is written to `target/e2e/NAME.target`.
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let target = scratch(&format!("{name}.target"));
        // One of an earlier run would name a port that is another program's by now.
        let _ = fs::remove_file(&target);
        let (path, open) = (target.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&open);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (path, count) = (path.clone(), Arc::clone(&count));
                thread::spawn(move || {
                    // A connection that breaks is for those at its ends to report.
                    let _ = relay(&near, &path);
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, target, open }
    }

    /// Waits until no connection is open.
    pub(crate) fn wait_for_rest(&self) {
        wait::until("all connections through the relay are closed", || self.open.load(Ordering::SeqCst) == 0);
    }
}

fn relay(near: &TcpStream, target: &Path) -> io::Result<()> {
    let far = fs::read_to_string(target).and_then(TcpStream::connect)?;
    let (from_far, to_near) = (far.try_clone()?, near.try_clone()?);
    let back = thread::spawn(move || pass(&from_far, &to_near));
    pass(near, &far);
    // It panics nowhere.
    let _ = back.join();
    Ok(())
}

/// Until either end closes, which closes both.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
