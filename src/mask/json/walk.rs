//! The one walk of a document: checks all of it, masks what the plan names, splices the rest.
//!
//! It keeps a frame for each open object or array, and in it the places of the paths that lead on from there
//! (`mask/fields.rs`). A part that no path leads into is only checked.

use super::buffers::Buffers;
use super::scan::{self, Text};
use super::{BOM, Sought, leaf, text};
use crate::mask::action::Action;
use crate::mask::fields::{ActionId, NONE};
use crate::mask::names::NameId;
use crate::mask::plan::{Counts, Fault};

/// Some places, by where they stand in [`Buffers::places`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Set {
    pub start: usize,
    pub end: usize,
}

impl Set {
    fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// An open object or array.
#[derive(Debug)]
pub(super) struct Frame {
    pub is_object: bool,
    /// What leads on from here.
    set: Set,
    /// The same for a field whose name no path has.
    others: Set,
    others_action: ActionId,
    /// What happens to all leaves in it.
    action: ActionId,
    /// How many places there were before it, and are with its own.
    floor: usize,
    top: usize,
    /// Where the present member begins, and the comma before it.
    member: usize,
    comma: usize,
    /// What was written when the present member began, if its name has been written since.
    pub rewind: Option<usize>,
    /// Whether a member up to this one, or before it, is still there.
    kept: bool,
    kept_before: bool,
}

impl Frame {
    /// From where on the present member goes, if it goes: its name, or the comma before it.
    pub(super) fn start(&self) -> usize {
        if self.kept_before { self.comma } else { self.member }
    }
}

/// Why a walk ends early.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Fault),
    /// The record is to be dropped.
    Drop,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

pub(super) const MALFORMED: Stop = Stop::Fault(Fault::Malformed);

/// Where a walk stands.
pub(super) enum Now {
    /// Behind the bracket that opens an object or an array.
    Opened,
    /// Behind a value.
    Done,
}

pub(super) struct Walker<'a> {
    pub(super) sought: &'a Sought,
    pub(super) bytes: &'a [u8],
    /// Whether strings end at the next quote.
    plain: bool,
    pub(super) at: usize,
    /// Up to where the document has been copied.
    pub(super) copied: usize,
    pub(super) changed: bool,
    /// Whether strings are looked into whatever their field is.
    pub(super) looks_inside: bool,
    pub(super) nesting: usize,
    pub(super) buffers: &'a mut Buffers,
    pub(super) counts: &'a mut Counts,
}

impl<'a> Walker<'a> {
    /// `buffers.places` holds where the document begins.
    pub(super) fn new(
        sought: &'a Sought,
        bytes: &'a [u8],
        plain: bool,
        buffers: &'a mut Buffers,
        counts: &'a mut Counts,
    ) -> Self {
        let looks_inside = sought.nested || !sought.detect.is_empty();
        Walker { sought, bytes, plain, at: 0, copied: 0, changed: false, looks_inside, nesting: 0, buffers, counts }
    }

    /// Walks all documents of a value; whether anything was masked.
    pub(super) fn documents(&mut self) -> Result<bool, Stop> {
        self.at = if self.bytes.starts_with(BOM) { BOM.len() } else { 0 };
        self.space();
        loop {
            self.document()?;
            let behind = self.at;
            self.space();
            if self.at == self.bytes.len() {
                break;
            }
            if !self.bytes[behind..self.at].contains(&b'\n') {
                return Err(MALFORMED);
            }
        }
        if self.changed {
            self.copy_to(self.bytes.len());
        }
        Ok(self.changed)
    }

    fn document(&mut self) -> Result<(), Stop> {
        let start = Set { start: 0, end: self.buffers.places.len() };
        let mut now = self.value(start, self.sought.whole)?;
        let plain = self.plain;
        loop {
            let Some(frame) = self.buffers.frames.last() else { return Ok(()) };
            let at = scan::space(self.bytes, self.at);
            let byte = *self.bytes.get(at).ok_or(MALFORMED)?;
            let end = if frame.is_object { b'}' } else { b']' };
            self.at = at + 1;
            if byte == end {
                self.close();
                now = Now::Done;
                continue;
            }
            match now {
                Now::Opened => self.at = at,
                // Before it stands a value that held others, which is there still.
                Now::Done if byte == b',' => {
                    self.at = scan::space(self.bytes, self.at);
                    self.frame()?.comma = at;
                }
                Now::Done => return Err(MALFORMED),
            }
            now = match self.frame()? {
                Frame { is_object: true, .. } if plain => self.members::<true>()?,
                Frame { is_object: true, .. } => self.members::<false>()?,
                Frame { set, action, .. } => {
                    let (set, action) = (*set, *action);
                    self.value(set, action)?
                }
            };
        }
    }

    fn space(&mut self) {
        self.at = scan::space(self.bytes, self.at);
    }

    fn close(&mut self) {
        if let Some(frame) = self.buffers.frames.pop() {
            self.buffers.places.truncate(frame.floor);
        }
    }

    pub(super) fn frame(&mut self) -> Result<&mut Frame, Stop> {
        self.buffers.frames.last_mut().ok_or(MALFORMED)
    }

