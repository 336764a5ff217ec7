//! What tests arrange straight on the brokers: topics with known leaders, records, coordinators.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DescribeGroupsRequest, DescribeTransactionsRequest, FetchRequest,
    FindCoordinatorRequest, GroupId, MetadataRequest, ProduceRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::kafka::Cluster;
use crate::wire::Connection;
use crate::{During, Failure, Result, batch, wait_for};

const SETTLE_LIMIT: Duration = Duration::from_secs(30);
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// A protocol string.
pub fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}

/// A topic's name.
pub fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A topic whose partition `n` lives on the brokers `replicas[n]`, the first of which leads it.
pub fn placed(name: &str, replicas: &[&[i32]]) -> CreatableTopic {
    let partition = |(n, nodes): (i32, &&[i32])| {
        let nodes = nodes.iter().map(|node| BrokerId(*node)).collect();
        CreatableReplicaAssignment::default().with_partition_index(n).with_broker_ids(nodes)
    };
    CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments((0..).zip(replicas).map(partition).collect())
}

/// Creates a topic whose partition `n` lives on broker `leaders[n]` alone; see [`create_placed`].
pub fn create_topic(cluster: &Cluster, name: &str, leaders: &[i32]) -> Result<Uuid> {
    create_placed(cluster, name, &leaders.chunks(1).collect::<Vec<_>>())
}

/// Creates it, waits until every broker that leads and broker 1 know it and its leaders, and gives its id.
pub fn create_placed(cluster: &Cluster, name: &str, replicas: &[&[i32]]) -> Result<Uuid> {
    let request = CreateTopicsRequest::default().with_topics(vec![placed(name, replicas)]).with_timeout_ms(20_000);
    let answer = Connection::open(cluster.address(1)?)?.call(7, &request)?;
    match answer.topics.first() {
        Some(made) if made.error_code == 0 => {}
        made => return Err(Failure::new(format!("the topic {name} is not made: {made:?}"))),
    }
    let leaders: Vec<i32> = replicas.iter().filter_map(|nodes| nodes.first().copied()).collect();
    await_topic(cluster, name, &leaders)
}

/// Waits until every broker of `leaders` and broker 1 know the topic and its leaders, and gives its id.
pub fn await_topic(cluster: &Cluster, name: &str, leaders: &[i32]) -> Result<Uuid> {
    let asked: Vec<i32> = leaders.iter().copied().chain([1]).collect();
    let id = await_known(cluster, name, leaders.len(), &asked)?;
    for (partition, node) in (0..).zip(leaders) {
        let what = format!("broker {node} to lead partition {partition} of {name}");
        wait_for(&what, SETTLE_LIMIT, || leads(cluster.address(*node)?, name, partition))?;
    }
    Ok(id)
}

/// Waits until these brokers know the topic with so many partitions, and gives its id.
pub fn await_known(cluster: &Cluster, name: &str, partitions: usize, nodes: &[i32]) -> Result<Uuid> {
    let mut id = Uuid::nil();
    for node in nodes {
        id = wait_for(&format!("broker {node} to know {name}"), SETTLE_LIMIT, || {
            known(cluster.address(*node)?, name, partitions)
        })?;
    }
    Ok(id)
}

/// Whether the broker leads the partition already: Metadata says so a moment before.
fn leads(broker: SocketAddr, name: &str, partition: i32) -> Result<Option<()>> {
    let request = fetch_request(name, Uuid::nil(), 12, &[partition], 1);
    let answer = Connection::open(broker)?.call(12, &request)?;
    let answered = answer.responses.first().and_then(|t| t.partitions.first());
    Ok(answered.filter(|p| p.error_code == 0).map(|_| ()))
}

/// The ids of topics, as whoever `connection` leads to tells them.
pub fn known_by(connection: &mut Connection, names: &[&str]) -> Result<Vec<Uuid>> {
    let asked = names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic(name)))).collect();
    let request = MetadataRequest::default().with_topics(Some(asked)).with_allow_auto_topic_creation(false);
    Ok(connection.call(12, &request)?.topics.into_iter().map(|topic| topic.topic_id).collect())
}

fn known(broker: SocketAddr, name: &str, partitions: usize) -> Result<Option<Uuid>> {
    let asked = vec![MetadataRequestTopic::default().with_name(Some(topic(name)))];
    let request = MetadataRequest::default().with_topics(Some(asked)).with_allow_auto_topic_creation(false);
    let answer = Connection::open(broker)?.call(12, &request)?;
    let found = answer.topics.into_iter().next().filter(|t| {
        t.error_code == 0
            && t.partitions.iter().filter(|p| p.error_code == 0 && p.leader_id.0 >= 0).count() == partitions
    });
    Ok(found.map(|t| t.topic_id))
}

/// A request that produces one record set to one partition; topics go by `id` from version 13 on, by name before.
pub fn produce_request(
    name: &str,
    id: Uuid,
    version: i16,
    partition: i32,
    acks: i16,
    records: Vec<u8>,
) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(Bytes::from(records)));
    let data = TopicProduceData::default().with_partition_data(vec![data]);
    let data = if version >= 13 { data.with_topic_id(id) } else { data.with_name(topic(name)) };
    ProduceRequest::default().with_acks(acks).with_timeout_ms(20_000).with_topic_data(vec![data])
}

