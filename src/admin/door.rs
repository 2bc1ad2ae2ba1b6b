//! Who may come in: asked from this machine's own name, by no other site's page, with the token.

use super::{Reply, problem};
use crate::config::Admin;
use crate::exchange::Headers;
use crate::policy::{PutError, Store};
use crate::timestamp::Timestamp;
use std::borrow::Cow;

/// Wrong tokens in one minute after which the rest of it answers nobody.
const MAX_FAILURES: u32 = 20;
/// Where they are counted.
const FAILURES: &[u8] = b"mcp-policy:admin-failures";
const MAX_TRIES: usize = 64;

/// Refuses what another site's page may have had a browser send: by a name that was made to point here (DNS rebinding),
/// or across origins (CSRF).
pub(super) fn check_origin(admin: &Admin, headers: &Headers) -> Result<(), Reply> {
    let text = |name: &str| {
        let mut values = headers.values(name);
        let value = values.next().map(std::str::from_utf8);
        if values.next().is_some() { Some(Err(())) } else { value.map(|value| value.map_err(drop)) }
    };
    let refused = |what: &str| problem(403, "forbidden", what);
    let Some(Ok(authority)) = text(":authority") else { return Err(refused("The request names no host")) };
    let host = host_of(authority);
    let is_ours = ["localhost", "127.0.0.1", "[::1]"].contains(&host) || admin.hosts.iter().any(|own| own == host);
    if !is_ours {
        return Err(refused("This host is not one of the admin side's; see `hosts` in its configuration"));
    }
    let is_own = |origin: &str| {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    };
    match text("origin") {
        None => {}
        Some(Ok(origin)) if is_own(origin) => {}
        Some(_) => return Err(refused("The request comes from another site")),
    }
    match text("sec-fetch-site") {
        None | Some(Ok("same-origin" | "none")) => Ok(()),
        Some(_) => Err(refused("The request comes from another site")),
    }
}

/// The host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Compares in constant time, and tells nothing of what was wrong.
pub(super) fn check_token(
    admin: &Admin,
    headers: &Headers,
    now: Timestamp,
    store: &mut dyn Store,
) -> Result<(), Reply> {
    let minute = now.millis() / 60_000;
    if failures(minute, store) >= MAX_FAILURES {
        let mut reply = problem(429, "too_many", "Too many wrong tokens; try again in a minute");
        reply.headers.push(("retry-after", Cow::Borrowed("60")));
        return Err(reply);
    }
    let mut values = headers.values("authorization");
    let token = values.next().filter(|_| values.clone().next().is_none());
    let token = token.and_then(|value| std::str::from_utf8(value).ok()?.split_once(' '));
    let token =
        token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim_matches(' '));
    if token.is_some_and(|token| admin.token.is_of(token)) {
        return Ok(());
    }
    // Who sends no token guesses none.
    if token.is_some() {
        add_failure(minute, store);
    }
    let mut reply = problem(401, "unauthorized", "The admin token is missing or wrong");
    reply.headers.push(("www-authenticate", Cow::Borrowed("Bearer")));
    Err(reply)
}

/// A store that fails lets the right token through, and no other.
fn failures(minute: u64, store: &mut dyn Store) -> u32 {
    let stored = store.get(FAILURES).ok().flatten();
    stored.and_then(|(value, _)| read(&value)).filter(|(at, _)| *at == minute).map_or(0, |(_, count)| count)
}

fn add_failure(minute: u64, store: &mut dyn Store) {
    for _ in 0..MAX_TRIES {
        let Ok(stored) = store.get(FAILURES) else { return };
        let (value, version) = stored.unzip();
        let before = value.and_then(|value| read(&value)).filter(|(at, _)| *at == minute).map_or(0, |(_, count)| count);
        let value = [minute.to_le_bytes().as_slice(), &before.saturating_add(1).to_le_bytes()].concat();
        if store.put(FAILURES, &value, version) != Err(PutError::Conflict) {
            return;
        }
    }
}

/// The minute since the epoch, and the wrong tokens in it.
fn read(value: &[u8]) -> Option<(u64, u32)> {
    let (minute, count) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*minute), u32::from_le_bytes(count.try_into().ok()?)))
}
