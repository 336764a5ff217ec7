//! What the configuration promises of the recording holds: nothing is lost unsaid when it cannot keep up, an answer comes
//! after what it promises is on the disk, a sample is a share within its budget.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "record_and_replay/recording.rs"]
mod recording;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::{ApiKey, CreateTopicsRequest};
use loadtest::admin::{self, placed};
use loadtest::batch::Batch;
use loadtest::clients::Record;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use uuid::Uuid;
use weir::event::piece::Way;
use weir::event::{EventKind, RequestPart};

use recording::{Recording, Session};

const FULL: &str = "recording: [{ mode: full }]\n";

/// Connections that produce at the same time, each so many batches.
const PRODUCERS: usize = 4;
const BATCHES: usize = 12;

fn batch(value_bytes: usize) -> Vec<u8> {
    // Different everywhere, so that nothing compresses it away.
    let mut dice = 7u64;
    let mut letter = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (dice >> 33) as u8 % 90)
    };
    let value = (0..value_bytes).map(|_| letter()).collect();
    Batch::of(vec![Record { key: None, value: Some(value), headers: Vec::new() }]).bytes()
}

/// Every producer sends its batches one after the other, and gets an answer to each.
fn produce(gateway: &Gateway, topic: &str, client_id: &str, value_bytes: usize) {
    let door = gateway.broker_address(1).unwrap();
    let request = admin::produce_request(topic, Uuid::nil(), 9, 0, 1, batch(value_bytes));
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                let mut client = Connection::open(door).unwrap().with_client_id(client_id);
                for _ in 0..BATCHES {
                    let answer = client.call(9, &request).unwrap();
                    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
                }
            });
        }
    });
}

/// Produce requests that the session's events tell of.
fn produced(session: &Session) -> usize {
    let is_produce = |request: &RequestPart| request.api_key == ApiKey::Produce as i16;
    let told = session.events.iter().filter(|event| match event {
        EventKind::Noted { request, .. } => is_produce(request),
        EventKind::Exchange { request: Some(request), .. } => is_produce(request),
        _ => false,
    });
    told.count()
}

/// Exchanges of which both frames are there to the last byte.
fn complete(session: &Session) -> usize {
    let mut frames: BTreeMap<_, usize> = BTreeMap::new();
    for connection in &session.connections {
        for frame in connection.frames.iter().filter(|frame| frame.is_whole() && frame.lost.is_empty()) {
            *frames.entry((connection.key, frame.ordinal)).or_default() += 1;
        }
    }
    frames.values().filter(|ways| **ways == 2).count()
}

fn not_captured(session: &Session) -> u64 {
    let told = |event: &EventKind| if let EventKind::NotCaptured { events } = event { *events } else { 0 };
    session.events.iter().map(told).sum()
}

#[test]
fn frames_for_which_there_is_no_room_wait_or_are_left_out_and_counted() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        for policy in ["block", "metadata"] {
            let topic = format!("overload-{policy}-{runtime}");
            admin::create_topic(cluster, &topic, &[1]).unwrap();
            let options = Options::new(cluster.bootstrap()).runtime(runtime).policy(FULL);
            let overload = format!("on_overload: {policy}");
            let mut gateway = common::gateway_before(cluster, options.store(&["journal: 1MiB", &overload]));
            produce(&gateway, &topic, "flood", 900_000);
            let told = "weir_recorder_not_captured_total";
            let settled = wait_for("the recording to be told", Duration::from_secs(20), || {
                let shown = gateway.weir_json(&["sessions", "--identity", "anonymous"])?;
                let exchanges = shown.first().and_then(|session| session["exchanges"].as_u64());
                let counted = gateway.metrics()?.sum(told, &[]).unwrap_or(0.0) as u64;
                let done = exchanges == Some((PRODUCERS * BATCHES) as u64);
                Ok(done.then(|| (counted, shown[0].clone())))
            });
            let (counted, shown) = settled.unwrap();
            let events = gateway.weir_json(&["show", shown["id"].as_str().unwrap()]).unwrap();
            gateway.stop().unwrap();

            let session = Recording::open(&gateway.store_path()).sessions_of("anonymous").remove(0);
            let at = format!("{policy} on {runtime}");
            assert_eq!(produced(&session), PRODUCERS * BATCHES, "{at}: every exchange is told of");
            let lost = (PRODUCERS * BATCHES - complete(&session)) as u64;
            assert_eq!(lost > 0, policy == "metadata", "{at}: {lost} exchanges without all of their frames");
            assert_eq!(not_captured(&session), lost, "{at}: events");
            assert_eq!(session.summary.not_captured, lost, "{at}: the session");
            assert_eq!(shown["not_captured"], lost, "{at}: weir sessions");
            assert_eq!(counted, lost, "{at}: {told}");
            let of_show = events.iter().filter(|event| event["event"] == "not_captured");
            let of_show: u64 = of_show.filter_map(|event| event["events"].as_u64()).sum();
            assert_eq!(of_show, lost, "{at}: weir show");
        }
    }
}

