//! What kafka-protocol, which knows nothing of our table, makes of a body.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Message as Known};

use crate::wire::kafka::layout::{Direction, Message};

/// Decodes a body; gives the bytes that were left over, or none where the version is not known.
fn decode<T: Known + Decodable>(body: Vec<u8>, version: i16) -> Option<Result<usize, String>> {
    if version < T::VERSIONS.min || version > T::VERSIONS.max {
        return None;
    }
    let mut bytes = Bytes::from(body);
    let decoded = T::decode(&mut bytes, version).map_err(|error| error.to_string());
    Some(decoded.map(|_| bytes.len()))
}

macro_rules! apis {
    ($($key:literal => $request:ident, $response:ident;)*) => {
        /// Decodes a body of any API; gives the bytes left over, or none where API or version is not known.
        pub fn read(message: &Message, version: i16, body: Vec<u8>) -> Option<Result<usize, String>> {
            match (message.api_key, message.direction) {
                $(
                    ($key, Direction::Request) => decode::<$request>(body, version),
                    ($key, Direction::Response) => decode::<$response>(body, version),
                )*
                _ => None,
            }
        }
    };
}

apis! {
    0 => ProduceRequest, ProduceResponse;
    1 => FetchRequest, FetchResponse;
    2 => ListOffsetsRequest, ListOffsetsResponse;
    3 => MetadataRequest, MetadataResponse;
    8 => OffsetCommitRequest, OffsetCommitResponse;
    9 => OffsetFetchRequest, OffsetFetchResponse;
    10 => FindCoordinatorRequest, FindCoordinatorResponse;
    11 => JoinGroupRequest, JoinGroupResponse;
    12 => HeartbeatRequest, HeartbeatResponse;
    13 => LeaveGroupRequest, LeaveGroupResponse;
    14 => SyncGroupRequest, SyncGroupResponse;
    15 => DescribeGroupsRequest, DescribeGroupsResponse;
    16 => ListGroupsRequest, ListGroupsResponse;
    17 => SaslHandshakeRequest, SaslHandshakeResponse;
    18 => ApiVersionsRequest, ApiVersionsResponse;
    19 => CreateTopicsRequest, CreateTopicsResponse;
    20 => DeleteTopicsRequest, DeleteTopicsResponse;
    21 => DeleteRecordsRequest, DeleteRecordsResponse;
    22 => InitProducerIdRequest, InitProducerIdResponse;
    23 => OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    24 => AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    25 => AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    26 => EndTxnRequest, EndTxnResponse;
    28 => TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    29 => DescribeAclsRequest, DescribeAclsResponse;
    30 => CreateAclsRequest, CreateAclsResponse;
    31 => DeleteAclsRequest, DeleteAclsResponse;
    32 => DescribeConfigsRequest, DescribeConfigsResponse;
    33 => AlterConfigsRequest, AlterConfigsResponse;
    34 => AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
    35 => DescribeLogDirsRequest, DescribeLogDirsResponse;
    36 => SaslAuthenticateRequest, SaslAuthenticateResponse;
    37 => CreatePartitionsRequest, CreatePartitionsResponse;
    38 => CreateDelegationTokenRequest, CreateDelegationTokenResponse;
    39 => RenewDelegationTokenRequest, RenewDelegationTokenResponse;
    40 => ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
    41 => DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
    42 => DeleteGroupsRequest, DeleteGroupsResponse;
    43 => ElectLeadersRequest, ElectLeadersResponse;
    44 => IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    45 => AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    46 => ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    47 => OffsetDeleteRequest, OffsetDeleteResponse;
    48 => DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    49 => AlterClientQuotasRequest, AlterClientQuotasResponse;
    50 => DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    51 => AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
    55 => DescribeQuorumRequest, DescribeQuorumResponse;
    57 => UpdateFeaturesRequest, UpdateFeaturesResponse;
    60 => DescribeClusterRequest, DescribeClusterResponse;
    61 => DescribeProducersRequest, DescribeProducersResponse;
    64 => UnregisterBrokerRequest, UnregisterBrokerResponse;
    65 => DescribeTransactionsRequest, DescribeTransactionsResponse;
    66 => ListTransactionsRequest, ListTransactionsResponse;
    68 => ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    69 => ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    71 => GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
    72 => PushTelemetryRequest, PushTelemetryResponse;
    74 => ListConfigResourcesRequest, ListConfigResourcesResponse;
    75 => DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    76 => ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse;
    77 => ShareGroupDescribeRequest, ShareGroupDescribeResponse;
    78 => ShareFetchRequest, ShareFetchResponse;
    79 => ShareAcknowledgeRequest, ShareAcknowledgeResponse;
    80 => AddRaftVoterRequest, AddRaftVoterResponse;
    81 => RemoveRaftVoterRequest, RemoveRaftVoterResponse;
    90 => DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse;
    91 => AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse;
    92 => DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse;
}
