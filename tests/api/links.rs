//! The link to a request: wherever somebody reads of it, it says where to decide.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use loadtest::receiver::Receiver;
use loadtest::scratch::Scratch;
use loadtest::weir::{Gateway, Options, Token};
use loadtest::wire::Connection;
use loadtest::{admin, wait_for};

use crate::common;
use crate::rig::{ROLES, get, login};

const SOON: Duration = Duration::from_secs(30);

/// Holds a second, so that a test that lets it pass does not take long.
pub const HELD: &str = r#"approvals:
  - name: production topics
    operations: [delete_topics]
    topics: ["prod.*"]
    approvers: { group: sre }
    hold: 1s
    grant: { valid: 15m, uses: 2 }
    break_glass: [oncall]
"#;

/// A gateway under these rules in front of a cluster, which Kafka's own requests need.
pub fn gateway(control: &[&str], top: &[String]) -> Gateway {
    let mut options = Options::new(common::cluster().bootstrap()).auth(&["weir_token"]).policy(HELD);
    options.control = control.iter().map(|&key| key.to_owned()).collect();
    options.top = top.to_vec();
    common::gateway_before(common::cluster(), options)
}

/// A request of somebody's to delete a topic, made beforehand.
pub fn file(gateway: &Gateway, who: &Token, topic: &str, reason: &str) -> String {
    let args = ["request", "--op", "delete_topics", "--topic", topic, "--reason", reason, "--json"];
    let (status, output) = gateway.weir_as(who, &args).unwrap();
    assert!(status.success(), "{}", output.stderr);
    let request: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    request["id"].as_str().unwrap().to_owned()
}

/// What somebody is told who deletes a topic that is there.
pub fn delete(gateway: &Gateway, who: &Token, client_id: &str, topic: &str) -> String {
    admin::create_topic(common::cluster(), topic, &[1]).unwrap();
    let mut connection = Connection::open(gateway.address()).unwrap().with_client_id(client_id);
    assert_eq!(connection.login_plain(&who.subject, &who.token).unwrap().error_code, 0);
    let topics = vec![DeleteTopicState::default().with_name(Some(admin::topic(topic)))];
    let request = DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(20_000);
    let answer = connection.call(6, &request).unwrap();
    answer.responses[0].error_message.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn webhooks_clients_commands_and_the_api_say_where_to_decide() {
    let (folder, receiver) = (Scratch::new("weir-links-").unwrap(), Receiver::start().unwrap());
    let secret = folder.path().join("secret");
    fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let webhook = format!(
        "webhooks: [{{ name: ops, url: \"{}\", format: cloudevents, secret: {{ file: \"{}\" }}, allow_private: true }}]",
        receiver.url("/hook"),
        secret.display()
    );
    let url = "url: \"https://weir.example.com/ops/\"";
    let gateway = gateway(&[ROLES, url], &[webhook]);
    let dev = gateway.token("dev", "dev").unwrap();

    let told = delete(&gateway, &dev, "tool", "prod.linked");
    let request = gateway.weir_json(&["requests"]).unwrap().remove(0);
    let id = request["id"].as_str().unwrap();
    let link = format!("https://weir.example.com/ops/requests/{id}");
    assert!(told.contains(&format!("See {link}")), "{told}");
    assert_eq!(request["url"], link.as_str());
    let shown = gateway.weir(&["requests", id]).unwrap().stdout;
    assert!(shown.lines().any(|line| line.starts_with("see") && line.ends_with(&link)), "{shown}");
    let by_api = get(&gateway, &format!("requests/{id}"), &login(&gateway, "ann", "sre")).json();
    assert_eq!(by_api["url"], link.as_str());
    let heard = wait_for("the webhook", SOON, || Ok(receiver.heard().first().cloned())).unwrap();
    assert_eq!(heard.json()["data"]["request"]["url"], link.as_str());
}

#[test]
fn without_a_url_the_link_leads_to_the_address_and_where_nobody_may_decide_there_is_none() {
    let somebody_may = gateway(&[ROLES], &[]);
    let dev = somebody_may.token("dev", "dev").unwrap();
    let id = file(&somebody_may, &dev, "prod.orders", "old");
    let request = somebody_may.weir_json(&["requests"]).unwrap().remove(0);
    assert_eq!(request["url"], format!("http://{}/requests/{id}", somebody_may.control()).as_str());

    let without = gateway(&[], &[]);
    let dev = without.token("dev", "dev").unwrap();
    let told = delete(&without, &dev, "tool", "prod.unlinked");
    assert!(told.contains("See `weir requests r-"), "{told}");
    assert!(without.weir_json(&["requests"]).unwrap()[0]["url"].is_null());
}
