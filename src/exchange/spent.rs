//! What limits leave. A call that one refuses is told how much is left of what, and when there is room again, in words for
//! a model, in `_meta` or `data` for a program, and in the headers for an HTTP client (`Retry-After`, RFC 9110; `RateLimit`
//! and `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers).

use super::Reply;
use crate::config::{LimitReply, Settings};
use crate::policy::{Budget, amount};
use crate::wire::jsonrpc::{LIMIT_REACHED, POLICY_DENIED};
use crate::wire::reply::{self, string};
use std::borrow::Cow;

/// The member of `_meta` and `data` that tells which rule refused.
pub(super) const RULE: &str = "mcp-policy/rule";

/// The member of `_meta` and `data` that tells what is left.
pub(super) const BUDGET: &str = "mcp-policy/budget";

/// What the limits of a call leave that goes on, for the `_meta` of its result: the text of a JSON object, about the one of
/// which the smallest share is left, with the others in it; `None` when nothing is known of any.
pub(super) fn report(budgets: &[Budget]) -> Option<String> {
    let share = |budget: &Budget| (u128::from(budget.remaining) << 64) / u128::from(budget.limit.max(1));
    let (place, tightest) = budgets.iter().enumerate().min_by_key(|(_, budget)| share(budget))?;
    let others = budgets.iter().enumerate().filter(|(other, _)| *other != place);
    let others: Vec<String> = others.map(|(_, budget)| object(budget, "")).collect();
    let more = if others.is_empty() { String::new() } else { format!(",\"others\":[{}]", others.join(",")) };
    Some(object(tightest, &more))
}

/// `id`: the raw token.
pub(super) fn reply(
    id: &str,
    is_call: bool,
    (rule, message): (&str, &str),
    budget: &Budget,
    settings: &Settings,
) -> Reply {
    let text = format!("{}{message} ({})", settings.deny_prefix, words(budget));
    let data = format!("{{\"{BUDGET}\":{},\"{RULE}\":{}}}", object(budget, ""), string(rule));
    let (status, body) = match settings.limit_reply {
        // Only the result of a call can say that it failed, in words that reach the model.
        LimitReply::ToolError if is_call => (200, reply::refused_call_with(id, &text, &data)),
        LimitReply::ToolError => (200, reply::error_with(id, POLICY_DENIED, &text, &data)),
        LimitReply::JsonRpcError => (200, reply::error_with(id, LIMIT_REACHED, &text, &data)),
        LimitReply::Http429 => (429, reply::error_with(id, LIMIT_REACHED, &text, &data)),
    };
    Reply { status, headers: headers(budget), body, details: "mcp_limited" }
}

fn words(budget: &Budget) -> String {
    let (remaining, limit, window) = (amount(budget.remaining), amount(budget.limit), &budget.window);
    let this = if window.starts_with(|first: char| first.is_ascii_digit()) { "these" } else { "this" };
    match budget.resets_in {
        Some(seconds) => {
            let plural = if seconds == 1 { "" } else { "s" };
            format!("{remaining} of {limit} left in {this} {window}, room again in {seconds} second{plural}")
        }
        None => format!("{remaining} of {limit} left in {this} {window}, and no more to come"),
    }
}

/// `more`: the text of further members.
fn object(budget: &Budget, more: &str) -> String {
    format!("{{{}{more}}}", budget.members())
}

fn headers(budget: &Budget) -> Vec<(&'static str, Cow<'static, str>)> {
    // A structured field's string (RFC 9651); what it cannot hold stands in `_meta`.
    let is_string = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
    let is_short = budget.counter.len() <= 64 && budget.counter.bytes().all(is_string);
    let name = if is_short { &budget.counter } else { "limit" };
    // Its numbers are integers.
    let whole = |millionths: u64| millionths / 1_000_000;
    let window = budget.window_seconds.map_or(String::new(), |seconds| format!(";w={seconds}"));
    let reset = budget.resets_in.map_or(String::new(), |seconds| format!(";t={seconds}"));
    let mut headers = vec![
        ("ratelimit-policy", Cow::Owned(format!("\"{name}\";q={}{window}", whole(budget.limit)))),
        ("ratelimit", Cow::Owned(format!("\"{name}\";r={}{reset}", whole(budget.remaining)))),
    ];
    headers.extend(budget.resets_in.map(|seconds| ("retry-after", Cow::Owned(seconds.to_string()))));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(resets_in: Option<u64>) -> Budget {
        Budget {
            counter: "a \"b\"".into(),
            limit: 2_500_000,
            remaining: 500_000,
            window: "minute".into(),
            window_seconds: Some(60),
            resets_in,
        }
    }

    #[test]
    fn a_caller_reads_what_is_left_and_when_there_is_more() {
        assert_eq!(words(&budget(Some(1))), "0.5 of 2.5 left in this minute, room again in 1 second");
        assert_eq!(words(&budget(None)), "0.5 of 2.5 left in this minute, and no more to come");
        assert_eq!(
            object(&budget(Some(7)), ""),
            r#"{"counter":"a \"b\"","limit":2.5,"remaining":0.5,"window":"minute","window_seconds":60,"reset_seconds":7}"#
        );
        let lines = headers(&budget(Some(7)));
        let line = |name: &str| lines.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref());
        assert_eq!(line("ratelimit-policy"), Some(r#""limit";q=2;w=60"#));
        assert_eq!(line("ratelimit"), Some(r#""limit";r=0;t=7"#));
        assert_eq!(line("retry-after"), Some("7"));
        assert!(headers(&budget(None)).iter().all(|(name, _)| *name != "retry-after"));
    }
}
