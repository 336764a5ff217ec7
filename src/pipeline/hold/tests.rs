//! What is found of requests, whatever their API and version, and what is cut out of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteTopicsRequest, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use zeroize::Zeroizing;

use super::*;
use crate::pipeline::access::{Judgement, Request};
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::drive;
use crate::policy::{
    AccessClient, ApprovalRule, ApprovalRules, Approvers, DigestKey, HeldOperation, HeldRules, NamePatterns, Patterns,
    Terms, Volume, WITHHELD,
};
use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Direction, Role};
use crate::wire::kafka::samples;
use crate::wire::kafka::values::{self, Datum, Structure};

/// Every id is a topic's.
struct AllTopics;

impl TopicDirectory for AllTopics {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        Some(uuid::Uuid::from_bytes(*id).to_string().into())
    }

    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

/// Nothing is known but that a member's share session was opened with a topic.
struct Knows {
    shares: Option<(&'static str, &'static str)>,
}

const UNKNOWN: Knows = Knows { shares: None };

impl Circumstances for Knows {
    fn exists(&self, _: &str) -> Option<bool> {
        None
    }

    fn log_start(&self, _: &str, _: i32) -> Option<i64> {
        None
    }

    fn goes_on(&self, _: &str, _: &str, _: i32, _: i64) -> Option<bool> {
        None
    }

    fn shared(&self, (group, member): &ShareMember) -> Option<Vec<String>> {
        let opened = self.shares == Some((group, member));
        opened.then(|| vec!["pay.a".to_owned()])
    }

    fn volume(&self, _: HeldOperation, _: &str, _: Volume) -> u64 {
        0
    }
}

/// Everything with a name that begins so.
fn rules(pattern: &str) -> HeldRules {
    let all = || NamePatterns::names(&[pattern.to_owned()]).unwrap();
    let rule = ApprovalRule {
        listeners: Vec::new(),
        issuers: Patterns::default(),
        subjects: Patterns::default(),
        groups: Vec::new(),
        unless_groups: Vec::new(),
        operations: HeldOperation::all().collect(),
        topics: all(),
        consumer_groups: all(),
        cluster: true,
        when: None,
        hold: Duration::from_secs(5),
        terms: Terms {
            rule: "all".to_owned(),
            approvers: Approvers::Of { group: "sre".to_owned(), count: 1 },
            reason_required: false,
            expires_s: 1,
            valid_s: 1,
            uses: 1,
            window_s: 1,
            break_glass: Vec::new(),
        },
    };
    let client = AccessClient {
        listener: "main",
        issuer: "idp",
        subject: "dev",
        groups: &[],
        client_id: None,
        address: [127, 0, 0, 1].into(),
        scopes: None,
    };
    ApprovalRules::new(vec![rule]).unwrap().about(&client).unwrap()
}

/// None where it says one thing twice.
fn found(request: Request<'_>, rules: &HeldRules) -> Option<Held> {
    look(request, "main", rules, &AllTopics, &UNKNOWN).ok()
}

/// Elements that an array at the top of a request has.
fn names_something(said: &Structure) -> bool {
    said.fields.iter().any(|(field, datum)| {
        let named = field.group.is_some() || matches!(field.role, Some(Role::Topic | Role::GroupId));
        matches!(datum, Datum::List(items) if named && !items.is_empty())
    })
}

#[test]
fn whatever_can_be_held_is_held_in_every_version_and_nothing_of_it_goes_on_unasked() {
    let rules = rules("*");
    let mut held = 0;
    for (api, message, version) in drive::messages(Direction::Request) {
        for seed in 0..12 {
            let body = samples::body(message, version, seed);
            let request = Request { api_key: api.key, version, body: &body };
            let Some(found) = found(request, &rules) else { continue };
            let Some(operation) = operation(api.key) else {
                assert!(found.wanted.is_empty(), "{} v{version}", api.name);
                continue;
            };
            let said = values::of_request(api.key, version, &body).unwrap();
            let only_asks = said.number(Role::ValidateOnly) == Some(1);
            let creates =
                api.key != key::METADATA || version < 4 || said.number(Role::AllowAutoTopicCreation) == Some(1);
            if !names_something(&said) || only_asks || !creates {
                continue;
            }
            if api.key == key::STREAMS_GROUP_HEARTBEAT && found.wanted.is_empty() {
                continue;
            }
            assert!(found.wanted.iter().all(|wanted| wanted.action.operation == operation));
            if found.wanted.is_empty() {
                // Empty names are nobody's.
                continue;
            }
            held += 1;
            let why = || "no".to_owned();
            let refusals: Vec<Refusal> =
                found.wanted.iter().map(|wanted| Refusal { names: wanted.names.clone(), why: why() }).collect();
            match cut(request, &refusals, &found.unknown, &AllTopics).unwrap() {
                Judgement::Passes => panic!("{} v{version} goes on: {found:?}", api.name),
                Judgement::GoesOn { body: None, .. } => panic!("{} v{version} goes on as it is", api.name),
                Judgement::GoesOn { body: Some(left), .. } => {
                    let left = Request { api_key: api.key, version, body: &left };
                    let left = super::look(left, "main", &rules, &AllTopics, &UNKNOWN).unwrap();
                    assert!(left.wanted.is_empty(), "{} v{version}: {left:?}", api.name);
                }
                Judgement::Answered(_) | Judgement::Refused { .. } => {}
            }
            let nothing = cut(request, &[], &[], &AllTopics).unwrap();
            assert_eq!(nothing, Judgement::Passes, "{} v{version}", api.name);
        }
    }
    assert!(held > 200, "{held}");
}

