//! Brokers one major version older than the tools and clients serve them through Weir, on both runtimes: every family plays
//! the script of `e2e_clients` and leaves on the brokers what it should, tools show what they show at the brokers, and Weir
//! advertises what both it and those brokers serve, no more and no less.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "e2e_clients/play.rs"]
mod play;
#[path = "e2e_clients/stored.rs"]
mod stored;
#[path = "e2e_clients/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::StrBytes;
use loadtest::clients::{Target, Toolbox};
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use weir::wire::kafka::api::{self, Class, Versions};

use crate::play::{plays_the_whole_script, side_by_side};

struct Scene {
    cluster: Cluster,
    gateways: [Gateway; 2],
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let options = kafka::Options { version: kafka::OLDER, ..Default::default() };
        let cluster = Cluster::start(3, options).unwrap();
        let before = |runtime| common::gateway_before(&cluster, Options::new(cluster.bootstrap()).runtime(runtime));
        let gateways = common::RUNTIMES.map(before);
        Scene { cluster, gateways }
    })
}

/// No row of the table needs an exception for these brokers: what a client cannot, it cannot before newer ones either.
#[test]
fn every_client_plays_the_whole_script_before_older_brokers() {
    let Scene { cluster, gateways } = scene();
    for (gateway, runtime) in gateways.iter().zip(common::RUNTIMES) {
        side_by_side(|row| {
            let name = format!("{}-{runtime}", row.client.name());
            let target = Target::anonymous(gateway.bootstrap(), &name);
            plays_the_whole_script(cluster, row, gateway, &target, &name);
        });
    }
}

#[test]
fn tools_show_of_older_brokers_what_they_show_without_weir() {
    let mut tools = Toolbox::start().unwrap();
    let mut said = |bootstrap: &str, tool: &str, args: &str| {
        let words: Vec<&str> = ["--bootstrap-server", bootstrap].into_iter().chain(args.split_whitespace()).collect();
        let ran = tools.run(&format!("org.apache.kafka.tools.{tool}"), &words, "").unwrap();
        assert_eq!(ran.status, 0, "{}: {}{}", ran.command, ran.stdout, ran.stderr);
        ran.stdout
    };
    let Scene { cluster, gateways } = scene();
    for (gateway, runtime) in gateways.iter().zip(common::RUNTIMES) {
        let topic = format!("shown-{runtime}");
        said(&gateway.bootstrap(), "TopicCommand", &format!("--create --topic {topic} --replica-assignment 1:2,3:1"));
        said(
            &gateway.bootstrap(),
            "VerifiableConsumer",
            &format!("--topic {topic} --group-id {topic} --max-messages 0"),
        );
        for (tool, args) in [
            ("TopicCommand", format!("--describe --topic {topic}")),
            ("GetOffsetShell", format!("--topic {topic}")),
            ("LogDirsCommand", format!("--describe --topic-list {topic}")),
            ("consumer.group.ConsumerGroupCommand", format!("--describe --state --group {topic}")),
            ("consumer.group.ConsumerGroupCommand", "--list --type".to_owned()),
            ("reassign.ReassignPartitionsCommand", "--list".to_owned()),
            ("TransactionsCommand", "list".to_owned()),
        ] {
            let mut through = said(&gateway.bootstrap(), tool, &args);
            let direct = said(&cluster.bootstrap(), tool, &args);
            for (node, address) in cluster.addresses() {
                assert!(!through.contains(&address.to_string()), "{runtime}: {through}");
                through = through.replace(&gateway.broker_address(node).unwrap().to_string(), &address.to_string());
            }
            assert_eq!(sorted(&through), sorted(&direct), "{runtime}: {tool} {args}");
        }
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_advertised_before_older_brokers_is_what_both_serve() {
    let Scene { cluster, gateways } = scene();
    let direct = ranges(&mut Connection::open(cluster.address(1).unwrap()).unwrap());
    let known = [(0, (0, 11)), (1, (0, 17)), (3, (0, 12))];
    assert!(known.iter().all(|(api, range)| direct[api] == *range), "the brokers are others than expected: {direct:?}");
    let both = |api: &api::Api| -> Option<(i16, (i16, i16))> {
        let (min, max) = match api.class {
            Class::Here => return Some((api.key, (api.served.min, api.served.max))),
            Class::Refused | Class::Security => return None,
            _ => *direct.get(&api.key)?,
        };
        let both = api.served.intersect(Versions { min, max });
        // Produce is advertised from 0, as Kafka does (KAFKA-18659).
        let from = if api.key == api::key::PRODUCE { 0 } else { both.min };
        (!both.is_empty()).then_some((api.key, (from, both.max)))
    };
    let expected: BTreeMap<i16, (i16, i16)> = api::TABLE.iter().filter_map(both).collect();
    for gateway in gateways {
        assert_eq!(ranges(&mut Connection::open(gateway.address()).unwrap()), expected);
        for (node, _) in cluster.addresses() {
            let door = gateway.broker_address(node).unwrap();
            assert_eq!(ranges(&mut Connection::open(door).unwrap()), expected, "broker {node}");
        }
    }
}

fn ranges(connection: &mut Connection) -> BTreeMap<i16, (i16, i16)> {
    let text = |text: &'static str| StrBytes::from_static_str(text);
    let asked = ApiVersionsRequest::default().with_client_software_name(text("weir-test"));
    let answer = connection.call(3, &asked.with_client_software_version(text("1"))).unwrap();
    assert_eq!(answer.error_code, 0);
    answer.api_keys.iter().map(|a| (a.api_key, (a.min_version, a.max_version))).collect()
}
