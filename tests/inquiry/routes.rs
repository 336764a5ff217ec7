//! Three brokers: each question goes to the one that knows, also after that has changed, and none waits for one that hangs.

use std::time::{Duration, Instant};

use loadtest::admin;
use loadtest::batch::Batch;
use loadtest::kafka::{self, Cluster};
use loadtest::wait_for;
use weir::limits;
use weir::policy::HeldOperation;
use weir::upstream::Answered;

use crate::effects::{facts, of_topic};
use crate::world::*;

fn offsets(answers: &[Answered]) -> Vec<Option<i64>> {
    answers.iter().map(Answered::offset).collect()
}

/// Groups whose coordinators are different brokers, for as many brokers as have one.
fn groups(kafka: &Cluster) -> Vec<String> {
    let mut by_node = std::collections::BTreeMap::new();
    for n in 0..16 {
        let group = format!("group-{n}");
        by_node.entry(admin::coordinator(kafka, admin::Coordinates::Group, &group).unwrap()).or_insert(group);
    }
    assert!(by_node.len() > 1, "{by_node:?}");
    by_node.into_values().collect()
}

#[test]
fn each_question_goes_to_the_broker_that_knows_and_none_waits_for_one_that_hangs() {
    let mut kafka = Cluster::start(3, kafka::Options::highly_available()).unwrap();
    let weir = weir(&kafka.bootstrap(), None, None);
    admin::create_placed(&kafka, "spread", &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]).unwrap();
    for partition in 0..3 {
        let leader = kafka.address(partition + 1).unwrap();
        admin::produce(leader, "spread", partition, Batch::counting(9).bytes()).unwrap();
        delete_records(&kafka, partition + 1, "spread", partition, i64::from(partition) + 1);
    }
    let groups = groups(&kafka);
    groups.iter().for_each(|group| commit(&kafka, group, "spread", &[4, 5, 6]));
    let starts = || (0..3).map(|partition| log_start("spread", partition)).collect::<Vec<_>>();
    assert_eq!(offsets(&ask(&weir, starts())), [Some(1), Some(2), Some(3)]);
    let positions = groups.iter().map(|group| committed(group, "spread", 2)).collect();
    assert_eq!(offsets(&ask(&weir, positions)), vec![Some(6); groups.len()]);

    // Every leader's records, each of them once, and every coordinator's groups.
    let effect = facts(&weir, HeldOperation::DeleteTopics, vec![of_topic("spread", &[])]);
    assert_eq!(effect[0], "spread partitions: 3 partitions, 3 replicas each");
    assert_eq!(effect[1], "spread records: 21 records");
    assert_eq!(effect[3], format!("spread groups: {} groups read it, 0 active", groups.len()));
    assert_eq!(effect[4], "spread group: group-0: empty, 12 records behind");

    // Nobody has noticed yet that broker 2 hangs: its partition is unknown or answered by its next leader, in time.
    kafka.pause(2).unwrap();
    let began = Instant::now();
    let answers = offsets(&ask(&weir, starts()));
    let took = began.elapsed();
    assert!(took < limits::INQUIRY_WAIT + Duration::from_secs(1), "{took:?}");
    assert_eq!((answers[0], answers[2]), (Some(1), Some(3)));
    assert!([None, Some(2)].contains(&answers[1]), "{answers:?}");
    // The others do not wait for it.
    let began = Instant::now();
    assert_eq!(offsets(&ask(&weir, vec![log_start("spread", 0)])), [Some(1)]);
    assert!(began.elapsed() < limits::INQUIRY_WAIT);
    let moved = || Ok((offsets(&ask(&weir, starts())) == [Some(1), Some(2), Some(3)]).then_some(()));
    wait_for("answers of the next leader", Duration::from_secs(60), moved).unwrap();
    kafka.resume(2).unwrap();

    // A leader that goes in order, and connections to it that are kept.
    kafka.stop(3).unwrap();
    wait_for("answers without broker 3", Duration::from_secs(60), moved).unwrap();
}

#[test]
fn without_any_broker_there_is_no_answer_and_no_wait_either() {
    let mut kafka = Cluster::start(2, kafka::Options { controllers: 1, ..kafka::Options::default() }).unwrap();
    topic(&kafka, "lost", &[2], &[1]);
    let weir = weir(&kafka.bootstrap(), None, None);
    assert_eq!(offsets(&ask(&weir, vec![log_start("lost", 0)])), [Some(0)]);
    kafka.stop(2).unwrap();
    let began = Instant::now();
    assert_eq!(offsets(&ask(&weir, vec![log_start("lost", 0)])), [None]);
    drop(kafka);
    assert_eq!(offsets(&ask(&weir, vec![log_start("lost", 0), committed("any", "lost", 0)])), [None, None]);
    assert!(began.elapsed() < 2 * limits::INQUIRY_WAIT + Duration::from_secs(5), "{:?}", began.elapsed());
}
