//! Every seed and every regression of the fuzz targets, and every row of the data tests, judged as the fuzzer judges
//! its inputs: `docs/fuzzing.md`.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

#[allow(dead_code, clippy::missing_panics_doc)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

type Judge = fn(&[u8]);

/// A target's name, its judge, and how many inputs it has at least.
const TARGETS: [(&str, Judge, usize); 6] = [
    ("request", fuzz::request::check, 50),
    ("list", fuzz::list::check, 20),
    ("sse", fuzz::sse::check, 50),
    ("policy", fuzz::policy::check, 50),
    ("headers", fuzz::headers::check, 20),
    ("number", fuzz::number::check, 5),
];

/// A panic names the input by its text.
#[test]
fn every_seed_and_regression_holds() {
    for (target, check, at_least) in TARGETS {
        let mut checked = 0;
        for kind in ["seeds", "regressions"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
            // A target without a regression has no folder of them.
            let Ok(files) = std::fs::read_dir(folder) else { continue };
            for file in files {
                check(&std::fs::read(file.unwrap().path()).unwrap());
                checked += 1;
            }
        }
        assert!(checked >= at_least, "{target} has only {checked} inputs");
    }
}
