//! What the tests of this binary share: the cluster, a gateway on either runtime, clients whose every answer is searched
//! for brokers' addresses, and what the brokers themselves say is stored.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    FetchResponse, FindCoordinatorRequest, IncrementalAlterConfigsRequest, MetadataRequest,
};
use kafka_protocol::protocol::Request;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use loadtest::admin::{self, Coordinates, text};
use loadtest::exposure;
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{self, Connection};
use loadtest::{Failure, Result, wait_for};
use uuid::Uuid;

use super::common;

/// How long brokers may take for what they do by and by: markers, rebalances, elections.
pub const SETTLED: Duration = Duration::from_secs(30);

/// Coordinators survive a broker, leaders move only where a test moves them, followers may be read from, and what Kafka
/// looks at now and then it looks at often.
const PROPERTIES: [&str; 15] = [
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "transaction.state.log.min.isr=2",
    "share.coordinator.state.topic.replication.factor=3",
    "share.coordinator.state.topic.min.isr=2",
    "auto.leader.rebalance.enable=false",
    "broker.heartbeat.interval.ms=500",
    "broker.session.timeout.ms=4000",
    "broker.rack=rack-{node}",
    "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    "group.consumer.min.heartbeat.interval.ms=100",
    "group.consumer.heartbeat.interval.ms=200",
    "group.consumer.min.session.timeout.ms=1000",
    "group.consumer.regex.refresh.interval.ms=10000",
];

/// The cluster with its gateways; both stay for the whole binary.
pub struct Stage {
    cluster: RwLock<Cluster>,
    gateways: [Gateway; 2],
    ports: BTreeSet<u16>,
}

/// The stage as one runtime's clients see it.
#[derive(Clone, Copy)]
pub struct Side {
    pub runtime: &'static str,
    pub gateway: &'static Gateway,
    pub ports: &'static BTreeSet<u16>,
}

/// A topic, its id and who leads its partitions.
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    pub leaders: Vec<i32>,
}

pub fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let properties = PROPERTIES.map(str::to_owned).to_vec();
        let cluster =
            Cluster::start(3, kafka::Options { properties, request_log: true, ..Default::default() }).unwrap();
        let gateways = common::RUNTIMES
            .map(|runtime| common::gateway_before(&cluster, Options::new(cluster.bootstrap()).runtime(runtime)));
        Stage { ports: exposure::ports(&cluster).unwrap(), cluster: RwLock::new(cluster), gateways }
    })
}

/// The cluster, for a test that leaves its brokers as they are.
pub fn cluster() -> RwLockReadGuard<'static, Cluster> {
    // One test's failure is not the next one's.
    stage().cluster.read().unwrap_or_else(PoisonError::into_inner)
}

/// The cluster, for a test that stops brokers; no other test runs meanwhile.
pub fn cluster_alone() -> RwLockWriteGuard<'static, Cluster> {
    stage().cluster.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until every gateway has an answer from the broker, which was stopped and started again: who comes next finds it.
pub fn await_through_all(node: i32) {
    for side in sides() {
        let what = format!("broker {node} through {}", side.runtime);
        let asked = MetadataRequest::default().with_topics(None);
        wait_for(&what, SETTLED, || Ok(side.client(node).try_call(9, &asked).ok())).unwrap();
    }
}

/// Both runtimes.
pub fn sides() -> [Side; 2] {
    let Stage { gateways, ports, .. } = stage();
    [0, 1].map(|n| Side { runtime: common::RUNTIMES[n], gateway: &gateways[n], ports })
}

impl Side {
    /// A name of this runtime's own.
    pub fn own(&self, what: &str) -> String {
        format!("{what}-{}", self.runtime.replace('_', "-"))
    }

    /// A client at the door of a broker.
    pub fn client(&self, node: i32) -> Client {
        Client::open(self, self.gateway.broker_address(node).unwrap())
    }

    /// A client at the door of the broker that coordinates `key`, which it was told by Weir.
    pub fn coordinator(&self, cluster: &Cluster, of: Coordinates, key: &str) -> Client {
        // By now there is one, and it has loaded what it coordinates.
        let node = admin::coordinator(cluster, of, key).unwrap();
        let asked = FindCoordinatorRequest::default().with_key_type(of as i8).with_coordinator_keys(vec![text(key)]);
        let found = self.client(1).call(4, &asked).coordinators.remove(0);
        let told = (found.node_id.0, format!("{}:{}", &*found.host, found.port));
        assert_eq!(told, (node, self.gateway.broker_address(node).unwrap().to_string()), "{}: {key}", self.runtime);
        self.client(node)
    }
}

/// A connection through Weir. An answer that names a broker's address fails the test, whatever it is about.
pub struct Client {
    side: Side,
    connection: Connection,
}

