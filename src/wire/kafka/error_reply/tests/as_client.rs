//! Reads a reply as a stock client does.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;

macro_rules! read_by_key {
    ($($api:ident $response:ty),* $(,)?) => {
        /// Decodes a reply's body to the last byte and tells what it says; none for an API the codec does not know.
        pub(super) fn told(key: i16, version: i16, body: Bytes) -> Option<String> {
            match ApiKey::try_from(key).ok()? {
                $(ApiKey::$api => Some(format!("{:?}", to_the_end::<$response>(body, version))),)*
                _ => None,
            }
        }
    };
}

read_by_key!(
    Produce ProduceResponse,
    Fetch FetchResponse,
    ListOffsets ListOffsetsResponse,
    Metadata MetadataResponse,
    OffsetCommit OffsetCommitResponse,
    OffsetFetch OffsetFetchResponse,
    FindCoordinator FindCoordinatorResponse,
    JoinGroup JoinGroupResponse,
    Heartbeat HeartbeatResponse,
    LeaveGroup LeaveGroupResponse,
    SyncGroup SyncGroupResponse,
    DescribeGroups DescribeGroupsResponse,
    ListGroups ListGroupsResponse,
    CreateTopics CreateTopicsResponse,
    DeleteTopics DeleteTopicsResponse,
    DeleteRecords DeleteRecordsResponse,
    InitProducerId InitProducerIdResponse,
    OffsetForLeaderEpoch OffsetForLeaderEpochResponse,
    AddPartitionsToTxn AddPartitionsToTxnResponse,
    AddOffsetsToTxn AddOffsetsToTxnResponse,
    EndTxn EndTxnResponse,
    WriteTxnMarkers WriteTxnMarkersResponse,
    TxnOffsetCommit TxnOffsetCommitResponse,
    DescribeAcls DescribeAclsResponse,
    CreateAcls CreateAclsResponse,
    DeleteAcls DeleteAclsResponse,
    DescribeConfigs DescribeConfigsResponse,
    AlterConfigs AlterConfigsResponse,
    AlterReplicaLogDirs AlterReplicaLogDirsResponse,
    DescribeLogDirs DescribeLogDirsResponse,
    CreatePartitions CreatePartitionsResponse,
    CreateDelegationToken CreateDelegationTokenResponse,
    RenewDelegationToken RenewDelegationTokenResponse,
    ExpireDelegationToken ExpireDelegationTokenResponse,
    DescribeDelegationToken DescribeDelegationTokenResponse,
    DeleteGroups DeleteGroupsResponse,
    ElectLeaders ElectLeadersResponse,
    IncrementalAlterConfigs IncrementalAlterConfigsResponse,
    AlterPartitionReassignments AlterPartitionReassignmentsResponse,
    ListPartitionReassignments ListPartitionReassignmentsResponse,
    OffsetDelete OffsetDeleteResponse,
    DescribeClientQuotas DescribeClientQuotasResponse,
    AlterClientQuotas AlterClientQuotasResponse,
    DescribeUserScramCredentials DescribeUserScramCredentialsResponse,
    AlterUserScramCredentials AlterUserScramCredentialsResponse,
    Vote VoteResponse,
    BeginQuorumEpoch BeginQuorumEpochResponse,
    EndQuorumEpoch EndQuorumEpochResponse,
    DescribeQuorum DescribeQuorumResponse,
    AlterPartition AlterPartitionResponse,
    UpdateFeatures UpdateFeaturesResponse,
    Envelope EnvelopeResponse,
    FetchSnapshot FetchSnapshotResponse,
    DescribeCluster DescribeClusterResponse,
    DescribeProducers DescribeProducersResponse,
    BrokerRegistration BrokerRegistrationResponse,
    BrokerHeartbeat BrokerHeartbeatResponse,
    UnregisterBroker UnregisterBrokerResponse,
    DescribeTransactions DescribeTransactionsResponse,
    ListTransactions ListTransactionsResponse,
    AllocateProducerIds AllocateProducerIdsResponse,
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatResponse,
    ConsumerGroupDescribe ConsumerGroupDescribeResponse,
    ControllerRegistration ControllerRegistrationResponse,
    GetTelemetrySubscriptions GetTelemetrySubscriptionsResponse,
    PushTelemetry PushTelemetryResponse,
    AssignReplicasToDirs AssignReplicasToDirsResponse,
    ListConfigResources ListConfigResourcesResponse,
    DescribeTopicPartitions DescribeTopicPartitionsResponse,
    ShareGroupHeartbeat ShareGroupHeartbeatResponse,
    ShareGroupDescribe ShareGroupDescribeResponse,
    ShareFetch ShareFetchResponse,
    ShareAcknowledge ShareAcknowledgeResponse,
    AddRaftVoter AddRaftVoterResponse,
    RemoveRaftVoter RemoveRaftVoterResponse,
    UpdateRaftVoter UpdateRaftVoterResponse,
    DescribeShareGroupOffsets DescribeShareGroupOffsetsResponse,
    AlterShareGroupOffsets AlterShareGroupOffsetsResponse,
    DeleteShareGroupOffsets DeleteShareGroupOffsetsResponse,
);

/// Decodes a body that must end where its layout does.
pub(super) fn to_the_end<R: Decodable>(mut body: Bytes, version: i16) -> R {
    let response = R::decode(&mut body, version).unwrap();
    assert!(body.is_empty(), "longer than its layout");
    response
}
