//! A whole request with every field by its name: for whoever has to show people all that it says, or to tell two apart.
//!
//! Invariants:
//! - Nothing of the body is left out but record batches, of which only the size is told, and tagged fields that no layout knows,
//!   whose presence is.
//! - What a layout calls a secret stays apart from text, and is wiped when it goes.

use zeroize::Zeroizing;

use super::fields::{Fields, Stop};
use super::layout::{self, Direction, Field, Kind, Message, Role};

/// Values that a request has at most: several for each partition of a large cluster; more is more than a person reads.
const VALUES_MAX: usize = 128 * 1024;

/// Fields in the layout's order, those that the version lacks left out.
#[derive(Debug, Clone, Default)]
pub struct Structure {
    /// Each with its value.
    pub fields: Vec<(&'static Field, Datum)>,
    /// Tagged fields that the layout does not know.
    pub unknown: u32,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Datum {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// A UUID.
    Id([u8; 16]),
    /// What nobody may see.
    Secret(Zeroizing<Vec<u8>>),
    /// Bytes or batches that are not looked at: how many.
    Bytes(usize),
    /// An array.
    List(Vec<Datum>),
    /// A structure.
    Structure(Structure),
}

/// Reads a request's body (headers excluded) that follows its layout; none where it does not, or has no layout, or holds more
/// than anybody reads.
pub fn of_request(api_key: i16, version: i16, body: &[u8]) -> Option<Structure> {
    let is_it = |message: &&Message| message.api_key == api_key && message.direction == Direction::Request;
    let message = layout::messages().iter().find(is_it).filter(|message| message.versions.contains(version))?;
    let mut reader = Reader { flexible: message.is_flexible(version), version, left: VALUES_MAX };
    let mut fields = Fields::whole(body);
    let read = reader.structure(&message.fields, &mut fields).ok()?;
    (fields.position() == body.len()).then_some(read)
}

impl Structure {
    /// The value with this role.
    pub fn get(&self, role: Role) -> Option<&Datum> {
        self.fields.iter().find(|(field, _)| field.role == Some(role)).map(|(_, datum)| datum)
    }

    /// The text with this role, unless it is null.
    pub fn text(&self, role: Role) -> Option<&str> {
        match self.get(role)? {
            Datum::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number with this role, a truth value as 0 or 1.
    pub fn number(&self, role: Role) -> Option<i64> {
        match self.get(role)? {
            Datum::Int(number) => Some(*number),
            Datum::Bool(on) => Some((*on).into()),
            _ => None,
        }
    }
}

struct Reader {
    flexible: bool,
    version: i16,
    left: usize,
}

impl Reader {
    fn structure(&mut self, layout: &'static [Field], from: &mut Fields<'_>) -> Result<Structure, Stop> {
        let mut read = Structure::default();
        let there = |field: &&Field| field.versions.contains(self.version);
        let (plain, tagged): (Vec<&'static Field>, Vec<&'static Field>) =
            layout.iter().filter(there).partition(|field| field.tag.is_none());
        for field in plain {
            read.fields.push((field, self.field(field, from)?));
        }
        if !self.flexible {
            return Ok(read);
        }
        for _ in 0..from.unsigned_varint()? {
            let tag = from.unsigned_varint()?;
            let size = from.unsigned_varint()?;
            let content = from.take(size as usize)?;
            match tagged.iter().find(|field| field.tag == Some(tag)) {
                Some(field) => read.fields.push((field, self.field(field, &mut Fields::whole(content))?)),
                None => read.unknown += 1,
            }
        }
        Ok(read)
    }

    fn field(&mut self, field: &'static Field, from: &mut Fields<'_>) -> Result<Datum, Stop> {
        if !field.array {
            return self.value(field, from);
        }
        let Some(count) = self.count(from)? else { return Ok(Datum::Null) };
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(self.value(field, from)?);
        }
        Ok(Datum::List(list))
    }

    fn value(&mut self, field: &'static Field, from: &mut Fields<'_>) -> Result<Datum, Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::BadLength)?;
        let nullable = !field.array && field.nullable.is_some_and(|versions| versions.contains(self.version));
        Ok(match field.kind {
            Kind::Bool => Datum::Bool(from.int8()? != 0),
            Kind::Int8 => Datum::Int(from.int8()?.into()),
            Kind::Int16 => Datum::Int(from.int16()?.into()),
            Kind::Uint16 => Datum::Int((from.int16()? as u16).into()),
            Kind::Int32 => Datum::Int(from.int32()?.into()),
            Kind::Int64 => Datum::Int(from.int64()?),
            Kind::Float64 => Datum::Float(f64::from_bits(from.int64()? as u64)),
            Kind::Uuid => {
                let mut id = [0; 16];
                id.copy_from_slice(from.take(16)?);
                Datum::Id(id)
            }
            Kind::String => self.text(from)?.map_or(Datum::Null, Datum::Text),
            Kind::Bytes | Kind::Records => match self.count(from)? {
                None => Datum::Null,
                Some(count) => {
                    let bytes = from.take(count)?;
                    let secret = field.role == Some(Role::Secret);
                    if secret { Datum::Secret(Zeroizing::new(bytes.to_vec())) } else { Datum::Bytes(count) }
                }
            },
            Kind::Structure if nullable && from.int8()? < 0 => Datum::Null,
            Kind::Structure => Datum::Structure(self.structure(&field.fields, from)?),
        })
    }

    fn text(&self, from: &mut Fields<'_>) -> Result<Option<String>, Stop> {
        let text = if self.flexible { from.compact_nullable_string()? } else { from.nullable_string()? };
        Ok(text.map(str::to_owned))
    }

    /// A count of elements, or a length of anything but text; none for null.
    fn count(&self, from: &mut Fields<'_>) -> Result<Option<usize>, Stop> {
        if self.flexible {
            return from.compact_count();
        }
        match from.int32()? {
            -1 => Ok(None),
            count => usize::try_from(count).map(Some).map_err(|_| Stop::BadLength),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kafka::samples;

    #[test]
    fn every_request_in_every_version_is_read_to_its_last_byte() {
        let mut read = 0;
        for message in layout::messages().iter().filter(|message| message.direction == Direction::Request) {
            for version in message.versions.first..=message.versions.last {
                let body = samples::body(message, version, 7);
                let structure = of_request(message.api_key, version, &body);
                assert!(structure.is_some(), "{} v{version}", message.name);
                assert!(of_request(message.api_key, version, &[&body[..], &[0]].concat()).is_none());
                read += 1;
            }
        }
        assert!(read > 200, "{read}");
    }

    #[test]
    fn hostile_counts_allocate_nothing_and_are_no_request() {
        for body in [&b"\x7f\xff\xff\xff"[..], b"\xff\xff\xff\xfe", b"\0\0\0\x01\x7f\xff", b""] {
            assert!(of_request(20, 1, body).is_none(), "{body:?}");
        }
    }
}
