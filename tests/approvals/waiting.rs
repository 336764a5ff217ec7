//! What happens on the wire while a request waits, and after.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, MetadataRequest,
};
use loadtest::admin;
use loadtest::wait_for;

use super::common::RUNTIMES;
use super::world::{POLICY_VIOLATION, RULES, SOON, World, delete, deletion, exists, make};

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;

#[test]
fn a_request_waits_and_goes_on_once_somebody_says_yes() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.waits-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        let told = thread::scope(|scope| {
            let asked = scope.spawn(|| delete(&mut connection, &topic));
            let id = world.pending(&format!("delete topics {topic}"));
            assert!(exists(&topic), "nothing is done before");
            world.says(&world.ann, &["approve", &id, "--comment", "go on"]);
            asked.join().unwrap()
        });
        assert_eq!(told, (0, String::new()));
        assert!(!exists(&topic));
        let case = &world.requests()[0];
        assert_eq!(case["grant"]["used"].as_array().map(Vec::len), Some(1), "{case}");
        assert_eq!(case["grant"]["in_force"], false);
    }
}

#[test]
fn who_is_not_answered_in_time_is_told_what_to_do_and_the_same_passes_later_once() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.later-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        let begun = Instant::now();
        let (code, words) = delete(&mut connection, &topic);
        assert!(begun.elapsed() >= Duration::from_secs(3), "it waited as long as the rule says");
        let id = world.pending(&format!("delete topics {topic}"));
        assert_eq!(code, POLICY_VIOLATION);
        assert!(words.contains(&id) && words.contains("1 of sre"), "{words}");
        let again = delete(&mut connection, &topic).1;
        assert!(again.contains(&id), "the same joins the request that is open: {again}");
        assert_eq!(world.requests().len(), 1);
        world.says(&world.ann, &["approve", &id]);
        assert_eq!(delete(&mut connection, &topic).0, 0);
        make(&topic);
        assert_eq!(delete(&mut connection, &topic).0, POLICY_VIOLATION, "one use is one use");
        assert!(exists(&topic));
    }
}

#[test]
fn another_topic_another_grant() {
    let world = World::with("epoll", RULES);
    let (one, two) = ("prod.granted", "prod.not-granted");
    [one, two].into_iter().for_each(make);
    let mut connection = world.connection(&world.dev);
    assert_eq!(delete(&mut connection, one).0, POLICY_VIOLATION);
    world.says(&world.ann, &["approve", &world.pending(&format!("delete topics {one}"))]);
    assert_eq!(delete(&mut connection, two).0, POLICY_VIOLATION);
    let mut others = world.connection(&world.bob);
    assert_eq!(delete(&mut others, one).0, POLICY_VIOLATION, "and another person");
    assert!(exists(one) && exists(two));
    assert_eq!(delete(&mut connection, one).0, 0);
}

#[test]
fn of_several_items_those_that_may_be_done_are_and_the_others_fail() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let (held, free) = (format!("prod.item-{runtime}"), format!("dev.item-{runtime}"));
        [&held, &free].into_iter().for_each(|topic| make(topic));
        let mut connection = world.connection(&world.dev);
        let answer = connection.call(6, &deletion(&[&held, &free])).unwrap();
        let mut told: Vec<(String, i16)> =
            answer.responses.iter().map(|one| (one.name.as_ref().unwrap().to_string(), one.error_code)).collect();
        told.sort();
        assert_eq!(told, [(free.clone(), 0), (held.clone(), POLICY_VIOLATION)]);
        assert!(exists(&held) && !exists(&free));
    }
}

#[test]
fn nothing_more_is_read_while_a_request_waits() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.order-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        let first = connection.send(6, &deletion(&[&topic])).unwrap();
        let second = connection.send(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).unwrap();
        let begun = Instant::now();
        let answer = connection.receive::<DeleteTopicsRequest>(6, first).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(2_500));
        assert_eq!(answer.responses[0].error_code, POLICY_VIOLATION);
        connection.receive::<MetadataRequest>(12, second).unwrap();
    }
}

#[test]
fn a_client_that_leaves_gets_nothing_done_and_finds_a_grant_when_it_comes_back() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.gone-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        connection.send(6, &deletion(&[&topic])).unwrap();
        let id = world.pending(&format!("delete topics {topic}"));
        drop(connection);
        let gone = || {
            let sessions = world.gateway.weir_json(&["sessions"]).unwrap();
            let shown = |session: &serde_json::Value| {
                world.gateway.weir(&["show", session["id"].as_str().unwrap()]).unwrap().stdout
            };
            Ok(sessions.iter().map(shown).any(|shown| shown.contains("the client has gone")).then_some(()))
        };
        wait_for("the recording that says so", SOON, gone).unwrap();
        world.says(&world.ann, &["approve", &id]);
        thread::sleep(Duration::from_millis(500));
        assert!(exists(&topic), "nothing runs without its client");
        assert_eq!(delete(&mut world.connection(&world.dev), &topic).0, 0);
    }
}

#[test]
fn a_request_that_waits_ends_with_its_clients_right() {
    let world = World::with("epoll", RULES);
    let topic = "prod.revoked-meanwhile";
    make(topic);
    let mut connection = world.connection(&world.dev);
    connection.send(6, &deletion(&[topic])).unwrap();
    let id = world.pending(&format!("delete topics {topic}"));
    world.gateway.weir(&["token", "revoke", &world.dev.token.id]).unwrap();
    world.says(&world.ann, &["approve", &id]);
    assert!(connection.closes_within(SOON).unwrap());
    assert!(exists(topic));
}

