//! What one event or piece adds to its session's counts.

use super::rows::Tally;
use crate::event::piece::{Content, Piece};
use crate::event::{EventKind, Item, Outcome, Resource};

/// The topics an event names, as often as it names them.
pub(super) fn topics_of(kind: &EventKind) -> impl Iterator<Item = &str> {
    let (request, response) = match kind {
        EventKind::Noted { request, .. } => (Some(request), None),
        EventKind::Exchange { request, response, .. } => (request.as_ref(), Some(response)),
        _ => (None, None),
    };
    let asked = request.into_iter().flat_map(|request| &request.items);
    let answered = response.into_iter().flat_map(|response| &response.items);
    asked.chain(answered).filter(|item| item.resource == Resource::Topic).map(|item| item.name.as_str())
}

/// Records named in a request were handed to a broker, records named in a response were read. The response to a noted
/// request repeats what was written, so it counts no records.
pub(super) fn tally_of(kind: &EventKind) -> Tally {
    let mut tally = Tally::default();
    match kind {
        EventKind::Noted { request, .. } => {
            tally.bytes_in = request.bytes;
            tally.records_written = records(&request.items);
        }
        EventKind::Exchange { request, response, .. } => {
            let failed = response.error_code != 0 || response.items.iter().any(|item| item.error_code != 0);
            let refused = response.outcome == Outcome::Refused;
            tally.exchanges = 1;
            tally.errors = failed.into();
            tally.refused = refused.into();
            tally.bytes_out = response.bytes;
            if let Some(request) = request {
                tally.bytes_in = request.bytes;
                let written = records(&request.items);
                let read = records(&response.items);
                tally.records_written = if refused { 0 } else { written };
                tally.records_read = if written > 0 { 0 } else { read };
            }
        }
        EventKind::LoginFailed { .. } => tally.errors = 1,
        EventKind::NotCaptured { events } => tally.not_captured = *events,
        EventKind::Opened { .. } | EventKind::Identified { .. } | EventKind::Held { .. } | EventKind::Closed { .. } => {
        }
    }
    tally
}

/// A frame counts with its first piece.
pub(super) fn tally_of_piece(piece: &Piece<'_>) -> Tally {
    let frames = (piece.at == 0).into();
    match piece.content {
        Content::Bytes(bytes) => Tally { frames, frame_bytes: bytes.len() as u64, ..Tally::default() },
        Content::Withheld { bytes, .. } => Tally { frames, frame_bytes_withheld: bytes, ..Tally::default() },
    }
}

fn records(items: &[Item]) -> u64 {
    items.iter().filter_map(|item| item.records).map(u64::from).sum()
}
