//! What no client should send: every version of every row with something wrong in it, or merely odd.
//!
//! A lawful body is taken apart at the places that matter (counts, lengths, nulls, tags, texts, numbers with a
//! meaning) and put together wrong in one of them. Which of several places of a kind it is goes with the version, so
//! that over the versions all come in turn.

use bytes::Bytes;
use weir::wire::kafka::api::Api;
use weir::wire::kafka::layout::{Direction, Role};

use super::sample::{Mark, Sample, Shape, What, frame, framed, header, layout, sample, varint};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Twist {
    /// The body ends early.
    CutOff,
    /// Bytes follow the body.
    BytesLeft,
    /// A count or length below -1.
    NegativeCount,
    /// The same, where null is lawful.
    NegativeForNull,
    /// A count that the frame has no room for.
    CountBeyondFrame,
    /// A count of billions.
    HugeCount,
    /// Null where none may be.
    UnlawfulNull,
    /// A length that goes beyond the frame.
    LengthBeyondFrame,
    /// A text longer than any name, but all there.
    LongText,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A text of slashes, dots and control characters.
    OddText,
    /// A tagged field that nobody knows.
    UnknownTag,
    /// The same twice.
    TagTwice,
    /// Tagged fields in the wrong order.
    TagsOutOfOrder,
    /// A tagged field that goes beyond the frame.
    TagBeyondFrame,
    /// Billions of tagged fields.
    HugeTagCount,
    /// A varint that never ends.
    LongVarint,
    /// A known tagged field whose size is not its own.
    WrongTagSize,
    /// A byte for "is there" that is neither 1 nor -1.
    OddPresence,
    /// A truth value of 2.
    OddBool,
    /// A broker's replica id.
    ReplicaId,
    /// A topic id of zeros or ones.
    TopicId,
    /// -1, or the largest there is, as a number that means something.
    OddNumber,
    /// No client id in the header.
    NoClientId,
    /// A client id that is not UTF-8.
    ClientIdNotUtf8,
    /// A tagged field in the header.
    HeaderTag,
    /// More of them than anybody needs.
    ManyHeaderTags,
    /// The header of the other kind of versions: without tagged fields, or with.
    OtherHeader,
}

/// A frame that is wrong in one place.
#[derive(Debug)]
pub struct Variant {
    pub twist: Twist,
    pub field: &'static str,
    pub frame: Bytes,
}

/// All that can be wrong with a request of this version.
pub fn variants(row: &Api, version: i16, name: &str) -> Vec<Variant> {
    let message = layout(row.key, Direction::Request).unwrap();
    let full = sample(message, version, Shape::Full, name);
    let lawful = frame(row, version, name, &full.body);
    let mut variants = Vec::new();
    for (twist, field, body) in bodies(&full, usize::from(version.unsigned_abs())) {
        variants.push(Variant { twist, field, frame: frame(row, version, name, &body) });
    }
    for (twist, header) in headers(row, version, name) {
        variants.push(Variant { twist, field: "header", frame: framed(&header, &full.body) });
    }
    // What has nothing to be twisted may come out as it was.
    variants.retain(|variant| variant.frame != lawful);
    variants
}

