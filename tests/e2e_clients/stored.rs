//! What lies on the brokers, asked of them directly: the truth that a client's tale is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{BrokerId, GroupId, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest};
use loadtest::admin::{self, Coordinates};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use loadtest::wire::Connection;

/// What the earliest offset goes by in ListOffsets.
const EARLIEST: i64 = -2;

/// Records by the codec that their batch is stored under, and how many of them belong to transactions; control batches
/// left out.
#[derive(Debug, Default, PartialEq)]
pub struct Stored {
    pub by_codec: BTreeMap<String, usize>,
    pub transactional: usize,
}

/// Reads the whole topic.
pub fn stored(cluster: &Cluster, topic: &str) -> Stored {
    let mut stored = Stored::default();
    for (partition, leader) in leaders(cluster, topic) {
        stored.count(&admin::fetch(cluster.address(leader).unwrap(), topic, partition).unwrap());
    }
    stored
}

impl Stored {
    /// Record batch v2: the length of what follows at 8, attributes at 21 (codec in the low three bits, then timestamp
    /// type, transactional, control), record count at 57.
    fn count(&mut self, mut batches: &[u8]) {
        while !batches.is_empty() {
            let number =
                |at: usize| usize::try_from(i32::from_be_bytes(batches[at..at + 4].try_into().unwrap())).unwrap();
            let (attributes, records) = (batches[22], number(57));
            if attributes & 0x20 == 0 {
                let codec = loadtest::clients::CODECS[usize::from(attributes & 7)];
                *self.by_codec.entry(codec.to_owned()).or_default() += records;
                self.transactional += if attributes & 0x10 == 0 { 0 } else { records };
            }
            batches = &batches[12 + number(8)..];
        }
    }
}

/// Waits until every broker knows the topic and its leaders lead: some clients give up where one has not heard of it yet.
pub fn settled(cluster: &Cluster, topic: &str, partitions: usize) {
    let found = wait_for(&format!("leaders of {topic}"), Duration::from_secs(30), || {
        let leaders: BTreeMap<i32, i32> = leaders(cluster, topic).into_iter().filter(|(_, node)| *node >= 0).collect();
        Ok((leaders.len() == partitions).then(|| leaders.into_values().collect::<Vec<_>>()))
    });
    let everybody: Vec<i32> = cluster.addresses().into_iter().map(|(node, _)| node).collect();
    admin::await_known(cluster, topic, partitions, &everybody).unwrap();
    admin::await_topic(cluster, topic, &found.unwrap()).unwrap();
}

/// The leader of every partition; brokers name partitions in no order.
fn leaders(cluster: &Cluster, topic: &str) -> Vec<(i32, i32)> {
    let asked = MetadataRequestTopic::default().with_name(Some(admin::topic(topic)));
    let asked = MetadataRequest::default().with_topics(Some(vec![asked]));
    let metadata = Connection::open(cluster.addresses()[0].1).unwrap().call(12, &asked).unwrap();
    metadata.topics[0].partitions.iter().map(|p| (p.partition_index, p.leader_id.0)).collect()
}

/// The sum of the offsets that a group has committed on a topic.
pub fn committed(cluster: &Cluster, group: &str, topic: &str) -> i64 {
    let coordinator = admin::coordinator(cluster, Coordinates::Group, group).unwrap();
    let asked = OffsetFetchRequest::default().with_group_id(GroupId(admin::text(group))).with_topics(None);
    let answer = Connection::open(cluster.address(coordinator).unwrap()).unwrap().call(7, &asked).unwrap();
    let of_topic = answer.topics.iter().filter(|t| t.name == admin::topic(topic));
    of_topic.flat_map(|t| &t.partitions).map(|p| p.committed_offset).sum()
}

/// The first offset that a partition still has.
pub fn earliest(cluster: &Cluster, topic: &str, partition: i32) -> i64 {
    let leader =
        leaders(cluster, topic).into_iter().find_map(|(index, node)| (index == partition).then_some(node)).unwrap();
    let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(EARLIEST);
    let wanted = ListOffsetsTopic::default().with_name(admin::topic(topic)).with_partitions(vec![wanted]);
    let asked = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![wanted]);
    let answer = Connection::open(cluster.address(leader).unwrap()).unwrap().call(7, &asked).unwrap();
    answer.topics[0].partitions[0].offset
}
