//! Fetch: sessions that go on from request to request (KIP-227), and followers that are read from (KIP-392).

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, MetadataRequest};
use loadtest::admin::{self, topic};
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use serde_json::json;

use super::producer::batch;
use super::programs::run;
use super::stage::{SETTLED, Side, Topic, cluster, create_topic, partition_of, sides, visible};

const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const INVALID_FETCH_SESSION_EPOCH: i16 = 71;

/// A request within a session: partitions that are new or moved on, and those to leave out from now on.
struct Step<'a> {
    version: i16,
    topic: &'a Topic,
    session: i32,
    epoch: i32,
    wanted: &'a [(i32, i64)],
    forgotten: &'a [i32],
}

impl Step<'_> {
    fn request(&self) -> FetchRequest {
        let by_id = self.version >= 13;
        let (name, id) = (topic(if by_id { "" } else { &self.topic.name }), self.topic.id);
        let partition = |(n, offset): &(i32, i64)| {
            FetchPartition::default().with_partition(*n).with_fetch_offset(*offset).with_partition_max_bytes(1 << 20)
        };
        let wanted = FetchTopic::default().with_partitions(self.wanted.iter().map(partition).collect());
        let forgotten = ForgottenTopic::default().with_partitions(self.forgotten.to_vec());
        let (wanted, forgotten) = match by_id {
            true => (wanted.with_topic_id(id), forgotten.with_topic_id(id)),
            false => (wanted.with_topic(name.clone()), forgotten.with_topic(name)),
        };
        let request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_max_bytes(1 << 20)
            .with_session_id(self.session)
            .with_session_epoch(self.epoch)
            .with_topics(if self.wanted.is_empty() { Vec::new() } else { vec![wanted] })
            .with_forgotten_topics_data(if self.forgotten.is_empty() { Vec::new() } else { vec![forgotten] });
        if self.version >= 15 { request } else { request.with_replica_id(BrokerId(-1)) }
    }
}

/// What an answer tells: partition and values.
fn told(answer: &FetchResponse) -> Vec<(i32, Vec<String>)> {
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.responses.iter().flat_map(|t| &t.partitions).map(|p| (p.partition_index, visible(p))).collect()
}

#[test]
fn a_fetch_session_tells_what_changed_only_and_forgets_what_it_was_told_to_forget() {
    let cluster = cluster();
    for side in sides() {
        for version in [7, 12, 13, 18] {
            let at = format!("{}, Fetch v{version}", side.runtime);
            let name = side.own(&format!("session-{version}"));
            let topic = create_topic(&cluster, &name, &[&[2], &[2]]);
            let step = |session, epoch, wanted, forgotten| {
                Step { version, topic: &topic, session, epoch, wanted, forgotten }.request()
            };
            let says = |partition: i32, value: &str| vec![(partition, vec![value.to_owned()])];
            let mut client = side.client(2).named(&name);
            // Who fetches by id has it from Metadata, and so has the gateway.
            client.call(12, &MetadataRequest::default().with_topics(None));
            let full = client.call(version, &step(0, 0, &[(0, 0), (1, 0)], &[]));
            let session = full.session_id;
            assert_ne!(session, 0, "{at}");
            assert_eq!(told(&full), [(0, vec![]), (1, vec![])], "{at}: a full one tells of every partition");
            assert_eq!(told(&client.call(version, &step(session, 1, &[], &[]))), [], "{at}: nothing has changed");
            write(&cluster, &topic, 1, "first");
            let news = client.call(version, &step(session, 2, &[], &[]));
            assert_eq!(told(&news), says(1, "first"), "{at}: what it was told once it need not be told again");
            assert_eq!(told(&client.call(version, &step(session, 3, &[(1, 1)], &[0]))), [], "{at}: moved on");
            write(&cluster, &topic, 0, "to nobody");
            write(&cluster, &topic, 1, "second");
            let news = client.call(version, &step(session, 4, &[], &[]));
            assert_eq!(told(&news), says(1, "second"), "{at}: partition 0 is forgotten");
            // The session is the broker's, not the connection's.
            let mut elsewhere = side.client(2).named(&name);
            let back = elsewhere.call(version, &step(session, 5, &[(0, 0), (1, 2)], &[]));
            assert_eq!(told(&back), says(0, "to nobody"), "{at}: on another connection");

            let error = |answer: FetchResponse| answer.error_code;
            let repeated = error(client.call(version, &step(session, 5, &[], &[])));
            assert_eq!(repeated, INVALID_FETCH_SESSION_EPOCH, "{at}");
            let unknown = error(client.call(version, &step(session ^ 0x55, 6, &[], &[])));
            assert_eq!(unknown, FETCH_SESSION_ID_NOT_FOUND, "{at}");
            // Closed, which is what an evicted one is as well: the client starts a new one.
            assert_eq!(client.call(version, &step(session, -1, &[(0, 0)], &[])).session_id, 0, "{at}");
            let closed = error(client.call(version, &step(session, 6, &[], &[])));
            assert_eq!(closed, FETCH_SESSION_ID_NOT_FOUND, "{at}");
            let anew = client.call(version, &step(0, 0, &[(0, 0)], &[]));
            assert!(anew.session_id != 0 && anew.session_id != session, "{at}");
            assert_eq!(told(&anew), says(0, "to nobody"), "{at}");
            recorded_by_name(&side, &topic);
        }
    }
}

