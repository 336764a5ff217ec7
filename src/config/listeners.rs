//! `listeners`: the addresses in front, whom they let in and which cluster they serve.

use std::net::{IpAddr, SocketAddr};

use super::clusters::unique;
use super::ports::Ports;
use super::reader::{Reader, Section, found, keys, suggestion};
use super::told::ToldBefore;
use super::yaml::{Data, Node};
use super::{Auth, Listener, tls, value};
use crate::addressing::{Advertised, AdvertisedPorts, BrokerPorts, Brokers, HostPattern};

const AUTH: &[(&str, Auth)] = &[
    ("anonymous", Auth::Anonymous),
    ("weir_token", Auth::WeirToken),
    ("scram", Auth::Scram),
    ("jwt", Auth::Jwt),
    ("mtls", Auth::Mtls),
];
const KEYS: &[&str] =
    &["name", "cluster", "bind", "brokers", "advertised", "tls", "auth", "issuers", "allow_security_changes"];

/// Names that listeners may refer to.
pub(super) struct Known<'a> {
    pub(super) clusters: &'a [String],
    pub(super) issuers: &'a [String],
}

pub(super) fn read(
    root: &Section<'_>,
    reader: &mut Reader,
    known: &Known<'_>,
    ports: &mut Ports,
) -> Option<Vec<Listener>> {
    let node = root.needed(reader, "listeners", "a list of listeners, at least one")?;
    let items = reader.list(node, "listeners", "listeners")?;
    let mut names = Vec::new();
    let mut all = Vec::with_capacity(items.len());
    let mut told = ToldBefore::default();
    for (index, item) in items.iter().enumerate() {
        let path = format!("listeners[{index}]");
        let listener = listener(item, &path, reader, known, &mut names, ports);
        if let Some(listener) = &listener {
            told.check(item, path, listener, reader);
        }
        all.push(listener);
    }
    all.into_iter().collect()
}

fn listener(
    node: &Node,
    path: &str,
    reader: &mut Reader,
    known: &Known<'_>,
    names: &mut Vec<String>,
    ports: &mut Ports,
) -> Option<Listener> {
    let section = reader.section(node, path, KEYS, &[])?;
    let name = section.required(reader, "name", "a name for logs and rules", value::name);
    unique(&section, reader, name.as_deref(), names);
    let cluster = cluster(&section, reader, known.clusters);
    let bind = section.required(reader, "bind", "the bootstrap address, such as \"127.0.0.1:9292\"", value::bind);
    let brokers = brokers(&section, reader);
    claim(&section, ports, bind, brokers.as_ref());
    let outside = outside(&section, reader, bind, brokers);
    let auth = auth(&section, reader);
    let tls = tls::of_listener(&section, reader, auth.as_deref());
    let issuers = issuers(&section, reader, auth.as_deref(), known.issuers);
    let allow = section.or(reader, "allow_security_changes", false, value::boolean);
    let (brokers, advertised) = outside?;
    Some(Listener {
        name: name?,
        cluster: cluster?,
        bind: bind?,
        tls: tls?,
        brokers,
        advertised,
        auth: auth?,
        issuers: issuers?,
        allow_security_changes: allow?,
    })
}

fn cluster(section: &Section<'_>, reader: &mut Reader, clusters: &[String]) -> Option<String> {
    let node = section.needed(reader, "cluster", "the name of a cluster")?;
    let path = section.path("cluster");
    let name = reader.scalar(node, &path, value::name)?;
    if clusters.is_empty() || clusters.contains(&name) {
        return Some(name);
    }
    let known: Vec<&str> = clusters.iter().map(String::as_str).collect();
    reader.report(node.at, format!("{path}: no cluster is named `{name}`; {}", suggestion(&name, &known)));
    None
}

/// What tells brokers apart, as it is written.
enum Apart {
    Ports(BrokerPorts),
    Names(HostPattern),
}

