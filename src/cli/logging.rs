//! The gateway's log: a readable line for each important fact, on standard error; or a JSON object a line.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use super::terminal;
use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging; a second call of one process changes nothing.
pub(super) fn start(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries find worth saying is rarely worth an operator's reading.
    let shown = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("weir", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines
            .with_ansi(terminal::colour(io::stderr().is_terminal()))
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
