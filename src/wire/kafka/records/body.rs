//! Rewrites the records in a whole frame: those of a Produce request, or of a Fetch or ShareFetch response, of any version.
//!
//! Invariants:
//! - What is no record of a partition that is rewritten stays byte for byte, but for the lengths around it.
//! - Records of a partition that may not pass are taken out of the frame, all of them: there is no half of a partition.
//! - What a response has cut off at the end of a partition's records goes, since it cannot be looked into; readers drop it.
//! - What is made anew of a frame has a bound, and one batch more. A reader can be given less than was asked for, as
//!   brokers do, in whole batches and at least one of them; it asks for the rest again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::locate::{RecordsField, Topic, locate};
use super::rewrite::{Bounds, Outcome, Refusal, Replacement, Rewriter, Verdict};
use super::{Record, RecordsError, entries};
use crate::wire::kafka::api::key;
use crate::wire::kafka::edit::{Edits, varint};
use crate::wire::kafka::frame::PREFIX_LEN;
use crate::wire::kafka::layout::{Direction, Group, Role};
use crate::wire::kafka::walk::{Fault, Malformed, Span, Value, Visitor, Walker};
use crate::wire::wipe;

/// What is done with the records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// They pass as they are.
    Pass,
    /// Each of them is asked about.
    Rewrite,
    /// They may not pass.
    Refuse,
}

/// Decides on the records of a frame, partition by partition, in the frame's order.
pub trait Partitions {
    /// What is done with this partition's records.
    fn begin(&mut self, topic: &Topic, partition: i32) -> Treatment;
    /// What becomes of a record of it.
    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict;
    /// Its records may not pass, and are not in the frame any more; `why` is none where that was said at its beginning.
    /// In a response the partition answers with this error code from now on, unless there is none.
    fn refused(&mut self, topic: &Topic, partition: i32, why: Option<&Refusal>) -> Option<i16>;
}

/// A frame with its length prefix.
#[derive(Debug)]
pub struct Frame<'a> {
    /// API key.
    pub api_key: i16,
    /// API version.
    pub version: i16,
    /// Request or response.
    pub direction: Direction,
    /// Its bytes; copied only when one of them changes.
    pub bytes: Cow<'a, [u8]>,
    /// Bytes of length prefix and header.
    pub body_at: usize,
}

/// Bounds within which a frame is rewritten.
#[derive(Debug, Clone, Copy)]
pub struct FrameBounds {
    /// Those of each batch.
    pub batch: Bounds,
    /// What the partitions that are made anew may come to together, bytes.
    pub rewritten: usize,
    /// Beyond, the frame ends with the batches so far; else the partition is refused.
    pub may_cut: bool,
}

/// Rewrites a frame by what `partitions` say. An error means that the body leaves its layout: nothing of it may pass.
pub fn rewrite(
    frame: &mut Frame<'_>,
    rewriter: &mut Rewriter,
    bounds: &FrameBounds,
    partitions: &mut dyn Partitions,
) -> Result<(), Malformed> {
    let (key, version, direction) = (frame.api_key, frame.version, frame.direction);
    let body = frame.bytes.get(frame.body_at..).unwrap_or_default();
    let walker = match direction {
        Direction::Request => Walker::request(key, version, body.len() as u64),
        Direction::Response => Walker::response(key, version, body.len() as u64),
    };
    let Some((walker, located)) = walker.zip(locate(key, version, direction, body)) else { return Ok(()) };
    if let Some(fault) = located.fault {
        return Err(fault);
    }
    let flexible = walker.is_flexible();
    let mut edits = Edits::new(flexible);
    let (bytes, body_at) = (&mut frame.bytes, frame.body_at);
    let mut job = Job { bytes, body_at, direction, rewriter: &mut *rewriter, bounds, made: 0, cut: false };
    for field in &located.fields {
        match partitions.begin(&field.topic, field.partition) {
            Treatment::Pass => {}
            Treatment::Refuse => refuse(&mut edits, field, flexible, partitions, None),
            Treatment::Rewrite if job.cut => edits.replace(field.field, prefixed(flexible, &[])),
            Treatment::Rewrite => match job.partition(field.span.clone(), partitions) {
                Ok(None) => {}
                Ok(Some(records)) => edits.replace(field.field, prefixed(flexible, &records)),
                Err(refusal) => refuse(&mut edits, field, flexible, partitions, Some(&refusal)),
            },
        }
    }
    rewriter.trim();
    if !edits.is_empty() {
        let new = framed(&frame.bytes, frame.body_at, edits, || walker.malformed(Fault::PastTheEnd))?;
        if let Cow::Owned(mut old) = std::mem::replace(&mut frame.bytes, Cow::Owned(new)) {
            wipe(&mut old);
        }
    }
    Ok(())
}

