//! What is refused whatever a policy may say, because Weir's own rights upstream are wider than a client's.
//!
//! Inter-broker APIs and fields, versions outside the table, and, unless the listener allows them, changes of credentials,
//! ACLs, quotas, features and the quorum: each would open a way around Weir.
//!
//! Invariant: what is not known to be harmless is refused. Access rules decide on what this lets through.

use super::describe::{Describer, Description, Side, TopicDirectory};
use super::exchange::Exchange;
use super::fault::Fault;
use crate::event::Resource;
use crate::wire::kafka::api::{self, Api, Class, key};
use crate::wire::kafka::walk::{Visitor, Walker};

/// Kafka's UNSUPPORTED_VERSION.
pub const UNSUPPORTED_VERSION: i16 = 35;
/// Kafka's CLUSTER_AUTHORIZATION_FAILED.
pub const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Weir answers it.
    Here,
    /// It goes on to the broker.
    Forward(Box<Description>),
    /// It does not; the client is told by this error code.
    Refuse {
        /// Kafka error code.
        code: i16,
        /// What a person should know; shown to the client where the API carries a message, and logged.
        why: String,
    },
}

/// Judges by what the head says: none where the body has to be looked at as well.
pub fn judge_head(api_key: i16, version: i16, allow_security_changes: bool) -> Option<Verdict> {
    let refuse = |code, why| Some(Verdict::Refuse { code, why });
    let Some(api) = api::lookup(api_key) else {
        return refuse(
            UNSUPPORTED_VERSION,
            format!("API {api_key} is not one of Kafka 4.3's; Weir forwards none that it does not know"),
        );
    };
    let Api { name, served, class, .. } = api;
    match class {
        Class::Here => Some(Verdict::Here),
        Class::Refused => refuse(
            CLUSTER_AUTHORIZATION_FAILED,
            format!("{name} is spoken between brokers only; Weir never forwards it"),
        ),
        Class::Security if !allow_security_changes => refuse(
            CLUSTER_AUTHORIZATION_FAILED,
            format!(
                "{name} changes who may do what; Weir forwards it only where the listener says allow_security_changes"
            ),
        ),
        _ if !served.contains(version) => refuse(
            UNSUPPORTED_VERSION,
            format!("{name} v{version} is not served, v{} to v{} are", served.min, served.max),
        ),
        _ => None,
    }
}

/// Judges a whole request.
pub fn judge(
    exchange: &Exchange,
    body: &[u8],
    topics: &dyn TopicDirectory,
    allow_security_changes: bool,
) -> Result<Verdict, Fault> {
    if let Some(verdict) = judge_head(exchange.api_key, exchange.version, allow_security_changes) {
        return Ok(verdict);
    }
    let api_key = exchange.api_key;
    let Some(mut walker) = Walker::request(api_key, exchange.version, body.len() as u64) else {
        return Ok(Verdict::Refuse {
            code: UNSUPPORTED_VERSION,
            why: "Weir does not know this request's layout".into(),
        });
    };
    let mut description = Description::new(api_key, Side::Request);
    walker.feed(body, &mut Describer::new(&mut description, topics)).map_err(Fault::ClientBody)?;
    walker.finish().map_err(Fault::ClientBody)?;
    // Before version 4 a Metadata had no say in it: the topics it names are created where the broker creates any.
    description.may_create_topics |= api_key == key::METADATA && exchange.version < 4;
    if configures_brokers(&description) && !allow_security_changes {
        let why = "a broker's settings say who may do what; Weir forwards their change only where the listener says \
                   allow_security_changes";
        return Ok(Verdict::Refuse { code: CLUSTER_AUTHORIZATION_FAILED, why: why.into() });
    }
    if let Some(replica) = description.replica_id.filter(|id| *id >= 0) {
        let why = format!("replica id {replica} is a broker's; a client's is -1");
        return Ok(Verdict::Refuse { code: CLUSTER_AUTHORIZATION_FAILED, why });
    }
    Ok(Verdict::Forward(Box::new(description)))
}

/// Whether the request alters a broker's configuration: listeners, logins and super users are among it. Not counted is a
/// change of nothing but how fast brokers copy replicas.
fn configures_brokers(description: &Description) -> bool {
    match description.api_key() {
        // It takes back all that it does not name. Items beyond the limit are taken for the worst they can be.
        key::ALTER_CONFIGS => {
            description.omitted > 0 || description.items.iter().any(|item| item.resource == Resource::Broker)
        }
        key::INCREMENTAL_ALTER_CONFIGS => description.configures_brokers,
        _ => false,
    }
}

/// Whether a body follows its API's layout: only then may a codec that trusts counts read it.
pub fn is_lawful(key: i16, version: i16, body: &[u8]) -> bool {
    struct Nothing;
    impl Visitor for Nothing {}
    let Some(mut walker) = Walker::request(key, version, body.len() as u64) else { return false };
    walker.feed(body, &mut Nothing).and_then(|()| walker.finish()).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::exchange::Moments;

    struct NoTopics;
    impl TopicDirectory for NoTopics {
        fn name(&self, _: &[u8; 16]) -> Option<Arc<str>> {
            None
        }
        fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
    }

    fn changes(version: i16, body: &[u8]) -> bool {
        let exchange = Exchange {
            ordinal: 0,
            api_key: key::METADATA,
            api: api::lookup(key::METADATA),
            request: None,
            unnamed: Vec::new(),
            version,
            correlation_id: 0,
            frame_bytes: 0,
            unanswered: false,
            bare: false,
            group: None,
            lowered: false,
            refused: Vec::new(),
            amends: None,
            room: None,
            counted: false,
            rights: 0,
            moments: Moments::default(),
            capture: None,
        };
        match judge(&exchange, body, &NoTopics, false) {
            Ok(Verdict::Forward(description)) => description.changes_something(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_metadata_that_may_create_topics_is_a_change() {
        let named = b"\0\0\0\x01\0\x01t";
        assert!(changes(1, named), "before version 4 there is no flag, and brokers create");
        assert!(changes(4, &[named, &b"\x01"[..]].concat()));
        assert!(!changes(4, &[named, &b"\0"[..]].concat()));
        assert!(!changes(1, b"\xff\xff\xff\xff"), "asking for all topics creates none");
    }
}
