//! The store's folder: who may look into it, and who writes to it.
//!
//! Invariants:
//! - The folder is the gateway's user's alone (0700), and so are its files.
//! - One process at a time holds the lock; it goes with the process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::RecorderError;

const OURS_ALONE: u32 = 0o700;

/// The store's folder, made and tightened.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// The right to write to a store.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, never read: closing it gives the lock back")] File);

impl Folder {
    /// Makes the folder where there is none.
    pub(super) fn create(path: &Path) -> Result<Folder, RecorderError> {
        let made = DirBuilder::new().recursive(true).mode(OURS_ALONE).create(path);
        made.map_err(RecorderError::io("make the store's folder", path))?;
        let tightened = std::fs::set_permissions(path, Permissions::from_mode(OURS_ALONE));
        tightened.map_err(RecorderError::io("keep others out of the store's folder", path))?;
        let journals = journals_of(path);
        let made = DirBuilder::new().recursive(true).mode(OURS_ALONE).create(&journals);
        made.map_err(RecorderError::io("make the journals' folder", &journals))?;
        Ok(Folder { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the store's lock, or says that somebody has it.
    pub(super) fn lock(&self) -> Result<Lock, RecorderError> {
        let path = self.path.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(RecorderError::io("open the lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(RecorderError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(RecorderError::io("take the lock", &path)(source)),
        }
    }
}

/// The folder of the journals under the store's.
pub(super) fn journals_of(path: &Path) -> PathBuf {
    path.join("journal")
}
