//! What is produced under a rule: the broker has the masked form, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use loadtest::scratch::Scratch;

use super::*;

/// The file of a hash's key, as only its owner may read it.
fn hash_key(dir: &Scratch) -> PathBuf {
    let key = dir.path().join("key");
    fs::write(&key, "a key of more than sixteen bytes").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    key
}

#[test]
fn what_is_produced_reaches_the_broker_masked_under_every_codec() {
    let rules = r#"  - topics: ["written-*"]
    fields: ["card.number"]
    action: { keep_last: 4 }
    on: [produce]
"#;
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, rules);
        let topic = format!("written-{runtime}");
        let writer = Person::of(&gateway, "writer", "staff");
        writer.java("maker").create_topic(&topic, 1).unwrap();
        for codec in CODECS {
            if runtime == "io_uring" {
                let told = writer.kcat(&["-P", "-t", &topic, "-z", codec], &events(codec).join("\n"));
                assert_eq!(told.stderr, "");
            } else {
                writer.java("writer").produce(&topic, codec, &script()[codec]).unwrap();
            }
        }
        let idempotent = ["-P", "-t", &topic, "-X", "enable.idempotence=true"];
        assert_eq!(writer.kcat(&idempotent, &events("none")[0]).stderr, "");
        assert_eq!(stored(&topic), masked(&[all_events(), vec![events("none")[0].clone()]].concat()));
        is_recorded_masked(&gateway);
    }
}

#[test]
fn a_keyed_hash_is_the_same_for_the_same_value_on_every_gateway() {
    let dir = Scratch::new("weir-masking-key-").unwrap();
    let key = hash_key(&dir);
    let rules = format!(
        "  - topics: [\"hashed\"]\n    fields: [\"card.number\"]\n    action: {{ hash: {{ key: {{ file: {} }} }} }}\n    on: [produce]\n",
        key.display()
    );
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, &rules);
        let writer = Person::of(&gateway, "writer", "staff");
        if runtime == "io_uring" {
            writer.java("maker").create_topic("hashed", 1).unwrap();
        }
        let told = writer.kcat(&["-P", "-t", "hashed"], &format!(r#"{{"card":{{"number":"{CARD}"}}}}"#));
        assert_eq!(told.stderr, "");
    }
    let stored = stored("hashed");
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0], stored[1]);
    assert!(!stored[0].contains(CARD) && stored[0].len() > 40, "{}", stored[0]);
}

/// A hash is longer than what it stands for. The broker says no to the batch that grew, and yes to one that did not.
#[test]
fn what_grows_beyond_the_brokers_limit_is_too_large_and_no_hang() {
    let dir = Scratch::new("weir-masking-key-").unwrap();
    let key = hash_key(&dir);
    let rules = format!(
        "  - {{ topics: [grows], fields: [\"a\"], action: {{ hash: {{ key: {{ file: {} }} }} }}, on: [produce] }}\n  - {{ topics: [stays], fields: \
         [\"a\"], action: redact, on: [produce] }}\n",
        key.display()
    );
    let gateway = gateway("auto", &rules);
    let writer = Person::of(&gateway, "writer", "staff");
    let short = format!("{{\"a\":[{}]}}", vec!["\"b\""; 200].join(","));
    for (topic, told) in [("grows", "Message size too large"), ("stays", "")] {
        let tool = writer.java("maker");
        tool.create_topic(topic, 1).unwrap();
        let limit = format!("max.message.bytes={}", short.len() + 200);
        let args = ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &limit];
        tool.tool("kafka.admin.ConfigCommand", &args, b"").unwrap();
        let output = writer.kcat(&["-v", "-P", "-t", topic], &short);
        assert!(output.stderr.contains(told), "{topic}: {}", output.stderr);
        assert_eq!(stored(topic).len(), usize::from(told.is_empty()), "{topic}");
    }
}

#[test]
fn what_a_rule_refuses_is_not_written_and_the_client_is_told() {
    let rules = r#"  - topics: ["written-refused"]
    fields: ["card.number"]
    action: redact
    on: [produce]
    unparsable: refuse
"#;
    let gateway = gateway("auto", rules);
    let writer = Person::of(&gateway, "writer", "staff");
    writer.java("maker").create_topic("written-refused", 1).unwrap();
    let told = writer.kcat(&["-v", "-P", "-t", "written-refused"], &format!("no JSON, and {CARD}\n"));
    assert!(told.stderr.contains("Policy violation"), "{}", told.stderr);
    assert_eq!(stored("written-refused"), Vec::<String>::new());
}
