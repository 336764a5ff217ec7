//! A broker that writes down every request it answers, gateways before it, and frames sent either way.
//!
//! One broker, so that it coordinates every group and leads every partition: its answers depend on the request alone.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsRequest, GroupId, InitProducerIdRequest, OffsetCommitRequest, ShareGroupHeartbeatRequest,
    TransactionalId, offset_commit_request,
};
use loadtest::admin::{self, text};
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{ANSWER_LIMIT, Connection};
use loadtest::{During, Failure, Result, wait_for};
use weir::wire::kafka::api::{Api, Class};

use super::case::tame;
use super::world::MEMBER;
use super::{common, reading};

/// What both sides' names begin with, and what stands for either.
const TAGS: [&str; 2] = ["side-a", "side-b"];
const EITHER: &str = "either";

/// What came of a frame, in bounded time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A frame, without its length.
    Answer(Bytes),
    /// The connection ended instead.
    Closed,
}

/// The gateways of one runtime in front of the broker.
pub struct Arena {
    pub runtime: &'static str,
    /// As configured by default.
    pub gateway: Gateway,
    /// With security changes allowed.
    pub open: Gateway,
}

/// The broker, with its coordinators at work.
pub fn broker() -> &'static Cluster {
    static BROKER: OnceLock<Cluster> = OnceLock::new();
    BROKER.get_or_init(|| {
        let properties = [
            "auto.create.topics.enable=false",
            "offsets.topic.num.partitions=1",
            "transaction.state.log.num.partitions=1",
            "share.coordinator.state.topic.num.partitions=1",
        ];
        let properties = properties.map(ToOwned::to_owned).to_vec();
        let options = kafka::Options { request_log: true, properties, ..kafka::Options::default() };
        let cluster = Cluster::start(1, options).unwrap();
        warm_up(&cluster).unwrap();
        cluster
    })
}

/// Its only address.
pub fn address() -> SocketAddr {
    broker().address(1).unwrap()
}

/// Waits for the coordinators of groups, transactions and share groups.
fn warm_up(cluster: &Cluster) -> Result<()> {
    let address = cluster.address(1)?;
    admin::create_topic(cluster, "known", &[1])?;
    let partition = offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = offset_commit_request::OffsetCommitRequestTopic::default().with_name(admin::topic("known"));
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("warm")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic.with_partitions(vec![partition])]);
    let initialise = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("warm"))))
        .with_transaction_timeout_ms(60_000);
    let share = ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("warm-share")))
        .with_member_id(text(MEMBER))
        .with_subscribed_topic_names(Some(vec![admin::topic("known")]));
    wait_for("the coordinators", Duration::from_secs(60), || {
        for (kind, key) in [
            (admin::Coordinates::Group, "warm"),
            (admin::Coordinates::Transaction, "warm"),
            (admin::Coordinates::Group, "warm-share"),
        ] {
            admin::coordinator(cluster, kind, key)?;
        }
        let mut connection = Connection::open(address)?;
        let committed = connection.call(8, &commit)?.topics[0].partitions[0].error_code;
        let initialised = connection.call(4, &initialise)?.error_code;
        let shared = connection.call(1, &share)?.error_code;
        Ok((committed == 0 && initialised == 0 && shared == 0).then_some(()))
    })
}

/// Names for one request, made twice: for the broker itself, and for the way through Weir.
pub struct Names(pub [String; 2]);

impl Arena {
    pub fn start(runtime: &'static str) -> Self {
        let options = Options::new(broker().bootstrap()).runtime(runtime);
        let mut allowing = options.clone();
        allowing.listener = vec!["allow_security_changes: true".to_owned()];
        let gateway = common::gateway_before(broker(), options);
        let open = common::gateway_before(broker(), allowing);
        Self { runtime, gateway, open }
    }

    /// The door for an API: changes of security have to be allowed to be compared.
    pub fn door(&self, row: &Api) -> SocketAddr {
        let gateway = if row.class == Class::Security { &self.open } else { &self.gateway };
        gateway.broker_address(1).unwrap()
    }

    /// Names that nobody else has, of one length on both sides. They serve as client ids, too.
    pub fn names(&self) -> Names {
        // One count for all arenas: they share the broker and its log.
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let nth = ASKED.fetch_add(1, Ordering::Relaxed);
        Names(TAGS.map(|tag| format!("{tag}-{}-{nth:06}", self.runtime)))
    }

    /// What the broker has answered on this runtime, either way: client id, API key and version.
    pub fn reached(&self) -> BTreeSet<(String, i64, i64)> {
        let last = self.names().0[1].clone();
        let mut connection = Connection::open(address()).unwrap().with_client_id(&last);
        connection.call(0, &ApiVersionsRequest::default()).unwrap();
        // Lines stand in the log in the order of answers: once this one is there, all are.
        wait_for("the last request in the broker's log", ANSWER_LIMIT, || {
            let all = self.logged()?;
            Ok(all.iter().any(|(client, _, _)| *client == last).then_some(all))
        })
        .unwrap()
    }

