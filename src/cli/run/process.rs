//! Processes that end with the command line: each leads a group of its own, so that Ctrl-C reaches the command line alone,
//! and so that what a package runner has started ends with it.

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use std::ffi::OsStr;
use std::io;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// What a process gets to end in, before it is ended for it.
const TIME_TO_END: Duration = Duration::from_secs(5);
/// As signal(7) numbers it, everywhere.
const SIGTERM: i32 = 15;

/// Starts `program` as `configure` has it.
pub(super) fn start(program: &OsStr, configure: impl FnOnce(&mut Command)) -> io::Result<Box<dyn ChildWrapper>> {
    CommandWrap::with_new(program, configure).wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn()
}

/// Ends it: asks after `grace`, and does not ask after five more seconds.
pub(super) async fn end(child: &mut dyn ChildWrapper, grace: Duration) {
    if timeout(grace, child.wait()).await.is_ok() {
        return;
    }
    // It may have ended meanwhile.
    let _ = child.signal(SIGTERM);
    if timeout(TIME_TO_END, child.wait()).await.is_err() {
        let _ = Box::into_pin(child.kill()).await;
    }
}
