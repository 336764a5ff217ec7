//! Requests made from the table of layouts: lawful bytes of any API and version, and where in them what stands.
//!
//! Nothing is random: the same API, version, shape and names give the same bytes.

use bytes::{BufMut, Bytes};
use loadtest::batch::Batch;
use loadtest::wire;
use weir::wire::kafka::api::{self, Api};
use weir::wire::kafka::layout::{Direction, Field, Kind, Message, Role, messages};

/// What every generated request calls itself.
pub const CORRELATION_ID: i32 = 11;

/// A topic id that no topic has.
pub const NO_TOPIC: [u8; 16] = [0x5a; 16];

/// How much of a request is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Arrays are empty, what may be null is null, no tagged field is sent.
    Bare,
    /// Arrays have one element, nothing is null, every tagged field is sent.
    Full,
}

/// A body, and where in it lie the bytes that a hostile client would choose.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub body: Vec<u8>,
    pub marks: Vec<Mark>,
    pub flexible: bool,
}

/// A place in a body.
#[derive(Debug, Clone)]
pub struct Mark {
    pub at: usize,
    pub len: usize,
    pub what: What,
    pub field: &'static str,
    /// Within a tagged field: what is longer or shorter here also makes that field's size wrong.
    pub tagged: bool,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// An array's count, and whether it may be null.
    Count { nullable: bool },
    /// The length of a string or of bytes, and whether it may be null.
    Length { text: bool, nullable: bool },
    /// A string's own bytes.
    Text,
    /// A section of tagged fields, all of it.
    Tags,
    /// A tagged field's size, of a field that the layout knows.
    TagSize,
    /// The byte that says whether a structure is null.
    Presence,
    /// A truth value.
    Bool,
    /// A value with a role.
    Value(Role),
}

/// The layout of an API's request or response; none for those that only brokers use.
pub fn layout(key: i16, direction: Direction) -> Option<&'static Message> {
    messages().iter().find(|message| message.api_key == key && message.direction == direction)
}

/// A request's body in this shape, or a response's. `prefix` begins every name in it.
pub fn sample(message: &Message, version: i16, shape: Shape, prefix: &str) -> Sample {
    let flexible = message.is_flexible(version);
    let mut made = Maker { version, shape, prefix, sample: Sample { body: Vec::new(), marks: Vec::new(), flexible } };
    made.structure(&message.fields);
    made.sample
}

/// A request's header as its API and version have it, also where the table has no such version: then as its last has.
pub fn header(key: i16, version: i16, client_id: Option<&str>, tags: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.put_i16(key);
    header.put_i16(version);
    header.put_i32(CORRELATION_ID);
    match client_id {
        None => header.put_i16(-1),
        Some(id) => {
            header.put_i16(i16::try_from(id.len()).unwrap());
            header.put_slice(id.as_bytes());
        }
    }
    if api::lookup(key).is_some_and(|row| row.is_flexible(version)) {
        header.put_slice(tags);
    }
    header
}

/// A whole frame.
pub fn frame(row: &Api, version: i16, client_id: &str, body: &[u8]) -> Bytes {
    framed(&header(row.key, version, Some(client_id), &[0]), body)
}

/// A whole frame of a header and a body.
pub fn framed(header: &[u8], body: &[u8]) -> Bytes {
    wire::framed(&[header, body].concat()).unwrap()
}

/// An unsigned varint.
pub fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

struct Maker<'a> {
    version: i16,
    shape: Shape,
    prefix: &'a str,
    sample: Sample,
}

