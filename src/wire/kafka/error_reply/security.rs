//! Changes of credentials, ACLs and quotas, where errors stand at each entry.

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::*;

use super::Refusal;
use crate::wire::kafka::api::key;

/// Replies to the APIs of this family; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match refusal.api.key {
        key::CREATE_ACLS => create_acls(refusal),
        key::DELETE_ACLS => delete_acls(refusal),
        key::ALTER_CLIENT_QUOTAS => alter_client_quotas(refusal),
        key::DESCRIBE_CLIENT_QUOTAS => describe_client_quotas(refusal),
        key::ALTER_USER_SCRAM_CREDENTIALS => alter_user_scram_credentials(refusal),
        _ => None,
    }
}

fn create_acls(r: &Refusal<'_>) -> Option<Bytes> {
    let request: CreateAclsRequest = r.request()?;
    let results = request
        .creations
        .iter()
        .map(|_| AclCreationResult::default().with_error_code(r.error).with_error_message(r.message.clone()));
    r.reply(&CreateAclsResponse::default().with_results(results.collect()))
}

fn delete_acls(r: &Refusal<'_>) -> Option<Bytes> {
    let request: DeleteAclsRequest = r.request()?;
    let results = request
        .filters
        .iter()
        .map(|_| DeleteAclsFilterResult::default().with_error_code(r.error).with_error_message(r.message.clone()));
    r.reply(&DeleteAclsResponse::default().with_filter_results(results.collect()))
}

fn alter_client_quotas(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AlterClientQuotasRequest = r.request()?;
    let entries = request.entries.into_iter().map(|entry| {
        let entity = entry
            .entity
            .into_iter()
            .map(|part| EntityData::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name));
        EntryData::default()
            .with_entity(entity.collect())
            .with_error_code(r.error)
            .with_error_message(r.message.clone())
    });
    r.reply(&AlterClientQuotasResponse::default().with_entries(entries.collect()))
}

/// One error for all, and no entries: null, as a broker writes it, not an empty list that says that there are none.
fn describe_client_quotas(r: &Refusal<'_>) -> Option<Bytes> {
    let response = DescribeClientQuotasResponse::default().with_entries(None);
    r.reply(&response.with_error_code(r.error).with_error_message(r.message.clone()))
}

/// One result a user, as brokers do: a request may delete and insert for the same one.
fn alter_user_scram_credentials(r: &Refusal<'_>) -> Option<Bytes> {
    let request: AlterUserScramCredentialsRequest = r.request()?;
    let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
    let mut users: Vec<_> = deleted.chain(request.upsertions.into_iter().map(|upsertion| upsertion.name)).collect();
    users.sort_unstable();
    users.dedup();
    let results = users.into_iter().map(|user| {
        let result = AlterUserScramCredentialsResult::default().with_user(user);
        result.with_error_code(r.error).with_error_message(r.message.clone())
    });
    r.reply(&AlterUserScramCredentialsResponse::default().with_results(results.collect()))
}
