//! Changes of security, where the listener allows them. These brokers have no authorizer, no secret for delegation
//! tokens and no voter by these names: that they say so shows that they were asked.

use bytes::BytesMut;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AddRaftVoterRequest, AlterClientQuotasRequest, AlterUserScramCredentialsRequest, BrokerId, CreateAclsRequest,
    CreateDelegationTokenRequest, DeleteAclsRequest, DescribeDelegationTokenRequest, ExpireDelegationTokenRequest,
    RemoveRaftVoterRequest, RenewDelegationTokenRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use loadtest::admin::text;
use weir::wire::kafka::api::key;

use super::case::{Case, Flexible, case, raw};

const SECURITY_DISABLED: i16 = 54;
const DELEGATION_TOKEN_AUTH_DISABLED: i16 = 61;
const DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: i16 = 64;
const INVALID_REQUEST: i16 = 42;
const INCONSISTENT_CLUSTER_ID: i16 = 104;
const BROKER_ID_NOT_REGISTERED: i16 = 102;

/// A node that is none of the cluster's.
const NOBODY: i32 = 99;

pub fn cases() -> Vec<Case> {
    [acls(), tokens(), names(), quorum()].into_iter().flatten().collect()
}

fn acls() -> Vec<Case> {
    vec![
        case(|side, v| {
            let acl = AclCreation::default()
                .with_resource_type(2)
                .with_resource_name(text(side.own("guarded", v)))
                .with_resource_pattern_type(3)
                .with_principal(text("User:somebody"))
                .with_host(text("*"))
                .with_operation(2)
                .with_permission_type(3);
            (1, CreateAclsRequest::default().with_creations(vec![acl]))
        })
        .errors(&[SECURITY_DISABLED]),
        case(|side, v| {
            let filter = DeleteAclsFilter::default()
                .with_resource_type_filter(2)
                .with_resource_name_filter(Some(text(side.own("guarded", v))))
                .with_pattern_type_filter(3)
                .with_operation(2)
                .with_permission_type(3);
            (1, DeleteAclsRequest::default().with_filters(vec![filter]))
        })
        .errors(&[SECURITY_DISABLED]),
    ]
}

fn tokens() -> Vec<Case> {
    const ERRORS: &[i16] = &[DELEGATION_TOKEN_AUTH_DISABLED, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED];
    vec![
        case(|_, _| (1, CreateDelegationTokenRequest::default().with_max_lifetime_ms(1000))).errors(ERRORS),
        case(|_, _| (1, RenewDelegationTokenRequest::default().with_hmac(b"hmac".to_vec().into()))).errors(ERRORS),
        case(|_, _| (1, ExpireDelegationTokenRequest::default().with_hmac(b"hmac".to_vec().into()))).errors(ERRORS),
        case(|_, _| (1, DescribeDelegationTokenRequest::default().with_owners(None))).errors(ERRORS),
    ]
}

fn names() -> Vec<Case> {
    vec![
        case(|side, v| {
            let user = EntityData::default().with_entity_type(text("user"));
            let op = OpData::default().with_key(text("producer_byte_rate")).with_value(1e9);
            let entry = EntryData::default()
                .with_entity(vec![user.with_entity_name(Some(text(side.own("limited", v))))])
                .with_ops(vec![op]);
            (1, AlterClientQuotasRequest::default().with_entries(vec![entry]))
        }),
        case(|side, v| {
            let upsert = ScramCredentialUpsertion::default()
                .with_name(text(side.own("salted", v)))
                .with_mechanism(1)
                .with_iterations(4096)
                .with_salt(b"salt".to_vec().into())
                .with_salted_password(vec![7; 32].into());
            (1, AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsert]))
        }),
    ]
}

fn quorum() -> Vec<Case> {
    vec![
        // To the level it has: nothing changes.
        case(|_, v| {
            let update = FeatureUpdateKey::default().with_feature(text("group.version")).with_max_version_level(1);
            let update = if v == 0 { update } else { update.with_upgrade_type(1) };
            let request = UpdateFeaturesRequest::default().with_timeout_ms(20_000).with_feature_updates(vec![update]);
            (1, request.with_validate_only(v > 0))
        }),
        case(|_, _| (1, UnregisterBrokerRequest::default().with_broker_id(BrokerId(NOBODY))))
            .errors(&[BROKER_ID_NOT_REGISTERED]),
        case(|_, _| (1, AddRaftVoterRequest::default().with_voter_id(NOBODY).with_timeout_ms(5_000)))
            .errors(&[INCONSISTENT_CLUSTER_ID]),
        raw(key::ADD_RAFT_VOTER, 1, |_| {
            let mut body = BytesMut::new();
            body.count(None).int(5_000).int(NOBODY).plain(&[0; 16]).count(Some(0)).plain(&[0, 0]);
            (1, body)
        })
        .errors(&[INVALID_REQUEST]),
        case(|_, _| (1, RemoveRaftVoterRequest::default().with_voter_id(NOBODY))).errors(&[INCONSISTENT_CLUSTER_ID]),
    ]
}
