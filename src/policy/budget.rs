//! What a limit leaves: enough for a caller to plan with.

use super::number::MICROS;
use super::window::Window;
use crate::wire::value::Value;

/// The state of one limit for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its counter's name.
    pub counter: String,
    /// The most that its window admits, in millionths.
    pub limit: u64,
    /// What is left of that, in millionths.
    pub remaining: u64,
    /// The window, in words: `minute`, `90 seconds`.
    pub window: String,
    /// How long the window is, in seconds; `None` for a session's.
    pub window_seconds: Option<u64>,
    /// Seconds until there is room for what was asked, or until the window ends; `None` when that will not be.
    pub resets_in: Option<u64>,
}

impl Budget {
    pub(super) fn new(counter: &str, window: Window, now: u64, limit: u64, total: u64, resets_in: Option<u64>) -> Self {
        let (start, end) = window.around(now);
        Self {
            counter: counter.to_owned(),
            limit,
            remaining: limit.saturating_sub(total),
            window: window.to_string(),
            window_seconds: (window != Window::Session).then(|| end.saturating_sub(start)),
            resets_in,
        }
    }
}

impl Budget {
    /// As the members of a JSON object, without its braces.
    #[must_use]
    pub fn members(&self) -> String {
        let Self { counter, limit, remaining, window, window_seconds, resets_in } = self;
        let text = |text: &str| Value::String(text.to_owned()).compact();
        let number = |number: &Option<u64>| number.map_or("null".to_owned(), |number| number.to_string());
        format!(
            r#""counter":{},"limit":{},"remaining":{},"window":{},"window_seconds":{},"reset_seconds":{}"#,
            text(counter),
            amount(*limit),
            amount(*remaining),
            text(window),
            number(window_seconds),
            number(resets_in),
        )
    }
}

/// An amount in millionths as JSON writes it, without needless digits.
#[must_use]
pub fn amount(millionths: u64) -> String {
    let (whole, rest) = (millionths / MICROS, millionths % MICROS);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:06}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_short_as_they_are() {
        for (millionths, text) in
            [(0, "0"), (1_000_000, "1"), (2_500_000, "2.5"), (1, "0.000001"), (u64::MAX, "18446744073709.551615")]
        {
            assert_eq!(amount(millionths), text);
        }
    }
}
