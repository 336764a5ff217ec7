//! `weir export`: a session for other programs, as JSON lines, as bare frames, or as a capture file for Wireshark.
//!
//! Invariants:
//! - Memory holds a page of frames, however long the session.
//! - A file is made for its owner only, and never over another one: it holds what clients sent.

mod frames;
mod pcapng;
mod tcp;

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;

use serde::Deserialize;

use super::args::{ExportArgs, ExportFormat};
use super::error::CliError;
use super::records::select::Selection;
use super::show::{self, NO_FRAMES};
use super::source::Recording;
use super::view::{EventKind, Session};
use crate::config::Config;
use crate::event::SessionId;
use crate::recorder::{CapturedFrame, FrameCursor};

pub(super) fn run(args: &ExportArgs, out: &mut impl Write) -> Result<(), CliError> {
    let config = Config::load(&args.config.file)?;
    let recording = Recording::find(&config)?;
    let session = recording.session(args.session)?;
    let frames_needed = args.format != ExportFormat::Jsonl;
    if frames_needed && Session::deserialize(&session)?.frames == 0 {
        return Err(CliError::Unsuitable(NO_FRAMES.to_owned()));
    }
    let Some(path) = &args.output else {
        if frames_needed && io::stdout().is_terminal() {
            return Err(CliError::Unsuitable(
                "this format is no text: name a file with --output, or a pipe".to_owned(),
            ));
        }
        return write(args, &config, &recording, &session, out);
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|source| CliError::File { path: path.clone(), source })?;
    let mut file = BufWriter::new(file);
    write(args, &config, &recording, &session, &mut file)?;
    file.flush().map_err(|source| CliError::File { path: path.clone(), source })
}

fn write(
    args: &ExportArgs,
    config: &Config,
    recording: &Recording,
    session: &serde_json::Value,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let selection = Selection { since_ns: args.since, until_ns: args.until, ..Selection::default() };
    let frames = Frames::new(recording, args.session, &selection);
    match args.format {
        ExportFormat::Jsonl => {
            writeln!(out, "{session}")?;
            show::json_lines(recording, args.session, &selection, true, out)
        }
        ExportFormat::Frames => frames::write(frames, out),
        ExportFormat::Pcapng => capture(config, recording, args.session, frames, out),
    }
}

/// Lays frames between the beginnings and ends of their connections.
fn capture(
    config: &Config,
    recording: &Recording,
    session: SessionId,
    mut frames: Frames<'_>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let mut capture = tcp::Capture::new(pcapng::Writer::new(out)?);
    show::each_event(recording, session, &Selection::default(), |_, event| {
        let connection = (event.boot, event.shard, event.connection);
        match &event.kind {
            EventKind::Opened { listener, peer, broker } => {
                frames.each_until(Some(event.at_ns), |frame| capture.frame(frame))?;
                capture.open(connection, event.at_ns, peer, tcp::door(config, listener, *broker));
            }
            EventKind::Closed { .. } => {
                frames.each_until(Some(event.at_ns), |frame| capture.frame(frame))?;
                capture.close(connection, event.at_ns)?;
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    frames.each_until(None, |frame| capture.frame(frame))
}

/// The frames of a session, a page at a time.
struct Frames<'a> {
    recording: &'a Recording,
    session: SessionId,
    cursor: FrameCursor,
    until_ns: Option<u64>,
    page: VecDeque<CapturedFrame>,
    at_end: bool,
}

impl<'a> Frames<'a> {
    fn new(recording: &'a Recording, session: SessionId, selection: &Selection) -> Self {
        let cursor = selection.since_ns.map_or_else(FrameCursor::default, FrameCursor::at);
        Frames { recording, session, cursor, until_ns: selection.until_ns, page: VecDeque::new(), at_end: false }
    }

    fn next(&mut self) -> Result<Option<CapturedFrame>, CliError> {
        self.fill()?;
        Ok(self.page.pop_front())
    }

    /// Gives every frame that began before `before_ns` to `take`.
    fn each_until(
        &mut self,
        before_ns: Option<u64>,
        mut take: impl FnMut(CapturedFrame) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        loop {
            self.fill()?;
            let is_due = |frame: &CapturedFrame| before_ns.is_none_or(|before_ns| frame.at_ns < before_ns);
            match self.page.pop_front_if(|frame| is_due(frame)) {
                Some(frame) => take(frame)?,
                None => return Ok(()),
            }
        }
    }

    fn fill(&mut self) -> Result<(), CliError> {
        while self.page.is_empty() && !self.at_end {
            let page = self.recording.frames(self.session, self.cursor)?;
            (self.cursor, self.at_end) = (page.next, page.is_last);
            self.page.extend(page.frames);
            if self.page.back().is_some_and(|frame| self.until_ns.is_some_and(|until_ns| frame.at_ns > until_ns)) {
                self.page.retain(|frame| self.until_ns.is_none_or(|until_ns| frame.at_ns <= until_ns));
                self.at_end = true;
            }
        }
        Ok(())
    }
}
