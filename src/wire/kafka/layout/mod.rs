//! The layout of every message, and the flat program that walks one version of it.
//!
//! `messages.txt` is the one place that knows where fields lie. `table` reads it, `compile` turns one (API, version,
//! direction) into a [`Program`] on first use, and `walk` runs programs over bytes. A program holds no versions and no
//! names to compare: what a version lacks is not in it, and runs of fields that nobody looks at are one step.

mod compile;
mod roles;
mod table;

use std::sync::OnceLock;

pub use roles::{Group, Role};
pub use table::{BadLine, Direction, Field, Kind, Message, Versions};

/// How deep arrays and tagged fields nest at most, in any message; a test holds it.
pub(super) const DEPTH_MAX: usize = 8;

/// One step of a walk. Steps that carry no role pass over bytes without looking at them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// Bytes of fixed-size fields in a row.
    Skip(u32),
    /// A number or truth value to be delivered.
    Int(Int, Role),
    /// A UUID to be delivered.
    Uuid(Role),
    /// A string to be delivered.
    Text(Prefix, Role),
    /// A string or bytes of which only the length may be delivered.
    Opaque(Prefix, Option<Role>),
    /// The length of a field of record batches; always followed by `Batches`.
    Records(Prefix, Role),
    /// Batches up to the end of the records field.
    Batches,
    /// An array's count; the elements' steps follow, ended by `Next`.
    Array(Array),
    /// An array of elements of one size without roles.
    Run(Prefix, u32),
    /// An element begins.
    Open(Group),
    /// An element ends.
    Close(Group),
    /// Back to the step behind the array's count, as often as there are elements.
    Next,
    /// A structure that may be null: when it is, on to this step.
    Maybe(u32),
    /// Count of a tagged section; `Tag` follows.
    Tags,
    /// One tagged field's number and size, as often as the count said; which of [`Program::tags`] knows the numbers.
    Tag(u32),
    /// A tagged field's own steps end.
    TagEnd,
    /// The message's tail begins.
    Tail,
    /// The message is complete.
    End,
}

/// An array's count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array {
    /// How the count is written.
    pub prefix: Prefix,
    /// The fewest bytes that an element takes; never 0, so that bytes left bound the count.
    pub element_min: u32,
    /// The step behind the array.
    pub after: u32,
    /// What the elements are, where it matters.
    pub element: Option<Element>,
}

/// What an array's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Values with a role.
    Value(Role),
    /// Structures with a role.
    Group(Group),
}

/// How numbers to be delivered are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Int {
    /// One byte, 0 for false.
    Bool,
    /// Signed, 1 byte.
    I8,
    /// Signed, 2 bytes.
    I16,
    /// Unsigned, 2 bytes.
    U16,
    /// Signed, 4 bytes.
    I32,
    /// Signed, 8 bytes.
    I64,
}

/// How lengths and counts are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    /// Width.
    pub width: Width,
    /// Whether null is lawful.
    pub nullable: bool,
}

/// Widths of lengths and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// int16, -1 for null: strings of inflexible versions.
    Two,
    /// int32, -1 for null: bytes, records and arrays of inflexible versions.
    Four,
    /// Unsigned varint of one more, 0 for null: flexible versions.
    Compact,
}

/// How to walk one version of a message.
#[derive(Debug)]
pub(super) struct Program {
    /// The message.
    pub message: &'static Message,
    /// Its version.
    pub version: i16,
    /// Steps; the first starts, `End` ends.
    pub ops: Vec<Op>,
    /// For each step the field it stands for, to be named in errors.
    pub fields: Vec<&'static str>,
    /// For each tagged section the tags with roles in them: number and first step.
    pub tags: Vec<Vec<(u32, u32)>>,
    /// The step behind `Tail`, where the message has one.
    pub tail: Option<u32>,
}

struct Table {
    messages: Vec<Message>,
    /// By message, then by version.
    programs: Vec<Vec<OnceLock<Program>>>,
    /// By API key: where its request and its response stand.
    by_key: Vec<[Option<usize>; 2]>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        #[expect(clippy::expect_used, reason = "embedded text, held by a test")]
        let messages = table::parse(include_str!("../messages.txt")).expect("messages.txt follows its notation");
        let slots = |message: &Message| (message.versions.first..=message.versions.last).map(|_| OnceLock::new());
        let programs = messages.iter().map(|message| slots(message).collect()).collect();
        let mut by_key = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            let key = usize::from(message.api_key.unsigned_abs());
            by_key.resize(by_key.len().max(key + 1), [None; 2]);
            by_key[key][message.direction as usize] = Some(at);
        }
        Table { messages, programs, by_key }
    })
}

/// Every message that has a layout, by API key, requests first.
pub fn messages() -> &'static [Message] {
    &table().messages
}

/// The program for one version of a message, compiled on first use; none for what has no layout.
pub(super) fn program(api_key: i16, version: i16, direction: Direction) -> Option<&'static Program> {
    let table = table();
    let at = (*table.by_key.get(usize::try_from(api_key).ok()?)?)[direction as usize]?;
    let message = &table.messages[at];
    let slot = usize::try_from(version.checked_sub(message.versions.first)?).ok()?;
    let slot = table.programs[at].get(slot)?;
    Some(slot.get_or_init(|| compile::compile(message, version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_compiles_with_bounded_arrays_and_lawful_jumps() {
        for message in messages() {
            for version in message.versions.first..=message.versions.last {
                let program = program(message.api_key, version, message.direction).unwrap_or_else(|| {
                    panic!("{} {} v{version} has no program", message.name, message.direction);
                });
                assert_eq!(program.ops.len(), program.fields.len());
                for op in &program.ops {
                    match *op {
                        Op::Array(array) => {
                            assert!(array.element_min > 0, "{} v{version}: {op:?}", message.name);
                            assert!((array.after as usize) < program.ops.len());
                        }
                        Op::Run(_, size) => {
                            assert!(size > 0, "{} v{version}: {op:?}", message.name)
                        }
                        Op::Maybe(after) => assert!((after as usize) < program.ops.len()),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Frames that a walk needs: one for each array, one for each tagged field, one for a section of unknown tags.
    fn depth(fields: &[Field]) -> usize {
        let nested = |field: &Field| usize::from(field.array) + usize::from(field.tag.is_some()) + depth(&field.fields);
        fields.iter().map(nested).max().unwrap_or(1)
    }

    #[test]
    fn no_message_nests_deeper_than_a_walker_has_frames() {
        let deepest = messages().iter().map(|message| depth(&message.fields)).max();
        assert!(deepest <= Some(DEPTH_MAX), "{deepest:?}");
    }

    #[test]
    fn what_is_not_in_the_table_has_no_program() {
        assert!(program(0, 2, Direction::Request).is_none(), "Produce is served from version 3");
        assert!(program(0, 14, Direction::Request).is_none());
        assert!(program(27, 1, Direction::Request).is_none(), "WriteTxnMarkers is between brokers");
        assert!(program(-1, 0, Direction::Request).is_none());
        assert!(program(i16::MAX, i16::MIN, Direction::Response).is_none());
    }

    #[test]
    fn a_line_that_breaks_the_notation_is_named() {
        for line in ["  Name  strin", "  Name string 2", "  Name string 3-14", "  Name string @nonsense", "  A []{x}"] {
            let text: &'static str = Box::leak(format!("0 Produce request 3-13\n{line}\n").into_boxed_str());
            assert_eq!(table::parse(text).err().map(|bad| bad.line), Some(line));
        }
    }
}
