//! `weir explain`, the built command, without a gateway: that it says what the data path does, and that people and programs
//! can read it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cli_support/folder.rs"]
mod folder;

use std::fs;
use std::process::Output;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use folder::Folder;
use loadtest::batch::Batch;
use loadtest::clients::Record;
use serde_json::{Value, json};
use weir::config::Config;
use weir::limits;
use weir::pipeline::masking::plans::{Book, Plans};
use weir::pipeline::masking::{Masking, On};
use weir::policy::{MaskClient, MaskingRules};
use weir::wire::kafka::compression::Levels;
use weir::wire::kafka::records::open;
use weir::wire::kafka::records::rewrite::{Bounds, Outcome, Rewriter};

const CONFIG: &str = r#"store: { path: ./data }
policy: policy.yaml
control: { bind: "127.0.0.1:9280" }
clusters: [{ name: main, bootstrap: ["127.0.0.1:19092"] }]
listeners:
  - { name: main, cluster: main, bind: "127.0.0.1:9292", brokers: "127.0.0.1:9300-9399", auth: [weir_token] }
"#;

const TWO_LISTENERS: &str = r#"  - { name: inner, cluster: main, bind: "127.0.0.1:9293", brokers: "127.0.0.1:9400-9499", auth: [jwt], issuers: [idp] }
issuers: [{ name: idp, issuer: "https://idp.test", audience: [weir] }]
"#;

/// A rule for each reason there is.
const RULES: &str = r#"recording:
  - { name: payments, topics: ["payments.*"], groups: [analysts], mode: full }
  - { topics: ["payments.*"], mode: metadata, sample: { rate: 0.01, max_bytes_per_second: 1MiB } }
masking:
  - name: card data
    topics: ["payments.*"]
    fields: ["card.number", "$key", headers.x-card, headers.x-gone]
    detect: [email]
    action: { keep_last: 4 }
    unless_groups: [pci-readers, auditors]
  - { name: contractors, topics: ["payments.*"], fields: [card], action: redact, groups: [contractors] }
  - { name: inner, listeners: [inner], fields: [card.number], action: null }
  - { name: gone, topics: ["payments.*"], fields: [headers.x-gone, note], action: drop_field, on: [produce, fetch] }
  - { name: batch jobs, client_ids: ["batch-*"], fields: [salary], action: { keep_first: 1 } }
  - { name: team, consumer_groups: ["team-*"], fields: [bonus], action: redact, unparsable: refuse }
  - { name: recording, detect: [iban], action: redact, on: [recording] }
  - { topics: [orders], fields: [all], action: drop_record }
"#;

