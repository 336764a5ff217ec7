//! For every operation and kind of resource: a broker with ACLs (StandardAuthorizer) and Weir with the same rules tell the same
//! client the same error codes, for every API.
//!
//! One broker serves both ways. It knows each user by its ACLs on one listener; Weir comes in on the other as a super user,
//! and knows the same people by rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeClusterRequest, DescribeTopicPartitionsRequest,
    GroupId, IncrementalAlterConfigsRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest,
};
use loadtest::admin::{self, text};
use loadtest::kafka::{self, Cluster};
use loadtest::weir::{Gateway, Options, Token};
use loadtest::wire::Connection;
use loadtest::{Result, wait_for};
use weir::policy::{Operation, ResourceKind};
use weir::wire::kafka::api::{self, Api, Class, key};
use weir::wire::kafka::layout::{Direction, Role};

use super::common;
use super::reading;
use super::sample::{Mark, Shape, What, frame, layout, sample};

const PASSWORD: &str = "only-for-tests";
/// What names begin with on either side, so that rules hold for both, and what tells them apart.
const PREFIX: &str = "side-";
const SIDES: [&str; 2] = ["side-a", "side-b"];
/// `ResourceType` of ACLs, `PatternType.LITERAL` and `PREFIXED`, `AclPermissionType.ALLOW`.
const ACL_KINDS: [(ResourceKind, i8); 4] = [
    (ResourceKind::Topic, 2),
    (ResourceKind::Group, 3),
    (ResourceKind::Cluster, 4),
    (ResourceKind::TransactionalId, 5),
];
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ALLOW: i8 = 3;

/// Somebody with one right, by an ACL and by a rule.
struct User {
    name: String,
    right: Option<(ResourceKind, Operation)>,
}

fn users() -> Vec<User> {
    let word = |kind| match kind {
        ResourceKind::Topic => "topic",
        ResourceKind::Group => "group",
        ResourceKind::TransactionalId => "transactional-id",
        ResourceKind::Cluster => "cluster",
    };
    let mut users = vec![User { name: "nobody".to_owned(), right: None }];
    for (kind, _) in ACL_KINDS {
        // Of brokers among themselves; and of what Kafka 4.3 does not ask for yet.
        let left_out = [Operation::ClusterAction, Operation::TwoPhaseCommit];
        let all = Operation::all().filter(|op| kind.operations().contains(*op) && !left_out.contains(op));
        users.extend(all.map(|op| User { name: format!("{}-{op}", word(kind)), right: Some((kind, op)) }));
    }
    users
}

fn broker() -> &'static Cluster {
    static BROKER: OnceLock<Cluster> = OnceLock::new();
    BROKER.get_or_init(|| {
        let properties = [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "auto.create.topics.enable=false",
            "offsets.topic.num.partitions=1",
            "transaction.state.log.num.partitions=1",
            "share.coordinator.state.topic.num.partitions=1",
        ];
        let users = users().into_iter().map(|user| (user.name, PASSWORD.to_owned())).collect();
        let properties = properties.map(ToOwned::to_owned).to_vec();
        let cluster = Cluster::start(1, kafka::Options { users, properties, ..kafka::Options::default() }).unwrap();
        allow(&cluster).unwrap();
        cluster
    })
}

/// Makes the ACLs, and brings the coordinators to work.
fn allow(cluster: &Cluster) -> Result<()> {
    let acl = |(name, kind, operation): (String, ResourceKind, Operation)| {
        let (of_cluster, code) =
            (kind == ResourceKind::Cluster, ACL_KINDS.iter().find(|(of, _)| *of == kind).unwrap().1);
        AclCreation::default()
            .with_resource_type(code)
            .with_resource_name(text(if of_cluster { "kafka-cluster" } else { PREFIX }))
            .with_resource_pattern_type(if of_cluster { LITERAL } else { PREFIXED })
            .with_principal(text(format!("User:{name}")))
            .with_host(text("*"))
            .with_operation(operation as i8)
            .with_permission_type(ALLOW)
    };
    let rights = users().into_iter().filter_map(|user| user.right.map(|(kind, op)| (user.name, kind, op)));
    let request = CreateAclsRequest::default().with_creations(rights.map(acl).collect());
    let address = cluster.address(1)?;
    let made = Connection::open(address)?.call(3, &request)?;
    assert!(made.results.iter().all(|made| made.error_code == 0), "{made:?}");
    admin::create_topic(cluster, "side-known", &[1])?;
    admin::create_topic(cluster, "other-known", &[1])?;
    let commit = |group: &str| {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(0);
        let topic = OffsetCommitRequestTopic::default().with_name(admin::topic("side-known"));
        OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])])
    };
    for group in ["side-settled", "other-settled"] {
        wait_for("a committed offset", Duration::from_secs(60), || {
            admin::coordinator(cluster, admin::Coordinates::Group, group)?;
            let answer = Connection::open(address)?.call(8, &commit(group))?;
            Ok((answer.topics[0].partitions[0].error_code == 0).then_some(()))
        })?;
    }
    for (kind, key) in [(admin::Coordinates::Group, "warm"), (admin::Coordinates::Transaction, "warm")] {
        wait_for("a coordinator", Duration::from_secs(60), || Ok(admin::coordinator(cluster, kind, key).ok()))?;
    }
    Ok(())
}

