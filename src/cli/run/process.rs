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

/// Ends it: asks after `grace`, and does not ask after five more seconds. What it has started and left behind is not asked.
pub(super) async fn end(child: &mut dyn ChildWrapper, grace: Duration) {
    if timeout(grace, child.wait()).await.is_err() {
        // It may have ended meanwhile.
        let _ = child.signal(SIGTERM);
        let _ = timeout(TIME_TO_END, child.wait()).await;
    }
    // Waiting is for the leader alone; this reaches the group, where there is one left.
    let _ = Box::into_pin(child.kill()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_a_process_leaves_behind_ends_with_it() {
        // It ends by itself, or when it is asked; what it has started does neither, and holds its output.
        let stays = "(trap '' TERM; echo; sleep 600) &";
        for (script, grace) in
            [(format!("{stays} exit"), Duration::from_secs(30)), (format!("{stays} sleep 600"), Duration::ZERO)]
        {
            let mut child = start("sh".as_ref(), |command| {
                command.args(["-c", &script]).stdout(Stdio::piped());
            })
            .unwrap();
            let mut output = child.stdout().take().unwrap();
            // It no longer heeds TERM.
            output.read_u8().await.unwrap();
            end(&mut *child, grace).await;
            let rest = timeout(Duration::from_secs(30), output.read_to_end(&mut Vec::new())).await;
            assert_eq!(rest.unwrap().unwrap(), 0, "{script}");
        }
    }
}
