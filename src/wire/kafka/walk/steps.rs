//! The steps of a walk, one function each.
//!
//! A step gets the bytes at the walker's place. It either has all that it needs and returns how many of them it took,
//! or it says how many it needs together and has changed nothing. `next` is the step to run afterwards, where it is
//! not simply the following one.

use super::{Fault, Frame, Span, Stop, TEXT_MAX, TaggedField, Value, Visitor, Walker};
use crate::wire::kafka::batch::{self, Batch};
use crate::wire::kafka::layout::{Array, Direction, Int, Prefix, Role, Width};

impl Walker {
    /// Bytes left of what surrounds the walker's place.
    fn left(&self) -> u64 {
        self.limit - self.pos
    }

    /// `size` bytes from here on.
    pub(super) fn span(&self, size: usize) -> Span {
        Span { start: self.pos, end: self.pos + size as u64 }
    }

    #[inline(always)]
    pub(super) fn have(&self, bytes: &[u8], size: usize) -> Result<(), Stop> {
        if size as u64 > self.left() {
            Err(Stop::Bad(Fault::PastTheEnd))
        } else if size > bytes.len() {
            Err(Stop::Need(size))
        } else {
            Ok(())
        }
    }

    /// Takes `taken` bytes and passes over `size` more, which need not be here yet.
    #[inline(always)]
    pub(super) fn pass_over(&mut self, taken: usize, size: u64) -> Result<usize, Stop> {
        if size > self.left() - taken as u64 {
            return Err(Stop::Bad(Fault::PastTheEnd));
        }
        self.skip = size;
        Ok(taken)
    }

    #[inline(always)]
    pub(super) fn int(&self, bytes: &[u8], int: Int) -> Result<(Value<'static>, usize), Stop> {
        let size = match int {
            Int::Bool | Int::I8 => 1,
            Int::I16 | Int::U16 => 2,
            Int::I32 => 4,
            Int::I64 => 8,
        };
        self.have(bytes, size)?;
        let value = match int {
            Int::Bool => return Ok((Value::Bool(bytes[0] != 0), size)),
            Int::I8 => i64::from(i8::from_be_bytes(fixed(bytes))),
            Int::I16 => i64::from(i16::from_be_bytes(fixed(bytes))),
            Int::U16 => i64::from(u16::from_be_bytes(fixed(bytes))),
            Int::I32 => i64::from(i32::from_be_bytes(fixed(bytes))),
            Int::I64 => i64::from_be_bytes(fixed(bytes)),
        };
        Ok((Value::Int(value), size))
    }

