//! What the cluster is: `kafka-metadata-quorum`, `kafka-features`, `kafka-cluster`, `kafka-broker-api-versions`.

use std::collections::BTreeMap;

use crate::desk::{Desk, row, scene};

const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
const FEATURES: &str = "org.apache.kafka.tools.FeatureCommand";
const CLUSTER: &str = "org.apache.kafka.tools.ClusterTool";
const API_VERSIONS: &str = "org.apache.kafka.tools.BrokerApiVersionsCommand";

#[test]
fn the_quorum_is_shown_with_the_gateways_addresses_and_not_changed() {
    let mut desk = Desk::new();
    // What moves on while the two are asked is left out.
    let steady = |said: &str| -> Vec<String> {
        let moves_on = ["HighWatermark", "MaxFollowerLag", "CurrentVoters"];
        let lines = said.lines().filter(|line| !moves_on.iter().any(|name| line.starts_with(name)));
        lines.map(ToOwned::to_owned).collect()
    };
    for gateway in &scene().gateways {
        // That the controller's endpoint is no broker's is looked at by `through`.
        let status = desk.through(gateway, QUORUM, "describe --status");
        let voters = status.lines().find(|line| line.starts_with("CurrentVoters")).expect(&status);
        assert!(voters.contains("{\"id\": 1"), "{status}");
        assert_eq!(steady(&status), steady(&desk.direct(QUORUM, "describe --status")));
        let replication = desk.through(gateway, QUORUM, "describe --replication");
        let direct = desk.direct(QUORUM, "describe --replication");
        for (node, role) in [("1", "Leader"), ("2", "Observer"), ("3", "Observer")] {
            let of = |said: &str| -> (String, String) {
                let words = row(said, node);
                (words[1].to_owned(), words[words.len() - 1].to_owned())
            };
            assert_eq!(of(&replication), of(&direct));
            assert_eq!(of(&replication).1, role, "{replication}");
        }
        let directory = "AAAAAAAAAAAAAAAAAAAAAA";
        let remove = format!("remove-controller --controller-id 1 --controller-directory-id {directory}");
        let said = desk.refused(gateway, QUORUM, &remove);
        assert!(said.contains("does not support REMOVE_RAFT_VOTER"), "{said}");
    }
}

#[test]
fn features_are_the_brokers_own_and_not_changed() {
    let mut desk = Desk::new();
    // The epoch is the metadata log's end, and goes on.
    let without_epoch = |said: &str| -> Vec<String> {
        said.lines().map(|line| line.split("Epoch").next().unwrap_or_default().to_owned()).collect()
    };
    for gateway in &scene().gateways {
        let through = desk.through(gateway, FEATURES, "describe");
        assert_eq!(without_epoch(&through), without_epoch(&desk.direct(FEATURES, "describe")));
        let said = desk.refused(gateway, FEATURES, "downgrade --feature share.version=0");
        assert!(said.contains("does not support UPDATE_FEATURES"), "{said}");
        desk.same(gateway, FEATURES, "version-mapping --release-version 4.3");
    }
}

#[test]
fn the_clusters_id_and_its_brokers_endpoints_are_told() {
    let mut desk = Desk::new();
    for gateway in &scene().gateways {
        desk.same(gateway, CLUSTER, "cluster-id AT");
        let endpoints = desk.through(gateway, CLUSTER, "list-endpoints AT");
        for (node, _) in scene().cluster.addresses() {
            let port = gateway.broker_address(node).unwrap().port().to_string();
            assert_eq!(row(&endpoints, &node.to_string())[1..3], ["127.0.0.1", &port], "{endpoints}");
        }
        let said = desk.through(gateway, CLUSTER, "unregister --id 3 AT");
        assert!(said.contains("does not support the broker unregistration API"), "{said}");
    }
}

/// API names and ranges, by broker.
fn versions(said: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut brokers: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut broker = String::new();
    for line in said.lines() {
        if let Some((_, id)) = line.split_once("(id: ") {
            broker = id.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some((api, range)) = line.trim().split_once("): ") {
            let range = range.split(" [").next().unwrap_or_default().trim_end_matches(',');
            brokers.entry(broker.clone()).or_default().insert(api.to_owned(), range.to_owned());
        }
    }
    brokers
}

#[test]
fn every_broker_serves_what_it_serves_at_its_own_address_but_for_what_weir_keeps() {
    // Credentials, ACLs, quotas, features and the quorum; what only brokers say.
    const WITHHELD: [i16; 21] = [27, 30, 31, 38, 39, 40, 41, 49, 51, 57, 64, 80, 81, 83, 84, 85, 86, 87, 52, 53, 54];
    let mut desk = Desk::new();
    let direct = versions(&desk.direct(API_VERSIONS, ""));
    assert_eq!(direct.len(), 3);
    for gateway in &scene().gateways {
        let through = versions(&desk.through(gateway, API_VERSIONS, ""));
        assert_eq!(through.keys().collect::<Vec<_>>(), direct.keys().collect::<Vec<_>>());
        for (broker, apis) in &direct {
            for (api, range) in apis {
                let key: i16 = api.rsplit('(').next().and_then(|key| key.parse().ok()).expect(api);
                let served = &through[broker][api];
                match key {
                    key if WITHHELD.contains(&key) => assert_eq!(served, "UNSUPPORTED", "broker {broker}: {api}"),
                    // Versions 4 and 5 are said by brokers; 6 is unstable.
                    24 => assert_eq!(served, "0 to 3"),
                    22 => assert_eq!(served, "0 to 5"),
                    _ => assert_eq!(served, range, "broker {broker}: {api}"),
                }
            }
        }
    }
}
