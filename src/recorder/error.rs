//! What can go wrong with the recording, in words for the operator: which side failed and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use crate::event::varint::DecodeError;

/// A failure of the recording.
#[derive(Debug, Error)]
pub enum RecorderError {
    /// An option that cannot work.
    #[error("recording options: {0}")]
    Options(String),
    /// Somebody else writes this store.
    #[error("the store {path} is in use by another weir process; talk to that one, or stop it first")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// Nothing was ever recorded there.
    #[error("there is no recording at {path}; `weir serve` creates it, `store.path` in the configuration says where")]
    Missing {
        /// The store.
        path: PathBuf,
    },
    /// A newer weir made this store.
    #[error(
        "the store {path} has schema version {found}, this build knows up to {known}; use the weir that wrote it or a \
         newer one, or give this one another `store.path`"
    )]
    NewerSchema {
        /// The store.
        path: PathBuf,
        /// What the store says.
        found: u64,
        /// What this build knows.
        known: u64,
    },
    /// A journal's space could not be set aside.
    #[error(
        "cannot set aside {bytes} bytes for the journal {path}: {source}; free space there or lower `journal_bytes`"
    )]
    Space {
        /// The journal.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// RocksDB refused.
    #[error("the store cannot {doing}: {source}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// The database as a whole cannot be read.
    #[error(
        "the database {path} is damaged: {source}; restore it from a backup, or move it aside (not the journals beside \
         it) and start with an empty one: what it holds, tokens included, is missing then"
    )]
    DatabaseDamaged {
        /// The database.
        path: PathBuf,
        /// What RocksDB said; names the file.
        source: rocksdb::Error,
    },
    /// A file of the database is damaged, which a read met.
    #[error(
        "a file of the database {path} is damaged, one of its family `{family}`: {source}; stop the gateway and restore the \
         database from a backup, or move it aside and start with an empty one: what it holds, tokens included, is missing \
         then"
    )]
    FileDamaged {
        /// The database.
        path: PathBuf,
        /// Whose file.
        family: String,
        /// What RocksDB said; names the file, but for blob files.
        source: rocksdb::Error,
    },
    /// The store is being opened again after a failure.
    #[error("the store is being opened again after a failure; ask again in a moment")]
    Unavailable,
    /// A stored row or block that cannot be read.
    #[error("a stored {what} is damaged: {source}")]
    Damaged {
        /// What kind of row.
        what: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The writer thread could not be started or has ended.
    #[error("the recording's writer thread is not running: {0}")]
    Writer(String),
}

impl RecorderError {
    /// For `map_err` on file operations.
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> RecorderError {
        let path = path.to_owned();
        move |source| RecorderError::Io { doing, path, source }
    }

    /// For `map_err` on store operations.
    pub(crate) fn store(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> RecorderError {
        move |source| RecorderError::Store { doing, source }
    }

    /// For `map_err` on reading a row of `family` from the database under a folder.
    pub(crate) fn reading(folder: &std::path::Path, family: &str, source: rocksdb::Error) -> RecorderError {
        if source.kind() != rocksdb::ErrorKind::Corruption && !source.as_ref().contains("No such file") {
            return RecorderError::Store { doing: "read", source };
        }
        RecorderError::FileDamaged { path: folder.join("db"), family: family.to_owned(), source }
    }

    /// For `map_err` on opening the database under a folder: a file that is missing there is damage as well.
    pub(crate) fn opening(folder: &std::path::Path) -> impl FnOnce(rocksdb::Error) -> RecorderError {
        let path = folder.join("db");
        move |source| match source.kind() {
            rocksdb::ErrorKind::Corruption => RecorderError::DatabaseDamaged { path, source },
            _ if source.as_ref().contains("No such file") => RecorderError::DatabaseDamaged { path, source },
            _ => RecorderError::Store { doing: "be opened", source },
        }
    }

    /// For `map_err` on decoding.
    pub(crate) fn damaged(what: &'static str) -> impl FnOnce(DecodeError) -> RecorderError {
        move |source| RecorderError::Damaged { what, source }
    }
}