/// A records field with its length.
pub(super) fn prefixed(flexible: bool, records: &[u8]) -> Vec<u8> {
    let length = records.len() as u32;
    let prefix = if flexible { varint(length + 1) } else { length.to_be_bytes().to_vec() };
    [&prefix, records].concat()
}

fn refuse(
    edits: &mut Edits,
    field: &RecordsField,
    flexible: bool,
    partitions: &mut dyn Partitions,
    why: Option<&Refusal>,
) {
    if !field.span.is_empty() {
        edits.replace(field.field, prefixed(flexible, &[]));
    }
    if let (Some(code), Some(error)) = (partitions.refused(&field.topic, field.partition, why), field.error) {
        edits.int(error, i64::from(code));
    }
}

/// The frame with the edits made in its body, and its length right.
fn framed(bytes: &[u8], body_at: usize, edits: Edits, too_long: impl Fn() -> Malformed) -> Result<Vec<u8>, Malformed> {
    let (head, body) = bytes.split_at(body_at);
    let mut frame = Vec::with_capacity(bytes.len() + 256);
    frame.extend_from_slice(head);
    edits.splice_into(body, &mut frame);
    let length = i32::try_from(frame.len() - PREFIX_LEN).map_err(|_| too_long())?;
    frame[..PREFIX_LEN].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The request `frame` with the most bytes that it asks for brought down to `max`, where it is one that says so.
pub fn cap_max_bytes<'a>(
    api_key: i16,
    version: i16,
    mut frame: Cow<'a, [u8]>,
    body_at: usize,
    max: i32,
) -> Cow<'a, [u8]> {
    struct MaxBytes(Option<(i64, Span)>);
    impl Visitor for MaxBytes {
        fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
            if let (Role::MaxBytes, Value::Int(bytes)) = (role, value) {
                self.0 = Some((bytes, span));
            }
        }
    }
    let body = frame.get(body_at..).unwrap_or_default();
    let mut asked = MaxBytes(None);
    let walked = Walker::request(api_key, version, body.len() as u64).map(|mut walker| walker.feed(body, &mut asked));
    if let (Some(Ok(())), Some((bytes, span))) = (walked, asked.0)
        && bytes > i64::from(max)
    {
        let at = body_at + span.start as usize;
        frame.to_mut()[at..at + 4].copy_from_slice(&max.to_be_bytes());
    }
    frame
}

struct Job<'f, 'a> {
    bytes: &'f mut Cow<'a, [u8]>,
    body_at: usize,
    direction: Direction,
    rewriter: &'f mut Rewriter,
    bounds: &'f FrameBounds,
    /// Bytes of the partitions made anew so far.
    made: usize,
    /// The frame has come to its bound.
    cut: bool,
}

impl Job<'_, '_> {
    /// Rewrites the records at `span` of the body: none where they are right in the frame, changed in place or not at all.
    fn partition(&mut self, span: Range<usize>, partitions: &mut dyn Partitions) -> Result<Option<Vec<u8>>, Refusal> {
        let new = self.batches(span, partitions)?;
        self.made += new.as_ref().map_or(0, Vec::len);
        Ok(new)
    }

    /// Whether a batch of so many bytes has no place any more behind those of its partition that were made anew.
    fn is_beyond(&self, before: usize, batch: usize) -> Result<bool, Refusal> {
        let FrameBounds { rewritten: max, may_cut, .. } = *self.bounds;
        match (self.made + before).saturating_add(batch) > max {
            true if !may_cut => Err(Refusal::FrameGrown { max }),
            // One batch there is in any case: who gets none asks for the same for ever.
            too_much => Ok(too_much && self.made + before > 0),
        }
    }

