//! Ways past a rule, and ways in which a rule would stop who does nothing dangerous.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use loadtest::admin;

use super::common::{self, RUNTIMES};
use super::world::{POLICY_VIOLATION, READING, RULES, World, deletion, exists, make};

const PARTITIONS: [&str; 3] = ["0", "1", "2"];

/// Two records on each of three partitions.
fn filled(world: &World, topic: &str) {
    admin::create_topic(common::cluster(), topic, &[1, 1, 1]).unwrap();
    for partition in PARTITIONS {
        assert_eq!(world.kcat(&["-P", "-t", topic, "-p", partition], "one\ntwo\n").stderr, "");
    }
}

#[test]
fn who_reads_and_commits_several_partitions_in_order_is_held_by_nobody() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, READING);
        let topic = format!("pay.several-{runtime}");
        filled(&world, &topic);
        let news = world.kcat(&["-C", "-e", "-o", "1", "-t", &topic], "");
        assert_eq!(news.stdout, "two\n".repeat(3), "{}", news.stderr);
        assert!(world.requests().is_empty(), "all of its partitions are asked about: {:?}", world.requests());

        let world = World::with(runtime, &READING.replace("from: earliest", "over: 1GiB, within: 1h"));
        let group = format!("several-{runtime}");
        let read = world.kcat(&["-e", "-G", &group, "-X", "auto.offset.reset=earliest", &topic], "");
        assert_eq!(read.stdout.lines().count(), 6, "{}", read.stderr);
        assert!(world.requests().is_empty(), "it commits what it has read: {:?}", world.requests());
        let again = world.kcat(&["-e", "-G", &group, &topic], "");
        assert_eq!(again.stdout, "", "its commits have arrived: {}", again.stderr);
    }
}

#[test]
fn a_request_that_says_one_thing_twice_is_asked_of_nobody_and_not_done() {
    let world = World::with("epoll", RULES);
    let topic = "prod.twice";
    make(topic);
    let leader = common::cluster().address(1).unwrap();
    admin::produce(leader, topic, 0, loadtest::batch::Batch::counting(9).bytes().to_vec()).unwrap();
    let to = |offset| DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let named = DeleteRecordsTopic::default().with_name(admin::topic(topic)).with_partitions(vec![to(1), to(-1)]);
    let request = DeleteRecordsRequest::default().with_topics(vec![named]).with_timeout_ms(5_000);
    let begun = Instant::now();
    let answer = world.connection(&world.dev).call(2, &request).unwrap();
    assert!(answer.topics.iter().all(|topic| topic.partitions.iter().all(|partition| partition.error_code != 0)));
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody is waited for");
    assert!(world.requests().is_empty(), "a reviewer could not tell which of the two counts");
    let left = admin::fetch(leader, topic, 0).unwrap();
    assert!(!left.is_empty(), "the records are there");
}

#[test]
fn what_nobody_held_when_it_came_is_judged_again_when_the_wait_for_the_rest_ends() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let (free, held) = (format!("dev.beside-{runtime}"), format!("prod.beside-{runtime}"));
        make(&free);
        make(&held);
        let mut connection = world.connection(&world.dev);
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(|| connection.call(6, &deletion(&[&free, &held])).unwrap());
            world.pending(&format!("delete topics {held}"));
            let policy = world.gateway.config_path().with_file_name("policy.yaml");
            fs::write(policy, RULES.replace(r#"["prod.*"]"#, r#"["prod.*", "dev.*"]"#)).unwrap();
            world.gateway.weir(&["reload"]).unwrap();
            asked.join().unwrap()
        });
        let codes: Vec<i16> = answer.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [POLICY_VIOLATION; 2], "nobody said anything, and a rule holds the other one now");
        assert!(exists(&free) && exists(&held));
    }
}

#[test]
fn a_reader_that_was_told_no_is_answered_no_sooner_than_one_that_waits() {
    let world = World::with("epoll", READING);
    let topic = "pay.denied";
    make(topic);
    let wait = Duration::from_secs(1);
    let request = admin::fetch_request(topic, uuid::Uuid::nil(), 12, &[0], 1024).with_max_wait_ms(1_000);
    let mut connection = world.connection(&world.dev);
    connection.call(12, &request).unwrap();
    let id = world.pending(&format!("fetch {topic}"));
    world.says(&world.ann, &["deny", &id, "--reason", "not now"]);
    let begun = Instant::now();
    for _ in 0..3 {
        let answer = connection.call(12, &request).unwrap();
        let partition = &answer.responses[0].partitions[0];
        assert_eq!((answer.error_code, partition.error_code, partition.preferred_read_replica.0), (0, 0, -1));
    }
    assert!(begun.elapsed() >= 3 * wait - Duration::from_millis(300), "{:?}", begun.elapsed());
}
