//! Stock consumers whose reading is held: they wait, stay members of their group, and go on once somebody has said yes.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{
    DescribeGroupsRequest, FetchRequest, GroupId, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use loadtest::admin::{self, Coordinates};
use loadtest::batch::Batch;
use loadtest::clients::{Client, Scene, Script, Step};
use loadtest::wait_for;
use loadtest::wire::Connection;

use super::common::{self, RUNTIMES};
use super::world::{World, committed, coordinator, make};

const REPLAYS: &str = r#"approvals:
  - name: replays
    operations: [fetch]
    topics: ["pay.*"]
    when: { from: earliest }
    approvers: { group: sre }
    grant: { valid: 5m }
"#;

const FAMILIES: [Client; 6] = [
    Client::JavaConsole,
    Client::FranzGo,
    Client::Sarama,
    Client::KafkaPython,
    Client::KafkaJs,
    Client::ConfluentKafka,
];

/// In each of two partitions.
const RECORDS: usize = 5;

/// As long as the shortest session timeout that one of them has by default, and half as long again.
const HELD: Duration = Duration::from_secs(15);

/// All of them start at once on a machine that has other work.
const LATER: Duration = Duration::from_secs(60);

#[test]
fn consumers_of_every_family_wait_as_members_of_their_group_then_read_and_commit() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, REPLAYS);
        thread::scope(|scope| {
            for client in FAMILIES {
                let world = &world;
                scope.spawn(move || waits_reads_and_commits(world, client, runtime));
            }
        });
    }
}

/// Two members of a group, of which each has to read one partition.
fn waits_reads_and_commits(world: &World, client: Client, runtime: &str) {
    let name = format!("pay.{}-{runtime}", client.name());
    admin::create_topic(common::cluster(), &name, &[1, 2]).unwrap();
    for (partition, node) in [(0, 1), (1, 2)] {
        let leader = common::cluster().address(node).unwrap();
        admin::produce(leader, &name, partition, records().bytes()).unwrap();
    }
    let script = Script::from([("none", records().records)]);
    let target = world.dev.target(client.name());
    let steps = &[Step::Consume];
    let scene =
        Scene { target: &target, steps, topic: &name, partitions: 2, replication: 1, group: &name, script: &script };
    thread::scope(|scope| {
        let members = [(); 2].map(|()| scope.spawn(|| client.perform(&scene)));
        let before = wait_for(&format!("two members of {name}"), LATER, || Ok(stable(&name))).unwrap();
        let generations = [0, 1].map(|at| generation(&name, &before[at].0));
        let id = world.pending(&format!("fetch {name}"));
        thread::sleep(HELD);
        assert!(members.iter().all(|member| !member.is_finished()), "{name}: they wait");
        assert_eq!(stable(&name).as_ref(), Some(&before), "{name}: nobody has left or come");
        for (at, (member, _)) in before.iter().enumerate() {
            let told = beat(&mut coordinator(&name), &name, member, generations[at]);
            assert_eq!(told, 0, "{name}: the group is in the generation that it was in");
        }
        world.says(&world.ann, &["approve", &id]);
        for member in members {
            let played = member.join().unwrap().unwrap();
            assert_eq!(played.records(Step::Consume).unwrap().len(), RECORDS, "{name}");
        }
    });
    assert_eq!(committed(&name, &name), [RECORDS as i64; 2], "{name}");
    let asked = world.requests().iter().filter(|case| case["summary"] == format!("fetch {name}")).count();
    assert_eq!(asked, 1, "{name}: both ask for the same, again and again");
}

/// As of now: brokers would soon delete what is older than a week.
fn records() -> Batch {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Batch { timestamp_ms: i64::try_from(now).unwrap(), ..Batch::counting(RECORDS) }
}

/// The two members of a group with what they were given, once each has a partition.
fn stable(group: &str) -> Option<Vec<(String, Bytes)>> {
    let asked = DescribeGroupsRequest::default().with_groups(vec![GroupId(admin::text(group))]);
    let answer = coordinator(group).call(5, &asked).unwrap();
    let told = &answer.groups[0];
    let members = told.members.iter().map(|member| (member.member_id.to_string(), member.member_assignment.clone()));
    let mut members: Vec<(String, Bytes)> = members.collect();
    members.sort();
    // A version, then how many topics.
    let all_have_some = members.iter().all(|(_, given)| given.get(2..6).is_some_and(|topics| topics != [0; 4]));
    (&*told.group_state == "Stable" && members.len() == 2 && all_have_some).then_some(members)
}

/// A heartbeat in a member's name, and what the coordinator said of it.
fn beat(connection: &mut Connection, group: &str, member: &str, generation: i32) -> i16 {
    connection.call(4, &heartbeat(group, member, generation)).unwrap().error_code
}