/// A request, outside of any fetch session, for whole partitions from offset 0, `max_bytes` in all and of each.
pub fn fetch_request(name: &str, id: Uuid, version: i16, partitions: &[i32], max_bytes: i32) -> FetchRequest {
    let wanted = |n: &i32| FetchPartition::default().with_partition(*n).with_partition_max_bytes(max_bytes);
    let wanted = FetchTopic::default().with_partitions(partitions.iter().map(wanted).collect());
    let wanted = if version >= 13 { wanted.with_topic_id(id) } else { wanted.with_topic(topic(name)) };
    let request = FetchRequest::default().with_max_bytes(max_bytes).with_topics(vec![wanted]);
    if version >= 15 { request } else { request.with_replica_id(BrokerId(-1)) }
}

/// Produces to a partition at its leader, with acks from all, and gives the base offset.
pub fn produce(leader: SocketAddr, name: &str, partition: i32, records: Vec<u8>) -> Result<i64> {
    let request = produce_request(name, Uuid::nil(), 9, partition, -1, records);
    wait_for(&format!("{leader} to take records of {name}"), SETTLE_LIMIT, || {
        let answer = Connection::open(leader)?.call(9, &request)?;
        let partition = answer.responses.first().and_then(|t| t.partition_responses.first());
        match partition.map(|p| (p.error_code, p.base_offset)) {
            Some((0, base_offset)) => Ok(Some(base_offset)),
            // Metadata names a leader a moment before it leads.
            Some((NOT_LEADER_OR_FOLLOWER | UNKNOWN_TOPIC_OR_PARTITION, _)) => Ok(None),
            other => Err(Failure::new(format!("producing to {name} failed: {other:?}"))),
        }
    })
}

/// The record set of a partition from offset 0 on, up to 16 MiB, from its leader.
pub fn fetch(leader: SocketAddr, name: &str, partition: i32) -> Result<Bytes> {
    let request = fetch_request(name, Uuid::nil(), 12, &[partition], 16 << 20);
    let answer = Connection::open(leader)?.call(12, &request)?;
    let partition = answer.responses.into_iter().next().and_then(|t| t.partitions.into_iter().next());
    match partition {
        Some(p) if p.error_code == 0 => Ok(p.records.unwrap_or_default()),
        p => Err(Failure::new(format!("fetching {name} failed: {p:?}"))),
    }
}

/// Id and epoch of the producer of the batch that holds this offset, asked of the brokers.
pub fn writer(brokers: &str, name: &str, partition: i32, offset: i64) -> Result<(i64, i16)> {
    let first = brokers.split(',').next().unwrap_or_default();
    let asked = vec![MetadataRequestTopic::default().with_name(Some(topic(name)))];
    let mut any = Connection::open(first.parse().during("a broker's address")?)?;
    let metadata = any.call(12, &MetadataRequest::default().with_topics(Some(asked)))?;
    let leads = |p: &&MetadataResponsePartition| p.partition_index == partition;
    let leader = metadata.topics.iter().flat_map(|t| &t.partitions).find(leads).map(|p| p.leader_id);
    let broker = metadata.brokers.iter().find(|b| Some(b.node_id) == leader);
    let broker = broker.ok_or_else(|| Failure::new(format!("nobody leads partition {partition} of {name}")))?;
    let address = format!("{}:{}", &*broker.host, broker.port).parse().during("a leader's address")?;

    let mut request = fetch_request(name, Uuid::nil(), 12, &[partition], 1 << 20);
    request.topics.iter_mut().flat_map(|t| &mut t.partitions).for_each(|p| p.fetch_offset = offset);
    let answer = Connection::open(address)?.call(12, &request)?;
    let records = answer.responses.iter().flat_map(|t| &t.partitions).find_map(|p| p.records.as_ref());
    let head = records.and_then(|records| batch::heads(records).first().copied());
    let head = head.ok_or_else(|| Failure::new(format!("no batch at offset {offset} of {name}, {partition}")))?;
    Ok((head.producer.0, head.producer.1))
}

/// What a coordinator coordinates, as FindCoordinator numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinates {
    /// A group's members and offsets.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

/// What a coordinator says while it takes its partition over.
const COORDINATOR_LOADS: [i16; 3] = [14, 15, 16];

/// The broker that coordinates `key`, once there is one that does.
pub fn coordinator(cluster: &Cluster, of: Coordinates, key: &str) -> Result<i32> {
    let request = FindCoordinatorRequest::default().with_key_type(of as i8).with_coordinator_keys(vec![text(key)]);
    wait_for(&format!("a coordinator of {key}"), SETTLE_LIMIT, || {
        let answer = Connection::open(cluster.address(1)?)?.call(4, &request)?;
        let Some(found) = answer.coordinators.first().filter(|c| c.error_code == 0) else { return Ok(None) };
        let node = found.node_id.0;
        let error = says(Connection::open(cluster.address(node)?)?, of, key)?;
        Ok((!COORDINATOR_LOADS.contains(&error)).then_some(node))
    })
}

/// The error that a coordinator answers when it is asked about `key`; one for an unknown key is as good as none.
fn says(mut coordinator: Connection, of: Coordinates, key: &str) -> Result<i16> {
    let error = match of {
        Coordinates::Group => {
            let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(key))]);
            coordinator.call(5, &request)?.groups.first().map(|group| group.error_code)
        }
        Coordinates::Transaction => {
            let request = DescribeTransactionsRequest::default();
            let request = request.with_transactional_ids(vec![TransactionalId(text(key))]);
            coordinator.call(0, &request)?.transaction_states.first().map(|state| state.error_code)
        }
    };
    error.ok_or_else(|| Failure::new(format!("a coordinator says nothing of {key}")))
}
