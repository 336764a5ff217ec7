//! Walks the body of any Kafka request or response, piece by piece, and tells a [`Visitor`] what it holds.
//!
//! One walker for every API: what is special about one lies in its layout (`layout/`), never here. It is a push parser:
//! fed pieces as they come from a socket, it keeps its place between them.
//!
//! Invariants:
//! - However a body is cut into pieces, the visitor sees the same calls with the same values.
//! - No length or count is used before it is known to fit into what is left of the body; nothing is allocated by it.
//!   A value that is cut by the end of a piece is kept (at most `TEXT_MAX` and a length) until the rest of it comes.
//! - No recursion: nesting is bounded by the layout, never by the input.
//! - An error names the field and its place, never its content.

use std::fmt;

use super::batch::Batch;
use super::layout::{self, DEPTH_MAX, Direction, Element, Group, Op, Program, Role};
use steps::fixed;

mod steps;

/// The longest string Kafka takes in any version, bytes.
const TEXT_MAX: u32 = i16::MAX as u32;

/// A range of bytes in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

impl Span {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it covers no bytes.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A field's value. Text is borrowed from the piece it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A truth value.
    Bool(bool),
    /// A number of any width.
    Int(i64),
    /// A UUID.
    Uuid([u8; 16]),
    /// A string, or null.
    Text(Option<&'a str>),
    /// Bytes that are not looked at: how many, or null.
    Bytes(Option<u32>),
    /// Record batches: how many bytes, or null. Their headers follow through [`Visitor::batch`].
    Records(Option<u32>),
}

/// A tagged field in which something has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaggedField {
    /// Where the field begins, with its tag number.
    pub start: u64,
    /// Where its size is written.
    pub size: Span,
    /// Where it ends.
    pub end: u64,
}

/// Takes what a walker finds. Spans and places count from the body's first byte and cover lengths too.
pub trait Visitor {
    /// A field with a role.
    fn value(&mut self, _role: Role, _value: Value<'_>, _span: Span) {}
    /// An array's count, or null; `span` is where the count is written. The elements follow.
    fn array(&mut self, _of: Element, _count: Option<u32>, _span: Span) {}
    /// A structure with a role begins; what comes until its close belongs to it.
    fn open(&mut self, _group: Group, _at: u64) {}
    /// A structure with a role ends.
    fn close(&mut self, _group: Group, _at: u64) {}
    /// A tagged field begins.
    fn tagged(&mut self, _field: TaggedField) {}
    /// Whether batches are wanted one by one; else a records field is passed over without being looked into.
    fn wants_batches(&self) -> bool {
        true
    }
    /// A record batch's header.
    fn batch(&mut self, _batch: &Batch) {}
    /// The records field ends within a batch's header (Fetch only); so many bytes of it are there.
    fn cut_off(&mut self, _span: Span) {}
}

/// A body that is not what its API and version say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} {direction} v{version}, {field} at byte {offset}: {fault}")]
pub struct Malformed {
    /// API key.
    pub api_key: i16,
    /// The API's name.
    pub message: &'static str,
    /// Request or response.
    pub direction: Direction,
    /// API version.
    pub version: i16,
    /// The field that the walk had come to.
    pub field: &'static str,
    /// Its place in the body.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not fit into what is left of the body, or of the tagged field around it.
    PastTheEnd,
    /// The body ended before it.
    Missing,
    /// The body, or the tagged field, goes on behind the last field.
    BytesLeft,
    /// A null, or a negative length, where none may be.
    UnlawfulNull,
    /// A varint of more than 32 bits.
    LongVarint,
    /// A string longer than Kafka takes.
    LongText,
    /// A string that is not UTF-8.
    NotUtf8,
    /// A batch shorter than its own header.
    ShortBatch,
    /// A batch cut off in a request.
    CutOffBatch,
    /// A batch of a format that Kafka never had.
    UnknownMagic,
    /// More nesting than any layout has; a fault of Weir's own.
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::PastTheEnd => "more bytes announced than are left",
            Fault::Missing => "expected more, the body ends here",
            Fault::BytesLeft => "expected the end, there are bytes left",
            Fault::UnlawfulNull => "expected a length or count, found null or a negative one",
            Fault::LongVarint => "expected a varint of at most 32 bits",
            Fault::LongText => "expected a string of at most 32767 bytes",
            Fault::NotUtf8 => "expected UTF-8",
            Fault::ShortBatch => "expected a record batch, its length is below that of its header",
            Fault::CutOffBatch => "expected a whole record batch, it is cut off",
            Fault::UnknownMagic => "expected a record batch of magic 0, 1 or 2",
            Fault::TooDeep => "nested deeper than any layout",
        })
    }
}

