//! An answer without its records, made of one that is too large to be kept: what is no record is kept while it comes.
//!
//! Invariants:
//! - Nothing of a record is kept, nor is anything set aside by a length that the answer states.
//! - All but records, the lengths before them and the frame's own stays as it came. So a client asks for the same again.

use std::ops::Range;

use super::body;
use crate::wire::kafka::frame::PREFIX_LEN;
use crate::wire::kafka::layout::Role;
use crate::wire::kafka::walk::{Fault, Malformed, Span, Value, Visitor, Walker};

/// An answer on its way to be emptied.
#[derive(Debug)]
pub struct Emptied {
    walker: Walker,
    /// Bytes of length prefix and header that are still to come.
    head_left: usize,
    /// Where the records at hand end in the body.
    records_end: u64,
    kept: Vec<u8>,
    /// Where among what is kept the length of each partition's records stands.
    lengths: Vec<Range<usize>>,
}

impl Emptied {
    /// Of a frame whose body begins at `body_at`; none where the version has no layout.
    pub fn response(api_key: i16, version: i16, body_at: usize, frame_bytes: u64) -> Option<Emptied> {
        let walker = Walker::response(api_key, version, frame_bytes.saturating_sub(body_at as u64))?;
        Some(Emptied { walker, head_left: body_at, records_end: 0, kept: Vec::new(), lengths: Vec::new() })
    }

    /// Takes the next bytes of the frame.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let (head, mut piece) = piece.split_at(self.head_left.min(piece.len()));
        self.head_left -= head.len();
        self.kept.extend_from_slice(head);
        let mut at = self.walker.position();
        let mut found = Records::default();
        self.walker.feed(piece, &mut found)?;
        // Each takes the piece up to a place in the body.
        let mut take = |to: u64| {
            let (taken, rest) =
                piece.split_at(usize::try_from(to.saturating_sub(at)).map_or(piece.len(), |n| n.min(piece.len())));
            (at, piece) = (at + taken.len() as u64, rest);
            taken
        };
        take(self.records_end);
        for (field, length) in found.0 {
            let begin = field.end.saturating_sub(length.into());
            self.kept.extend_from_slice(take(begin));
            let width = usize::try_from(begin.saturating_sub(field.start)).unwrap_or(0);
            self.lengths.push(self.kept.len().saturating_sub(width)..self.kept.len());
            self.records_end = field.end;
            take(field.end);
        }
        self.kept.extend_from_slice(take(u64::MAX));
        Ok(())
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.kept.len() + self.lengths.len() * size_of::<Range<usize>>()
    }

    /// The whole frame, once its last byte was taken.
    pub fn finish(self) -> Result<Vec<u8>, Malformed> {
        self.walker.finish()?;
        let nothing = body::prefixed(self.walker.is_flexible(), &[]);
        let (mut frame, mut from) = (Vec::with_capacity(self.kept.len()), 0);
        for length in self.lengths {
            frame.extend_from_slice(&self.kept[from..length.start]);
            frame.extend_from_slice(&nothing);
            from = length.end;
        }
        frame.extend_from_slice(&self.kept[from..]);
        let length = frame.len().checked_sub(PREFIX_LEN).and_then(|length| i32::try_from(length).ok());
        let length = length.ok_or_else(|| self.walker.malformed(Fault::PastTheEnd))?;
        frame[..PREFIX_LEN].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }
}

/// Where records lie, with the bytes that they have.
#[derive(Default)]
struct Records(Vec<(Span, u32)>);

impl Visitor for Records {
    fn value(&mut self, _: Role, value: Value<'_>, span: Span) {
        if let Value::Records(Some(length)) = value {
            self.0.push((span, length));
        }
    }

    fn wants_batches(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::kafka::api::{self, key};
    use crate::wire::kafka::layout::{Direction, Message, messages};
    use crate::wire::kafka::records::locate::locate;
    use crate::wire::kafka::samples;

    fn emptied(version: i16, frame: &[u8], size: usize) -> Vec<u8> {
        let mut emptied = Emptied::response(key::FETCH, version, 9, frame.len() as u64).unwrap();
        frame.chunks(size).for_each(|piece| emptied.feed(piece).unwrap());
        emptied.finish().unwrap()
    }

    #[test]
    fn an_answer_of_every_version_keeps_all_but_its_records_however_it_comes() {
        let of_fetch = |m: &&_| matches!(m, Message { api_key: key::FETCH, direction: Direction::Response, .. });
        let message = messages().iter().find(of_fetch).unwrap();
        let served = api::lookup(key::FETCH).unwrap().served;
        for version in served.min..=served.max {
            for seed in 1..40 {
                // What is made of the same script without records is what is left of the one with them.
                let of = |records: Vec<u8>| {
                    let body = samples::body_of(message, version, seed, &[records]);
                    [&(body.len() as i32 + 5).to_be_bytes()[..], b"head!", &body].concat()
                };
                let (full, empty) = (of(vec![0xee; 300]), of(Vec::new()));
                for size in [1, 7, 250, full.len()] {
                    assert_eq!(emptied(version, &full, size), empty, "version {version}, pieces of {size}");
                }
                let fields = locate(key::FETCH, version, Direction::Response, &empty[9..]).unwrap().fields;
                assert!(fields.iter().all(|field| field.span.is_empty()));
            }
        }
    }
}
