//! The gateway's log: a readable line for each important fact, on standard error; or a JSON object a line.
//!
//! Invariant: who logs never waits. Lines go through a bounded queue to a thread that writes them, so that a terminal or a
//! collector that does not read cannot hold up a shard; lines beyond the queue are dropped and counted.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::terminal;
use crate::config::{Log, LogFormat, LogLevel};

/// Lines that wait for standard error: some seconds of a flood of bad connections, about 2 MiB at the most.
const LINES_WAITING_MAX: usize = 8192;

/// Starts logging; a second call of one process changes nothing. What waits is written out when the guard goes.
pub(super) fn start(log: Log) -> WorkerGuard {
    let colour = terminal::colour(io::stderr().is_terminal());
    let (queue, guard) = queue(io::stderr());
    if tracing::subscriber::set_global_default(subscriber(log, colour, Queue(queue))).is_err() {
        tracing::debug!("logging was started before");
    }
    guard
}

fn queue(to: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING_MAX).thread_name("weir-log").finish(to)
}

/// The queue to the thread that writes; with each line it tells the metrics how many were dropped so far.
struct Queue(NonBlocking);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        let dropped = self.0.error_counter().dropped_lines();
        metrics::counter!("weir_log_lines_dropped_total").absolute(dropped as u64);
        self.0.clone()
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

    /// Takes its first line only once it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_what_is_dropped_is_counted() {
        let (let_go, stuck) = std::sync::mpsc::channel();
        let (to, guard) = queue(Stuck(stuck));
        let dropped = to.error_counter();
        let log = Log { format: LogFormat::Text, level: LogLevel::Info };
        tracing::subscriber::with_default(subscriber(log, false, Queue(to)), || {
            for line in 0..LINES_WAITING_MAX * 2 {
                tracing::info!(target: "weir::shard", line, "a flood");
            }
        });
        // One line is in the writer's hands.
        assert!((LINES_WAITING_MAX - 1..=LINES_WAITING_MAX).contains(&dropped.dropped_lines()));
        drop(let_go);
        drop(guard);
    }

    #[test]
    fn on_request_a_fact_is_one_json_object() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"listening".into()));
        assert_eq!((&line["listener"], &line["port"]), (&"main".into(), &9292.into()));
        assert!(line["timestamp"].is_string());
    }
}
