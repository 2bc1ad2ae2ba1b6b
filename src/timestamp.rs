//! A point in time, handed in by whoever has a clock.

use std::fmt;

/// Milliseconds since the Unix epoch, UTC. Displayed as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Reads RFC 3339's `date-time`: `2026-11-21T09:30:00Z`, with a fraction (cut to milliseconds) and an
    /// offset in place of `Z` if wanted. `None` for anything else, and for what the type cannot say: times
    /// before the epoch, leap seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let (year, month, day) = (number(&mut rest, 4)?, date_part(&mut rest, "-")?, date_part(&mut rest, "-")?);
        let (hour, minute) = (date_part(&mut rest, "T")?, date_part(&mut rest, ":")?);
        let second = date_part(&mut rest, ":")?;
        let millis = match rest.strip_prefix('.') {
            None => 0,
            Some(fraction) => {
                let end = fraction.find(|character: char| !character.is_ascii_digit())?;
                let (digits, zone) = fraction.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
                rest = zone;
                let thousandths: String = digits.chars().chain("000".chars()).take(3).collect();
                thousandths.parse().ok()?
            }
        };
        let offset_minutes = read_offset(rest)?;
        let is_time = hour < 24 && minute < 60 && second < 60;
        // A day that its month does not have would come back as another date.
        if !is_time || year < 1970 || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let days = days(year, month, day);
        if civil(days) != (year, month, day) {
            return None;
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
        Some(Self(seconds.checked_add_signed(-offset_minutes * 60)? * 1000 + millis))
    }
}

/// So many digits.
fn number(rest: &mut &str, digits: usize) -> Option<u64> {
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after;
    if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
}

/// Two digits after a separator.
fn date_part(rest: &mut &str, separator: &str) -> Option<u64> {
    *rest = rest.strip_prefix(separator)?;
    number(rest, 2)
}

/// `Z`, or minutes east of UTC as `+02:00`.
fn read_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = (number(&mut rest, 2)?, date_part(&mut rest, ":")?);
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * i64::try_from(hours * 60 + minutes).ok()?)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        if year > 9999 {
            return write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
        }
        // Each decision has one of these, so it is put together without the machinery of formatting.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, number) in [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, hour),
            (14..16, minute),
            (17..19, second),
            (20..23, millis),
        ] {
            let mut rest = number;
            for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
                // Less than ten.
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Days since 1970-01-01 → year, month, day (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`), for days from the epoch on.
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Year, month, day → days since 1970-01-01 (the same source, `days_from_civil`), for dates from the epoch on.
pub(crate) fn days(year: u64, month: u64, day: u64) -> u64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        for day in 0..100_000 {
            let (year, month, day_of_month) = civil(day);
            assert_eq!(days(year, month, day_of_month), day);
        }
    }

    #[test]
    fn reads_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp::from_millis(millis)));
        }
    }

    #[test]
    fn a_time_is_rfc_3339_or_none() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("1969-12-31T23:00:00-01:00", None),
            ("1970-01-01T00:00:00-00:00", Some(0)),
            ("1970-01-01T00:00:01.5Z", Some(1500)),
            ("1970-01-01T00:00:01.123999999Z", Some(1123)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("2023-02-29T00:00:00Z", None),
            ("2023-04-31T00:00:00Z", None),
            ("2023-00-10T00:00:00Z", None),
            ("2023-01-00T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2016-12-31T23:59:60Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01 00:00:00Z", None),
            ("2023-01-01t00:00:00z", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:00.1", None),
            ("2023-01-01T00:00:00+2:00", None),
            ("2023-01-01T00:00:00+24:00", None),
            ("2023-01-01T00:00:00Z ", None),
            ("2023-01-01", None),
            ("+023-01-01T00:00:00Z", None),
            ("٢٠٢٣-01-01T00:00:00Z", None),
            ("1970-01-01T00:30:00+01:00", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse(text), millis.map(Timestamp::from_millis), "{text}");
        }
    }
}
