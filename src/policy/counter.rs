//! One counter: a slot of a bucket in the store, whose window stands in its value. Counting is compare-and-swap with a
//! bounded number of tries.

use super::slots::{Bucket, Place};
use super::store::{PutError, Store, Unavailable, Version};
use super::window::Window;

/// Tries to count before the call is refused. Each failed try means that another worker succeeded, so with
/// W workers more than a few times W is never needed.
const MAX_TRIES: usize = 64;
/// How long a session is remembered after its last counted call, in seconds: nobody says when one ends.
pub(super) const SESSION_SECONDS: u64 = 86_400;

/// What was added to a counter, and in which window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) place: Place,
    window: Window,
    window_start: u64,
    /// In millionths.
    pub(super) amount: u64,
    /// How the counter stood with it.
    pub(super) standing: Standing,
}

/// How a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// What counts now, in millionths.
    pub(super) total: u64,
    /// Seconds until its window ends; `None` when nobody knows.
    pub(super) resets_in: Option<u64>,
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
    /// How much of that the same call has added already.
    pub(super) held: u64,
}

impl Request {
    /// Seconds until the window ends that `now` is in; `None` when nobody knows.
    pub(super) fn to_end(self) -> Option<u64> {
        let (_, end) = self.window.around(self.now);
        (self.window != Window::Session).then(|| end.saturating_sub(self.now))
    }
}

/// Why nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotCounted {
    /// There is no room for it below the maximum: so much counts now, in millionths, and in so many seconds there is room.
    Full(u64, Option<u64>),
    /// There is no place for another count in its bucket.
    NoPlace,
    /// The store failed, holds what is not ours, or was too contended: the count is not certain.
    Uncertain,
}

/// What a counter's value says. Amounts in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// Seconds since the epoch.
    pub(super) window_start: u64,
    pub(super) used: u64,
    /// In the window right before.
    pub(super) previous: u64,
}

