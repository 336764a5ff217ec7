//! What stands for brokers on a listener: the port or the host name that tells them apart, and the address of each that
//! clients are told. Read by the configuration, served by shards.
//!
//! Invariant: a name that stands for one broker stands for no other, and leads back to its node id.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What tells a listener's brokers apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brokers {
    /// The port that clients connect to.
    Ports(BrokerPorts),
    /// The server name that clients ask for in the TLS handshake (SNI; RFC 6066, 3), all on the bootstrap address. A broker's
    /// is its advertised host.
    Sni {
        /// The host that stands for no broker.
        bootstrap: String,
    },
}

/// The ports that stand for brokers: `low` plus the node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerPorts {
    /// The IP address to listen on.
    pub host: IpAddr,
    /// The port of node id 0.
    pub low: u16,
    /// The last port that may be used.
    pub high: u16,
}

impl BrokerPorts {
    /// The port of a broker; none when its node id is beyond the range.
    pub fn port(&self, node: i32) -> Option<u16> {
        self.low.checked_add(u16::try_from(node).ok()?).filter(|port| *port <= self.high)
    }

    /// The address of a broker's port; none when its node id is beyond the range.
    pub fn address(&self, node: i32) -> Option<SocketAddr> {
        self.port(node).map(|port| SocketAddr::new(self.host, port))
    }
}

/// What clients are told in place of the brokers' own addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The host.
    pub host: HostPattern,
    /// The port.
    pub ports: AdvertisedPorts,
}

/// The ports that clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdvertisedPorts {
    /// This one plus the node id.
    PerBroker(u16),
    /// This one for all of them.
    Same(u16),
}

impl Advertised {
    /// The host and port of a broker; none when there is no port of that number. Whether it is listened for is another
    /// question.
    pub fn address(&self, node: i32) -> Option<(String, u16)> {
        let port = match self.ports {
            AdvertisedPorts::PerBroker(low) => low.checked_add(u16::try_from(node).ok()?)?,
            AdvertisedPorts::Same(port) => port,
        };
        Some((self.host.host(node), port))
    }
}

/// What stands for the node id.
const NODE: &str = "{node}";

/// A host, with the place of the node id in it where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    before: String,
    /// None: the host is the same for all.
    after: Option<String>,
}

impl HostPattern {
    /// Takes `{node}` in a host for the node id; none where it stands there twice.
    pub fn new(host: &str) -> Option<Self> {
        let pattern = match host.split_once(NODE) {
            None => HostPattern { before: host.to_owned(), after: None },
            Some((before, after)) => HostPattern { before: before.to_owned(), after: Some(after.to_owned()) },
        };
        let twice = pattern.after.as_ref().is_some_and(|after| after.contains(NODE));
        (!twice).then_some(pattern)
    }

    /// Whether each broker has a name of its own.
    pub fn names_brokers(&self) -> bool {
        self.after.is_some()
    }

    /// The host of a broker.
    pub fn host(&self, node: i32) -> String {
        match &self.after {
            None => self.before.clone(),
            Some(after) => format!("{}{node}{after}", self.before),
        }
    }

    /// The broker that a name stands for, whatever its case (RFC 4343); none where it stands for none. A node id has one
    /// way to be written.
    pub fn node(&self, name: &str) -> Option<i32> {
        let after = self.after.as_ref()?.to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        let id = name.strip_prefix(&self.before.to_ascii_lowercase())?.strip_suffix(&after)?;
        let node: i32 = id.parse().ok().filter(|node| *node >= 0)?;
        (node.to_string() == id).then_some(node)
    }
}

/// As it is configured.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.after {
            None => f.write_str(&self.before),
            Some(after) => write!(f, "{}{NODE}{after}", self.before),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_broker_in_any_case_and_others_lead_to_none() {
        let pattern = HostPattern::new("B{node}.kafka.example.com").unwrap();
        for node in [0, 7, 10, i32::MAX] {
            assert_eq!(pattern.node(&pattern.host(node)), Some(node));
            assert_eq!(pattern.node(&pattern.host(node).to_uppercase()), Some(node));
        }
        for name in ["b.kafka.example.com", "b01.kafka.example.com", "b-1.kafka.example.com", "b+1.kafka.example.com"] {
            assert_eq!(pattern.node(name), None, "{name}");
        }
        for name in ["b2147483648.kafka.example.com", "b1.kafka.example.com.", "b1.kafka.example.org", "xb1", ""] {
            assert_eq!(pattern.node(name), None, "{name}");
        }
    }

    #[test]
    fn before_and_after_may_not_share_characters() {
        let pattern = HostPattern::new("kafka{node}kafka").unwrap();
        assert_eq!(pattern.node("kafka"), None);
        assert_eq!(pattern.node("kafka3kafka"), Some(3));
    }

    #[test]
    fn a_host_without_a_node_id_is_everybodys_and_names_nobody() {
        let fixed = HostPattern::new("weir.example.com").unwrap();
        assert!(!fixed.names_brokers());
        assert_eq!((fixed.host(1), fixed.node("weir.example.com")), ("weir.example.com".to_owned(), None));
        assert_eq!(HostPattern::new("b{node}.{node}"), None);
        assert_eq!(HostPattern::new("b{node}.x").unwrap().to_string(), "b{node}.x");
    }
}
