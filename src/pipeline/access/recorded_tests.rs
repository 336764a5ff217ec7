//! What a recorded exchange is said to have asked for, against the judge of the data path.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::recorded::asks;
use super::table::{Rule, rule};
use super::*;
use crate::event::{self, Resource};
use crate::pipeline::describe::{Describer, Description, Side, TopicDirectory};
use crate::pipeline::drive;
use crate::policy::{AccessClient, AccessRule, AccessRules, Effect, NamePatterns, Operation, Operations, ResourceKind};
use crate::wire::kafka::api::{self, key};
use crate::wire::kafka::layout::{Direction, Group, Role};
use crate::wire::kafka::samples;
use crate::wire::kafka::walk::{Span, Value, Visitor, Walker};

/// Every id is a topic's, called after it in a way that no id is written.
struct Named;

impl TopicDirectory for Named {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        Some(format!("topic-{}", uuid::Uuid::from_bytes(*id).simple()).into())
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

/// What a body holds that no event tells of.
#[derive(Default)]
struct Untold {
    /// A regular expression, a group without a name, a topic with a name and an id (which brokers refuse).
    nameless: bool,
    forgotten: bool,
    key_type: i64,
    /// The topic that is being read has a name, an id.
    topic: (bool, bool),
}

impl Visitor for Untold {
    fn value(&mut self, role: Role, value: Value<'_>, _: Span) {
        match (role, value) {
            (Role::TopicRegex, Value::Text(Some(_))) | (Role::GroupId, Value::Text(None)) => self.nameless = true,
            (Role::Topic, Value::Text(Some(name))) => self.topic.0 = !name.is_empty(),
            (Role::TopicId, Value::Uuid(id)) => self.topic.1 = id != [0; 16],
            (Role::KeyType, Value::Int(number)) => self.key_type = number,
            _ => {}
        }
        self.nameless |= self.topic == (true, true);
    }

    fn open(&mut self, group: Group, _: u64) {
        self.forgotten |= group == Group::ForgottenTopic;
        self.topic = (false, false);
    }
}

fn walked<V: Visitor>(api_key: i16, version: i16, body: &[u8], mut visitor: V) -> V {
    let mut walker = Walker::request(api_key, version, body.len() as u64).unwrap();
    walker.feed(body, &mut visitor).unwrap();
    walker.finish().unwrap();
    visitor
}

fn items(api_key: i16, version: i16, body: &[u8]) -> (Vec<event::Item>, u32) {
    let mut description = Description::new(api_key, Side::Request);
    walked(api_key, version, body, Describer::new(&mut description, &Named));
    (description.items, description.omitted)
}

/// Everything is allowed but one operation on one thing, and on the cluster where that would do as well.
fn all_but(operation: Operation, kind: ResourceKind, name: &str, on_cluster: bool) -> AccessRules {
    let patterns = |of: ResourceKind| {
        let texts = if of == kind { vec![name.to_owned()] } else { Vec::new() };
        NamePatterns::names(&texts).unwrap()
    };
    let everything = || NamePatterns::names(&["*".to_owned()]).unwrap();
    let allow = AccessRule {
        operations: Operations::ALL,
        topics: everything(),
        consumer_groups: everything(),
        transactional_ids: everything(),
        cluster: true,
        ..AccessRule::default()
    };
    let deny = AccessRule {
        effect: Effect::Deny,
        operations: Operations::of(&[operation]),
        topics: patterns(ResourceKind::Topic),
        consumer_groups: patterns(ResourceKind::Group),
        transactional_ids: patterns(ResourceKind::TransactionalId),
        cluster: kind == ResourceKind::Cluster || on_cluster,
        ..AccessRule::default()
    };
    AccessRules::new(vec![allow, deny]).unwrap()
}

fn kind_of(resource: Resource) -> Option<ResourceKind> {
    match resource {
        Resource::Topic => Some(ResourceKind::Topic),
        Resource::Group => Some(ResourceKind::Group),
        Resource::TransactionalId => Some(ResourceKind::TransactionalId),
        _ => None,
    }
}

/// Names as topics have them: what a pattern takes to the letter.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 249 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether the data path refuses something of it; none where it does for what no event tells.
fn refuses(api_key: i16, version: i16, body: &[u8], rules: &AccessRules) -> Option<bool> {
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "somebody",
        groups: &[],
        client_id: Some("test"),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scopes: None,
    };
    let mut standing = Standing::new(rules.rights_of(&client).unwrap(), 0);
    match judge(Request { api_key, version, body }, &mut standing, &Named).unwrap() {
        Judgement::Passes => Some(false),
        Judgement::GoesOn { amends, .. } => Some(!amends.items.is_empty()),
        Judgement::Answered(_) => Some(true),
        Judgement::Refused { code: FETCH_SESSION_ID_NOT_FOUND | SHARE_SESSION_NOT_FOUND, .. } => None,
        Judgement::Refused { .. } => Some(true),
    }
}

