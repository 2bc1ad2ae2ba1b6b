//! Limits as written: `limits`, and the shorter `rate_limit`.

use super::super::fields::Fields;
use super::super::number::Decimal;
use super::super::path::{BadPath, Path, Step};
use super::super::problem::{Pointer, Problems};
use super::super::window::Window;
use super::read_shadow;
use crate::wire::value::Value;

const MAX_WINDOW_SECONDS: u64 = 2_678_400;

/// A quota: in a window, amounts up to `max` in all.
#[derive(Debug)]
pub(in super::super) struct Limit {
    pub(in super::super) counter: String,
    /// Names the rule instead of the counter.
    pub(in super::super) id: Option<String>,
    pub(in super::super) window: Window,
    /// The number's own digits, for messages.
    pub(in super::super) max_text: String,
    /// In millionths.
    pub(in super::super) max: u64,
    /// The same two for calls that continue one, where those have a count of their own.
    pub(in super::super) continuations: Option<(String, u64)>,
    /// Sorted; empty for one count of everybody.
    pub(in super::super) scope: Vec<Scope>,
    pub(in super::super) amount: Amount,
    pub(in super::super) is_rolling: bool,
    pub(in super::super) is_shadow: bool,
    pub(in super::super) on_deny: Option<String>,
    /// The list it stands in.
    pub(in super::super) list: Pointer,
    /// Its own place.
    pub(in super::super) at: Pointer,
}

/// What a call adds to a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Amount {
    /// In millionths.
    Fixed(u64),
    /// The number that an argument says.
    Argument {
        steps: Vec<Step>,
        /// As written.
        path: String,
        /// Without the argument the limit does not apply.
        skip_missing: bool,
    },
}

/// Whose count a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Scope {
    Grant,
    Session,
    Tool,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Grant, Self::Session, Self::Tool];

    pub(in super::super) fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Session => "session",
            Self::Tool => "tool",
        }
    }
}

