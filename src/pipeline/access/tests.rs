//! Access, against sample requests of every API and version.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_records_response::DeleteRecordsTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    GroupId, OffsetFetchRequest, OffsetFetchResponse, ShareFetchRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::table::{Answers, Rule, rule};
use super::*;
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::drive;
use crate::policy::{AccessClient, AccessRule, AccessRules, NamePatterns, Operations};
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
        operations,
        topics: NamePatterns::topics(&texts(topics)).unwrap(),
        consumer_groups: NamePatterns::names(&texts(groups)).unwrap(),
        transactional_ids: NamePatterns::names(&texts(groups)).unwrap(),
        ..AccessRule::default()
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
                let amended = amend(&amends, api_key, version, &answer, Some(&mut nothing()), &Named).unwrap();
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
            let shown = amend(&amends, api.key, version, &answer, Some(&mut nothing()), &Named).unwrap();
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

fn encoded(message: &impl Encodable, version: i16) -> Vec<u8> {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).unwrap();
    body.to_vec()
}

fn judged(api_key: i16, version: i16, body: &[u8], standing: &mut Standing) -> Judgement {
    judge(Request { api_key, version, body }, standing, &Named).unwrap()
}

fn text(name: &str) -> StrBytes {
    StrBytes::from_string(name.to_owned())
}

fn transaction(partitions: &[i32]) -> Vec<u8> {
    let topic =
        AddPartitionsToTxnTopic::default().with_name(TopicName(text("events"))).with_partitions(partitions.to_vec());
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text("team-1")))
        .with_v3_and_below_topics(vec![topic]);
    encoded(&request, 3)
}

#[test]
fn a_transaction_takes_the_partitions_that_are_its_own_and_none_where_one_is_not() {
    let own = || standing(vec![rule_of(Operations::ALL, &["events[28-31]"], &["team-*"])]);
    let of = |partitions: &[i32]| judged(key::ADD_PARTITIONS_TO_TXN, 3, &transaction(partitions), &mut own());
    assert_eq!(of(&[28, 31]), Judgement::Passes);
    let Judgement::Answered(items) = of(&[28, 3]) else { panic!("nothing of it goes on") };
    let codes: Vec<i16> = items[0].items.iter().map(|partition| partition.code).collect();
    assert_eq!(codes, [OPERATION_NOT_ATTEMPTED, TOPIC_AUTHORIZATION_FAILED]);
}

#[test]
fn a_topic_of_which_no_partition_is_left_goes_as_a_whole_beside_one_that_stays() {
    let standing = &mut standing(vec![rule_of(Operations::ALL, &["events[28-31]", "mine"], &[])]);
    let topic = |name: &str| {
        let partition = DeleteRecordsPartition::default().with_partition_index(1);
        DeleteRecordsTopic::default().with_name(TopicName(text(name))).with_partitions(vec![partition])
    };
    // Twice: what is refused of one thing is told of at one place, where the answer has it.
    let topics = ["events", "mine", "events"].map(topic).to_vec();
    let body = encoded(&DeleteRecordsRequest::default().with_topics(topics), 2);
    let Judgement::GoesOn { body: Some(left), amends } = judged(key::DELETE_RECORDS, 2, &body, standing) else {
        panic!()
    };
    let mut left_names = Vec::new();
    named(&read(key::DELETE_RECORDS, 2, Direction::Request, &left).root, &mut left_names);
    assert_eq!(left_names, ["mine"]);
    let answered = DeleteRecordsTopicResult::default().with_name(TopicName(text("events")));
    let answer = encoded(&DeleteRecordsResponse::default().with_topics(vec![answered]), 2);
    let whole = items::put_into(key::DELETE_RECORDS, 2, &answer, &amends.items).unwrap();
    let topics = &read(key::DELETE_RECORDS, 2, Direction::Response, &whole).root.arrays[0].nodes;
    assert_eq!((topics.len(), topics[0].arrays[0].nodes.len()), (1, 2));
}

