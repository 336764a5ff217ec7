//! What Metadata, ListOffsets and DescribeLogDirs say of topics. Asking creates none.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, DescribeLogDirsRequest, ListOffsetsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Place;
use super::links::Links;
use super::trouble::Trouble;
use crate::wire::kafka::api::{Versions, key};

/// From version 4 on a Metadata can say that it creates nothing; 12 is the last one that Weir needs.
const METADATA: Versions = Versions { min: 4, max: 12 };

/// All that are known to hold what is asked here: one offset by timestamp.
const LIST_OFFSETS: Versions = Versions { min: 1, max: 7 };

/// From version 5 on the codec does not read it.
const LOG_DIRS: Versions = Versions { min: 1, max: 4 };

/// The timestamps that stand for a log's first offset, and for the one behind its last.
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;

/// A topic's name in a request.
pub(super) fn named(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A topic as Metadata describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its partitions.
    pub partitions: BTreeMap<i32, PartitionFacts>,
}

/// Where a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFacts {
    /// The broker that leads it; none where nobody does now.
    pub leader: Option<i32>,
    /// The brokers that have it, the preferred leader first.
    pub replicas: Vec<i32>,
}

impl TopicFacts {
    fn of(topic: &MetadataResponseTopic) -> TopicFacts {
        let partition = |p: &MetadataResponsePartition| PartitionFacts {
            leader: (p.leader_id.0 >= 0).then_some(p.leader_id.0),
            replicas: p.replica_nodes.iter().map(|node| node.0).collect(),
        };
        TopicFacts { partitions: topic.partitions.iter().map(|p| (p.partition_index, partition(p))).collect() }
    }

    /// Who leads this partition.
    pub(super) fn leader(&self, partition: i32) -> Result<i32, Trouble> {
        let facts = self.partitions.get(&partition).ok_or(Trouble::NoPartition(partition))?;
        facts.leader.ok_or(Trouble::NoLeader(partition))
    }
}

/// What each of these topics is like.
pub(super) async fn describe(
    links: &Links,
    topics: &[&str],
) -> Result<HashMap<String, Result<TopicFacts, Trouble>>, Trouble> {
    let asked = topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(named(topic))));
    let request = MetadataRequest::default().with_topics(Some(asked.collect())).with_allow_auto_topic_creation(false);
    let answer = links.call_any(&request, METADATA).await?;
    for broker in &answer.brokers {
        links.saw(broker.node_id.0, &broker.host, broker.port);
    }
    let described = answer.topics.iter().filter_map(|topic| {
        let name = topic.name.as_ref()?.to_string();
        let facts = match ResponseError::try_from_code(topic.error_code) {
            // Without a leader it is there all the same.
            None | Some(ResponseError::LeaderNotAvailable) => Ok(TopicFacts::of(topic)),
            // No topic can have such a name.
            Some(ResponseError::UnknownTopicOrPartition | ResponseError::InvalidTopicException) => {
                Err(Trouble::NoTopic)
            }
            Some(_) => Err(Trouble::Refused { key: key::METADATA, code: topic.error_code }),
        };
        Some((name, facts))
    });
    Ok(described.collect())
}

/// Offsets of these partitions, which this broker leads, by timestamp.
pub(super) async fn offsets(
    links: &Links,
    leader: i32,
    places: &[Place],
    timestamp: i64,
) -> Result<HashMap<Place, Result<i64, Trouble>>, Trouble> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, partition) in places {
        let asked = ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(timestamp);
        topics.entry(topic).or_default().push(asked);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| ListOffsetsTopic::default().with_name(named(topic)).with_partitions(partitions));
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.collect());
    let answer = links.call(leader, &request, LIST_OFFSETS).await?;
    let told = answer.topics.into_iter().flat_map(|topic| {
        let name = topic.name.to_string();
        topic.partitions.into_iter().map(move |p| {
            let offset = Trouble::refused(key::LIST_OFFSETS, p.error_code, p.offset);
            ((name.clone(), p.partition_index), offset)
        })
    });
    Ok(told.collect())
}

/// What these partitions take on this broker's disks, bytes. What it does not tell is left out.
pub(super) async fn sizes(links: &Links, broker: i32, places: &[Place]) -> Result<HashMap<Place, i64>, Trouble> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in places {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        DescribableLogDirTopic::default().with_topic(named(topic)).with_partitions(partitions)
    });
    let request = DescribeLogDirsRequest::default().with_topics(Some(topics.collect()));
    let answer = links.call(broker, &request, LOG_DIRS).await?;
    let answer = Trouble::refused(key::DESCRIBE_LOG_DIRS, answer.error_code, answer)?;
    let told = answer.results.into_iter().filter(|dir| dir.error_code == 0).flat_map(|dir| dir.topics);
    let told = told.flat_map(|topic| {
        let name = topic.name.to_string();
        // What is on its way to another disk of the broker is there twice for a while.
        let there = topic.partitions.into_iter().filter(|p| !p.is_future_key);
        there.map(move |p| ((name.clone(), p.partition_index), p.partition_size))
    });
    Ok(told.collect())
}
