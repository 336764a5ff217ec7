//! The gateway's log: a readable line for each important fact, on standard error; or a JSON object a line.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::terminal;
use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging; a second call of one process changes nothing.
pub(super) fn start(log: Log) {
    let colour = terminal::colour(io::stderr().is_terminal());
    if tracing::subscriber::set_global_default(subscriber(log, colour, io::stderr)).is_err() {
        tracing::debug!("logging was started before");
    }
}

fn subscriber<W>(log: Log, colour: bool, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries find worth saying is rarely worth an operator's reading.
    let shown = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("weir", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(to).with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(shown))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let log = Log { format, level: LogLevel::Info };
        tracing::subscriber::with_default(subscriber(log, false, move || to.clone()), || {
            tracing::info!(target: "weir::shard", listener = "main", port = 9292, "listening");
            tracing::debug!(target: "weir::shard", "not asked for");
            tracing::info!(target: "hyper", "of no use to an operator");
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_fact_is_one_readable_line() {
        let text = logged(LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with("Z  INFO listening listener=\"main\" port=9292\n"), "{text:?}");
    }

    #[test]
    fn on_request_a_fact_is_one_json_object() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"listening".into()));
        assert_eq!((&line["listener"], &line["port"]), (&"main".into(), &9292.into()));
        assert!(line["timestamp"].is_string());
    }
}
