//! Rules that name consumer groups: for which a client reads is learnt from what it says to a group's coordinator, on other
//! connections; as long as it is not known, such a rule holds. Java's and librdkafka's clients, and raw connections for what
//! happens between two of a client's requests.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest,
};
use loadtest::admin::{self, Coordinates, text};
use loadtest::process::Process;
use loadtest::scratch::Scratch;
use loadtest::wait_for;
use loadtest::wire::Connection;
use uuid::Uuid;

use super::reload::reload;
use super::*;
use crate::hazards_support::{FETCH, fetch};

/// Whoever reads for a team sees four digits.
const RULE: &str = r#"  - topics: ["grouped-*"]
    fields: ["card.number"]
    action: { keep_last: 4 }
    consumer_groups: ["team-*"]
"#;
const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const SHARE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

const ILLEGAL_GENERATION: i16 = 22;
const MEMBER_ID_REQUIRED: i16 = 79;
const FENCED_MEMBER_EPOCH: i16 = 110;

/// For what comes by and by: the end of a connection, a membership that runs out.
const SOON: Duration = Duration::from_secs(20);

/// A topic with the events of every codec, on broker 1.
fn topic_of_events(topic: &str) {
    admin::create_topic(common::cluster(), topic, &[1]).unwrap();
    for codec in CODECS {
        write(topic, codec, &events(codec));
    }
}

fn write(topic: &str, codec: &str, values: &[String]) {
    let told = kcat(&common::cluster().bootstrap(), &["-P", "-t", topic, "-z", codec], &values.join("\n"));
    assert_eq!(told.stderr, "");
}

/// Everything in a topic, read for a group by one client; each group's has an id of its own.
fn reads_for(person: &Person, client: &str, group: &str, topic: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let kafka = ["--topic", topic, "--group", group, "--max-messages", &count, "--timeout-ms", "60000"];
    let id = format!("client.id={group}");
    let java = |tool, further: &[&str]| person.java(group).tool(tool, &[&kafka, further].concat(), b"").unwrap();
    let output = match client {
        "classic" => java(CONSOLE_CONSUMER, &["--from-beginning"]),
        "consumer" => java(CONSOLE_CONSUMER, &["--from-beginning", "--command-property", "group.protocol=consumer"]),
        "share" => java(SHARE_CONSUMER, &[]),
        _ => person.kcat(&["-X", &id, "-X", "auto.offset.reset=earliest", "-c", &count, "-G", group, topic], ""),
    };
    assert_eq!(output.stdout.lines().count().to_string(), count, "{group}: {}", output.stderr);
    lines(&output)
}

#[test]
fn clients_in_a_group_that_no_rule_names_read_clear_from_the_first_record_on_and_all_others_masked() {
    let clear = all_events();
    let direct = JavaTools::new(&Target::anonymous(common::cluster().bootstrap(), "direct")).unwrap();
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULE);
        let topic = format!("grouped-{runtime}");
        topic_of_events(&topic);
        let reader = Person::of(&gateway, "reader", "staff");
        std::thread::scope(|scope| {
            for client in ["classic", "consumer", "share", "kcat"] {
                let (gateway, reader, topic, clear, direct) = (&gateway, &reader, &topic, &clear, &direct);
                scope.spawn(move || {
                    for (of, expected) in [("free", clear.clone()), ("team", masked(clear))] {
                        let group = format!("{of}-{client}-{runtime}");
                        if client == "share" {
                            let earliest = ["--add-config", "share.auto.offset.reset=earliest"];
                            let args = ["--alter", "--entity-type", "groups", "--entity-name", &group];
                            direct.tool(CONFIGS, &[&args[..], &earliest].concat(), b"").unwrap();
                        }
                        let read = reads_for(reader, client, &group, topic, clear.len());
                        assert_eq!(read, expected, "{group}; the log:\n{}", gateway.log());
                    }
                });
            }
        });
        assert_eq!(reader.reads(&topic), masked(&clear), "{runtime}: for no group");
        is_recorded_masked(&gateway);
    }
}

