//! The recording says what happened, exactly: who, which API in which version, which topics by name, which offsets, how
//! many records and bytes, with what outcome, and how long it took.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, GroupId, MetadataRequest, OffsetCommitRequest, ProduceRequest,
};
use kafka_protocol::protocol::Request;
use loadtest::admin::{self, Coordinates, placed, text, topic};
use loadtest::batch::Batch;
use loadtest::kafka::Cluster;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options, Token};
use loadtest::wire::{self, Connection};
use serde_json::{Value, json};
use uuid::Uuid;

/// A client that keeps books of its own: what it sent, what it got, how long it waited.
struct Bookkeeper {
    connection: Connection,
    client_id: String,
    books: Vec<Entry>,
}

struct Entry {
    api_key: i16,
    version: i16,
    sent: usize,
    received: usize,
    took: Duration,
    /// What the recording has to say of the request's and the response's items.
    asked: Value,
    answered: Value,
    outcome: &'static str,
}

impl Bookkeeper {
    fn login(gateway: &Gateway, node: i32, token: &Token) -> Self {
        let client_id = format!("books-{}-{node}", token.subject);
        let door = gateway.broker_address(node).unwrap();
        let mut connection = Connection::open(door).unwrap().with_client_id(&client_id);
        assert_eq!(connection.login_plain(&token.subject, &token.token).unwrap().error_code, 0);
        Self { connection, client_id, books: Vec::new() }
    }

    /// Sends, waits for the answer, and notes what the recording has to say about it.
    fn call<R: Request>(&mut self, version: i16, request: &R, asked: Value, answered: Value) -> R::Response {
        let id = 100 + self.books.len() as i32;
        let frame = wire::encode(&self.client_id, id, version, request).unwrap();
        let begun = Instant::now();
        self.connection.send_bytes(&frame).unwrap();
        let answer = self.connection.receive_frame().unwrap().expect("an answer");
        let (took, received) = (begun.elapsed(), answer.len() + 4);
        let (_, response) = wire::decode::<R>(version, answer).unwrap();
        let outcome = "answered";
        let entry = Entry { api_key: R::KEY, version, sent: frame.len(), received, took, asked, answered, outcome };
        self.books.push(entry);
        response
    }

    /// Sends what is never answered.
    fn tell(&mut self, version: i16, request: &ProduceRequest, asked: Value) {
        let frame = wire::encode(&self.client_id, 100 + self.books.len() as i32, version, request).unwrap();
        self.connection.send_bytes(&frame).unwrap();
        let (sent, took) = (frame.len(), Duration::MAX);
        let (answered, outcome) = (json!([]), "no_answer");
        self.books.push(Entry { api_key: 0, version, sent, received: 0, took, asked, answered, outcome });
    }
}

#[test]
fn an_exchange_is_recorded_as_it_was() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway =
            common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]));
        let token = gateway.token(&format!("clerk-{runtime}"), "bookkeeping").unwrap();
        let mut clerk = Bookkeeper::login(&gateway, 1, &token);
        lives_a_topics_life(cluster, &mut clerk, &format!("ledger-{runtime}"));

        let told = told(&gateway, &token.subject, clerk.books.len());
        for (entry, told) in clerk.books.iter().zip(&told) {
            is_told(entry, told);
        }
    }
}

#[test]
fn offsets_and_errors_are_recorded_with_their_group_and_partition() {
    const OFFSET_OUT_OF_RANGE: i16 = 1;
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let gateway =
            common::gateway_before(cluster, Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]));
        let token = gateway.token(&format!("member-{runtime}"), "readers").unwrap();
        let (name, group) = (format!("offsets-{runtime}"), format!("group-{runtime}"));
        admin::create_topic(cluster, &name, &[1]).unwrap();
        let coordinator = admin::coordinator(cluster, Coordinates::Group, &group).unwrap();
        let mut member = Bookkeeper::login(&gateway, coordinator, &token);
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(41);
        let commit = OffsetCommitRequestTopic::default().with_name(topic(&name)).with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![commit]);
        let asked = json!([item("group", &group, None), item_at(&name, 0, 41)]);
        member.call(8, &commit, asked, json!([item("topic", &name, Some(0))]));
        let told_commit = told(&gateway, &token.subject, 1);
        is_told(&member.books[0], &told_commit[0]);

        let token = gateway.token(&format!("stranger-{runtime}"), "readers").unwrap();
        let mut stranger = Bookkeeper::login(&gateway, 1, &token);
        let mut beyond = admin::fetch_request(&name, Uuid::nil(), 12, &[0], 1 << 20);
        beyond.topics[0].partitions[0].fetch_offset = 1_000;
        let asked = json!([item_at(&name, 0, 1_000)]);
        stranger.call(12, &beyond, asked, json!([failed(&name, 0, OFFSET_OUT_OF_RANGE)]));
        let nowhere = admin::fetch_request("nowhere", Uuid::nil(), 12, &[7], 1 << 20);
        let asked = json!([item_at("nowhere", 7, 0)]);
        stranger.call(12, &nowhere, asked, json!([failed("nowhere", 7, UNKNOWN_TOPIC_OR_PARTITION)]));
        for (entry, told) in stranger.books.iter().zip(told(&gateway, &token.subject, 2)) {
            is_told(entry, &told);
        }
    }
}

