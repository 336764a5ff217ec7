//! `kafka-topics`, `kafka-get-offsets`, `kafka-delete-records`, `kafka-log-dirs`, and the console's producer and consumer.

use serde_json::{Value, json};

use crate::desk::{CONSUMER, Desk, GROUPS, OFFSETS, PRODUCER, TOPICS, columns, filled_topic, sides};

const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";

#[test]
fn a_topic_is_made_grown_shown_and_deleted_at_the_brokers() {
    let mut desk = Desk::new();
    for (gateway, topic) in sides("topics") {
        let made = "--partitions 3 --replication-factor 3 --config retention.ms=3600000";
        let said = desk.through(gateway, TOPICS, &format!("--create --topic {topic} {made}"));
        assert!(said.ends_with(&format!("Created topic {topic}.\n")), "{said}");
        let describe = format!("--describe --topic {topic}");
        let all_in_sync = |said: &str| said.matches("Leader:").count() == 3 && !said.contains("none");
        let truth = desk.until(TOPICS, &describe, all_in_sync);
        assert!(truth.contains("PartitionCount: 3") && truth.contains("ReplicationFactor: 3"), "{truth}");
        assert!(truth.contains("retention.ms=3600000"), "{truth}");
        desk.same(gateway, TOPICS, &describe);

        let again = desk.refused(gateway, TOPICS, &format!("--create --topic {topic}"));
        assert!(again.contains("already exists"), "{again}");
        desk.through(gateway, TOPICS, &format!("--create --if-not-exists --topic {topic}"));

        desk.through(gateway, TOPICS, &format!("--alter --topic {topic} --partitions 5"));
        desk.until(TOPICS, &describe, |said| said.contains("PartitionCount: 5"));
        let fewer = desk.refused(gateway, TOPICS, &format!("--alter --topic {topic} --partitions 2"));
        assert!(fewer.contains("5 partition"), "{fewer}");

        let listed = desk.through(gateway, TOPICS, "--list --exclude-internal");
        assert!(listed.lines().any(|name| name == topic), "{listed}");
        for nothing in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"] {
            desk.same(gateway, TOPICS, &format!("--describe --topic {topic} {nothing}"));
        }

        desk.through(gateway, TOPICS, &format!("--delete --topic {topic}"));
        desk.until(TOPICS, "--list", |said| !said.lines().any(|name| name == topic));
        let gone = desk.refused(gateway, TOPICS, &describe);
        assert!(gone.contains("does not exist"), "{gone}");
    }
}

#[test]
fn records_are_written_read_deleted_up_to_an_offset_and_found_by_time() {
    let mut desk = Desk::new();
    for (gateway, topic) in sides("records") {
        filled_topic(&mut desk, gateway, &topic, 30);
        desk.until(OFFSETS, &format!("--topic {topic}"), |said| said.trim() == format!("{topic}:0:30"));
        for time in ["latest", "earliest", "max-timestamp", "-1", "-2", "0", "9999999999999"] {
            desk.same(gateway, OFFSETS, &format!("--topic {topic} --time {time}"));
        }
        desk.same(gateway, OFFSETS, &format!("--topic-partitions {topic}:0,{topic}:7 --exclude-internal-topics"));

        let upto =
            |offset: i64| json!({ "version": 1, "partitions": [{ "topic": topic, "partition": 0, "offset": offset }] });
        let file = desk.file("delete.json", &upto(12));
        let said = desk.through(gateway, DELETE_RECORDS, &format!("--offset-json-file {file}"));
        assert!(said.contains(&format!("partition: {topic}-0\tlow_watermark: 12")), "{said}");
        let earliest = desk.direct(OFFSETS, &format!("--topic {topic} --time earliest"));
        assert_eq!(earliest.trim(), format!("{topic}:0:12"));
        let file = desk.file("delete.json", &upto(31));
        let said = desk.through(gateway, DELETE_RECORDS, &format!("--offset-json-file {file}"));
        assert!(said.contains("OffsetOutOfRangeException"), "{said}");

        let read = format!("--topic {topic} --partition 0 --offset earliest --max-messages 18 --timeout-ms 60000");
        let read = desk.through(gateway, CONSUMER, &read);
        let expected: String = (12..30).map(|n| format!("value {n}\n")).collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn what_brokers_keep_on_their_disks_is_shown_as_they_show_it() {
    let mut desk = Desk::new();
    for (gateway, topic) in sides("log-dirs") {
        filled_topic(&mut desk, gateway, &topic, 5);
        let sizes = |said: &str| -> Vec<(i64, i64)> {
            let json = said.lines().find(|line| line.starts_with('{')).expect(said);
            let json: Value = serde_json::from_str(json).unwrap();
            let brokers = json["brokers"].as_array().unwrap().iter();
            let mut sizes: Vec<(i64, i64)> = brokers
                .flat_map(|b| {
                    b["logDirs"].as_array().unwrap().iter().map(move |dir| (b["broker"].as_i64().unwrap(), dir))
                })
                .flat_map(|(broker, dir)| dir["partitions"].as_array().unwrap().iter().map(move |p| (broker, p)))
                .map(|(broker, partition)| (broker, partition["size"].as_i64().unwrap()))
                .collect();
            sizes.sort_unstable();
            sizes
        };
        let args = format!("--describe --topic-list {topic}");
        let both =
            |said: &str| sizes(said).iter().map(|(broker, size)| (*broker, *size > 0)).eq([(1, true), (2, true)]);
        desk.until(LOG_DIRS, &args, both);
        desk.same(gateway, LOG_DIRS, &format!("{args} --broker-list 1"));
        desk.same(gateway, LOG_DIRS, &format!("{args} --broker-list 1,2,3"));
    }
}

#[test]
fn the_tools_that_measure_and_verify_write_and_read_what_they_say() {
    let mut desk = Desk::new();
    for (gateway, topic) in sides("verified") {
        filled_topic(&mut desk, gateway, &topic, 0);
        let latency = format!("--topic {topic} --num-records 5 --producer-acks all --record-size 32");
        let said = desk.through(gateway, "org.apache.kafka.tools.EndToEndLatency", &latency);
        assert!(said.contains("Percentiles"), "{said}");
        let lines: String = (0..40).map(|n| format!("key {n}\tvalue {n}\n")).collect();
        let keyed = format!("--topic {topic} --reader-property parse.key=true --compression-codec zstd");
        desk.through_with(gateway, PRODUCER, &keyed, &lines);
        let verify = format!("--topic {topic} --group-id {topic} --reset-policy earliest --max-messages 45");
        let said = desk.through(gateway, "org.apache.kafka.tools.VerifiableConsumer", &verify);
        let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let consumed = events.iter().filter(|e| e["name"] == "records_consumed");
        let counts = consumed.flat_map(|e| e["partitions"].as_array().unwrap()).filter_map(|p| p["count"].as_i64());
        assert_eq!(counts.sum::<i64>(), 45, "{said}");
        let committed = desk.direct(GROUPS, &format!("--describe --group {topic}"));
        assert_eq!(columns(&committed, &topic)[3..6], ["45", "45", "0"], "{committed}");

        let reset = format!("--application-id {topic} --input-topics {topic} --force");
        let said = desk.through(gateway, "org.apache.kafka.tools.StreamsResetter", &reset);
        assert!(said.contains(&format!("Topic: {topic} Partition: 0 Offset: 0")), "{said}");
        let committed = desk.direct(GROUPS, &format!("--describe --group {topic}"));
        assert_eq!(columns(&committed, &topic)[3], "0", "{committed}");
    }
}
