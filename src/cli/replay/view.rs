//! What a replay draws: a line or more for each event, and below them where it is.

use std::io::{self, Write};

use super::pace::Speed;
use crate::cli::error::CliError;
use crate::cli::exchange::Line;
use crate::cli::terminal::{Columns, Style, harmless, shortened, width};
use crate::cli::time::{Clock, length};
use crate::cli::view::{Event, EventKind, Outcome, Session};

/// Columns of an event but for its result; times count from the session's beginning.
const COLUMNS: [(&str, u16); 3] = [("TIME", 10), ("WHAT", 22), ("TOOK", 6)];

/// What the keys do, where there is room for it.
const HELP: &str = "  space next  p pause  +/- speed  q quit";

/// The shortest bar that still says something, and the longest that is of use.
const BAR_MIN: usize = 8;
const BAR_MAX: usize = 40;

/// Draws one session.
pub(super) struct View {
    style: Style,
    columns: Columns,
    head: [String; 2],
    started_ns: u64,
    lasts_ns: u64,
    shown: u64,
}

impl View {
    pub(super) fn new(session: &Session, style: Style) -> Self {
        let lasts_ns = session.last_activity_ns.saturating_sub(session.started_ns);
        let client = harmless(session.client_id.as_deref().unwrap_or("a client without an id"));
        let clock = Clock::local();
        let started = format!("{} {}", clock.moment(session.started_ns), clock.zone_name());
        let head = [
            format!("{}, {client} from {}", harmless(&session.identity.subject), session.client_address),
            format!("{started}, {}; exchanges: {}", length(lasts_ns), session.exchanges),
        ];
        let started_ns = session.started_ns;
        View { style, columns: Columns::new(&COLUMNS, "RESULT"), head, started_ns, lasts_ns, shown: 0 }
    }

    /// Whose session it is.
    pub(super) fn head(&self, out: &mut impl Write) -> Result<(), CliError> {
        let [who, when] = &self.head;
        Ok(writeln!(out, "{}\n{}\n", self.style.bold(who), self.style.dim(when))?)
    }

    /// One event.
    pub(super) fn event(&mut self, event: &Event, out: &mut impl Write) -> Result<(), CliError> {
        let Line { what, result, .. } = Line::of(&event.kind);
        let took = match &event.kind {
            EventKind::Exchange { response, .. } if response.outcome != Outcome::Unknown => {
                length(response.latency.client_ns + response.latency.weir_ns + response.latency.broker_ns)
            }
            _ => String::new(),
        };
        let row = self.columns.row(vec![self.offset(event.at_ns), what, took, result]);
        let head = usize::from(self.shown == 0);
        self.shown += 1;
        for (at, line) in row.lines().enumerate() {
            let line = match &event.kind {
                _ if at < head => line.to_owned(),
                EventKind::Exchange { response, .. } if response.failed() => self.style.red(line),
                EventKind::LoginFailed { .. } | EventKind::NotCaptured { .. } => self.style.red(line),
                EventKind::Exchange { .. } | EventKind::Noted { .. } => line.to_owned(),
                _ => self.style.dim(line),
            };
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// A gap of which so much is left out.
    pub(super) fn idle(&self, skipped_ns: u64, out: &mut impl Write) -> Result<(), CliError> {
        Ok(writeln!(out, "{}", self.style.dim(&format!("{:>10} … {} idle", "", length(skipped_ns))))?)
    }

    /// Draws the last line: how fast, where, and what the keys do.
    pub(super) fn status(
        &self,
        now_ns: u64,
        speed: Speed,
        paused: bool,
        out: &mut RawLines<impl Write>,
    ) -> Result<(), CliError> {
        let line = self.status_line(width(), now_ns, speed, paused);
        write!(out, "\r{}\u{1b}[K", self.style.bold(&line))?;
        Ok(out.flush()?)
    }

    fn status_line(&self, width: usize, now_ns: u64, speed: Speed, paused: bool) -> String {
        let at_ns = now_ns.saturating_sub(self.started_ns).min(self.lasts_ns);
        let state = if paused { "paused" } else { "replay" };
        let left = format!("{state} {speed}  {} of {}  ", self.offset(now_ns), length(self.lasts_ns));
        let room = width.saturating_sub(1 + left.chars().count());
        let help = if room >= HELP.len() + BAR_MIN { HELP } else { "" };
        let bar = (room - help.len()).min(BAR_MAX);
        if bar < BAR_MIN {
            return shortened(&left, width.saturating_sub(1).max(2));
        }
        let done = (bar as u128 * u128::from(at_ns) / u128::from(self.lasts_ns.max(1))) as usize;
        format!("{left}{}{}{help}", "━".repeat(done), "─".repeat(bar - done))
    }

    /// Takes the last line away.
    pub(super) fn clear_status(&self, out: &mut RawLines<impl Write>) -> Result<(), CliError> {
        Ok(write!(out, "\r\u{1b}[K")?)
    }

    /// How much was shown.
    pub(super) fn end(&self, out: &mut impl Write) -> Result<(), CliError> {
        writeln!(out, "\n{}", self.style.dim(&format!("events shown: {}", self.shown)))?;
        Ok(out.flush()?)
    }

    /// `+1.234s`, `+2m05.1s`.
    fn offset(&self, at_ns: u64) -> String {
        let ms = at_ns.saturating_sub(self.started_ns) / 1_000_000;
        let (s, ms) = (ms / 1000, ms % 1000);
        match s {
            0..60 => format!("+{s}.{ms:03}s"),
            60..3600 => format!("+{}m{:02}.{}s", s / 60, s % 60, ms / 100),
            _ => format!("+{}h{:02}m{:02}s", s / 3600, s / 60 % 60, s % 60),
        }
    }
}

/// Lines for a terminal that was taken for keys, where a line's end goes down and not back.
pub(super) struct RawLines<W> {
    out: W,
    raw: bool,
}

impl<W: Write> RawLines<W> {
    pub(super) fn new(out: W, raw: bool) -> Self {
        RawLines { out, raw }
    }
}

impl<W: Write> Write for RawLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.raw {
            return self.out.write(bytes);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    self.out.write_all(line)?;
                    self.out.write_all(b"\r\n")?;
                }
                None => self.out.write_all(line)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_of_a_taken_terminal_go_back_to_its_left_side() {
        let written = |raw| {
            let mut out = Vec::new();
            RawLines::new(&mut out, raw).write_all(b"one\ntwo\r\n\nthree").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(true), "one\r\ntwo\r\r\n\r\nthree");
        assert_eq!(written(false), "one\ntwo\r\n\nthree");
    }
}