#[test]
fn the_same_action_is_the_same_whatever_version_it_is_asked_in() {
    let rules = rules("prod.*");
    let name = |name: &'static str| TopicName(StrBytes::from_static_str(name));
    let actions: Vec<_> = (1..=6)
        .map(|version| {
            let request = match version {
                6 => DeleteTopicsRequest::default().with_topics(
                    [name("dev.b"), name("prod.a")]
                        .map(|name| DeleteTopicState::default().with_name(Some(name)))
                        .to_vec(),
                ),
                _ => DeleteTopicsRequest::default().with_topic_names(vec![name("prod.a"), name("dev.b")]),
            };
            let mut body = BytesMut::new();
            request.with_timeout_ms(version * 1000).encode(&mut body, version as i16).unwrap();
            let request = Request { api_key: key::DELETE_TOPICS, version: version as i16, body: &body };
            let held = found(request, &rules).unwrap();
            assert_eq!(held.timeout, Some(Duration::from_secs(version as u64)));
            held.wanted.into_iter().map(|wanted| wanted.action).collect::<Vec<_>>()
        })
        .collect();
    assert!(actions.iter().all(|one| *one == actions[0]), "{actions:?}");
    assert_eq!(actions[0][0].to_string(), "delete topics prod.a");
}

#[test]
fn a_password_is_in_the_digest_and_nowhere_else() {
    let (_, message, version) = drive::messages(Direction::Request)
        .into_iter()
        .find(|(api, ..)| api.key == key::ALTER_USER_SCRAM_CREDENTIALS)
        .unwrap();
    let rules = rules("*");
    let mut seen = 0;
    for seed in 0..32 {
        let body = samples::body(message, version, seed);
        for wanted in
            found(Request { api_key: key::ALTER_USER_SCRAM_CREDENTIALS, version, body: &body }, &rules).unwrap().wanted
        {
            let text = serde_json::to_string(&wanted.action).unwrap();
            if wanted.withheld.iter().all(|secret| secret.is_empty()) {
                continue;
            }
            seen += 1;
            assert!(text.contains(WITHHELD), "{text}");
            let key = DigestKey(Zeroizing::new([1; 32]));
            let with = wanted.action.digest(&key, &wanted.withheld);
            assert_ne!(with, wanted.action.digest(&key, &[]), "{text}");
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_fetch_asks_for_no_session() {
    use kafka_protocol::messages::FetchRequest;
    for version in 7..=17 {
        let encode = |epoch| {
            let mut body = BytesMut::new();
            let request =
                FetchRequest::default().with_session_id(if epoch > 0 { 7 } else { 0 }).with_session_epoch(epoch);
            request.encode(&mut body, version).unwrap();
            body
        };
        assert_eq!(session(version, &encode(-1)).unwrap(), Session::None);
        assert_eq!(session(version, &encode(0)).unwrap(), Session::NotAskedFor(encode(-1).to_vec()));
        assert_eq!(session(version, &encode(5)).unwrap(), Session::GoesOn);
    }
}

#[test]
fn what_a_share_session_reads_is_held_with_each_of_its_requests_and_as_a_whole() {
    use kafka_protocol::messages::ShareFetchRequest;
    let rules = rules("pay.*");
    let version = 1;
    let encode = |member: &str, epoch| {
        let request = ShareFetchRequest::default()
            .with_group_id(Some(StrBytes::from_static_str("g").into()))
            .with_member_id(Some(StrBytes::from_string(member.to_owned())))
            .with_share_session_epoch(epoch);
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        body
    };
    let found = |body: &[u8]| {
        look(
            Request { api_key: key::SHARE_FETCH, version, body },
            "main",
            &rules,
            &AllTopics,
            &Knows { shares: Some(("g", "m")) },
        )
        .unwrap()
    };
    for (epoch, at) in [(0, ShareEpoch::Opens), (-1, ShareEpoch::Ends)] {
        let held = found(&encode("m", epoch));
        assert!(held.wanted.is_empty() && !held.unknown_session, "it names nothing and reads nothing: {held:?}");
        assert_eq!(held.shares.unwrap().at, at);
    }
    assert!(found(&encode("another", 3)).unknown_session, "sessions are a member's, whoever else has one");
    let body = encode("m", 3);
    let request = Request { api_key: key::SHARE_FETCH, version, body: &body };
    let held = found(&body);
    assert!(!held.unknown_session);
    let [wanted] = held.wanted.as_slice() else { panic!("{held:?}") };
    assert_eq!((wanted.action.to_string().as_str(), &wanted.names), ("fetch pay.a", &None));
    let refusals = [Refusal { names: None, why: "no".to_owned() }];
    let judged = cut(request, &refusals, &held.unknown, &AllTopics).unwrap();
    assert!(matches!(judged, Judgement::Refused { .. }), "{judged:?}");
}

#[test]
fn what_nobody_can_name_is_refused_and_asked_of_nobody() {
    struct NoTopics;
    impl TopicDirectory for NoTopics {
        fn name(&self, _: &[u8; 16]) -> Option<Arc<str>> {
            None
        }
        fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
    }
    let state = DeleteTopicState::default().with_name(None).with_topic_id(uuid::Uuid::from_bytes([7; 16]));
    let mut body = BytesMut::new();
    DeleteTopicsRequest::default().with_topics(vec![state]).encode(&mut body, 6).unwrap();
    let request = Request { api_key: key::DELETE_TOPICS, version: 6, body: &body };
    let held = look(request, "main", &rules("*"), &NoTopics, &UNKNOWN).unwrap();
    assert!(held.wanted.is_empty());
    assert_eq!(held.unknown, [[7; 16]]);
    let judged = cut(request, &[], &held.unknown, &NoTopics).unwrap();
    let Judgement::Answered(items) = judged else { panic!("{judged:?}") };
    assert_eq!(items[0].code, 100);
}
