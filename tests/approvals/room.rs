//! What waits takes room, of which there is an end.

use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::clients::Record;

use super::common::RUNTIMES;
use super::world::{POLICY_VIOLATION, RULES, World, make};

const HOLD: Duration = Duration::from_secs(6);

/// Four have room on a shard, and no fifth.
const BYTES: usize = 7 << 20;

fn produce(topic: &str, bytes: usize) -> ProduceRequest {
    let record = Record { key: None, value: Some("x".repeat(bytes)), headers: Vec::new() };
    admin::produce_request(topic, uuid::Uuid::nil(), 9, 0, -1, Batch::of(vec![record]).bytes())
}

/// What is told of records that are held, and after how long.
fn told(world: &World, topic: &str, bytes: usize) -> (i16, String, Duration) {
    let mut connection = world.connection(&world.dev);
    let request = produce(topic, bytes);
    let begun = Instant::now();
    let answer = connection.call(9, &request).unwrap_or_else(|e| panic!("{e}: {}", world.gateway.log()));
    let one = &answer.responses[0].partition_responses[0];
    let words = one.error_message.as_ref().map(ToString::to_string).unwrap_or_default();
    (one.error_code, words, begun.elapsed())
}

#[test]
fn what_finds_no_room_to_wait_is_refused_while_others_are_served_and_room_comes_back() {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || fills_the_room(runtime));
        }
    });
}

fn fills_the_room(runtime: &str) {
    let rules = RULES.replace("hold: 3s", "hold: 6s");
    let world = World::of(runtime, &rules, |options| options.top.push("shards: 1".to_owned()));
    let topic = format!("prod.room-{runtime}");
    make(&topic);
    let full = thread::scope(|scope| {
        let all = [(); 5].map(|()| scope.spawn(|| told(&world, &topic, BYTES)));
        world.pending(&format!("produce {topic}"));
        let begun = Instant::now();
        while begun.elapsed() < HOLD / 2 {
            let asked = Instant::now();
            let mut other = world.connection(&world.bob);
            other.call(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
            assert!(asked.elapsed() < Duration::from_secs(2), "{runtime}: {:?}", asked.elapsed());
        }
        all.map(|one| one.join().unwrap())
    });
    let (refused, held): (Vec<_>, Vec<_>) = full.iter().partition(|(_, words, _)| words.contains("too many requests"));
    assert_eq!((refused.len(), held.len()), (1, 4), "{runtime}: {full:?}");
    assert!(full.iter().all(|(code, ..)| *code == POLICY_VIOLATION), "{runtime}: {full:?}");
    assert!(refused[0].2 < HOLD && held.iter().all(|(_, _, after)| *after >= HOLD), "{runtime}: {full:?}");
    let (code, words, after) = told(&world, &topic, BYTES);
    assert!(code == POLICY_VIOLATION && words.contains("needs approval") && after >= HOLD, "{runtime}: {words}");
}