#[test]
fn a_group_that_is_named_twice_is_answered_once_with_all_that_is_refused_of_it() {
    let standing = &mut standing(vec![rule_of(Operations::ALL, &["mine"], &["team-*"])]);
    let group = |topic: &str| {
        let topic =
            OffsetFetchRequestTopics::default().with_name(TopicName(text(topic))).with_partition_indexes(vec![0]);
        OffsetFetchRequestGroup::default().with_group_id(GroupId(text("team-1"))).with_topics(Some(vec![topic]))
    };
    let request = OffsetFetchRequest::default().with_groups(["one", "two"].map(group).to_vec());
    let Judgement::GoesOn { amends, .. } = judged(key::OFFSET_FETCH, 8, &encoded(&request, 8), standing) else {
        panic!()
    };
    let answered = OffsetFetchResponseGroup::default().with_group_id(GroupId(text("team-1")));
    let answer = encoded(&OffsetFetchResponse::default().with_groups(vec![answered]), 8);
    let whole = items::put_into(key::OFFSET_FETCH, 8, &answer, &amends.items).unwrap();
    let groups = &read(key::OFFSET_FETCH, 8, Direction::Response, &whole).root.arrays[0].nodes;
    assert_eq!((groups.len(), groups[0].arrays[0].nodes.len()), (1, 2));
}

#[test]
fn an_id_says_nothing_of_a_topic_that_may_not_be_known_of() {
    struct One;
    impl TopicDirectory for One {
        fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
            (id[15] == 1).then(|| "hr.salaries".into())
        }
        fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
    }
    let told = |id: u128| {
        let topic = DeleteTopicState::default().with_topic_id(uuid::Uuid::from_u128(id));
        let body = encoded(&DeleteTopicsRequest::default().with_topics(vec![topic]), 6);
        let request = Request { api_key: key::DELETE_TOPICS, version: 6, body: &body };
        match judge(request, &mut nothing(), &One).unwrap() {
            Judgement::Answered(items) => (items[0].code, items[0].message.clone()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(1), told(2));
    // Offsets of it are in no listing either, where ids are all that names topics: OffsetFetch from version 10 on.
    let topic = |id: u128| [&id.to_be_bytes()[..], b"\x01\0"].concat();
    let answer = [&b"\0\0\0\0\x02\x07team-1\x03"[..], &topic(1), &topic(2), b"\0\0\0\0"].concat();
    let standing = &mut standing(vec![rule_of(Operations::ALL, &["mine"], &["team-*"])]);
    let amends = Amends { listing: true, ..Amends::default() };
    let shown = amend(&amends, key::OFFSET_FETCH, 10, &answer, Some(standing), &One).unwrap().unwrap();
    let groups = &read(key::OFFSET_FETCH, 10, Direction::Response, &shown).root.arrays[0].nodes;
    assert_eq!((groups.len(), groups[0].arrays[0].nodes.len()), (1, 0));
}

#[test]
fn a_share_session_that_others_opened_is_not_gone_on_with() {
    let standing = &mut standing(vec![rule_of(Operations::ALL, &["mine"], &["team-*"])]);
    let fetch = |member: &str, epoch: i32| {
        let request = ShareFetchRequest::default()
            .with_group_id(Some(GroupId(text("team-1"))))
            .with_member_id(Some(text(member)))
            .with_share_session_epoch(epoch);
        encoded(&request, 1)
    };
    let mut ask = |member, epoch| judged(key::SHARE_FETCH, 1, &fetch(member, epoch), standing);
    assert_eq!(ask("own", 0), Judgement::Passes);
    assert_eq!(ask("own", 1), Judgement::Passes);
    assert!(matches!(ask("others", 1), Judgement::Refused { code: SHARE_SESSION_NOT_FOUND, .. }));
}

#[test]
fn a_request_of_more_names_than_a_cluster_has_is_refused_before_they_fill_the_memory() {
    let names = vec![GroupId(text("")); crate::wire::kafka::tree::NODES_MAX + 1];
    let body = encoded(&DeleteGroupsRequest::default().with_groups_names(names), 2);
    assert!(matches!(judged(key::DELETE_GROUPS, 2, &body, &mut nothing()), Judgement::Refused { .. }));
}
