//! Bodies of every API and version: however one is cut, the walk sees the same, and nothing outside of it. What a walk
//! found lawful can be refused with an answer.

use std::fmt::Write;

use super::input::{Input, every_version, seed};
use crate::pipeline::guard;
use crate::wire::kafka::batch::Batch;
use crate::wire::kafka::error_reply;
use crate::wire::kafka::layout::{Direction, Element, Group, Message, Role};
use crate::wire::kafka::records::locate::locate;
use crate::wire::kafka::samples;
use crate::wire::kafka::walk::{Malformed, Span, TaggedField, Value, Visitor, Walker};

/// Folds every call into a number, and holds that it lies in the body.
struct Calls {
    sum: u64,
    count: u64,
    body_len: u64,
}

impl Write for Calls {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // FNV-1a
        self.sum = text.bytes().fold(self.sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Ok(())
    }
}

impl Calls {
    fn called(&mut self, call: std::fmt::Arguments<'_>, span: Span) {
        assert!(span.start <= span.end && span.end <= self.body_len, "{call} at {span:?} of {}", self.body_len);
        self.count += 1;
        let _ = write!(self, "{call} {span:?}");
    }

    fn at(&mut self, call: std::fmt::Arguments<'_>, at: u64) {
        self.called(call, Span { start: at, end: at });
    }
}

impl Visitor for Calls {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        self.called(format_args!("{role:?} {value:?}"), span);
    }
    fn array(&mut self, of: Element, count: Option<u32>, span: Span) {
        assert!(u64::from(count.unwrap_or(0)) <= self.body_len, "a count beyond the body is never told");
        self.called(format_args!("{of:?} {count:?}"), span);
    }
    fn open(&mut self, group: Group, at: u64) {
        self.at(format_args!("open {group:?}"), at);
    }
    fn close(&mut self, group: Group, at: u64) {
        self.at(format_args!("close {group:?}"), at);
    }
    fn tagged(&mut self, field: TaggedField) {
        self.called(format_args!("tagged {:?}", field.size), Span { start: field.start, end: field.end });
    }
    fn batch(&mut self, batch: &Batch) {
        self.called(format_args!("{batch:?}"), batch.span);
    }
    fn cut_off(&mut self, span: Span) {
        self.called(format_args!("cut off"), span);
    }
}

fn walk<'a>(
    message: &Message,
    version: i16,
    body_len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Result<(), Malformed>, u64, u64) {
    let body_len = body_len as u64;
    let start = match message.direction {
        Direction::Request => Walker::request,
        Direction::Response => Walker::response,
    };
    let mut walker = start(message.api_key, version, body_len).expect("has a layout");
    let mut calls = Calls { sum: 0xcbf2_9ce4_8422_2325, count: 0, body_len };
    let mut pieces = pieces;
    let walked = pieces.try_for_each(|piece| walker.feed(piece, &mut calls)).and_then(|()| walker.finish());
    assert!(walker.position() <= body_len);
    (walked, calls.sum, calls.count)
}

fn all() -> Vec<(&'static Message, i16)> {
    [every_version(Direction::Request), every_version(Direction::Response)].concat()
}

/// Two bytes choose the message, one how its body is cut, the rest is the body.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let all = all();
    let (message, version) = all[input.number() % all.len()];
    let size = usize::from(input.byte()).max(1);
    let body = input.rest();
    let whole = walk(message, version, body.len(), std::iter::once(body));
    assert!(whole.2 <= 4 * body.len() as u64 + 64, "calls are bounded by the body's length");
    for size in [1, size] {
        let empty = std::iter::once(&body[..0]);
        let cut = walk(message, version, body.len(), empty.chain(body.chunks(size)));
        assert_eq!(cut, whole, "{} v{version} in pieces of {size}", message.name);
    }
    if message.direction == Direction::Request {
        let lawful = guard::is_lawful(message.api_key, version, body);
        assert_eq!(lawful, whole.0.is_ok());
        if lawful {
            error_reply::refuse(message.api_key, version, 7, body, 29, Some("refused"));
        }
    }
    for field in locate(message.api_key, version, message.direction, body).into_iter().flat_map(|found| found.fields) {
        assert!(field.span.start <= field.span.end && field.span.end <= body.len(), "records lie in the body");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let bodies = all()
        .into_iter()
        .enumerate()
        .map(|(place, (message, version))| seed(place, 7, &samples::body(message, version, place as u64 * 7919 + 5)));
    bodies.collect()
}