    fn batches(&mut self, span: Range<usize>, partitions: &mut dyn Partitions) -> Result<Option<Vec<u8>>, Refusal> {
        let (start, end) = (self.body_at + span.start, self.body_at + span.end);
        let mut at = start;
        let mut new: Option<Vec<u8>> = None;
        loop {
            let next = entries(&self.bytes[at..end]).next().map(|entry| (entry.bytes.len(), entry.whole));
            let Some((length, whole)) = next else { return Ok(new) };
            let batch = at..at + length;
            if !whole && self.direction == Direction::Request {
                return Err(RecordsError::NotWhole.into());
            }
            if !whole {
                return Ok(Some(new.unwrap_or_else(|| self.bytes[start..at].to_vec())));
            }
            let decide = &mut |record: &Record<'_>, with: &mut Replacement| partitions.record(record, with);
            let outcome = self.rewriter.rewrite(&self.bytes[batch.clone()], &self.bounds.batch, decide)?;
            match outcome {
                Outcome::Untouched => {}
                Outcome::Patched => self.rewriter.patch(&mut self.bytes.to_mut()[batch.clone()]),
                Outcome::Replaced => {
                    let before = new.as_ref().map_or(at - start, Vec::len);
                    if self.is_beyond(before, self.rewriter.replacement().len())? {
                        self.cut = true;
                        return Ok(Some(new.unwrap_or_else(|| self.bytes[start..at].to_vec())));
                    }
                    let new = new.get_or_insert_with(|| self.bytes[start..at].to_vec());
                    new.extend_from_slice(self.rewriter.replacement());
                }
            }
            if outcome != Outcome::Replaced
                && let Some(new) = &mut new
            {
                new.extend_from_slice(&self.bytes[batch.clone()]);
            }
            at = batch.end;
        }
    }
}

/// A partition of a Produce request whose records did not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The topic, as the request names it.
    pub topic: Topic,
    /// The partition's index.
    pub partition: i32,
    /// The error code that its client gets.
    pub code: i16,
    /// What a person should know; clients get it from version 8 on.
    pub why: Cow<'static, str>,
}

/// The whole answer to a Produce request that went on without these partitions' records, which the broker has answered as
/// empty ones: each of them now says why. `frame` is with its length prefix.
pub fn answer_refused(
    version: i16,
    frame: &[u8],
    body_at: usize,
    refused: &[Refused],
) -> Result<Option<Vec<u8>>, Malformed> {
    let body = frame.get(body_at..).unwrap_or_default();
    let Some(mut walker) = Walker::response(key::PRODUCE, version, body.len() as u64) else { return Ok(None) };
    let edits = Edits::new(walker.is_flexible());
    // A request may name a partition more than once: what was said first.
    let refused = refused.iter().rev().map(|of| ((&of.topic, of.partition), of)).collect();
    let mut answers = Answers { edits, refused, topic: None, partition: 0, coded: true };
    walker.feed(body, &mut answers)?;
    walker.finish()?;
    let edits = answers.edits;
    if edits.is_empty() {
        return Ok(None);
    }
    framed(frame, body_at, edits, || walker.malformed(Fault::PastTheEnd)).map(Some)
}

struct Answers<'a> {
    edits: Edits,
    refused: HashMap<(&'a Topic, i32), &'a Refused>,
    topic: Option<Topic>,
    partition: i32,
    /// The partition's error code has been met.
    coded: bool,
}

impl<'a> Answers<'a> {
    fn refused(&self) -> Option<&'a Refused> {
        self.refused.get(&(self.topic.as_ref()?, self.partition)).copied()
    }
}

impl Visitor for Answers<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        match (role, value) {
            (Role::Topic, Value::Text(Some(name))) => self.topic = Some(Topic::Name(name.into())),
            (Role::TopicId, Value::Uuid(id)) => self.topic = Some(Topic::Id(id)),
            (Role::Partition, Value::Int(index)) => self.partition = i32::try_from(index).unwrap_or(-1),
            (Role::ErrorCode, Value::Int(_)) if !self.coded => {
                self.coded = true;
                if let Some(code) = self.refused().map(|of| of.code) {
                    self.edits.int(span, i64::from(code));
                }
            }
            (Role::ErrorMessage, Value::Text(_)) => {
                if let Some(refused) = self.refused() {
                    self.edits.text(span, Some(&refused.why));
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, group: Group, _at: u64) {
        match group {
            Group::Topic => self.topic = None,
            Group::Partition => self.coded = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
