//! Every command of every page is run. Each block runs in a sandbox as it is written, and what it prints is what the page
//! says; a program that the sandbox does not have fails it, so that no new page escapes.
//!
//! - What takes a proxy or a server is run in front of real ones, by `tests/envoy/commands.rs`.
//! - Pages whose blocks go on from each other have a script: [`BY_A_SCRIPT`].
//! - What takes more than this machine has a stand-in, which checks what can be known: [`pages::ELSEWHERE`].
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

use pages::{BY_A_SCRIPT, Sandbox, all, blocks};

#[test]
fn every_block_of_commands_does_what_its_page_says() {
    let mut count = 0;
    for page in all().iter().filter(|page| !BY_A_SCRIPT.contains(&page.as_str())) {
        let sandbox = Sandbox::new(&format!("commands/{}", page.replace('/', "-")));
        for block in blocks(page).iter().filter(|block| !block.needs_servers()) {
            sandbox.run(block);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
