//! `kafka-configs`, `kafka-client-metrics`: what may be set through Weir, and what it keeps for itself.

use crate::desk::{CONFIGS, Desk, TOPICS, alone, before, scene, sides};

const CLIENT_METRICS: &str = "org.apache.kafka.tools.ClientMetricsCommand";
const BROKERS_SETTINGS: &str = "a broker's settings say who may do what";

#[test]
fn settings_of_topics_groups_and_client_metrics_are_set_and_taken_back() {
    let mut desk = Desk::new();
    for (gateway, name) in sides("settings") {
        desk.through(gateway, TOPICS, &format!("--create --topic {name} --partitions 1"));
        desk.until(TOPICS, "--list", |said| said.contains(&name));
        for (kind, setting, value) in [
            ("topics", "cleanup.policy", "compact"),
            ("topics", "leader.replication.throttled.replicas", "0:1"),
            ("groups", "consumer.session.timeout.ms", "50000"),
            ("groups", "share.auto.offset.reset", "earliest"),
            ("groups", "streams.num.standby.replicas", "1"),
            ("client-metrics", "interval.ms", "60000"),
        ] {
            let entity = format!("--entity-type {kind} --entity-name {name}");
            let told = format!("{setting}={value}");
            let said = desk.through(gateway, CONFIGS, &format!("--alter {entity} --add-config {told}"));
            assert!(said.contains("Completed updating config"), "{said}");
            let describe = format!("--describe {entity}");
            desk.until(CONFIGS, &describe, |said| said.contains(&told));
            desk.same(gateway, CONFIGS, &describe);
            desk.through(gateway, CONFIGS, &format!("--alter {entity} --delete-config {setting}"));
            desk.until(CONFIGS, &describe, |said| !said.contains(&told));
        }
        let unknown = format!("--alter --entity-type topics --entity-name {name} --add-config no.such.setting=1");
        let said = desk.refused(gateway, CONFIGS, &unknown);
        assert!(said.contains("no.such.setting"), "{said}");
        desk.same(gateway, CONFIGS, &format!("--describe --all --entity-type topics --entity-name {name}"));
    }
}

#[test]
fn a_subscription_for_client_metrics_is_made_shown_and_deleted() {
    let mut desk = Desk::new();
    for (gateway, name) in sides("metrics") {
        let made = format!("--alter --name {name} --metrics org.apache.kafka.consumer. --interval 45000");
        desk.through(gateway, CLIENT_METRICS, &made);
        let describe = format!("--describe --name {name}");
        desk.until(CLIENT_METRICS, &describe, |said| said.contains("interval.ms=45000"));
        desk.same(gateway, CLIENT_METRICS, &describe);
        assert!(desk.through(gateway, CLIENT_METRICS, "--list").contains(&name));
        desk.through(gateway, CLIENT_METRICS, &format!("--delete --name {name}"));
        desk.until(CLIENT_METRICS, "--list", |said| !said.contains(&name));
    }
}

#[test]
fn settings_of_brokers_and_users_are_refused_with_words_and_shown_to_whoever_asks() {
    let _alone = alone();
    let mut desk = Desk::new();
    for (gateway, name) in sides("user") {
        let broker = "--entity-type brokers --entity-name 2";
        for setting in ["log.cleaner.threads=2", "advertised.listeners=PLAINTEXT://elsewhere:9092"] {
            let said = desk.refused(gateway, CONFIGS, &format!("--alter {broker} --add-config {setting}"));
            assert!(said.contains(BROKERS_SETTINGS) && said.contains("allow_security_changes"), "{said}");
        }
        let all = "--alter --entity-type brokers --entity-default --add-config log.cleaner.threads=2";
        let said = desk.refused(gateway, CONFIGS, all);
        assert!(said.contains(BROKERS_SETTINGS), "{said}");
        let level = "--alter --entity-type broker-loggers --entity-name 2 --add-config kafka.server.KafkaApis=DEBUG";
        desk.refused(gateway, CONFIGS, level);

        let user = format!("--entity-type users --entity-name {name}");
        let said = desk.refused(gateway, CONFIGS, &format!("--alter {user} --add-config producer_byte_rate=1000"));
        assert!(said.contains("does not support ALTER_CLIENT_QUOTAS"), "{said}");
        let said = desk.refused(gateway, CONFIGS, &format!("--alter {user} --add-config SCRAM-SHA-256=[password=x]"));
        assert!(said.contains("does not support ALTER_USER_SCRAM_CREDENTIALS"), "{said}");
        assert_eq!(desk.direct(CONFIGS, &format!("--describe {user}")).trim(), "");
        desk.same(gateway, CONFIGS, "--describe --entity-type brokers --entity-name 2");
        // Its listeners are the gateway's addresses here, which `through` looks at.
        let all = desk.through(gateway, CONFIGS, "--describe --all --entity-type brokers --entity-name 2");
        assert!(all.contains("advertised.listeners") && all.contains("node.id=2"), "{all}");
    }
}

#[test]
fn settings_of_brokers_and_users_are_set_where_the_listener_allows_it() {
    let _alone = alone();
    let mut desk = Desk::new();
    for (runtime, (_, name)) in crate::common::RUNTIMES.into_iter().zip(sides("quota")) {
        let open = before(&scene().cluster, runtime, &["allow_security_changes: true"]);
        let broker = "--entity-type brokers --entity-name 3";
        desk.through(&open, CONFIGS, &format!("--alter {broker} --add-config log.cleaner.backoff.ms=15001"));
        desk.until(CONFIGS, &format!("--describe {broker}"), |said| said.contains("log.cleaner.backoff.ms=15001"));
        desk.through(&open, CONFIGS, &format!("--alter {broker} --delete-config log.cleaner.backoff.ms"));
        let user = format!("--entity-type users --entity-name {name}");
        desk.through(&open, CONFIGS, &format!("--alter {user} --add-config producer_byte_rate=1000000"));
        desk.through(
            &open,
            CONFIGS,
            &format!("--alter {user} --add-config SCRAM-SHA-256=[iterations=4096,password=x]"),
        );
        let both = |said: &str| said.contains("producer_byte_rate=1000000") && said.contains("SCRAM-SHA-256");
        desk.until(CONFIGS, &format!("--describe {user}"), both);
        desk.same(&open, CONFIGS, &format!("--describe {user}"));
    }
}
