//! A working directory that only this user can look into, and that goes when all went well.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Of its path, so that the sockets in it have names that every system takes (104 bytes, unix(4)).
const MAX_PATH_BYTES: usize = 90;

/// The directory. Removed when dropped, unless it is [kept](Self::keep).
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    is_kept: bool,
}

impl Place {
    /// A new one, where this machine has its temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::path::absolute(std::env::temp_dir())?.join(format!("mcp-policy-{name}"));
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(io::Error::other("its path is too long for sockets; set TMPDIR to a shorter one"));
        }
        // Fails for one that is there, whoever has made it.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, is_kept: false })
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Leaves it, because somebody has to look into it.
    pub(super) fn keep(&mut self) -> &Path {
        self.is_kept = true;
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing hangs on it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_for_this_user_alone_and_goes_unless_it_is_kept() {
        let mut place = Place::new().unwrap();
        let path = place.keep().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(place);
        assert!(path.is_dir());
        drop(Place { path: path.clone(), is_kept: false });
        assert!(!path.exists());
    }
}