/// librdkafka, twice under one client id: which of its connections reads for which group cannot be told.
#[test]
fn two_consumers_of_one_client_id_in_two_groups_both_read_masked() {
    let dir = Scratch::new("weir-groups-").unwrap();
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULE);
        let topic = format!("grouped-pair-{runtime}");
        admin::create_topic(common::cluster(), &topic, &[1]).unwrap();
        let reader = Person::of(&gateway, "reader", "staff");
        let start = |group: &str| {
            let group = format!("{group}-{runtime}");
            let args = ["-u", "-X", "client.id=pair", "-X", "auto.offset.reset=earliest", "-G", &group, &topic];
            Process::start(&group, &reader.kcat_command(&quietly(&args)), &dir.path().join(&group)).unwrap()
        };
        let says = |consumer: &mut Process, mark: &str, card: &str| {
            let line = format!(r#"{{"mark":"{mark}","card":{{"number":"{card}"}}}}"#);
            let log = consumer.log_path().to_owned();
            let read = || Ok(std::fs::read_to_string(&log).unwrap_or_default().contains(mark).then_some(()));
            consumer.wait_ready("a record", SOON + SOON, read).unwrap();
            assert!(consumer.log().contains(&line), "{runtime}: not {line}: {}", consumer.log());
        };
        let write =
            |mark: &str| write(&topic, "lz4", &[format!(r#"{{"mark":"{mark}","card":{{"number":"{CARD}"}}}}"#)]);
        write("alone");
        let mut free = start("free-pair");
        says(&mut free, "alone", CARD);
        let mut team = start("team-pair");
        says(&mut team, "alone", MASKED);
        write("together");
        says(&mut team, "together", MASKED);
        says(&mut free, "together", MASKED);
        team.terminate(SOON).unwrap();
        write("alone again");
        says(&mut free, "alone again", CARD);
    }
}

/// Connections of one session, which reads a topic of one record.
struct Session<'a> {
    gateway: &'a Gateway,
    person: Person,
    client_id: &'static str,
    topic: String,
    reader: Connection,
}

impl<'a> Session<'a> {
    fn of(gateway: &'a Gateway, client_id: &'static str, topic: &str) -> Self {
        let person = Person::of(gateway, "reader", "staff");
        let reader = connect(gateway, &person, client_id, 1);
        Session { gateway, person, client_id, topic: topic.to_owned(), reader }
    }

    /// Whether the record is read with the card in it.
    fn reads_card(&mut self) -> bool {
        self.reader.send(FETCH, &fetch(&self.topic, 0, 1 << 20, 500)).unwrap();
        let answer = self.reader.receive_frame().unwrap().expect("the connection stays");
        let holds = |text: &str| memchr::memmem::find(&answer, text.as_bytes()).is_some();
        assert!(holds(CARD) != holds(MASKED), "something was read");
        holds(CARD)
    }

    fn becomes(&mut self, card: bool) {
        wait_for("another view of the record", SOON, || Ok((self.reads_card() == card).then_some(()))).unwrap();
    }

    fn coordinator(&self, group: &str) -> Connection {
        let node = admin::coordinator(common::cluster(), Coordinates::Group, group).unwrap();
        connect(self.gateway, &self.person, self.client_id, node)
    }

    fn member(&self, group: &str) -> Member {
        let (group, id) = (GroupId(text(group)), Uuid::new_v4().to_string());
        Member { coordinator: self.coordinator(&group), group, id, topic: self.topic.clone(), epoch: 0 }
    }
}

fn connect(gateway: &Gateway, person: &Person, client_id: &str, node: i32) -> Connection {
    let door = gateway.broker_address(node).unwrap();
    let mut connection = Connection::open(door).unwrap().with_client_id(client_id);
    let told = connection.login_plain(&person.token.subject, &person.token.token).unwrap();
    assert_eq!(told.error_code, 0);
    connection
}

/// A member of a group that the broker arranges (KIP-848).
struct Member {
    coordinator: Connection,
    group: GroupId,
    id: String,
    topic: String,
    epoch: i32,
}

impl Member {
    fn ask(&mut self) -> ConsumerGroupHeartbeatResponse {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(text(&*self.id))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(if joins { 60_000 } else { -1 })
            .with_subscribed_topic_names(joins.then(|| vec![admin::topic(&self.topic)]))
            .with_topic_partitions(joins.then(Vec::new));
        self.coordinator.call(1, &request).unwrap()
    }

    fn beat(&mut self) {
        let answer = self.ask();
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.epoch = answer.member_epoch;
    }

    fn leave(&mut self) {
        self.epoch = -1;
        self.beat();
    }
}

fn topic_of_one(topic: &str) {
    admin::create_topic(common::cluster(), topic, &[1]).unwrap();
    write(topic, "none", &[format!(r#"{{"card":{{"number":"{CARD}"}}}}"#)]);
}

#[test]
fn a_membership_counts_from_the_answer_that_makes_it_to_the_one_that_ends_it() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULE);
        let topic = format!("grouped-steps-{runtime}");
        topic_of_one(&topic);
        let mut session = Session::of(&gateway, "stepper", &topic);
        let mut other = Session::of(&gateway, "bystander", &topic);
        assert!(!session.reads_card(), "{runtime}: no group is known");

        let mut free = session.member(&format!("free-steps-{runtime}"));
        free.beat();
        assert!(session.reads_card(), "{runtime}: on the connection that read masked before");
        let mut team = session.member(&format!("team-steps-{runtime}"));
        team.beat();
        assert!(!session.reads_card(), "{runtime}: it may read for either");
        team.leave();
        assert!(session.reads_card(), "{runtime}");
        free.leave();
        assert!(!session.reads_card(), "{runtime}: it left");

        let mut fenced = session.member(&format!("free-steps-{runtime}"));
        fenced.beat();
        assert!(session.reads_card(), "{runtime}");
        fenced.epoch += 7;
        assert_eq!(fenced.ask().error_code, FENCED_MEMBER_EPOCH);
        assert!(!session.reads_card(), "{runtime}: it was put out");

        let mut gone = session.member(&format!("free-steps-{runtime}"));
        gone.beat();
        assert!(session.reads_card(), "{runtime}");
        assert!(!other.reads_card(), "{runtime}: another client's session");
        drop(gone);
        session.becomes(false);
    }
}

/// `JoinGroup` of a classic consumer, with the shortest session timeout that brokers take.
fn join(coordinator: &mut Connection, group: &str, member: &str, topic: &str) -> JoinGroupResponse {
    let subscription = [&[0, 0, 0, 0, 0, 1, 0, topic.len() as u8][..], topic.as_bytes(), &[0xff; 4]].concat();
    let range = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from(subscription));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(6000)
        .with_rebalance_timeout_ms(6000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![range]);
    coordinator.call(5, &request).unwrap()
}

