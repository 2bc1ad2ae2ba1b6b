//! The console: the page on which a person approves calls, and sees what was decided.

/// One of its files, as it is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) text: &'static str,
}

macro_rules! script {
    ($name:literal) => {
        Page {
            path: concat!("/", $name),
            content_type: "text/javascript; charset=utf-8",
            text: include_str!(concat!("console/", $name)),
        }
    };
}

static PAGES: [Page; 8] = [
    Page { path: "/", content_type: "text/html; charset=utf-8", text: include_str!("console/index.html") },
    Page { path: "/console.css", content_type: "text/css; charset=utf-8", text: include_str!("console/console.css") },
    script!("approvals.js"),
    script!("console.js"),
    script!("elements.js"),
    script!("gateway.js"),
    script!("texts.js"),
    script!("times.js"),
];

pub(super) fn page(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}