/// The same rights as rules.
fn policy() -> String {
    let mut rules = "access:\n".to_owned();
    for User { name, right } in users() {
        let Some((kind, operation)) = right else { continue };
        let what = match kind {
            ResourceKind::Topic => format!("topics: [\"{PREFIX}*\"]"),
            ResourceKind::Group => format!("consumer_groups: [\"{PREFIX}*\"]"),
            ResourceKind::TransactionalId => format!("transactional_ids: [\"{PREFIX}*\"]"),
            ResourceKind::Cluster => "cluster: true".to_owned(),
        };
        writeln!(rules, "  - {{ name: {name}, subjects: [{name}], operations: [{operation}], {what} }}").unwrap();
    }
    rules
}

/// The two ways to the broker.
struct Ways {
    direct: SocketAddr,
    gateway: Gateway,
    tokens: BTreeMap<String, Token>,
}

impl Ways {
    fn start(runtime: &str) -> Ways {
        let mut options = Options::new(broker().bootstrap()).runtime(runtime).auth(&["weir_token"]).policy(&policy());
        options.listener = vec!["allow_security_changes: true".to_owned()];
        let gateway = common::gateway_before(broker(), options);
        let tokens = users().into_iter().map(|user| (user.name.clone(), gateway.token(&user.name, "testers").unwrap()));
        let tokens = tokens.collect();
        Ways { direct: broker().sasl_bootstrap().parse().unwrap(), gateway, tokens }
    }

    fn open(&self, through_weir: bool, user: &str) -> Connection {
        let (address, password) = match through_weir {
            false => (self.direct, PASSWORD),
            true => (self.gateway.broker_address(1).unwrap(), self.tokens[user].token.as_str()),
        };
        let mut connection = Connection::open(address).unwrap();
        assert_eq!(connection.login_plain(user, password).unwrap().error_code, 0, "{user}");
        connection
    }
}

/// What is asked: a request with one of everything, with these numbers in the places of these roles.
struct Asked {
    row: &'static Api,
    version: i16,
    numbers: Vec<(Role, i64)>,
}

impl Asked {
    fn frame(&self, prefix: &str) -> bytes::Bytes {
        let message = layout(self.row.key, Direction::Request).unwrap();
        let mut made = sample(message, self.version, Shape::Full, prefix);
        for (role, number) in &self.numbers {
            let places = made.marks.iter().filter(|mark| mark.what == What::Value(*role)).cloned();
            for Mark { at, len, .. } in places.collect::<Vec<_>>() {
                made.body[at..at + len].copy_from_slice(&number.to_be_bytes()[8 - len..]);
            }
        }
        frame(self.row, self.version, "equivalence", &made.body)
    }

    /// The error codes of the answer, in no order; none where the connection was closed instead.
    fn ask(&self, connection: &mut Connection, prefix: &str) -> Option<Vec<i64>> {
        connection.send_bytes(&self.frame(prefix)).unwrap();
        let answer = connection.receive_frame().unwrap()?;
        let mut codes = reading::errors(self.row.key, self.version, &answer).unwrap();
        codes.sort_unstable();
        Some(codes)
    }
}

