//! Records that a rule leaves out of what share consumers read (KIP-932): they are acquired together with the others, and must
//! not be left with whoever acquired them. Java's and librdkafka's share consumers.

#[path = "../features/programs.rs"]
#[allow(dead_code)]
mod programs;

use loadtest::{admin, wait_for};
use programs::Program;
use serde_json::{Value, json};

use super::*;

const CONFIGS: &str = "kafka.admin.ConfigCommand";
const SHARE_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";

/// Odd digits are left out.
const RULES: &str = r#"masking:
  - topics: ["left-out-*"]
    detect: [{ pattern: '[13579]' }]
    action: drop_record
"#;

/// Batches that begin and end with what is left out, are left out whole, or are all there.
const BATCHES: [&[&str]; 6] =
    [&["1", "3"], &["5", "0", "7", "9", "2", "31"], &["4", "6"], &["33", "35"], &["8", "39", "20"], &["11", "13"]];
const LEFT_IN: [&str; 6] = ["0", "2", "4", "6", "8", "20"];

const SOON: Duration = Duration::from_secs(60);
const MODES: [&str; 2] = ["implicit", "explicit"];

fn gateway(runtime: &str) -> Gateway {
    let options = Options::new(common::cluster().bootstrap()).runtime(runtime);
    common::gateway_before(common::cluster(), options.policy(RULES))
}

fn direct() -> JavaTools {
    JavaTools::new(&Target::anonymous(common::cluster().bootstrap(), "direct")).unwrap()
}

fn write(topic: &str, codec: &str, values: &[&str]) {
    let told = kcat(&common::cluster().bootstrap(), &["-P", "-t", topic, "-z", codec], &values.join("\n"));
    assert_eq!(told.stderr, "");
}

/// A topic of the batches, and a group of its name that reads it from its beginning.
fn topic_for_a_group(name: &str) {
    admin::create_topic(common::cluster(), name, &[1]).unwrap();
    for (batch, codec) in BATCHES.into_iter().zip(CODECS.into_iter().cycle()) {
        write(name, codec, batch);
    }
    let earliest = ["--add-config", "share.auto.offset.reset=earliest"];
    let args = ["--alter", "--entity-type", "groups", "--entity-name", name];
    direct().tool(CONFIGS, &[&args[..], &earliest].concat(), b"").unwrap();
}

/// Until nothing is in the topic that its group could be given, or given again.
fn is_done(group: &str) {
    let (tools, mut said) = (direct(), String::new());
    let waited = wait_for("an end of the group's lag", SOON, || {
        said = tools.tool(SHARE_GROUPS, &["--describe", "--group", group], b"")?.stdout;
        let lag = said.lines().find(|line| line.starts_with(group)).and_then(|line| line.split_whitespace().nth(4));
        Ok((lag == Some("0")).then_some(()))
    });
    waited.unwrap_or_else(|e| panic!("{group}: {said}: {e}"));
}

fn scene(gateway: &Gateway, topic: &str, mode: &str) -> Value {
    json!({ "bootstrap": gateway.bootstrap(), "topic": topic, "group": topic, "mode": mode, "records": LEFT_IN.len() })
}

#[test]
fn javas_share_consumer_is_given_each_record_that_is_left_in_once_and_its_group_comes_to_an_end() {
    for (runtime, mode) in common::RUNTIMES.into_iter().zip(MODES) {
        let gateway = gateway(runtime);
        let topic = format!("left-out-java-{mode}");
        topic_for_a_group(&topic);
        let mut reader = Program::start("Shared.java", &scene(&gateway, &topic, mode)).unwrap();
        reader.says("20 in delivery 1").unwrap();
        is_done(&topic);
        // An answer of which nothing is left, and then one that comes through.
        write(&topic, "lz4", &["15", "17"]);
        is_done(&topic);
        write(&topic, "none", &["22"]);
        reader.says("22 in delivery 1").unwrap();
        is_done(&topic);
        reader.go_on().unwrap();
        let read = reader.ends_well().unwrap();
        let expected = LEFT_IN.into_iter().chain(["22"]).map(|value| format!("{value} in delivery 1"));
        let read: Vec<&str> = read.lines().filter(|line| line.contains("in delivery")).collect();
        assert_eq!(read, expected.collect::<Vec<_>>(), "{runtime}, {mode}");
    }
}

#[test]
fn librdkafkas_share_consumers_come_to_the_end_of_a_topic_of_which_records_are_left_out() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime);
        for mode in MODES {
            let topic = format!("left-out-{mode}-{runtime}");
            topic_for_a_group(&topic);
            let (status, output) = programs::run("share.py", &scene(&gateway, &topic, mode)).unwrap();
            assert!(status.success(), "{runtime}, {mode}: {}", output.stderr);
            let told: Value = serde_json::from_str(&output.stdout).unwrap();
            assert_eq!(told["accepted"], json!(LEFT_IN), "{runtime}, {mode}");
            is_done(&topic);
        }
    }
}