fn bodies(sample: &Sample, turn: usize) -> Vec<(Twist, &'static str, Vec<u8>)> {
    let body = &sample.body;
    let mut made: Vec<(Twist, &'static str, Vec<u8>)> =
        [0, body.len() / 3, body.len() * 2 / 3, body.len().saturating_sub(1)]
            .map(|len| (Twist::CutOff, "body", body[..len].to_vec()))
            .into();
    made.push((Twist::BytesLeft, "body", [body, &[0][..]].concat()));
    made.push((Twist::BytesLeft, "body", [body, &[0xff; 64][..]].concat()));
    let pick = |wanted: &dyn Fn(&Mark) -> bool| {
        let fixed = |mark: &Mark| matches!(mark.what, What::Value(_) | What::Bool | What::Presence | What::TagSize);
        let fitting = |mark: &&Mark| wanted(mark) && (fixed(mark) || !mark.tagged);
        let fitting: Vec<&Mark> = sample.marks.iter().filter(fitting).collect();
        (!fitting.is_empty()).then(|| fitting[turn % fitting.len()])
    };
    counts_and_lengths(sample, &pick, &mut made);
    texts(sample, &pick, &mut made);
    if sample.flexible {
        tags(sample, &pick, &mut made);
    }
    values(sample, &pick, &mut made);
    made
}

type Pick<'a> = dyn Fn(&dyn Fn(&Mark) -> bool) -> Option<&'a Mark> + 'a;
type Made = Vec<(Twist, &'static str, Vec<u8>)>;

/// The body with other bytes at a place.
fn splice(sample: &Sample, mark: &Mark, bytes: &[u8]) -> Vec<u8> {
    [&sample.body[..mark.at], bytes, &sample.body[mark.at + mark.len..]].concat()
}

fn counts_and_lengths(sample: &Sample, pick: &Pick<'_>, made: &mut Made) {
    let left = |mark: &Mark| sample.body.len() - mark.at - mark.len;
    let length = |mark: &Mark, number: i64| match (sample.flexible, mark.what) {
        // One more than the number, and 0 for null; -2 is what wraps around.
        (true, _) => varint(number.wrapping_add(1) as u32),
        (false, What::Length { text: true, .. }) => (number as i16).to_be_bytes().to_vec(),
        (false, _) => (number as i32).to_be_bytes().to_vec(),
    };
    let mut put = |twist, mark: Option<&Mark>, number: &dyn Fn(&Mark) -> i64| {
        made.extend(mark.map(|mark| (twist, mark.field, splice(sample, mark, &length(mark, number(mark))))));
    };
    let counts = pick(&|mark| matches!(mark.what, What::Count { .. }));
    put(Twist::CountBeyondFrame, counts, &|mark| left(mark) as i64 + 1);
    put(Twist::HugeCount, counts, &|_| 0x7fff_fff0);
    let lengths = pick(&|mark| matches!(mark.what, What::Length { .. }));
    put(Twist::LengthBeyondFrame, lengths, &|mark| left(mark) as i64 + 1);
    let text = |mark: &Mark| matches!(mark.what, What::Length { text: true, .. });
    let long = |mark: &Mark| if text(mark) { 0x7fff } else { 0x7fff_fff0 };
    put(Twist::LengthBeyondFrame, lengths, &long);
    for nullable in [false, true] {
        let count = pick(&|mark| mark.what == What::Count { nullable });
        let text = pick(&|mark| mark.what == What::Length { text: true, nullable });
        let bytes = pick(&|mark| mark.what == What::Length { text: false, nullable });
        for mark in [count, text, bytes] {
            match nullable {
                false => {
                    put(Twist::UnlawfulNull, mark, &|_| -1);
                    put(Twist::NegativeCount, mark, &|_| -2);
                }
                true => put(Twist::NegativeForNull, mark, &|_| -2),
            }
        }
    }
}

fn texts(sample: &Sample, pick: &Pick<'_>, made: &mut Made) {
    let Some(text) = pick(&|mark| mark.what == What::Text && mark.len > 0) else { return };
    made.push((Twist::NotUtf8, text.field, splice(sample, text, &vec![0xc3; text.len])));
    let odd: Vec<u8> = b"../\0/\x1b[2J".iter().copied().cycle().take(text.len).collect();
    made.push((Twist::OddText, text.field, splice(sample, text, &odd)));
    // Its length stands right before it.
    let length = sample.marks.iter().find(|mark| mark.at + mark.len == text.at).unwrap();
    let long = vec![b'x'; 400];
    let count = if sample.flexible { varint(401) } else { 400i16.to_be_bytes().to_vec() };
    let around = [&sample.body[..length.at], &count, &long, &sample.body[text.at + text.len..]];
    made.push((Twist::LongText, text.field, around.concat()));
}

fn tags(sample: &Sample, pick: &Pick<'_>, made: &mut Made) {
    let field = |number: u32, size: u32, value: &[u8]| [varint(number), varint(size), value.to_vec()].concat();
    let some = field(10_000, 3, b"abc");
    let sections = [
        (Twist::UnknownTag, [&[1][..], &some].concat()),
        (Twist::TagTwice, [&[2][..], &some, &some].concat()),
        (Twist::TagsOutOfOrder, [&[2][..], &some, &field(9_000, 1, b"z")].concat()),
        (Twist::TagBeyondFrame, [&[1][..], &field(10_000, 0x00ff_ffff, b"")].concat()),
        (Twist::HugeTagCount, varint(u32::MAX)),
        (Twist::LongVarint, vec![0xff; 11]),
    ];
    // A section without known fields of its own.
    if let Some(empty) = pick(&|mark| mark.what == What::Tags && mark.len == 1) {
        made.extend(sections.map(|(twist, section)| (twist, empty.field, splice(sample, empty, &section))));
    }
    if let Some(size) = pick(&|mark| mark.what == What::TagSize && mark.len == 1) {
        let own = u32::from(sample.body[size.at]);
        for wrong in [own - 1, own + 1, 0, u32::MAX] {
            made.push((Twist::WrongTagSize, size.field, splice(sample, size, &varint(wrong))));
        }
    }
}

fn values(sample: &Sample, pick: &Pick<'_>, made: &mut Made) {
    let mut put = |twist, mark: Option<&Mark>, bytes: &dyn Fn(&Mark) -> Vec<u8>| {
        made.extend(mark.map(|mark| (twist, mark.field, splice(sample, mark, &bytes(mark)))));
    };
    put(Twist::OddPresence, pick(&|mark| mark.what == What::Presence), &|_| vec![2]);
    put(Twist::OddPresence, pick(&|mark| mark.what == What::Presence), &|_| vec![0]);
    put(Twist::OddBool, pick(&|mark| mark.what == What::Bool), &|_| vec![2]);
    let replica = pick(&|mark| mark.what == What::Value(Role::ReplicaId));
    for id in [0i32, 1, i32::MAX] {
        put(Twist::ReplicaId, replica, &|_| id.to_be_bytes().to_vec());
    }
    let topic = pick(&|mark| mark.what == What::Value(Role::TopicId));
    put(Twist::TopicId, topic, &|_| vec![0; 16]);
    put(Twist::TopicId, topic, &|_| vec![0xff; 16]);
    // Not the longest time that somebody waits, nor who it is.
    let waits = [Role::MaxWaitMs, Role::TimeoutMs, Role::ReplicaId, Role::TopicId];
    let meant = pick(&|mark| matches!(mark.what, What::Value(role) if !waits.contains(&role)));
    put(Twist::OddNumber, meant, &|mark| vec![0xff; mark.len]);
    put(Twist::OddNumber, meant, &|mark| [&[0x7f][..], &vec![0xff; mark.len - 1]].concat());
}

fn headers(row: &Api, version: i16, name: &str) -> Vec<(Twist, Vec<u8>)> {
    let lawful = header(row.key, version, Some(name), &[0]);
    let mut not_text = lawful.clone();
    not_text[10] = 0xc3;
    let mut headers =
        vec![(Twist::NoClientId, header(row.key, version, None, &[0])), (Twist::ClientIdNotUtf8, not_text)];
    if row.is_flexible(version) {
        let many = [&[40][..], &(0..40).flat_map(|tag| [tag, 0]).collect::<Vec<u8>>()].concat();
        headers.push((Twist::HeaderTag, header(row.key, version, Some(name), &[1, 100, 2, 7, 7])));
        headers.push((Twist::ManyHeaderTags, header(row.key, version, Some(name), &many)));
        headers.push((Twist::OtherHeader, header(row.key, version, Some(name), &[])));
    } else {
        headers.push((Twist::OtherHeader, [lawful, vec![0]].concat()));
    }
    headers
}