impl Client {
    pub fn open(side: &Side, door: SocketAddr) -> Self {
        Self { side: *side, connection: Connection::open(door).unwrap().with_client_id(&side.own("features")) }
    }

    /// Under this client id from now on.
    pub fn named(mut self, client_id: &str) -> Self {
        self.connection = self.connection.with_client_id(client_id);
        self
    }

    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).unwrap_or_else(|e| panic!("{}: {e}", self.side.runtime))
    }

    /// The same, where the connection may end.
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        let id = self.connection.send(version, request)?;
        self.receive::<R>(version, id)
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.connection.send(version, request).unwrap()
    }

    pub fn receive<R: Request>(&mut self, version: i16, id: i32) -> Result<R::Response> {
        let frame = self.connection.receive_frame()?.ok_or_else(|| Failure::new("closed instead of an answer"))?;
        let leaked = exposure::named(&frame, self.side.ports);
        assert!(leaked.is_empty(), "{}: API {} v{version} names {leaked:?}: {frame:?}", self.side.runtime, R::KEY);
        let (answered, response) = wire::decode::<R>(version, frame)?;
        assert_eq!(answered, id, "{}: the order of answers", self.side.runtime);
        Ok(response)
    }

    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Makes a topic whose partitions have these replicas, the first of each the leader, and waits until all know it.
pub fn create_topic(cluster: &Cluster, name: &str, replicas: &[&[i32]]) -> Topic {
    let id = admin::create_placed(cluster, name, replicas).unwrap();
    Topic { name: name.to_owned(), id, leaders: replicas.iter().map(|nodes| nodes[0]).collect() }
}

/// Sets one setting of a resource, straight at the controller.
pub fn configure(cluster: &Cluster, resource_type: i8, name: &str, setting: &str, value: &str) {
    let setting = AlterableConfig::default().with_name(text(setting)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(vec![setting]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = Connection::open(cluster.address(1).unwrap()).unwrap().call(1, &request).unwrap();
    assert_eq!(answer.responses[0].error_code, 0, "{name}: {answer:?}");
}

/// What a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Uncommitted = 0,
    Committed = 1,
}

/// The values of a partition's records from its beginning, as its leader tells them to a reader of this isolation.
pub fn stored(cluster: &Cluster, topic: &Topic, partition: i32, isolation: Isolation) -> Result<Vec<String>> {
    let leader = cluster.address(topic.leaders[partition as usize])?;
    let request = admin::fetch_request(&topic.name, Uuid::nil(), 12, &[partition], 16 << 20);
    let answer = Connection::open(leader)?.call(12, &request.with_isolation_level(isolation as i8))?;
    Ok(visible(&partition_of(answer)))
}

/// Waits until the brokers tell exactly these values; a failure shows what they tell instead.
pub fn await_stored(cluster: &Cluster, topic: &Topic, partition: i32, isolation: Isolation, expected: &[&str]) {
    let mut told = Vec::new();
    let waited = wait_for("the records in the log", SETTLED, || {
        told = stored(cluster, topic, partition, isolation)?;
        Ok((told == expected).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{}, {isolation:?}: {told:?} instead of {expected:?}: {e}", topic.name));
}

/// The only partition of an answer.
pub fn partition_of(answer: FetchResponse) -> PartitionData {
    assert_eq!(answer.error_code, 0, "{answer:?}");
    let [mut of_topic] = <[_; 1]>::try_from(answer.responses).expect("one topic");
    assert_eq!(of_topic.partitions.len(), 1);
    of_topic.partitions.remove(0)
}

/// The values a client hands on: no control records, nothing of the transactions that the answer lists as aborted.
pub fn visible(partition: &PartitionData) -> Vec<String> {
    let mut aborted = partition.aborted_transactions.clone().unwrap_or_default();
    aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
    let mut aborting: BTreeSet<i64> = BTreeSet::new();
    let mut values = Vec::new();
    for record in records(partition) {
        while aborted.last().is_some_and(|transaction| transaction.first_offset <= record.offset) {
            aborting.extend(aborted.pop().map(|transaction| transaction.producer_id.0));
        }
        if record.control {
            aborting.remove(&record.producer_id);
        } else if !(record.transactional && aborting.contains(&record.producer_id)) {
            let value = record.value.unwrap_or_default();
            values.push(String::from_utf8(value.to_vec()).expect("text"));
        }
    }
    values
}

/// All records, control records included.
pub fn records(partition: &PartitionData) -> Vec<Record> {
    let mut bytes = partition.records.clone().unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut bytes).expect("whole batches");
    sets.into_iter().flat_map(|set| set.records).collect()
}