impl Folder {
    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn explain(&self, arguments: &[&str]) -> String {
        self.printed(&[&["explain"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.explain(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn token(&self, subject: &str, groups: &str) -> String {
        let arguments = ["token", "create", "--subject", subject, "--groups", groups, "--ttl", "1h", "--json"];
        let created: Value = serde_json::from_slice(&self.weir(&arguments).stdout).unwrap();
        created["id"].as_str().unwrap().to_owned()
    }

    fn rules(&self) -> MaskingRules {
        Config::load(&self.0.path().join("weir.yaml")).unwrap().policy.snapshot.masking.clone()
    }
}

fn two_listeners() -> Folder {
    Folder::new(&format!("{CONFIG}{TWO_LISTENERS}"), RULES)
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// Numbers of the rules that are said to apply.
fn applying(login: &Value) -> Vec<usize> {
    let rules = login["masking"]["rules"].as_array().unwrap();
    (0..rules.len()).filter(|number| rules[*number]["applies"] == true).collect()
}

#[test]
fn what_is_explained_is_what_the_data_path_selects() {
    let folder = two_listeners();
    let rules = folder.rules();
    for listener in ["main", "inner"] {
        for groups in ["", "pci-readers", "analysts,contractors"] {
            for (client_id, consumer_group) in [("", ""), ("batch-7", "team-a"), ("app", "other")] {
                for (op, on, topic) in [
                    ("fetch", On::Fetch, "payments.eu"),
                    ("produce", On::Produce, "payments.eu"),
                    ("fetch", On::Fetch, "orders"),
                ] {
                    let who = ["--listener", listener, "--groups", groups, "--client-id", client_id];
                    let what = ["--consumer-group", consumer_group, "--op", op, "--topic", topic];
                    let told = folder.json(&[who, what].concat());
                    let groups: Vec<String> = groups.split(',').map(str::to_owned).collect();
                    let consumer_groups: Vec<Arc<str>> = vec![consumer_group.into()];
                    let client = MaskClient {
                        listener,
                        groups: &groups,
                        client_id: Some(client_id).filter(|id| !id.is_empty()),
                        consumer_groups: if consumer_group.is_empty() { &[] } else { &consumer_groups },
                    };
                    let selected = |on| rules.on_topic(rules.of_client(on, &client), Some(topic)).iter();
                    let selected_here: Vec<usize> = selected(on).collect();
                    assert_eq!(applying(&told["logins"][0]), selected_here, "{who:?} {what:?}");
                    let recorded: Vec<String> = selected(On::Recording).map(|at| format!("masking[{at}]")).collect();
                    assert_eq!(list(&told["logins"][0]["recording"]["masked_by"]), recorded, "{who:?} {what:?}");
                }
            }
        }
    }
}

#[test]
fn each_rule_that_does_not_apply_says_why() {
    let folder = two_listeners();
    let who = ["--listener", "main", "--groups", "pci-readers", "--client-id", "app", "--consumer-group", "etl"];
    let ask = [&who[..], &["--op", "fetch", "--topic", "payments.eu"]].concat();
    let told = folder.json(&ask);
    let rules = told["logins"][0]["masking"]["rules"].as_array().unwrap();
    let reasons: Vec<&Value> = rules.iter().map(|rule| &rule["why_not"]["reason"]).collect();
    let expected =
        json!(["unless_groups", "groups", "listener", null, "client_id", "consumer_group", "direction", "topic"]);
    assert_eq!(json!(reasons), expected);
    let text = folder.explain(&ask);
    for line in [
        "MASKING  1 of 8 rules applies",
        "masking[0] \"card data\": it excepts group pci-readers",
        "masking[1] \"contractors\": it holds for other groups (contractors)",
        "masking[2] \"inner\": it holds for other listeners (inner)",
        "masking[4] \"batch jobs\": it holds for other client ids (batch-*)",
        "masking[5] \"team\": it holds for other consumer groups (team-*)",
        "masking[6] \"recording\": it masks the recording only",
        "masking[7]: it holds for other topics (orders)",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'), "colour where no terminal is: {text:?}");
}

#[test]
fn what_is_not_known_counts_as_masked_and_that_is_said() {
    let folder = two_listeners();
    let ask = ["--listener", "main", "--op", "fetch", "--topic", "salaries"];
    let told = folder.json(&ask);
    let rules = &told["logins"][0]["masking"]["rules"];
    assert_eq!(applying(&told["logins"][0]), [4, 5]);
    assert_eq!(rules[4]["not_known"], json!([{ "what": "client_id", "about": ["batch-*"] }]));
    assert_eq!(rules[5]["not_known"], json!([{ "what": "consumer_group", "about": ["team-*"] }]));
    let text = folder.explain(&ask).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("no consumer group is given, and one that is not known counts as one that the rule is about")
    );
}

#[test]
fn what_is_said_to_lift_a_rule_lifts_it() {
    let folder = two_listeners();
    let base = ["--op", "fetch", "--topic", "payments.eu"];
    let who = |groups, listener| ["--groups", groups, "--listener", listener];
    let told = folder.json(&[&base[..], &who("contractors", "inner")].concat());
    let rules = &told["logins"][0]["masking"]["rules"];
    assert_eq!(rules[0]["lifted_by"][0]["text"], "be in one of: pci-readers, auditors");
    assert_eq!(rules[1]["lifted_by"][0]["text"], "be in none of: contractors");
    assert_eq!(rules[2]["lifted_by"][0]["text"], "come through another listener: main");
    assert_eq!(rules[3]["lifted_by"], json!([]));
    let more = ["--client-id", "app", "--consumer-group", "other"];
    assert_eq!(rules[4]["lifted_by"][0]["text"], "have a client id other than: batch-*");
    assert_eq!(rules[5]["lifted_by"][0]["text"], "read for a consumer group other than: team-*");
    let told = folder.json(&[&base[..], &more, &who("auditors", "main")].concat());
    assert_eq!(applying(&told["logins"][0]), [3], "all but the one that holds for everyone");
}

#[test]
fn of_two_rules_for_one_field_it_is_told_which_counts() {
    let folder = two_listeners();
    let who = ["--listener", "main", "--groups", "contractors"];
    let ask = [&who[..], &["--op", "fetch", "--topic", "payments.eu"]].concat();
    let told = folder.json(&ask);
    let decisions = told["logins"][0]["masking"]["decisions"].as_array().unwrap();
    let of = |names| decisions.iter().find(|one| one["names"] == names).unwrap();
    let number = of("card.number");
    assert_eq!(
        (&number["rule"], &number["action"], &number["over"]),
        (&json!("masking[1]"), &json!("redact"), &json!(["masking[0]"]))
    );
    let gone = of("headers.x-gone");
    assert_eq!((&gone["rule"], &gone["action"]), (&json!("masking[3]"), &json!("drop_field")));
    assert_eq!((&of("email")["kind"], &of("email")["keeps"]), (&json!("detector"), &json!(4)));
    let text = folder.explain(&ask);
    assert!(text.contains("card.number: masking[1] (redact), not masking[0] (keep_last 4)"), "{text}");
    assert_eq!(
        told["logins"][0]["masking"]["unparsable_value"],
        json!({ "action": "refuse", "rules": ["masking[5]"] }),
        "one rule that refuses counts"
    );
    assert_eq!(told["logins"][0]["masking"]["unparsable_key"], Value::Null);

    // Whichever of them stands first.
    let rules = "masking:\n  - { fields: [card], action: redact }\n  - { fields: [card.number, a], action: { keep_last: 4 } }\n";
    let told = Folder::new(CONFIG, rules).json(&["--op", "fetch", "--topic", "payments.eu"]);
    let number = &told["logins"][0]["masking"]["decisions"][1];
    assert_eq!(
        (&number["names"], &number["rule"], &number["over"]),
        (&json!("card.number"), &json!("masking[0]"), &json!(["masking[1]"]))
    );
}

#[test]
fn groups_are_those_of_the_active_tokens_each_set_told_apart() {
    let folder = Folder::new(CONFIG, RULES.replace("listeners: [inner]", "listeners: [main]").as_str());
    let ask = ["--as", "analyst-7", "--op", "fetch", "--topic", "payments.eu"];
    let told = folder.json(&ask);
    assert_eq!(told["logins"][0]["groups_from"], "no_token");
    assert!(!folder.0.path().join("data").exists(), "asking makes no store");

    let (one, two) = (folder.token("analyst-7", "analysts"), folder.token("analyst-7", "analysts"));
    folder.token("somebody-else", "contractors");
    let told = folder.json(&ask);
    let mut tokens = [one.as_str(), two.as_str()];
    tokens.sort_unstable();
    assert_eq!(told["logins"].as_array().unwrap().len(), 1);
    assert_eq!(told["logins"][0]["groups"], json!(["analysts"]));
    let mut named = list(&told["logins"][0]["tokens"]);
    named.sort_unstable();
    assert_eq!(named, tokens);
    assert!(folder.explain(&ask).contains("analysts (by tokens "));

    let third = folder.token("analyst-7", "pci-readers");
    let told = folder.json(&ask);
    let logins = told["logins"].as_array().unwrap();
    assert_eq!(logins.iter().map(|login| &login["groups"][0]).collect::<Vec<_>>(), ["analysts", "pci-readers"]);
    assert!(applying(&logins[0]).contains(&0) && !applying(&logins[1]).contains(&0));
    let text = folder.explain(&ask);
    assert!(text.contains("active tokens with different groups"), "{text}");
    assert!(text.contains(&format!("With groups pci-readers (by token {third})")), "{text}");

    assert!(folder.weir(&["token", "revoke", &third]).status.success());
    assert_eq!(folder.json(&ask)["logins"].as_array().unwrap().len(), 1);
    let given = folder.json(&[&ask[..], &["--groups", "b,a,b"]].concat());
    assert_eq!(given["logins"][0]["groups"], json!(["a", "b"]));
}

#[test]
fn the_recording_is_masked_for_everyone_and_how_much_it_keeps_is_told() {
    let folder = two_listeners();
    let ask = |groups| {
        let told = folder.json(&["--listener", "main", "--groups", groups, "--op", "fetch", "--topic", "payments.eu"]);
        told["logins"][0]["recording"].clone()
    };
    let (analyst, reader) = (ask("analysts"), ask("pci-readers"));
    assert_eq!((&analyst["mode"], &analyst["rule"]), (&json!("full"), &json!("recording[0]")));
    assert_eq!((&reader["mode"], &reader["rule"]), (&json!("sample"), &json!("recording[1]")));
    assert_eq!(reader["sample_rate"], 0.01);
    assert_eq!(reader["masked_by"], analyst["masked_by"]);
    assert!(list(&reader["masked_by"]).contains(&"masking[0]"));
    let orders = folder.json(&["--listener", "main", "--op", "fetch", "--topic", "orders"]);
    assert_eq!(
        (&orders["logins"][0]["recording"]["mode"], &orders["logins"][0]["recording"]["rule"]),
        (&json!("metadata"), &json!(null))
    );
}

fn header(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

/// A record as the data path passes it on: the batch is rewritten, and read again. None where it is refused, no record where
/// it is dropped.
fn through_the_data_path(rules: &MaskingRules, client: &MaskClient<'_>, on: On, batch: &[u8]) -> Option<Vec<u8>> {
    let plans = Plans::new(Arc::new(Book::new(rules).unwrap()));
    let Some(mut plans) = plans.of(client) else { return Some(batch.to_vec()) };
    let topic = "payments.eu";
    if !plans.choose(on, topic) {
        return Some(batch.to_vec());
    }
    let mut rewriter = Rewriter::new(Levels::default());
    let most = limits::MASKED_BATCH_BYTES_MAX;
    let bounds = Bounds { inflated: most, batch: most, may_drop: on != On::Produce };
    match rewriter.rewrite(batch, &bounds, &mut |record, with| plans.record(record, with)).ok()? {
        Outcome::Untouched => Some(batch.to_vec()),
        Outcome::Patched => {
            let mut patched = batch.to_vec();
            rewriter.patch(&mut patched);
            Some(patched)
        }
        Outcome::Replaced => Some(rewriter.replacement().to_vec()),
    }
}

/// The one record of a batch, as `weir explain` prints it.
fn as_told(batch: &[u8]) -> Option<Value> {
    let mut inflated = Vec::new();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let record = open(batch, 1 << 20, &mut inflated).unwrap().records.next()?.unwrap();
    let header = |(name, value): (&[u8], Option<&[u8]>)| json!({ "name": text(Some(name)), "value": text(value) });
    let headers: Vec<Value> = record.headers.map(header).collect();
    Some(json!({ "key": text(record.key), "value": text(record.value), "headers": headers }))
}

#[test]
fn a_record_is_shown_as_the_data_path_passes_it_on_and_as_it_records_it() {
    let folder = two_listeners();
    let rules = folder.rules();
    let card = r#"{"card":{"number":"4111111111111111","pin":1},"note":"x","mail":"ada@example.com","iban":"DE89370400440532013000"}"#;
    let values = [card, "call ada@example.com", r#"{"card":{"number":"4111"#, r#"{"bonus":7,"salary":"88000"}"#, "[]"];
    for (number, value) in values.into_iter().enumerate() {
        let file = folder.file(&format!("{number}.json"), format!("{value}\n").as_bytes());
        let headers = vec![header("x-card", "4111111111111111"), header("x-gone", "1"), header("x", "y=z")];
        let record = Record { key: Some("user-7".to_owned()), value: Some(value.to_owned()), headers };
        let batch = Batch::of(vec![record]).bytes();
        for (op, on) in [("fetch", On::Fetch), ("produce", On::Produce)] {
            for groups in ["analysts", "analysts,pci-readers", "analysts,contractors"] {
                let arguments = ["--listener", "main", "--groups", groups, "--op", op, "--topic", "payments.eu"];
                let record = ["--value", &file, "--key", "user-7", "--header", "x-card=4111111111111111"];
                let more = ["--header", "x-gone=1", "--header", "x=y=z"];
                let told = folder.json(&[&arguments[..], &record, &more].concat());
                let told = &told["logins"][0]["record"];
                let groups: Vec<String> = groups.split(',').map(str::to_owned).collect();
                let client = MaskClient { listener: "main", groups: &groups, client_id: None, consumer_groups: &[] };
                let passed = through_the_data_path(&rules, &client, on, &batch);
                let masked = |batch: &Vec<u8>| through_the_data_path(&rules, &client, On::Recording, batch);
                let recorded = passed.as_ref().and_then(masked);
                for (side, batch) in [("passed", passed), ("recorded", recorded)] {
                    let expected = batch.map(|batch| as_told(&batch).unwrap());
                    match expected {
                        None => assert_eq!(told[side]["outcome"], "refused", "{told}"),
                        Some(expected) => {
                            let part = |name| told[side][name].clone();
                            let is = json!({ "key": part("key"), "value": part("value"), "headers": part("headers") });
                            assert_eq!(is, expected, "{side} of {value}, {op}, {groups:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_left_out_refused_not_kept_or_no_text_says_so() {
    let folder = two_listeners();
    let all = folder.file("all", br#"{"all":1}"#);
    let base = ["--listener", "main", "--op", "fetch"];
    let orders = folder.json(
        &[&base[..], &["--topic", "orders", "--value", &all, "--client-id", "a", "--consumer-group", "b"]].concat(),
    );
    let record = &orders["logins"][0]["record"];
    assert_eq!((&record["passed"]["outcome"], &record["recorded"]["outcome"]), (&json!("dropped"), &json!("not_kept")));

    let broken = folder.file("broken", br#"{"bonus":"#);
    let text = folder.explain(&[&base[..], &["--topic", "payments.eu", "--value", &broken]].concat());
    assert!(text.contains("RECORD  does not pass") && text.contains("TOPIC_AUTHORIZATION_FAILED"), "{text}");

    let binary = folder.file("binary", b"\xfe\x1b[2J\n\n");
    let who = ["--groups", "pci-readers", "--client-id", "a", "--consumer-group", "b", "--topic", "other"];
    let ask = [&base[..], &who, &["--value", &binary]].concat();
    let told = folder.json(&ask);
    let record = &told["logins"][0]["record"];
    assert_eq!(record["passed"]["outcome"], "unchanged");
    assert_eq!(record["passed"]["value_base64"], STANDARD.encode(b"\xfe\x1b[2J\n"), "one line feed is the file's");
    assert!(!folder.explain(&ask).contains('\u{1b}'));
}

#[test]
fn a_wrong_question_exits_with_2_and_says_what_there_is() {
    let folder = two_listeners();
    let fails = |arguments: &[&str], says: &str| {
        let output = folder.weir(&[&["explain"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains(says), "{}", stderr(&output));
    };
    fails(&["--op", "fetch", "--topic", "a"], "say through which listener, by --listener; there are: main, inner");
    fails(&["--op", "fetch", "--topic", "a", "--listener", "x"], "no listener has the name x; there are: main, inner");
    fails(&["--op", "fetch", "--topic", "pay*", "--listener", "main"], "pay* is no topic's name");
    fails(&["--op", "fetch", "--topic", "a", "--listener", "main", "--value", "nowhere"], "nowhere cannot be read");
    fails(&["--op", "fetch", "--topic", "a", "--listener", "main", "--header", "x"], "expected NAME=VALUE");
    fails(&["--op", "consume", "--topic", "a"], "fetch");
    fs::write(folder.0.path().join("policy.yaml"), "masking: [{ fields: [x] }]").unwrap();
    fails(&["--op", "fetch", "--topic", "a", "--listener", "main"], "masking[0].action: missing");
}

#[test]
fn without_rules_everything_passes_and_that_is_said() {
    let folder = Folder::new(&CONFIG.replace("policy: policy.yaml\n", ""), "");
    let ask = ["--as", "ada\u{1b}[2J", "--op", "produce", "--topic", "payments.eu"];
    let text = folder.explain(&ask);
    assert!(text.contains("MASKING  the policy has no rules: everything passes as it is"), "{text}");
    assert!(text.contains("RECORDING  metadata, since no rule says otherwise"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(folder.json(&ask)["policy"], Value::Null);
}
