//! Records as `--records` shows them: found in the frames that full recording kept, below the exchange they belong to.

pub(super) mod content;
pub(super) mod finder;
pub(super) mod json;
pub(super) mod names;
pub(super) mod pretty;
pub(super) mod select;
pub(super) mod text;

use std::fmt;

use super::error::CliError;
use super::source::Recording;
use super::view::{Event, EventKind, Item, Request, Response};
use crate::event::SessionId;
use crate::event::piece::Way;
use crate::recorder::EventCursor;
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::records::locate::carries_records;
use content::{Part, Shape, Whole};
use finder::{Finder, Found};
use names::{KnownNames, Names};

/// Why nothing can be shown of an exchange's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// The frame is not in the recording.
    NotRecorded,
    /// The frame is longer than what is looked into.
    TooLong(u64),
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::NotRecorded => f.write_str("records not recorded: no rule asked for it, or the recording lost it"),
            Absent::TooLong(bytes) => write!(f, "records not shown: a frame of {bytes} bytes"),
        }
    }
}

/// Takes what is found of one exchange's records.
pub(super) trait Sink {
    /// A part of them.
    fn part(&mut self, part: Part<'_>) -> Result<(), CliError>;
    /// There is nothing to show.
    fn absent(&mut self, absent: Absent) -> Result<(), CliError>;
}

/// Shows the records of one session's exchanges, which are asked for in the order in which they happened.
pub(super) struct Shower<'a> {
    finder: Finder<'a>,
    known: KnownNames,
    inflated: Vec<u8>,
}

impl<'a> Shower<'a> {
    /// For exchanges from `from_ns` on.
    pub(super) fn new(recording: &'a Recording, session: SessionId, from_ns: u64) -> Self {
        Shower { finder: Finder::new(recording, session, from_ns), known: KnownNames::default(), inflated: Vec::new() }
    }

    /// For a session that is being recorded: frames are waited for.
    pub(super) fn live(recording: &'a Recording, session: SessionId, from_ns: u64) -> Self {
        Shower { finder: Finder::live(recording, session, from_ns), ..Shower::new(recording, session, from_ns) }
    }

    /// Tells `sink` the records of an event, if it is an exchange that moved some.
    pub(super) fn show(&mut self, event: &Event, sink: &mut impl Sink) -> Result<(), CliError> {
        let EventKind::Exchange { ordinal, request: Some(request), response } = &event.kind else { return Ok(()) };
        let Some((way, items)) = side(request, response) else { return Ok(()) };
        let found = self.finder.find(event, *ordinal, way)?;
        let Found { bytes, holes } = match found {
            Ok(found) => found,
            // Of an exchange without a record nothing is missed.
            Err(Absent::NotRecorded) if moved(&request.items) + moved(&response.items) == 0 => return Ok(()),
            Err(absent) => return sink.absent(absent),
        };
        let direction = if way == Way::Request { Direction::Request } else { Direction::Response };
        let shape = Shape { api_key: request.api_key, version: request.api_version, direction };
        let frame = Whole { bytes: &bytes, holes: &holes };
        let mut names = Names::new(&mut self.known, items);
        content::each(frame, shape, &mut names, &mut self.inflated, &mut |part| sink.part(part))
    }
}

/// On which side of an exchange records travel, and what the event says of it.
fn side<'e>(request: &'e Request, response: &'e Response) -> Option<(Way, &'e [Item])> {
    if carries_records(request.api_key, Direction::Request) {
        return Some((Way::Request, &request.items));
    }
    carries_records(request.api_key, Direction::Response).then_some((Way::Response, &response.items))
}

fn moved(items: &[Item]) -> u64 {
    items.iter().filter_map(|item| item.records).map(u64::from).sum()
}

/// Where reading a session's events begins.
pub(super) fn cursor_at(since_ns: Option<u64>) -> EventCursor {
    since_ns.map_or_else(EventCursor::default, EventCursor::at)
}
