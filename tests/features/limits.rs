//! What brokers allow: quotas hold back who is over them and say so, authorized operations are told as they are, topics
//! made by asking for them are noted, and delegation tokens are not to be had.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, CreateDelegationTokenRequest, DescribeClusterRequest, DescribeDelegationTokenRequest,
    DescribeGroupsRequest, ExpireDelegationTokenRequest, FetchRequest, GroupId, MetadataRequest,
    RenewDelegationTokenRequest,
};
use loadtest::admin::{self, Coordinates, text, topic};
use loadtest::clients::{JavaTools, Target};
use loadtest::kafka::Cluster;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Result, wait_for};

use super::common;
use super::producer::batch;
use super::stage::{Isolation, SETTLED, await_stored, cluster, create_topic, sides};

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
/// Authorized operations that nobody asked for.
const NOT_TOLD: i32 = i32::MIN;

#[test]
fn a_client_over_its_quota_is_told_how_long_it_is_held_back_and_then_goes_on() {
    const BYTES_PER_SECOND: f64 = 2_000.0;
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let topic = create_topic(&cluster, &side.own("throttled"), &[&[2, 3]]);
        let client_id = side.own("over-its-quota");
        let value = "x".repeat(4_000);
        let request = admin::produce_request(&topic.name, topic.id, 9, 0, -1, batch(&[&value]).bytes());
        let mut client = side.client(2).named(&client_id);
        assert_eq!(client.call(9, &request).throttle_time_ms, 0, "{at}: no quota yet");
        for quota in ["producer_byte_rate", "consumer_byte_rate"] {
            set_quota(&cluster, &client_id, quota, Some(BYTES_PER_SECOND));
        }
        let mut written = 1;
        let told = wait_for("a Produce that is held back", SETTLED, || {
            let answer = client.call(9, &request);
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{at}");
            written += 1;
            Ok((answer.throttle_time_ms > 0).then_some(answer.throttle_time_ms))
        });
        assert!(told.unwrap() > 0, "{at}");
        // The broker reads on once the time is over, the connection is kept.
        let fetch: FetchRequest = admin::fetch_request(&topic.name, topic.id, 12, &[0], 1 << 20);
        let mut reader = side.client(2).named(&client_id);
        wait_for("a Fetch that is held back", SETTLED, || {
            Ok((reader.call(12, &fetch).throttle_time_ms > 0).then_some(()))
        })
        .unwrap();
        for quota in ["producer_byte_rate", "consumer_byte_rate"] {
            set_quota(&cluster, &client_id, quota, None);
        }
        let begun = Instant::now();
        assert_eq!(client.call(9, &request).responses[0].partition_responses[0].error_code, 0, "{at}");
        written += 1;
        await_stored(&cluster, &topic, 0, Isolation::Uncommitted, &vec![&*value; written]);
        assert!(begun.elapsed() < SETTLED, "{at}");
    }
}

fn set_quota(cluster: &Cluster, client_id: &str, quota: &str, value: Option<f64>) {
    let client = EntityData::default().with_entity_type(text("client-id")).with_entity_name(Some(text(client_id)));
    let change =
        OpData::default().with_key(text(quota)).with_value(value.unwrap_or_default()).with_remove(value.is_none());
    let request = AlterClientQuotasRequest::default()
        .with_entries(vec![EntryData::default().with_entity(vec![client]).with_ops(vec![change])]);
    let answer = Connection::open(cluster.address(1).unwrap()).unwrap().call(1, &request).unwrap();
    assert_eq!(answer.entries[0].error_code, 0, "{answer:?}");
}

#[test]
fn authorized_operations_are_told_as_the_broker_tells_them() {
    let cluster = cluster();
    for side in sides() {
        let name = side.own("authorized");
        create_topic(&cluster, &name, &[&[2]]);
        let group = admin::coordinator(&cluster, Coordinates::Group, &name).unwrap();
        let asked = MetadataRequestTopic::default().with_name(Some(topic(&name)));
        let metadata = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_include_cluster_authorized_operations(true)
            .with_include_topic_authorized_operations(true);
        let groups = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(text(&*name))])
            .with_include_authorized_operations(true);
        let of_cluster = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let direct = |node| Connection::open(cluster.address(node).unwrap()).unwrap();

        let (through, told) = (side.client(2).call(10, &metadata), direct(2).call(10, &metadata).unwrap());
        assert_eq!(through.cluster_authorized_operations, told.cluster_authorized_operations, "{}", side.runtime);
        let of_topic = through.topics[0].topic_authorized_operations;
        assert_eq!(of_topic, told.topics[0].topic_authorized_operations, "{}", side.runtime);
        let (in_group, told) = (side.client(group).call(5, &groups), direct(group).call(5, &groups).unwrap());
        let in_group = in_group.groups[0].authorized_operations;
        assert_eq!(in_group, told.groups[0].authorized_operations, "{}", side.runtime);
        let (described, told) = (side.client(2).call(1, &of_cluster), direct(2).call(1, &of_cluster).unwrap());
        assert_eq!(described.cluster_authorized_operations, told.cluster_authorized_operations, "{}", side.runtime);
        let all = [through.cluster_authorized_operations, of_topic, described.cluster_authorized_operations];
        assert!(!all.contains(&NOT_TOLD), "{}: {all:?}", side.runtime);
    }
}

