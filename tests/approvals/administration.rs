//! What administrators do with Kafka's own tools: topics, settings, places, groups, quotas and users.

use std::thread;

use loadtest::admin;
use loadtest::batch::Batch;
use serde_json::json;

use super::common::{self, RUNTIMES};
use super::desk::{CONFIGS, Case, Desk, GROUPS, OFFSETS, Says, TOPICS, Told};
use super::world::World;

const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";

const RULES: &str = r#"approvals:
  - name: administration
    operations: [delete_topics, create_partitions, alter_configs, delete_records, delete_groups, elect_leaders,
                 alter_reassignments, alter_users, alter_quotas]
    topics: ["prod.*"]
    consumer_groups: ["prod.*"]
    cluster: true
    approvers: { group: sre }
    hold: 1s
"#;

fn world(runtime: &str, rules: &str) -> World {
    World::of(runtime, rules, |options| options.listener.push("allow_security_changes: true".to_owned()))
}

#[test]
fn kafkas_own_tools_are_held_and_told_and_do_the_same_once_it_is_approved() {
    for runtime in RUNTIMES {
        let world = world(runtime, RULES);
        let mut desk = Desk::new(&world);
        let name = format!("prod.tools-{runtime}");
        prepare(&mut desk, &name);
        for case in of_topics(&desk, &name).into_iter().chain(of_places(&desk, &name)).chain(of_others(&name, runtime))
        {
            desk.plays(&case);
        }
    }
}

/// A topic with records and a group that has read some; and one whose partition is led by its second replica.
fn prepare(desk: &mut Desk<'_>, name: &str) {
    admin::create_topic(common::cluster(), name, &[1]).unwrap();
    admin::produce(common::cluster().address(1).unwrap(), name, 0, Batch::counting(5).bytes()).unwrap();
    let reset = format!("--reset-offsets --group {name} --topic {name} --to-latest --execute");
    desk.direct(GROUPS, &reset);
    let led = format!("{name}-led");
    admin::create_placed(common::cluster(), &led, &[&[2, 1]]).unwrap();
    let file = desk.file("other-order.json", &placed(&led, &[1, 2]));
    desk.direct(REASSIGN, &format!("--execute --reassignment-json-file {}", file.display()));
}

fn placed(topic: &str, replicas: &[i32]) -> serde_json::Value {
    json!({ "version": 1, "partitions": [{ "topic": topic, "partition": 0, "replicas": replicas }] })
}

fn this(words: impl Into<String>) -> Says {
    Says::This(words.into())
}

fn of_topics(desk: &Desk<'_>, name: &str) -> Vec<Case> {
    let upto = json!({ "version": 1, "partitions": [{ "topic": name, "partition": 0, "offset": 3 }] });
    let upto = desk.file("records.json", &upto).display().to_string();
    vec![
        Case {
            asks: format!("create partitions {name}"),
            does: (TOPICS, format!("--alter --topic {name} --partitions 2")),
            told: Told::Words,
            shows: (TOPICS, format!("--describe --topic {name}"), this("PartitionCount: 2")),
        },
        Case {
            asks: format!("delete records {name}"),
            does: (DELETE_RECORDS, format!("--offset-json-file {upto}")),
            told: Told::Error("TopicAuthorizationException"),
            shows: (OFFSETS, format!("--topic-partitions {name}:0 --time earliest"), this(format!("{name}:0:3"))),
        },
    ]
}

fn of_places(desk: &Desk<'_>, name: &str) -> Vec<Case> {
    let moved = desk.file("moved.json", &placed(name, &[2])).display().to_string();
    vec![
        Case {
            asks: format!("elect leaders {name}-led"),
            does: (ELECT, format!("--election-type preferred --topic {name}-led --partition 0")),
            told: Told::Words,
            shows: (TOPICS, format!("--describe --topic {name}-led"), this("Partition: 0 Leader: 1")),
        },
        Case {
            asks: format!("alter reassignments {name}"),
            does: (REASSIGN, format!("--execute --reassignment-json-file {moved}")),
            told: Told::Words,
            shows: (TOPICS, format!("--describe --topic {name}"), this("Partition: 0 Leader: 2 Replicas: 2")),
        },
    ]
}

/// Settings, groups and quotas.
fn of_others(name: &str, runtime: &str) -> Vec<Case> {
    let session = format!("consumer.session.timeout.ms={}", 46_000 + runtime.len());
    let delay = format!("log.segment.delete.delay.ms={}", 61_000 + runtime.len());
    let rate = "producer_byte_rate=1048576";
    let of = |kind: &str, which: &str| format!("--entity-type {kind} --entity-name {which}");
    let alter = |kind: &str, which: &str, what: &str| format!("--alter {} --add-config {what}", of(kind, which));
    let describe = |kind: &str, which: &str| format!("--describe {}", of(kind, which));
    vec![
        Case {
            asks: format!("alter configs {name}"),
            does: (CONFIGS, alter("groups", name, &session)),
            told: Told::Words,
            shows: (CONFIGS, describe("groups", name), this(session)),
        },
        Case {
            asks: "alter configs 1".to_owned(),
            does: (CONFIGS, alter("brokers", "1", &delay)),
            told: Told::Words,
            shows: (CONFIGS, describe("brokers", "1"), this(delay)),
        },
        Case {
            asks: "alter quotas quota".to_owned(),
            does: (CONFIGS, alter("users", name, rate)),
            told: Told::Words,
            shows: (CONFIGS, describe("users", name), this("producer_byte_rate=")),
        },
        Case {
            asks: format!("delete groups {name}"),
            does: (GROUPS, format!("--delete --group {name}")),
            told: Told::Error("GroupAuthorizationException"),
            shows: (GROUPS, "--list".to_owned(), Says::Nothing(name.to_owned())),
        },
        Case {
            asks: format!("delete topics {name}-led"),
            does: (TOPICS, format!("--delete --topic {name}-led")),
            told: Told::Words,
            shows: (TOPICS, "--list".to_owned(), Says::Nothing(format!("{name}-led"))),
        },
    ]
}

/// `kafka-configs` salts a password anew each time that it is run, and a grant is bound to what was salted: so it has to be
/// approved while it waits.
#[test]
fn a_password_that_is_approved_while_its_command_waits_is_set() {
    for runtime in RUNTIMES {
        let world = world(runtime, &RULES.replace("hold: 1s", "hold: 25s"));
        let mut desk = Desk::new(&world);
        let name = format!("prod.user-{runtime}");
        let of_user = format!("--entity-type users --entity-name {name}");
        let said = thread::scope(|scope| {
            let set = format!("--alter {of_user} --add-config SCRAM-SHA-256=[password=a-secret]");
            let approved = scope.spawn(|| {
                let id = world.pending(&format!("alter users {name}"));
                let shown = world.says(&world.ann, &["requests", &id]);
                world.says(&world.ann, &["approve", &id]);
                shown
            });
            let said = desk.through(CONFIGS, &set);
            let shown = approved.join().unwrap();
            assert!(shown.contains("(withheld)") && !shown.contains("a-secret"), "{shown}");
            said
        });
        assert!(said.contains("Completed updating config"), "{said}");
        let shown = desk.direct(CONFIGS, &format!("--describe {of_user}"));
        assert!(shown.contains("SCRAM-SHA-256"), "{shown}");
    }
}
