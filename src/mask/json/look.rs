//! The walk's looks inside of strings and numbers: what detectors find there, and JSON in a string.

use std::ops::Range;

use super::buffers::Buffers;
use super::scan::{self, Text};
use super::walk::{MALFORMED, Set, Stop, Walker};
use super::{Sought, leaf, text};
use crate::mask::action::{Action, stars};
use crate::mask::fields::{ActionId, NONE};
use crate::mask::plan::Fault;

/// JSON in strings in JSON in strings: each level doubles the backslashes, so nobody has many.
const NESTING_MAX: usize = 4;

/// Adds what all detectors of the plan find in a text; gives the strictest action among it.
pub(in crate::mask) fn detect(
    sought: &Sought,
    text: &[u8],
    found: &mut Vec<Range<usize>>,
    hits: &mut Vec<(Range<usize>, ActionId)>,
) -> ActionId {
    // Most texts have nothing for any of several sets: one look at each finds that out.
    if sought.detect.len() > 1 && sought.any.find_nothing_in(text, found) {
        return NONE;
    }
    let mut strictest = NONE;
    for (action, detectors) in &sought.detect {
        found.clear();
        detectors.find(text, found);
        if !found.is_empty() {
            strictest = strictest.max(*action);
            hits.extend(found.drain(..).map(|range| (range, *action)));
        }
    }
    strictest
}

/// Sorts hits and makes one of those that overlap, under the stricter action.
pub(in crate::mask) fn merge(hits: &mut Vec<(Range<usize>, ActionId)>) {
    hits.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    hits.dedup_by(|later, kept| {
        let overlaps = later.0.start < kept.0.end;
        if overlaps {
            kept.0.end = kept.0.end.max(later.0.end);
            kept.1 = kept.1.max(later.1);
        }
        overlaps
    });
}

