//! Records that are read or written under approval, and positions that are moved.

use std::thread;
use std::time::Duration;

use loadtest::batch::Batch;
use loadtest::process;

use super::common::RUNTIMES;
use super::world::{KCAT_LIMIT, READING, RULES, SOON, World, make};

#[test]
fn a_replay_waits_like_a_topic_without_news_and_goes_on_once_approved() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, READING);
        let topic = format!("pay.replay-{runtime}");
        make(&topic);
        assert_eq!(world.kcat(&["-P", "-t", &topic], "one\ntwo\n").stderr, "");
        let read = thread::scope(|scope| {
            let read = scope.spawn(|| world.kcat(&["-C", "-o", "beginning", "-c", "2", "-t", &topic], ""));
            let id = world.pending(&format!("fetch {topic}"));
            thread::sleep(Duration::from_secs(2));
            assert!(!read.is_finished(), "it waits, and nothing is broken");
            world.says(&world.ann, &["approve", &id]);
            read.join().unwrap()
        });
        assert_eq!(read.stdout, "one\ntwo\n", "{}", read.stderr);
        assert_eq!(world.requests().len(), 1, "it asks again and again for the same");
        let news = world.kcat(&["-C", "-e", "-o", "beginning", "-t", &topic], "");
        assert_eq!(news.stdout, "one\ntwo\n", "the time that was opened goes on: {}", news.stderr);
    }
}

#[test]
fn what_comes_new_is_read_without_anybodys_yes() {
    let world = World::with("epoll", READING);
    make("pay.news");
    assert_eq!(world.kcat(&["-P", "-t", "pay.news"], "one\ntwo\n").stderr, "");
    let read = world.kcat(&["-C", "-e", "-o", "1", "-t", "pay.news"], "");
    assert_eq!(read.stdout, "two\n", "{}", read.stderr);
    assert!(world.requests().is_empty());
}

#[test]
fn a_grant_that_is_taken_back_ends_the_reading_that_it_opened() {
    let world = World::with("epoll", READING);
    make("pay.ends");
    assert_eq!(world.kcat(&["-P", "-t", "pay.ends"], "one\n").stderr, "");
    let read = || world.kcat(&["-C", "-c", "1", "-o", "beginning", "-m", "5", "-t", "pay.ends"], "");
    thread::scope(|scope| {
        let first = scope.spawn(read);
        let id = world.pending("fetch pay.ends");
        world.says(&world.ann, &["approve", &id]);
        assert_eq!(first.join().unwrap().stdout, "one\n");
        world.says(&world.bob, &["revoke", &id]);
        let second = scope.spawn(read);
        let anew = world.pending("fetch pay.ends");
        assert_ne!(anew, id, "it is asked for anew");
        world.says(&world.ann, &["approve", &anew]);
        assert_eq!(second.join().unwrap().stdout, "one\n");
    });
}

#[test]
fn a_member_commits_what_it_has_read_and_nobody_moves_its_position_unasked() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, &READING.replace("from: earliest", "over: 1GiB, within: 1h"));
        let (topic, group) = (format!("pay.group-{runtime}"), format!("readers-{runtime}"));
        make(&topic);
        assert_eq!(world.kcat(&["-P", "-t", &topic], "one\ntwo\nthree\n").stderr, "");
        let members = ["-e", "-G", &group, "-X", "auto.offset.reset=earliest", &topic];
        assert_eq!(world.kcat(&members, "").stdout.lines().count(), 3);
        assert!(world.requests().is_empty(), "a member's own commits are held by nobody: {:?}", world.requests());
        let java = world.dev.java("tools");
        let reset = ["--reset-offsets", "--group", &group, "--topic", &topic, "--to-earliest", "--execute"];
        let refused = java.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &reset, b"");
        let words =
            refused.map_or_else(|failed| failed.to_string(), |output| format!("{}{}", output.stdout, output.stderr));
        let id = world.pending(&format!("reset offsets {topic}, {group}"));
        assert!(words.contains("TopicAuthorizationException"), "{words}");
        world.says(&world.ann, &["approve", &id]);
        java.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &reset, b"").unwrap();
        assert_eq!(world.kcat(&members, "").stdout.lines().count(), 3, "read once more, from the beginning");
    }
}

#[test]
fn records_that_nobody_awaits_an_answer_for_end_the_connection() {
    let world = World::with("epoll", RULES);
    make("prod.unanswered");
    let mut connection = world.connection(&world.dev);
    let records = Batch::counting(1).bytes();
    let request = loadtest::admin::produce_request("prod.unanswered", uuid::Uuid::nil(), 9, 0, 0, records);
    connection.send(9, &request).unwrap();
    assert!(connection.closes_within(SOON).unwrap());
}

#[test]
fn records_wait_and_then_go_on_as_long_as_the_grant() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.written-{runtime}");
        make(&topic);
        let loud = world.dev.kcat_command(&["-P", "-t", &topic]);
        let failed = process::run_any("kcat", &loud, b"one\n", KCAT_LIMIT).unwrap().1;
        assert!(failed.stderr.contains("Delivery failed"), "{}", failed.stderr);
        let id = world.pending(&format!("produce {topic}"));
        world.says(&world.ann, &["approve", &id]);
        assert_eq!(world.kcat(&["-P", "-t", &topic], "two\n").stderr, "");
        assert_eq!(world.kcat(&["-P", "-t", &topic], "three\n").stderr, "", "one use opens a time");
        let read = world.kcat(&["-C", "-e", "-o", "beginning", "-t", &topic], "");
        assert_eq!(read.stdout, "two\nthree\n");
    }
}

#[test]
fn more_than_a_stated_volume_is_held_and_less_is_not() {
    let rules = READING.replace("from: earliest", "over: 8KiB, within: 1h");
    let world = World::with("epoll", &rules);
    make("pay.bulk");
    let record = "x".repeat(3_000);
    assert_eq!(world.kcat(&["-P", "-t", "pay.bulk"], &format!("{record}\n{record}\n")).stderr, "");
    let read = || world.kcat(&["-C", "-c", "2", "-o", "beginning", "-t", "pay.bulk"], "");
    assert_eq!(read().stdout.lines().count(), 2);
    assert!(world.requests().is_empty(), "6000 bytes are less");
    assert_eq!(read().stdout.lines().count(), 2, "what goes beyond it is what is read next");
    thread::scope(|scope| {
        let more = scope.spawn(read);
        world.says(&world.ann, &["approve", &world.pending("fetch pay.bulk")]);
        assert_eq!(more.join().unwrap().stdout.lines().count(), 2);
    });
    assert_eq!(world.requests().len(), 1);
}