/// Reads `limits`.
pub(super) fn read_limits(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Limit> {
    let list = fields.at().child("limits");
    let mut limits: Vec<Limit> = Vec::new();
    for (value, at) in fields.list("limits", problems) {
        let Some(limit) = Limit::read(value, &at, list.clone(), problems) else { continue };
        push_distinct(&mut limits, limit, &at, problems);
    }
    limits
}

/// Adds a limit to the others of its list, of which none may be on the same count.
fn push_distinct(limits: &mut Vec<Limit>, limit: Limit, at: &Pointer, problems: &mut Problems) {
    let same = |earlier: &Limit| {
        earlier.counter == limit.counter && earlier.window == limit.window && earlier.scope == limit.scope
    };
    if let Some(earlier) = limits.iter().position(same) {
        let counter = Value::String(limit.counter.clone());
        problems.add(at, format!("duplicate counter {counter} (also used by {earlier})"));
    }
    limits.push(limit);
}

/// Reads `rate_limit`: `"N/window"`, `{max, window, scope?, on_deny?}`, or a list of them. Counted per
/// session under `<entry>:rate:<window>`.
pub(super) fn read_rate_limits(fields: &mut Fields<'_>, entry: &str, problems: &mut Problems) -> Vec<Limit> {
    let list = fields.at().child("rate_limit");
    let Some((value, at)) = fields.take("rate_limit") else { return Vec::new() };
    let one = |value: &Value, at: &Pointer, problems: &mut Problems| match value {
        Value::String(text) => read_shorthand(text, at, entry, list.clone(), problems),
        Value::Object(_) => read_rate_limit(value, at, entry, list.clone(), problems),
        other => {
            problems.add(at, format!("rate_limit must be \"N/window\", got {other}"));
            None
        }
    };
    match value {
        Value::Array(values) => {
            let mut limits = Vec::new();
            for (value, at) in values.iter().enumerate().map(|(index, value)| (value, at.child(index))) {
                let Some(limit) = one(value, &at, problems) else { continue };
                push_distinct(&mut limits, limit, &at, problems);
            }
            limits
        }
        value => one(value, &at, problems).into_iter().collect(),
    }
}

fn read_shorthand(text: &str, at: &Pointer, entry: &str, list: Pointer, problems: &mut Problems) -> Option<Limit> {
    let quoted = |text: &str| Value::String(text.to_owned());
    let Some((count, window_name)) = text.split_once('/') else {
        problems.add(at, format!("rate_limit must be \"N/window\", got {}", quoted(text)));
        return None;
    };
    let is_count = count.bytes().all(|byte| byte.is_ascii_digit()) && !count.starts_with('0');
    let max = Decimal::parse(count).filter(|_| is_count).and_then(|count| count.micros(false));
    if max.is_none() {
        problems.add(at, format!("rate_limit count must be a positive integer, got {}", quoted(count)));
    }
    let window = Window::named(window_name).filter(|window| *window != Window::Session);
    if window.is_none() {
        let allowed = "minute, hour, day, week or month";
        problems.add(at, format!("rate_limit window must be {allowed}, got {}", quoted(window_name)));
    }
    Some(Limit::of_rate(entry, window?, (count.to_owned(), max?), vec![Scope::Session], None, (list, at.clone())))
}

fn read_rate_limit(value: &Value, at: &Pointer, entry: &str, list: Pointer, problems: &mut Problems) -> Option<Limit> {
    let mut fields = Fields::of(value, at, problems)?;
    let max = read_max(&mut fields, problems);
    let window = read_window(&mut fields, problems);
    let scope = read_scope(&mut fields, &[Scope::Session], problems);
    check_session(window, &scope, at, problems);
    let on_deny = fields.string("on_deny", problems).map(str::to_owned);
    fields.finish(problems);
    Some(Limit::of_rate(entry, window?, max?, scope, on_deny, (list, at.clone())))
}

impl Limit {
    fn of_rate(
        entry: &str,
        window: Window,
        (max_text, max): (String, u64),
        scope: Vec<Scope>,
        on_deny: Option<String>,
        (list, at): (Pointer, Pointer),
    ) -> Self {
        let window_name = if let Window::Seconds(seconds) = window { seconds.to_string() } else { window.to_string() };
        Self {
            counter: format!("{entry}:rate:{window_name}"),
            id: None,
            window,
            max_text,
            max,
            continuations: None,
            scope,
            amount: Amount::Fixed(super::super::number::MICROS),
            is_rolling: false,
            is_shadow: false,
            on_deny,
            list,
            at,
        }
    }

    fn read(value: &Value, at: &Pointer, list: Pointer, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(value, at, problems)?;
        fields.require("counter", problems);
        let counter = fields.string("counter", problems);
        if counter == Some("") {
            problems.add(&at.child("counter"), "counter must not be empty");
        }
        let id = fields.string("id", problems).map(str::to_owned);
        if id.as_deref() == Some("") {
            problems.add(&at.child("id"), "id must not be empty");
        }
        let window = read_window(&mut fields, problems);
        let max = read_max(&mut fields, problems);
        let continuations = read_count(&mut fields, "continuations", problems);
        let scope = read_scope(&mut fields, &[Scope::Grant], problems);
        check_session(window, &scope, at, problems);
        let amount = read_amount(&mut fields, problems);
        let is_rolling = read_align(&mut fields, window, problems);
        let is_shadow = read_shadow(&mut fields, problems);
        let on_deny = fields.string("on_deny", problems).map(str::to_owned);
        fields.finish(problems);
        let (max_text, max) = max?;
        let (counter, window, amount) = (counter?.to_owned(), window?, amount?);
        Some(Self {
            counter,
            id,
            window,
            max_text,
            max,
            continuations,
            scope,
            amount,
            is_rolling,
            is_shadow,
            on_deny,
            list,
            at: at.clone(),
        })
    }
}

fn read_window(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Window> {
    fields.require("window", problems);
    let (value, at) = fields.take("window")?;
    let window = match value {
        Value::String(text) => Window::named(text),
        Value::Number(digits) => {
            digits.parse().ok().filter(|seconds| (1..=MAX_WINDOW_SECONDS).contains(seconds)).map(Window::Seconds)
        }
        _ => None,
    };
    if window.is_none() {
        let allowed = "\"minute\", \"hour\", \"day\", \"week\", \"month\", \"session\" or seconds (1 to 2678400)";
        problems.add(&at, format!("window must be {allowed}, got {value}"));
    }
    window
}

/// A session's window never begins anew, so it counts one session and no more.
fn check_session(window: Option<Window>, scope: &[Scope], at: &Pointer, problems: &mut Problems) {
    if window == Some(Window::Session) && !scope.contains(&Scope::Session) {
        problems.add(at, "window \"session\" needs scope \"session\"");
    }
}

fn read_max(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<(String, u64)> {
    fields.require("max", problems);
    read_count(fields, "max", problems)
}

fn read_count(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<(String, u64)> {
    let (value, at) = fields.take(name)?;
    if let Value::Number(digits) = value
        && let Some(max) = Decimal::parse(digits).and_then(|max| max.micros(false))
    {
        return Some((digits.clone(), max));
    }
    problems.add(&at, format!("{name} must be a number of at least 0, got {value}"));
    None
}

fn read_scope(fields: &mut Fields<'_>, default: &[Scope], problems: &mut Problems) -> Vec<Scope> {
    let Some((value, at)) = fields.take("scope") else { return default.to_vec() };
    let names = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    let mut scopes = Vec::new();
    let mut is_global = false;
    for name in names {
        let Value::String(text) = name else {
            problems.add(&at, format!("unknown scope {name}"));
            continue;
        };
        match Scope::ALL.into_iter().find(|scope| scope.as_str() == text) {
            Some(scope) => scopes.push(scope),
            None if text == "global" => is_global = true,
            None => {
                let allowed = ["grant", "session", "tool", "global"];
                let hint = super::super::problem::did_you_mean(text, &allowed);
                let hint = if hint.is_empty() { format!("; scopes are {}", allowed.join(", ")) } else { hint };
                problems.add(&at, format!("unknown scope {name}{hint}"));
            }
        }
    }
    scopes.sort_unstable();
    let is_distinct = scopes.windows(2).all(|pair| !matches!(pair, [a, b] if a == b));
    let is_mixed = is_global && names.len() > 1;
    if !is_distinct || is_mixed || names.is_empty() {
        problems.add(&at, "scope list must be distinct and must not mix in global");
    }
    scopes
}

fn read_amount(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Amount> {
    let at = fields.at().clone();
    let on_missing = match fields.take("on_missing") {
        None => None,
        Some((Value::String(text), _)) if text == "deny" || text == "skip" => Some(text == "skip"),
        Some((other, at)) => {
            let message = "on_missing must be \"deny\" or \"skip\" and needs increment_from";
            problems.add(&at, format!("{message}, got {other}"));
            None
        }
    };
    let increment = fields.take("increment");
    let Some((value, from_at)) = fields.take("increment_from") else {
        if on_missing.is_some() {
            problems.add(&at, "on_missing must be \"deny\" or \"skip\" and needs increment_from");
        }
        let Some((value, at)) = increment else { return Some(Amount::Fixed(super::super::number::MICROS)) };
        let count = if let Value::Number(digits) = value { digits.parse::<u64>().ok() } else { None };
        if count.is_none() {
            problems.add(&at, format!("increment must be an integer of at least 0, got {value}"));
        }
        return Some(Amount::Fixed(count?.saturating_mul(super::super::number::MICROS)));
    };
    if increment.is_some() {
        problems.add(&at, "give either increment or increment_from");
    }
    let path = if let Value::String(text) = value { Some((text, Path::parse(text))) } else { None };
    match path {
        Some((text, Ok(Path::Args(steps)))) if !steps.contains(&Step::Every) => {
            Some(Amount::Argument { steps, path: text.clone(), skip_missing: on_missing == Some(true) })
        }
        Some((_, Ok(Path::Args(_)))) => {
            problems.add(&from_at, format!("increment_from must lead to one value, got {value}"));
            None
        }
        Some((_, Err(BadPath::IndexTooLarge))) => {
            problems
                .add(&from_at, format!("increment_from has an index above 999999999, which no list has, got {value}"));
            None
        }
        _ => {
            problems.add(&from_at, format!("increment_from must start with \"args.\", got {value}"));
            None
        }
    }
}

fn read_align(fields: &mut Fields<'_>, window: Option<Window>, problems: &mut Problems) -> bool {
    let Some((value, at)) = fields.take("align") else { return false };
    match value {
        Value::String(text) if text == "calendar" => false,
        Value::String(text) if text == "rolling" => {
            if let Some(window) = window.filter(|window| !window.can_roll()) {
                problems.add(&at, format!("window \"{window}\" cannot be rolling"));
            }
            true
        }
        other => {
            problems.add(&at, format!("align must be \"calendar\" or \"rolling\", got {other}"));
            false
        }
    }
}
