//! A gateway whose production topics are held, and the people at it.

use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteTopicsRequest, GroupId, MetadataRequest, OffsetFetchRequest};
use loadtest::admin::{self, Coordinates};
use loadtest::process;
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use serde_json::Value;

use super::common;
use super::person::Person;

pub const SOON: Duration = Duration::from_secs(30);
pub const POLICY_VIOLATION: i16 = 44;

/// Holds three seconds, so that a test that lets them pass does not take long.
pub const RULES: &str = r#"approvals:
  - name: production topics
    operations: [create_topics, delete_topics, create_partitions, alter_configs, delete_records, produce]
    topics: ["prod.*"]
    approvers: { group: sre }
    hold: 3s
    grant: { valid: 2m, uses: 1 }
    break_glass: [oncall]
"#;

/// Reading from the beginning, and moving positions.
pub const READING: &str = r#"approvals:
  - name: replays
    operations: [fetch]
    topics: ["pay.*"]
    when: { from: earliest }
    approvers: { group: sre }
    grant: { valid: 2m }
  - name: positions
    operations: [reset_offsets]
    topics: ["pay.*"]
    approvers: { group: sre }
    hold: 2s
"#;

/// How long kcat may take.
pub const KCAT_LIMIT: Duration = Duration::from_secs(90);

/// A gateway and who is there: `dev` asks, `ann` and `bob` decide.
pub struct World {
    pub gateway: Gateway,
    pub dev: Person,
    pub ann: Person,
    pub bob: Person,
}

impl World {
    pub fn with(runtime: &str, rules: &str) -> World {
        World::of(runtime, rules, |_| ())
    }

    /// The same, with something else about the gateway.
    pub fn of(runtime: &str, rules: &str, change: impl FnOnce(&mut Options)) -> World {
        let options = Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let mut options = options.policy(rules);
        change(&mut options);
        let gateway = common::gateway_before(common::cluster(), options);
        let of = |subject: &str, groups: &str| Person::of(&gateway, subject, groups);
        let (dev, ann, bob) = (of("dev", "dev,oncall"), of("ann", "sre"), of("bob", "sre,security"));
        World { gateway, dev, ann, bob }
    }

    /// A connection of somebody's.
    pub fn connection(&self, who: &Person) -> Connection {
        World::logged_in(self.gateway.address(), who)
    }

    /// One to what stands for a broker.
    pub fn connection_to(&self, who: &Person, node: i32) -> Connection {
        World::logged_in(self.gateway.broker_address(node).unwrap(), who)
    }

    fn logged_in(address: SocketAddr, who: &Person) -> Connection {
        let mut connection = Connection::open(address).unwrap();
        assert_eq!(connection.login_plain(&who.token.subject, &who.token.token).unwrap().error_code, 0);
        connection
    }

    /// What kcat says as `dev`.
    pub fn kcat(&self, args: &[&str], input: &str) -> process::Output {
        let args = self.dev.kcat_command(&[&["-q"], args].concat());
        process::run_any("kcat", &args, input.as_bytes(), KCAT_LIMIT).unwrap().1
    }

    /// All requests, the newest first.
    pub fn requests(&self) -> Vec<Value> {
        self.gateway.weir_json(&["requests"]).unwrap()
    }

    /// The pending request whose line says this, once it is there.
    pub fn pending(&self, summary: &str) -> String {
        let found = || {
            let requests = self.gateway.weir_json(&["requests", "--state", "pending"]).unwrap();
            let it = requests.iter().find(|request| request["summary"].as_str() == Some(summary));
            Ok(it.map(|request| request["id"].as_str().unwrap().to_owned()))
        };
        wait_for(&format!("a request to {summary}"), SOON, found).unwrap()
    }

    /// Runs a command as somebody: it has to succeed.
    pub fn says(&self, who: &Person, args: &[&str]) -> String {
        let (status, output) = self.gateway.weir_as(&who.token, args).unwrap();
        assert!(status.success(), "weir {}: {}", args.join(" "), output.stderr);
        output.stdout
    }

    /// Runs a command as somebody: it has to fail, and gives what it said.
    pub fn cannot_say(&self, who: &Person, args: &[&str]) -> String {
        let (status, output) = self.gateway.weir_as(&who.token, args).unwrap();
        assert!(!status.success(), "weir {}: {}", args.join(" "), output.stdout);
        output.stderr
    }
}

/// On the brokers themselves.
pub fn make(topic: &str) {
    admin::create_topic(common::cluster(), topic, &[1]).unwrap();
}

pub fn exists(topic: &str) -> bool {
    let address = common::cluster().address(1).unwrap();
    let mut direct = Connection::open(address).unwrap();
    let all = direct.call(12, &MetadataRequest::default().with_topics(None)).unwrap();
    all.topics.iter().any(|found| found.name.as_ref().is_some_and(|name| name.as_str() == topic))
}

/// A connection straight to the broker that coordinates a group.
pub fn coordinator(group: &str) -> Connection {
    let node = admin::coordinator(common::cluster(), Coordinates::Group, group).unwrap();
    Connection::open(common::cluster().address(node).unwrap()).unwrap()
}

/// Where a group stands in partition after partition of a topic, as its coordinator says.
pub fn committed(group: &str, topic: &str) -> Vec<i64> {
    let asked = OffsetFetchRequest::default().with_group_id(GroupId(admin::text(group))).with_topics(None);
    let answer = coordinator(group).call(7, &asked).unwrap();
    let of_topic = answer.topics.iter().filter(|found| found.name == admin::topic(topic));
    let mut stands: Vec<(i32, i64)> =
        of_topic.flat_map(|found| &found.partitions).map(|p| (p.partition_index, p.committed_offset)).collect();
    stands.sort_unstable();
    stands.into_iter().map(|(_, offset)| offset).collect()
}

pub fn deletion(topics: &[&str]) -> DeleteTopicsRequest {
    let states = topics.iter().map(|name| DeleteTopicState::default().with_name(Some(admin::topic(name))));
    DeleteTopicsRequest::default().with_topics(states.collect()).with_timeout_ms(20_000)
}

/// What came of deleting one topic: its code and the words beside it.
pub fn delete(connection: &mut Connection, topic: &str) -> (i16, String) {
    let answer = connection.call(6, &deletion(&[topic])).unwrap();
    let one = &answer.responses[0];
    (one.error_code, one.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}
