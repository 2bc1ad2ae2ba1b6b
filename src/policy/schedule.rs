//! When a policy, or one of its tools, permits calls at all: days of the week and hours at a fixed offset.
//!
//! There is no time-zone database inside the sandbox, so a schedule does not know of summer time.

use super::fields::Fields;
use super::problem::Problems;
use crate::timestamp::Timestamp;
use crate::wire::value::Value;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_A_DAY: i64 = 24 * 60;

/// A schedule, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day; `to` is excluded. When `to` is not later, it lies on the next day.
    from: i64,
    to: i64,
    utc_offset_minutes: i64,
    pub(super) on_deny: Option<String>,
}

impl Schedule {
    /// Reads the member `schedule`.
    pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let (value, at) = fields.take("schedule")?;
        let mut fields = Fields::of(value, &at, problems)?;
        let days = read_days(&mut fields, problems);
        let from = read_time(&mut fields, "from", problems).unwrap_or(0);
        let to = read_time(&mut fields, "to", problems).unwrap_or(MINUTES_A_DAY);
        if from == to {
            problems.add(&at, "from and to must differ");
        }
        let utc_offset_minutes = read_offset(&mut fields, problems);
        let on_deny = fields.string("on_deny", problems).map(str::to_owned);
        fields.finish(problems);
        Some(Self { days, from, to, utc_offset_minutes, on_deny })
    }

    /// Whether it permits calls at `now`. Hours past midnight belong to the day they began on.
    pub(super) fn permits(&self, now: Timestamp) -> bool {
        let minutes = i64::try_from(now.millis() / 60_000).unwrap_or(i64::MAX / 2) + self.utc_offset_minutes;
        let (day, minute) = (minutes.div_euclid(MINUTES_A_DAY), minutes.rem_euclid(MINUTES_A_DAY));
        // 1970-01-01 was a Thursday.
        let listed =
            |day: i64| usize::try_from((day + 3).rem_euclid(7)).ok().and_then(|day| self.days.get(day)).copied();
        let (is_within, day) = if self.from < self.to {
            ((self.from..self.to).contains(&minute), day)
        } else if minute >= self.from {
            (true, day)
        } else {
            (minute < self.to, day - 1)
        };
        is_within && listed(day).unwrap_or(false)
    }
}

fn read_days(fields: &mut Fields<'_>, problems: &mut Problems) -> [bool; 7] {
    if !fields.has_list("days") {
        // Notes what else it may be.
        fields.list("days", problems);
        return [true; 7];
    }
    let mut days = [false; 7];
    for (value, at) in fields.list("days", problems) {
        let index = DAYS.iter().position(|day| matches!(value, Value::String(text) if text == day));
        match index.and_then(|index| days.get_mut(index)) {
            Some(day) => *day = true,
            None => problems.add(&at, format!("unknown day {value}; days are {}", DAYS.join(", "))),
        }
    }
    if days == [false; 7] {
        problems.add(&fields.at().child("days"), "days must be a non-empty list");
    }
    days
}

fn read_time(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<i64> {
    let (value, at) = fields.take(name)?;
    let minutes = if let Value::String(text) = value { hours_and_minutes(text) } else { None };
    if minutes.is_none() {
        problems.add(&at, format!("{name} must be HH:MM, got {value}"));
    }
    minutes
}

fn read_offset(fields: &mut Fields<'_>, problems: &mut Problems) -> i64 {
    let Some((value, at)) = fields.take("utc_offset") else { return 0 };
    let minutes = match value {
        Value::String(text) => match text.split_at_checked(1) {
            Some(("+", time)) => hours_and_minutes(time),
            Some(("-", time)) => hours_and_minutes(time).map(|minutes| -minutes),
            _ => None,
        },
        _ => None,
    };
    minutes.unwrap_or_else(|| {
        problems.add(&at, format!("utc_offset must be +HH:MM or -HH:MM, got {value}"));
        0
    })
}

fn hours_and_minutes(text: &str) -> Option<i64> {
    let part = |text: &str, end: i64| {
        let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_two_digits && (0..end).contains(number))
    };
    let (hours, minutes) = text.split_once(':')?;
    Some(part(hours, 24)? * 60 + part(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::super::problem::Pointer;
    use super::*;

    fn schedule(text: &str) -> Result<Schedule, String> {
        let value = Value::parse(&format!("{{\"schedule\":{text}}}")).unwrap();
        let mut problems = Problems::default();
        let mut fields = Fields::of(&value, &Pointer::root(), &mut problems).unwrap();
        let schedule = Schedule::read(&mut fields, &mut problems);
        if problems.is_empty() { Ok(schedule.unwrap()) } else { Err(problems.to_string()) }
    }

    #[test]
    fn hours_and_days_are_kept() {
        const HOUR: u64 = 3_600_000;
        // Thursday, 1970-01-01.
        for (text, hour, expected) in [
            ("{}", 5, true),
            (r#"{"from":"09:00","to":"17:00"}"#, 8, false),
            (r#"{"from":"09:00","to":"17:00"}"#, 9, true),
            (r#"{"from":"09:00","to":"17:00"}"#, 17, false),
            (r#"{"from":"09:00"}"#, 23, true),
            (r#"{"to":"09:00"}"#, 9, false),
            (r#"{"days":["thu"]}"#, 23, true),
            (r#"{"days":["thu"]}"#, 24, false),
            (r#"{"days":["fri"],"utc_offset":"+02:00"}"#, 22, true),
            (r#"{"days":["wed"],"utc_offset":"-00:30"}"#, 0, true),
            (r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#, 21, false),
            (r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#, 23, true),
            (r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#, 29, true),
            (r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#, 30, false),
            (r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#, 3, false),
        ] {
            let now = Timestamp::from_millis(hour * HOUR);
            assert_eq!(schedule(text).unwrap().permits(now), expected, "{text} at hour {hour}");
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, problem) in [
            (
                r#"{"days":["monday"]}"#,
                "/schedule/days/0: unknown day \"monday\"; days are mon, tue, wed, thu, fri, sat, sun",
            ),
            (r#"{"from":"9:00"}"#, "/schedule/from: from must be HH:MM, got \"9:00\""),
            (r#"{"to":"24:00"}"#, "/schedule/to: to must be HH:MM, got \"24:00\""),
            (r#"{"utc_offset":"CET"}"#, "/schedule/utc_offset: utc_offset must be +HH:MM or -HH:MM, got \"CET\""),
            (r#"{"from":"09:00","to":"09:00"}"#, "/schedule: from and to must differ"),
            (r#"{"days":"mon"}"#, "/schedule/days: days must be a list, got \"mon\""),
            (r#"{"hours":1}"#, "/schedule: unknown field \"hours\""),
        ] {
            let found = schedule(text).expect_err(text);
            assert!(found.lines().any(|line| line == problem), "{text}: {found}");
        }
    }
}