fn brokers(section: &Section<'_>, reader: &mut Reader) -> Option<Apart> {
    let expected = "an address and a port per broker, such as \"127.0.0.1:9300-9399\", or a host name per broker, \
                    such as { sni: \"b{node}.kafka.example.com\" }";
    let node = section.needed(reader, "brokers", expected)?;
    let path = section.path("brokers");
    if !matches!(node.data, Data::Mapping(_)) {
        return reader.scalar(node, &path, value::broker_ports).map(Apart::Ports);
    }
    let names = reader.section(node, &path, &["sni"], &[])?;
    let pattern = names.required(reader, "sni", "a host name per broker", value::broker_names);
    if section.node("tls").is_none() {
        let what = "the server name is said in a TLS handshake; expected `tls` on this listener";
        reader.report(node.at, format!("{}: {what}", names.path("sni")));
        return None;
    }
    pattern.map(Apart::Names)
}

fn claim(section: &Section<'_>, ports: &mut Ports, bind: Option<SocketAddr>, brokers: Option<&Apart>) {
    if let (Some(bind), Some(node)) = (bind, section.node("bind")) {
        match brokers {
            Some(Apart::Names(_)) => ports.claim_by_names(node.at, section.path("bind"), bind),
            _ => ports.claim(node.at, section.path("bind"), bind.ip(), bind.port(), bind.port()),
        }
    }
    if let (Some(Apart::Ports(brokers)), Some(node)) = (brokers, section.node("brokers")) {
        ports.claim(node.at, section.path("brokers"), brokers.host, brokers.low, brokers.high);
    }
}

/// How brokers are told apart, and what clients are told of them.
fn outside(
    section: &Section<'_>,
    reader: &mut Reader,
    bind: Option<SocketAddr>,
    brokers: Option<Apart>,
) -> Option<(Brokers, Advertised)> {
    // Read also where the other two are wrong, so that its own mistakes are told.
    let told = match section.node("advertised") {
        None => None,
        Some(node) => Some((node, reader.scalar(node, &section.path("advertised"), value::told)?)),
    };
    match (brokers?, bind?) {
        (Apart::Ports(ports), bind) => {
            advertised_ports(section, reader, bind, ports, told).map(|told| (Brokers::Ports(ports), told))
        }
        (Apart::Names(pattern), bind) => advertised_names(section, reader, bind, pattern, told),
    }
}

/// With a port per broker, clients are told the address and the ports that are listened on, unless `advertised` says others;
/// a wildcard is no address that a client can connect to.
fn advertised_ports(
    section: &Section<'_>,
    reader: &mut Reader,
    bind: SocketAddr,
    bound: BrokerPorts,
    told: Option<(&Node, value::Told)>,
) -> Option<Advertised> {
    let path = section.path("advertised");
    let Some((node, told)) = told else {
        if !bound.host.is_unspecified() && !bind.ip().is_unspecified() {
            let host = HostPattern::new(&bound.host.to_string())?;
            return Some(Advertised { host, ports: AdvertisedPorts::PerBroker(bound.low) });
        }
        let expected =
            "expected the host name or IP address at which clients reach this gateway, since it listens on all";
        reader.report(section.at, format!("{path}: missing; {expected}"));
        return None;
    };
    let ports = match told.ports {
        None => AdvertisedPorts::PerBroker(bound.low),
        Some((low, high)) if high - low == bound.high - bound.low => AdvertisedPorts::PerBroker(low),
        Some((low, high)) if low == high && told.host.names_brokers() => AdvertisedPorts::Same(low),
        Some(_) => {
            let count = u32::from(bound.high - bound.low) + 1;
            let expected = format!(
                "expected as many ports as `brokers` has, {count}, or one and `{{node}}` in the host, since a host and a \
                 port have to stand for one broker"
            );
            reader.report(node.at, format!("{path}: found {}; {expected}", found(node)));
            return None;
        }
    };
    Some(Advertised { host: told.host, ports })
}

