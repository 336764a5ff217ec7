//! APIs whose answer has one error for the whole request: no look at the request is needed.

use bytes::Bytes;
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// Replies to APIs of one error; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    clients(refusal).or_else(|| administration(refusal)).or_else(|| brokers(refusal))
}

/// The answer's defaults with the error code set.
macro_rules! code {
    ($refusal:ident, $response:ty) => {
        $refusal.reply(&<$response>::default().with_error_code($refusal.error))
    };
}

/// As `code`, with the message that goes with it.
macro_rules! code_and_message {
    ($refusal:ident, $response:ty) => {
        code_and_message!($refusal, $response, since 0)
    };
    ($refusal:ident, $response:ty, since $version:literal) => {
        $refusal.reply(
            &<$response>::default()
                .with_error_code($refusal.error)
                .with_error_message($refusal.message_since($version)),
        )
    };
}

fn clients(r: &Refusal<'_>) -> Option<Bytes> {
    match r.api.key {
        key::HEARTBEAT => code!(r, HeartbeatResponse),
        key::LEAVE_GROUP => code!(r, LeaveGroupResponse),
        key::SYNC_GROUP => code!(r, SyncGroupResponse),
        key::CONSUMER_GROUP_HEARTBEAT => code_and_message!(r, ConsumerGroupHeartbeatResponse),
        key::SHARE_GROUP_HEARTBEAT => code_and_message!(r, ShareGroupHeartbeatResponse),
        key::SHARE_FETCH => code_and_message!(r, ShareFetchResponse),
        key::SHARE_ACKNOWLEDGE if r.version == 1 => code_and_message!(r, ShareAcknowledgeResponse),
        key::INIT_PRODUCER_ID => {
            r.reply(&InitProducerIdResponse::default().with_error_code(r.error).with_producer_epoch(-1))
        }
        key::ADD_OFFSETS_TO_TXN => code!(r, AddOffsetsToTxnResponse),
        key::END_TXN if r.version >= 5 => {
            r.reply(&EndTxnResponse::default().with_error_code(r.error).with_producer_epoch(-1))
        }
        key::END_TXN => code!(r, EndTxnResponse),
        key::ADD_PARTITIONS_TO_TXN if r.version >= 4 => code!(r, AddPartitionsToTxnResponse),
        key::GET_TELEMETRY_SUBSCRIPTIONS => code!(r, GetTelemetrySubscriptionsResponse),
        key::PUSH_TELEMETRY => code!(r, PushTelemetryResponse),
        _ => None,
    }
}

fn administration(r: &Refusal<'_>) -> Option<Bytes> {
    match r.api.key {
        key::LIST_GROUPS => code!(r, ListGroupsResponse),
        key::LIST_TRANSACTIONS => code!(r, ListTransactionsResponse),
        key::LIST_CONFIG_RESOURCES => code!(r, ListConfigResourcesResponse),
        key::LIST_PARTITION_REASSIGNMENTS => {
            code_and_message!(r, ListPartitionReassignmentsResponse)
        }
        key::DESCRIBE_CLUSTER => code_and_message!(r, DescribeClusterResponse),
        key::DESCRIBE_QUORUM => code_and_message!(r, DescribeQuorumResponse, since 2),
        key::DESCRIBE_LOG_DIRS if r.version >= 3 => code!(r, DescribeLogDirsResponse),
        key::DESCRIBE_ACLS => code_and_message!(r, DescribeAclsResponse),
        key::DESCRIBE_USER_SCRAM_CREDENTIALS => {
            code_and_message!(r, DescribeUserScramCredentialsResponse)
        }
        key::OFFSET_DELETE => code!(r, OffsetDeleteResponse),
        key::ALTER_SHARE_GROUP_OFFSETS => code_and_message!(r, AlterShareGroupOffsetsResponse),
        key::DELETE_SHARE_GROUP_OFFSETS => code_and_message!(r, DeleteShareGroupOffsetsResponse),
        key::CREATE_DELEGATION_TOKEN => code!(r, CreateDelegationTokenResponse),
        key::RENEW_DELEGATION_TOKEN => code!(r, RenewDelegationTokenResponse),
        key::EXPIRE_DELEGATION_TOKEN => code!(r, ExpireDelegationTokenResponse),
        key::DESCRIBE_DELEGATION_TOKEN => code!(r, DescribeDelegationTokenResponse),
        key::UPDATE_FEATURES => code_and_message!(r, UpdateFeaturesResponse),
        key::UNREGISTER_BROKER => code_and_message!(r, UnregisterBrokerResponse),
        key::ADD_RAFT_VOTER => code_and_message!(r, AddRaftVoterResponse),
        key::REMOVE_RAFT_VOTER => code_and_message!(r, RemoveRaftVoterResponse),
        _ => None,
    }
}

/// Never sent by a client that read ApiVersions; whoever sends them anyway is told, not just dropped.
fn brokers(r: &Refusal<'_>) -> Option<Bytes> {
    match r.api.key {
        key::VOTE => code!(r, VoteResponse),
        key::BEGIN_QUORUM_EPOCH => code!(r, BeginQuorumEpochResponse),
        key::END_QUORUM_EPOCH => code!(r, EndQuorumEpochResponse),
        key::ALTER_PARTITION => code!(r, AlterPartitionResponse),
        key::ENVELOPE => code!(r, EnvelopeResponse),
        key::FETCH_SNAPSHOT => code!(r, FetchSnapshotResponse),
        key::BROKER_REGISTRATION => code!(r, BrokerRegistrationResponse),
        key::BROKER_HEARTBEAT => code!(r, BrokerHeartbeatResponse),
        key::ALLOCATE_PRODUCER_IDS => code!(r, AllocateProducerIdsResponse),
        key::CONTROLLER_REGISTRATION => code_and_message!(r, ControllerRegistrationResponse),
        key::ASSIGN_REPLICAS_TO_DIRS => code!(r, AssignReplicasToDirsResponse),
        key::UPDATE_RAFT_VOTER => code!(r, UpdateRaftVoterResponse),
        _ => None,
    }
}
