//! A connection's two state machines: a client's bytes in, a broker's bytes back, in any pieces.

use super::input::Input;
use crate::pipeline::drive::{self, PassedOn, messages, scope};
use crate::wire::kafka::api::Api;
use crate::wire::kafka::layout::Direction;

const FRAME_BYTES_MAX: u64 = 1 << 20;

/// A byte chooses the pieces, another what is recorded; the rest comes from a client.
pub fn inbound(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (size, topics) = (piece_size(&mut input), recorded(&mut input));
    let stream = input.rest();
    let drive = |size| drive::way_in(stream, size, FRAME_BYTES_MAX, Some(scope(topics)));
    let whole = drive(stream.len());
    assert!(stream.starts_with(&whole.bytes), "what is passed on leaves as it came");
    the_same(&whole, &drive(size));
}

/// A byte chooses the pieces, another what is recorded, a third how many answers are awaited, two each which; the rest
/// comes from a broker.
pub fn outbound(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (size, topics) = (piece_size(&mut input), recorded(&mut input));
    let all = messages(Direction::Response);
    let count = input.byte() % 5;
    let awaited: Vec<(&'static Api, i16)> = (0..count)
        .map(|_| {
            let (api, _, version) = all[input.number() % all.len()];
            (api, version)
        })
        .collect();
    let stream = input.rest();
    let drive = |size| drive::way_back(stream, &awaited, size, Some(&scope(topics)));
    the_same(&drive(stream.len()), &drive(size));
}

fn piece_size(input: &mut Input<'_>) -> usize {
    match input.byte() {
        large @ 200.. => usize::from(large - 199) * 100,
        small => usize::from(small).max(1),
    }
}

fn recorded(input: &mut Input<'_>) -> &'static [&'static str] {
    match input.byte() % 3 {
        0 => &[],
        1 => &["weir-weir-*"],
        _ => &["nobody's"],
    }
}

/// However the bytes were cut, the same was passed on, described and kept; a fault is the same fault, though what came
/// before it in its frame may have been passed on already.
fn the_same(whole: &PassedOn, cut: &PassedOn) {
    if whole.fault.is_none() {
        assert_eq!(cut, whole);
        return;
    }
    assert_eq!((&cut.requests, &cut.responses), (&whole.requests, &whole.responses));
    // What is gathered is read when it is whole, which the stream's end may forestall.
    if cut.fault.is_some() || cut.whole {
        let fault = |passed: &PassedOn| passed.fault.as_deref().map(without_place);
        assert_eq!(fault(cut), fault(whole));
    }
}

/// A place counts from the body's first byte, or from its tail's where only that is left to be read.
fn without_place(told: &str) -> String {
    match told.split_once(" at byte ").map(|(before, after)| (before, after.split_once(": "))) {
        Some((before, Some((_, what)))) => format!("{before}: {what}"),
        _ => told.to_owned(),
    }
}

/// One lawful frame of every API and version, requests first.
pub fn frames(seed: u64) -> Vec<Vec<u8>> {
    let requests = messages(Direction::Request).into_iter().enumerate().map(|(at, (api, message, version))| {
        drive::request(api, message, version, at as i32, seed.wrapping_mul(7919) + at as u64)
    });
    let responses = messages(Direction::Response).into_iter().map(|(api, message, version)| {
        drive::response(api, message, version, 0, seed.wrapping_mul(104_729) + api.key as u64)
    });
    requests.chain(responses).collect()
}

pub fn inbound_seeds() -> Vec<Vec<u8>> {
    let all = messages(Direction::Request);
    let mut seeds = Vec::new();
    for (at, (api, message, version)) in all.iter().enumerate() {
        let frame = drive::request(api, message, *version, at as i32, at as u64 * 31 + 3);
        seeds.push([&[7, at as u8], &frame[..]].concat());
    }
    let handshake = b"\0\0\0\x13\0\x11\0\0\0\0\0\x07\0\x02me\0\x05PLAIN\0\0\0\x04\0u\0p";
    seeds.push([&[3, 0], &handshake[..]].concat());
    let streams = seeds.chunks(40).map(|few| few.iter().flat_map(|seed| &seed[2..]).copied().collect::<Vec<u8>>());
    let streams: Vec<Vec<u8>> = streams.map(|stream| [vec![13, 1], stream].concat()).collect();
    seeds.extend(streams);
    seeds
}

pub fn outbound_seeds() -> Vec<Vec<u8>> {
    let all = messages(Direction::Response);
    let mut seeds = Vec::new();
    for (at, (api, message, version)) in all.iter().enumerate() {
        let frame = drive::response(api, message, *version, 0, at as u64 * 31 + 3);
        seeds.push([&[7, at as u8, 1][..], &(at as u16).to_be_bytes(), &frame].concat());
    }
    for at in (0..all.len() - 3).step_by(11) {
        let (mut awaited, mut stream) = (vec![13, 1, 3], Vec::new());
        for (id, (api, message, version)) in all[at..at + 3].iter().enumerate() {
            awaited.extend(((at + id) as u16).to_be_bytes());
            stream.extend(drive::response(api, message, *version, id as i32, at as u64));
        }
        seeds.push([awaited, stream].concat());
    }
    seeds
}
