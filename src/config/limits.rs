//! `limits`: where limits are counted, and what happens to a call when nobody could count it.

use crate::policy::{Fields, Policy, Problems};

/// How long a call waits for the service unless `timeout_ms` says otherwise.
const DEFAULT_TIMEOUT_MS: u32 = 100;
/// The most that `timeout_ms` may say.
const LARGEST_TIMEOUT_MS: u32 = 60_000;
/// The most that `lease` may say.
const LARGEST_LEASE: u32 = 1_000_000;
/// Bytes of a cluster's name or a domain.
const MAX_NAME_BYTES: usize = 100;

/// Where limits are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Limits {
    /// By this proxy alone.
    #[default]
    Local,
    /// By a rate limit service, together with other proxies.
    Service(LimitService),
}

/// A rate limit service (`envoy.service.ratelimit.v3`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitService {
    /// The proxy's cluster that it is reached by.
    pub cluster: String,
    /// The namespace of the counters.
    pub domain: String,
    /// How long a call waits for it.
    pub timeout_ms: u32,
    /// What happens to a call that it did not count.
    pub on_failure: OnFailure,
    /// Whether each request says the maximum; otherwise the service has the numbers of its own configuration.
    pub sends_maxima: bool,
    /// How many hits are reserved ahead; `None`: each call asks for its own.
    pub lease: Option<u32>,
}

/// What happens to a call that a service did not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused.
    Deny,
    /// This proxy counts it alone.
    Local,
    /// It goes on.
    Allow,
}

impl Limits {
    /// Where limits are counted by a service.
    #[must_use]
    pub fn service(&self) -> Option<&LimitService> {
        match self {
            Self::Local => None,
            Self::Service(service) => Some(service),
        }
    }

    pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Self {
        let Some((value, at)) = fields.take("limits") else { return Self::Local };
        let Some(mut fields) = Fields::of(value, &at, problems) else { return Self::Local };
        fields.require("store", problems);
        let stores = [("local", false), ("rate_limit_service", true)];
        let limits = match fields.choice("store", &stores, problems) {
            Some(true) => LimitService::read(&mut fields, problems).map_or(Self::Local, Self::Service),
            Some(false) => Self::Local,
            // What else is there belongs to a store that is not known.
            None => return Self::Local,
        };
        fields.finish(problems);
        limits
    }

    /// Reports what of `policies` cannot be kept like this.
    pub(super) fn check<'p>(&self, policies: impl Iterator<Item = &'p Policy>, problems: &mut Problems) {
        let Some(service) = self.service() else { return };
        policies.for_each(|policy| policy.check_for_service(!service.sends_maxima, problems));
    }
}

impl LimitService {
    fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let cluster = read_name(fields, "cluster", problems);
        let domain = read_name(fields, "domain", problems);
        let timeout_ms = fields.integer("timeout_ms", 1..=LARGEST_TIMEOUT_MS, problems).unwrap_or(DEFAULT_TIMEOUT_MS);
        let failures = [("deny", OnFailure::Deny), ("local", OnFailure::Local), ("allow", OnFailure::Allow)];
        let on_failure = fields.choice("on_failure", &failures, problems).unwrap_or(OnFailure::Deny);
        let maxima = [("policy", true), ("service", false)];
        let sends_maxima = fields.choice("maxima", &maxima, problems).unwrap_or(true);
        let lease_at = fields.at().child("lease");
        let lease = fields.integer("lease", 2..=LARGEST_LEASE, problems);
        if lease.is_some() && !sends_maxima {
            problems.add(&lease_at, "lease needs maxima \"policy\"");
        }
        Some(Self { cluster: cluster?, domain: domain?, timeout_ms, on_failure, sends_maxima, lease })
    }
}