#[test]
fn a_classic_member_counts_until_it_leaves_is_refused_or_is_silent_for_its_session_timeout() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, RULE);
        let (topic, group) = (format!("grouped-classic-{runtime}"), format!("free-steps-classic-{runtime}"));
        topic_of_one(&topic);
        let mut session = Session::of(&gateway, "classic", &topic);
        let mut coordinator = session.coordinator(&group);
        let invited = join(&mut coordinator, &group, "", &topic);
        assert_eq!(invited.error_code, MEMBER_ID_REQUIRED);
        assert!(!session.reads_card(), "{runtime}: it has a member id and is no member");

        let joined = join(&mut coordinator, &group, &invited.member_id, &topic);
        assert_eq!(joined.error_code, 0);
        assert!(session.reads_card(), "{runtime}");
        let beat = HeartbeatRequest::default()
            .with_group_id(GroupId(text(&*group)))
            .with_member_id(invited.member_id.clone())
            .with_generation_id(joined.generation_id + 1);
        assert_eq!(coordinator.call(4, &beat).unwrap().error_code, ILLEGAL_GENERATION);
        assert!(!session.reads_card(), "{runtime}");

        let rejoin = |coordinator: &mut Connection| {
            assert_eq!(join(coordinator, &group, &invited.member_id, &topic).error_code, 0);
        };
        rejoin(&mut coordinator);
        let begun = Instant::now();
        assert!(session.reads_card(), "{runtime}");
        session.becomes(false);
        assert!(begun.elapsed() > Duration::from_millis(5500), "{runtime}: after {:?}", begun.elapsed());

        // Brokers may have put it out by then.
        let invited = join(&mut coordinator, &group, "", &topic);
        assert_eq!(join(&mut coordinator, &group, &invited.member_id, &topic).error_code, 0);
        assert!(session.reads_card(), "{runtime}");
        let leaving = MemberIdentity::default().with_member_id(invited.member_id.clone());
        let leave = LeaveGroupRequest::default().with_group_id(GroupId(text(&*group))).with_members(vec![leaving]);
        assert_eq!(coordinator.call(4, &leave).unwrap().error_code, 0);
        assert!(!session.reads_card(), "{runtime}");
    }
}

#[test]
fn members_from_before_a_rule_asked_are_masked_until_all_of_their_session_are_heard_of() {
    const NO_RULES: &str = "recording: [{ mode: full }]\n";
    for runtime in common::RUNTIMES {
        let rules = format!("{NO_RULES}masking:\n{RULE}");
        let options = Options::new(common::cluster().bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let gateway = common::gateway_before(common::cluster(), options.policy(NO_RULES));
        let topic = format!("grouped-before-{runtime}");
        topic_of_one(&topic);
        let mut session = Session::of(&gateway, "before", &topic);
        let mut free = session.member(&format!("free-before-{runtime}"));
        let mut team = session.member(&format!("team-before-{runtime}"));
        free.beat();
        team.beat();
        assert!(session.reads_card(), "{runtime}: no rules");

        reload(&gateway, &rules);
        assert!(!session.reads_card(), "{runtime}: nobody asked for groups before");
        free.beat();
        assert!(!session.reads_card(), "{runtime}: the other member's group is not known");
        team.beat();
        assert!(!session.reads_card(), "{runtime}: the other member's group is known");
        team.leave();
        assert!(session.reads_card(), "{runtime}");

        reload(&gateway, NO_RULES);
        assert!(session.reads_card(), "{runtime}: no rules");
        reload(&gateway, &rules);
        assert!(!session.reads_card(), "{runtime}: forgotten with the rules that asked");
        free.beat();
        assert!(session.reads_card(), "{runtime}");
        // Another policy that asks takes over what is known.
        reload(&gateway, &format!("{rules}# changed\n"));
        assert!(session.reads_card(), "{runtime}");
    }
}
