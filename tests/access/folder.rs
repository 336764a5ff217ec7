//! A policy of several files, followed while the gateway runs and nobody says that it changed.

use std::fs;
use std::time::Duration;

use loadtest::weir::{Gateway, Options};
use loadtest::{admin, wait_for};

use super::common;
use super::people::{asks_for, told};
use super::person::Person;

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const LIMIT: Duration = Duration::from_secs(30);

fn rule(group: &str, topic: &str) -> String {
    format!("access:\n  - {{ groups: [{group}], operations: [describe], topics: [\"{topic}\"] }}\n")
}

#[test]
fn a_file_that_comes_changes_or_goes_in_a_policy_folder_is_taken_over() {
    // Who follows the files knows nothing of runtimes.
    let runtime = "io_uring";
    let topic = format!("foldered-{runtime}");
    admin::create_topic(common::cluster(), &topic, &[1]).unwrap();
    let mut options = Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
    options.top = vec!["policy: policy.d".to_owned()];
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    let folder = gateway.config_path().with_file_name("policy.d");
    fs::create_dir(&folder).unwrap();
    // Whoever is left without any right is disconnected, hence this one.
    fs::write(folder.join("10-all.yaml"), rule("makers", "something-else")).unwrap();
    gateway.start_again().unwrap();

    let maker = Person::of(&gateway, "maker", "makers");
    let mut connection = maker.connection(gateway.address());
    let mut sees = |expected: i16| {
        wait_for(&format!("{expected} for {topic}"), LIMIT, || {
            let answer = connection.call(9, &asks_for(&[&topic], false)).unwrap();
            Ok((told(&answer) == [(topic.clone(), expected)]).then_some(()))
        })
        .unwrap();
    };
    sees(TOPIC_AUTHORIZATION_FAILED);
    let own = folder.join("20-makers.yaml");
    fs::write(&own, rule("makers", &topic)).unwrap();
    sees(0);
    fs::write(&own, rule("makers", "foldered-other")).unwrap();
    sees(TOPIC_AUTHORIZATION_FAILED);
    fs::write(&own, rule("makers", "foldered-*")).unwrap();
    sees(0);
    // A file that would be passed over, or is wrong, changes nothing, and neither does what it came with.
    fs::write(folder.join("30-late.yml"), rule("makers", "late")).unwrap();
    fs::remove_file(&own).unwrap();
    wait_for("the trouble in the log", LIMIT, || Ok(gateway.log().contains("30-late.yml").then_some(()))).unwrap();
    sees(0);
    fs::remove_file(folder.join("30-late.yml")).unwrap();
    sees(TOPIC_AUTHORIZATION_FAILED);
}
