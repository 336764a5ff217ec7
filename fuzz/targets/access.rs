//! Bodies of every API and version under access rules: what is cut follows its layout, and so does what is answered or changed. What
//! goes on and what is shown is held by name in the library's own tests.

use std::net::{IpAddr, Ipv4Addr};

use super::input::{Input, every_version, seed};
use crate::pipeline::access::{Judgement, Request, Standing, amend, judge};
use crate::pipeline::drive::NoTopics;
use crate::pipeline::guard;
use crate::policy::{AccessClient, AccessRule, AccessRules, NamePatterns, Operations};
use crate::wire::kafka::api;
use crate::wire::kafka::items;
use crate::wire::kafka::layout::{Direction, Message};
use crate::wire::kafka::samples;
use crate::wire::kafka::tree::Tree;

/// Names that begin with a letter of the alphabet's first half are allowed, on some of their partitions where they are long.
fn standing() -> Standing {
    let names = |texts: &[&str]| -> Vec<String> { texts.iter().map(ToString::to_string).collect() };
    let rule = AccessRule {
        operations: Operations::ALL,
        topics: NamePatterns::topics(&names(&["[a-m]*", "w*[0-3]"])).expect("lawful"),
        consumer_groups: NamePatterns::names(&names(&["[a-w]*"])).expect("lawful"),
        transactional_ids: NamePatterns::names(&names(&["[a-w]*"])).expect("lawful"),
        cluster: true,
        ..AccessRule::default()
    };
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "somebody",
        groups: &[],
        client_id: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scopes: None,
    };
    let rules = AccessRules::new(vec![rule]).expect("a lawful rule");
    Standing::new(rules.rights_of(&client).expect("the listener is governed"), 0)
}

fn all() -> Vec<(&'static Message, i16)> {
    every_version(Direction::Request)
}

/// Two bytes choose the message, one the seed of its answer, the rest is the request's body.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let all = all();
    let (message, version) = all[input.number() % all.len()];
    let of_answer = input.byte();
    let (api_key, body) = (message.api_key, input.rest());
    if !guard::is_lawful(api_key, version, body) {
        return;
    }
    let mut standing = standing();
    let judged = judge(Request { api_key, version, body }, &mut standing, &NoTopics).expect("it is lawful");
    match judged {
        Judgement::Passes | Judgement::Refused { .. } => {}
        Judgement::Answered(answered) => {
            let header = api::lookup(api_key).map_or(0, |api| api.response_header_version(version));
            if let Some(frame) = items::answer(api_key, version, 1, &answered) {
                lawful(api_key, version, &frame[8 + usize::from(header == 1)..]);
            }
        }
        Judgement::GoesOn { body, amends } => {
            assert!(body.is_none_or(|body| guard::is_lawful(api_key, version, &body)), "what is cut is lawful");
            let answers = every_version(Direction::Response);
            let of_api = answers.iter().find(|(message, of)| message.api_key == api_key && *of == version);
            let answer =
                of_api.map(|(message, _)| samples::body(message, version, of_answer.into())).unwrap_or_default();
            if let Ok(Some(amended)) = amend(&amends, api_key, version, &answer, Some(&mut standing), &NoTopics) {
                lawful(api_key, version, &amended);
            }
        }
    }
}

fn lawful(api_key: i16, version: i16, answer: &[u8]) {
    let read = Tree::read(api_key, version, Direction::Response, answer, true);
    assert!(read.is_ok_and(|tree| tree.is_some()), "{} v{version}: the answer is lawful", api::name(api_key));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let bodies = all()
        .into_iter()
        .enumerate()
        .map(|(place, (message, version))| seed(place, 5, &samples::body(message, version, place as u64 * 7919 + 3)));
    bodies.collect()
}
