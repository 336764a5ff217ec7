//! The clusters: whether their brokers can be reached and let Weir in, what they speak, whether clients will see them, and
//! what their clock says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{DescribeQuorumRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;

use super::finding::Finding;
use super::identity::{SKEW_MIN, off};
use crate::addressing::Brokers;
use crate::boot;
use crate::cli::error::CliError;
use crate::cli::time::length;
use crate::config::{Config, Listener};
use crate::upstream::{
    Client, ClientError, Cluster, ClusterOptions, CredentialOptions, Endpoint, fetch_token, reach, unwatched,
};
use crate::wire::kafka::api::{self, Versions, key};
use crate::wire::kafka::versions::ClusterVersions;

/// KRaft's own topic, whose quorum knows the time.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A token that lives shorter makes logins depend on its provider at every moment.
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(60);

/// Levels of the feature `metadata.version` by the release that brought them (MetadataVersion in Kafka's source).
const RELEASES: &[(i16, &str)] = &[
    (30, "4.3"),
    (28, "4.2"),
    (26, "4.1"),
    (22, "4.0"),
    (21, "3.9"),
    (20, "3.8"),
    (15, "3.7"),
    (12, "3.6"),
    (9, "3.5"),
    (8, "3.4"),
    (4, "3.3"),
];

const NEWEST_KNOWN: i16 = 30;

pub(super) async fn look(config: &Config) -> Result<Vec<Finding>, CliError> {
    let mut found = Vec::new();
    for options in boot::clusters(config, &mut Vec::new())? {
        found.extend(cluster(config, options).await);
    }
    Ok(found)
}

async fn cluster(config: &Config, options: ClusterOptions) -> Vec<Finding> {
    let (name, subject) = (options.name.clone(), format!("cluster {}", options.name));
    let mut found = Vec::new();
    if let Some(CredentialOptions::Oauth(oauth)) = &options.credential {
        match fetch_token(oauth).await {
            Ok(token) => found.push(of_token(&subject, token.lifetime)),
            // Every login to a broker would fail for the same reason.
            Err(trouble) => {
                return vec![Finding::problem("upstream_token", subject, trouble).why(NO_LOGIN).remedy(
                    "see that the provider runs, that this machine reaches it, and that Weir is registered there",
                )];
            }
        }
    }
    let (cluster, upkeep) = match unwatched(options) {
        Ok(opened) => opened,
        Err(error) => {
            let problem = Finding::problem("upstream", subject, error.to_string()).why("the gateway will not start");
            return vec![problem.remedy("correct the cluster's section")];
        }
    };
    let upkeep = upkeep.map(tokio::spawn);
    let (bootstrap, reached) = bootstrap(&cluster, &subject).await;
    found.extend(bootstrap);
    if let Some((client, versions)) = reached {
        found.extend(brokers(config, &name, &cluster, client, &versions).await);
    }
    if let Some(upkeep) = upkeep {
        upkeep.abort();
    }
    found
}

const NO_LOGIN: &str = "Weir cannot log in to the cluster, and clients get no connection";

fn of_token(subject: &str, lifetime: Duration) -> Finding {
    let lives = length(u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX));
    let found = format!("the provider gives tokens, which live {lives}");
    if lifetime >= TOKEN_LIFE_MIN {
        return Finding::ok("upstream_token", subject, found);
    }
    Finding::warning("upstream_token", subject, found)
        .why("a provider that is down for a moment stops every login to the brokers")
        .remedy("let its access tokens for this client live some minutes or more")
}

type Reached = (Client, ClusterVersions);

