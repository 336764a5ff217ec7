//! Of the recorder, its journal.

#[path = "../../src/recorder/journal/mod.rs"]
pub mod journal;

/// The part of the recorder's errors that a journal has: the whole of them names the database.
pub mod error {
    use std::path::{Path, PathBuf};

    use thiserror::Error;

    /// A failure of a journal.
    #[derive(Debug, Error)]
    pub enum RecorderError {
        /// A journal's space could not be set aside.
        #[error("cannot set aside {bytes} bytes for the journal {path}: {source}")]
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
        /// A thread could not be started.
        #[error("a thread is not running: {0}")]
        Writer(String),
    }

    impl RecorderError {
        pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RecorderError {
            let path = path.to_owned();
            move |source| RecorderError::Io { doing, path, source }
        }
    }
}
