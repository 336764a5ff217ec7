//! What a recorded frame holds of records, in the frame's order, and what of them is not there and why.
//!
//! Invariants:
//! - A record is shown only where every byte of its batch was recorded; nothing is read out of the zeros that stand for
//!   bytes that are not there.
//! - Whatever is left out is told, with the reason.

use super::names::Names;
use crate::event::piece::Withheld;
use crate::limits::RECORDS_INFLATED_BYTES_MAX;
use crate::recorder::Stretch;
use crate::wire::kafka::api;
use crate::wire::kafka::frame::{PREFIX_LEN, Parsed, RequestHeader, response_header_len};
use crate::wire::kafka::layout::Direction;
use crate::wire::kafka::records::locate::{RecordsField, locate};
use crate::wire::kafka::records::{self, About, Entry, Record, RecordsError};

/// Which API and version a frame is of.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Shape {
    pub(in crate::cli) api_key: i16,
    pub(in crate::cli) version: i16,
    pub(in crate::cli) direction: Direction,
}

/// A topic's partition, as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Place<'a> {
    pub(in crate::cli) topic: &'a str,
    pub(in crate::cli) partition: i32,
}

/// A part of what a frame holds.
#[derive(Debug)]
pub(in crate::cli) enum Part<'a> {
    Record {
        place: Place<'a>,
        about: &'a About,
        record: Record<'a>,
    },
    /// Something is not there.
    Missing {
        /// Where, as far as that is known.
        place: Option<Place<'a>>,
        /// How many bytes.
        bytes: u64,
        why: Missing,
    },
}

/// Why something is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum Missing {
    #[error("withheld: a secret")]
    Secret,
    #[error("withheld: no rule asks to record this topic")]
    NotAsked,
    #[error("not captured: the recording could not keep up")]
    Lost,
    /// As brokers do where a batch does not fit into an answer; clients read it again.
    #[error("cut off by the broker")]
    CutOff,
    #[error("{0}")]
    Unreadable(#[from] RecordsError),
    #[error("the frame does not follow its API's layout: {0}")]
    Layout(String),
}

/// A frame whose bytes were put together, with what they leave open.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Whole<'a> {
    /// From the length prefix on.
    pub(in crate::cli) bytes: &'a [u8],
    /// Stretches without content, in order.
    pub(in crate::cli) holes: &'a [Stretch],
}

/// Tells `sink` everything that the frame holds of records, in order. `inflated` is room that is used again.
pub(in crate::cli) fn each<E>(
    frame: Whole<'_>,
    shape: Shape,
    names: &mut Names<'_>,
    inflated: &mut Vec<u8>,
    sink: &mut dyn FnMut(Part<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let total = frame.bytes.len() as u64;
    let missing = |bytes, why| Part::Missing { place: None, bytes, why };
    let Some(body_at) = header_end(frame.bytes, shape) else {
        let why = frame.holes.first().map_or_else(|| Missing::Layout("its header cannot be read".to_owned()), hole);
        return sink(missing(total, why));
    };
    let Some(located) = locate(shape.api_key, shape.version, shape.direction, &frame.bytes[body_at..]) else {
        let why = format!("{} v{} has none here", api::name(shape.api_key), shape.version);
        return sink(missing(total, Missing::Layout(why)));
    };
    let mut read_up_to = 0;
    for field in &located.fields {
        let from = body_at + field.span.start;
        // Zeros between two fields were walked over as if they were what lies there.
        if let Some(stretch) = overlapping(frame.holes, read_up_to, from).next() {
            return sink(missing(total - read_up_to as u64, hole(stretch)));
        }
        read_up_to = body_at + field.span.end;
        field_of(frame, field, body_at, names, inflated, sink)?;
    }
    if let Some(stretch) = overlapping(frame.holes, read_up_to, frame.bytes.len()).next() {
        return sink(missing(stretch.bytes, hole(stretch)));
    }
    match located.fault {
        Some(fault) => sink(missing(total - read_up_to as u64, Missing::Layout(fault.to_string()))),
        None => Ok(()),
    }
}

fn field_of<E>(
    frame: Whole<'_>,
    field: &RecordsField,
    body_at: usize,
    names: &mut Names<'_>,
    inflated: &mut Vec<u8>,
    sink: &mut dyn FnMut(Part<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let start = body_at + field.span.start;
    let bytes = &frame.bytes[start..body_at + field.span.end];
    if bytes.is_empty() {
        return Ok(());
    }
    let topic = names.name(&field.topic, field.partition, bytes.len() as u64);
    let place = Place { topic: &topic, partition: field.partition };
    let missing = |bytes, why| Part::Missing { place: Some(place), bytes, why };
    for entry in records::entries(bytes) {
        let from = start + entry.at;
        let mut holes = overlapping(frame.holes, from, from + entry.bytes.len()).peekable();
        if holes.peek().is_some() {
            holes.try_for_each(|stretch| sink(missing(stretch.bytes, hole(stretch))))?;
            continue;
        }
        if let Err(why) = batch(entry, place, inflated, sink)? {
            sink(missing(entry.bytes.len() as u64, why))?;
        }
    }
    Ok(())
}

/// One batch; the inner error says why it, or the rest of it, cannot be shown.
fn batch<E>(
    entry: Entry<'_>,
    place: Place<'_>,
    inflated: &mut Vec<u8>,
    sink: &mut dyn FnMut(Part<'_>) -> Result<(), E>,
) -> Result<Result<(), Missing>, E> {
    if !entry.whole {
        return Ok(Err(Missing::CutOff));
    }
    let opened = match records::open(entry.bytes, RECORDS_INFLATED_BYTES_MAX, inflated) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error.into())),
    };
    for record in opened.records {
        match record {
            Ok(record) => sink(Part::Record { place, about: &opened.about, record })?,
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(()))
}

/// Where the body begins, the length prefix counted.
fn header_end(bytes: &[u8], shape: Shape) -> Option<usize> {
    let rest = bytes.get(PREFIX_LEN..)?;
    let length = match shape.direction {
        Direction::Request => match RequestHeader::parse(rest, rest.len()) {
            Ok(Parsed::Whole(header)) => header.len,
            _ => return None,
        },
        Direction::Response => {
            let version = api::lookup(shape.api_key)?.response_header_version(shape.version);
            match response_header_len(rest, rest.len(), version) {
                Ok(Parsed::Whole(length)) => length,
                _ => return None,
            }
        }
    };
    Some(PREFIX_LEN + length)
}

fn overlapping(holes: &[Stretch], from: usize, to: usize) -> impl Iterator<Item = &Stretch> {
    let (from, to) = (from as u64, to as u64);
    holes.iter().filter(move |hole| hole.at < to && hole.at.saturating_add(hole.bytes) > from)
}

fn hole(stretch: &Stretch) -> Missing {
    match stretch.why {
        Some(Withheld::Secret) => Missing::Secret,
        Some(Withheld::NotAsked) => Missing::NotAsked,
        None => Missing::Lost,
    }
}