#[test]
fn a_rule_that_comes_while_a_request_waits_is_not_passed_by_an_approval_without_it() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.ruled-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        let (code, words) = thread::scope(|scope| {
            let asked = scope.spawn(|| delete(&mut connection, &topic));
            let id = world.pending(&format!("delete topics {topic}"));
            let another = RULES.replace("production topics", "owners").replace("approvals:\n", "");
            fs::write(world.gateway.config_path().with_file_name("policy.yaml"), format!("{RULES}{another}")).unwrap();
            world.gateway.weir(&["reload"]).unwrap();
            world.says(&world.ann, &["approve", &id]);
            asked.join().unwrap()
        });
        assert_eq!(code, POLICY_VIOLATION);
        assert!(words.contains("the policy, or a grant, has changed"), "{words}");
        assert!(exists(&topic));
    }
}

/// As long as a rule may say.
const LONGEST: &str = "hold: 25s";

#[test]
fn a_request_waits_no_longer_than_it_says_that_its_client_does() {
    on_both(|runtime| {
        let world = World::with(runtime, &RULES.replace("hold: 3s", LONGEST));
        let topic = format!("prod.short-{runtime}");
        make(&topic);
        let mut connection = world.connection(&world.dev);
        let begun = Instant::now();
        let answer = connection.call(6, &deletion(&[&topic]).with_timeout_ms(2_000)).unwrap();
        assert_eq!(answer.responses[0].error_code, POLICY_VIOLATION);
        answered_before(begun, 2);
        let made = admin::placed(&format!("prod.made-{runtime}"), &[&[1]]);
        let creation = CreateTopicsRequest::default().with_topics(vec![made]).with_timeout_ms(3_000);
        let begun = Instant::now();
        let answer = connection.call(7, &creation).unwrap();
        assert_eq!(answer.topics[0].error_code, POLICY_VIOLATION);
        answered_before(begun, 3);
    });
}

/// It waited as long as it could: a second is for the way back.
fn answered_before(begun: Instant, seconds: u64) {
    let (after, all) = (begun.elapsed(), Duration::from_secs(seconds));
    assert!(after >= all - Duration::from_secs(1) && after < all, "of {all:?}: {after:?}");
}

#[test]
fn a_request_that_does_not_say_how_long_its_client_waits_is_answered_before_clients_give_up() {
    on_both(|runtime| {
        let world = World::with(runtime, &RULES.replace("hold: 3s", LONGEST));
        let topic = format!("prod.patient-{runtime}");
        make(&topic);
        let setting =
            AlterableConfig::default().with_name(admin::text("retention.ms")).with_value(Some(admin::text("1000")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(admin::text(topic))
            .with_configs(vec![setting]);
        let alter = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let begun = Instant::now();
        let answer = world.connection(&world.dev).call(1, &alter).unwrap();
        assert_eq!(answer.responses[0].error_code, POLICY_VIOLATION);
        let after = begun.elapsed();
        assert!(after >= Duration::from_secs(8) && after < Duration::from_secs(10), "{after:?}");
    });
}

/// Side by side: they do nothing but wait.
fn on_both(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for runtime in RUNTIMES {
            let test = &test;
            scope.spawn(move || test(runtime));
        }
    });
}

#[test]
fn each_api_says_no_in_the_words_it_has() {
    let world = World::with("epoll", RULES);
    let topic = "prod.words";
    make(topic);
    let mut connection = world.connection(&world.dev);
    let old = DeleteTopicsRequest::default().with_topic_names(vec![admin::topic(topic)]).with_timeout_ms(2_000);
    let answer = connection.call(4, &old).unwrap();
    assert_eq!(answer.responses[0].error_code, TOPIC_AUTHORIZATION_FAILED, "version 4 has no room for words");

    let more = CreatePartitionsTopic::default().with_name(admin::topic(topic)).with_count(2);
    let more = CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(2_000);
    let answer = connection.call(3, &more).unwrap();
    assert_eq!(answer.results[0].error_code, POLICY_VIOLATION);
    assert!(answer.results[0].error_message.as_ref().unwrap().contains("approval"));

    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(-1);
    let records = DeleteRecordsTopic::default().with_name(admin::topic(topic)).with_partitions(vec![partition]);
    let records = DeleteRecordsRequest::default().with_topics(vec![records]).with_timeout_ms(2_000);
    let answer = connection.call(2, &records).unwrap();
    assert_eq!(answer.topics[0].partitions[0].error_code, TOPIC_AUTHORIZATION_FAILED);
    let asked: Vec<String> =
        world.requests().iter().map(|case| case["operation"].as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, ["delete_records", "create_partitions", "delete_topics"]);
}

#[test]
fn what_only_asks_whether_it_would_work_is_no_action() {
    let world = World::with("epoll", RULES);
    make("prod.asks");
    let more =
        CreatePartitionsTopic::default().with_name(admin::topic("prod.asks")).with_count(2).with_assignments(None);
    let more =
        CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(5_000).with_validate_only(true);
    let answer = world.connection(&world.dev).call(3, &more).unwrap();
    assert_eq!(answer.results[0].error_code, 0);
    assert!(world.requests().is_empty());
}
