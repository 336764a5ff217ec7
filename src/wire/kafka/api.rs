//! The one table of Kafka's APIs, and the ceiling: what is not served here is never forwarded.
//!
//! A row per API key of Kafka 4.3, inter-broker ones included, so that a refusal is a decision and not an omission.
//! Forwarding needs no codec: a row may exceed what `kafka-protocol` decodes where our own walk knows the layout.
//!
//! Invariants:
//! - `TABLE[k].key == k`: keys are dense, a look-up is an index.
//! - `served` lies within `defined`; both are closed ranges, [`NONE`] is empty.
//! - Whether *this* identity may do it is no class: access rules can apply to every row. The class says what the
//!   gateway does with the API before any rule is asked.

/// What the gateway does with an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Answered by Weir itself; never forwarded on a client's behalf.
    Here,
    /// Passed on; its answer holds no broker's address.
    Forward,
    /// Passed on; its answer carries broker addresses (in some versions) that are rewritten.
    Rewrite,
    /// Passed on; deletes, creates, moves or reconfigures what others use. Approval rules look here.
    Risky,
    /// With Weir's upstream rights it could open a way around Weir, or it shows a secret; refused unless the listener
    /// allows security changes.
    Security,
    /// Spoken between brokers and controllers only; refused always.
    Refused,
}

/// A closed range of API versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Lowest, inclusive.
    pub min: i16,
    /// Highest, inclusive; below `min` when the range is empty.
    pub max: i16,
}

/// The empty range.
pub const NONE: Versions = Versions { min: 0, max: -1 };

impl Versions {
    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether no version lies in the range.
    pub const fn is_empty(self) -> bool {
        self.max < self.min
    }

    /// The versions in both ranges; [`NONE`] when there are none.
    pub fn intersect(self, other: Versions) -> Versions {
        let both = Versions { min: self.min.max(other.min), max: self.max.min(other.max) };
        if both.is_empty() { NONE } else { both }
    }
}

/// One row: an API, its versions, and what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// The API key on the wire.
    pub key: i16,
    /// Kafka's name for it.
    pub name: &'static str,
    /// What Kafka 4.3's message definitions describe: the header's layout is known for these.
    pub defined: Versions,
    /// What may be forwarded or answered. Excludes unstable versions and those only brokers send.
    pub served: Versions,
    /// The first flexible version (KIP-482): from here on strings and arrays are compact and tagged fields exist.
    pub flexible: i16,
    /// What is done with it.
    pub class: Class,
    /// It can change what remains on the cluster (records, offsets, transactions, topics, settings, or somebody else's
    /// membership), so it is noted in the journal before its last byte is forwarded. Group membership of one's own is
    /// not counted: it is gone with the client. Metadata is not marked: whether it creates a topic stands in its body.
    pub changes: bool,
}

impl Api {
    /// Whether a request of this version may be forwarded, or answered here.
    pub const fn serves(&self, version: i16) -> bool {
        self.served.contains(version)
    }

    /// Whether this version has compact strings, compact arrays and tagged fields.
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    /// Version of the request's header: 2 where the API is flexible, else 1. (Version 0, without a client id, was used
    /// by ControlledShutdown alone, which is refused.)
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response's header: 1 where the API is flexible, else 0. ApiVersions' is always 0, because a
    /// client that does not know the broker yet must be able to read it (KIP-511).
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) && self.key != key::API_VERSIONS { 1 } else { 0 }
    }

    /// The lowest version to advertise. Produce is served from 3 and advertised from 0, as Kafka does (KAFKA-18659):
    /// librdkafka takes a higher minimum for a broker without compression and stops compressing.
    pub const fn advertised_min(&self) -> i16 {
        if self.key == key::PRODUCE { 0 } else { self.served.min }
    }
}

/// The row of an API key; none for a key that Kafka 4.3 does not have.
pub fn lookup(key: i16) -> Option<&'static Api> {
    TABLE.get(usize::try_from(key).ok()?)
}

/// Kafka's name for an API key, `Unknown` where it has none.
pub fn name(key: i16) -> &'static str {
    lookup(key).map_or("Unknown", |api| api.name)
}