#[test]
fn synced_means_on_the_disk_before_the_answer_and_waits_together() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let topic = format!("synced-{runtime}");
        admin::create_topic(cluster, &topic, &[1]).unwrap();
        let options = Options::new(cluster.bootstrap()).runtime(runtime).store(&["durability: synced"]);
        let mut gateway = common::gateway_before(cluster, options);
        let before = syncs(&gateway);
        produce(&gateway, &topic, "careful", 10);
        let (after, sent) = (syncs(&gateway), (PRODUCERS * BATCHES) as u64);
        gateway.kill9().unwrap();
        let synced = after - before;
        assert!(synced > 0, "{runtime}");
        // Each Produce waits twice: for its note, and for its end.
        assert!(synced < 2 * sent, "{runtime}: {synced} syncs for {sent} exchanges that waited side by side");
        let sessions = Recording::open(&gateway.store_path()).sessions_of("anonymous");
        let told: usize = sessions.iter().map(produced).sum();
        assert_eq!(told, PRODUCERS * BATCHES, "{runtime}: whatever was answered is told of");
    }
}

#[test]
fn a_risky_action_is_on_the_disk_before_it_is_forwarded_unless_relaxed() {
    let cluster = common::cluster();
    for (durability, risky) in [("flushed", true), ("relaxed", false)] {
        let topic = format!("risky-{durability}");
        admin::create_topic(cluster, &topic, &[1]).unwrap();
        let key = format!("durability: {durability}");
        let mut gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).store(&[&key]));
        produce(&gateway, &topic, "bold", 10);
        assert_eq!(syncs(&gateway), 0, "{durability}: a Produce waits for no disk");
        let mut client = Connection::open(gateway.broker_address(1).unwrap()).unwrap().with_client_id("bold");
        let name = format!("made-{durability}");
        let create = CreateTopicsRequest::default().with_topics(vec![placed(&name, &[&[1]])]).with_timeout_ms(20_000);
        assert_eq!(client.call(7, &create).unwrap().topics[0].error_code, 0);
        assert_eq!(syncs(&gateway) > 0, risky, "{durability}");
        drop(client);
        gateway.stop().unwrap();
        let sessions = Recording::open(&gateway.store_path()).sessions_of("anonymous");
        let exchanges: u64 = sessions.iter().map(|session| session.summary.exchanges).sum();
        assert_eq!(
            exchanges,
            (PRODUCERS * BATCHES + 1) as u64,
            "{durability}: nothing is lost while the process lives"
        );
    }
}

/// How often a journal was brought to the disk.
fn syncs(gateway: &Gateway) -> u64 {
    gateway.metrics().unwrap().sum("weir_journal_syncs_total", &[]).unwrap_or(0.0) as u64
}

#[test]
fn a_sample_keeps_a_share_of_the_frames_within_its_budget() {
    let cluster = common::cluster();
    admin::create_topic(cluster, "sampled", &[1]).unwrap();
    let kept = |rate: &str, budget: &str| {
        let policy =
            format!("recording: [{{ mode: metadata, sample: {{ rate: {rate}, max_bytes_per_second: {budget} }} }}]\n");
        let options = Options::new(cluster.bootstrap()).policy(&policy);
        let mut gateway = common::gateway_before(cluster, options);
        (0..3).for_each(|_| produce(&gateway, "sampled", "sampled", 1_000));
        gateway.stop().unwrap();
        let session = Recording::open(&gateway.store_path()).sessions_of("anonymous").remove(0);
        assert_eq!(produced(&session), 3 * PRODUCERS * BATCHES, "metadata is recorded of all");
        assert!(session.frames().filter(|frame| frame.way == Way::Request).all(|frame| frame.is_whole()));
        assert_eq!(not_captured(&session), session.summary.not_captured);
        (complete(&session), session.summary.not_captured)
    };
    let sent = 3 * PRODUCERS * BATCHES;
    let (half, lost) = kept("0.5", "100MiB");
    assert!(half > sent / 5 && half < sent * 4 / 5, "{half} of {sent}");
    assert_eq!(lost, 0);
    assert_eq!(kept("1", "100MiB"), (sent, 0));
    // A request takes more than a kilobyte; two shards share the budget.
    let (few, lost) = kept("1", "4KiB");
    assert!(few < sent && lost > 0, "{few} kept, {lost} lost");
    assert_eq!(few as u64 + lost, sent as u64, "each is kept or counted");
}
