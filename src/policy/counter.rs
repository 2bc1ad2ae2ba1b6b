//! One counter: a key for ever, whose window stands in its value, because the host's shared data has
//! neither deletion nor expiry. Counting is compare-and-swap with a bounded number of tries.

use super::store::{PutError, Store};
use super::window::Window;

/// Tries to count before the call is refused. Each failed try means that another worker succeeded, so with
/// W workers more than a few times W is never needed.
const MAX_TRIES: usize = 64;

/// What was added to a counter, and in which window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) key: Vec<u8>,
    window_start: u64,
    /// In millionths.
    pub(super) amount: u64,
}

/// What is asked of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Seconds since the epoch.
    pub(super) now: u64,
    pub(super) window: Window,
    /// Whether the window before still counts, by the share of it that is still inside.
    pub(super) is_rolling: bool,
    /// What to add, and up to what, in millionths.
    pub(super) amount: u64,
    pub(super) max: u64,
}

/// Why nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotCounted {
    /// There is no room for it.
    Full,
    /// The store failed, holds what is not ours, or was too contended: the count is not certain.
    Uncertain,
}

/// What a counter's value says. Amounts in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// Seconds since the epoch.
    window_start: u64,
    used: u64,
    /// In the window right before.
    previous: u64,
}

impl Count {
    /// Format 1: one byte 1, then the three numbers as 64-bit little-endian integers.
    fn encode(self) -> Vec<u8> {
        let numbers = [self.window_start, self.used, self.previous];
        std::iter::once(1).chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut rest = value.strip_prefix(&[1])?;
        let mut next = || {
            let (number, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u64::from_le_bytes(*number))
        };
        let count = Self { window_start: next()?, used: next()?, previous: next()? };
        rest.is_empty().then_some(count)
    }

    /// The count as it stands in the window that begins at `start`.
    fn in_window(stored: Option<Self>, start: u64, window: Window) -> Self {
        match stored {
            // A clock that steps back must not reopen a window, so a later start stays.
            Some(count) if count.window_start >= start => count,
            Some(count) => {
                let is_previous = start > 0 && window.around(start - 1).0 == count.window_start;
                Self { window_start: start, used: 0, previous: if is_previous { count.used } else { 0 } }
            }
            None => Self { window_start: start, used: 0, previous: 0 },
        }
    }

    /// What counts now: all of this window, and of the one before the share that is still inside, rounded up.
    fn total(&self, request: &Request) -> u64 {
        if !request.is_rolling || self.previous == 0 {
            return self.used;
        }
        let (start, end) = request.window.around(self.window_start);
        let (length, left) = (end.saturating_sub(start).max(1), end.saturating_sub(request.now.max(start)));
        let share = (u128::from(self.previous) * u128::from(left)).div_ceil(u128::from(length));
        self.used.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// Adds an amount to the counter `key`, if there is room for it.
pub(super) fn charge(key: &[u8], request: &Request, store: &mut dyn Store) -> Result<Charge, NotCounted> {
    let (start, _) = request.window.around(request.now);
    for _ in 0..MAX_TRIES {
        let stored = store.get(key).map_err(|_| NotCounted::Uncertain)?;
        let (stored, version) = match stored {
            None => (None, None),
            Some((value, version)) => (Some(Count::decode(&value).ok_or(NotCounted::Uncertain)?), Some(version)),
        };
        let count = Count::in_window(stored, start, request.window);
        if count.total(request).saturating_add(request.amount) > request.max {
            return Err(NotCounted::Full);
        }
        let charge = Charge { key: key.to_vec(), window_start: count.window_start, amount: request.amount };
        if request.amount == 0 {
            return Ok(charge);
        }
        let more = Count { used: count.used.saturating_add(request.amount), ..count };
        match store.put(key, &more.encode(), version) {
            Ok(()) => return Ok(charge),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return Err(NotCounted::Uncertain),
        }
    }
    Err(NotCounted::Uncertain)
}

impl Charge {
    /// Takes the amount back from the window that it was added to, and from no other. What cannot be taken
    /// back stays spent.
    pub(super) fn refund(&self, store: &mut dyn Store) {
        for _ in 0..MAX_TRIES {
            if self.amount == 0 {
                return;
            }
            let Ok(Some((value, version))) = store.get(&self.key) else { return };
            let Some(count) = Count::decode(&value).filter(|count| count.window_start == self.window_start) else {
                return;
            };
            let less = Count { used: count.used.saturating_sub(self.amount), ..count };
            if store.put(&self.key, &less.encode(), Some(version)) != Err(PutError::Conflict) {
                return;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// What a worker that knows our format would write: one call more than `value` says.
    pub(in super::super) fn one_more(value: Option<&[u8]>, like: &[u8]) -> Vec<u8> {
        let like = Count::decode(like).unwrap();
        let count = value.map_or(Count { used: 0, ..like }, |value| Count::decode(value).unwrap());
        Count { used: count.used + 1_000_000, ..count }.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::MemoryStore;
    use super::*;

    const MINUTE: Request = Request { now: 0, window: Window::Minute, is_rolling: false, amount: 1, max: 10 };

    #[test]
    fn a_rolling_window_counts_the_share_of_the_last_one() {
        let rolling = |now, amount| Request { now, is_rolling: true, amount, ..MINUTE };
        let mut store = MemoryStore::default();
        charge(b"k", &rolling(59, 10), &mut store).unwrap();
        // At 60 all ten of the last minute still count, at 90 five, at 119 one, rounded up.
        assert_eq!(charge(b"k", &rolling(60, 1), &mut store), Err(NotCounted::Full));
        assert!(charge(b"k", &rolling(90, 5), &mut store).is_ok());
        assert_eq!(charge(b"k", &rolling(90, 1), &mut store), Err(NotCounted::Full));
        assert!(charge(b"k", &rolling(119, 4), &mut store).is_ok());
        assert_eq!(charge(b"k", &rolling(119, 1), &mut store), Err(NotCounted::Full));
        // A window that was left out forgets what came before.
        assert!(charge(b"k", &rolling(300, 10), &mut store).is_ok());
    }

    #[test]
    fn a_refund_touches_only_the_window_that_was_charged() {
        let at = |now, amount| Request { now, amount, ..MINUTE };
        let mut store = MemoryStore::default();
        let early = charge(b"k", &at(59, 10), &mut store).unwrap();
        early.refund(&mut store);
        let early = charge(b"k", &at(59, 10), &mut store).unwrap();
        charge(b"k", &at(60, 10), &mut store).unwrap();
        early.refund(&mut store);
        assert_eq!(charge(b"k", &at(60, 1), &mut store), Err(NotCounted::Full));
    }

    #[test]
    fn amounts_near_the_end_of_all_numbers_do_not_wrap() {
        let request = |amount, max| Request { amount, max, ..MINUTE };
        let mut store = MemoryStore::default();
        charge(b"k", &request(u64::MAX - 1, u64::MAX), &mut store).unwrap();
        assert_eq!(charge(b"k", &request(5, u64::MAX - 1), &mut store), Err(NotCounted::Full));
    }
}