#[test]
fn sessions_are_found_by_who_what_and_when() {
    let cluster = common::cluster();
    let gateway = common::gateway_before(cluster, Options::new(cluster.bootstrap()).auth(&["weir_token"]));
    let mut moments = vec![now()];
    for subject in ["ann", "bob"] {
        let name = format!("of-{subject}");
        admin::create_topic(cluster, &name, &[1]).unwrap();
        let token = gateway.token(subject, "people").unwrap();
        let mut client = Bookkeeper::login(&gateway, 1, &token);
        let request = admin::produce_request(&name, Uuid::nil(), 9, 0, -1, Batch::counting(1).bytes());
        client.connection.call(9, &request).unwrap();
        drop(client);
        told(&gateway, subject, 1);
        std::thread::sleep(Duration::from_millis(1_100));
        moments.push(now());
    }
    let found = |filter: &[&str]| {
        let sessions = gateway.weir_json(&[&["sessions"], filter].concat()).unwrap();
        let mut subjects: Vec<String> =
            sessions.iter().map(|s| s["identity"]["subject"].as_str().unwrap_or_default().to_owned()).collect();
        // Connections that came and went without a login, as those that waited for the doors.
        subjects.retain(|subject| subject != "unidentified");
        subjects.sort();
        subjects.join(" ")
    };
    let between = &moments[1];
    assert_eq!(found(&[]), "ann bob");
    assert_eq!(found(&["--identity", "ann"]), "ann");
    assert_eq!(found(&["--identity", "eve"]), "");
    assert_eq!(found(&["--topic", "of-bob"]), "bob");
    assert_eq!(found(&["--topic", "of-bob", "--identity", "ann"]), "");
    assert_eq!(found(&["--since", between]), "bob");
    assert_eq!(found(&["--until", between]), "ann");
    assert_eq!(found(&["--since", &moments[0], "--until", between]), "ann");
    assert_eq!(found(&["--since", &moments[2]]), "");
    assert_eq!(found(&["--topic", "of-ann", "--since", between]), "");
}

/// From creation to deletion, through produce with every kind of acks and fetch by name and by id.
fn lives_a_topics_life(cluster: &Cluster, clerk: &mut Bookkeeper, name: &str) {
    let create = CreateTopicsRequest::default().with_topics(vec![placed(name, &[&[1], &[1]])]).with_timeout_ms(20_000);
    let plain = json!([item("topic", name, None)]);
    let placed = json!([item("topic", name, Some(0)), item("topic", name, Some(1))]);
    let created = clerk.call(7, &create, placed, plain.clone());
    assert_eq!(created.topics[0].error_code, 0);
    admin::await_topic(cluster, name, &[1, 1]).unwrap();
    let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
    let asked = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    let metadata = clerk.call(12, &asked, plain.clone(), plain.clone());
    assert_eq!(metadata.topics[0].error_code, 0);
    let id = metadata.topics[0].topic_id;

    // (version, acks, partition, records, base offset)
    for (version, acks, partition, records, base) in
        [(9, -1, 0, 5, 0), (13, 1, 1, 3, 0), (3, -1, 0, 2, 5), (13, -1, 1, 4, 3), (7, 1, 0, 1, 7)]
    {
        let batch = Batch::counting(records).codec("gzip").bytes();
        let mut written = item("topic", name, Some(partition));
        written["records"] = json!(records);
        written["bytes"] = json!(batch.len());
        let request = admin::produce_request(name, id, version, partition, acks, batch);
        clerk.call(version, &request, json!([written]), json!([item_at(name, partition, base)]));
    }
    let batch = Batch::counting(6).bytes();
    let mut written = item("topic", name, Some(0));
    (written["records"], written["bytes"]) = (json!(6), json!(batch.len()));
    clerk.tell(9, &admin::produce_request(name, id, 9, 0, 0, batch), json!([written]));

    for version in [4, 12, 13, 18] {
        let request = admin::fetch_request(name, id, version, &[0, 1], 1 << 20);
        let sizes = [8 + 6, 3 + 4].map(|records| json!(records));
        let read = |(partition, records): (i32, &Value)| {
            let mut read = item_at(name, partition, 0);
            read["records"] = records.clone();
            read
        };
        let read: Vec<Value> = (0..).zip(&sizes).map(read).collect();
        clerk.call(version, &request, json!([item_at(name, 0, 0), item_at(name, 1, 0)]), json!(read));
    }
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic(name)]).with_timeout_ms(20_000);
    clerk.call(5, &delete, plain.clone(), plain);
}

