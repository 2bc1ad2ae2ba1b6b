//! What the pages hold that a test can check: their tables, their JSON, and their commands with a place to run them in.

#![allow(dead_code, reason = "each test takes what it is about")]

use mcp_policy::approvals::Id;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page that a reader is sent to, by its path.
pub fn all() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "SECURITY.md".to_owned()];
    for file in fs::read_dir(root().join("docs")).expect("a folder") {
        let name = file.expect("a file").file_name().into_string().expect("UTF-8");
        pages.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    pages.sort();
    pages
}

/// The JSON of a page.
pub fn examples(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n```json\n").skip(1).map(|rest| rest.split_once("\n```").expect("an end").0)
}

/// What a line of a table has between its bars.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// What stands between backticks, single or doubled.
pub fn quoted(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once('`') {
        let (inside, after) = match after.strip_prefix('`') {
            Some(after) => after.split_once("``"),
            None => after.split_once('`'),
        }
        .expect("an end");
        found.push(inside);
        rest = after;
    }
    found
}

/// The rows of the tables of `page` whose head begins with the cell `first`.
pub fn rows<'p>(page: &'p str, first: &str) -> Vec<Vec<&'p str>> {
    let mut lines = page.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('|') {
            let is_wanted = cells(line).first() == Some(&first);
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                if is_wanted && !row.starts_with("| ---") {
                    found.push(cells(row));
                }
            }
        }
    }
    found
}

/// Whether `text` is `pattern`, in which each `…` is any text.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Pages whose blocks go on from each other, in several terminals: each has a script, which runs them as they stand.
pub const BY_A_SCRIPT: &[&str] = &["docs/getting-started.md"];

/// A fenced block of commands.
#[derive(Debug)]
pub struct Block {
    /// The page and the line, for a failure.
    pub place: String,
    text: String,
}

/// A command of a page, and what the page says that it prints; of a script it says nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'b> {
    pub command: String,
    pub prints: Option<&'b str>,
}

impl Block {
    /// What it runs: a script (`sh`) as one, a session (`$ …`) command by command.
    pub fn steps(&self) -> Vec<Step<'_>> {
        let Some(session) = self.text.strip_prefix("$ ") else {
            return vec![Step { command: self.text.clone(), prints: None }];
        };
        let steps = session.split("\n$ ").map(|step| {
            let is_last = |(at, _): &(usize, &str)| !step.get(..*at).is_some_and(|line| line.ends_with('\\'));
            let end = step.match_indices('\n').find(is_last).map_or(step.len(), |(at, _)| at);
            let (command, prints) = step.split_at(end);
            Step { command: command.to_owned(), prints: Some(prints.trim_start_matches('\n')) }
        });
        steps.collect()
    }

    /// Whether it takes a proxy or a server: those are run in front of real ones, by `tests/envoy/commands.rs`.
    pub fn needs_servers(&self) -> bool {
        self.steps().iter().flat_map(|step| step.command.lines().map(str::to_owned).collect::<Vec<_>>()).any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words.as_slice(), ["mcp-policy", "scan" | "run" | "approvals", ..] | ["envoy" | "func-e", ..])
        })
    }
}

/// The blocks of a page that hold commands.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let (mut found, mut lines) = (Vec::new(), text.lines().enumerate());
    while let Some((index, line)) = lines.next() {
        let Some((indent, language)) = line.split_once("```").filter(|(indent, _)| indent.trim().is_empty()) else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line.strip_prefix(indent).unwrap_or(line));
        let text: Vec<&str> = inside.take_while(|line| !line.starts_with("```")).collect();
        // What follows is for the script that runs it.
        let language = language.split(' ').next().expect("a part");
        let is_session = text.iter().any(|line| line.starts_with("$ "));
        if is_session || ["sh", "bash", "shell", "console"].contains(&language) {
            found.push(Block { place: format!("{page}:{}", index + 1), text: text.join("\n") });
        }
    }
    found
}

/// A directory to run commands in: with the folders of the checkout that pages name, and no other programs than it was given.
pub struct Sandbox {
    directory: PathBuf,
    /// What pages write in the place of something of the reader's own, and what stands for it; the first one holds.
    pub stands_for: Vec<(String, String)>,
}

/// What the pages take for granted on every machine.
const TOOLS: &[&str] =
    &["cat", "cp", "grep", "gzip", "install", "mkdir", "mv", "openssl", "rm", "sed", "sha256sum", "sh", "sleep", "tar"];

/// Programs that are not run, why, and what stands for them.
pub const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "kubectl",
        "takes a cluster; tests/kubernetes holds what is applied against the schemas",
        r#"while [ $# -gt 0 ]; do
  if [ "$1" = -f ]; then shift; [ -s "$1" ] || { echo "kubectl: there is no $1" >&2; exit 1; }; fi
  shift