    /// Members of an object, from the name of one on, up to the end of the object or to one that holds others. For most
    /// nothing is written down: no rule is about them.
    fn members<const PLAIN: bool>(&mut self) -> Result<Now, Stop> {
        let (bytes, looks_inside) = (self.bytes, self.looks_inside);
        let frame = self.frame()?;
        let (named, others) = (!frame.set.is_empty(), frame.others);
        let passes = frame.others_action == NONE && frame.action == NONE && !looks_inside;
        let (mut comma, mut kept) = (frame.comma, frame.kept);
        let mut start = self.at;
        loop {
            if bytes.get(start) != Some(&b'"') {
                return Err(MALFORMED);
            }
            let name = scan::string(bytes, start + 1, PLAIN).ok_or(MALFORMED)?;
            let value = scan::colon(bytes, name.end + 1).ok_or(MALFORMED)?;
            let id = if named { self.name(start + 1, name) } else { None };
            let end = if passes && id.is_none() {
                kept = true;
                match bytes.get(value) {
                    Some(b'"') => scan::string(bytes, value + 1, PLAIN).ok_or(MALFORMED)?.end + 1,
                    Some(bracket @ (b'{' | b'[')) => {
                        self.frame()?.kept = true;
                        self.at = value;
                        return self.open(*bracket == b'{', others, NONE);
                    }
                    _ => scan::word_or_number(bytes, value).ok_or(MALFORMED)?,
                }
            } else {
                let frame = self.frame()?;
                (frame.member, frame.comma, frame.rewind) = (start, comma, None);
                (frame.kept, frame.kept_before) = (kept, kept);
                self.at = value;
                if let Now::Opened = self.member(start, name, id)? {
                    return Ok(Now::Opened);
                }
                kept = self.frame()?.kept;
                self.at
            };
            comma = scan::space(bytes, end);
            if bytes.get(comma) != Some(&b',') {
                self.at = comma;
                self.frame()?.kept = kept;
                return Ok(Now::Done);
            }
            if !kept {
                // All members before it are gone, and so has their comma to be.
                self.copied = comma + 1;
            }
            start = scan::space(bytes, comma + 1);
        }
    }

    /// Which of the plan's names a member has, whose name begins at `start`.
    #[inline(always)]
    fn name(&mut self, start: usize, name: Text) -> Option<NameId> {
        if !name.escaped {
            return self.sought.fields.quoted_name(self.bytes, start..name.end);
        }
        let plain = &mut self.buffers.plain;
        plain.clear();
        text::unescape(&self.bytes[start..name.end], plain);
        self.sought.fields.name(plain)
    }

    /// The value of a member, whose name begins at `start`.
    fn member(&mut self, start: usize, name: Text, id: Option<NameId>) -> Result<Now, Stop> {
        let frame = self.buffers.frames.last().ok_or(MALFORMED)?;
        let (set, top, inherited) = (frame.set, frame.top, frame.action);
        let (mut next, mut action) = (frame.others, frame.others_action);
        if let Some(id) = id {
            let (fields, places) = (&self.sought.fields, &mut self.buffers.places);
            if self.looks_inside || matches!(self.bytes.get(self.at), Some(b'{' | b'[')) {
                places.truncate(top);
                action = fields.step(set.start..set.end, Some(id), places);
                next = Set { start: top, end: places.len() };
            } else {
                action = fields.action(&places[set.start..set.end], id);
            }
        }
        if !self.sought.detect.is_empty() {
            self.look_at_name(start + 1, name)?;
        }
        if action != NONE {
            match &self.sought.actions[action as usize] {
                Action::DropRecord => return Err(Stop::Drop),
                Action::DropField => {
                    self.skip()?;
                    self.counts.fields += 1;
                    return self.drop_member();
                }
                Action::Null => return self.null(),
                _ => {}
            }
        }
        self.frame()?.kept = true;
        let action = action.max(inherited);
        if action != NONE && !self.looks_inside && self.bytes.get(self.at) == Some(&b'"') {
            let start = self.at + 1;
            let string = scan::string(self.bytes, start, self.plain).ok_or(MALFORMED)?;
            self.at = string.end + 1;
            self.mask_string(start, string, action);
            return Ok(Now::Done);
        }
        self.value(next, action)
    }

    /// Behind a value of which nothing but its end matters.
    fn skip(&mut self) -> Result<(), Stop> {
        let room = self.sought.depth_max.saturating_sub(self.buffers.frames.len());
        self.at = scan::value(self.bytes, self.at, room, &mut self.buffers.open)?;
        Ok(())
    }

    /// Puts `null` in the place of the present member's value.
    fn null(&mut self) -> Result<Now, Stop> {
        let start = self.at;
        self.skip()?;
        if &self.bytes[start..self.at] != b"null" {
            self.counts.fields += 1;
            self.replace_by_null(start);
        }
        self.frame()?.kept = true;
        Ok(Now::Done)
    }

