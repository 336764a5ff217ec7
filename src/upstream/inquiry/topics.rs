//! What Metadata and ListOffsets say of topics. Asking creates none.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::links::Links;
use super::trouble::Trouble;
use crate::wire::kafka::api::{Versions, key};

/// From version 4 on a Metadata can say that it creates nothing; 12 is the last one that Weir needs.
const METADATA: Versions = Versions { min: 4, max: 12 };

/// All that are known to hold what is asked here: one offset by timestamp.
const LIST_OFFSETS: Versions = Versions { min: 1, max: 7 };

/// The timestamps that stand for a log's first offset, and for the one behind its last.
pub(super) const EARLIEST: i64 = -2;

/// A topic's name in a request.
pub(super) fn named(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A topic as Metadata describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The leader of each partition; none where it has none now.
    pub leaders: BTreeMap<i32, Option<i32>>,
}

impl Layout {
    fn of(topic: &MetadataResponseTopic) -> Layout {
        let leader = |node: BrokerId| (node.0 >= 0).then_some(node.0);
        let leaders = topic.partitions.iter().map(|p| (p.partition_index, leader(p.leader_id)));
        Layout { leaders: leaders.collect() }
    }

    /// Who leads this partition.
    pub(super) fn leader(&self, partition: i32) -> Result<i32, Trouble> {
        let leader = self.leaders.get(&partition).ok_or(Trouble::NoPartition(partition))?;
        leader.ok_or(Trouble::NoLeader(partition))
    }
}

/// What each of these topics is like.
pub(super) async fn describe(
    links: &Links,
    topics: &[&str],
) -> Result<HashMap<String, Result<Layout, Trouble>>, Trouble> {
    let asked = topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(named(topic))));
    let request = MetadataRequest::default().with_topics(Some(asked.collect())).with_allow_auto_topic_creation(false);
    let answer = links.call_any(&request, METADATA).await?;
    for broker in &answer.brokers {
        links.saw(broker.node_id.0, &broker.host, broker.port);
    }
    let described = answer.topics.iter().filter_map(|topic| {
        let name = topic.name.as_ref()?.to_string();
        let layout = match ResponseError::try_from_code(topic.error_code) {
            // Without a leader it is there all the same.
            None | Some(ResponseError::LeaderNotAvailable) => Ok(Layout::of(topic)),
            // No topic can have such a name.
            Some(ResponseError::UnknownTopicOrPartition | ResponseError::InvalidTopicException) => {
                Err(Trouble::NoTopic)
            }
            Some(_) => Err(Trouble::Refused { key: key::METADATA, code: topic.error_code }),
        };
        Some((name, layout))
    });
    Ok(described.collect())
}

/// Offsets of these partitions, which this broker leads, by timestamp.
pub(super) async fn offsets(
    links: &Links,
    leader: i32,
    partitions: &[(&str, i32)],
    timestamp: i64,
) -> Result<HashMap<(String, i32), Result<i64, Trouble>>, Trouble> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, partition) in partitions {
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
