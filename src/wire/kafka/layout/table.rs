//! Reads `messages.txt`, whose head explains its notation, into [`Message`]s and [`Field`]s.
//!
//! Invariants: versions are resolved (never wider than those of what the field belongs to), order is the wire's.

use super::roles::{Group, Role};

/// Which way a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From client to broker.
    Request,
    /// From broker to client.
    Response,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Request => "request",
            Direction::Response => "response",
        })
    }
}

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub first: i16,
    /// The last version.
    pub last: i16,
}

impl Versions {
    /// Whether a version lies in the range.
    pub fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// `7`, `3-9` or, up to the last version of what surrounds it, `3+`.
    fn parse(text: &str, around: Versions) -> Option<Versions> {
        let (first, last) = match (text.strip_suffix('+'), text.split_once('-')) {
            (Some(first), _) => (first.parse().ok()?, around.last),
            (None, Some((first, last))) => (first.parse().ok()?, last.parse().ok()?),
            (None, None) => (text.parse().ok()?, text.parse().ok()?),
        };
        (around.first <= first && first <= last && last <= around.last).then_some(Versions { first, last })
    }
}

/// A request or a response.
#[derive(Debug)]
pub struct Message {
    /// API key.
    pub api_key: i16,
    /// The API's name in Kafka's words, such as `Produce`.
    pub name: &'static str,
    /// Which way it travels.
    pub direction: Direction,
    /// Versions laid out here.
    pub versions: Versions,
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub flexible_from: Option<i16>,
    /// Fields in wire order.
    pub fields: Vec<Field>,
}

impl Message {
    /// Whether a version has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible_from.is_some_and(|from| version >= from)
    }
}

/// A field of a message or of a structure in it.
#[derive(Debug)]
pub struct Field {
    /// Name in Kafka's words.
    pub name: &'static str,
    /// Type, of the elements if it is an array.
    pub kind: Kind,
    /// Whether it is an array.
    pub array: bool,
    /// Versions that have the field.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub nullable: Option<Versions>,
    /// Its number, if it travels as a tagged field.
    pub tag: Option<u32>,
    /// What it means to Weir.
    pub role: Option<Role>,
    /// What an element stands for, in an array of structures.
    pub group: Option<Group>,
    /// Whether the message's tail begins behind it.
    pub tail_follows: bool,
    /// Fields of the structure, in wire order.
    pub fields: Vec<Field>,
}

/// Types of the Kafka protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// Signed, 1 byte.
    Int8,
    /// Signed, 2 bytes.
    Int16,
    /// Unsigned, 2 bytes.
    Uint16,
    /// Signed, 4 bytes.
    Int32,
    /// Signed, 8 bytes.
    Int64,
    /// IEEE 754, 8 bytes.
    Float64,
    /// 16 bytes.
    Uuid,
    /// UTF-8 behind a length.
    String,
    /// Bytes behind a length.
    Bytes,
    /// Record batches behind a length.
    Records,
    /// Fields of its own.
    Structure,
}

impl Kind {
    /// The type that `messages.txt` (and Kafka) calls by this word.
    fn from_word(word: &str) -> Option<Kind> {
        Some(match word {
            "bool" => Kind::Bool,
            "int8" => Kind::Int8,
            "int16" => Kind::Int16,
            "uint16" => Kind::Uint16,
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "float64" => Kind::Float64,
            "uuid" => Kind::Uuid,
            "string" => Kind::String,
            "bytes" => Kind::Bytes,
            "records" => Kind::Records,
            _ => return None,
        })
    }

    /// Bytes on the wire, for types of one size.
    pub(in crate::wire::kafka) fn fixed_size(self) -> Option<u32> {
        match self {
            Kind::Bool | Kind::Int8 => Some(1),
            Kind::Int16 | Kind::Uint16 => Some(2),
            Kind::Int32 => Some(4),
            Kind::Int64 | Kind::Float64 => Some(8),
            Kind::Uuid => Some(16),
            Kind::String | Kind::Bytes | Kind::Records | Kind::Structure => None,
        }
    }
}

/// A line of `messages.txt` that does not follow the notation.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("messages.txt does not follow its notation: `{line}`")]
pub struct BadLine {
    /// The line.
    pub line: &'static str,
}

type Lines = std::iter::Peekable<Box<dyn Iterator<Item = &'static str>>>;

/// Reads the whole table.
pub fn parse(text: &'static str) -> Result<Vec<Message>, BadLine> {
    let significant = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut lines: Lines = (Box::new(significant) as Box<dyn Iterator<Item = &'static str>>).peekable();
    let mut messages = Vec::new();
    while let Some(line) = lines.next() {
        let mut message = heading(line).ok_or(BadLine { line })?;
        message.fields = fields(&mut lines, 2, message.versions)?;
        messages.push(message);
    }
    Ok(messages)
}

fn heading(line: &'static str) -> Option<Message> {
    let mut words = line.split(' ');
    let api_key = words.next()?.parse().ok()?;
    let name = words.next()?;
    let direction = match words.next()? {
        "request" => Direction::Request,
        "response" => Direction::Response,
        _ => return None,
    };
    let unbounded = Versions { first: 0, last: i16::MAX };
    let versions = Versions::parse(words.next()?, unbounded)?;
    let flexible_from = match (words.next(), words.next()) {
        (None, _) => None,
        (Some("flexible"), Some(from)) => Some(Versions::parse(from, unbounded)?.first),
        _ => return None,
    };
    Some(Message { api_key, name, direction, versions, flexible_from, fields: Vec::new() })
}

/// The fields at one depth of indentation, each with what lies deeper below it.
fn fields(lines: &mut Lines, indent: usize, around: Versions) -> Result<Vec<Field>, BadLine> {
    let mut fields: Vec<Field> = Vec::new();
    while let Some(line) = lines.next_if(|line| line.len() - line.trim_start().len() == indent) {
        if line.trim() == "--- tail" {
            fields.last_mut().ok_or(BadLine { line })?.tail_follows = true;
            continue;
        }
        let mut field = field(line, around).ok_or(BadLine { line })?;
        if field.kind == Kind::Structure {
            field.fields = self::fields(lines, indent + 2, field.versions)?;
        }
        fields.push(field);
    }
    Ok(fields)
}

fn field(line: &'static str, around: Versions) -> Option<Field> {
    let mut words = line.split_whitespace();
    let (name, kind) = (words.next()?, words.next()?);
    let (mut versions, mut tag, mut role) = (around, None, None);
    for word in words {
        if let Some(word) = word.strip_prefix('@') {
            role = Some(Role::from_word(word)?);
        } else if let Some(number) = word.strip_prefix("tag=") {
            tag = Some(number.parse().ok()?);
        } else {
            versions = Versions::parse(word, around)?;
        }
    }
    let (kind, nullable) = match kind.split_once('?') {
        None => (kind, None),
        Some((kind, "")) => (kind, Some(versions)),
        Some((kind, some)) => (kind, Some(Versions::parse(some, versions)?)),
    };
    let (array, kind) = kind.strip_prefix("[]").map_or((false, kind), |element| (true, element));
    let (kind, group) = match kind.strip_prefix('{').and_then(|kind| kind.strip_suffix('}')) {
        None => (Kind::from_word(kind)?, None),
        Some("") => (Kind::Structure, None),
        Some(group) => (Kind::Structure, Some(Group::from_word(group)?)),
    };
    Some(Field { name, kind, array, versions, nullable, tag, role, group, tail_follows: false, fields: Vec::new() })
}
