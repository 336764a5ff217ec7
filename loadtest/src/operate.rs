//! What an operator does to a cluster, straight on its brokers: topics with replicas, moving partitions, taking a broker
//! out, waiting until all replicas have caught up.

use std::time::Duration;

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest, DescribeQuorumRequest, ElectLeadersRequest,
    MetadataRequest, UnregisterBrokerRequest,
};

use crate::admin::topic;
use crate::kafka::Cluster;
use crate::wire::Connection;
use crate::{Failure, Result, wait_for};

/// Replicas catch up and leaders are elected within this, on a busy machine too.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// A connection to the first running broker that takes one.
fn any_broker(cluster: &Cluster) -> Result<Connection> {
    let running = cluster.addresses().into_iter().filter(|(node, _)| cluster.is_running(*node));
    let found = running.map(|(_, address)| Connection::open(address)).find_map(Result::ok);
    found.ok_or_else(|| Failure::new("no broker is running"))
}

/// Creates a topic with the cluster's default replicas and waits until it is in sync.
pub fn create_topic(cluster: &Cluster, name: &str, partitions: i32) -> Result<()> {
    let made = CreatableTopic::default().with_name(topic(name)).with_num_partitions(partitions);
    let request = CreateTopicsRequest::default().with_topics(vec![made.with_replication_factor(-1)]);
    let answer = any_broker(cluster)?.call(7, &request.with_timeout_ms(20_000))?;
    match answer.topics.first() {
        Some(made) if made.error_code == 0 => wait_in_sync(cluster),
        made => Err(Failure::new(format!("the topic {name} is not made: {made:?}"))),
    }
}

/// The node id of the controller that leads the quorum.
pub fn active_controller(cluster: &Cluster) -> Result<i32> {
    let log = TopicData::default().with_topic_name(topic("__cluster_metadata"));
    let log = log.with_partitions(vec![PartitionData::default()]);
    wait_for("an active controller", SETTLE_LIMIT, || {
        let answer = any_broker(cluster)?.call(1, &DescribeQuorumRequest::default().with_topics(vec![log.clone()]));
        let leader = answer.ok().and_then(|a| Some(a.topics.first()?.partitions.first()?.leader_id.0));
        Ok(leader.filter(|&node| node > 0 && cluster.is_running(node)))
    })
}

/// Puts partition `n` of a topic on the brokers `replicas[n]`, and waits until the first of them leads it.
pub fn reassign(cluster: &Cluster, name: &str, replicas: &[Vec<i32>]) -> Result<()> {
    let brokers = |nodes: &Vec<i32>| nodes.iter().map(|&node| BrokerId(node)).collect();
    let partition = |(n, nodes): (i32, &Vec<i32>)| {
        ReassignablePartition::default().with_partition_index(n).with_replicas(Some(brokers(nodes)))
    };
    let moved = ReassignableTopic::default().with_name(topic(name));
    let moved = moved.with_partitions((0..).zip(replicas).map(partition).collect());
    let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![moved]).with_timeout_ms(20_000);
    let answer = any_broker(cluster)?.call(0, &request)?;
    let refused = answer.responses.iter().flat_map(|t| &t.partitions).find(|p| p.error_code != 0);
    if answer.error_code != 0 || refused.is_some() {
        return Err(Failure::new(format!("{name} is not reassigned: error {}, {refused:?}", answer.error_code)));
    }
    wait_for(&format!("{name} on its new brokers"), SETTLE_LIMIT, || {
        let there = |(p, nodes): (&MetadataResponsePartition, &Vec<i32>)| {
            p.replica_nodes.len() == nodes.len() && nodes.iter().all(|node| p.isr_nodes.contains(&BrokerId(*node)))
        };
        let partitions = partitions(cluster, Some(name))?;
        Ok((partitions.iter().zip(replicas).all(there) && partitions.len() == replicas.len()).then_some(()))
    })?;
    elect_preferred(cluster, name, replicas)
}

/// Asks for the first replica as leader until it is.
fn elect_preferred(cluster: &Cluster, name: &str, replicas: &[Vec<i32>]) -> Result<()> {
    let all = TopicPartitions::default().with_topic(topic(name)).with_partitions((0..).take(replicas.len()).collect());
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![all])).with_timeout_ms(20_000);
    wait_for(&format!("the first replicas of {name} to lead"), SETTLE_LIMIT, || {
        any_broker(cluster)?.call(2, &request)?;
        let leads = |(p, nodes): (&MetadataResponsePartition, &Vec<i32>)| nodes.first() == Some(&p.leader_id.0);
        Ok(partitions(cluster, Some(name))?.iter().zip(replicas).all(leads).then_some(()))
    })
}

/// Makes the cluster forget a broker that has been stopped.
pub fn unregister(cluster: &Cluster, node: i32) -> Result<()> {
    wait_for(&format!("broker {node} to be unregistered"), SETTLE_LIMIT, || {
        let answer =
            any_broker(cluster)?.call(0, &UnregisterBrokerRequest::default().with_broker_id(BrokerId(node)))?;
        Ok((answer.error_code == 0).then_some(()))
    })
}

/// Waits until every partition has a leader and all of its replicas in sync.
pub fn wait_in_sync(cluster: &Cluster) -> Result<()> {
    wait_for("all replicas in sync", SETTLE_LIMIT, || {
        let partitions = partitions(cluster, None)?;
        let whole = |p: &MetadataResponsePartition| p.leader_id.0 > 0 && p.isr_nodes.len() == p.replica_nodes.len();
        Ok(partitions.iter().all(whole).then_some(()))
    })
}

/// The leader of each partition of a topic.
pub fn leaders(cluster: &Cluster, name: &str) -> Result<Vec<(i32, i32)>> {
    Ok(partitions(cluster, Some(name))?.iter().map(|p| (p.partition_index, p.leader_id.0)).collect())
}

/// Waits until no partition is led by this broker.
pub fn wait_leads_nothing(cluster: &Cluster, node: i32) -> Result<()> {
    wait_for(&format!("others to lead what broker {node} led"), SETTLE_LIMIT, || {
        Ok(partitions(cluster, None)?.iter().all(|p| p.leader_id.0 != node && p.leader_id.0 > 0).then_some(()))
    })
}

/// The partitions of one topic, or of all, in order.
fn partitions(cluster: &Cluster, name: Option<&str>) -> Result<Vec<MetadataResponsePartition>> {
    let asked = name.map(|name| vec![MetadataRequestTopic::default().with_name(Some(topic(name)))]);
    let request = MetadataRequest::default().with_topics(asked).with_allow_auto_topic_creation(false);
    let topics = any_broker(cluster)?.call(12, &request)?.topics;
    let mut partitions: Vec<_> = topics.into_iter().flat_map(|topic| topic.partitions).collect();
    if name.is_some() {
        partitions.sort_by_key(|partition| partition.partition_index);
    }
    Ok(partitions)
}
