//! `mcp-policy approve`: a person's word on one call as a signed token, for proxies that this person cannot reach; and the
//! keys for that.

use super::unusable;
use clap::{Args, ValueEnum};
use mcp_policy::approvals::{Id, MAX_LIFETIME_MS, SigningKey, Token};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file with the key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The approval's id, `ap_…`, as the refused call was told
    #[arg(long, required_unless_present = "new_key")]
    id: Option<String>,
    /// How long the token holds: 90s, 15m, 24h; a day at most
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = lifetime)]
    expires: u64,
    /// Write a new key to the file, and print what belongs into `approvals.keys` of the plugin's configuration
    #[arg(long, value_enum, value_name = "KIND", conflicts_with_all = ["id", "expires"])]
    new_key: Option<Kind>,
    /// The new key's name in that configuration
    #[arg(long, default_value = "approvals", conflicts_with = "id")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// HMAC-SHA-256: every proxy that checks a token could make one
    Hmac,
    /// Ed25519: proxies know the public key alone
    Ed25519,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match (arguments.new_key, &arguments.id) {
        (Some(kind), _) => new_key(kind, &arguments.key, &arguments.name),
        (None, id) => approve(arguments, id.as_deref().unwrap_or_default()),
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn approve(arguments: &Arguments, id: &str) -> Result<String, ExitCode> {
    let file = super::read(&arguments.key)?;
    let Some(key) = SigningKey::parse(&file) else {
        return Err(unusable(format_args!("{}: it holds no key", arguments.key.display())));
    };
    let id = Id::parse(id).ok_or_else(|| unusable(format_args!("{id:?} is no approval's id")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let not_before = u64::try_from(now).unwrap_or(0);
    let token = Token { id, nonce: random()?, not_before, expires: not_before.saturating_add(arguments.expires) };
    Ok(token.sign(&key))
}

/// A file that is there is never written over.
fn new_key(kind: Kind, path: &Path, name: &str) -> Result<String, ExitCode> {
    let bytes = random()?;
    let key = match kind {
        Kind::Hmac => Some(SigningKey::hmac_sha256(&bytes)),
        Kind::Ed25519 => SigningKey::ed25519(&bytes),
    };
    let key = key.ok_or_else(|| unusable("the operating system's random bytes are none"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(key.to_file().as_bytes()));
    written.map_err(|error| unusable(format_args!("{}: {error}", path.display())))?;
    let (member, value) = key.key().member();
    Ok(json!({ "id": name, member: value }).to_string())
}

fn random<const N: usize>() -> Result<[u8; N], ExitCode> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(unusable)?;
    Ok(bytes)
}

/// Milliseconds.
fn lifetime(text: &str) -> Result<u64, String> {
    let unit = |unit: char, millis: u64| Some(text.strip_suffix(unit)?.parse::<u64>().ok()?.saturating_mul(millis));
    let found = unit('s', 1000).or_else(|| unit('m', 60_000)).or_else(|| unit('h', 3_600_000));
    let found = found.filter(|millis| (1..=MAX_LIFETIME_MS).contains(millis));
    found.ok_or_else(|| "give a number of seconds, minutes or hours, such as 90s, 15m or 24h; a day at most".to_owned())
}