#[test]
fn topics_made_by_asking_for_them_are_in_the_recording_though_the_gateway_dies_before_the_answers() {
    const TOPICS: usize = 20;
    let cluster = cluster();
    for side in sides() {
        for version in [1, 4, 12] {
            let at = format!("{}, Metadata v{version}", side.runtime);
            let options = Options::new(cluster.bootstrap()).runtime(side.runtime);
            let mut gateway = common::gateway_before(&cluster, options);
            let prefix = side.own(&format!("by-asking-{version}"));
            let mut client = Connection::open(gateway.address()).unwrap();
            for n in 0..TOPICS {
                let asked = MetadataRequestTopic::default().with_name(Some(topic(&format!("{prefix}-{n}"))));
                let request = MetadataRequest::default().with_topics(Some(vec![asked]));
                client.send(version, &request.with_allow_auto_topic_creation(true)).unwrap();
            }
            client.receive_frame().unwrap().expect("the first answer");
            gateway.kill9().unwrap();
            gateway.start_again().unwrap();
            let made = wait_for("topics made by asking", SETTLED, || {
                let made = known(&cluster, &prefix)?;
                std::thread::sleep(Duration::from_millis(300));
                // Until no more come.
                Ok((!made.is_empty() && made == known(&cluster, &prefix)?).then_some(made))
            });
            let made = made.unwrap();
            let told = wait_for("the topics in the recording", SETTLED, || {
                let told = asked_for(&gateway)?;
                Ok(made.is_subset(&told).then_some(told))
            });
            told.unwrap_or_else(|e| panic!("{at}: {made:?} were made, recorded is {:?}: {e}", asked_for(&gateway)));
        }
    }
}

/// The topics of this prefix that there are.
fn known(cluster: &Cluster, prefix: &str) -> Result<BTreeSet<String>> {
    let all = MetadataRequest::default().with_topics(None);
    let told = Connection::open(cluster.address(1)?)?.call(12, &all)?.topics;
    let names = told.iter().filter_map(|t| t.name.as_ref()).map(|name| name.to_string());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// The topics that any request in the recording names, of known outcome or not.
fn asked_for(gateway: &Gateway) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for session in gateway.weir_json(&["sessions"])? {
        for event in gateway.weir_json(&["show", session["id"].as_str().unwrap_or_default()])? {
            let items = event["request"]["items"].as_array().cloned().unwrap_or_default();
            names.extend(items.iter().filter_map(|item| Some(item["name"].as_str()?.to_owned())));
        }
    }
    Ok(names)
}

#[test]
fn delegation_tokens_are_refused_with_a_clear_error_and_no_broker_hears_of_it() {
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let client_id = side.own("wants-a-token");
        let mut client = side.client(1).named(&client_id);
        let made = client.call(3, &CreateDelegationTokenRequest::default().with_max_lifetime_ms(60_000));
        assert_eq!((made.error_code, made.hmac.len()), (CLUSTER_AUTHORIZATION_FAILED, 0), "{at}");
        let hmac = Bytes::from_static(b"somebody's token");
        let renewed = client.call(2, &RenewDelegationTokenRequest::default().with_hmac(hmac.clone()));
        assert_eq!(renewed.error_code, CLUSTER_AUTHORIZATION_FAILED, "{at}");
        let expired = client.call(2, &ExpireDelegationTokenRequest::default().with_hmac(hmac));
        assert_eq!(expired.error_code, CLUSTER_AUTHORIZATION_FAILED, "{at}");
        let described = client.call(3, &DescribeDelegationTokenRequest::default().with_owners(None));
        assert_eq!((described.error_code, described.tokens.len()), (CLUSTER_AUTHORIZATION_FAILED, 0), "{at}");
        // The connection is kept, and what follows is the first that the broker hears of this client.
        client.call(12, &MetadataRequest::default().with_topics(Some(Vec::new())));
        let heard = wait_for("the client in the broker's log", SETTLED, || {
            let log = cluster.request_log(1)?;
            let headers = log.iter().map(|line| &line["requestHeader"]);
            let of_it = headers.filter(|header| header["clientId"] == client_id.as_str());
            Ok(Some(of_it.map(|header| header["requestApiKey"].clone()).collect::<Vec<_>>()).filter(|k| !k.is_empty()))
        });
        assert_eq!(heard.unwrap(), [3], "{at}");
        assert!(side.gateway.log().contains("CreateDelegationToken changes who may do what"), "{at}");

        let tools = JavaTools::new(&Target::anonymous(side.gateway.bootstrap(), "delegation-tokens")).unwrap();
        let args = ["--create", "--max-life-time-period", "-1", "--renewer-principal", "User:ann"];
        let failed = tools.tool("org.apache.kafka.tools.DelegationTokenCommand", &args, b"").unwrap_err().to_string();
        assert!(failed.contains("does not support CREATE_DELEGATION_TOKEN"), "{at}: {failed}");
    }
}
