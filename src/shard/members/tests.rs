//! What a session's groups are, whatever its connections learn and forget.
#![allow(clippy::unwrap_used)]

use kafka_protocol::messages::{GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest};
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::*;
use crate::pipeline::describe::{Describer, Description, Side};
use crate::pipeline::drive::NoTopics;
use crate::wire::kafka::walk::Walker;

const SECOND: u64 = 1_000_000_000;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;

fn key(client_id: &str) -> SessionKey {
    SessionKey {
        listener: "main".into(),
        issuer: "weir".into(),
        subject: "ann".into(),
        client_id: client_id.into(),
        client_ip: IpAddr::from([127, 0, 0, 1]),
    }
}

fn named<R: Request + Encodable>(version: i16, request: &R) -> Named {
    let mut body = bytes::BytesMut::new();
    request.encode(&mut body, version).unwrap();
    let mut description = Description::new(R::KEY, Side::Request);
    let mut walker = Walker::request(R::KEY, version, body.len() as u64).unwrap();
    walker.feed(&body, &mut Describer::new(&mut description, &NoTopics)).unwrap();
    Named::of(&description).unwrap()
}

fn group(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

/// One connection of a session.
struct Client {
    session: Arc<Session>,
    memberships: Memberships,
}

impl Client {
    fn of(session: &Arc<Session>) -> Client {
        Client { session: session.clone(), memberships: Memberships::default() }
    }

    fn told(&self, named: &Named, error_code: i16, at_ns: u64) {
        self.memberships.hear(&self.session, named, named.told(error_code), at_ns);
    }

    fn join(&self, name: &str, timeout_ms: i32, at_ns: u64) {
        let request = JoinGroupRequest::default().with_group_id(group(name)).with_session_timeout_ms(timeout_ms);
        self.told(&named(0, &request), 0, at_ns);
    }

    fn beat(&self, name: &str, error_code: i16, at_ns: u64) {
        self.told(&named(4, &HeartbeatRequest::default().with_group_id(group(name))), error_code, at_ns);
    }

    fn leave(&self, name: &str) {
        self.told(&named(4, &LeaveGroupRequest::default().with_group_id(group(name))), 0, 0);
    }
}

fn groups(session: &Session) -> Vec<String> {
    session.groups().iter().map(ToString::to_string).collect()
}

#[test]
fn a_session_is_a_member_of_what_any_of_its_connections_is() {
    let members = Members::default();
    let session = members.session(key("reader"));
    let (one, two) = (Client::of(&session), Client::of(&members.session(key("reader"))));
    one.join("a", 45_000, 0);
    two.join("b", 45_000, 0);
    two.join("a", 45_000, 0);
    assert_eq!(groups(&session), ["a", "b"]);
    assert_eq!(groups(&members.session(key("other"))), Vec::<String>::new());
    one.leave("a");
    assert_eq!(groups(&session), ["a", "b"], "the other connection's client still is");
    two.beat("a", UNKNOWN_MEMBER_ID, 0);
    assert_eq!(groups(&session), ["b"]);
    two.memberships.end();
    assert_eq!(groups(&session), Vec::<String>::new());
}

#[test]
fn a_membership_ends_when_nothing_confirms_it_for_as_long_as_the_member_said() {
    let members = Members::default();
    let client = Client::of(&members.session(key("reader")));
    client.join("a", 6_000, 0);
    client.beat("b", 0, 0);
    for (beat_at, error_code) in [(5, 0), (10, REBALANCE_IN_PROGRESS)] {
        client.beat("a", error_code, beat_at * SECOND);
        client.memberships.expire((beat_at + 6) * SECOND);
        assert_eq!(groups(&client.session), ["a", "b"]);
    }
    client.memberships.expire(16 * SECOND + 1);
    assert_eq!(groups(&client.session), ["b"]);
    let default = limits::GROUP_MEMBER_SILENCE.as_secs() * SECOND;
    client.memberships.expire(default);
    assert_eq!(groups(&client.session), ["b"], "who did not say has what brokers give by default");
    client.memberships.expire(default + 1);
    assert_eq!(groups(&client.session), Vec::<String>::new());
    client.beat("b", REBALANCE_IN_PROGRESS, default + 2);
    assert_eq!(groups(&client.session), Vec::<String>::new(), "only an answer without an error makes a member");
}

#[test]
fn only_a_change_of_groups_makes_another_snapshot() {
    let members = Members::default();
    let session = members.session(key("reader"));
    let (one, two) = (Client::of(&session), Client::of(&session));
    one.join("a", 45_000, 0);
    let before = Guard::into_inner(session.groups());
    two.join("a", 45_000, 0);
    (1..100).for_each(|at| one.beat("a", 0, at));
    assert!(Arc::ptr_eq(&before, &session.groups()));
    one.leave("a");
    two.leave("a");
    two.join("a", 45_000, 0);
    assert!(!Arc::ptr_eq(&before, &session.groups()));
}

#[test]
fn members_from_before_anybody_asked_make_their_session_unknown_until_they_are_heard_of() {
    let members = Members::default();
    let session = members.session(key("reader"));
    let (before, new) = (Client::of(&session), Client::of(&session));
    before.memberships.hear_unasked(None, 0);
    assert!(before.memberships.unasked.get());
    before.memberships.hear_unasked(Some(&session), 0);
    before.memberships.hear_unasked(Some(&session), 0);
    new.join("clear", 45_000, 0);
    assert_eq!(groups(&session), Vec::<String>::new(), "the one before may be in any group");
    before.beat("masked", 0, 1);
    assert_eq!(groups(&session), ["clear", "masked"]);
    before.memberships.forget();
    assert_eq!(groups(&session), ["clear"]);
    assert!(before.memberships.unasked.get(), "it is a member still");
}

#[test]
fn too_many_groups_and_names_that_are_not_kept_make_a_session_unknown() {
    let members = Members::default();
    let session = members.session(key("reader"));
    let none = Vec::<String>::new();
    let client = Client::of(&session);
    let name = |number: usize| format!("group-{number}");
    (0..limits::CONNECTION_GROUPS_MAX).for_each(|number| client.join(&name(number), 45_000, 0));
    assert_eq!(groups(&session).len(), limits::CONNECTION_GROUPS_MAX);
    (0..1000).for_each(|number| client.join(&format!("further-{number}"), 45_000, SECOND));
    assert_eq!(groups(&session), none);
    assert_eq!(client.memberships.learnt.borrow().len(), limits::CONNECTION_GROUPS_MAX + 1);
    client.leave("further-7");
    assert_eq!(groups(&session), none, "the others are not known for that");
    client.memberships.end();

    let clients: Vec<Client> = (0..=limits::SESSION_GROUPS_MAX).map(|_| Client::of(&session)).collect();
    clients.iter().enumerate().for_each(|(number, client)| client.join(&name(number), 45_000, 0));
    assert_eq!(groups(&session), none);
    clients[0].leave(&name(0));
    assert_eq!(groups(&session).len(), limits::SESSION_GROUPS_MAX);
    clients[0].join(&"g".repeat(limits::GROUP_NAME_BYTES_MAX + 1), 45_000, 0);
    assert_eq!(groups(&session), none);
}

#[test]
fn a_session_ends_with_its_last_connection() {
    let members = Members::default();
    let count = || members.0.lock().unwrap().len();
    let client = Client::of(&members.session(key("reader")));
    client.join("a", 45_000, 0);
    drop(members.session(key("other")));
    assert_eq!(count(), 1);
    drop(client);
    assert_eq!(count(), 0);
    assert_eq!(groups(&members.session(key("reader"))), Vec::<String>::new());
}
