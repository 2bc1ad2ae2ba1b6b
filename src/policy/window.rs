//! The windows that limits count in: where one begins, and how long it is.

use std::fmt;

const DAY: u64 = 86_400;

/// A window. All begin at fixed points in UTC, so that every worker agrees without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    Minute,
    Hour,
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
    /// As long as the session; it never begins anew.
    Session,
    /// A multiple of so many seconds since the epoch.
    Seconds(u64),
}

impl Window {
    /// By its name in a document.
    pub(super) fn named(name: &str) -> Option<Self> {
        let windows = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Session];
        windows.into_iter().find(|window| window.to_string() == name)
    }

    /// The second since the epoch at which the window that holds `now` begins, and the one after its last.
    pub(super) fn around(self, now: u64) -> (u64, u64) {
        let aligned = |length: u64| (now - now % length, (now - now % length).saturating_add(length));
        match self {
            Self::Minute => aligned(60),
            Self::Hour => aligned(3600),
            Self::Day => aligned(DAY),
            Self::Seconds(seconds) => aligned(seconds.max(1)),
            Self::Session => (0, u64::MAX),
            Self::Week => {
                // 1970-01-01 was a Thursday; the week it is in began three days before time did.
                let start = (now / DAY + 3) / 7 * 7;
                (start.saturating_sub(3) * DAY, (start + 4) * DAY)
            }
            Self::Month => {
                let (year, month, _) = crate::timestamp::civil(now / DAY);
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (crate::timestamp::days(year, month, 1) * DAY, crate::timestamp::days(next_year, next_month, 1) * DAY)
            }
        }
    }

    /// Where the window begins that ends where one begins at `start`.
    pub(super) fn before(self, start: u64) -> Option<u64> {
        Some(self.around(start.checked_sub(1)?).0)
    }

    /// Whether all windows of this kind are equally long, so that one can roll over the next.
    pub(super) fn can_roll(self) -> bool {
        !matches!(self, Self::Month | Self::Session)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minute => f.write_str("minute"),
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Session => f.write_str("session"),
            Self::Seconds(1) => f.write_str("second"),
            Self::Seconds(seconds) => write!(f, "{seconds} seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn windows_begin_where_the_calendar_says() {
        let text = |second: u64| {
            Timestamp::from_millis(second * 1000).to_string().replace(":00.000Z", "").replace("T00:00", "")
        };
        // 2026-11-21 06:42:22, a Saturday.
        let now = 1_795_243_342;
        for (window, start, end) in [
            (Window::Minute, "2026-11-21T06:42", "2026-11-21T06:43"),
            (Window::Hour, "2026-11-21T06:00", "2026-11-21T07:00"),
            (Window::Day, "2026-11-21", "2026-11-22"),
            (Window::Week, "2026-11-16", "2026-11-23"),
            (Window::Month, "2026-11-01", "2026-12-01"),
            (Window::Seconds(7200), "2026-11-21T06:00", "2026-11-21T08:00"),
        ] {
            let (from, to) = window.around(now);
            assert_eq!((text(from).as_str(), text(to).as_str()), (start, end), "{window}");
            assert_eq!(window.around(from), (from, to), "{window} holds its first second");
            assert_eq!(window.around(to - 1), (from, to), "{window} holds its last second");
            assert_eq!(window.around(to).0, to, "{window} is followed by the next");
        }
        assert_eq!(text(Window::Month.around(1_798_761_599).1), "2027-01-01");
        assert_eq!(Window::Week.around(0), (0, 4 * DAY));
        assert_eq!(Window::Session.around(now), (0, u64::MAX));
        // No clock is too far for it.
        for window in [Window::Week, Window::Month, Window::Hour] {
            let (from, to) = window.around(u64::MAX / 1000);
            assert!(from <= to);
        }
    }
}