/// Every API that may be forwarded: in its last version, or in all of them.
fn all(every_version: bool) -> Vec<Asked> {
    let forwarded = |row: &&Api| !matches!(row.class, Class::Here | Class::Refused);
    let mut all = Vec::new();
    for row in api::TABLE.iter().filter(forwarded) {
        let first = if every_version { row.served.min } else { row.served.max };
        for version in first..=row.served.max {
            let numbers: Vec<Vec<(Role, i64)>> = match row.key {
                // Of topics, brokers and groups.
                key::DESCRIBE_CONFIGS | key::ALTER_CONFIGS | key::INCREMENTAL_ALTER_CONFIGS => {
                    [2, 4, 32].map(|kind| vec![(Role::ResourceType, kind)]).to_vec()
                }
                key::FIND_COORDINATOR => [0, 1].map(|kind| vec![(Role::KeyType, kind)]).to_vec(),
                _ => vec![Vec::new()],
            };
            all.extend(numbers.into_iter().map(|numbers| Asked { row, version, numbers }));
        }
    }
    all
}

/// Where Weir is not to say what the broker says, and why. `told`: straight by the broker, and by Weir.
fn may_differ(row: &Api, told: &[Option<Vec<i64>>; 2]) -> Option<&'static str> {
    const INVALID_REQUEST: i64 = 42;
    const TRANSACTIONAL_ID: i64 = 53;
    const GROUP_ID_NOT_FOUND: i64 = 69;
    const INVALID_SHARE_SESSION_EPOCH: i64 = 123;
    let broker = told[0].as_deref().unwrap_or_default();
    let weir = told[1].as_deref().unwrap_or_default();
    Some(match row.key {
        key::CREATE_DELEGATION_TOKEN
        | key::RENEW_DELEGATION_TOKEN
        | key::EXPIRE_DELEGATION_TOKEN
        | key::DESCRIBE_DELEGATION_TOKEN => {
            "the broker's tokens would be Weir's own user's; they are changes of security, and ask for the cluster"
        }
        key::PRODUCE if weir == [TRANSACTIONAL_ID] => {
            "a broker asks for the transactional id where a batch is transactional, Weir where the request names one"
        }
        key::OFFSET_DELETE | key::DELETE_SHARE_GROUP_OFFSETS if broker == [GROUP_ID_NOT_FOUND] => {
            "a broker says first that there is no such group, Weir does not ask it when no topic is left to ask for"
        }
        key::DESCRIBE_LOG_DIRS if broker.is_empty() => {
            "before version 3 a broker shows no directories, Weir one without a name that has the error"
        }
        key::DESCRIBE_USER_SCRAM_CREDENTIALS if broker == [weir, weir].concat() => {
            "a broker says it once more for each user"
        }
        _ if told[0].is_none() || broker == [INVALID_REQUEST] || broker == [INVALID_SHARE_SESSION_EPOCH] => {
            "what is asked is not lawful: a broker says so first, Weir says first what may not be done"
        }
        _ => return None,
    })
}

#[test]
fn who_has_one_right_is_told_by_weir_what_a_broker_with_acls_tells() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    for runtime in common::RUNTIMES {
        let ways = Ways::start(runtime);
        let mut different = Vec::new();
        for user in users() {
            let mut connections = [None, None];
            for asked in all(user.right.is_none()) {
                let nth = ASKED.fetch_add(1, Ordering::Relaxed);
                let mut told = [false, true].map(|through_weir| {
                    let side = usize::from(through_weir);
                    let prefix = format!("{}-{nth:06}", SIDES[side]);
                    let mut connection =
                        connections[side].take().unwrap_or_else(|| ways.open(through_weir, &user.name));
                    let told = asked.ask(&mut connection, &prefix);
                    connections[side] = told.is_some().then_some(connection);
                    told
                });
                if told[0] != told[1] && may_differ(asked.row, &told).is_none() {
                    let [direct, weir] = told.each_mut().map(Option::take);
                    let (name, version) = (asked.row.name, asked.version);
                    let numbers = &asked.numbers;
                    different.push(format!("{}: {name} v{version} {numbers:?}: {direct:?}, Weir {weir:?}", user.name));
                }
            }
        }
        assert!(different.is_empty(), "{runtime}: {} differ\n{}", different.len(), different.join("\n"));
    }
}

