//! Access, against sample requests of every API and version.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::table::{Answers, Rule, rule};
use super::*;
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::drive;
use crate::policy::{AccessClient, AccessRule, AccessRules, Effect, NamePatterns, Operations, Patterns};
use crate::wire::kafka::api::{self, key};
use crate::wire::kafka::items::{self, Item};
use crate::wire::kafka::layout::{self, Direction, Element, Group, Role};
use crate::wire::kafka::samples;
use crate::wire::kafka::tree::{Content, Node, Tree};

/// Every id is a topic's, called as the id is written.
struct Named;

impl TopicDirectory for Named {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        Some(uuid::Uuid::from_bytes(*id).to_string().into())
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

fn texts(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

fn rule_of(operations: Operations, topics: &[&str], groups: &[&str]) -> AccessRule {
    AccessRule {
        name: None,
        effect: Effect::Allow,
        listeners: Vec::new(),
        issuers: Patterns::default(),
        subjects: Patterns::default(),
        groups: Vec::new(),
        client_ids: Patterns::default(),
        networks: Vec::new(),
        hours: None,
        operations,
        topics: NamePatterns::topics(&texts(topics)).unwrap(),
        consumer_groups: NamePatterns::names(&texts(groups)).unwrap(),
        transactional_ids: NamePatterns::names(&texts(groups)).unwrap(),
        cluster: false,
    }
}

fn standing(rules: Vec<AccessRule>) -> Standing {
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "somebody",
        groups: &[],
        client_id: Some("test"),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scopes: None,
    };
    Standing::new(AccessRules::new(rules).unwrap().rights_of(&client).unwrap(), 0)
}

/// One that holds somewhere else, so that everything is governed and nothing allowed.
fn nothing() -> Standing {
    standing(vec![rule_of(Operations::ALL, &["nowhere"], &[])])
}

fn everything() -> Standing {
    standing(vec![AccessRule { cluster: true, ..rule_of(Operations::ALL, &["*"], &["*"]) }])
}

/// Requests of every API and version that may be forwarded, several of each.
fn each_request(mut run: impl FnMut(i16, i16, &[u8])) {
    for (api, message, version) in drive::messages(Direction::Request) {
        for seed in 0..24 {
            run(api.key, version, &samples::body(message, version, seed));
        }
    }
}

fn response_of(api_key: i16, version: i16, seed: u64) -> Vec<u8> {
    let of = |m: &&layout::Message| m.api_key == api_key && m.direction == Direction::Response;
    samples::body(layout::messages().iter().find(of).unwrap(), version, seed)
}

fn read(api_key: i16, version: i16, direction: Direction, body: &[u8]) -> Tree {
    let tree = Tree::read(api_key, version, direction, body, true);
    tree.unwrap_or_else(|fault| panic!("{fault}")).unwrap()
}

/// Names of topics, groups and transactions anywhere in a body.
fn named(node: &Node, found: &mut Vec<String>) {
    for (role, content, _) in &node.fields {
        match content {
            Content::Text(Some(name)) if matches!(role, Role::Topic | Role::GroupId | Role::TransactionalId) => {
                found.push(name.to_string());
            }
            Content::Id(id) if *id != [0; 16] => found.push(uuid::Uuid::from_bytes(*id).to_string()),
            _ => {}
        }
    }
    node.arrays.iter().flat_map(|array| &array.nodes).for_each(|node| named(node, found));
}

fn count(items: &[Item]) -> usize {
    items.iter().map(|item| if item.code != 0 { 1 } else { count(&item.items) }).sum()
}

#[test]
fn whoever_may_do_all_is_not_held_up() {
    each_request(|api_key, version, body| {
        let judged = judge(Request { api_key, version, body }, &mut everything(), &Named).unwrap();
        let passes = match &judged {
            Judgement::Passes => true,
            Judgement::GoesOn { body: None, amends } => amends.items.is_empty() && amends.only.is_none(),
            _ => false,
        };
        assert!(passes, "{} v{version}: {judged:?}", api::name(api_key));
    });
}

#[test]
fn whoever_may_do_nothing_gets_nothing_done_and_is_told() {
    each_request(|api_key, version, body| {
        let at = format!("{} v{version}", api::name(api_key));
        let Rule::Asks(asks) = rule(api_key) else { return };
        let mut asked = Vec::new();
        named(&read(api_key, version, Direction::Request, body).root, &mut asked);
        match judge(Request { api_key, version, body }, &mut nothing(), &Named).unwrap() {
            Judgement::Refused { code, .. } => assert_ne!(code, 0, "{at}"),
            Judgement::Answered(items) => {
                assert!(count(&items) > 0, "{at}");
                let frame = items::answer(api_key, version, 7, &items).unwrap_or_else(|| panic!("{at} has no place"));
                let api = api::lookup(api_key).unwrap();
                let body_at = 8 + usize::from(api.response_header_version(version) == 1);
                read(api_key, version, Direction::Response, &frame[body_at..]);
            }
            Judgement::GoesOn { body, amends } => {
                let goes = body.unwrap_or_else(|| body_of(asks, &asked, &at));
                if !goes.is_empty() {
                    let mut left = Vec::new();
                    named(&read(api_key, version, Direction::Request, &goes).root, &mut left);
                    let harmless = |name: &String| asks.topic.is_none() || name.is_empty();
                    assert!(left.iter().all(harmless), "{at}: {left:?} goes on");
                }
                let answer = response_of(api_key, version, 5);
                let amended = amend(&amends, api_key, version, &answer, Some(&mut nothing())).unwrap();
                read(api_key, version, Direction::Response, amended.as_deref().unwrap_or(&answer));
            }
            Judgement::Passes => {
                let harmless = asked.iter().all(String::is_empty) || asks.answers == Answers::Whole;
                assert!(harmless, "{at} passes with {asked:?}");
            }
        }
    });
}

/// A request that goes on as it came may name nothing that its sender has no right to.
fn body_of(asks: table::Asks, asked: &[String], at: &str) -> Vec<u8> {
    let judged_by_name = asks.topic.is_some() || asks.group.is_some() || asks.transactional_id.is_some();
    assert!(!judged_by_name || asked.iter().all(String::is_empty), "{at} goes on with {asked:?}");
    Vec::new()
}

#[test]
fn what_is_cut_and_what_is_left_are_all_that_was_asked() {
    // Names of samples are drawn from the alphabet, so this allows some and not others.
    let some = || standing(vec![AccessRule { cluster: true, ..rule_of(Operations::ALL, &["[a-m0-7]*"], &["*"]) }]);
    let (mut cuts, mut answered) = (0, 0);
    each_request(|api_key, version, body| {
        let at = format!("{} v{version}", api::name(api_key));
        let tree = read(api_key, version, Direction::Request, body);
        let asked: usize = tree.root.arrays.iter().map(|array| array.nodes.len()).sum();
        match judge(Request { api_key, version, body }, &mut some(), &Named).unwrap() {
            Judgement::GoesOn { body: Some(left), amends } if !amends.items.is_empty() => {
                cuts += 1;
                let left = read(api_key, version, Direction::Request, &left);
                let left: usize = left.root.arrays.iter().map(|array| array.nodes.len()).sum();
                let whole = amends.items.iter().filter(|item| item.code != 0).count();
                let parted = amends.items.len() - whole;
                assert!(left + whole == asked || parted > 0, "{at}: {left} left, {whole} answered, {asked} asked");
                let answer = response_of(api_key, version, 3);
                let before: usize = nodes(&read(api_key, version, Direction::Response, &answer).root);
                let body = items::put_into(api_key, version, &answer, &amends.items).unwrap();
                let after = nodes(&read(api_key, version, Direction::Response, &body).root);
                assert!(after > before || parted > 0, "{at}");
            }
            Judgement::Answered(_) => answered += 1,
            _ => {}
        }
    });
    assert!(cuts > 100 && answered > 100, "{cuts} requests were cut, {answered} answered here");
}

fn nodes(node: &Node) -> usize {
    node.arrays.iter().flat_map(|array| &array.nodes).map(|node| 1 + nodes(node)).sum()
}

#[test]
fn what_may_not_be_described_is_in_no_listing() {
    for (api, message, version) in drive::messages(Direction::Response) {
        let Rule::Asks(table::Asks { listing: true, .. }) = rule(api.key) else { continue };
        for seed in 0..24 {
            let answer = samples::body(message, version, seed);
            let amends = Amends { listing: true, ..Amends::default() };
            let shown = amend(&amends, api.key, version, &answer, Some(&mut nothing())).unwrap();
            let mut told = Vec::new();
            let shown = shown.unwrap_or(answer);
            named(&read(api.key, version, Direction::Response, &shown).root, &mut told);
            // An id says nothing to whoever does not know it already.
            told.retain(|name| !name.is_empty() && uuid::Uuid::parse_str(name).is_err());
            assert!(told.is_empty(), "{} v{version} tells of {told:?}", api.name);
        }
    }
}

#[test]
fn a_topic_of_which_some_partitions_may_be_read_is_fetched_in_part() {
    let standing = &mut standing(vec![rule_of(Operations::ALL, &["orders[0-1]"], &[])]);
    let mut body = Vec::new();
    body.extend((-1i32).to_be_bytes());
    body.extend([0; 4 * 3]);
    body.push(0);
    body.extend([0; 4]);
    body.extend((-1i32).to_be_bytes());
    body.extend(1i32.to_be_bytes());
    body.extend(6i16.to_be_bytes());
    body.extend(b"orders");
    body.extend(3i32.to_be_bytes());
    for partition in 0..3i32 {
        body.extend(partition.to_be_bytes());
        body.extend([0; 8 + 8 + 4]);
    }
    body.extend([0; 4]);
    let judged = judge(Request { api_key: key::FETCH, version: 7, body: &body }, standing, &Named).unwrap();
    let Judgement::GoesOn { body: Some(left), amends } = judged else { panic!("{judged:?}") };
    let left = read(key::FETCH, 7, Direction::Request, &left);
    let partitions = &left.root.arrays[0].nodes[0].arrays[0].nodes;
    let indexes: Vec<i64> = partitions.iter().filter_map(|node| node.number(Role::Partition)).map(|(i, _)| i).collect();
    assert_eq!(indexes, [0, 1]);
    let refused = &amends.items[0];
    assert_eq!((refused.of, refused.code, refused.items.len()), (Group::Topic, 0, 1));
    assert_eq!((refused.items[0].of, refused.items[0].code), (Group::Partition, TOPIC_AUTHORIZATION_FAILED));
    // The broker's answer has the topic already: the partition goes to it.
    let answered = items::answer(key::FETCH, 7, 1, &[Item { items: Vec::new(), ..refused.clone() }]).unwrap();
    let whole = items::put_into(key::FETCH, 7, &answered[8..], &amends.items).unwrap();
    let topics = &read(key::FETCH, 7, Direction::Response, &whole).root.arrays[0];
    assert_eq!((topics.of, topics.nodes.len()), (Element::Group(Group::Topic), 1));
    assert_eq!(topics.nodes[0].arrays[0].nodes.len(), 1);
}
