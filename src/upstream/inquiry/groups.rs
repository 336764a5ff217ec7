//! What coordinators say of consumer groups.
//!
//! A cluster without a single group has no topic for their positions yet, and looking for a coordinator creates it: whoever
//! asks looks first whether [`OFFSETS_TOPIC`] exists.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::Place;
use super::links::Links;
use super::topics::named;
use super::trouble::Trouble;
use crate::wire::kafka::api::{Versions, key};

/// Where brokers keep groups' positions.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// One group a request, and many: the form changes with version 4.
const FIND_ONE: Versions = Versions { min: 0, max: 3 };
const FIND_MANY: Versions = Versions { min: 4, max: 6 };

/// The same with version 8. From 10 on topics go by id, which the codec does not write.
const FETCH_ONE: Versions = Versions { min: 2, max: 7 };
const FETCH_MANY: Versions = Versions { min: 8, max: 9 };

/// Partitions by topic.
pub type Partitions = BTreeMap<String, Vec<i32>>;

/// What a group has committed, by topic and partition: -1 where it has not.
pub(super) type Positions = HashMap<Place, Result<i64, Trouble>>;

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// The coordinator of each of these groups.
pub(super) async fn coordinators(links: &Links, groups: &[&str]) -> HashMap<String, Result<i32, Trouble>> {
    let keys = groups.iter().map(|group| StrBytes::from_string((*group).to_owned()));
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys.collect());
    let answer = match links.call_any(&request, FIND_MANY).await {
        Ok(answer) => answer,
        Err(Trouble::NotServed { .. }) => return each_coordinator(links, groups).await,
        Err(trouble) => return groups.iter().map(|group| ((*group).to_owned(), Err(trouble.clone()))).collect(),
    };
    let found = answer.coordinators.into_iter().map(|found| {
        links.saw(found.node_id.0, &found.host, found.port);
        (found.key.to_string(), Trouble::refused(key::FIND_COORDINATOR, found.error_code, found.node_id.0))
    });
    found.collect()
}

async fn each_coordinator(links: &Links, groups: &[&str]) -> HashMap<String, Result<i32, Trouble>> {
    let mut coordinators = HashMap::new();
    for group in groups {
        let request = FindCoordinatorRequest::default().with_key(StrBytes::from_string((*group).to_owned()));
        let found = links.call_any(&request, FIND_ONE).await.and_then(|found| {
            links.saw(found.node_id.0, &found.host, found.port);
            Trouble::refused(key::FIND_COORDINATOR, found.error_code, found.node_id.0)
        });
        coordinators.insert((*group).to_owned(), found);
    }
    coordinators
}

/// What groups of this coordinator have committed: of the partitions named, or of all where none are.
pub(super) async fn positions(
    links: &Links,
    coordinator: i32,
    groups: &[(&str, Option<&Partitions>)],
) -> HashMap<String, Result<Positions, Trouble>> {
    match links.call(coordinator, &many(groups), FETCH_MANY).await {
        Ok(answer) => of_many(answer),
        Err(Trouble::NotServed { .. }) => {
            let mut all = HashMap::new();
            for (group, partitions) in groups {
                let answer = links.call(coordinator, &one(group, *partitions), FETCH_ONE).await;
                all.insert((*group).to_owned(), answer.and_then(of_one));
            }
            all
        }
        Err(trouble) => groups.iter().map(|(group, _)| ((*group).to_owned(), Err(trouble.clone()))).collect(),
    }
}

fn many(groups: &[(&str, Option<&Partitions>)]) -> OffsetFetchRequest {
    let topics = |partitions: &Partitions| {
        let topic = |(topic, partitions): (&String, &Vec<i32>)| {
            OffsetFetchRequestTopics::default().with_name(named(topic)).with_partition_indexes(partitions.clone())
        };
        partitions.iter().map(topic).collect()
    };
    let group = |(group, partitions): &(&str, Option<&Partitions>)| {
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(partitions.map(topics))
    };
    OffsetFetchRequest::default().with_groups(groups.iter().map(group).collect())
}

fn one(group: &str, partitions: Option<&Partitions>) -> OffsetFetchRequest {
    let topics = |partitions: &Partitions| {
        let topic = |(topic, partitions): (&String, &Vec<i32>)| {
            OffsetFetchRequestTopic::default().with_name(named(topic)).with_partition_indexes(partitions.clone())
        };
        partitions.iter().map(topic).collect()
    };
    OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(partitions.map(topics))
}

/// A group that nobody knows has committed nothing.
fn unless_refused(code: i16, positions: Positions) -> Result<Positions, Trouble> {
    match ResponseError::try_from_code(code) {
        Some(ResponseError::GroupIdNotFound) => Ok(Positions::new()),
        _ => Trouble::refused(key::OFFSET_FETCH, code, positions),
    }
}

fn of_many(answer: OffsetFetchResponse) -> HashMap<String, Result<Positions, Trouble>> {
    let group = answer.groups.into_iter().map(|group| {
        let positions = group.topics.into_iter().flat_map(|topic| {
            let name = topic.name.to_string();
            topic.partitions.into_iter().map(move |p| {
                let position = Trouble::refused(key::OFFSET_FETCH, p.error_code, p.committed_offset);
                ((name.clone(), p.partition_index), position)
            })
        });
        (group.group_id.to_string(), unless_refused(group.error_code, positions.collect()))
    });
    group.collect()
}

fn of_one(answer: OffsetFetchResponse) -> Result<Positions, Trouble> {
    let positions = answer.topics.into_iter().flat_map(|topic| {
        let name = topic.name.to_string();
        topic.partitions.into_iter().map(move |p| {
            let position = Trouble::refused(key::OFFSET_FETCH, p.error_code, p.committed_offset);
            ((name.clone(), p.partition_index), position)
        })
    });
    unless_refused(answer.error_code, positions.collect())
}