/// With a host name per broker, `advertised` is the name that stands for none, and the port if it is another than `bind`'s.
fn advertised_names(
    section: &Section<'_>,
    reader: &mut Reader,
    bind: SocketAddr,
    names: HostPattern,
    told: Option<(&Node, value::Told)>,
) -> Option<(Brokers, Advertised)> {
    let path = section.path("advertised");
    let expected = "expected the host that clients have as bootstrap address, which stands for no broker";
    let Some((node, told)) = told else {
        reader.report(section.at, format!("{path}: missing; {expected}, such as \"kafka.example.com\""));
        return None;
    };
    let bootstrap = told.host.to_string();
    let one_port = told.ports.is_none_or(|(low, high)| low == high);
    if !value::is_server_name(&bootstrap) && bootstrap.parse::<IpAddr>().is_err() {
        let what = "clients say no such name in a TLS handshake; expected one with a dot and without `_`";
        reader.report(node.at, format!("{path}: found {}; {what}, or an address", found(node)));
        return None;
    }
    if told.host.names_brokers() || names.node(&bootstrap).is_some() || !one_port {
        reader.report(node.at, format!("{path}: found {}; {expected} of `brokers.sni`, and one port", found(node)));
        return None;
    }
    let port = told.ports.map_or(bind.port(), |(port, _)| port);
    Some((Brokers::Sni { bootstrap }, Advertised { host: names, ports: AdvertisedPorts::Same(port) }))
}

fn auth(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<Auth>> {
    let names: Vec<&str> = AUTH.iter().map(|(name, _)| *name).collect();
    let path = section.path("auth");
    let node = section.needed(reader, "auth", &format!("a list of {}", keys(&names)))?;
    let items = reader.list(node, &path, &keys(&names))?;
    let mut auth = Vec::new();
    let mut wrong = false;
    for (index, item) in items.iter().enumerate() {
        let word = value::text(item).unwrap_or_default();
        let path = format!("{path}[{index}]");
        match AUTH.iter().find(|(name, _)| *name == word) {
            Some((_, method)) if auth.contains(method) => {
                reader.report(item.at, format!("{path}: found `{word}` a second time; expected once"));
                wrong = true;
            }
            Some((_, method)) => auth.push(*method),
            None => {
                reader.report(item.at, format!("{path}: found {}; expected {}", found(item), keys(&names)));
                wrong = true;
            }
        }
    }
    (!wrong).then_some(auth)
}

/// The issuers whose JWTs are taken: all, unless some are named.
fn issuers(section: &Section<'_>, reader: &mut Reader, auth: Option<&[Auth]>, known: &[String]) -> Option<Vec<String>> {
    let takes_jwt = auth?.contains(&Auth::Jwt);
    let path = section.path("issuers");
    let Some(node) = section.node("issuers") else {
        if takes_jwt && known.is_empty() {
            let at = section.node("auth").map_or(section.at, |node| node.at);
            let what = "`jwt` needs to know whose JWTs are taken; expected the top level section `issuers`";
            reader.report(at, format!("{}: {what}", section.path("auth")));
            return None;
        }
        return Some(if takes_jwt { known.to_vec() } else { Vec::new() });
    };
    if !takes_jwt {
        reader.report(node.at, format!("{path}: issuers are asked for JWTs only; expected `jwt` in `auth`"));
        return None;
    }
    issuer_names(node, &path, reader, known)
}

/// A list of names of issuers that the configuration has.
pub(super) fn issuer_names(node: &Node, path: &str, reader: &mut Reader, known: &[String]) -> Option<Vec<String>> {
    let items = reader.list(node, path, "names of issuers")?;
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = reader.scalar(item, &path, value::name);
        let name = name.filter(|name| {
            let exists = known.contains(name);
            if !exists {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                let what = format!("{path}: no issuer is named `{name}`; {}", suggestion(name, &names));
                reader.report(item.at, what);
            }
            exists
        });
        all.push(name);
    }
    all.into_iter().collect()
}