    fn logged(&self) -> Result<BTreeSet<(String, i64, i64)>> {
        let ours = TAGS.map(|tag| format!("{tag}-{}-", self.runtime));
        let lines = broker().request_log(1)?;
        let headers = lines.iter().map(|line| &line["requestHeader"]);
        let named = headers.filter_map(|header| {
            let client =
                header["clientId"].as_str().filter(|client| ours.iter().any(|side| client.starts_with(side)))?;
            Some((client.to_owned(), header["requestApiKey"].as_i64()?, header["requestApiVersion"].as_i64()?))
        });
        Ok(named.collect())
    }

    /// Both gateways are there, take new connections, and nothing in them has panicked.
    pub fn still_stands(&self) {
        for gateway in [&self.gateway, &self.open] {
            let log = gateway.log();
            assert!(!log.contains("panicked"), "{}: {log}", self.runtime);
            let answer = Connection::open(gateway.address()).unwrap().call(4, &versions_request()).unwrap();
            assert_eq!(answer.error_code, 0);
        }
    }
}

fn versions_request() -> ApiVersionsRequest {
    let name = text("weir-test");
    ApiVersionsRequest::default().with_client_software_name(name.clone()).with_client_software_version(name)
}

/// Sends a frame on a connection of its own and waits for what comes of it.
pub fn ask(door: SocketAddr, frame: &[u8]) -> Result<Outcome> {
    let doing = format!("ask {door}");
    let mut stream = TcpStream::connect_timeout(&door, ANSWER_LIMIT).during(&doing)?;
    stream.set_nodelay(true).during(&doing)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).during(&doing)?;
    // Who has seen enough may close while it is written to.
    if stream.write_all(frame).is_err() {
        return Ok(Outcome::Closed);
    }
    let mut length = [0; 4];
    if !arrives(&mut stream, &mut length)? {
        return Ok(Outcome::Closed);
    }
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).during(&doing)?];
    match arrives(&mut stream, &mut answer)? {
        true => Ok(Outcome::Answer(answer.into())),
        false => Err(Failure::new(format!("{doing}: closed within an answer"))),
    }
}

fn arrives(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool> {
    match stream.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Failure::new(format!("neither an answer nor a close in {} s", ANSWER_LIMIT.as_secs())))
        }
        Err(_) => Ok(false),
    }
}

/// What the cluster makes up or Weir has to change, by API; nothing else may differ.
fn differs(key: i16) -> &'static [&'static str] {
    use weir::wire::kafka::api::key::*;
    match key {
        METADATA | FIND_COORDINATOR | DESCRIBE_CLUSTER => &["throttle_time_ms", "host", "port", "controller_id"],
        FETCH => &["throttle_time_ms", "session_id"],
        JOIN_GROUP | CONSUMER_GROUP_HEARTBEAT => &["throttle_time_ms", "member_id"],
        GET_TELEMETRY_SUBSCRIPTIONS => &["throttle_time_ms", "client_instance_id"],
        INIT_PRODUCER_ID => &["throttle_time_ms", "producer_id"],
        DESCRIBE_LOG_DIRS => &["throttle_time_ms", "total_bytes", "usable_bytes", "partition_size"],
        DESCRIBE_QUORUM => {
            &["host", "port", "high_watermark", "log_end_offset", "last_fetch_timestamp", "last_caught_up_timestamp"]
        }
        _ => &["throttle_time_ms"],
    }
}

/// Whether two answers say the same, but for names and for what may differ.
pub fn same(key: i16, version: i16, answers: [&Bytes; 2]) -> std::result::Result<(), String> {
    let [direct, through_weir] = answers.map(neutral);
    if direct == through_weir {
        return Ok(());
    }
    let text = |answer: &[u8]| reading::read(key, version, answer).map(|text| in_order(key, tame(&text, differs(key))));
    match (text(&direct), text(&through_weir)) {
        (Ok(direct), Ok(through_weir)) if direct == through_weir => Ok(()),
        (direct, through_weir) => Err(format!("the answers differ:\n    {direct:?}\n    {through_weir:?}")),
    }
}

/// Sorted, where a broker answers in the order of a hash table of names: the sides' names are not the same.
fn in_order(key: i16, text: String) -> String {
    if key != weir::wire::kafka::api::key::ALTER_USER_SCRAM_CREDENTIALS {
        return text;
    }
    let mut structures: Vec<&str> = text.split('{').map(|part| part.trim_end_matches([' ', ',', ']', '}'])).collect();
    structures.sort_unstable();
    structures.join("{")
}

/// Whether an answer refuses: error codes stand in it, all that are not 0 are among `codes`, and one is there.
pub fn refuses(key: i16, version: i16, answer: &[u8], codes: &[i16]) -> std::result::Result<bool, String> {
    let said = reading::errors(key, version, answer).map_err(|e| format!("{e}: {answer:?}"))?;
    let mut said = said.into_iter().filter(|code| *code != 0).peekable();
    Ok(said.peek().is_some() && said.all(|code| codes.iter().any(|one| i64::from(*one) == code)))
}

/// With the sides' tags replaced by one for both, of the same length.
fn neutral(bytes: &Bytes) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        if TAGS.iter().any(|tag| bytes[at..].starts_with(tag.as_bytes())) {
            bytes[at..at + EITHER.len()].copy_from_slice(EITHER.as_bytes());
        }
    }
    bytes
}
