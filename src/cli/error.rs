//! Why a command failed, as its user reads it: what happened, why, what to do; and the exit code that scripts read.

use std::io;
use std::path::PathBuf;

use crate::boot::BootError;
use crate::config::Problems;
use crate::control::TokenError;
use crate::control::client::ClientError;
use crate::recorder::RecorderError;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("{0}\nnothing was started; correct the lines above and run `weir check` to see whether that was all")]
    Config(#[from] Problems),
    #[error("{0}\nthe policy in force stays; correct the lines above")]
    NotReloaded(Problems),
    #[error("{0}\nnothing was tried; correct the lines above")]
    NotTried(Problems),
    #[error("{0}")]
    Boot(#[from] BootError),
    #[error("{0}")]
    Gateway(#[from] ClientError),
    #[error("{0}")]
    Recorder(#[from] RecorderError),
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Unsuitable(String),
    /// The command line asks for what the configuration, or the machine, does not have.
    #[error("{0}")]
    Usage(String),
    #[error("{} cannot be written: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the gateway's answer cannot be understood: {0}; is it of the same version as this command?")]
    Answer(#[from] serde_json::Error),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// As `weir --help` documents them.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Config(_) | CliError::NotReloaded(_) | CliError::NotTried(_) | CliError::Usage(_) => 2,
            CliError::NotFound(_)
            | CliError::Gateway(ClientError::NotFound(_))
            | CliError::Token(TokenError::NotFound { .. }) => 3,
            CliError::Token(TokenError::Request(_)) => 2,
            _ => 1,
        }
    }

    /// Whoever read the output has seen enough: `weir sessions | head`.
    pub(super) fn reader_left(&self) -> bool {
        matches!(self, CliError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}