impl Maker<'_> {
    fn structure(&mut self, fields: &[Field]) {
        let version = self.version;
        let here = || fields.iter().filter(|field| field.versions.contains(version));
        for field in here().filter(|field| field.tag.is_none()) {
            self.field(field);
        }
        if self.sample.flexible {
            let mut tagged: Vec<&Field> = here().filter(|field| field.tag.is_some()).collect();
            tagged.sort_by_key(|field| field.tag);
            self.tagged(if self.shape == Shape::Full { &tagged } else { &[] });
        }
    }

    fn tagged(&mut self, fields: &[&Field]) {
        let from = self.sample.body.len();
        self.sample.body.extend(varint(fields.len() as u32));
        for field in fields {
            // Written apart first: its size stands before it.
            let around = std::mem::take(&mut self.sample);
            self.sample.flexible = around.flexible;
            self.field(field);
            let value = std::mem::replace(&mut self.sample, around);
            self.sample.body.extend(varint(field.tag.unwrap()));
            let size = varint(value.body.len() as u32);
            self.mark(size.len(), What::TagSize, field.name);
            self.sample.body.extend(size);
            let at = self.sample.body.len();
            self.sample.marks.extend(value.marks.into_iter().map(|mark| Mark {
                at: mark.at + at,
                tagged: true,
                ..mark
            }));
            self.sample.body.extend(value.body);
        }
        let len = self.sample.body.len() - from;
        self.sample.marks.push(Mark { at: from, len, what: What::Tags, field: "tags", tagged: false });
    }

    fn field(&mut self, field: &Field) {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(self.version));
        let null = nullable && self.shape == Shape::Bare;
        if field.array {
            let count = usize::from(self.shape == Shape::Full);
            self.length((!null).then_some(count), 4, What::Count { nullable }, field.name);
            (0..count).for_each(|_| self.value(field, false));
        } else if field.kind == Kind::Structure && nullable {
            self.mark(1, What::Presence, field.name);
            self.sample.body.push(if null { 0xff } else { 1 });
            if !null {
                self.value(field, true);
            }
        } else if null {
            let (text, width) = if field.kind == Kind::String { (true, 2) } else { (false, 4) };
            self.length(None, width, What::Length { text, nullable }, field.name);
        } else {
            self.value(field, nullable);
        }
    }

    fn value(&mut self, field: &Field, nullable: bool) {
        let number = number(field);
        if let (Some(role), Some(size)) = (field.role, size(field.kind)) {
            self.mark(size, What::Value(role), field.name);
        }
        match field.kind {
            Kind::Bool => {
                self.mark(1, What::Bool, field.name);
                self.sample.body.push(0);
            }
            Kind::Int8 => self.sample.body.put_i8(number as i8),
            Kind::Int16 | Kind::Uint16 => self.sample.body.put_i16(number as i16),
            Kind::Int32 => self.sample.body.put_i32(number as i32),
            Kind::Int64 => self.sample.body.put_i64(number),
            Kind::Float64 => self.sample.body.put_f64(number as f64),
            Kind::Uuid if field.role == Some(Role::TopicId) => self.sample.body.extend(NO_TOPIC),
            Kind::Uuid => self.sample.body.extend(id_of(self.prefix)),
            Kind::String => {
                let text = match self.shape {
                    Shape::Bare => String::new(),
                    Shape::Full => format!("{}-{}", self.prefix, field.name),
                };
                self.length(Some(text.len()), 2, What::Length { text: true, nullable }, field.name);
                self.mark(text.len(), What::Text, field.name);
                self.sample.body.extend(text.bytes());
            }
            Kind::Bytes => self.bytes(b"bytes".to_vec(), nullable, field.name),
            Kind::Records => self.bytes(Batch::counting(2).bytes(), nullable, field.name),
            Kind::Structure => self.structure(&field.fields),
        }
    }

    fn bytes(&mut self, bytes: Vec<u8>, nullable: bool, field: &'static str) {
        self.length(Some(bytes.len()), 4, What::Length { text: false, nullable }, field);
        self.sample.body.extend(bytes);
    }

    fn length(&mut self, length: Option<usize>, width: usize, what: What, field: &'static str) {
        let bytes = match (self.sample.flexible, width) {
            (true, _) => varint(length.map_or(0, |length| length as u32 + 1)),
            (false, 2) => length.map_or(-1, |length| length as i16).to_be_bytes().to_vec(),
            (false, _) => length.map_or(-1, |length| length as i32).to_be_bytes().to_vec(),
        };
        self.mark(bytes.len(), what, field);
        self.sample.body.extend(bytes);
    }

    /// Marks what is about to be written.
    fn mark(&mut self, len: usize, what: What, field: &'static str) {
        let at = self.sample.body.len();
        self.sample.marks.push(Mark { at, len, what, field, tagged: false });
    }
}

/// An id that only these names have (FNV-1a).
fn id_of(names: &str) -> [u8; 16] {
    let hash = names
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (u128::from(hash) << 64 | u128::from(hash)).to_be_bytes()
}

/// Numbers that make nobody wait, are no broker's, and are answered.
fn number(field: &Field) -> i64 {
    match field.role {
        Some(Role::ReplicaId | Role::Acks | Role::NodeId | Role::LeaderId) => -1,
        Some(Role::TimeoutMs) => 10_000,
        _ => 0,
    }
}

fn size(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Int8 => Some(1),
        Kind::Int16 | Kind::Uint16 => Some(2),
        Kind::Int32 => Some(4),
        Kind::Int64 | Kind::Float64 => Some(8),
        Kind::Uuid => Some(16),
        _ => None,
    }
}