impl Walker<'_> {
    pub(super) fn takes_whole(&self, action: ActionId) -> bool {
        action != NONE && self.sought.actions[action as usize].takes_whole()
    }

    /// What detectors find in a string, without its escapes; the hits are kept.
    pub(super) fn look_at_text(&mut self, raw: Range<usize>, escaped: bool) -> ActionId {
        let raw = &self.bytes[raw];
        let Buffers { plain, found, hits, .. } = &mut *self.buffers;
        hits.clear();
        if !escaped {
            return detect(self.sought, raw, found, hits);
        }
        plain.clear();
        text::unescape(raw, plain);
        detect(self.sought, plain, found, hits)
    }

    /// What detectors find in a number, as it is written and without its exponent.
    pub(super) fn look_at_number(&mut self, raw: Range<usize>) -> ActionId {
        let raw = &self.bytes[raw];
        let digits = raw.strip_prefix(b"-").unwrap_or(raw);
        let Buffers { plain, found, hits, .. } = &mut *self.buffers;
        hits.clear();
        let as_written = detect(self.sought, digits, found, hits);
        if digits.iter().all(u8::is_ascii_digit) {
            return as_written;
        }
        plain.clear();
        leaf::integer(raw, plain);
        as_written.max(detect(self.sought, plain, found, hits))
    }

    /// Masks the hits of the last look at a string.
    pub(super) fn mask_hits(&mut self, raw: Range<usize>, escaped: bool) {
        if self.buffers.hits.is_empty() {
            return;
        }
        merge(&mut self.buffers.hits);
        for i in 0..self.buffers.hits.len() {
            let (range, action) = self.buffers.hits[i].clone();
            let written = text::written(&self.bytes[raw.clone()], escaped, &range);
            // Where a detector's ranges meet within one character, it is masked already.
            let start = (raw.start + written.start).max(self.copied);
            let end = (raw.start + written.end).max(start);
            self.counts.found += 1;
            self.copy_to(start);
            let Buffers { room, out, .. } = &mut *self.buffers;
            leaf::mask_part(&self.sought.actions[action as usize], &self.bytes[start..end], escaped, room, out);
            self.copied = end;
        }
    }

    /// Masks what detectors find in a member's name.
    pub(super) fn look_at_name(&mut self, start: usize, name: Text) -> Result<(), Stop> {
        let action = self.look_at_text(start..name.end, name.escaped);
        if action == NONE {
            return Ok(());
        }
        if self.sought.actions[action as usize] == Action::DropRecord {
            return Err(Stop::Drop);
        }
        let member = self.frame()?.start();
        self.copy_to(member.max(self.copied));
        let written = self.buffers.out.len();
        self.frame()?.rewind = Some(written);
        self.mask_hits(start..name.end, name.escaped);
        Ok(())
    }

    /// Takes a leaf, from `start` to where the walk stands, out whole: what a detector found in it asks for that.
    pub(super) fn take_whole(&mut self, start: usize, action: ActionId) -> Result<(), Stop> {
        self.counts.found += 1;
        let in_object = self.buffers.frames.last().is_some_and(|frame| frame.is_object);
        match &self.sought.actions[action as usize] {
            Action::DropRecord => return Err(Stop::Drop),
            Action::DropField if in_object => {
                self.drop_member()?;
            }
            _ => self.replace_by_null(start),
        }
        Ok(())
    }

    /// Looks for a document in a string and masks it; whether there was one. One that is broken and could hold a field of
    /// the plan is redacted whole.
    pub(super) fn nested(&mut self, raw: Range<usize>, escaped: bool, set: Set) -> Result<bool, Stop> {
        let first = self.bytes.get(raw.start).ok_or(MALFORMED)?;
        if !matches!(first, b'{' | b'[' | b'\\' | b' ' | 0xef) {
            return Ok(false);
        }
        let mut source = std::mem::take(&mut self.buffers.source);
        source.clear();
        if escaped {
            text::unescape(&self.bytes[raw.clone()], &mut source);
        } else {
            source.extend_from_slice(&self.bytes[raw.clone()]);
        }
        let handled = self.nested_document(raw, &source, set);
        self.buffers.source = source;
        handled
    }

    fn nested_document(&mut self, raw: Range<usize>, source: &[u8], set: Set) -> Result<bool, Stop> {
        let sought = self.sought;
        if !super::begins_as_json(source) {
            return Ok(false);
        }
        let mut inner = self.buffers.inner.take().unwrap_or_default();
        inner.clear();
        sought.fields.start(&mut inner.places);
        let starts = inner.places.len();
        for place in &self.buffers.places[set.start..set.end] {
            if !inner.places.contains(place) {
                inner.places.push(*place);
            }
        }
        // Of a path that leads in here some names have been seen, perhaps the one that the prefilter looks for.
        let leads_in = inner.places.len() > starts;
        let named = leads_in || (!sought.fields.is_empty() && sought.prefilter.may_be_in(source));
        if !named && sought.detect.is_empty() {
            self.buffers.inner = Some(inner);
            return Ok(false);
        }
        let before = *self.counts;
        let mut walker = Walker::new(sought, source, scan::is_plain(source), &mut inner, self.counts);
        walker.nesting = self.nesting + 1;
        let walked = if self.nesting < NESTING_MAX { walker.documents() } else { Err(Stop::Fault(Fault::TooDeep)) };
        let handled = match walked {
            Ok(masked) => {
                if masked {
                    self.copy_to(raw.start);
                    text::escape(&inner.out, &mut self.buffers.out);
                    self.copied = raw.end;
                }
                Ok(true)
            }
            Err(Stop::Drop) => Err(Stop::Drop),
            Err(Stop::Fault(_)) => {
                *self.counts = before;
                if named {
                    self.counts.unparsable += 1;
                    self.copy_to(raw.start);
                    stars(raw.len(), &mut self.buffers.out);
                    self.copied = raw.end;
                }
                Ok(named)
            }
        };
        self.buffers.inner = Some(inner);
        handled
    }
}
