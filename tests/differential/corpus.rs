//! All cases: those in files, and those made from the classes of JSON texts.

use super::case::Case;
use super::json;
use std::fs;
use std::path::Path;

/// The policy that every case is judged by.
pub const POLICY: &str = include_str!("policy.json");

/// What the gate cannot do yet; of cases that need it only what runs is checked.
pub const NOT_YET: &[&str] = &[];

/// Every case, by name.
pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/cases");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let text = fs::read_to_string(path).expect("a case in UTF-8");
        Case::parse(name, &text).unwrap_or_else(|fault| panic!("{name}: {fault}"))
    };
    paths.iter().map(read).chain(json::all()).collect()
}
