//! What each API asks of whoever calls it: one row an API, in Kafka's own words (the operations that brokers check).
//!
//! Invariants:
//! - `RULES[k]` is API key `k`'s, as in `wire/kafka/api.rs`; a test fails for an API without a row.
//! - A row that asks for nothing says why, in its value or in a comment.
//!
//! Source: the authorization that Kafka 4.3's `KafkaApis` and `ControllerApis` do for each request, and "Operations and
//! Resources on Protocols" in Kafka's documentation.

use crate::policy::Operation::{self, *};

/// What stands between a request and its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// These rights.
    Asks(Asks),
    /// Nothing, for this reason.
    Free(&'static str),
    /// Nobody's right: it is answered here, or refused, before anybody is asked.
    Never,
}

/// Rights by what a request names. What is named at its top stands for all of it; what is named in an array is judged
/// apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asks {
    /// On each topic it names.
    pub topic: Option<Operation>,
    /// On each consumer, share or streams group it names.
    pub group: Option<Operation>,
    /// On each transactional id it names.
    pub transactional_id: Option<Operation>,
    /// On each resource it names: a topic, a group, or the cluster for brokers.
    pub resource: Option<Operation>,
    /// On the cluster, always.
    pub cluster: Option<Operation>,
    /// On the cluster, which does for every name.
    pub or_cluster: Option<Operation>,
    /// How its answer tells of what was not done.
    pub answers: Answers,
    /// Its answer names what the request does not, or says what its reader may do.
    pub listing: bool,
}

/// How an answer tells of what was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Item by item: the rest is done.
    PerItem,
    /// Item by item, but nothing is done when one of them is refused.
    AllOrNothing,
    /// As a whole.
    Whole,
}

const NOTHING: Asks = Asks {
    topic: None,
    group: None,
    transactional_id: None,
    resource: None,
    cluster: None,
    or_cluster: None,
    answers: Answers::PerItem,
    listing: false,
};

const fn topic(operation: Operation) -> Asks {
    Asks { topic: Some(operation), ..NOTHING }
}

const fn group(operation: Operation) -> Asks {
    Asks { group: Some(operation), ..NOTHING }
}

const fn resource(operation: Operation) -> Asks {
    Asks { resource: Some(operation), ..NOTHING }
}

const fn cluster(operation: Operation) -> Rule {
    Rule::Asks(Asks { cluster: Some(operation), ..NOTHING })
}

const fn transaction(asks: Asks) -> Asks {
    Asks { transactional_id: Some(Write), ..asks }
}

const fn listing(asks: Asks) -> Rule {
    Rule::Asks(Asks { listing: true, ..asks })
}

/// A group's member also says which topics it wants.
const MEMBER: Rule = Rule::Asks(Asks { group: Some(Read), topic: Some(Describe), answers: Answers::Whole, ..NOTHING });
const COORDINATOR: Asks = Asks { group: Some(Describe), transactional_id: Some(Describe), ..NOTHING };
const GROUP_AND_TOPICS: Asks = Asks { group: Some(Describe), topic: Some(Describe), ..NOTHING };
const OWN_METRICS: Rule = Rule::Free("tells of the client's own metrics, and of nothing else");

/// The rule for an API; `Never` for a key that Kafka does not have.
pub fn rule(api_key: i16) -> Rule {
    usize::try_from(api_key).ok().and_then(|key| RULES.get(key)).copied().unwrap_or(Rule::Never)
}