/// What it is called, and what the answer says, in no order.
type Question = (&'static str, fn(&mut Connection) -> Vec<String>);

/// What a request made from the layouts cannot ask lawfully: by the words of a library.
fn lawful() -> Vec<Question> {
    fn codes<C: std::fmt::Debug>(codes: impl IntoIterator<Item = C>) -> Vec<String> {
        let mut codes: Vec<String> = codes.into_iter().map(|code| format!("{code:?}")).collect();
        codes.sort();
        codes
    }
    const ANY: i8 = 1;
    vec![
        ("DescribeAcls", |c| {
            let any = DescribeAclsRequest::default().with_resource_type_filter(ANY).with_pattern_type_filter(ANY);
            let answer = c.call(3, &any.with_operation(ANY).with_permission_type(ANY)).unwrap();
            codes([answer.error_code])
        }),
        ("CreateAcls", |c| {
            let acl = AclCreation::default()
                .with_resource_type(2)
                .with_resource_name(text("nothing"))
                .with_resource_pattern_type(LITERAL)
                .with_principal(text("User:none"))
                .with_host(text("*"))
                .with_operation(Operation::Read as i8)
                .with_permission_type(ALLOW);
            let answer = c.call(3, &CreateAclsRequest::default().with_creations(vec![acl])).unwrap();
            codes(answer.results.iter().map(|result| result.error_code))
        }),
        ("DeleteAcls", |c| {
            let none = DeleteAclsFilter::default()
                .with_resource_type_filter(2)
                .with_resource_name_filter(Some(text("not there")))
                .with_pattern_type_filter(LITERAL)
                .with_operation(ANY)
                .with_permission_type(ANY);
            let answer = c.call(3, &DeleteAclsRequest::default().with_filters(vec![none])).unwrap();
            codes(answer.filter_results.iter().map(|result| result.error_code))
        }),
        ("IncrementalAlterConfigs of a broker", |c| {
            let broker = AlterConfigsResource::default().with_resource_type(4).with_resource_name(text("1"));
            let request =
                IncrementalAlterConfigsRequest::default().with_resources(vec![broker]).with_validate_only(true);
            let answer = c.call(1, &request).unwrap();
            codes(answer.responses.iter().map(|response| response.error_code))
        }),
        ("DescribeTopicPartitions", |c| {
            let topics = ["side-known", "other-known", "side-absent", "other-absent"];
            let topics = topics.map(|name| TopicRequest::default().with_name(admin::topic(name))).to_vec();
            let answer = c.call(0, &DescribeTopicPartitionsRequest::default().with_topics(topics)).unwrap();
            codes(answer.topics.iter().map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.error_code)))
        }),
        ("Metadata of all topics", |c| {
            let answer = c.call(12, &MetadataRequest::default().with_topics(None)).unwrap();
            // What others have made meanwhile is not the same on both sides.
            let named = |name: &str| name.ends_with("-known");
            let topics = answer.topics.iter().filter(|topic| named(topic.name.as_ref().unwrap()));
            codes(topics.map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.error_code)))
        }),
        ("ListGroups", |c| {
            let groups = c.call(4, &ListGroupsRequest::default()).unwrap().groups;
            codes(groups.iter().map(|group| group.group_id.to_string()).filter(|id| id.ends_with("-settled")))
        }),
        ("OffsetFetch of all topics", |c| {
            let group =
                OffsetFetchRequestGroup::default().with_group_id(GroupId(text("side-settled"))).with_topics(None);
            let groups = c.call(8, &OffsetFetchRequest::default().with_groups(vec![group])).unwrap().groups;
            codes(groups.iter().map(|group| (group.error_code, group.topics.len())))
        }),
        ("what may be done", |c| {
            let topic = MetadataRequestTopic::default().with_name(Some(admin::topic("side-known")));
            let request = MetadataRequest::default()
                .with_topics(Some(vec![topic]))
                .with_include_topic_authorized_operations(true);
            let topics = c.call(12, &request).unwrap().topics;
            let cluster = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
            let cluster = c.call(1, &cluster).unwrap().cluster_authorized_operations;
            codes([topics[0].topic_authorized_operations, cluster])
        }),
    ]
}

#[test]
fn who_asks_in_proper_words_is_told_the_same_too() {
    for runtime in common::RUNTIMES {
        let ways = Ways::start(runtime);
        let mut different = Vec::new();
        for user in users() {
            let mut connections = [false, true].map(|through_weir| ways.open(through_weir, &user.name));
            for (what, ask) in lawful() {
                let [direct, weir] = connections.each_mut().map(ask);
                if direct != weir {
                    different.push(format!("{}: {what}: {direct:?}, Weir {weir:?}", user.name));
                }
            }
        }
        assert!(different.is_empty(), "{runtime}: {} differ\n{}", different.len(), different.join("\n"));
    }
}
