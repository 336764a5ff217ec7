//! One row of the corpus: a request, made for either side, and how its answers may differ.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Message, Request};
use loadtest::wire::{self, Connection};
use loadtest::{Failure, Result};

use super::reading;
use super::world::Side;

/// What every request calls itself and is called.
const CLIENT_ID: &str = "differential";
const CORRELATION_ID: i32 = 7;

/// Makes the request for one side and version.
type Make = Box<dyn Fn(&Side<'_>, i16) -> Asked>;

/// A request in all its versions.
pub struct Case {
    /// The API.
    pub key: i16,
    /// The versions it can be asked in.
    pub versions: RangeInclusive<i16>,
    /// Fields whose values may differ between the sides; without any, the answers are the same bytes.
    pub differs: &'static [&'static str],
    /// Errors that the broker is meant to answer.
    pub errors: &'static [i16],
    make: Make,
}

/// A request frame for the broker it goes to, and the reader of its answer.
struct Asked {
    node: i32,
    frame: Bytes,
    read: Box<dyn Fn(Bytes) -> Result<String>>,
}

/// An answer: without its length, and as text where there is a codec for it.
pub struct Answer {
    pub frame: Bytes,
    pub text: String,
}

/// A case of a request that the codec knows. `make` gives the broker it goes to, and the request.
pub fn case<R: Request>(make: impl Fn(&Side<'_>, i16) -> (i32, R) + 'static) -> Case
where
    R::Response: Debug,
{
    let codec = <R as Message>::VERSIONS;
    let make = move |side: &Side<'_>, version: i16| {
        // A version that the codec lacks is laid out like the last it has; its answer is read by our layout.
        let encoded = version.min(codec.max);
        let (node, request) = make(side, encoded);
        let mut frame = wire::encode(CLIENT_ID, CORRELATION_ID, encoded, &request).unwrap().to_vec();
        frame[6..8].copy_from_slice(&version.to_be_bytes());
        let read = move |answer: Bytes| match version > codec.max {
            true => reading::read(R::KEY, version, &answer),
            false => wire::decode::<R>(version, answer).map(|(_, response)| format!("{response:?}")),
        };
        Asked { node, frame: frame.into(), read: Box::new(read) }
    };
    Case { key: R::KEY, versions: codec.min..=codec.max, differs: &[], errors: &[], make: Box::new(make) }
}

/// A case of one flexible version that the codec lacks: `make` gives the broker and the body. Its answer is read by our
/// layout.
pub fn raw(key: i16, version: i16, make: impl Fn(&Side<'_>) -> (i32, BytesMut) + 'static) -> Case {
    let make = move |side: &Side<'_>, version: i16| {
        let (node, body) = make(side);
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(CORRELATION_ID);
        frame.put_i16(CLIENT_ID.len() as i16);
        frame.put_slice(CLIENT_ID.as_bytes());
        frame.put_u8(0);
        frame.put(body);
        let frame = wire::framed(&frame).unwrap();
        Asked { node, frame, read: Box::new(move |answer| reading::read(key, version, &answer)) }
    };
    Case { key, versions: version..=version, differs: &[], errors: &[], make: Box::new(make) }
}

impl Case {
    /// These fields may differ.
    pub fn differs(mut self, fields: &'static [&'static str]) -> Self {
        self.differs = fields;
        self
    }

    /// The broker is meant to answer these errors, here and there.
    pub fn errors(mut self, codes: &'static [i16]) -> Self {
        self.errors = codes;
        self
    }

    /// Up to this version, which the codec lacks, requests are laid out like its last.
    pub fn up_to(mut self, version: i16) -> Self {
        self.versions = *self.versions.start()..=version;
        self
    }

    /// Asks one side; the answer speaks of things under the name that both sides' have in common.
    pub fn ask(&self, side: &Side<'_>, version: i16) -> Result<Answer> {
        let Asked { node, frame, read } = (self.make)(side, version);
        let mut connection = Connection::open(side.door(node)?)?;
        connection.send_bytes(&frame)?;
        let answer = connection.receive_frame()?.ok_or_else(|| Failure::new("closed without an answer"))?;
        let frame = side.unnamed(&answer);
        Ok(Answer { text: read(frame.clone())?, frame })
    }
}

impl Answer {
    /// Every error code in it.
    pub fn errors(&self) -> Vec<i16> {
        let codes = self.text.split("error_code: ").skip(1);
        codes.filter_map(|rest| rest.split([',', ' ']).next()?.parse().ok()).collect()
    }
}

/// The text with the values of these fields blanked out.
pub fn tame(text: &str, fields: &[&str]) -> String {
    let mut text = text.to_owned();
    for field in fields {
        let (name, mut from) = (format!(" {field}: "), 0);
        while let Some(at) = text[from..].find(&name) {
            let value = from + at + name.len();
            text.replace_range(value..value + value_length(&text[value..]), "*");
            from = value;
        }
    }
    text
}

/// Up to the comma or bracket that ends the value, which may have brackets of its own.
fn value_length(text: &str) -> usize {
    let mut depth = 0;
    let end = text.find(|c| {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            _ => {}
        }
        depth < 0 || (depth == 0 && c == ',')
    });
    end.map_or(text.len(), |end| text[..end].trim_end().len())
}

/// The pieces of a flexible body.
pub trait Flexible {
    /// A string, or bytes: its length and one, then itself.
    fn compact(&mut self, text: &str) -> &mut Self;
    /// An array's count, or null's; below 127.
    fn count(&mut self, count: Option<u8>) -> &mut Self;
    /// An int32.
    fn int(&mut self, number: i32) -> &mut Self;
    /// Bytes as they are.
    fn plain(&mut self, bytes: &[u8]) -> &mut Self;
}

impl Flexible for BytesMut {
    fn compact(&mut self, text: &str) -> &mut Self {
        self.put_u8(u8::try_from(text.len() + 1).unwrap());
        self.plain(text.as_bytes())
    }

    fn count(&mut self, count: Option<u8>) -> &mut Self {
        self.put_u8(count.map_or(0, |c| c + 1));
        self
    }

    fn int(&mut self, number: i32) -> &mut Self {
        self.put_i32(number);
        self
    }

    fn plain(&mut self, bytes: &[u8]) -> &mut Self {
        self.put_slice(bytes);
        self
    }
}
