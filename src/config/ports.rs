//! Who listens where: two that want the same port are told so before either is opened.
//!
//! The kernel would not tell: shards share their ports with `SO_REUSEPORT`, so a second listener of this process would
//! bind happily and take half of the other one's connections.

use std::net::{IpAddr, SocketAddr};

use super::problem::Mark;
use super::reader::Reader;

/// Everything that is listened on, in the order of the file's sections.
#[derive(Default)]
pub(super) struct Ports {
    claims: Vec<Claim>,
}

struct Claim {
    at: Mark,
    path: String,
    /// Host names tell brokers apart there.
    by_names: bool,
    host: IpAddr,
    low: u16,
    high: u16,
}

impl Ports {
    /// Notes that `path` listens on `low..=high` of `host`.
    pub(super) fn claim(&mut self, at: Mark, path: String, host: IpAddr, low: u16, high: u16) {
        self.claims.push(Claim { at, path, by_names: false, host, low, high });
    }

    /// Notes that `path` is the one address of a listener whose brokers have host names.
    pub(super) fn claim_by_names(&mut self, at: Mark, path: String, address: SocketAddr) {
        let (host, port) = (address.ip(), address.port());
        self.claims.push(Claim { at, path, by_names: true, host, low: port, high: port });
    }

    /// Reports every pair that clashes, at the one that comes later in the file.
    pub(super) fn check(mut self, reader: &mut Reader) {
        self.claims.sort_by_key(|claim| claim.at);
        for (index, later) in self.claims.iter().enumerate() {
            for earlier in &self.claims[..index] {
                if let Some((low, high)) = earlier.overlap(later) {
                    let ports =
                        if low == high { format!("port {low} clashes") } else { format!("ports {low}-{high} clash") };
                    let other = format!("{} on line {}", earlier.path, earlier.at.line);
                    let expected = match earlier.by_names && later.by_names {
                        true => "expected a port of its own, since host names tell brokers apart, not listeners",
                        false => "expected ports of its own",
                    };
                    let what = format!("{}: {ports} with {other}; {expected}", later.path);
                    reader.report(later.at, what);
                }
            }
        }
    }
}

impl Claim {
    fn overlap(&self, other: &Claim) -> Option<(u16, u16)> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high && same_address(self.host, other.host)).then_some((low, high))
    }
}

/// Whether a connection to one may arrive at the other. `[::]` takes IPv4 too, as Linux binds it by default.
fn same_address(a: IpAddr, b: IpAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(ip) => ip.is_unspecified() && narrow.to_canonical().is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    a.to_canonical() == b.to_canonical() || covers(a, b) || covers(b, a)
}
