//! What is read: by whom, with which client, and what happens to what cannot be masked.

use std::collections::BTreeMap;

use loadtest::clients::{Client, Record};

use super::*;

/// kcat, which makes no topics, is what the other tests read with.
const CLIENTS: [Client; 8] = [
    Client::JavaConsole,
    Client::ConfluentKafka,
    Client::FranzGo,
    Client::Sarama,
    Client::KafkaGo,
    Client::KafkaPython,
    Client::Aiokafka,
    Client::KafkaJs,
];

const CARD_DATA: &str = r#"  - name: card data
    topics: ["payments-*"]
    fields: ["card.number"]
    action: { keep_last: 4 }
    unless_groups: [pci-readers]
"#;

#[test]
fn the_same_topic_read_by_two_people_differs_by_their_groups_and_the_recording_is_masked_for_both() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, CARD_DATA);
        let topic = format!("payments-two-{runtime}");
        let (analyst, officer) =
            (Person::of(&gateway, "analyst", "analysts"), Person::of(&gateway, "officer", "analysts,pci-readers"));
        analyst.java("maker").create_topic(&topic, 1).unwrap();
        for codec in CODECS {
            let told = officer.kcat(&["-P", "-t", &topic, "-z", codec], &events(codec).join("\n"));
            assert_eq!(told.stderr, "");
        }
        let clear = all_events();
        assert_eq!(stored(&topic), clear, "what is produced is not this rule's");
        assert_eq!(officer.reads(&topic), clear);
        assert_eq!(analyst.reads(&topic), masked(&clear));
        is_recorded_masked(&gateway);
        let counted = gateway.metrics().unwrap().sum("weir_masked_total", &[("what", "fields")]);
        assert!(counted.is_some_and(|fields| fields >= 10.0), "{counted:?}");
    }
}

/// Values, and nothing else, differ from what was sent.
#[test]
fn every_client_family_reads_masked_records_under_every_codec() {
    for (runtime, clients) in common::RUNTIMES.into_iter().zip([&CLIENTS[..4], &CLIENTS[4..]]) {
        let gateway = gateway(runtime, CARD_DATA);
        let clients = clients.iter().chain((runtime == "epoll").then_some(&Client::JavaConsole));
        std::thread::scope(|scope| {
            for client in clients {
                let gateway = &gateway;
                scope.spawn(move || {
                    let topic = format!("payments-{}-{runtime}", client.name());
                    let somebody = Person::of(gateway, client.name(), "analysts");
                    let mut read = client.play(&somebody.target(client.name()), &topic, 1, &topic, &script()).unwrap();
                    read.sort();
                    let sent = script().into_values().flatten();
                    let mut expected: Vec<Record> = sent
                        .map(|record| Record { value: record.value.map(|value| masked(&[value]).remove(0)), ..record })
                        .collect();
                    expected.sort();
                    assert_eq!(read, expected, "{}", client.name());
                });
            }
        });
    }
}

#[test]
fn keys_headers_and_what_detectors_find_are_masked_too_and_a_record_can_be_left_out() {
    let rules = r#"  - topics: ["payments-parts"]
    fields: ["$key.user", "headers.x-user"]
    action: redact
  - topics: ["payments-parts"]
    fields: ["headers.x-trace"]
    action: drop_field
  - topics: ["payments-parts"]
    detect: [payment_card]
    action: { keep_last: 4 }
  - topics: ["payments-parts"]
    detect: [{ pattern: 'EMP-[0-9]{6}' }]
    action: drop_record
"#;
    let gateway = gateway("auto", rules);
    let analyst = Person::of(&gateway, "analyst", "staff");
    let record = |value: &str| Record {
        key: Some(r#"{"user":"ann","n":1}"#.to_owned()),
        value: Some(value.to_owned()),
        headers: vec![
            ("x-user".to_owned(), Some("ann".to_owned())),
            ("x-trace".to_owned(), Some("t".to_owned())),
            ("other".to_owned(), Some("ann".to_owned())),
        ],
    };
    let sent = [record(&format!("paid with {CARD}.")), record("hired EMP-123456"), record("nothing")];
    let script = BTreeMap::from([("zstd", sent.to_vec())]);
    // A record is left out, so that who waits for three would wait for ever.
    let direct = Target::anonymous(common::cluster().bootstrap(), "direct");
    Client::ConfluentKafka.play(&direct, "payments-parts", 1, "direct", &script).unwrap();
    let mut read = analyst.java("reader").consume("payments-parts", "parts", 2).unwrap();
    read.sort();
    let masked = |value: &str| Record {
        key: Some(r#"{"user":"***","n":1}"#.to_owned()),
        value: Some(value.to_owned()),
        headers: vec![("x-user".to_owned(), Some("***".to_owned())), ("other".to_owned(), Some("ann".to_owned()))],
    };
    assert_eq!(read, [masked("nothing"), masked(&format!("paid with {MASKED}."))]);
}

#[test]
fn what_cannot_be_read_is_redacted_whole_or_refused_as_the_rule_says() {
    let rules = r#"  - topics: ["payments-redacted"]
    fields: ["card.number"]
    action: { keep_last: 4 }
  - topics: ["payments-refused"]
    fields: ["card.number"]
    action: { keep_last: 4 }
    unparsable: refuse
"#;
    let gateway = gateway("auto", rules);
    let analyst = Person::of(&gateway, "analyst", "staff");
    let broken = format!(r#"{{"card":{{"number":"{CARD}""#);
    for topic in ["payments-redacted", "payments-refused"] {
        analyst.java("maker").create_topic(topic, 1).unwrap();
        kcat(&common::cluster().bootstrap(), &["-P", "-t", topic], &broken);
    }
    assert_eq!(analyst.reads("payments-redacted"), [format!("\"{}\"", "*".repeat(broken.len() - 2))]);
    let refused = analyst.kcat(&["-C", "-t", "payments-refused", "-o", "beginning", "-e"], "");
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.contains("authorization failed"), "{}", refused.stderr);
    // It stops with an exception that names the topic; its tool prints none and ends.
    assert_eq!(analyst.java("reader").consume("payments-refused", "refused", 1).unwrap(), []);
    let log = gateway.log();
    assert!(log.contains("records do not pass") && !log.contains(CARD), "{log}");
    let metrics = gateway.metrics().unwrap();
    assert!(metrics.sum("weir_masking_refused_total", &[]).is_some_and(|refused| refused >= 1.0));
    assert!(metrics.sum("weir_masked_total", &[("what", "unparsable")]).is_some_and(|values| values >= 1.0));
}
