//! Where partitions live: `kafka-reassign-partitions` and `kafka-leader-election`.

use crate::desk::{CONFIGS, Desk, TOPICS, alone, columns, filled_topic, sides};
use serde_json::{Value, json};

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";

fn moved(topic: &str, replicas: &[i32]) -> Value {
    json!({ "version": 1, "partitions": [{ "topic": topic, "partition": 0, "replicas": replicas }] })
}

/// `Replicas:` and `Leader:` of partition 0, as the brokers say.
fn placed(described: &str) -> (&str, &str) {
    let words = columns(described, "Partition:");
    let after = |label: &str| words.iter().position(|word| *word == label).map_or("", |at| words[at + 1]);
    (after("Replicas:"), after("Leader:"))
}

#[test]
fn a_partition_is_moved_verified_and_led_by_its_first_replica() {
    let _alone = alone();
    let mut desk = Desk::new();
    for (gateway, topic) in sides("moved") {
        filled_topic(&mut desk, gateway, &topic, 10);
        let describe = format!("--describe --topic {topic}");
        let plan = desk.file("generate.json", &json!({ "version": 1, "topics": [{ "topic": topic }] }));
        let proposed = format!("--generate --broker-list 1,2,3 --topics-to-move-json-file {plan}");
        let proposed = desk.through(gateway, REASSIGN, &proposed);
        assert!(proposed.contains("\"replicas\":[1,2]"), "{proposed}");

        let file = desk.file("move.json", &moved(&topic, &[2, 3]));
        let said = desk.through(gateway, REASSIGN, &format!("--execute --reassignment-json-file {file}"));
        assert!(said.contains("Successfully started partition reassignment"), "{said}");
        desk.until(TOPICS, &describe, |said| placed(said).0 == "2,3");
        let said = desk.through(gateway, REASSIGN, &format!("--verify --reassignment-json-file {file}"));
        assert!(said.contains(&format!("Reassignment of partition {topic}-0 is completed.")), "{said}");
        desk.same(gateway, REASSIGN, &format!("--verify --preserve-throttles --reassignment-json-file {file}"));

        // Another order of the same replicas moves no data, and leaves the leader in place.
        let file = desk.file("move.json", &moved(&topic, &[3, 2]));
        desk.through(gateway, REASSIGN, &format!("--execute --reassignment-json-file {file}"));
        desk.until(TOPICS, &describe, |said| placed(said) == ("3,2", "2"));
        let elected = desk.file("elect.json", &json!({ "partitions": [{ "topic": topic, "partition": 0 }] }));
        let said = desk.through(gateway, ELECT, &format!("--election-type preferred --path-to-json-file {elected}"));
        assert!(said.contains("Successfully completed leader election (PREFERRED)"), "{said}");
        desk.until(TOPICS, &describe, |said| placed(said) == ("3,2", "3"));
        let again = format!("--election-type preferred --topic {topic} --partition 0");
        let said = desk.through(gateway, ELECT, &again);
        assert!(said.contains("Valid replica already elected"), "{said}");
    }
}

#[test]
fn a_move_is_throttled_cancelled_and_its_throttle_taken_back() {
    let _alone = alone();
    let mut desk = Desk::new();
    for (gateway, topic) in sides("throttled") {
        filled_topic(&mut desk, gateway, &topic, 0);
        let describe = format!("--describe --topic {topic}");
        // What is copied before the brokers know how fast they are is a fetch, a MiB; the rest would take hours.
        let load = format!("--topic {topic} --num-records 5000 --record-size 1000 --throughput -1");
        desk.through(gateway, "org.apache.kafka.tools.ProducerPerformance", &load);

        let file = desk.file("move.json", &moved(&topic, &[1, 3]));
        let throttled = format!("--execute --throttle 1000 --reassignment-json-file {file}");
        let said = desk.through(gateway, REASSIGN, &throttled);
        assert!(said.contains("The inter-broker throttle limit was set to 1000 B/s"), "{said}");
        let rate = "leader.replication.throttled.rate=1000";
        desk.until(CONFIGS, "--describe --entity-type brokers --entity-name 1", |said| said.contains(rate));
        let listed = desk.same(gateway, REASSIGN, "--list");
        assert!(listed.contains(&topic), "{listed}");
        let said = desk.through(gateway, REASSIGN, &format!("--verify --reassignment-json-file {file}"));
        assert!(said.contains("is still in progress"), "{said}");

        let said = desk.through(gateway, REASSIGN, &format!("--cancel --reassignment-json-file {file}"));
        assert!(said.contains("Successfully cancelled partition reassignment"), "{said}");
        desk.until(TOPICS, &describe, |said| placed(said).0 == "1,2");
        desk.until(CONFIGS, "--describe --entity-type brokers --entity-name 1", |said| {
            !said.contains("replication.throttled")
        });
        let of_topic = format!("--describe --entity-type topics --entity-name {topic}");
        desk.until(CONFIGS, &of_topic, |said| !said.contains("replication.throttled"));
    }
}
