//! Reads an answer by its layout, field by field, into text of the form that `kafka-protocol`'s messages print: of any
//! API and version, also of those that library does not know.

use std::fmt::Write;

use loadtest::{Failure, Result};
use weir::wire::kafka::api;
use weir::wire::kafka::layout::{Direction, Field, Kind, Role};

use super::sample::layout;

/// An answer as text, from its correlation id on; bytes left over are an error.
pub fn read(key: i16, version: i16, frame: &[u8]) -> Result<String> {
    walk(key, version, frame).map(|reader| reader.text)
}

/// The error codes of an answer, each where its layout has one, in their order.
pub fn errors(key: i16, version: i16, frame: &[u8]) -> Result<Vec<i64>> {
    walk(key, version, frame).map(|reader| reader.errors)
}

fn walk(key: i16, version: i16, frame: &[u8]) -> Result<Reader<'_>> {
    let (Some(row), Some(message)) = (api::lookup(key), layout(key, Direction::Response)) else {
        return Err(Failure::new(format!("API {key} has no layout")));
    };
    if !message.versions.contains(version) {
        return Err(Failure::new(format!("{} v{version} has no layout", message.name)));
    }
    let mut reader = Reader { left: frame, version, flexible: false, text: String::new(), errors: Vec::new() };
    reader.take(4)?;
    reader.flexible = row.response_header_version(version) > 0;
    reader.structure(&[])?;
    reader.text.clear();
    reader.flexible = message.is_flexible(version);
    reader.structure(&message.fields)?;
    match reader.left.len() {
        0 => Ok(reader),
        left => Err(Failure::new(format!("{} v{version}: {left} bytes left over", message.name))),
    }
}

struct Reader<'a> {
    left: &'a [u8],
    version: i16,
    flexible: bool,
    text: String,
    errors: Vec<i64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let split = self.left.split_at_checked(count);
        let (taken, left) = split.ok_or_else(|| Failure::new(format!("cut off after {}", self.text)))?;
        self.left = left;
        Ok(taken)
    }

    fn int(&mut self, size: usize) -> Result<i64> {
        let bytes = self.take(size)?;
        let sign = if bytes[0] < 0x80 { 0 } else { -1 };
        Ok(bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
    }

    fn varint(&mut self) -> Result<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Failure::new("a varint without an end"))
    }

    /// A length or count; none for null.
    fn length(&mut self, width: usize) -> Result<Option<usize>> {
        let length = if self.flexible { self.varint()? as i64 - 1 } else { self.int(width)? };
        Ok(usize::try_from(length).ok())
    }

    fn structure(&mut self, fields: &[Field]) -> Result<()> {
        self.text.push('{');
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
            self.named(field)?;
        }
        let tags = if self.flexible { self.varint()? } else { 0 };
        for _ in 0..tags {
            let (tag, size) = (self.varint()?, self.varint()?);
            match fields.iter().find(|field| field.tag == u32::try_from(tag).ok() && field.versions.contains(version)) {
                Some(field) => self.named(field)?,
                None => {
                    let value = self.take(size)?;
                    let _ = write!(self.text, " tag_{tag}: {value:?},");
                }
            }
        }
        self.text.push_str(" }");
        Ok(())
    }

    fn named(&mut self, field: &Field) -> Result<()> {
        let _ = write!(self.text, " {}: ", snake_case(field.name));
        self.field(field)?;
        self.text.push(',');
        Ok(())
    }

    fn field(&mut self, field: &Field) -> Result<()> {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(self.version));
        if field.array {
            let Some(count) = self.length(4)? else { return self.null() };
            self.text.push('[');
            for _ in 0..count {
                self.value(field)?;
                self.text.push_str(", ");
            }
            self.text.push(']');
            Ok(())
        } else if field.kind == Kind::Structure && nullable && self.int(1)? < 0 {
            self.null()
        } else {
            self.value(field)
        }
    }

    fn null(&mut self) -> Result<()> {
        self.text.push_str("null");
        Ok(())
    }

    fn value(&mut self, field: &Field) -> Result<()> {
        let number = match field.kind {
            Kind::Bool | Kind::Int8 => self.int(1)?,
            Kind::Int16 => self.int(2)?,
            Kind::Uint16 => self.int(2)? & 0xffff,
            Kind::Int32 => self.int(4)?,
            Kind::Int64 | Kind::Float64 => self.int(8)?,
            Kind::Uuid => {
                let id = self.take(16)?;
                let _ = write!(self.text, "{id:02x?}");
                return Ok(());
            }
            Kind::String => {
                let Some(length) = self.length(2)? else { return self.null() };
                let text = String::from_utf8_lossy(self.take(length)?);
                let _ = write!(self.text, "{text:?}");
                return Ok(());
            }
            Kind::Bytes | Kind::Records => {
                let Some(length) = self.length(4)? else { return self.null() };
                let bytes = self.take(length)?;
                let _ = write!(self.text, "b{:?}", String::from_utf8_lossy(bytes));
                return Ok(());
            }
            Kind::Structure => return self.structure(&field.fields),
        };
        if field.role == Some(Role::ErrorCode) {
            self.errors.push(number);
        }
        let _ = write!(self.text, "{number}");
        Ok(())
    }
}

/// `ThrottleTimeMs` as `throttle_time_ms`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
