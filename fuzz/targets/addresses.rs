//! Answers that name brokers, lawful or not: what is rewritten follows its layout, names the gateway only, and a tail
//! keeps its length.

use super::input::{Input, every_version, seed};
use crate::wire::kafka::addresses::{Outward, Place, place, rewrite, rewrite_tail};
use crate::wire::kafka::layout::{Direction, Message};
use crate::wire::kafka::samples;
use crate::wire::kafka::walk::{Visitor, Walker};

const GATEWAY: &str = "gateway.example";

/// Two of three brokers are reached through the gateway.
struct Some2Of3;

impl Outward for Some2Of3 {
    fn outward(&mut self, node: i32, _: &str, _: i32) -> Option<(String, u16)> {
        (node % 3 != 0).then(|| (GATEWAY.to_owned(), 9300))
    }
}

/// Holds that nobody but the gateway is named.
struct GatewayOnly;

impl Outward for GatewayOnly {
    fn outward(&mut self, _: i32, host: &str, port: i32) -> Option<(String, u16)> {
        assert_eq!((host, port), (GATEWAY, 9300), "a broker's own address has passed");
        Some((GATEWAY.to_owned(), 9300))
    }
}

struct Nothing;
impl Visitor for Nothing {}

fn all() -> Vec<(&'static Message, i16)> {
    let all = every_version(Direction::Response).into_iter();
    all.filter(|(message, version)| place(message.api_key, *version) != Place::Nowhere).collect()
}

/// Two bytes choose the answer, a third is unused, the rest is its body, or its tail where only that is rewritten.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let all = all();
    let (message, version) = all[input.number() % all.len()];
    input.byte();
    let (key, body) = (message.api_key, input.rest());
    if place(key, version) == Place::Tail {
        let Ok(Some(rewritten)) = rewrite_tail(key, version, body, &mut Some2Of3) else { return };
        assert_eq!(rewritten.len(), body.len(), "its length is promised already");
        follows(Walker::response_tail(key, version, body.len() as u64), &rewritten);
        assert_eq!(rewrite_tail(key, version, &rewritten, &mut GatewayOnly), Ok(None));
    } else {
        let Ok(Some(rewritten)) = rewrite(key, version, body, &mut Some2Of3) else { return };
        follows(Walker::response(key, version, rewritten.len() as u64), &rewritten);
        assert_eq!(rewrite(key, version, &rewritten, &mut GatewayOnly), Ok(None));
    }
}

fn follows(walker: Option<Walker>, bytes: &[u8]) {
    let mut walker = walker.expect("has a layout");
    let walked = walker.feed(bytes, &mut Nothing).and_then(|()| walker.finish());
    assert_eq!(walked, Ok(()), "what was rewritten follows its layout");
}

/// What lies behind the records of an answer.
struct Tail {
    at: Option<u64>,
}
impl Visitor for Tail {}

fn tail_of(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut walker = Walker::response(key, version, body.len() as u64).expect("has a layout");
    let mut tail = Tail { at: None };
    walker.feed(body, &mut tail).expect("lawful");
    tail.at = walker.tail_at();
    body[tail.at.map_or(0, |at| at as usize)..].to_vec()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, (message, version)) in all().into_iter().enumerate() {
        for round in 0..4u64 {
            let body = samples::body(message, version, at as u64 * 104_729 + round * 31 + 1);
            let fed = match place(message.api_key, version) {
                Place::Tail => tail_of(message.api_key, version, &body),
                _ => body,
            };
            seeds.push(seed(at, 0, &fed));
        }
    }
    seeds
}