/// Why a step did not get on.
enum Stop {
    /// It needs so many bytes together, counted from where it begins.
    Need(usize),
    /// It cannot be right.
    Bad(Fault),
}

/// What a step did.
enum Step {
    /// Took bytes, possibly none.
    Took(usize),
    /// Found the end.
    Ended,
}

#[derive(Debug, Clone, Copy)]
enum Frame {
    /// In an array: elements that follow this one, and the first step of each.
    Array { left: u32, start: u32 },
    /// In a tagged section: fields that follow, its `Tag` step, and the end of what surrounds it.
    Section { left: u32, tag: u32, limit: u64 },
}

/// A walk over one body. After an error it is of no further use.
#[derive(Debug)]
pub struct Walker {
    program: &'static Program,
    /// The step to run.
    pc: u32,
    depth: u32,
    /// Place in the body; what `carry` holds lies behind it.
    pos: u64,
    /// Where the innermost tagged field, or the body, ends.
    limit: u64,
    /// Bytes to pass over before the next step.
    skip: u64,
    /// Where the current records field ends.
    records_end: u64,
    tail_at: Option<u64>,
    frames: [Frame; DEPTH_MAX],
    /// The beginning of a value that was cut by the end of a piece.
    carry: Vec<u8>,
}

impl Walker {
    /// A walk over a request's body of `body_len` bytes (headers excluded); none where there is no layout.
    pub fn request(api_key: i16, version: i16, body_len: u64) -> Option<Walker> {
        layout::program(api_key, version, Direction::Request).map(|program| Walker::start(program, 0, body_len))
    }

    /// A walk over a response's body of `body_len` bytes (headers excluded); none where there is no layout.
    pub fn response(api_key: i16, version: i16, body_len: u64) -> Option<Walker> {
        layout::program(api_key, version, Direction::Response).map(|program| Walker::start(program, 0, body_len))
    }

    /// A walk over what lies behind [`Walker::tail_at`]; none where the layout has no tail.
    pub fn response_tail(api_key: i16, version: i16, tail_len: u64) -> Option<Walker> {
        let program = layout::program(api_key, version, Direction::Response)?;
        program.tail.map(|start| Walker::start(program, start, tail_len))
    }

    fn start(program: &'static Program, pc: u32, body_len: u64) -> Walker {
        Walker {
            program,
            pc,
            depth: 0,
            pos: 0,
            limit: body_len,
            skip: 0,
            records_end: 0,
            tail_at: None,
            frames: [Frame::Array { left: 0, start: 0 }; DEPTH_MAX],
            carry: Vec::new(),
        }
    }

    /// Takes the next piece of the body. Any way of cutting a body, even byte by byte, gives the same calls.
    pub fn feed<V: Visitor>(&mut self, piece: &[u8], visitor: &mut V) -> Result<(), Malformed> {
        self.resume(piece, visitor).map_err(|fault| self.malformed(fault))
    }