    /// An unsigned varint at `at`: its value and where it ends.
    #[inline(always)]
    fn varint(&self, bytes: &[u8], at: usize) -> Result<(u32, usize), Stop> {
        let (mut value, mut end) = (0u64, at);
        loop {
            self.have(bytes, end + 1)?;
            value |= u64::from(bytes[end] & 0x7f) << (7 * (end - at));
            end += 1;
            if bytes[end - 1] & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| Stop::Bad(Fault::LongVarint))?;
                return Ok((value, end));
            }
            if end - at == 5 {
                return Err(Stop::Bad(Fault::LongVarint));
            }
        }
    }

    /// A length or count, none for null, and the bytes it is written in.
    #[inline(always)]
    pub(super) fn length(&self, bytes: &[u8], prefix: Prefix) -> Result<(Option<u32>, usize), Stop> {
        let (length, size) = match prefix.width {
            Width::Two => {
                self.have(bytes, 2)?;
                (i64::from(i16::from_be_bytes(fixed(bytes))), 2)
            }
            Width::Four => {
                self.have(bytes, 4)?;
                (i64::from(i32::from_be_bytes(fixed(bytes))), 4)
            }
            Width::Compact => {
                let (value, size) = self.varint(bytes, 0)?;
                (i64::from(value) - 1, size)
            }
        };
        match u32::try_from(length) {
            Ok(length) => Ok((Some(length), size)),
            Err(_) if length == -1 && prefix.nullable => Ok((None, size)),
            Err(_) => Err(Stop::Bad(Fault::UnlawfulNull)),
        }
    }

    #[inline(always)]
    pub(super) fn text<V: Visitor>(
        &self,
        bytes: &[u8],
        prefix: Prefix,
        role: Role,
        visitor: &mut V,
    ) -> Result<usize, Stop> {
        let (length, at) = self.length(bytes, prefix)?;
        let end = match length {
            Some(length) if length > TEXT_MAX => return Err(Stop::Bad(Fault::LongText)),
            length => at + length.unwrap_or(0) as usize,
        };
        self.have(bytes, end)?;
        let text = std::str::from_utf8(&bytes[at..end]).map_err(|_| Stop::Bad(Fault::NotUtf8))?;
        visitor.value(role, Value::Text(length.map(|_| text)), self.span(end));
        Ok(end)
    }

    pub(super) fn opaque<V: Visitor>(
        &mut self,
        bytes: &[u8],
        prefix: Prefix,
        role: Option<Role>,
        visitor: &mut V,
    ) -> Result<usize, Stop> {
        let (length, taken) = self.length(bytes, prefix)?;
        let size = length.unwrap_or(0);
        self.pass_over(taken, u64::from(size))?;
        if let Some(role) = role {
            visitor.value(role, Value::Bytes(length), self.span(taken + size as usize));
        }
        Ok(taken)
    }

    pub(super) fn records<V: Visitor>(
        &mut self,
        bytes: &[u8],
        prefix: Prefix,
        role: Role,
        visitor: &mut V,
    ) -> Result<usize, Stop> {
        let (length, taken) = self.length(bytes, prefix)?;
        let size = length.unwrap_or(0) as usize;
        if (taken + size) as u64 > self.left() {
            return Err(Stop::Bad(Fault::PastTheEnd));
        }
        let span = self.span(taken + size);
        visitor.value(role, Value::Records(length), span);
        if !visitor.wants_batches() {
            return self.pass_over(taken, size as u64);
        }
        self.records_end = span.end;
        Ok(taken)
    }

    /// One batch: reads its header and passes over the rest. Only a response may end within one.
    pub(super) fn batch<V: Visitor>(&mut self, bytes: &[u8], visitor: &mut V) -> Result<usize, Stop> {
        let left = self.records_end - self.pos;
        let is_request = self.program.message.direction == Direction::Request;
        let mut header_len = batch::UP_TO_MAGIC;
        if left >= header_len as u64 {
            self.have(bytes, header_len)?;
            header_len = batch::header_len(bytes[header_len - 1]).ok_or(Stop::Bad(Fault::UnknownMagic))?;
        }
        if left < header_len as u64 {
            if is_request {
                return Err(Stop::Bad(Fault::CutOffBatch));
            }
            visitor.cut_off(Span { start: self.pos, end: self.records_end });
            let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            return self.pass_over(taken, left - taken as u64);
        }
        self.have(bytes, header_len)?;
        let batch: Batch = batch::read(bytes, self.pos, left).ok_or(Stop::Bad(Fault::ShortBatch))?;
        if is_request && !batch.complete {
            return Err(Stop::Bad(Fault::CutOffBatch));
        }
        visitor.batch(&batch);
        self.pass_over(header_len, batch.span.len() - header_len as u64)
    }

    pub(super) fn array<V: Visitor>(
        &mut self,
        bytes: &[u8],
        array: Array,
        next: &mut u32,
        visitor: &mut V,
    ) -> Result<usize, Stop> {
        let (count, taken) = self.length(bytes, array.prefix)?;
        let elements = count.unwrap_or(0);
        if u64::from(elements) * u64::from(array.element_min) > self.left() - taken as u64 {
            return Err(Stop::Bad(Fault::PastTheEnd));
        }
        if let Some(element) = array.element {
            visitor.array(element, count, self.span(taken));
        }
        match elements.checked_sub(1) {
            None => *next = array.after,
            Some(left) => self.push(Frame::Array { left, start: *next })?,
        }
        Ok(taken)
    }

    #[inline(always)]
    pub(super) fn next_element(&mut self, next: &mut u32) -> Result<usize, Stop> {
        match self.top()? {
            Frame::Array { left: 0, .. } => self.depth -= 1,
            Frame::Array { left, start } => {
                *left -= 1;
                *next = *start;
            }
            Frame::Section { .. } => return Err(Stop::Bad(Fault::TooDeep)),
        }
        Ok(0)
    }

    pub(super) fn maybe(&self, bytes: &[u8], after: u32, next: &mut u32) -> Result<usize, Stop> {
        self.have(bytes, 1)?;
        if (bytes[0] as i8) < 0 {
            *next = after;
        }
        Ok(1)
    }

    #[inline(always)]
    pub(super) fn tags(&mut self, bytes: &[u8], next: &mut u32) -> Result<usize, Stop> {
        let (left, taken) = self.varint(bytes, 0)?;
        if u64::from(left) * 2 > self.left() - taken as u64 {
            return Err(Stop::Bad(Fault::PastTheEnd));
        }
        match left {
            0 => *next += 1,
            _ => self.push(Frame::Section { left, tag: *next, limit: self.limit })?,
        }
        Ok(taken)
    }

    pub(super) fn tag<V: Visitor>(
        &mut self,
        bytes: &[u8],
        section: u32,
        next: &mut u32,
        visitor: &mut V,
    ) -> Result<usize, Stop> {
        let Frame::Section { left, .. } = *self.top()? else {
            return Err(Stop::Bad(Fault::TooDeep));
        };
        let Some(left_then) = left.checked_sub(1) else {
            self.depth -= 1;
            return Ok(0);
        };
        let (tag, number_end) = self.varint(bytes, 0)?;
        let (size, taken) = self.varint(bytes, number_end)?;
        if u64::from(size) > self.left() - taken as u64 {
            return Err(Stop::Bad(Fault::PastTheEnd));
        }
        let known = self.program.tags[section as usize].iter().find(|(number, _)| *number == tag);
        if let Some((_, start)) = known {
            let size_at = self.pos + number_end as u64;
            let value_at = self.pos + taken as u64;
            self.limit = value_at + u64::from(size);
            visitor.tagged(TaggedField {
                start: self.pos,
                size: Span { start: size_at, end: value_at },
                end: self.limit,
            });
            *next = *start;
        } else {
            self.skip = u64::from(size);
            *next = self.pc;
        }
        if let Frame::Section { left, .. } = self.top()? {
            *left = left_then;
        }
        Ok(taken)
    }

    pub(super) fn tag_end(&mut self, next: &mut u32) -> Result<usize, Stop> {
        if self.pos != self.limit {
            return Err(Stop::Bad(Fault::BytesLeft));
        }
        let Frame::Section { tag, limit, .. } = *self.top()? else {
            return Err(Stop::Bad(Fault::TooDeep));
        };
        self.limit = limit;
        *next = tag;
        Ok(0)
    }

    fn push(&mut self, frame: Frame) -> Result<(), Stop> {
        let slot = self.frames.get_mut(self.depth as usize).ok_or(Stop::Bad(Fault::TooDeep))?;
        *slot = frame;
        self.depth += 1;
        Ok(())
    }

    #[inline(always)]
    fn top(&mut self) -> Result<&mut Frame, Stop> {
        let top = (self.depth as usize).checked_sub(1).and_then(|top| self.frames.get_mut(top));
        top.ok_or(Stop::Bad(Fault::TooDeep))
    }
}

/// The first `N` of bytes that are known to be there.
#[inline(always)]
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| bytes[at])
}