pub(super) fn read_name(fields: &mut Fields<'_>, member: &'static str, problems: &mut Problems) -> Option<String> {
    fields.require(member, problems);
    let name = fields.string(member, problems)?;
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let at = fields.at().child(member);
        problems.add(&at, format!("{member} must be 1 to {MAX_NAME_BYTES} visible ASCII characters"));
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Gate;
    use super::*;

    fn load(limits: &str, policy_limits: &str) -> Result<Limits, Vec<String>> {
        let text = format!(
            r#"{{"policies":{{"p":{{"version":"1","default":"allow","all_tools":{{"limits":[{policy_limits}]}}}}}},
            "default_policy":"p","limits":{limits}}}"#
        );
        let gate = Gate::load(text.as_bytes());
        gate.map(|gate| gate.limits).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    const SERVICE: &str = r#"{"store":"rate_limit_service","cluster":"limits","domain":"mcp"}"#;

    #[test]
    fn a_store_is_local_or_a_service() {
        assert_eq!(load(r#"{"store":"local"}"#, ""), Ok(Limits::Local));
        let expected = LimitService {
            cluster: "limits".into(),
            domain: "mcp".into(),
            timeout_ms: 100,
            on_failure: OnFailure::Deny,
            sends_maxima: true,
            lease: None,
        };
        assert_eq!(load(SERVICE, ""), Ok(Limits::Service(expected.clone())));
        let full = SERVICE.replace('}', r#","timeout_ms":20,"on_failure":"local","maxima":"service"}"#);
        let expected = LimitService { timeout_ms: 20, on_failure: OnFailure::Local, sends_maxima: false, ..expected };
        assert_eq!(load(&full, ""), Ok(Limits::Service(expected.clone())));
        let leased = SERVICE.replace('}', r#","lease":50,"on_failure":"local","timeout_ms":20}"#);
        let expected = LimitService { sends_maxima: true, lease: Some(50), ..expected };
        assert_eq!(load(&leased, ""), Ok(Limits::Service(expected)));
    }

    #[test]
    fn a_fault_is_reported_with_its_place() {
        let faults = |text: &str| load(text, "").expect_err(text);
        assert_eq!(faults("1"), ["/limits: must be an object, got 1"]);
        assert_eq!(faults("{}"), ["/limits: store is required"]);
        assert_eq!(faults(r#"{"store":"local","cluster":"a"}"#), [r#"/limits: unknown field "cluster""#]);
        assert_eq!(
            faults(
                r#"{"store":"rate_limit_service","cluster":"","timeout_ms":0,"on_failure":"retry","maxima":1,"lease":1}"#
            ),
            [
                "/limits/cluster: cluster must be 1 to 100 visible ASCII characters",
                "/limits: domain is required",
                "/limits/timeout_ms: timeout_ms must be an integer from 1 to 60000, got 0",
                r#"/limits/on_failure: on_failure must be one of "deny", "local", "allow", got "retry""#,
                r#"/limits/maxima: maxima must be one of "policy", "service", got 1"#,
                "/limits/lease: lease must be an integer from 2 to 1000000, got 1",
            ]
        );
        let leased = SERVICE.replace('}', r#","lease":5,"maxima":"service"}"#);
        assert_eq!(faults(&leased), [r#"/limits/lease: lease needs maxima "policy""#]);
    }

    #[test]
    fn what_a_service_cannot_keep_is_refused_with_the_reason() {
        let says = "limits.store \"rate_limit_service\" cannot keep this limit: ";
        for (limit, reason) in [
            (r#""window":"minute","max":5"#, None),
            (r#""window":1,"max":5,"scope":["session","tool"]"#, None),
            (r#""window":60,"max":0,"increment":3"#, None),
            (r#""window":3600,"max":4294967295,"continuations":2"#, None),
            (r#""window":86400,"max":2.0,"scope":"global""#, None),
            (r#""window":"week","max":5"#, Some("its weeks begin on Thursday; use a day")),
            (r#""window":"month","max":5"#, Some("its months are 30 days from 1970 on; use a day")),
            (
                r#""window":"session","max":5,"scope":"session""#,
                Some("it forgets every counter with its window, so none lasts as long as a session"),
            ),
            (r#""window":90,"max":5"#, Some("its windows are 1, 60, 3600 or 86400 seconds")),
            (r#""window":"day","max":5,"align":"rolling""#, Some("its windows do not roll")),
            (r#""window":"day","max":0.5"#, Some("it counts whole hits, up to 4294967295")),
            (r#""window":"day","max":4294967296"#, Some("it counts whole hits, up to 4294967295")),
            (r#""window":"day","max":1,"increment":4294967296"#, Some("it counts whole hits, up to 4294967295")),
            (r#""window":"day","max":5,"continuations":1.5"#, Some("it counts whole hits, up to 4294967295")),
            (
                r#""window":"day","max":5,"increment_from":"args.n""#,
                Some("it counts whole hits, and refused ones too, so that one amount could use up a window"),
            ),
        ] {
            let limit = format!(r#"{{"counter":"c",{limit}}}"#);
            let found = load(SERVICE, &limit);
            match reason {
                None => assert!(found.is_ok(), "{limit}: {found:?}"),
                Some(reason) => {
                    let expected = format!("/policies/p/all_tools/limits/0: {says}{reason}");
                    assert_eq!(found, Err(vec![expected]), "{limit}");
                }
            }
            assert_eq!(load(r#"{"store":"local"}"#, &limit), Ok(Limits::Local), "{limit}");
        }
    }

    #[test]
    fn a_service_with_its_own_numbers_has_one_maximum_for_each_counter() {
        let policy = |max: u32| {
            format!(
                r#"{{"policies":{{"p":{{"version":"1","default":"deny","tools":{{
                "a":{{"limits":[{{"counter":"c","window":"day","max":5}}]}},
                "b":{{"limits":[{{"counter":"c","window":"day","max":{max}}}]}}}}}}}},"default_policy":"p","limits":{}}}"#,
                SERVICE.replace('}', r#","maxima":"service"}"#)
            )
        };
        assert!(Gate::load(policy(5).as_bytes()).is_ok());
        let problems = Gate::load(policy(6).as_bytes()).expect_err("two maxima").to_string();
        assert!(problems.starts_with("/policies/p/tools/b/limits/0: another limit"), "{problems}");
        assert!(Gate::load(policy(6).replace(r#","maxima":"service""#, "").as_bytes()).is_ok());
    }
}
