//! Who tells clients which addresses: one that two listeners of different clusters tell leads to one of them only, and
//! clients of the other would find brokers of a cluster that is not theirs.
//!
//! Ports do not show it: behind a NAT or a load balancer what is told is not what is listened on. Listeners of one cluster
//! may tell the same.

use super::Listener;
use super::problem::Mark;
use super::reader::Reader;
use super::yaml::{Data, Node};
use crate::addressing::{Advertised, AdvertisedPorts, Brokers};

/// What listeners that were read before tell.
#[derive(Default)]
pub(super) struct ToldBefore {
    all: Vec<Told>,
}

struct Told {
    at: Mark,
    path: String,
    cluster: String,
    brokers: Brokers,
    advertised: Advertised,
}

/// Node ids that are tried where brokers have names, so that there is no last one.
const NODES_TRIED: i32 = 2000;

impl ToldBefore {
    /// Reports where `listener`, at `path` of the file, tells an address that one of another cluster tells, and keeps it
    /// for those that come later.
    pub(super) fn check(&mut self, node: &Node, path: String, listener: &Listener, reader: &mut Reader) {
        let (at, key) = place(node);
        let told = Told {
            at,
            path: format!("{path}.{key}"),
            cluster: listener.cluster.clone(),
            brokers: listener.brokers.clone(),
            advertised: listener.advertised.clone(),
        };
        for earlier in self.all.iter().filter(|earlier| earlier.cluster != told.cluster) {
            if let Some((host, port)) = told.shares(earlier) {
                let what = format!(
                    "{}: clients are told {host}, port {port}, as by {} on line {} of cluster `{}`; expected a host or \
                     ports of its own, since an address leads to one cluster",
                    told.path, earlier.path, earlier.at.line, earlier.cluster
                );
                reader.report(told.at, what);
            }
        }
        self.all.push(told);
    }
}

/// Where the file says what clients are told: what is listened on, where it says nothing else.
fn place(listener: &Node) -> (Mark, &'static str) {
    let Data::Mapping(entries) = &listener.data else { return (listener.at, "brokers") };
    let find =
        |wanted: &'static str| entries.iter().find(|(key, _)| key.name == wanted).map(|(_, value)| (value.at, wanted));
    find("advertised").or_else(|| find("brokers")).unwrap_or((listener.at, "brokers"))
}

impl Told {
    /// An address that both tell.
    fn shares(&self, other: &Told) -> Option<(String, u16)> {
        let (low, high) = self.ports();
        let (others_low, others_high) = other.ports();
        if low > others_high || others_low > high {
            return None;
        }
        let of = |one: &Told, another: &Told| one.addresses().find(|(host, port)| another.tells(host, *port));
        of(self, other).or_else(|| of(other, self))
    }

    /// The highest node id.
    fn last_node(&self) -> i32 {
        match &self.brokers {
            Brokers::Ports(ports) => i32::from(ports.high - ports.low),
            Brokers::Sni { .. } => NODES_TRIED,
        }
    }

    fn ports(&self) -> (u16, u16) {
        match self.advertised.ports {
            AdvertisedPorts::Same(port) => (port, port),
            AdvertisedPorts::PerBroker(low) => {
                (low, low.saturating_add(u16::try_from(self.last_node()).unwrap_or(u16::MAX)))
            }
        }
    }

    fn addresses(&self) -> impl Iterator<Item = (String, u16)> {
        let bootstrap = match (&self.brokers, self.advertised.ports) {
            (Brokers::Sni { bootstrap }, AdvertisedPorts::Same(port)) => Some((bootstrap.clone(), port)),
            _ => None,
        };
        bootstrap.into_iter().chain((0..=self.last_node()).filter_map(|node| self.advertised.address(node)))
    }

    fn tells(&self, host: &str, port: u16) -> bool {
        let (low, high) = self.ports();
        if port < low || port > high {
            return false;
        }
        if matches!(&self.brokers, Brokers::Sni { bootstrap } if bootstrap.eq_ignore_ascii_case(host)) {
            return true;
        }
        let pattern = &self.advertised.host;
        let by_port = match self.advertised.ports {
            AdvertisedPorts::PerBroker(low) => Some(i32::from(port - low)),
            AdvertisedPorts::Same(_) => None,
        };
        match pattern.node(host) {
            Some(node) => by_port.is_none_or(|by_port| by_port == node) && node <= self.last_node(),
            None => !pattern.names_brokers() && pattern.host(0).eq_ignore_ascii_case(host),
        }
    }
}