fn heartbeat(group: &str, member: &str, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(GroupId(admin::text(group)))
        .with_member_id(admin::text(member))
        .with_generation_id(generation)
}

/// Which generation a group is in: coordinators tell it to nobody, but take no heartbeat for another.
fn generation(group: &str, member: &str) -> i32 {
    let mut connection = coordinator(group);
    (1..100).find(|generation| beat(&mut connection, group, member, *generation) == 0).unwrap()
}

const POSITIONS: &str = r#"approvals:
  - name: positions and replays
    operations: [reset_offsets, fetch]
    topics: ["pay.*"]
    approvers: { group: sre }
    hold: 25s
"#;

/// What many clients have by default, and none of those has less.
const SESSION: Duration = Duration::from_secs(10);

#[test]
fn a_request_that_is_held_before_a_heartbeat_of_its_connection_costs_no_membership() {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            scope.spawn(move || stays_a_member(runtime));
        }
    });
}

fn stays_a_member(runtime: &str) {
    let world = World::with(runtime, POSITIONS);
    let (topic, group) = (format!("pay.heartbeats-{runtime}"), format!("members-{runtime}"));
    make(&topic);
    let node = admin::coordinator(common::cluster(), Coordinates::Group, &group).unwrap();
    let mut connection = world.connection_to(&world.dev, node);
    let (member, generation) = join(&mut connection, &group, &topic);
    let heartbeat = heartbeat(&group, &member, generation);
    assert_eq!(connection.call(4, &heartbeat).unwrap().error_code, 0);

    // It says nothing of how long its client is ready to wait.
    let position = OffsetCommitRequestPartition::default().with_committed_offset(0);
    let position = OffsetCommitRequestTopic::default().with_name(admin::topic(&topic)).with_partitions(vec![position]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(admin::text(&group)))
        .with_member_id(admin::text(&member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![position]);
    let begun = Instant::now();
    let [committed, beaten] = [connection.send(7, &commit).unwrap(), connection.send(4, &heartbeat).unwrap()];
    let answer = connection.receive::<OffsetCommitRequest>(7, committed).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 29, "{runtime}: it was held");
    let answer = connection.receive::<HeartbeatRequest>(4, beaten).unwrap();
    assert_eq!(answer.error_code, 0, "{runtime}: it is a member yet");
    assert!(begun.elapsed() > Duration::from_secs(7) && begun.elapsed() < SESSION, "{runtime}: {:?}", begun.elapsed());

    // It says more than other work on the connection can wait for.
    let fetch = admin::fetch_request(&topic, uuid::Uuid::nil(), 12, &[0], 1 << 20).with_max_wait_ms(60_000);
    let begun = Instant::now();
    let [fetched, beaten] = [connection.send(12, &fetch).unwrap(), connection.send(4, &heartbeat).unwrap()];
    let answer = connection.receive::<FetchRequest>(12, fetched).unwrap();
    let partition = &answer.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.records.as_ref().map_or(0, Bytes::len)), (0, 0), "{runtime}");
    let nowhere = (partition.high_watermark, partition.last_stable_offset, partition.preferred_read_replica.0);
    assert_eq!(nowhere, (-1, -1, -1), "{runtime}: no end is reached, and no other broker has more");
    let answer = connection.receive::<HeartbeatRequest>(4, beaten).unwrap();
    assert_eq!(answer.error_code, 0, "{runtime}: it is a member yet");
    assert!(begun.elapsed() < Duration::from_secs(7), "{runtime}: {:?}", begun.elapsed());
}

/// Makes the connection's client the one member of a group, and gives its id and the generation.
fn join(connection: &mut Connection, group: &str, topic: &str) -> (String, i32) {
    let subscription = [&[0, 0, 0, 0, 0, 1, 0, topic.len() as u8][..], topic.as_bytes(), &[0xff; 4]].concat();
    let range =
        JoinGroupRequestProtocol::default().with_name(admin::text("range")).with_metadata(Bytes::from(subscription));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(admin::text(group)))
        .with_session_timeout_ms(SESSION.as_millis() as i32)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(admin::text("consumer"))
        .with_protocols(vec![range]);
    // The first answer says what to be called, the second lets in.
    let invited = connection.call(5, &request).unwrap().member_id;
    let joined = connection.call(5, &request.with_member_id(invited.clone())).unwrap();
    assert_eq!(joined.error_code, 0);
    let sync = SyncGroupRequest::default()
        .with_group_id(GroupId(admin::text(group)))
        .with_member_id(invited.clone())
        .with_generation_id(joined.generation_id);
    assert_eq!(connection.call(3, &sync).unwrap().error_code, 0);
    (invited.to_string(), joined.generation_id)
}