/// A row an API key.
pub const RULES: &[Rule] = &[
    /*  0 Produce                      */ Rule::Asks(transaction(topic(Write))),
    /*  1 Fetch                        */ Rule::Asks(topic(Read)),
    /*  2 ListOffsets                  */ Rule::Asks(topic(Describe)),
    /*  3 Metadata                     */ listing(topic(Describe)),
    /*  4 LeaderAndIsr                 */ Rule::Never,
    /*  5 StopReplica                  */ Rule::Never,
    /*  6 UpdateMetadata               */ Rule::Never,
    /*  7 ControlledShutdown           */ Rule::Never,
    /*  8 OffsetCommit                 */ Rule::Asks(Asks { group: Some(Read), ..topic(Read) }),
    /*  9 OffsetFetch                  */ listing(GROUP_AND_TOPICS),
    /* 10 FindCoordinator              */ Rule::Asks(COORDINATOR),
    /* 11 JoinGroup                    */ Rule::Asks(group(Read)),
    /* 12 Heartbeat                    */ Rule::Asks(group(Read)),
    /* 13 LeaveGroup                   */ Rule::Asks(group(Read)),
    /* 14 SyncGroup                    */ Rule::Asks(group(Read)),
    /* 15 DescribeGroups               */ listing(group(Describe)),
    /* 16 ListGroups                   */ listing(Asks { or_cluster: Some(Describe), ..group(Describe) }),
    /* 17 SaslHandshake                */ Rule::Never,
    /* 18 ApiVersions                  */ Rule::Never,
    /* 19 CreateTopics                 */ Rule::Asks(Asks { or_cluster: Some(Create), ..topic(Create) }),
    /* 20 DeleteTopics                 */ Rule::Asks(topic(Delete)),
    /* 21 DeleteRecords                */ Rule::Asks(topic(Delete)),
    /* 22 InitProducerId               */ Rule::Asks(transaction(NOTHING)),
    /* 23 OffsetForLeaderEpoch         */ Rule::Asks(topic(Describe)),
    /* 24 AddPartitionsToTxn           */
    Rule::Asks(Asks { answers: Answers::AllOrNothing, ..transaction(topic(Write)) }),
    /* 25 AddOffsetsToTxn              */ Rule::Asks(transaction(group(Read))),
    /* 26 EndTxn                       */ Rule::Asks(transaction(NOTHING)),
    /* 27 WriteTxnMarkers              */ Rule::Never,
    /* 28 TxnOffsetCommit              */ Rule::Asks(transaction(Asks { group: Some(Read), ..topic(Read) })),
    /* 29 DescribeAcls                 */ cluster(Describe),
    /* 30 CreateAcls                   */ cluster(Alter),
    /* 31 DeleteAcls                   */ cluster(Alter),
    /* 32 DescribeConfigs              */ Rule::Asks(resource(DescribeConfigs)),
    /* 33 AlterConfigs                 */ Rule::Asks(resource(AlterConfigs)),
    /* 34 AlterReplicaLogDirs          */ cluster(Alter),
    /* 35 DescribeLogDirs              */ cluster(Describe),
    /* 36 SaslAuthenticate             */ Rule::Never,
    /* 37 CreatePartitions             */ Rule::Asks(topic(Alter)),
    /* 38 CreateDelegationToken        */ cluster(Alter),
    /* 39 RenewDelegationToken         */ cluster(Alter),
    /* 40 ExpireDelegationToken        */ cluster(Alter),
    /* 41 DescribeDelegationToken      */ cluster(Describe),
    /* 42 DeleteGroups                 */ Rule::Asks(group(Delete)),
    /* 43 ElectLeaders                 */ cluster(Alter),
    /* 44 IncrementalAlterConfigs      */ Rule::Asks(resource(AlterConfigs)),
    /* 45 AlterPartitionReassignments  */ cluster(Alter),
    /* 46 ListPartitionReassignments   */ cluster(Describe),
    /* 47 OffsetDelete                 */ Rule::Asks(Asks { group: Some(Delete), ..topic(Read) }),
    /* 48 DescribeClientQuotas         */ cluster(DescribeConfigs),
    /* 49 AlterClientQuotas            */ cluster(AlterConfigs),
    /* 50 DescribeUserScramCredentials */ cluster(Describe),
    /* 51 AlterUserScramCredentials    */ cluster(Alter),
    /* 52 Vote                         */ Rule::Never,
    /* 53 BeginQuorumEpoch             */ Rule::Never,
    /* 54 EndQuorumEpoch               */ Rule::Never,
    /* 55 DescribeQuorum               */ cluster(Describe),
    /* 56 AlterPartition               */ Rule::Never,
    /* 57 UpdateFeatures               */ cluster(Alter),
    /* 58 Envelope                     */ Rule::Never,
    /* 59 FetchSnapshot                */ Rule::Never,
    // Who is let in may know of the brokers; what the client may do is brought down to what is so.
    /* 60 DescribeCluster              */
    listing(NOTHING),
    /* 61 DescribeProducers            */ Rule::Asks(topic(Read)),
    /* 62 BrokerRegistration           */ Rule::Never,
    /* 63 BrokerHeartbeat              */ Rule::Never,
    /* 64 UnregisterBroker             */ cluster(Alter),
    /* 65 DescribeTransactions         */
    listing(Asks { transactional_id: Some(Describe), ..topic(Describe) }),
    /* 66 ListTransactions             */ listing(Asks { transactional_id: Some(Describe), ..NOTHING }),
    /* 67 AllocateProducerIds          */ Rule::Never,
    /* 68 ConsumerGroupHeartbeat       */ MEMBER,
    /* 69 ConsumerGroupDescribe        */ listing(GROUP_AND_TOPICS),
    /* 70 ControllerRegistration       */ Rule::Never,
    /* 71 GetTelemetrySubscriptions    */ OWN_METRICS,
    /* 72 PushTelemetry                */ OWN_METRICS,
    /* 73 AssignReplicasToDirs         */ Rule::Never,
    /* 74 ListConfigResources          */ cluster(DescribeConfigs),
    /* 75 DescribeTopicPartitions      */ listing(topic(Describe)),
    /* 76 ShareGroupHeartbeat          */ MEMBER,
    /* 77 ShareGroupDescribe           */ listing(GROUP_AND_TOPICS),
    /* 78 ShareFetch                   */ Rule::Asks(Asks { group: Some(Read), ..topic(Read) }),
    /* 79 ShareAcknowledge             */ Rule::Asks(Asks { group: Some(Read), ..topic(Read) }),
    /* 80 AddRaftVoter                 */ cluster(Alter),
    /* 81 RemoveRaftVoter              */ cluster(Alter),
    /* 82 UpdateRaftVoter              */ Rule::Never,
    /* 83 InitializeShareGroupState    */ Rule::Never,
    /* 84 ReadShareGroupState          */ Rule::Never,
    /* 85 WriteShareGroupState         */ Rule::Never,
    /* 86 DeleteShareGroupState        */ Rule::Never,
    /* 87 ReadShareGroupStateSummary   */ Rule::Never,
    /* 88 StreamsGroupHeartbeat        */ MEMBER,
    /* 89 StreamsGroupDescribe         */ listing(GROUP_AND_TOPICS),
    /* 90 DescribeShareGroupOffsets    */ listing(GROUP_AND_TOPICS),
    /* 91 AlterShareGroupOffsets       */ Rule::Asks(Asks { group: Some(Read), ..topic(Read) }),
    /* 92 DeleteShareGroupOffsets      */ Rule::Asks(Asks { group: Some(Delete), ..topic(Read) }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kafka::api::{self, Class};

    #[test]
    fn every_api_has_a_row_of_its_own_name_and_only_what_nobody_may_send_is_nobodys_right() {
        assert_eq!(RULES.len(), api::TABLE.len());
        let source = include_str!("table.rs");
        let rows: Vec<&str> =
            source.lines().filter_map(|line| line.trim().strip_prefix("/* ")?.split(" */").next()).collect();
        assert_eq!(rows.len(), RULES.len(), "each row has a comment");
        for (api, row) in api::TABLE.iter().zip(rows) {
            let (key, name) = row.trim().split_once(' ').unwrap_or_default();
            assert_eq!((key, name.trim()), (api.key.to_string().as_str(), api.name), "the comment names its API");
            let never = matches!(api.class, Class::Here | Class::Refused);
            assert_eq!(rule(api.key) == Rule::Never, never, "{}", api.name);
        }
    }
}