/// What an incremental answer brought is recorded under the topic's name, though the request named none.
fn recorded_by_name(side: &Side, topic: &Topic) {
    let expected = [(1, 1), (1, 1), (0, 1), (0, 1), (0, 1)];
    let mut read = Vec::new();
    let waited = wait_for("the records in the recording", SETTLED, || {
        read = records_read(side, &topic.name)?;
        Ok((read == expected).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{}: {read:?}: {e}", topic.name));
}

/// Partition and number of records of each answer that brought any of this topic's, in the order of the events.
fn records_read(side: &Side, name: &str) -> loadtest::Result<Vec<(i64, u64)>> {
    let mut read = Vec::new();
    for session in side.gateway.weir_json(&["sessions", "--topic", name])? {
        for event in side.gateway.weir_json(&["show", session["id"].as_str().unwrap_or_default()])? {
            if event["event"] != "exchange" || event["request"]["api_key"] != 1 {
                continue;
            }
            let items = event["response"]["items"].as_array().cloned().unwrap_or_default();
            let of_topic = items.iter().filter(|item| item["name"] == name);
            read.extend(of_topic.filter_map(|item| Some((item["partition"].as_i64()?, item["records"].as_u64()?))));
        }
    }
    Ok(read.into_iter().filter(|(_, records)| *records > 0).collect())
}

fn write(cluster: &Cluster, topic: &Topic, partition: i32, value: &str) {
    admin::produce(cluster.address(2).unwrap(), &topic.name, partition, batch(&[value]).bytes()).unwrap();
}

#[test]
fn a_consumer_is_sent_to_the_replica_in_its_rack_and_finds_it_behind_weir() {
    let cluster = cluster();
    for side in sides() {
        let topic = create_topic(&cluster, &side.own("near"), &[&[2, 3]]);
        write(&cluster, &topic, 0, "near");
        for version in [11, 12, 13, 18] {
            let at = format!("{}, Fetch v{version}", side.runtime);
            let request = admin::fetch_request(&topic.name, topic.id, version, &[0], 1 << 20);
            let here = partition_of(side.client(2).call(version, &request.clone().with_rack_id(admin::text("rack-2"))));
            assert_eq!((here.preferred_read_replica.0, visible(&here)), (-1, vec!["near".to_owned()]), "{at}");
            let request = request.with_rack_id(admin::text("rack-3"));
            // The leader has to have heard of the follower's progress.
            let elsewhere = wait_for("a replica that is preferred", SETTLED, || {
                let elsewhere = partition_of(side.client(2).call(version, &request));
                Ok((elsewhere.preferred_read_replica.0 != -1).then_some(elsewhere))
            });
            let elsewhere = elsewhere.unwrap();
            assert_eq!((elsewhere.preferred_read_replica.0, visible(&elsewhere)), (3, vec![]), "{at}");
            let brokers = side.client(2).call(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).brokers;
            let near = brokers.iter().find(|broker| broker.node_id.0 == 3).unwrap();
            assert_eq!(near.rack.as_deref(), Some("rack-3"), "{at}");
            let door = format!("{}:{}", &*near.host, near.port);
            assert_eq!(door, side.gateway.broker_address(3).unwrap().to_string(), "{at}");
            // The follower has to have heard of what is committed.
            let read = wait_for("the record at the follower", SETTLED, || {
                let at_follower = partition_of(side.client(3).call(version, &request));
                assert_eq!(at_follower.error_code, 0, "{at}");
                Ok(Some(visible(&at_follower)).filter(|values| !values.is_empty()))
            });
            assert_eq!(read.unwrap(), ["near"], "{at}");
        }
    }
}

#[test]
fn a_stock_consumer_reads_from_the_follower_in_its_rack_through_weir() {
    const RECORDS: usize = 20;
    let cluster = cluster();
    for side in sides() {
        let topic = create_topic(&cluster, &side.own("nearest"), &[&[2, 3]]);
        let client_id = side.own("in-rack-3");
        let scene = json!({
            "bootstrap": side.gateway.bootstrap(), "topic": topic.name, "rack": "rack-3", "client_id": client_id,
            "records": RECORDS,
        });
        let values: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        admin::produce(cluster.address(2).unwrap(), &topic.name, 0, batch(&values).bytes()).unwrap();
        let (status, output) = run("nearest.py", &scene).unwrap();
        assert!(status.success(), "{}: {}", side.runtime, output.stderr);
        assert_eq!(output.stdout.lines().collect::<Vec<_>>(), values, "{}", side.runtime);
        let fetched = |node| {
            let log = cluster.request_log(node).unwrap();
            let of_it = log.iter().filter(|line| line["requestHeader"]["clientId"] == client_id.as_str());
            of_it.filter(|line| line["requestHeader"]["requestApiKey"] == 1).count()
        };
        wait_for("a Fetch in the follower's log", SETTLED, || Ok((fetched(3) > 0).then_some(()))).unwrap();
        wait_for("the records in the recording", SETTLED, || {
            let brought = records_read(&side, &topic.name)?;
            Ok((brought.iter().map(|(_, records)| records).sum::<u64>() >= RECORDS as u64).then_some(()))
        })
        .unwrap();
    }
}
