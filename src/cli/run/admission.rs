//! Who may approve calls: whoever has the token, which is made anew each time and told on the terminal alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_policy::config::Gate;
use sha2::{Digest, Sha256};

/// Where the console is, and by which token.
#[derive(Debug)]
pub(super) struct Admission {
    /// On 127.0.0.1.
    pub(super) port: u16,
    token: String,
}

impl Admission {
    /// With a token that nobody can guess.
    pub(super) fn new(port: u16) -> Result<Self, String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        Ok(Self { port, token: URL_SAFE_NO_PAD.encode(random) })
    }

    /// The address of the page.
    pub(super) fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What Envoy knows of the token.
    pub(super) fn digest(&self) -> String {
        Sha256::digest(&self.token).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How to open the console.
    pub(super) fn told(&self) -> String {
        let (page, token) = (self.page(), &self.token);
        let address = page.trim_end_matches('/');
        format!(
            "Calls that wait for a person are approved at {page} with this token, which agents must not have:\n\n  {token}\n\n\
             or in a terminal: MCP_POLICY_ADMIN_TOKEN={token} mcp-policy approvals list --admin {address}\n"
        )
    }
}

/// Whether a call may wait for a person, by this policy or configuration.
pub(super) fn asks_people(configuration: &str) -> bool {
    Gate::load(configuration.as_bytes()).is_ok_and(|gate| gate.asks_people())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_token_as_it_is_told() {
        let admission = Admission { port: 9, token: "abc".to_owned() };
        assert_eq!(admission.digest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(admission.told().contains("http://127.0.0.1:9/ with this token"));
        assert!(admission.told().contains("\n  abc\n"));
        assert_ne!(Admission::new(9).unwrap().token, Admission::new(9).unwrap().token);
    }

    #[test]
    fn every_way_to_ask_a_person_counts() {
        let policy = |members: &str| asks_people(&format!(r#"{{"version":"1","default":"allow",{members}}}"#));
        let rule = r#"[{"conditions":[],"on_deny":"x"}]"#;
        assert!(policy(r#""tools":{"a":{"action":"require_approval"}}"#));
        assert!(policy(&format!(r#""tools":{{"a":{{"require_approval":{rule}}}}}"#)));
        assert!(policy(&format!(r#""all_tools":{{"require_approval":{rule}}}"#)));
        assert!(policy(&format!(r#""prompts":{{"items":{{"a":{{"require_approval":{rule}}}}}}}"#)));
        assert!(!policy(r#""tools":{"a":{"action":"deny"}}"#));
        assert!(!asks_people("{"));
    }
}
