//! Topics by id (KIP-516): one that is deleted and made again under the same name is another one.

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, ProduceRequest};
use loadtest::kafka::Cluster;
use loadtest::wire::Connection;
use loadtest::{admin, wait_for};
use serde_json::{Value, json};
use uuid::Uuid;

use super::leaders;
use super::producer::batch;
use super::programs::Program;
use super::stage::{
    Client, Isolation, SETTLED, Side, Topic, await_stored, cluster, create_topic, partition_of, sides, stored, visible,
};

const UNKNOWN_TOPIC_ID: i16 = 100;

#[test]
fn the_id_of_a_topic_made_again_reaches_the_new_one_and_the_old_id_nothing() {
    let cluster = cluster();
    for side in sides() {
        let at = side.runtime;
        let name = side.own("made-again");
        let old = create_topic(&cluster, &name, &[&[2, 3]]);
        let mut client = side.client(2).named(&name);
        // As every client does, which has ids from nowhere else.
        let metadata = |client: &mut Client| admin::known_by(client.connection(), &[&name]).unwrap()[0];
        assert_eq!(metadata(&mut client), old.id, "{at}");
        assert_eq!(produced(&mut client, &old, "in the old one"), 0, "{at}");
        assert_eq!(fetched(&mut client, 13, &old), (0, vec!["in the old one".to_owned()]), "{at}");
        delete(&mut side.client(1), old.id);
        let new = make_again(&cluster, &old);
        assert_eq!(metadata(&mut client), new.id, "{at}");

        for version in 13..=18 {
            assert_eq!(fetched(&mut client, version, &old), (UNKNOWN_TOPIC_ID, vec![]), "{at}: Fetch v{version}");
        }
        assert_eq!(produced(&mut client, &old, "in none"), UNKNOWN_TOPIC_ID, "{at}");
        assert_eq!(fetched(&mut client, 13, &new), (0, vec![]), "{at}: the new one is empty");
        assert_eq!(produced(&mut client, &new, "in the new one"), 0, "{at}");
        assert_eq!(fetched(&mut client, 18, &new), (0, vec!["in the new one".to_owned()]), "{at}");
        let never_made = Topic { name: name.clone(), id: Uuid::new_v4(), leaders: vec![2] };
        assert_eq!(fetched(&mut client, 13, &never_made), (UNKNOWN_TOPIC_ID, vec![]), "{at}");
        await_stored(&cluster, &new, 0, Isolation::Uncommitted, &["in the new one"]);

        // Of each request by id the recording says by name what it was about, and what came of it.
        let told = produces(&side, &name);
        let expected = [json!([name, 0]), json!([name, UNKNOWN_TOPIC_ID]), json!([name, 0])];
        assert_eq!(told, expected, "{at}");
    }
}

#[test]
fn a_stock_client_goes_on_with_a_topic_that_was_made_again_under_its_name() {
    let cluster = cluster();
    for side in sides() {
        let old = create_topic(&cluster, &side.own("goes-on"), &[&[3, 2]]);
        let scene = json!({ "bootstrap": side.gateway.bootstrap(), "topic": old.name, "client_id": old.name });
        let mut program = Program::start("Recreated.java", &scene).unwrap();
        program.says("read 20 of the old").unwrap();
        delete(&mut side.client(1), old.id);
        // The clients themselves make it again by asking for it.
        await_end(&cluster, &old);
        let leader = leaders::settled(&cluster, &old.name, 1).unwrap();
        let id = admin::await_topic(&cluster, &old.name, &[leader]).unwrap();
        let new = Topic { name: old.name.clone(), id, leaders: vec![leader] };
        assert_ne!(new.id, old.id, "{}", side.runtime);
        program.go_on().unwrap();
        program.ends_well().unwrap();
        let values = stored(&cluster, &new, 0, Isolation::Uncommitted).unwrap();
        assert_eq!(values, ["new 0", "new 1", "new 2", "new 3", "new 4"], "{}", side.runtime);
    }
}

fn produced(client: &mut Client, topic: &Topic, value: &str) -> i16 {
    let request: ProduceRequest = admin::produce_request("", topic.id, 13, 0, -1, batch(&[value]).bytes());
    client.call(13, &request).responses[0].partition_responses[0].error_code
}

fn fetched(client: &mut Client, version: i16, topic: &Topic) -> (i16, Vec<String>) {
    let request: FetchRequest = admin::fetch_request("", topic.id, version, &[0], 1 << 20);
    let partition = partition_of(client.call(version, &request));
    (partition.error_code, visible(&partition))
}

fn delete(client: &mut Client, id: Uuid) {
    let request = DeleteTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_topics(vec![DeleteTopicState::default().with_name(None).with_topic_id(id)]);
    let answer = client.call(6, &request);
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

/// Makes the topic again, on the same brokers, once they have forgotten the old one.
fn make_again(cluster: &Cluster, old: &Topic) -> Topic {
    await_end(cluster, old);
    let leader = old.leaders[0];
    let new = create_topic(cluster, &old.name, &[&[leader, 5 - leader]]);
    assert_ne!(new.id, old.id);
    new
}

fn await_end(cluster: &Cluster, old: &Topic) {
    for (_, broker) in cluster.addresses() {
        wait_for("the end of the old topic", SETTLED, || {
            let known = admin::known_by(&mut Connection::open(broker)?, &[&old.name])?;
            Ok((!known.contains(&old.id)).then_some(()))
        })
        .unwrap();
    }
}

/// Of each Produce of this client: the topic that the request names, and the error of the answer.
fn produces(side: &Side, client_id: &str) -> Vec<Value> {
    wait_for("the exchanges in the recording", SETTLED, || {
        let sessions = side.gateway.weir_json(&["sessions"])?;
        let Some(session) = sessions.iter().find(|session| session["client_id"] == client_id) else { return Ok(None) };
        let shown = side.gateway.weir_json(&["show", session["id"].as_str().unwrap_or_default()])?;
        let produces = shown.iter().filter(|e| e["event"] == "exchange" && e["request"]["api_key"] == 0);
        let told: Vec<Value> = produces
            .map(|e| {
                let error = e["response"]["items"][0]["error_code"].as_i64().unwrap_or(0);
                json!([e["request"]["items"][0]["name"], error])
            })
            .collect();
        Ok((told.len() == 3).then_some(told))
    })
    .unwrap()
}