/// Every bootstrap address, and the first of them that answers.
async fn bootstrap(cluster: &Arc<Cluster>, subject: &str) -> (Vec<Finding>, Option<Reached>) {
    let (mut answers, mut failures, mut first) = (Vec::new(), Vec::new(), None);
    for address in &cluster.bootstrap {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "9092"));
        let reached = contact(cluster, host.trim_matches(['[', ']']), port.parse().unwrap_or(9092)).await;
        match reached {
            Ok(reached) => {
                answers.push(address.as_str());
                first.get_or_insert(reached);
            }
            Err((trouble, remedy)) => failures.push((format!("{address}: {trouble}"), remedy)),
        }
    }
    let all_fail = answers.is_empty();
    let mut found = Vec::new();
    if !all_fail {
        found.push(Finding::ok("upstream_bootstrap", subject, format!("{} {}", answers.join(", "), welcome(cluster))));
    }
    for (trouble, remedy) in failures {
        let finding = match all_fail {
            true => Finding::problem("upstream_bootstrap", subject, trouble)
                .why("without any broker clients wait 5 s and are closed"),
            false => Finding::warning("upstream_bootstrap", subject, trouble)
                .why("one address less to start from when others fail"),
        };
        found.push(finding.remedy(remedy));
    }
    (found, first)
}

/// Resolves, connects, logs in and asks for versions; else what went wrong and what to do.
async fn contact(cluster: &Cluster, host: &str, port: u16) -> Result<Reached, (String, &'static str)> {
    let resolved = tokio::net::lookup_host((host, port)).await;
    let name: Arc<str> = Arc::from(host);
    let addresses: Vec<SocketAddr> = resolved
        .map_err(|e| (format!("its name does not resolve: {e}"), "make the name known to this machine's DNS"))?
        .collect();
    let mut failed = ("its name has no address".to_owned(), "make the name known to this machine's DNS");
    for address in addresses {
        match reach(cluster, &Endpoint { address, host: name.clone() }).await {
            Ok(reached) => return Ok(reached),
            Err(error) => failed = (error.to_string(), remedy(&error)),
        }
    }
    Err(failed)
}

fn remedy(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect { .. } | ClientError::Silent { .. } => {
            "see that the broker runs, listens there, and that no firewall stands between"
        }
        ClientError::Tls { .. } => "correct the cluster's `tls` section, or the broker's certificate",
        ClientError::Login { .. } | ClientError::Waiting { .. } => {
            "correct the cluster's `sasl` section, or the user's credentials on the cluster"
        }
        _ => "see that the address is a Kafka listener of the kind that the cluster's section describes",
    }
}

async fn brokers(
    config: &Config,
    name: &str,
    cluster: &Arc<Cluster>,
    mut client: Client,
    versions: &ClusterVersions,
) -> Vec<Finding> {
    let subject = format!("cluster {name}");
    let mut found = Vec::new();
    let version = versions.highest(key::METADATA, Versions { min: 1, max: 12 }).unwrap_or(1);
    let request = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
    let metadata = match client.call(&request, version).await {
        Ok(metadata) => metadata,
        Err(error) => {
            let finding =
                Finding::problem("upstream_metadata", subject, format!("it does not tell its brokers: {error}"));
            let remedy = match cluster.credential {
                Some(_) => remedy(&error),
                None => "name a listener that asks for no login, or say in `sasl` how Weir logs in",
            };
            return vec![finding.why("clients cannot be told where to go").remedy(remedy)];
        }
    };
    let mut asking = JoinSet::new();
    for broker in &metadata.brokers {
        let (node, host, port) = (broker.node_id.0, broker.host.to_string(), u16::try_from(broker.port).unwrap_or(0));
        let cluster = cluster.clone();
        asking.spawn(async move {
            let reached = contact(&cluster, &host, port).await.map(|(_, versions)| versions);
            (node, (format!("{host}:{port}"), reached))
        });
    }
    let answers: BTreeMap<_, _> = asking.join_all().await.into_iter().collect();
    for (node, (address, answer)) in &answers {
        let subject = format!("broker {node} of {name}");
        found.push(match answer {
            Ok(versions) => {
                Finding::ok("broker", subject, format!("{address} {}, {}", welcome(cluster), speaks(versions)))
            }
            Err((trouble, remedy)) => {
                Finding::problem("broker", subject, format!("advertised at {address}: {trouble}"))
                    .why("clients that need this broker wait 5 s and are closed, again and again")
                    .remedy(*remedy)
            }
        });
    }
    found.extend(doors(config, name, answers.keys().copied()));
    found.push(beyond_us(&subject, answers.values().filter_map(|(_, answer)| answer.as_ref().ok())));
    found.push(clock(&subject, &mut client, versions).await);
    found
}

