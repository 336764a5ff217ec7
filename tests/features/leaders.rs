//! Leaders move: who asks the old one is told by it where the new one is (KIP-951), and that is another door of Weir's.

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use loadtest::admin::{self, topic};
use loadtest::kafka::Cluster;
use loadtest::wire::Connection;
use loadtest::{Result, operate, wait_for};

use super::producer::batch;
use super::stage::{Client, Isolation, SETTLED, Topic, await_stored, cluster, create_topic, partition_of, sides};

const NOT_LEADER_OR_FOLLOWER: i16 = 6;

#[test]
fn a_producer_and_a_consumer_of_a_leader_that_moved_are_led_to_the_new_ones_door() {
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let mut topic = create_topic(&cluster, &side.own("moves"), &[&[2, 1]]);
        for (n, (from, to)) in (0..).zip([(2, 3), (3, 2)]) {
            // Both were connected to the old leader before.
            let (mut producer, mut consumer) = (side.client(from), side.client(from));
            let first = format!("{n}, at the old leader");
            assert_eq!(write(&mut producer, &topic, 12, &first), (0, Vec::new()), "{at}");
            move_leader(&cluster, &topic.name, from, &[to, 1]);
            topic.leaders = vec![to];
            let door = side.gateway.broker_address(to).unwrap();
            for version in 10..=13 {
                let (error, doors) = write(&mut producer, &topic, version, "never");
                assert_eq!(error, NOT_LEADER_OR_FOLLOWER, "{at}: Produce v{version}");
                assert_eq!(doors, [(to, door.to_string())], "{at}: Produce v{version}");
            }
            for version in [16, 17, 18] {
                let request = admin::fetch_request(&topic.name, topic.id, version, &[0], 1 << 20);
                let answer = consumer.call(version, &request);
                let doors: Vec<_> =
                    answer.node_endpoints.iter().map(|e| (e.node_id.0, door_of(&e.host, e.port))).collect();
                assert_eq!(doors, [(to, door.to_string())], "{at}: Fetch v{version}");
                let partition = partition_of(answer);
                assert_eq!(partition.error_code, NOT_LEADER_OR_FOLLOWER, "{at}: Fetch v{version}");
                assert_eq!(partition.current_leader.leader_id.0, to, "{at}: Fetch v{version}");
            }
            // Straight there, without asking Metadata.
            let mut there = Client::open(&side, door);
            assert_eq!(write(&mut there, &topic, 13, &format!("{n}, at the new leader")), (0, Vec::new()), "{at}");
        }
        let expected = ["0, at the old leader", "0, at the new leader", "1, at the old leader", "1, at the new leader"];
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &expected);
    }
}

/// The error, and the leaders that the answer names with their addresses.
fn write(client: &mut Client, topic: &Topic, version: i16, value: &str) -> (i16, Vec<(i32, String)>) {
    let request: ProduceRequest =
        admin::produce_request(&topic.name, topic.id, version, 0, -1, batch(&[value]).bytes());
    let answer = client.call(version, &request);
    let partition = &answer.responses[0].partition_responses[0];
    let doors = answer.node_endpoints.iter().map(|e| (e.node_id.0, door_of(&e.host, e.port))).collect();
    (partition.error_code, doors)
}

fn door_of(host: &str, port: i32) -> String {
    format!("{host}:{port}")
}

/// Gives partition 0 other replicas, the first of which leads it then.
///
/// A leader that becomes a follower goes on answering Fetch (KIP-392); one that is no replica any more does not.
pub fn move_leader(cluster: &Cluster, name: &str, from: i32, replicas: &[i32]) {
    operate::reassign(cluster, name, &[replicas.to_vec()]).unwrap();
    // The old leader has heard of it, too.
    admin::await_topic(cluster, name, &replicas[..1]).unwrap();
    // In a version that only leaders answer.
    let request = admin::fetch_request(name, uuid::Uuid::nil(), 10, &[0], 1 << 20);
    wait_for(&format!("broker {from} to give {name} up"), SETTLED, || {
        let answer = Connection::open(cluster.address(from)?)?.call(10, &request)?;
        Ok((partition_of(answer).error_code == NOT_LEADER_OR_FOLLOWER).then_some(()))
    })
    .unwrap();
}

/// The leader of partition 0, once so many replicas are in sync.
pub fn settled(cluster: &Cluster, name: &str, replicas: usize) -> Result<i32> {
    wait_for(&format!("{replicas} replicas of {name} in sync"), SETTLED, || {
        let asked = vec![MetadataRequestTopic::default().with_name(Some(topic(name)))];
        let request = MetadataRequest::default().with_topics(Some(asked));
        let answer = Connection::open(cluster.address(1)?)?.call(12, &request)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(partition.filter(|p| p.isr_nodes.len() == replicas && p.leader_id.0 > 0).map(|p| p.leader_id.0))
    })
}