done"#,
    ),
    ("cosign", "asks the transparency log of a release", ""),
    (
        "curl",
        "downloads a release; one with what a release has stands for it",
        r#"for address; do name=${address##*/}; done
case $name in
  *.tar.gz)
    folder=${name%.tar.gz}
    mkdir -p "$folder/man/man1" "$folder/completions/bash" "$folder/completions/zsh" "$folder/completions/fish"
    for file in mcp-policy man/man1/mcp-policy.1 completions/bash/mcp-policy completions/zsh/_mcp-policy \
      completions/fish/mcp-policy.fish; do echo >"$folder/$file"; done
    tar -czf "$name" "$folder" && rm -r "$folder" ;;
  SHA256SUMS) sha256sum mcp-policy-* >SHA256SUMS ;;
  *) echo >"$name" ;;
esac"#,
    ),
    (
        "go",
        "downloads and builds; that it is the version that scripts/func-e.sh builds for the tests can be known",
        r#"version=$(sed -n 's/^export FUNC_E_VERSION *:= *//p' "$CHECKOUT/Makefile")
[ "$*" = "install github.com/tetratelabs/func-e/cmd/func-e@$version" ]"#,
    ),
    ("skopeo", "asks a registry", r#"[ "$1" != inspect ] || echo "sha256:$(sha256sum /dev/null | sed 's/ .*//')""#),
    ("jq", "is not on every machine, and what it makes of a record is its own affair", "exec cat >/dev/null"),
    (
        "make",
        "each target is what CI runs, or is run by one that CI runs; that there is such a target can be known",
        r#"PATH="$OUTSIDE" exec make -C "$CHECKOUT" --dry-run --no-print-directory "$@" >/dev/null"#,
    ),
];

/// A program of this machine.
pub fn of_this_machine(tool: &str) -> PathBuf {
    let path = std::env::var("PATH").expect("a PATH");
    let found = path.split(':').map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{tool} is missing"))
}

impl Sandbox {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("bin")).expect("a writable directory");
        for folder in ["docs", "envoy", "policies", "target"] {
            std::os::unix::fs::symlink(root().join(folder), directory.join(folder)).expect("a link");
        }
        let id = Id { digest: [7; 32], created: 1_795_243_342_123 }.to_string();
        let stands_for = [
            ("ap_zX9…", id.clone()),
            ("ap_…", id),
            ("\"$DIGEST\"", "0".repeat(64)),
            ("ghcr.io/OWNER/", "ghcr.io/owner/".to_owned()),
            ("/etc/mcp/", format!("{}/", directory.display())),
        ];
        let stands_for = stands_for.map(|(from, to)| (from.to_owned(), to)).into();
        let sandbox = Self { directory, stands_for };
        for tool in TOOLS {
            sandbox.give(tool, &of_this_machine(tool));
        }
        for (name, _, script) in ELSEWHERE {
            let path = std::env::var("PATH").expect("a PATH");
            let script = script.replace("$OUTSIDE", &path).replace("$CHECKOUT", root().to_str().expect("UTF-8"));
            sandbox.stand_in(name, &script);
        }
        sandbox.give("mcp-policy", Path::new(env!("CARGO_BIN_EXE_mcp-policy")));
        sandbox
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Gives it a program of this machine.
    pub fn give(&self, name: &str, program: &Path) {
        std::os::unix::fs::symlink(program, self.directory.join("bin").join(name)).expect("a link");
    }

    /// Gives it a script to run under this name.
    pub fn stand_in(&self, name: &str, script: &str) {
        let path = self.directory.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    /// Runs a script to its first failure. The next one has its variables.
    pub fn bash(&self, script: &str) -> Output {
        let script = self.stands_for.iter().fold(script.to_owned(), |script, (from, to)| script.replace(from, to));
        let mut bash = Command::new(of_this_machine("bash"));
        let before = "trap 'export -p >.variables' EXIT; [ ! -e .variables ] || . ./.variables; set -a";
        bash.args(["-euo", "pipefail", "-c", &format!("{before}\n{script}")]).current_dir(&self.directory);
        bash.env("PATH", self.directory.join("bin")).env("HOME", &self.directory).env("NO_PROXY", "127.0.0.1");
        bash.output().expect("bash runs")
    }

    /// Runs a block. What fails is shown with its exit code; what is printed is what the page says, if it says it.
    pub fn run(&self, block: &Block) {
        let mut code = 0;
        for step in block.steps() {
            let (place, command) = (&block.place, &step.command);
            if command == "echo $?" {
                assert_eq!(step.prints.map(str::trim), Some(code.to_string().as_str()), "{place}");
                code = 0;
                continue;
            }
            assert_eq!(code, 0, "{place}: a page shows the exit code of what fails, before `{command}`");
            let output = self.bash(command);
            let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
            code = output.status.code().expect("no signal");
            match step.prints {
                None => assert_eq!(code, 0, "{place}: {out}{err}"),
                Some(prints) => {
                    let said = format!("{out}{err}");
                    assert!(
                        fits(prints.trim_end(), said.trim_end()),
                        "{place}: `{command}` says\n{said}\nand not\n{prints}"
                    );
                }
            }
        }
        assert_eq!(code, 0, "{}: a page shows the exit code of what fails", block.place);
    }
}