fn item(resource: &str, name: &str, partition: Option<i32>) -> Value {
    let mut item = json!({ "resource": resource, "name": name, "error_code": 0 });
    if let Some(partition) = partition {
        item["partition"] = json!(partition);
    }
    item
}

fn item_at(name: &str, partition: i32, offset: i64) -> Value {
    let mut item = item("topic", name, Some(partition));
    item["offset"] = json!(offset);
    item
}

fn failed(name: &str, partition: i32, error_code: i16) -> Value {
    let mut item = item("topic", name, Some(partition));
    item["error_code"] = json!(error_code);
    item
}

/// The recording of one exchange against the client's own books.
fn is_told(entry: &Entry, told: &Value) {
    let (request, response) = (&told["request"], &told["response"]);
    let at = format!("API {} v{}: {told:#}", entry.api_key, entry.version);
    assert_eq!(request["api_key"], entry.api_key, "{at}");
    assert_eq!(request["api_version"], entry.version, "{at}");
    assert_eq!(request["bytes"], entry.sent, "{at}");
    assert_eq!(response["outcome"], entry.outcome, "{at}");
    assert_eq!(response["error_code"], 0, "{at}");
    items_are(&request["items"], &entry.asked, &at);
    items_are(&response["items"], &entry.answered, &at);
    // What Weir rewrites is counted as it came from the broker, where an address may be longer or shorter.
    let received = response["bytes"].as_u64().unwrap();
    assert!(received.abs_diff(entry.received as u64) <= 8, "{} bytes received, {at}", entry.received);
    let parts = ["client_ns", "weir_ns", "broker_ns"].map(|part| response["latency"][part].as_u64().expect(part));
    let total = Duration::from_nanos(parts.iter().sum());
    assert!(total <= entry.took, "{total:?} of {:?}, {at}", entry.took);
    assert!(parts[2] > 0 || entry.outcome == "no_answer", "{at}");
}

/// Every key that is expected, with its value; record bytes are checked where they are.
fn items_are(told: &Value, expected: &Value, at: &str) {
    let (told, expected) = (told.as_array().expect("items"), expected.as_array().expect("items"));
    assert_eq!(told.len(), expected.len(), "items, {at}");
    for (told, expected) in told.iter().zip(expected) {
        for (key, value) in expected.as_object().expect("an item") {
            assert_eq!(&told[key], value, "{key}, {at}");
        }
    }
}

/// The exchanges of the identity's sessions after its login, once there are as many as expected.
fn told(gateway: &Gateway, subject: &str, expected: usize) -> Vec<Value> {
    let mut told = Vec::new();
    let waited = wait_for("the exchanges in the recording", Duration::from_secs(10), || {
        told.clear();
        for session in gateway.weir_json(&["sessions", "--identity", subject])? {
            let shown = gateway.weir_json(&["show", session["id"].as_str().unwrap_or_default()])?;
            told.extend(shown.into_iter().filter(|event| {
                event["event"] == "exchange" && !matches!(event["request"]["api_key"].as_i64(), Some(17 | 18 | 36))
            }));
        }
        // An exchange that waits for its answer is shown as of unknown outcome until that is in the store as well.
        let settled = told.iter().all(|event| event["response"]["outcome"] != "unknown");
        Ok((settled && told.len() >= expected).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{subject}: {e}: {told:#?}"));
    assert_eq!(told.len(), expected, "{subject}: {told:#?}");
    told
}

/// As RFC 3339, in UTC.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    jiff::Timestamp::from_nanosecond(i128::try_from(now.as_nanos()).unwrap()).unwrap().to_string()
}
