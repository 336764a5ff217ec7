//! Temporary folders that go even when we are killed.
//!
//! A destructor does not run in a process that is killed, nor for what a test binary keeps in a static. So each folder has a
//! janitor, a shell that waits for its standard input to end, which the kernel sees to, and then removes the folder.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{During, Result};

/// Tries again for a second: what was killed with us may still be writing.
const JANITOR: &str = r#"read -r _; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$0" && exit; sleep 0.1; done"#;

/// A folder of our own.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    janitor: Child,
}

impl Scratch {
    /// Makes an empty folder under the system's temporary folder, whose name starts with `prefix`.
    pub fn new(prefix: &str) -> Result<Self> {
        Self::under(&std::env::temp_dir(), prefix)
    }

    /// The same in memory where the system has a place for that, so that what a bench measures never waits for a disk.
    pub fn in_memory(prefix: &str) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::under(memory, prefix) } else { Self::new(prefix) }
    }

    fn under(parent: &Path, prefix: &str) -> Result<Self> {
        let made =
            tempfile::Builder::new().prefix(prefix).tempdir_in(parent).during("cannot make a temporary folder")?;
        let mut janitor = Command::new("sh");
        janitor.args(["-c", JANITOR]).arg(made.path()).process_group(0);
        janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let janitor = janitor.spawn().during("cannot start the janitor")?;
        Ok(Self { path: made.keep(), janitor })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // It ends within its second; there is nothing to do about an error.
        let _ = self.janitor.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_goes_when_dropped_with_all_that_is_in_it() {
        let scratch = Scratch::new("weir-scratch-").unwrap();
        let path = scratch.path().to_owned();
        std::fs::create_dir(path.join("sub")).unwrap();
        std::fs::write(path.join("sub/file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
