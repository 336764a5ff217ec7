//! What the tests share: a broker with every kind of listener, Weir's own view of it, and topics and groups whose numbers
//! are known.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteTopicsRequest, GroupId, MetadataRequest, OffsetCommitRequest,
};
use loadtest::admin::{self, Coordinates};
use loadtest::batch::Batch;
use loadtest::kafka::{self, BrokerTls};
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, replace};
use loadtest::wait_for;
use loadtest::wire::Connection;
use weir::tls::{ClientFiles, ClientTls};
use weir::upstream::{Answered, Cluster, ClusterOptions, CredentialOptions, Question, Watcher};

pub const SOON: Duration = Duration::from_secs(30);
pub const USER: &str = "weir";
pub const PASSWORD: &str = "planted-password-4be1";

/// One broker with every kind of listener; it goes with the process.
pub struct World {
    pub kafka: kafka::Cluster,
    /// The authority of the broker's certificate.
    pub ca: PathBuf,
    _dir: Scratch,
}

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let dir = Scratch::new("weir-inquiry-").unwrap();
        let (authority, ca) = (Authority::new("weir test").unwrap(), dir.path().join("ca.pem"));
        replace(&ca, &authority.pem()).unwrap();
        let broker = authority.issue(&[("CN", "broker")], &["localhost"], A_DAY).unwrap();
        let key_store = broker.write(dir.path(), "broker").unwrap().both;
        let options = kafka::Options {
            users: vec![(USER.to_owned(), PASSWORD.to_owned())],
            mechanisms: vec!["PLAIN", "SCRAM-SHA-512"],
            tls: Some(BrokerTls { key_store, trust_store: ca.clone() }),
            request_log: true,
            ..Default::default()
        };
        World { kafka: kafka::Cluster::start(1, options).unwrap(), ca, _dir: dir }
    })
}

/// Weir's side of a cluster, which it keeps looking at.
pub struct Weir {
    pub cluster: Arc<Cluster>,
    _watcher: Watcher,
}

/// Looks at the cluster behind these addresses until it is known.
pub fn weir(bootstrap: &str, tls: Option<ClientFiles>, credential: Option<CredentialOptions>) -> Weir {
    let options = ClusterOptions {
        name: "main".to_owned(),
        bootstrap: bootstrap.split(',').map(ToOwned::to_owned).collect(),
        tls: tls.map(|files| Arc::new(ClientTls::open("main", files).unwrap())),
        credential,
        refresh: Duration::from_secs(5),
    };
    let (watcher, clusters) = Watcher::start(vec![options]).unwrap();
    let cluster = clusters.into_iter().next().unwrap();
    let known = || Ok(cluster.is_reachable().then_some(()));
    wait_for("the cluster to be known", SOON, known).unwrap();
    Weir { cluster, _watcher: watcher }
}

/// The one before [`world`], in plaintext.
pub fn plain() -> &'static Weir {
    static WEIR: OnceLock<Weir> = OnceLock::new();
    WEIR.get_or_init(|| weir(&world().kafka.bootstrap(), None, None))
}

/// Asks from a thread without any runtime, as a shard's executor has none of tokio's.
pub fn ask(weir: &Weir, questions: Vec<Question>) -> Vec<Answered> {
    let answered = futures_lite::future::block_on(weir.cluster.ask(questions.clone()));
    assert_eq!(answered.iter().map(|(question, _)| question.clone()).collect::<Vec<_>>(), questions);
    answered.into_iter().map(|(_, answered)| answered).collect()
}

pub fn exists(topic: &str) -> Question {
    Question::TopicExists(topic.to_owned())
}

pub fn log_start(topic: &str, partition: i32) -> Question {
    Question::LogStart { topic: topic.to_owned(), partition }
}

pub fn committed(group: &str, topic: &str, partition: i32) -> Question {
    Question::Committed { group: group.to_owned(), topic: topic.to_owned(), partition }
}

/// A topic of one replica whose partition `n` lives on broker `leaders[n]` and has `records[n]` records.
pub fn topic(kafka: &kafka::Cluster, name: &str, leaders: &[i32], records: &[usize]) {
    admin::create_topic(kafka, name, leaders).unwrap();
    for (partition, (node, count)) in (0..).zip(leaders.iter().zip(records)) {
        if *count > 0 {
            admin::produce(kafka.address(*node).unwrap(), name, partition, Batch::counting(*count).bytes()).unwrap();
        }
    }
}

/// Removes a partition's records below an offset.
pub fn delete_records(kafka: &kafka::Cluster, leader: i32, topic: &str, partition: i32, below: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(below);
    let topic = DeleteRecordsTopic::default().with_name(admin::topic(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000);
    let answer = Connection::open(kafka.address(leader).unwrap()).unwrap().call(2, &request).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// Commits positions of a group that has no members: by partition, in order.
pub fn commit(kafka: &kafka::Cluster, group: &str, topic: &str, offsets: &[i64]) {
    let coordinator = admin::coordinator(kafka, Coordinates::Group, group).unwrap();
    let partition = |(index, offset): (i32, &i64)| {
        OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(*offset)
    };
    let partitions = (0..).zip(offsets).map(partition).collect();
    let topic = OffsetCommitRequestTopic::default().with_name(admin::topic(topic)).with_partitions(partitions);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(admin::text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    wait_for(&format!("{group} to commit"), SOON, || {
        let answer = Connection::open(kafka.address(coordinator)?)?.call(8, &request)?;
        Ok(answer.topics[0].partitions.iter().all(|p| p.error_code == 0).then_some(()))
    })
    .unwrap();
}

/// The names of all topics.
pub fn topics(kafka: &kafka::Cluster) -> Vec<String> {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let answer = Connection::open(kafka.address(1).unwrap()).unwrap().call(12, &request).unwrap();
    let mut names: Vec<String> = answer.topics.iter().filter_map(|t| Some(t.name.as_ref()?.to_string())).collect();
    names.sort();
    names
}

pub fn delete_topic(kafka: &kafka::Cluster, name: &str) {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![admin::topic(name)]).with_timeout_ms(20_000);
    let answer = Connection::open(kafka.address(1).unwrap()).unwrap().call(5, &request).unwrap();
    assert_eq!(answer.responses[0].error_code, 0);
}
