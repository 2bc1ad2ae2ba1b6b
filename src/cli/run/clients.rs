//! What to tell common MCP clients, so that they connect here. Each has a form of its own.

use serde_json::json;
use std::path::Path;

/// A line or a few for each client, as it stands in its file or in a shell.
pub(super) fn blocks(name: &str, url: &str) -> String {
    let of = |servers: &str, server: serde_json::Value| json!({ servers: { name: server } }).to_string();
    let blocks = [
        ("Claude Code", "in a shell", format!("claude mcp add --transport http {name} {}", quoted(url))),
        ("Cursor", "~/.cursor/mcp.json", of("mcpServers", json!({ "url": url }))),
        ("VS Code", ".vscode/mcp.json", of("servers", json!({ "type": "http", "url": url }))),
        ("Codex", "~/.codex/config.toml", format!("[mcp_servers.{name}]\nurl = {}", json!(url))),
        ("Gemini CLI", "~/.gemini/settings.json", of("mcpServers", json!({ "httpUrl": url }))),
        ("others", "as JSON", of("mcpServers", json!({ "type": "http", "url": url }))),
    ];
    let mut text = String::new();
    for (client, place, block) in blocks {
        let mut head = format!("{client}, {place}");
        for line in block.lines() {
            text.push_str(&format!("  {head:36}  {line}\n"));
            head.clear();
        }
    }
    text
}

/// `text` as a shell takes it for one word, whatever is in it.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ":/._-".contains(character);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What clients are to call the server: as its policy is called, in letters that each of them takes.
pub(super) fn name(policy: &Path) -> String {
    let stem = policy.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_good = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let name: String = stem.chars().map(|character| if is_good(character) { character } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "mcp-policy".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_form() {
        let text = blocks("crm", "http://127.0.0.1:10000/mcp");
        for block in [
            "claude mcp add --transport http crm http://127.0.0.1:10000/mcp\n",
            r#"{"mcpServers":{"crm":{"url":"http://127.0.0.1:10000/mcp"}}}"#,
            r#"{"servers":{"crm":{"type":"http","url":"http://127.0.0.1:10000/mcp"}}}"#,
            "[mcp_servers.crm]\n",
            "url = \"http://127.0.0.1:10000/mcp\"\n",
            r#"{"mcpServers":{"crm":{"httpUrl":"http://127.0.0.1:10000/mcp"}}}"#,
        ] {
            assert!(text.contains(block), "{block}\n{text}");
        }
        assert!(text.lines().all(|line| line.len() < 120), "{text}");
    }

    #[test]
    fn no_shell_reads_more_than_an_address_in_an_address() {
        let text = blocks("crm", "http://127.0.0.1:1/mcp?a=$(b)&c='\"\\");
        assert!(text.contains(r#"http crm 'http://127.0.0.1:1/mcp?a=$(b)&c='\''"\'"#), "{text}");
        assert!(text.contains(r#"url = "http://127.0.0.1:1/mcp?a=$(b)&c='\"\\""#), "{text}");
    }

    #[test]
    fn names_that_every_client_takes() {
        let rows = [("policies/Fluent_CRM v2.json", "fluent-crm-v2"), ("é.json", "mcp-policy"), ("a.b.json", "a-b")];
        for (path, expected) in rows {
            assert_eq!(name(Path::new(path)), expected);
        }
    }
}
