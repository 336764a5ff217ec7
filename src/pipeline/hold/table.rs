//! What of each API can be held, one row an API.
//!
//! Invariant: an API that changes something on the cluster has a row, or stands among those that are never held with the reason;
//! a test fails for one that has neither.

use crate::policy::{ActionKind, HeldOperation};
use crate::wire::kafka::api::key;

/// What of a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// What is done to each thing that it names.
    Each(HeldOperation),
    /// Positions of the group at its top, in topics.
    Positions,
    /// Records of each topic, as long as a grant lasts.
    Records(HeldOperation),
    /// Topics that it names and that are not there yet.
    Creation,
    /// All of it together.
    Whole(HeldOperation, ActionKind),
}

/// The row of an API; none where nothing of it is ever held.
pub(super) fn of(api_key: i16) -> Option<Held> {
    use HeldOperation::*;
    Some(match api_key {
        key::PRODUCE => Held::Records(Produce),
        key::FETCH | key::SHARE_FETCH => Held::Records(Fetch),
        key::METADATA | key::STREAMS_GROUP_HEARTBEAT => Held::Creation,
        key::OFFSET_COMMIT | key::TXN_OFFSET_COMMIT | key::OFFSET_DELETE => Held::Positions,
        key::ALTER_SHARE_GROUP_OFFSETS | key::DELETE_SHARE_GROUP_OFFSETS => Held::Positions,
        key::CREATE_TOPICS => Held::Each(CreateTopics),
        key::DELETE_TOPICS => Held::Each(DeleteTopics),
        key::DELETE_RECORDS => Held::Each(DeleteRecords),
        key::CREATE_PARTITIONS => Held::Each(CreatePartitions),
        key::ALTER_CONFIGS | key::INCREMENTAL_ALTER_CONFIGS => Held::Each(AlterConfigs),
        key::DELETE_GROUPS => Held::Each(DeleteGroups),
        key::ELECT_LEADERS => Held::Each(ElectLeaders),
        key::ALTER_PARTITION_REASSIGNMENTS => Held::Each(AlterReassignments),
        key::ALTER_USER_SCRAM_CREDENTIALS => Held::Whole(AlterUsers, ActionKind::User),
        key::ALTER_CLIENT_QUOTAS => Held::Whole(AlterQuotas, ActionKind::Quota),
        _ => return None,
    })
}

/// What an API can be held as.
pub fn operation(api_key: i16) -> Option<HeldOperation> {
    of(api_key).map(|held| match held {
        Held::Each(operation) | Held::Records(operation) | Held::Whole(operation, _) => operation,
        Held::Positions => HeldOperation::ResetOffsets,
        Held::Creation => HeldOperation::CreateTopics,
    })
}

/// What an API does that its fields do not say, where others that are held as the same do not do it.
pub(super) fn beyond_words(api_key: i16) -> Option<(&'static str, &'static str)> {
    match api_key {
        key::ALTER_CONFIGS => Some(("all_other_settings", "back to their defaults")),
        key::OFFSET_DELETE | key::DELETE_SHARE_GROUP_OFFSETS => Some(("positions", "forgotten")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kafka::api::{self, Class};

    /// APIs that change something and are never held, with the reason.
    const NEVER: &[(i16, &str)] = &[
        (key::LEAVE_GROUP, "a member that leaves does so by falling silent as well"),
        (key::INIT_PRODUCER_ID, "begins what Produce does, which is held"),
        (key::ADD_PARTITIONS_TO_TXN, "begins what Produce does, which is held"),
        (key::ADD_OFFSETS_TO_TXN, "begins what TxnOffsetCommit does, which is held"),
        (key::END_TXN, "a transaction that cannot end blocks its readers"),
        (key::SHARE_ACKNOWLEDGE, "what was read is acknowledged; ShareFetch is held"),
        (key::CREATE_ACLS, "goes through only where a listener allows changes of security"),
        (key::DELETE_ACLS, "goes through only where a listener allows changes of security"),
        (key::ALTER_REPLICA_LOG_DIRS, "moves replicas between the disks of one broker"),
        (key::CREATE_DELEGATION_TOKEN, "goes through only where a listener allows changes of security"),
        (key::RENEW_DELEGATION_TOKEN, "goes through only where a listener allows changes of security"),
        (key::EXPIRE_DELEGATION_TOKEN, "goes through only where a listener allows changes of security"),
        (key::UPDATE_FEATURES, "goes through only where a listener allows changes of security"),
        (key::UNREGISTER_BROKER, "goes through only where a listener allows changes of security"),
        (key::ADD_RAFT_VOTER, "goes through only where a listener allows changes of security"),
        (key::REMOVE_RAFT_VOTER, "goes through only where a listener allows changes of security"),
    ];

    #[test]
    fn every_api_that_changes_something_can_be_held_or_says_why_not() {
        for api in api::TABLE.iter().filter(|api| api.changes && !matches!(api.class, Class::Here | Class::Refused)) {
            let never = NEVER.iter().any(|(key, _)| *key == api.key);
            assert!(of(api.key).is_some() != never, "{}", api.name);
        }
    }
}