fn recorded_refuses(api_key: i16, items: &[event::Item], rules: &AccessRules) -> bool {
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "somebody",
        groups: &[],
        client_id: Some("test"),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scopes: None,
    };
    let rights = rules.rights_of(&client).unwrap();
    asks(api_key, items, &[]).asks.iter().any(|ask| !ask.decide(&rights, 0).allowed)
}

#[test]
fn what_an_event_tells_is_judged_as_its_request_was_for_every_api() {
    let mut refused: BTreeMap<i16, u32> = BTreeMap::new();
    let mut disagree = Vec::new();
    for (api, message, version) in drive::messages(Direction::Request) {
        for seed in 0..24 {
            let body = samples::body(message, version, seed);
            let untold = walked(api.key, version, &body, Untold::default());
            let (items, omitted) = items(api.key, version, &body);
            if untold.nameless || !(0..=1).contains(&untold.key_type) || omitted > 0 {
                continue;
            }
            let named = items.iter().filter_map(|item| Some((kind_of(item.resource)?, item.name.as_str())));
            let mut things: BTreeSet<(u8, &str)> =
                named.filter(|(_, name)| is_plain(name)).map(|(kind, name)| (kind as u8, name)).take(4).collect();
            things.insert((ResourceKind::Cluster as u8, ""));
            for (kind, name) in things {
                let kind = ResourceKind::ALL.into_iter().find(|of| *of as u8 == kind).unwrap();
                for operation in kind.operations().iter() {
                    if api.key == key::STREAMS_GROUP_HEARTBEAT && operation == Operation::Create {
                        continue;
                    }
                    let does_as_well = matches!(rule(api.key), Rule::Asks(asks) if asks.or_cluster == Some(operation));
                    let rules = all_but(operation, kind, name, does_as_well);
                    let Some(judged) = refuses(api.key, version, &body, &rules) else { continue };
                    let told = recorded_refuses(api.key, &items, &rules);
                    let agree = if untold.forgotten { told || !judged } else { told == judged };
                    if !agree {
                        let what = format!("{} v{version}, all but {operation} {kind:?} {name}", api.name);
                        disagree.push(format!("{what}: judged {judged}, told {told} of {items:?}"));
                    }
                    *refused.entry(message.api_key).or_default() += u32::from(judged);
                }
            }
        }
    }
    disagree.dedup_by(|one, other| one.split(' ').next() == other.split(' ').next());
    assert!(disagree.is_empty(), "{}", disagree.join("\n"));
    let asks_by_name = |api: &&api::Api| match rule(api.key) {
        Rule::Asks(asks) => {
            asks.cluster.or(asks.topic).or(asks.group).or(asks.transactional_id).or(asks.resource).is_some()
        }
        _ => false,
    };
    let never =
        api::TABLE.iter().filter(asks_by_name).filter(|api| refused.get(&api.key).is_none_or(|count| *count == 0));
    // They name nothing: what may not be described is left out of their answers.
    assert_eq!(never.map(|api| api.name).collect::<Vec<&str>>(), ["ListGroups", "ListTransactions"]);
}

#[test]
fn a_producer_without_a_transactional_id_needs_one_topic_that_it_may_write() {
    let client = AccessClient {
        listener: "main",
        issuer: "weir",
        subject: "somebody",
        groups: &[],
        client_id: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scopes: None,
    };
    for (operation, allowed) in [(Operation::Write, true), (Operation::Read, false)] {
        let topics = NamePatterns::names(&["orders".to_owned()]).unwrap();
        let rule = AccessRule { operations: Operations::of(&[operation]), topics, ..AccessRule::default() };
        let rights = AccessRules::new(vec![rule]).unwrap().rights_of(&client).unwrap();
        let asked = asks(key::INIT_PRODUCER_ID, &[], &[]).asks;
        assert_eq!(asked.iter().map(|ask| ask.decide(&rights, 0).allowed).collect::<Vec<bool>>(), [allowed]);
    }
}

fn item(name: &str, partition: Option<i32>, records: Option<u32>) -> event::Item {
    event::Item { name: name.to_owned(), partition, records, ..event::Item::default() }
}

#[test]
fn a_fetch_that_goes_on_with_a_session_asks_for_what_it_read() {
    let read = [item("orders", Some(1), Some(3)), item("orders", Some(2), None), item("events", Some(0), Some(0))];
    let asked = asks(key::FETCH, &[], &read).asks;
    let told: Vec<(Operation, &str, Option<i32>)> =
        asked.iter().map(|ask| (ask.operation, ask.name, ask.partition)).collect();
    assert_eq!(told, [(Operation::Read, "orders", Some(1))]);
    assert_eq!(asks(key::PRODUCE, &[], &read).asks, []);
}

#[test]
fn a_topic_of_which_only_the_id_is_known_is_counted_and_not_judged() {
    let id = uuid::Uuid::from_u128(7).to_string();
    let named = [item(&id, Some(1), None), item("orders", Some(1), None)];
    let asked = asks(key::FETCH, &named, &[]);
    assert_eq!((asked.unnamed, asked.asks.len()), (1, 1));
}