    /// Whether the body ended where the layout does; to be asked after its last byte.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.program.ops[self.pc as usize] {
            Op::End if self.pos == self.limit => Ok(()),
            Op::End => Err(self.malformed(Fault::BytesLeft)),
            _ => Err(self.malformed(Fault::Missing)),
        }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.pos + self.carry.len() as u64
    }

    /// Up to where the visitor has been told everything: behind it lies the beginning of a value that was cut.
    pub fn settled(&self) -> u64 {
        self.pos
    }

    /// Where the tail begins, once the walk is there: what is left then is small and may hold broker addresses.
    pub fn tail_at(&self) -> Option<u64> {
        self.tail_at
    }

    /// Whether this version has compact lengths and tagged fields.
    pub(super) fn is_flexible(&self) -> bool {
        self.program.message.is_flexible(self.program.version)
    }

    pub(super) fn malformed(&self, fault: Fault) -> Malformed {
        let Program { message, version, fields, .. } = self.program;
        Malformed {
            api_key: message.api_key,
            message: message.name,
            direction: message.direction,
            version: *version,
            field: fields[self.pc as usize],
            offset: self.pos,
            fault,
        }
    }

    /// First completes what the last piece left in `carry`, by no more bytes than that needs, then goes on in place.
    fn resume<V: Visitor>(&mut self, mut piece: &[u8], visitor: &mut V) -> Result<(), Fault> {
        while !self.carry.is_empty() {
            let mut carry = std::mem::take(&mut self.carry);
            match self.step(&carry, visitor) {
                Ok(Step::Took(taken)) => self.pos += taken as u64,
                Ok(Step::Ended) => return Err(Fault::BytesLeft),
                Err(Stop::Bad(fault)) => return Err(fault),
                Err(Stop::Need(needed)) => {
                    let (now, later) = piece.split_at(piece.len().min(needed - carry.len()));
                    carry.extend_from_slice(now);
                    self.carry = carry;
                    if now.is_empty() {
                        return Ok(());
                    }
                    piece = later;
                }
            }
        }
        self.run(piece, visitor)
    }

    fn run<V: Visitor>(&mut self, mut piece: &[u8], visitor: &mut V) -> Result<(), Fault> {
        loop {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).map_or(piece.len(), |skip| skip.min(piece.len()));
                self.skip -= skipped as u64;
                self.pos += skipped as u64;
                piece = &piece[skipped..];
                if self.skip > 0 {
                    return Ok(());
                }
            }
            match self.step(piece, visitor) {
                Ok(Step::Took(taken)) => {
                    self.pos += taken as u64;
                    piece = &piece[taken..];
                }
                Ok(Step::Ended) => {
                    return if piece.is_empty() { Ok(()) } else { Err(Fault::BytesLeft) };
                }
                Err(Stop::Need(_)) => {
                    self.carry.extend_from_slice(piece);
                    return Ok(());
                }
                Err(Stop::Bad(fault)) => return Err(fault),
            }
        }
    }

    /// Runs one step on the bytes at `pos`. A step that needs more bytes than are there changes nothing.
    #[inline(always)]
    fn step<V: Visitor>(&mut self, bytes: &[u8], visitor: &mut V) -> Result<Step, Stop> {
        let mut next = self.pc + 1;
        let taken = match self.program.ops[self.pc as usize] {
            Op::Skip(size) => self.pass_over(0, u64::from(size))?,
            Op::Int(int, role) => {
                let (value, size) = self.int(bytes, int)?;
                visitor.value(role, value, self.span(size));
                size
            }
            Op::Uuid(role) => {
                self.have(bytes, 16)?;
                visitor.value(role, Value::Uuid(fixed(bytes)), self.span(16));
                16
            }
            Op::Text(prefix, role) => self.text(bytes, prefix, role, visitor)?,
            Op::Opaque(prefix, role) => self.opaque(bytes, prefix, role, visitor)?,
            Op::Records(prefix, role) => self.records(bytes, prefix, role, visitor)?,
            Op::Batches if self.pos < self.records_end => {
                next = self.pc;
                self.batch(bytes, visitor)?
            }
            Op::Batches => 0,
            Op::Array(array) => self.array(bytes, array, &mut next, visitor)?,
            Op::Run(prefix, size) => {
                let (count, taken) = self.length(bytes, prefix)?;
                self.pass_over(taken, u64::from(count.unwrap_or(0)) * u64::from(size))?
            }
            Op::Open(group) => {
                visitor.open(group, self.pos);
                0
            }
            Op::Close(group) => {
                visitor.close(group, self.pos);
                0
            }
            Op::Next => self.next_element(&mut next)?,
            Op::Maybe(after) => self.maybe(bytes, after, &mut next)?,
            Op::Tags => self.tags(bytes, &mut next)?,
            Op::Tag(section) => self.tag(bytes, section, &mut next, visitor)?,
            Op::TagEnd => self.tag_end(&mut next)?,
            Op::Tail => {
                self.tail_at = Some(self.pos);
                0
            }
            Op::End => return Ok(Step::Ended),
        };
        self.pc = next;
        Ok(Step::Took(taken))
    }
}

#[cfg(test)]
mod tests;