    pub(super) fn replace_by_null(&mut self, start: usize) {
        self.copy_to(start);
        self.buffers.out.extend_from_slice(b"null");
        let spaces = (self.at - start).saturating_sub(b"null".len());
        self.buffers.out.resize(self.buffers.out.len() + spaces, b' ');
        self.copied = self.at;
    }

    /// Leaves out the present member, whose value has been read, with the comma before it; where nothing before it is left,
    /// with the one behind it.
    pub(super) fn drop_member(&mut self) -> Result<Now, Stop> {
        let frame = self.frame()?;
        frame.kept = frame.kept_before;
        let start = frame.start();
        match frame.rewind {
            Some(length) => self.buffers.out.truncate(length),
            None => self.copy_to(start),
        }
        self.copied = self.at;
        self.changed = true;
        Ok(Now::Done)
    }

    /// Copies what has not been copied before `to`.
    pub(super) fn copy_to(&mut self, to: usize) {
        self.changed = true;
        self.buffers.out.extend_from_slice(&self.bytes[self.copied..to]);
        self.copied = to;
    }

    /// Any value: a leaf, or the opening bracket of one that holds others.
    fn value(&mut self, set: Set, action: ActionId) -> Result<Now, Stop> {
        let start = self.at;
        match *self.bytes.get(start).ok_or(MALFORMED)? {
            bracket @ (b'{' | b'[') => return self.open(bracket == b'{', set, action),
            b'"' => {
                let string = scan::string(self.bytes, start + 1, self.plain).ok_or(MALFORMED)?;
                self.at = string.end + 1;
                if action != NONE || self.looks_inside {
                    self.string(start, string, set, action)?;
                }
            }
            byte @ (b't' | b'f' | b'n') => {
                self.at = scan::scalar(self.bytes, start, self.plain).ok_or(MALFORMED)?;
                if action != NONE && byte != b'n' {
                    self.counts.fields += 1;
                    self.copy_to(start);
                    leaf::mask_boolean(self.at - start, &mut self.buffers.out);
                    self.copied = self.at;
                }
            }
            _ => {
                self.at = scan::number(self.bytes, start).ok_or(MALFORMED)?;
                if action != NONE || !self.sought.detect.is_empty() {
                    self.number(start, action)?;
                }
            }
        }
        Ok(Now::Done)
    }

    fn open(&mut self, is_object: bool, set: Set, action: ActionId) -> Result<Now, Stop> {
        if set.is_empty() && action == NONE && !self.looks_inside {
            self.skip()?;
            return Ok(Now::Done);
        }
        let Buffers { frames, places, .. } = &mut *self.buffers;
        if frames.len() >= self.sought.depth_max {
            return Err(Fault::TooDeep.into());
        }
        let floor = places.len();
        let (mut others, mut others_action) = (set, NONE);
        if is_object && !self.sought.fields.stays(&places[set.start..set.end]) {
            others_action = self.sought.fields.step(set.start..set.end, None, places);
            others = Set { start: floor, end: places.len() };
        }
        let (top, at) = (places.len(), self.at);
        frames.push(Frame {
            is_object,
            set,
            others,
            others_action,
            action,
            floor,
            top,
            member: at,
            comma: at,
            rewind: None,
            kept: false,
            kept_before: false,
        });
        self.at += 1;
        Ok(Now::Opened)
    }

    /// A string that starts with its quote at `start`.
    fn string(&mut self, start: usize, string: Text, set: Set, action: ActionId) -> Result<(), Stop> {
        let raw = start + 1..string.end;
        let mut action = action;
        if self.looks_inside {
            if action == NONE && self.sought.nested && self.nested(raw.clone(), string.escaped, set)? {
                return Ok(());
            }
            let found = self.look_at_text(raw.clone(), string.escaped);
            if self.takes_whole(found) {
                return self.take_whole(start, found);
            }
            if action == NONE {
                self.mask_hits(raw, string.escaped);
                return Ok(());
            }
            // What is masked anyhow is masked as strictly as the detector asks.
            action = action.max(found);
        }
        self.mask_string(raw.start, string, action);
        Ok(())
    }

    /// Masks a string, from behind its opening quote.
    fn mask_string(&mut self, start: usize, string: Text, action: ActionId) {
        self.counts.fields += 1;
        self.copy_to(start);
        let Buffers { room, out, .. } = &mut *self.buffers;
        let raw = &self.bytes[start..string.end];
        leaf::mask_string(&self.sought.actions[action as usize], raw, string.escaped, room, out);
        self.copied = string.end;
    }

    fn number(&mut self, start: usize, action: ActionId) -> Result<(), Stop> {
        let raw = &self.bytes[start..self.at];
        let mut action = action;
        if !self.sought.detect.is_empty() {
            let found = self.look_at_number(start..self.at);
            if self.takes_whole(found) {
                return self.take_whole(start, found);
            }
            self.counts.found += u64::from(action == NONE && found != NONE);
            self.counts.fields += u64::from(action != NONE);
            action = action.max(found);
        } else {
            self.counts.fields += 1;
        }
        if action != NONE {
            self.copy_to(start);
            leaf::mask_number(&self.sought.actions[action as usize], raw, &mut self.buffers.out);
            self.copied = self.at;
        }
        Ok(())
    }
}