/// For APIs that never became flexible.
const NEVER: i16 = i16::MAX;

macro_rules! apis {
    ($($key:literal $constant:ident $name:literal, [$($defined:tt)*], [$($served:tt)*], $flexible:expr, $class:ident
        $(, $changes:ident)?;)*) => {
        /// API keys by Kafka's names.
        pub mod key {
            $(
                #[doc = concat!("API key of ", $name, ".")]
                pub const $constant: i16 = $key;
            )*
        }

        /// Every API of Kafka 4.3, in the order of their keys.
        pub const TABLE: &[Api] = &[$(Api {
            key: $key,
            name: $name,
            defined: apis!(@versions $($defined)*),
            served: apis!(@versions $($served)*),
            flexible: $flexible,
            class: Class::$class,
            changes: apis!(@changes $($changes)?),
        }),*];
    };
    (@versions none) => { NONE };
    (@versions $min:literal $max:literal) => { Versions { min: $min, max: $max } };
    (@changes changes) => { true };
    (@changes) => { false };
}

// `changes` where a second look is due: InitProducerId fences an earlier producer and aborts its transaction;
// LeaveGroup can put another member out; ShareFetch may carry acknowledgements; StreamsGroupHeartbeat has its internal
// topics created. Versions left out of `served`: InitProducerId 6 is unstable in 4.3; AddPartitionsToTxn 4 and up is
// the batch that only brokers send.
apis! {
    // key, constant, name                                              defined  served flex.  class, changes
    0  PRODUCE "Produce",                                               [3 13],  [3 13],  9,     Rewrite, changes;
    1  FETCH "Fetch",                                                   [4 18],  [4 18],  12,    Rewrite;
    2  LIST_OFFSETS "ListOffsets",                                      [1 11],  [1 11],  6,     Forward;
    3  METADATA "Metadata",                                             [0 13],  [0 13],  9,     Rewrite;
    4  LEADER_AND_ISR "LeaderAndIsr",                                   [none],  [none],  NEVER, Refused;
    5  STOP_REPLICA "StopReplica",                                      [none],  [none],  NEVER, Refused;
    6  UPDATE_METADATA "UpdateMetadata",                                [none],  [none],  NEVER, Refused;
    7  CONTROLLED_SHUTDOWN "ControlledShutdown",                        [none],  [none],  NEVER, Refused;
    8  OFFSET_COMMIT "OffsetCommit",                                    [2 10],  [2 10],  8,     Forward, changes;
    9  OFFSET_FETCH "OffsetFetch",                                      [1 10],  [1 10],  6,     Forward;
    10 FIND_COORDINATOR "FindCoordinator",                              [0 6],   [0 6],   3,     Rewrite;
    11 JOIN_GROUP "JoinGroup",                                          [0 9],   [0 9],   6,     Forward;
    12 HEARTBEAT "Heartbeat",                                           [0 4],   [0 4],   4,     Forward;
    13 LEAVE_GROUP "LeaveGroup",                                        [0 5],   [0 5],   4,     Forward, changes;
    14 SYNC_GROUP "SyncGroup",                                          [0 5],   [0 5],   4,     Forward;
    15 DESCRIBE_GROUPS "DescribeGroups",                                [0 6],   [0 6],   5,     Forward;
    16 LIST_GROUPS "ListGroups",                                        [0 5],   [0 5],   3,     Forward;
    17 SASL_HANDSHAKE "SaslHandshake",                                  [0 1],   [0 1],   NEVER, Here;
    18 API_VERSIONS "ApiVersions",                                      [0 4],   [0 4],   3,     Here;
    19 CREATE_TOPICS "CreateTopics",                                    [2 7],   [2 7],   5,     Risky, changes;
    20 DELETE_TOPICS "DeleteTopics",                                    [1 6],   [1 6],   4,     Risky, changes;
    21 DELETE_RECORDS "DeleteRecords",                                  [0 2],   [0 2],   2,     Risky, changes;
    22 INIT_PRODUCER_ID "InitProducerId",                               [0 6],   [0 5],   2,     Forward, changes;
    23 OFFSET_FOR_LEADER_EPOCH "OffsetForLeaderEpoch",                  [2 4],   [2 4],   4,     Forward;
    24 ADD_PARTITIONS_TO_TXN "AddPartitionsToTxn",                      [0 5],   [0 3],   3,     Forward, changes;
    25 ADD_OFFSETS_TO_TXN "AddOffsetsToTxn",                            [0 4],   [0 4],   3,     Forward, changes;
    26 END_TXN "EndTxn",                                                [0 5],   [0 5],   3,     Forward, changes;
    27 WRITE_TXN_MARKERS "WriteTxnMarkers",                             [1 2],   [none],  1,     Refused;
    28 TXN_OFFSET_COMMIT "TxnOffsetCommit",                             [0 5],   [0 5],   3,     Forward, changes;
    29 DESCRIBE_ACLS "DescribeAcls",                                    [1 3],   [1 3],   2,     Forward;
    30 CREATE_ACLS "CreateAcls",                                        [1 3],   [1 3],   2,     Security, changes;
    31 DELETE_ACLS "DeleteAcls",                                        [1 3],   [1 3],   2,     Security, changes;
    32 DESCRIBE_CONFIGS "DescribeConfigs",                              [1 4],   [1 4],   4,     Rewrite;
    33 ALTER_CONFIGS "AlterConfigs",                                    [0 2],   [0 2],   2,     Risky, changes;
    34 ALTER_REPLICA_LOG_DIRS "AlterReplicaLogDirs",                    [1 2],   [1 2],   2,     Risky, changes;
    35 DESCRIBE_LOG_DIRS "DescribeLogDirs",                             [1 5],   [1 5],   2,     Forward;
    36 SASL_AUTHENTICATE "SaslAuthenticate",                            [0 2],   [0 2],   2,     Here;
    37 CREATE_PARTITIONS "CreatePartitions",                            [0 3],   [0 3],   2,     Risky, changes;
    38 CREATE_DELEGATION_TOKEN "CreateDelegationToken",                 [1 3],   [1 3],   2,     Security, changes;
    39 RENEW_DELEGATION_TOKEN "RenewDelegationToken",                   [1 2],   [1 2],   2,     Security, changes;
    40 EXPIRE_DELEGATION_TOKEN "ExpireDelegationToken",                 [1 2],   [1 2],   2,     Security, changes;
    41 DESCRIBE_DELEGATION_TOKEN "DescribeDelegationToken",             [1 3],   [1 3],   2,     Security;
    42 DELETE_GROUPS "DeleteGroups",                                    [0 2],   [0 2],   2,     Risky, changes;
    43 ELECT_LEADERS "ElectLeaders",                                    [0 2],   [0 2],   2,     Risky, changes;
    44 INCREMENTAL_ALTER_CONFIGS "IncrementalAlterConfigs",             [0 1],   [0 1],   1,     Risky, changes;
    45 ALTER_PARTITION_REASSIGNMENTS "AlterPartitionReassignments",     [0 1],   [0 1],   0,     Risky, changes;
    46 LIST_PARTITION_REASSIGNMENTS "ListPartitionReassignments",       [0 0],   [0 0],   0,     Forward;
    47 OFFSET_DELETE "OffsetDelete",                                    [0 0],   [0 0],   NEVER, Risky, changes;
    48 DESCRIBE_CLIENT_QUOTAS "DescribeClientQuotas",                   [0 1],   [0 1],   1,     Forward;
    49 ALTER_CLIENT_QUOTAS "AlterClientQuotas",                         [0 1],   [0 1],   1,     Security, changes;
    50 DESCRIBE_USER_SCRAM_CREDENTIALS "DescribeUserScramCredentials",  [0 0],   [0 0],   0,     Forward;
    51 ALTER_USER_SCRAM_CREDENTIALS "AlterUserScramCredentials",        [0 0],   [0 0],   0,     Security, changes;
    52 VOTE "Vote",                                                     [0 2],   [none],  0,     Refused;
    53 BEGIN_QUORUM_EPOCH "BeginQuorumEpoch",                           [0 1],   [none],  1,     Refused;
    54 END_QUORUM_EPOCH "EndQuorumEpoch",                               [0 1],   [none],  1,     Refused;
    55 DESCRIBE_QUORUM "DescribeQuorum",                                [0 2],   [0 2],   0,     Rewrite;
    56 ALTER_PARTITION "AlterPartition",                                [2 3],   [none],  0,     Refused;
    57 UPDATE_FEATURES "UpdateFeatures",                                [0 2],   [0 2],   0,     Security, changes;
    58 ENVELOPE "Envelope",                                             [0 0],   [none],  0,     Refused;
    59 FETCH_SNAPSHOT "FetchSnapshot",                                  [0 1],   [none],  0,     Refused;
    60 DESCRIBE_CLUSTER "DescribeCluster",                              [0 2],   [0 2],   0,     Rewrite;
    61 DESCRIBE_PRODUCERS "DescribeProducers",                          [0 0],   [0 0],   0,     Forward;
    62 BROKER_REGISTRATION "BrokerRegistration",                        [0 4],   [none],  0,     Refused;
    63 BROKER_HEARTBEAT "BrokerHeartbeat",                              [0 2],   [none],  0,     Refused;
    64 UNREGISTER_BROKER "UnregisterBroker",                            [0 0],   [0 0],   0,     Security, changes;
    65 DESCRIBE_TRANSACTIONS "DescribeTransactions",                    [0 0],   [0 0],   0,     Forward;
    66 LIST_TRANSACTIONS "ListTransactions",                            [0 2],   [0 2],   0,     Forward;
    67 ALLOCATE_PRODUCER_IDS "AllocateProducerIds",                     [0 0],   [none],  0,     Refused;
    68 CONSUMER_GROUP_HEARTBEAT "ConsumerGroupHeartbeat",               [0 1],   [0 1],   0,     Forward;
    69 CONSUMER_GROUP_DESCRIBE "ConsumerGroupDescribe",                 [0 1],   [0 1],   0,     Forward;
    70 CONTROLLER_REGISTRATION "ControllerRegistration",                [0 0],   [none],  0,     Refused;
    71 GET_TELEMETRY_SUBSCRIPTIONS "GetTelemetrySubscriptions",         [0 0],   [0 0],   0,     Forward;
    72 PUSH_TELEMETRY "PushTelemetry",                                  [0 0],   [0 0],   0,     Forward;
    73 ASSIGN_REPLICAS_TO_DIRS "AssignReplicasToDirs",                  [0 0],   [none],  0,     Refused;
    74 LIST_CONFIG_RESOURCES "ListConfigResources",                     [0 1],   [0 1],   0,     Forward;
    75 DESCRIBE_TOPIC_PARTITIONS "DescribeTopicPartitions",             [0 0],   [0 0],   0,     Forward;
    76 SHARE_GROUP_HEARTBEAT "ShareGroupHeartbeat",                     [1 1],   [1 1],   0,     Forward;
    77 SHARE_GROUP_DESCRIBE "ShareGroupDescribe",                       [1 1],   [1 1],   0,     Forward;
    78 SHARE_FETCH "ShareFetch",                                        [1 2],   [1 2],   0,     Rewrite, changes;
    79 SHARE_ACKNOWLEDGE "ShareAcknowledge",                            [1 2],   [1 2],   0,     Rewrite, changes;
    80 ADD_RAFT_VOTER "AddRaftVoter",                                   [0 1],   [0 1],   0,     Security, changes;
    81 REMOVE_RAFT_VOTER "RemoveRaftVoter",                             [0 0],   [0 0],   0,     Security, changes;
    82 UPDATE_RAFT_VOTER "UpdateRaftVoter",                             [0 0],   [none],  0,     Refused;
    83 INITIALIZE_SHARE_GROUP_STATE "InitializeShareGroupState",        [0 0],   [none],  0,     Refused;
    84 READ_SHARE_GROUP_STATE "ReadShareGroupState",                    [0 0],   [none],  0,     Refused;
    85 WRITE_SHARE_GROUP_STATE "WriteShareGroupState",                  [0 1],   [none],  0,     Refused;
    86 DELETE_SHARE_GROUP_STATE "DeleteShareGroupState",                [0 0],   [none],  0,     Refused;
    87 READ_SHARE_GROUP_STATE_SUMMARY "ReadShareGroupStateSummary",     [0 1],   [none],  0,     Refused;
    88 STREAMS_GROUP_HEARTBEAT "StreamsGroupHeartbeat",                 [0 0],   [0 0],   0,     Forward, changes;
    89 STREAMS_GROUP_DESCRIBE "StreamsGroupDescribe",                   [0 0],   [0 0],   0,     Forward;
    90 DESCRIBE_SHARE_GROUP_OFFSETS "DescribeShareGroupOffsets",        [0 1],   [0 1],   0,     Forward;
    91 ALTER_SHARE_GROUP_OFFSETS "AlterShareGroupOffsets",              [0 0],   [0 0],   0,     Risky, changes;
    92 DELETE_SHARE_GROUP_OFFSETS "DeleteShareGroupOffsets",            [0 0],   [0 0],   0,     Risky, changes;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use kafka_protocol::messages::ApiKey;

    #[test]
    fn a_key_is_its_row_and_what_lies_outside_has_none() {
        for (index, api) in TABLE.iter().enumerate() {
            assert_eq!(api.key as usize, index);
            assert_eq!(lookup(api.key), Some(api));
        }
        for key in [-1, i16::MIN, TABLE.len() as i16, i16::MAX] {
            assert_eq!(lookup(key), None);
            assert_eq!(name(key), "Unknown");
        }
    }

    #[test]
    fn every_api_the_codec_knows_has_a_row_of_the_same_name_and_versions() {
        for known in ApiKey::iter() {
            let api = lookup(known as i16).unwrap();
            assert_eq!(api.name, format!("{known:?}"));
            let codec = known.valid_versions();
            assert!(api.defined.contains(codec.min), "{}", api.name);
            assert!(codec.min == api.defined.min && codec.max <= api.defined.max, "{}", api.name);
        }
    }

    #[test]
    fn header_versions_are_those_the_codec_uses() {
        for known in ApiKey::iter() {
            let api = lookup(known as i16).unwrap();
            let codec = known.valid_versions();
            for version in codec.min..=codec.max {
                let at = format!("{} v{version}", api.name);
                assert_eq!(api.request_header_version(version), known.request_header_version(version), "{at}");
                assert_eq!(api.response_header_version(version), known.response_header_version(version), "{at}");
            }
        }
    }

    #[test]
    fn a_refused_api_serves_no_version_and_every_other_serves_some_of_those_defined() {
        for api in TABLE {
            assert_eq!(api.served.is_empty(), api.class == Class::Refused, "{}", api.name);
            assert_eq!(api.served, api.served.intersect(api.defined), "{}", api.name);
            assert!(!(api.changes && api.class == Class::Refused), "{}", api.name);
        }
    }

    #[test]
    fn what_only_brokers_may_send_is_never_served() {
        let add_partitions = lookup(key::ADD_PARTITIONS_TO_TXN).unwrap();
        assert!(add_partitions.serves(3) && !add_partitions.serves(4) && !add_partitions.serves(5));
        for key in [key::WRITE_TXN_MARKERS, key::ENVELOPE, key::FETCH_SNAPSHOT, key::VOTE, key::WRITE_SHARE_GROUP_STATE]
        {
            let api = lookup(key).unwrap();
            assert!((0..=20).all(|version| !api.serves(version)), "{}", api.name);
        }
    }

    #[test]
    fn everything_risky_or_a_security_change_is_noted_before_it_is_forwarded() {
        for api in TABLE.iter().filter(|api| matches!(api.class, Class::Risky | Class::Security)) {
            assert_eq!(api.changes, api.key != key::DESCRIBE_DELEGATION_TOKEN, "{}", api.name);
        }
    }
}
