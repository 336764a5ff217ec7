//! Who can get at the gateway, and whether its addresses are to be had.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Pid;

use super::finding::Finding;
use crate::config::{Auth, Config, Listener};

/// On this machine an answer comes at once, or nobody listens.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

pub(super) fn look(config: &Config, gateway: Option<Pid>) -> Vec<Finding> {
    let mut found = vec![policy(config), control(config), addresses(config, gateway)];
    for listener in &config.listeners {
        let subject = format!("listener {}", listener.name);
        let open = listener.auth.contains(&Auth::Anonymous) && !listener.bind.ip().is_loopback();
        found.push(if open {
            Finding::warning("anonymous", subject, format!("lets anybody in without a login on {}", listener.bind))
                .why("whoever reaches the port acts with the rights that Weir has on the cluster")
                .remedy("take `anonymous` out of its `auth`, or bind it to an address that only trusted clients reach")
        } else {
            Finding::ok("anonymous", subject, "nobody from elsewhere gets in without a login")
        });
    }
    found
}

fn policy(config: &Config) -> Finding {
    let (id, subject) = ("policy", "policy");
    match &config.policy.path {
        Some(path) if config.policy.missing => {
            Finding::warning(id, subject, format!("the file {} does not exist", path.display()))
                .why("no rules apply: whoever is let in may do all")
                .remedy("create it, or take `policy` out of the configuration if that is meant")
        }
        Some(path) => Finding::ok(id, subject, format!("{} is there and understood", path.display())),
        None => Finding::ok(id, subject, "none is configured: whoever is let in may do all, metadata is recorded"),
    }
}

fn control(config: &Config) -> Finding {
    let (id, subject, bind) = ("control", "control.bind", config.control.bind);
    if bind.ip().is_loopback() {
        return Finding::ok(id, subject, format!("{bind}, which only this machine reaches"));
    }
    Finding::warning(id, subject, format!("{bind} may be reached from elsewhere"))
        .why("monitoring asks for no login there; it tells nothing about clients, but how the gateway fares")
        .remedy("bind it to a loopback address, or see that a firewall lets only your monitoring through")
}

fn addresses(config: &Config, gateway: Option<Pid>) -> Finding {
    let (id, subject) = ("addresses", "addresses");
    let binds = config.listeners.iter().map(|listener| listener.bind).chain([config.control.bind]);
    if let Some(pid) = gateway {
        let pid = pid.as_raw_nonzero();
        let silent: Vec<String> = binds
            .filter(|bind| TcpStream::connect_timeout(&reachable(*bind), CONNECT_WAIT).is_err())
            .map(shown)
            .collect();
        if silent.is_empty() {
            return Finding::ok(id, subject, format!("held by the running gateway (process {pid})"));
        }
        return Finding::problem(
            id,
            subject,
            format!("the gateway (process {pid}) runs, {} take no connection", silent.join(", ")),
        )
        .why("clients cannot connect there; perhaps it runs with another configuration")
        .remedy("compare its configuration with this one, and restart it");
    }
    let ports = config.listeners.iter().flat_map(Listener::broker_addresses);
    let taken: Vec<String> = binds.chain(ports).filter(|bind| TcpListener::bind(bind).is_err()).map(shown).collect();
    if taken.is_empty() {
        return Finding::ok(id, subject, "all that may ever be bound are free; no gateway runs");
    }
    Finding::problem(id, subject, format!("{} cannot be listened on", summed_up(&taken)))
        .why("the gateway will not start")
        .remedy("stop what listens there (`ss -ltnp` tells what), or choose other addresses")
}

/// A wildcard is reached on this machine's own address.
fn reachable(bind: SocketAddr) -> SocketAddr {
    match bind {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

fn shown(address: SocketAddr) -> String {
    address.to_string()
}

fn summed_up(all: &[String]) -> String {
    const SHOWN: usize = 3;
    match all.len() {
        0..=SHOWN => all.join(", "),
        count => format!("{} and {} more", all[..SHOWN].join(", "), count - SHOWN),
    }
}