/// What a broker does that sends no refusal: without a credential nobody is let in, and nobody asked.
fn welcome(cluster: &Cluster) -> &'static str {
    if cluster.credential.is_some() { "lets Weir in" } else { "answers" }
}

/// Which release a broker speaks like.
fn speaks(versions: &ClusterVersions) -> String {
    let fetch = versions.range(key::FETCH).map_or(0, |range| range.max);
    match versions.feature("metadata.version").map(|levels| levels.max) {
        Some(level) if level > NEWEST_KNOWN => "speaks a Kafka newer than 4.3".to_owned(),
        Some(level) => match RELEASES.iter().find(|(brought, _)| level >= *brought) {
            Some((_, release)) => format!("speaks like Kafka {release}"),
            None => "speaks like Kafka 3.0 to 3.2".to_owned(),
        },
        None if fetch >= 13 => "speaks like Kafka 3.1 or later with ZooKeeper".to_owned(),
        None if fetch == 12 => "speaks like Kafka 2.7 to 3.0".to_owned(),
        None if fetch == 11 => "speaks like Kafka 2.3 to 2.6".to_owned(),
        None => "speaks like a Kafka before 2.3".to_owned(),
    }
}

/// Whether every broker has a door on every listener of the cluster, which clients will take for what it is.
fn doors(config: &Config, cluster: &str, nodes: impl Iterator<Item = i32> + Clone) -> Vec<Finding> {
    let of_cluster = config.listeners.iter().filter(|listener| listener.cluster == cluster);
    let findings = |listener: &Listener| [ports(listener, nodes.clone()), hosts(listener, nodes.clone())];
    of_cluster.flat_map(findings).flatten().collect()
}

/// Whether there is a port for each broker, where ports tell them apart.
fn ports(listener: &Listener, nodes: impl Iterator<Item = i32> + Clone) -> Option<Finding> {
    let Brokers::Ports(ports) = &listener.brokers else { return None };
    let (subject, count) = (format!("listener {}", listener.name), nodes.clone().count());
    let range = format!("{}:{}-{}", ports.host, ports.low, ports.high);
    let beyond: Vec<i32> = nodes.filter(|node| ports.port(*node).is_none()).collect();
    let Some(highest) = beyond.iter().max() else {
        return Some(Finding::ok("broker_ports", subject, format!("{range} has a port for every broker ({count})")));
    };
    let listed: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    let found =
        Finding::problem("broker_ports", subject, format!("{range} has no port for broker {}", listed.join(", ")))
            .why("clients will not see these brokers, nor what only they have");
    Some(found.remedy(match i32::from(ports.low).checked_add(*highest).filter(|port| *port <= i32::from(u16::MAX)) {
        Some(port) => format!("let `brokers` reach to port {port}: it is the first port plus the node id"),
        None => "begin `brokers` with a lower port, or give the brokers lower node ids".to_owned(),
    }))
}

