//! Who is a member of which consumer group, as exchanges tell it. Fetch has no group id: for which group a client reads is
//! known from what it says to the group's coordinator, on other connections. ShareFetch names its group itself.
//!
//! Invariants:
//! - Nobody counts as a member before a broker said so: only an answer without an error makes one.
//! - Any other answer ends a membership, unless its error says nothing about the member.

use std::sync::Arc;
use std::time::Duration;

use super::describe::Description;
use crate::event::Resource;
use crate::limits;
use crate::wire::kafka::api::key;

/// Kafka's COORDINATOR_LOAD_IN_PROGRESS.
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
/// Kafka's COORDINATOR_NOT_AVAILABLE.
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
/// Kafka's NOT_COORDINATOR.
const NOT_COORDINATOR: i16 = 16;
/// Kafka's REBALANCE_IN_PROGRESS: brokers say it to members only, after a look at member id and generation.
const REBALANCE_IN_PROGRESS: i16 = 27;

/// A consumer group that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name; none: too long to be kept, so that it counts as not known.
    pub group: Option<Arc<str>>,
    /// How long the member may be silent, where the request says it.
    pub session_timeout: Option<Duration>,
    /// The member leaves, for good or for a while.
    leaves: bool,
}

/// What an answer says about the client that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is a member.
    Member,
    /// It is a member if it was known for one.
    StillMember,
    /// It is none.
    NoMember,
    /// Nothing.
    Nothing,
}

/// For which consumer groups records are read.
#[derive(Debug, Clone, Copy)]
pub enum ReadsFor<'a> {
    /// Those that the client's session is a member of: the request does not say.
    Session,
    /// The one that the request names.
    Group(&'a Arc<str>),
    /// Not known.
    Unknown,
}

/// Whether an API's answers say who is a member of a consumer group. Offsets may be asked for and committed by anybody.
pub fn is_told_by(api_key: i16) -> bool {
    matches!(api_key, key::JOIN_GROUP | key::SYNC_GROUP | key::HEARTBEAT | key::LEAVE_GROUP)
        || matches!(api_key, key::CONSUMER_GROUP_HEARTBEAT | key::STREAMS_GROUP_HEARTBEAT)
}

impl Named {
    /// The group that a described request is a member of, joins, leaves, or reads for; none where it is about neither.
    pub fn of(request: &Description) -> Option<Named> {
        let api_key = request.api_key();
        if !is_told_by(api_key) && api_key != key::SHARE_FETCH {
            return None;
        }
        let group = request.items.iter().find(|item| item.resource == Resource::Group)?;
        let by_epoch = matches!(api_key, key::CONSUMER_GROUP_HEARTBEAT | key::STREAMS_GROUP_HEARTBEAT);
        Some(Named {
            group: (group.name.len() <= limits::GROUP_NAME_BYTES_MAX).then(|| Arc::from(&*group.name)),
            session_timeout: request.session_timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            leaves: api_key == key::LEAVE_GROUP || (by_epoch && request.generation.is_none_or(|epoch| epoch < 0)),
        })
    }

    /// What the answer says, by its own error code.
    pub fn told(&self, error_code: i16) -> Told {
        match error_code {
            _ if self.leaves => Told::NoMember,
            0 => Told::Member,
            REBALANCE_IN_PROGRESS => Told::StillMember,
            COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR => Told::Nothing,
            _ => Told::NoMember,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::BytesMut;
    use kafka_protocol::messages::leave_group_request::MemberIdentity;
    use kafka_protocol::messages::{
        ConsumerGroupHeartbeatRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
        OffsetCommitRequest, ShareFetchRequest,
    };
    use kafka_protocol::protocol::{Request, StrBytes};

    use super::*;
    use crate::pipeline::describe::{Describer, Side};
    use crate::pipeline::drive::NoTopics;
    use crate::wire::kafka::walk::Walker;

    fn named<R: Request>(version: i16, request: &R) -> Option<Named> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        let mut description = Description::new(R::KEY, Side::Request);
        let mut walker = Walker::request(R::KEY, version, body.len() as u64).unwrap();
        walker.feed(&body, &mut Describer::new(&mut description, &NoTopics)).unwrap();
        walker.finish().unwrap();
        Named::of(&description)
    }

    fn group(name: &'static str) -> GroupId {
        GroupId(StrBytes::from_static_str(name))
    }

    #[test]
    fn a_join_says_its_group_and_its_session_timeout_in_every_version() {
        for version in 0..=9 {
            let mut request =
                JoinGroupRequest::default().with_group_id(group("team-a")).with_session_timeout_ms(45_000);
            if version >= 1 {
                request = request.with_rebalance_timeout_ms(300_000);
            }
            let named = named(version, &request).unwrap();
            assert_eq!(named.group.as_deref(), Some("team-a"));
            assert_eq!(named.session_timeout, Some(Duration::from_secs(45)));
            assert_eq!(named.told(0), Told::Member);
        }
    }

    #[test]
    fn an_error_ends_a_membership_unless_it_says_nothing_about_the_member() {
        let named = named(4, &HeartbeatRequest::default().with_group_id(group("g")).with_generation_id(3)).unwrap();
        // UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, GROUP_AUTHORIZATION_FAILED, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH, and
        // those that later brokers may have.
        for ends in [25, 22, 30, 82, 110, -1, 999] {
            assert_eq!(named.told(ends), Told::NoMember, "{ends}");
        }
        assert_eq!([14, 15, 16].map(|code| named.told(code)), [Told::Nothing; 3]);
        assert_eq!(named.told(27), Told::StillMember);
    }

    #[test]
    fn who_leaves_is_no_member_whatever_the_answer() {
        let gone = |named: Option<Named>| [0, 16, 25, 27].map(|code| named.as_ref().unwrap().told(code));
        for version in 0..=5 {
            let mut request = LeaveGroupRequest::default().with_group_id(group("g"));
            if version >= 3 {
                request = request.with_members(vec![MemberIdentity::default()]);
            }
            assert_eq!(gone(named(version, &request)), [Told::NoMember; 4]);
        }
        for (epoch, told) in [(-2, Told::NoMember), (-1, Told::NoMember), (0, Told::Member), (7, Told::Member)] {
            let beat = ConsumerGroupHeartbeatRequest::default().with_group_id(group("g")).with_member_epoch(epoch);
            assert_eq!(named(0, &beat).unwrap().told(0), told, "{epoch}");
        }
    }

    #[test]
    fn a_share_fetch_names_its_group_and_commits_prove_nothing() {
        let fetch = ShareFetchRequest::default().with_group_id(Some(group("shared")));
        assert_eq!(named(1, &fetch).unwrap().group.as_deref(), Some("shared"));
        assert_eq!(named(1, &ShareFetchRequest::default().with_group_id(None)), None);
        assert_eq!(named(8, &OffsetCommitRequest::default().with_group_id(group("g"))), None);
    }

    #[test]
    fn a_name_that_is_too_long_to_be_kept_is_not_known() {
        let long = GroupId(StrBytes::from_string("g".repeat(limits::GROUP_NAME_BYTES_MAX + 1)));
        assert_eq!(named(4, &HeartbeatRequest::default().with_group_id(long)).unwrap().group, None);
    }
}
