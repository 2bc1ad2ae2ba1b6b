//! Numbers compared by their exact decimal value: JSON's digits. What a float makes of them is asked for besides,
//! because servers in JavaScript, and others for fractions, read no more than that.

use std::cmp::Ordering;

/// A JSON number, taken apart. Equal values compare equal however they are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    is_negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads the whole of `text`; `None` when it is no JSON number.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_integer = !integer.is_empty() && (integer == "0" || !integer.starts_with('0'));
        (is_integer && are_digits(integer) && are_digits(fraction)).then_some(Self {
            is_negative,
            integer,
            fraction,
            exponent,
        })
    }

    /// Significant digits, without zeros before the first.
    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.integer.bytes().chain(self.fraction.bytes()).skip_while(|digit| *digit == b'0')
    }

    fn is_zero(&self) -> bool {
        self.digits().next().is_none()
    }

    /// The nearest 64-bit float.
    fn float(&self) -> f64 {
        /// More digits than can tell two floats apart; of the rest it counts only whether there is any.
        const KEPT: usize = 800;
        if self.is_zero() {
            return 0.0;
        }
        let mut text = String::from(if self.is_negative { "-0." } else { "0." });
        text.extend(self.digits().take(KEPT).map(char::from));
        if self.digits().skip(KEPT).any(|digit| digit != b'0') {
            text.push('1');
        }
        // Beyond these powers lie zero and infinity.
        let text = format!("{text}e{}", self.magnitude().clamp(-400, 400));
        text.parse().unwrap_or(f64::NAN)
    }

    /// The power of ten of the first significant digit, plus one.
    fn magnitude(&self) -> i64 {
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let all = length(self.integer).saturating_add(length(self.fraction));
        let significant = i64::try_from(self.digits().count()).unwrap_or(i64::MAX);
        let leading_zeros = all.saturating_sub(significant);
        length(self.integer).saturating_sub(leading_zeros).saturating_add(self.exponent)
    }
}

/// Millionths, in which amounts and counts are kept.
pub(super) const MICROS: u64 = 1_000_000;

impl Decimal<'_> {
    /// The value in millionths, rounded up or down; `None` when it is negative, `u64::MAX` when it is larger.
    pub(super) fn micros(&self, round_up: bool) -> Option<u64> {
        if self.is_zero() {
            return Some(0);
        }
        if self.is_negative {
            return None;
        }
        // The value is 0.d1d2d3… times ten to the magnitude; so many of its digits are whole millionths.
        let whole = self.magnitude().saturating_add(6);
        let Ok(whole) = usize::try_from(whole) else { return Some(u64::from(round_up)) };
        if whole > 20 {
            return Some(u64::MAX);
        }
        let digits = self.digits().chain(std::iter::repeat(b'0')).take(whole);
        let total = digits.fold(0_u128, |total, digit| total * 10 + u128::from(digit - b'0'));
        let has_more = self.digits().skip(whole).any(|digit| digit != b'0');
        Some(u64::try_from(total + u128::from(round_up && has_more)).unwrap_or(u64::MAX))
    }
}

/// How `a` compares with a policy's `bound` where it is rounded to a 64-bit float (IEEE 754), as most JSON parsers read
/// it; `None` when one is no JSON number. A bound that no float holds is for servers that keep every digit.
pub(super) fn rounded(a: &str, bound: &str) -> Option<Ordering> {
    let (number, other) = (Decimal::parse(a)?, Decimal::parse(bound)?);
    let is_short = |number: &Decimal<'_>| number.digits().count() <= FLOAT_DIGITS;
    // Two numbers of so few digits stay as far apart as they are.
    let are_plain = a.len().max(bound.len()) <= FLOAT_DIGITS && number.exponent == 0 && other.exponent == 0;
    let is_kept = is_short(&other) || bound.parse().is_ok_and(|integer: i64| integer.unsigned_abs() <= FLOAT_INTEGER);
    let float = other.float();
    if are_plain || !is_kept || float.is_infinite() {
        return Some(number.cmp(&other));
    }
    let read = number.float();
    if are_near(read, float) { Some(Ordering::Equal) } else { read.partial_cmp(&float) }
}

/// Whether a parser that rounds more than once may read one for the other; `serde_json` does, unless told not to.
/// Whether two JSON numbers are one value.
pub(crate) fn same_number(a: &str, b: &str) -> bool {
    Decimal::parse(a).zip(Decimal::parse(b)).is_some_and(|(a, b)| a == b)
}

fn are_near(a: f64, b: f64) -> bool {
    /// Floats between the nearest and what such a parser finds, with room to spare; numbers of at most
    /// [`FLOAT_DIGITS`] digits are further apart.
    const STEPS: u64 = 4;
    a == b || a.is_sign_negative() == b.is_sign_negative() && a.to_bits().abs_diff(b.to_bits()) <= STEPS
}

