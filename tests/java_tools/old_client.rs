//! Clients of Kafka 2.8, five years older than the brokers: their console producer, console consumer and `kafka-topics`.

use std::time::Duration;

use crate::desk::{Desk, OFFSETS, sides};
use loadtest::weir::Gateway;
use loadtest::{kafka, process};

const LIMIT: Duration = Duration::from_secs(90);

fn old(gateway: &Gateway, class: &str, args: &str, input: &str) -> String {
    let mut command = kafka::java_of(kafka::OLD_CLIENT, 128).unwrap();
    command.args([class, "--bootstrap-server", &gateway.bootstrap()]).args(args.split_whitespace());
    process::run(class, &command, input.as_bytes(), LIMIT).unwrap().stdout
}

#[test]
fn clients_of_an_older_kafka_make_a_topic_write_and_read_with_a_group() {
    std::thread::scope(|scope| {
        for (gateway, topic) in sides("old-client") {
            scope.spawn(move || plays(gateway, &topic));
        }
    });
}

fn plays(gateway: &Gateway, topic: &str) {
    let mut desk = Desk::new();
    old(
        gateway,
        "kafka.admin.TopicCommand",
        &format!("--create --topic {topic} --partitions 2 --replication-factor 3"),
        "",
    );
    desk.until(OFFSETS, &format!("--topic {topic}"), |said| said.lines().count() == 2);
    let lines: String = (0..50).map(|n| format!("key {n}\tvalue {n}\n")).collect();
    let write =
        format!("--topic {topic} --property parse.key=true --compression-codec lz4 --request-required-acks all");
    old(gateway, "kafka.tools.ConsoleProducer", &write, &lines);
    let read = format!(
        "--topic {topic} --group {topic} --from-beginning --max-messages 50 --timeout-ms 60000 --property print.key=true"
    );
    let read = old(gateway, "kafka.tools.ConsoleConsumer", &read, "");
    let mut read: Vec<&str> = read.lines().collect();
    let mut sent: Vec<&str> = lines.lines().collect();
    read.sort_unstable();
    sent.sort_unstable();
    assert_eq!(read, sent);
    let shown = old(gateway, "kafka.admin.ConsumerGroupCommand", &format!("--describe --group {topic}"), "");
    assert_eq!(shown.lines().filter(|line| line.contains(topic)).count(), 2, "{shown}");
}