/// Whether the certificate is for every host that clients are told, where there is TLS.
fn hosts(listener: &Listener, nodes: impl Iterator<Item = i32>) -> Option<Finding> {
    // A file that cannot be read is told of with the certificate's end.
    let covered = listener.tls.as_ref()?.files.hosts().ok()?;
    let (id, subject) = ("certificate_hosts", format!("listener {}", listener.name));
    let bootstrap = match &listener.brokers {
        Brokers::Sni { bootstrap } => Some(bootstrap.clone()),
        Brokers::Ports(_) => None,
    };
    let hosts: BTreeSet<String> =
        bootstrap.into_iter().chain(nodes.map(|n| listener.advertised.host.host(n))).collect();
    let foreign: Vec<&str> = hosts.iter().map(String::as_str).filter(|host| !covered.cover(host)).collect();
    if foreign.is_empty() {
        return Some(Finding::ok(
            id,
            subject,
            format!("the certificate is for every host that clients are told ({})", hosts.len()),
        ));
    }
    let found = Finding::problem(id, subject, format!("the certificate is not for {}", foreign.join(", ")));
    Some(found.why("clients that verify host names, as they do unless told otherwise, refuse to connect").remedy(
        "get a certificate that names these hosts, for a host name per broker one with a wildcard (`*.kafka.example.com`)",
    ))
}

/// What the brokers serve and Weir does not: clients get along with less, but somebody may miss it.
fn beyond_us<'a>(subject: &str, brokers: impl Iterator<Item = &'a ClusterVersions>) -> Finding {
    let mut beyond: BTreeMap<i16, String> = BTreeMap::new();
    for (key, theirs) in brokers.flat_map(ClusterVersions::apis) {
        match api::lookup(key) {
            None => beyond.insert(key, format!("API {key}")),
            Some(api) if api.class != api::Class::Refused && theirs.max > api.defined.max => {
                beyond.insert(key, format!("{} v{} (to v{})", api.name, theirs.max, api.defined.max))
            }
            Some(_) => None,
        };
    }
    let listed: Vec<String> = beyond.into_values().collect();
    let found = match listed.is_empty() {
        true => "nothing of what clients may use is newer than what Weir serves".to_owned(),
        false => format!("newer than what Weir serves, clients will use what it does: {}", listed.join(", ")),
    };
    Finding::ok("api_versions", subject, found)
}

/// Brokers do not tell their time; the leader of a KRaft quorum does, in DescribeQuorum (KIP-836): it states its own last
/// fetch as now. It needs the right to describe the cluster.
async fn clock(subject: &str, client: &mut Client, versions: &ClusterVersions) -> Finding {
    let id = "upstream_clock";
    let unknown = |why: &str| {
        Finding::ok(
            id,
            subject,
            format!("its clock cannot be told without writing to it: {why}; compare clocks by other means"),
        )
    };
    let Some(version) = versions.highest(key::DESCRIBE_QUORUM, Versions { min: 1, max: 2 }) else {
        return unknown("it is older than Kafka 3.3");
    };
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicName(StrBytes::from_static_str(METADATA_TOPIC));
    let topic = TopicData::default().with_topic_name(topic).with_partitions(vec![partition]);
    let asked = SystemTime::now();
    let answer = match client.call(&DescribeQuorumRequest::default().with_topics(vec![topic]), version).await {
        Ok(answer) => answer,
        Err(error) => return unknown(&error.to_string()),
    };
    let answered = SystemTime::now();
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    let leader = partition.and_then(|p| p.current_voters.iter().find(|voter| voter.replica_id == p.leader_id));
    let said = leader.and_then(|leader| u64::try_from(leader.last_fetch_timestamp).ok()).filter(|ms| *ms > 0);
    let Some(said) = said else {
        return unknown(&format!("Weir's user may not describe the cluster (error {})", answer.error_code));
    };
    let (off, direction) = off(UNIX_EPOCH + Duration::from_millis(said), asked, answered, Duration::from_millis(1));
    if off <= SKEW_MIN {
        return Finding::ok(id, subject, "the clock of its controller and ours agree");
    }
    Finding::warning(id, subject, format!("the clock of its controller is {:.0} s {direction} ours", off.as_secs_f64()))
        .why("tokens seem younger or older than they are, and times in recordings do not match those of records")
        .remedy("synchronize the clocks (chrony, systemd-timesyncd)")
}
