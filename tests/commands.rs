//! Every command of every page is run. Each block runs in a sandbox as it is written, and what it prints is what the page
//! says; a program that the sandbox does not have fails it, so that no new page escapes.
//!
//! - What takes a proxy or a server is run in front of real ones, by `tests/envoy/commands.rs`.
//! - What takes more than this machine has a stand-in, which checks what can be known: [`ELSEWHERE`].
#![cfg(unix)]
// A test is a host: it may read files, and what it finds missing ends it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]

#[path = "support/pages.rs"]
mod pages;

use mcp_policy::approvals::Id;
use pages::{Sandbox, all, blocks, root};

/// Programs that are not run, why, and what stands for them.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "kubectl",
        "takes a cluster; tests/kubernetes holds what is applied against the schemas",
        r#"while [ $# -gt 0 ]; do
  if [ "$1" = -f ]; then shift; [ -s "$1" ] || { echo "kubectl: there is no $1" >&2; exit 1; }; fi
  shift
done"#,
    ),
    (
        "make",
        "each target is what CI runs, or is run by one that CI runs; that there is such a target can be known",
        r#"PATH="$OUTSIDE" exec make -C "$CHECKOUT" --dry-run --no-print-directory "$@" >/dev/null"#,
    ),
];

/// What stands in the pages for something of the reader's own.
fn stands_for(sandbox: &mut Sandbox) {
    let id = Id { digest: [7; 32], created: 1_795_243_342_123 }.to_string();
    sandbox.stands_for = vec![
        ("ap_zX9…".to_owned(), id.clone()),
        ("ap_…".to_owned(), id),
        ("\"$DIGEST\"".to_owned(), "0".repeat(64)),
        ("/etc/mcp/".to_owned(), format!("{}/", sandbox.path("."))),
    ];
}

#[test]
fn every_block_of_commands_does_what_its_page_says() {
    let mut count = 0;
    for page in all() {
        let mut sandbox = Sandbox::new(&format!("commands/{}", page.replace('/', "-")));
        stands_for(&mut sandbox);
        for (name, _, script) in ELSEWHERE {
            let path = std::env::var("PATH").expect("a PATH");
            let script = script.replace("$OUTSIDE", &path).replace("$CHECKOUT", root().to_str().expect("UTF-8"));
            sandbox.stand_in(name, &script);
        }
        for block in blocks(&page).iter().filter(|block| !block.needs_servers()) {
            sandbox.run(block);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
