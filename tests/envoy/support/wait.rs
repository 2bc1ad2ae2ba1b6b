//! Waiting for what is bound to happen, never for a time in which it might have.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything may take before the test fails: much longer than it takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Asks `probe` until it has an answer; `None` when it had none by the deadline.
pub(crate) fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if start.elapsed() > DEADLINE {
            return None;
        }
        sleep(POLL_INTERVAL);
    }
}

/// Waits until `is_so`; fails the test with `what` when it never is.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    assert!(poll(|| is_so().then_some(())).is_some(), "not within {DEADLINE:?}: {what}");
}

/// Waits, if need be, for the next UTC hour, so that at least `needed` of the hour is left. Counters start again with
/// the hour, and a test that runs across that would count wrong.
pub(crate) fn for_room_in_hour(needed: Duration) {
    for_room_in(3600, needed);
}

/// The same for windows of so many seconds.
pub(crate) fn for_room_in(window_seconds: u64, needed: Duration) {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let left = Duration::from_secs(window_seconds * (now.as_secs() / window_seconds + 1)) - now;
        if left >= needed {
            return;
        }
        sleep(left);
    }
}
