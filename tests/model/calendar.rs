//! Where windows begin and end, by counting days and years one after the other: nothing of the engine is used.

use serde_json::{Value, json};

/// How long a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Session,
    Seconds(i128),
}

const DAY: i128 = 86_400;
/// 2001-01-01, a Monday.
const A_MONDAY: i128 = 978_307_200;

impl Span {
    /// The second at which the window that holds `at` begins, and the first one after it; a session has no end.
    pub fn around(self, at: i128) -> (i128, Option<i128>) {
        let every = |length: i128, since: i128| {
            let start = since + (at - since).div_euclid(length) * length;
            (start, Some(start + length))
        };
        match self {
            Self::Minute => every(60, 0),
            Self::Hour => every(3600, 0),
            Self::Day => every(DAY, 0),
            Self::Seconds(seconds) => every(seconds, 0),
            Self::Week => every(7 * DAY, A_MONDAY),
            Self::Month => month_around(at),
            Self::Session => (0, None),
        }
    }

    /// As a policy writes it.
    pub fn written(self) -> Value {
        match self {
            Self::Seconds(seconds) => json!(i64::try_from(seconds).unwrap()),
            other => other.words().into(),
        }
    }

    /// As a caller is told.
    pub fn words(self) -> String {
        match self {
            Self::Minute => "minute".into(),
            Self::Hour => "hour".into(),
            Self::Day => "day".into(),
            Self::Week => "week".into(),
            Self::Month => "month".into(),
            Self::Session => "session".into(),
            Self::Seconds(1) => "second".into(),
            Self::Seconds(seconds) => format!("{seconds} seconds"),
        }
    }
}

fn month_around(at: i128) -> (i128, Option<i128>) {
    let (mut start, mut year) = (0, 1970);
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        year += 1;
        let end = start + if is_leap { 366 } else { 365 } * DAY;
        if at >= end {
            start = end;
            continue;
        }
        for days in [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            let end = start + days * DAY;
            if at < end {
                return (start, Some(end));
            }
            start = end;
        }
    }
}

/// What `date -u` says of the same dates.
#[test]
fn the_reference_knows_the_calendar() {
    for (span, at, start, end) in [
        // 2026-11-21 06:42:22, a Saturday.
        (Span::Minute, 1_795_243_342, 1_795_243_320, 1_795_243_380),
        (Span::Hour, 1_795_243_342, 1_795_240_800, 1_795_244_400),
        (Span::Day, 1_795_243_342, 1_795_219_200, 1_795_305_600),
        // From Monday the 16th to Sunday the 22nd.
        (Span::Week, 1_795_243_342, 1_794_787_200, 1_795_392_000),
        (Span::Week, 1_795_391_999, 1_794_787_200, 1_795_392_000),
        (Span::Week, 1_794_787_200, 1_794_787_200, 1_795_392_000),
        (Span::Month, 1_795_243_342, 1_793_491_200, 1_796_083_200),
        (Span::Month, 1_798_761_599, 1_796_083_200, 1_798_761_600),
        // 2024-02-29 and 2100-02-28 are the last days of their months.
        (Span::Month, 1_709_251_199, 1_706_745_600, 1_709_251_200),
        (Span::Month, 4_107_542_399, 4_105_123_200, 4_107_542_400),
        (Span::Seconds(7200), 1_795_243_342, 1_795_240_800, 1_795_248_000),
    ] {
        assert_eq!(span.around(at), (start, Some(end)), "{span:?} {at}");
    }
    assert_eq!(Span::Session.around(1_795_243_342), (0, None));
}
