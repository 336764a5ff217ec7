//! Telemetry of clients (KIP-714): it comes to brokers that take it, is not offered where none does, and is never in a
//! client's way.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsRequest, GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, PushTelemetryRequest,
};
use loadtest::admin::text;
use loadtest::clients::{JavaTools, Target};
use loadtest::kafka::{self, Cluster};
use loadtest::scratch::Scratch;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{process, wait_for};
use uuid::Uuid;

use super::common;
use super::stage::{SETTLED, configure, create_topic, sides};

/// `ConfigResource.Type.CLIENT_METRICS`.
const CLIENT_METRICS: i8 = 16;
const GET_TELEMETRY_SUBSCRIPTIONS: i16 = 71;
const PUSH_TELEMETRY: i16 = 72;
const UNKNOWN_SUBSCRIPTION_ID: i16 = 117;

/// A cluster whose broker has a plugin for telemetry, which writes a line for all it is given.
struct Taking {
    cluster: Cluster,
    // Last, so that the broker is gone before it.
    dir: Scratch,
}

impl Taking {
    fn start() -> Self {
        let dir = Scratch::new("weir-telemetry-").unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/programs/TelemetryPlugin.java");
        let mut javac = Command::new("javac");
        javac.arg("-cp").arg(kafka::class_path().unwrap()).arg("-d").arg(dir.path()).arg(source);
        process::run("javac", &javac, b"", Duration::from_secs(60)).unwrap();
        let given = dir.path().join("given");
        let properties = vec![
            "metric.reporters=org.apache.kafka.common.metrics.JmxReporter,TelemetryPlugin".to_owned(),
            format!("telemetry.file={}", given.display()),
        ];
        let classes = Some(dir.path().to_owned());
        let cluster = Cluster::start(1, kafka::Options { properties, classes, ..Default::default() }).unwrap();
        configure(&cluster, CLIENT_METRICS, "all", "metrics", "*");
        configure(&cluster, CLIENT_METRICS, "all", "interval.ms", "100");
        Self { cluster, dir }
    }

    /// Client id, number of bytes and whether it was the client's last, of all the plugin was given.
    fn given(&self) -> Vec<(String, usize, bool)> {
        let text = fs::read_to_string(self.dir.path().join("given")).unwrap_or_default();
        let line = |line: &str| {
            let mut fields = line.split('\t');
            let (client, bytes, last) = (fields.next()?, fields.next()?, fields.next()?);
            Some((client.to_owned(), bytes.parse().ok()?, last == "true"))
        };
        text.lines().filter_map(line).collect()
    }
}

#[test]
fn telemetry_comes_to_a_broker_that_takes_it_under_the_clients_own_id() {
    let taking = Taking::start();
    for runtime in common::RUNTIMES {
        let options = Options::new(taking.cluster.bootstrap()).runtime(runtime);
        let gateway = common::gateway_before(&taking.cluster, options);
        assert_eq!(offered(&gateway), [GET_TELEMETRY_SUBSCRIPTIONS, PUSH_TELEMETRY], "{runtime}");
        let client_id = format!("raw-{runtime}");
        let mut client = Connection::open(gateway.address()).unwrap().with_client_id(&client_id);
        let subscription = subscribe(&mut client, Uuid::nil());
        assert_eq!(subscription.error_code, 0, "{runtime}");
        assert_eq!(subscription.push_interval_ms, 100, "{runtime}: as it was set");
        assert!(!subscription.client_instance_id.is_nil(), "{runtime}");
        let metrics = Bytes::from_static(b"as opaque as it is to Weir");
        let push = PushTelemetryRequest::default()
            .with_client_instance_id(subscription.client_instance_id)
            .with_subscription_id(subscription.subscription_id)
            .with_metrics(metrics.clone());
        let wrong = push.clone().with_subscription_id(subscription.subscription_id ^ 1);
        assert_eq!(client.call(0, &push).unwrap().error_code, 0, "{runtime}");
        let last = push.with_terminating(true);
        assert_eq!(client.call(0, &last).unwrap().error_code, 0, "{runtime}");
        given(&taking, &(client_id.clone(), metrics.len(), false));
        given(&taking, &(client_id, metrics.len(), true));
        let mut other = Connection::open(gateway.address()).unwrap();
        let instance = subscribe(&mut other, Uuid::nil()).client_instance_id;
        let refused = other.call(0, &wrong.with_client_instance_id(instance)).unwrap();
        assert_eq!(refused.error_code, UNKNOWN_SUBSCRIPTION_ID, "{runtime}");

        // Java's clients push without being asked to, and once more when they close.
        let client_id = format!("java-{runtime}");
        let topic = format!("measured-{runtime}");
        produce_with_java(&gateway, &client_id, &topic);
        wait_for("the last push of the Java client", SETTLED, || {
            let given = taking.given();
            Ok(given
                .iter()
                .any(|(client, bytes, last)| client.contains(&client_id) && *bytes > 0 && *last)
                .then_some(()))
        })
        .unwrap_or_else(|e| panic!("{runtime}: {e}: {:?}", taking.given()));
    }
}

#[test]
fn telemetry_that_no_broker_takes_is_not_offered_and_clients_work_without() {
    let cluster = super::stage::cluster();
    for side in sides() {
        assert_eq!(offered(side.gateway), Vec::<i16>::new(), "{}", side.runtime);
        // A client that asks all the same is told what the broker tells it.
        let answer = subscribe(side.client(1).connection(), Uuid::nil());
        let direct = subscribe(&mut Connection::open(cluster.address(1).unwrap()).unwrap(), Uuid::nil());
        assert_eq!(answer.error_code, direct.error_code, "{}", side.runtime);
        let topic = create_topic(&cluster, &side.own("unmeasured"), &[&[2]]);
        produce_with_java(side.gateway, &topic.name, &topic.name);
    }
}

fn produce_with_java(gateway: &Gateway, client_id: &str, topic: &str) {
    let tools = JavaTools::new(&Target::anonymous(gateway.bootstrap(), client_id)).unwrap();
    let summary = tools.producer_perf(topic, 10_000, 100, &[]).unwrap();
    assert!(summary.starts_with("10000 records sent"), "{summary}");
}

fn given(taking: &Taking, expected: &(String, usize, bool)) {
    let waited = wait_for("what was pushed", SETTLED, || Ok(taking.given().contains(expected).then_some(())));
    waited.unwrap_or_else(|e| panic!("{expected:?} not among {:?}: {e}", taking.given()));
}

fn subscribe(client: &mut Connection, instance: Uuid) -> GetTelemetrySubscriptionsResponse {
    client.call(0, &GetTelemetrySubscriptionsRequest::default().with_client_instance_id(instance)).unwrap()
}

/// Which of the two APIs clients are offered.
fn offered(gateway: &Gateway) -> Vec<i16> {
    let asked = ApiVersionsRequest::default()
        .with_client_software_name(text("weir-test"))
        .with_client_software_version(text("1"));
    let listed = Connection::open(gateway.address()).unwrap().call(3, &asked).unwrap().api_keys;
    let keys = listed.iter().map(|api| api.api_key);
    keys.filter(|key| [GET_TELEMETRY_SUBSCRIPTIONS, PUSH_TELEMETRY].contains(key)).collect()
}