/// Decimal digits that every 64-bit float keeps.
const FLOAT_DIGITS: usize = 15;
/// Up to here a float keeps every integer.
const FLOAT_INTEGER: u64 = 1 << 53;

/// Saturates: no text is long enough to tell two numbers apart by a larger one.
fn read_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A quarter of the range leaves room to add the length of any text.
    is_number.then(|| sign * digits.parse().unwrap_or(i64::MAX).min(i64::MAX / 4))
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign != Ordering::Equal || self.is_zero() {
            return by_sign;
        }
        let by_size = self.magnitude().cmp(&other.magnitude()).then_with(|| {
            // Zeros behind the last digit count for nothing, so the shorter is filled up with them.
            let length = self.digits().count().max(other.digits().count());
            let filled = |number: &Self| number.digits().chain(std::iter::repeat(b'0')).take(length);
            filled(self).cmp(filled(other))
        });
        if self.is_negative { by_size.reverse() } else { by_size }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_exactly() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-2.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.09",
            "0.1",
            "0.10000000000000000001",
            "1",
            "2.5",
            "9.99",
            "10",
            "10.01",
            "9007199254740992",
            "9007199254740993",
            "1e20",
            "1e400",
            "1e99999999999999999999999",
        ];
        for (index, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                let (left, right) = (Decimal::parse(a).unwrap(), Decimal::parse(b).unwrap());
                assert_eq!(left.cmp(&right), index.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn spellings_of_one_value_are_equal() {
        for group in
            [["0", "-0", "0.000", "0e7"], ["100", "1e2", "100.00", "0.1E+3"], ["0.001", "1e-3", "0.0010", "10E-4"]]
        {
            for a in group {
                for b in group {
                    assert_eq!(Decimal::parse(a), Decimal::parse(b), "{a} and {b}");
                }
            }
        }
    }

    #[test]
    fn floats_lose_what_is_beyond_their_digits() {
        for (a, bound, exact, by_floats) in [
            ("1", "2", Ordering::Less, Ordering::Less),
            ("1e-1", "0.1", Ordering::Equal, Ordering::Equal),
            ("99999.999999999", "100000", Ordering::Less, Ordering::Less),
            ("99.99999999999999999999", "100", Ordering::Less, Ordering::Equal),
            ("100.00000000000000000001", "1e2", Ordering::Greater, Ordering::Equal),
            ("9007199254740993", "9007199254740992", Ordering::Greater, Ordering::Equal),
            ("-9007199254740993", "-9007199254740992", Ordering::Less, Ordering::Equal),
            ("99.99999999999999", "100", Ordering::Less, Ordering::Equal),
            ("99.9999999999999", "100", Ordering::Less, Ordering::Less),
            ("0.30000000000000004", "0.3", Ordering::Greater, Ordering::Equal),
            ("1e400", "1e300", Ordering::Greater, Ordering::Greater),
            ("-1e-400", "0", Ordering::Less, Ordering::Equal),
            // No float is 2^53 + 1.
            ("9007199254740992", "9007199254740993", Ordering::Less, Ordering::Less),
            ("9007199254740993", "9007199254740993", Ordering::Equal, Ordering::Equal),
            ("1e401", "1e400", Ordering::Greater, Ordering::Greater),
        ] {
            assert_eq!(Decimal::parse(a).unwrap().cmp(&Decimal::parse(bound).unwrap()), exact, "{a} and {bound}");
            assert_eq!(rounded(a, bound), Some(by_floats), "{a} and {bound}");
        }
        assert_eq!(rounded("NaN", "1"), None);
        assert_eq!(rounded("1", "inf"), None);
    }

    #[test]
    fn amounts_are_exact_to_millionths() {
        for (text, down, up) in [
            ("0", 0, 0),
            ("1", 1_000_000, 1_000_000),
            ("0.99", 990_000, 990_000),
            ("2.5", 2_500_000, 2_500_000),
            ("0.1234567", 123_456, 123_457),
            ("0.0000001", 0, 1),
            ("1e-400", 0, 1),
            ("0.00000100", 1, 1),
            ("12e2", 1_200_000_000, 1_200_000_000),
            ("1e400", u64::MAX, u64::MAX),
            ("18446744073709.551615", u64::MAX, u64::MAX),
            ("99999999999999", u64::MAX, u64::MAX),
        ] {
            let number = Decimal::parse(text).unwrap();
            assert_eq!((number.micros(false), number.micros(true)), (Some(down), Some(up)), "{text}");
        }
        assert_eq!(Decimal::parse("-0.0").unwrap().micros(true), Some(0));
        assert_eq!(Decimal::parse("-1").unwrap().micros(true), None);
    }

    #[test]
    fn what_is_no_json_number_is_none() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 ", "١", "--1", "1e1.5"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }
}