impl Count {
    /// The count as it stands in the window that begins at `start`.
    fn in_window(stored: Option<Self>, start: u64, window: Window) -> Self {
        match stored {
            // A clock that steps back must not reopen a window, so a later start stays.
            Some(count) if count.window_start >= start => count,
            Some(count) => {
                let is_previous = window.before(start) == Some(count.window_start);
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

    /// Seconds until the amount has room, if nothing else is added meanwhile; `None` when it never has.
    fn room_in(&self, request: &Request) -> Option<u64> {
        let (start, end) = request.window.around(self.window_start);
        let free = request.max.checked_sub(request.amount)?;
        if request.window == Window::Session {
            return None;
        }
        let to_end = end.saturating_sub(request.now);
        if !request.is_rolling {
            return Some(to_end);
        }
        // A window that counts by its share has room for `free` when at most so many of its seconds are inside.
        let length = end.saturating_sub(start);
        let inside = |amount: u64, free: u64| {
            let seconds = u128::from(free) * u128::from(length) / u128::from(amount.max(1));
            u64::try_from(seconds).unwrap_or(u64::MAX).min(length)
        };
        Some(match free.checked_sub(self.used) {
            Some(free) => to_end.saturating_sub(inside(self.previous, free)),
            None => to_end.saturating_add(length.saturating_sub(inside(self.used, free))),
        })
    }

    /// Seconds until its window ends; `None` when nobody knows.
    fn resets_in(&self, request: &Request) -> Option<u64> {
        let (_, end) = request.window.around(self.window_start);
        (request.window != Window::Session).then(|| end.saturating_sub(request.now))
    }

    /// The second from which on it does not matter.
    fn expires(&self, request: &Request) -> u64 {
        let (start, end) = request.window.around(self.window_start);
        match request.window {
            Window::Session => request.now.saturating_add(SESSION_SECONDS),
            // It still counts in the next window.
            _ if request.is_rolling => end.saturating_add(end.saturating_sub(start)),
            _ => end,
        }
    }
}

/// Adds an amount to the counter at `place`, if there is room for it.
pub(super) fn charge(place: &Place, request: &Request, store: &mut dyn Store) -> Result<Charge, NotCounted> {
    let (start, _) = request.window.around(request.now);
    let request = &Request { amount: request.amount.max(request.held), ..*request };
    let amount = request.amount - request.held;
    for _ in 0..MAX_TRIES {
        let (mut bucket, version) = read(place, store).map_err(|Unread| NotCounted::Uncertain)?;
        let count = Count::in_window(bucket.count(place), start, request.window);
        let others = Count { used: count.used.saturating_sub(request.held), ..count };
        if others.total(request).saturating_add(request.amount) > request.max {
            return Err(NotCounted::Full(others.total(request), others.room_in(request)));
        }
        let charge = Charge {
            place: place.clone(),
            window: request.window,
            window_start: count.window_start,
            amount,
            standing: Standing {
                total: others.total(request).saturating_add(request.amount),
                resets_in: count.resets_in(request),
            },
        };
        if amount == 0 {
            return Ok(charge);
        }
        let more = Count { used: count.used.saturating_add(amount), ..count };
        if !bucket.keep(place, more, more.expires(request), request.now) {
            return Err(NotCounted::NoPlace);
        }
        match store.put(&place.key, &bucket.encode(), version) {
            Ok(()) => return Ok(charge),
            Err(PutError::Conflict) => {}
            Err(PutError::Unavailable) => return Err(NotCounted::Uncertain),
        }
    }
    Err(NotCounted::Uncertain)
}

/// How the counter at `place` stands; `shared` takes over where its bucket has no place for it. Nothing is added.
pub(super) fn standing(
    place: &Place,
    shared: Option<&Place>,
    request: &Request,
    store: &mut dyn Store,
) -> Result<Standing, Unavailable> {
    let (start, _) = request.window.around(request.now);
    let (mut bucket, _) = read(place, store).map_err(|Unread| Unavailable)?;
    let count = Count::in_window(bucket.count(place), start, request.window);
    match shared {
        Some(shared) if !bucket.keep(place, count, 0, request.now) => standing(shared, None, request, store),
        _ => Ok(Standing { total: count.total(request), resets_in: count.resets_in(request) }),
    }
}

/// The store failed, or holds what is not ours.
struct Unread;

fn read(place: &Place, store: &mut dyn Store) -> Result<(Bucket, Option<Version>), Unread> {
    match store.get(&place.key).map_err(|_| Unread)? {
        None => Ok((Bucket::default(), None)),
        Some((value, version)) => Ok((Bucket::decode(&value).ok_or(Unread)?, Some(version))),
    }
}

impl Charge {
    /// Takes the amount back from the window that it was added to, and from no other, also when that is the one before by
    /// now. What cannot be taken back stays spent.
    pub(super) fn refund(&self, store: &mut dyn Store) {
        for _ in 0..MAX_TRIES {
            if self.amount == 0 {
                return;
            }
            let Ok((mut bucket, version)) = read(&self.place, store) else { return };
            let Some(mut count) = bucket.count(&self.place) else { return };
            let sum = match self.window_start {
                start if start == count.window_start => &mut count.used,
                // It may still count by its share.
                start if self.window.before(count.window_start) == Some(start) => &mut count.previous,
                _ => return,
            };
            *sum = sum.saturating_sub(self.amount);
            bucket.change(&self.place, count);
            if store.put(&self.place.key, &bucket.encode(), version) != Err(PutError::Conflict) {
                return;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// What another worker would write that counts the same: one call more than `value` says.
    pub(in super::super) fn one_more(value: Option<&[u8]>, like: &[u8]) -> Vec<u8> {
        let mut bucket = Bucket::decode(value.unwrap_or(like)).unwrap();
        bucket.change_all(|count| {
            count.used = if value.is_some() { count.used } else { 0 } + 1_000_000;
        });
        bucket.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Part;
    use super::super::store::MemoryStore;
    use super::*;

    fn k() -> Place {
        Place::of(Part::Owned, b"k")
    }

    const MINUTE: Request = Request { now: 0, window: Window::Minute, is_rolling: false, amount: 1, max: 10, held: 0 };

    #[test]
    fn a_rolling_window_counts_the_share_of_the_last_one() {
        let rolling = |now, amount| Request { now, is_rolling: true, amount, ..MINUTE };
        let mut store = MemoryStore::default();
        charge(&k(), &rolling(59, 10), &mut store).unwrap();
        // At 60 all ten of the last minute still count, at 90 five, at 119 one, rounded up.
        assert_eq!(charge(&k(), &rolling(60, 1), &mut store), Err(NotCounted::Full(10, Some(6))));
        assert!(charge(&k(), &rolling(90, 5), &mut store).is_ok());
        assert_eq!(charge(&k(), &rolling(90, 1), &mut store), Err(NotCounted::Full(10, Some(6))));
        assert!(charge(&k(), &rolling(119, 4), &mut store).is_ok());
        assert_eq!(charge(&k(), &rolling(119, 1), &mut store), Err(NotCounted::Full(10, Some(1))));
        // A window that was left out forgets what came before.
        assert!(charge(&k(), &rolling(300, 10), &mut store).is_ok());
    }

    #[test]
    fn a_refund_touches_only_the_window_that_was_charged() {
        let at = |now, amount| Request { now, amount, ..MINUTE };
        let mut store = MemoryStore::default();
        let early = charge(&k(), &at(59, 10), &mut store).unwrap();
        early.refund(&mut store);
        let early = charge(&k(), &at(59, 10), &mut store).unwrap();
        charge(&k(), &at(60, 10), &mut store).unwrap();
        early.refund(&mut store);
        assert_eq!(charge(&k(), &at(60, 1), &mut store), Err(NotCounted::Full(10, Some(60))));
    }

    #[test]
    fn a_refund_lowers_the_share_of_the_window_before() {
        let rolling = |now, amount| Request { now, is_rolling: true, amount, ..MINUTE };
        let mut store = MemoryStore::default();
        let early = charge(&k(), &rolling(59, 8), &mut store).unwrap();
        charge(&k(), &rolling(60, 2), &mut store).unwrap();
        early.refund(&mut store);
        assert!(charge(&k(), &rolling(60, 8), &mut store).is_ok());
        // Two windows later nothing of it counts, so nothing comes back.
        let early = charge(&k(), &rolling(300, 8), &mut store).unwrap();
        charge(&k(), &rolling(420, 10), &mut store).unwrap();
        early.refund(&mut store);
        assert_eq!(charge(&k(), &rolling(420, 1), &mut store), Err(NotCounted::Full(10, Some(66))));
    }

    #[test]
    fn what_is_left_is_what_others_leave() {
        let (mut store, first) = (MemoryStore::default(), Request { amount: 4, ..MINUTE });
        charge(&k(), &first, &mut store).unwrap();
        charge(&k(), &first, &mut store).unwrap();
        // The second call's other limit.
        let second = Request { held: 4, ..first };
        assert_eq!(charge(&k(), &Request { amount: 7, ..second }, &mut store), Err(NotCounted::Full(4, Some(60))));
        assert_eq!(charge(&k(), &Request { amount: 11, ..second }, &mut store), Err(NotCounted::Full(4, None)));
        assert_eq!(charge(&k(), &Request { amount: 6, ..second }, &mut store).unwrap().amount, 2);
        assert_eq!(charge(&k(), &MINUTE, &mut store), Err(NotCounted::Full(10, Some(60))));
    }

    #[test]
    fn amounts_near_the_end_of_all_numbers_do_not_wrap() {
        let request = |amount, max| Request { amount, max, ..MINUTE };
        let mut store = MemoryStore::default();
        charge(&k(), &request(u64::MAX - 1, u64::MAX), &mut store).unwrap();
        assert_eq!(charge(&k(), &request(5, u64::MAX - 1), &mut store), Err(NotCounted::Full(u64::MAX - 1, Some(60))));
    }
}
