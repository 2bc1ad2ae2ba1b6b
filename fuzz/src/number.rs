//! Two texts, one on each line: numbers compare by their exact value, as strings of digits do; where a float makes two
//! near ones the same, a rule may refuse both.

use mcp_policy::policy::{MemoryStore, NoFacts, Policy, Principal, Query, Target};
use mcp_policy::timestamp::Timestamp;
use mcp_policy::wire::json::Reader;
use mcp_policy::wire::mcp::Feature;
use std::cmp::Ordering;

/// Exponents past this are not tried: the judge writes all digits out.
const MAX_EXPONENT: i32 = 400;

/// Two lines.
pub fn check(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut lines = text.lines();
    let (Some(bound), Some(value)) = (lines.next(), lines.next()) else { return };
    let is_number = |text: &str| {
        let value = serde_json::from_str::<&serde_json::value::RawValue>(text);
        value.is_ok_and(|value| {
            value.get() == text && text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        })
    };
    let refuses = |op: &str| {
        let policy = format!(
            r#"{{"version":"1","default":"allow","tools":{{"a":{{"deny_if":[{{"path":"args.x","op":"{op}","value":{bound}}}]}}}}}}"#
        );
        Policy::load("number", &policy).ok().map(|policy| !goes_on(&policy, value))
    };
    if !is_number(bound) || !is_number(value) {
        return;
    }
    let (Some(wanted), Some(found)) = (exact(bound), exact(value)) else { return };
    let ordering = compare(&found, &wanted);
    let (float, other): (f64, f64) = (value.parse().unwrap(), bound.parse().unwrap());
    let steps = float.to_bits().abs_diff(other.to_bits());
    let may_be_one = float == other || float.is_sign_negative() == other.is_sign_negative() && steps <= 4;
    for (op, expected) in [
        ("lt", ordering == Ordering::Less),
        ("lte", ordering != Ordering::Greater),
        ("gt", ordering == Ordering::Greater),
        ("gte", ordering != Ordering::Less),
        ("eq", ordering == Ordering::Equal),
        ("neq", ordering != Ordering::Equal),
    ] {
        let refused = refuses(op).unwrap_or_else(|| panic!("{bound} is no operand"));
        assert!(refused == expected || refused && may_be_one, "{value} {op} {bound}: {refused}");
    }
}

fn goes_on(policy: &Policy, value: &str) -> bool {
    let arguments = format!("{{\"x\":{value}}}");
    let principal = Principal { grant: Principal::ANONYMOUS.to_owned(), session: None };
    let query = Query {
        principal: &principal,
        method: "tools/call",
        target: Some(Target { feature: Feature::Tool, name: "a" }),
        arguments: Reader::new(&arguments).value().ok(),
        continues: false,
        meta: None,
        now: Timestamp::from_millis(0),
        facts: &NoFacts,
        defers_limits: false,
        tells_budgets: false,
        approved: None,
    };
    policy.decide(&query, &mut MemoryStore::default()).outcome.goes_on()
}

/// The sign, and all digits with [`MAX_EXPONENT`] and more places behind the point.
struct Exact {
    is_negative: bool,
    digits: String,
}

fn exact(text: &str) -> Option<Exact> {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= MAX_EXPONENT)?;
    let is_negative = mantissa.starts_with('-');
    let (integer, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    if integer.len() + fraction.len() > 400 {
        return None;
    }
    // The point moves right by 1,000 and by the exponent, and then nothing stands behind it.
    let places = usize::try_from(1000 + exponent).ok()?.checked_sub(fraction.len())?;
    let digits = format!("{integer}{fraction}{}", "0".repeat(places));
    let digits = digits.trim_start_matches('0').to_owned();
    Some(Exact { is_negative: is_negative && !digits.is_empty(), digits })
}

fn compare(one: &Exact, other: &Exact) -> Ordering {
    let by_size = |one: &Exact, other: &Exact| {
        one.digits.len().cmp(&other.digits.len()).then_with(|| one.digits.cmp(&other.digits))
    };
    match (one.is_negative, other.is_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => by_size(one, other),
        (true, true) => by_size(other, one),
    }
}
