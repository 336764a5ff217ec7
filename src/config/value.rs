//! The scalars of the configuration: each parser's error says what was expected, in words that show the form.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::HostPort;
use super::yaml::{Data, Node};
use crate::addressing::{BrokerPorts, HostPattern};

/// Any text that is there.
pub(super) fn text(node: &Node) -> Result<&str, String> {
    match &node.data {
        Data::Plain(text) | Data::Quoted(text) if !text.is_empty() => Ok(text),
        _ => Err("text".to_owned()),
    }
}

/// A name that is shown in logs, metrics and tables: short, and without characters that would need quoting there.
pub(super) fn name(node: &Node) -> Result<String, String> {
    let expected = "a name of 1 to 64 letters, digits, `.`, `_` or `-`";
    let name = text(node).map_err(|_| expected.to_owned())?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if plain && name.len() <= 64 { Ok(name.to_owned()) } else { Err(expected.to_owned()) }
}

/// `true` or `false`, unquoted.
pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match &node.data {
        Data::Plain(text) if text == "true" => Ok(true),
        Data::Plain(text) if text == "false" => Ok(false),
        _ => Err("`true` or `false`".to_owned()),
    }
}

/// A whole number of `low..=high`, unquoted.
pub(super) fn whole(low: u64, high: u64) -> impl Fn(&Node) -> Result<u64, String> {
    move |node| {
        let number = match &node.data {
            Data::Plain(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|n| (low..=high).contains(n)).ok_or_else(|| format!("a whole number from {low} to {high}"))
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(choices: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Result<T, String> {
    move |node| {
        let word = text(node).unwrap_or_default();
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let choice = choices.iter().find(|(name, _)| *name == word);
        choice.map(|(_, value)| *value).ok_or_else(|| super::reader::keys(&names))
    }
}

const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A time with its unit, `500ms`, `5s`, `15m`, `24h` or `7d`, from `low` to `high` (both written the same way).
pub(super) fn duration(low: &'static str, high: &'static str) -> impl Fn(&Node) -> Result<Duration, String> {
    let expected = format!("a time with its unit, such as 500ms, 5s, 15m, 24h or 7d, from {low} to {high}");
    bounded(DURATION_UNITS, low, high, expected, Duration::from_millis)
}

/// A size with its unit, `64KiB` or `1MiB`, in bytes, from `low` to `high` (both written the same way).
pub(super) fn size(low: &'static str, high: &'static str) -> impl Fn(&Node) -> Result<u64, String> {
    let expected = format!("a size with its unit, such as 64KiB, 1MiB or 2GiB, from {low} to {high}");
    bounded(SIZE_UNITS, low, high, expected, |bytes| bytes)
}

fn bounded<T>(
    units: &'static [(&'static str, u64)],
    low: &'static str,
    high: &'static str,
    expected: String,
    make: impl Fn(u64) -> T,
) -> impl Fn(&Node) -> Result<T, String> {
    move |node| {
        let value = text(node).ok().and_then(|text| with_unit(text, units));
        let low = with_unit(low, units).unwrap_or(0);
        let high = with_unit(high, units).unwrap_or(u64::MAX);
        value.filter(|v| (low..=high).contains(v)).map(&make).ok_or_else(|| expected.clone())
    }
}

/// A time of whole days, `30d`.
pub(super) fn days(node: &Node) -> Result<u32, String> {
    const DAYS_MAX: u32 = 36_500;
    let days = text(node).ok().and_then(|text| text.strip_suffix('d')?.parse().ok());
    days.filter(|days| (1..=DAYS_MAX).contains(days))
        .ok_or_else(|| format!("whole days, such as 30d, from 1d to {DAYS_MAX}d"))
}

/// A duration as people type it on a command line, `2h` or `7d`; none where it is not one.
pub fn parse_duration(text: &str) -> Option<Duration> {
    with_unit(text, DURATION_UNITS).map(Duration::from_millis)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Where to listen: an IP address and a port. Names are not taken, since what they mean may change between restarts.
pub(super) fn bind(node: &Node) -> Result<SocketAddr, String> {
    let address = text(node).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        "an IP address and a port from 1 to 65535, such as \"127.0.0.1:9292\" or \"[::]:9292\"".to_owned()
    })
}

/// Where brokers are served: an IP address and a range of ports.
pub(super) fn broker_ports(node: &Node) -> Result<BrokerPorts, String> {
    let parse = || {
        let (host, range) = text(node).ok()?.rsplit_once(':')?;
        let host: IpAddr = unbracketed(host).parse().ok()?;
        let (low, high) = ports(range).filter(|_| range.contains('-'))?;
        Some(BrokerPorts { host, low, high })
    };
    parse().ok_or_else(|| {
        "an IP address and a range of ports from 1 to 65535, lower one first, \
         such as \"127.0.0.1:9300-9399\""
            .to_owned()
    })
}

/// Whom to connect to: a host name or IP address and a port.
pub(super) fn host_port(node: &Node) -> Result<HostPort, String> {
    let parse = || {
        let (host, port) = text(node).ok()?.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
        is_host(host).then(|| HostPort { host: unbracketed(host).to_owned(), port })
    };
    parse().ok_or_else(|| {
        "a host name or IP address and a port from 1 to 65535, such as \"kafka-1.example.com:9092\"".to_owned()
    })
}

/// `9300`, or `9300-9399`, lower one first.
fn ports(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
    (low >= 1 && low <= high).then_some((low, high))
}

/// What clients are told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) host: HostPattern,
    /// First and last, where they are said.
    pub(super) ports: Option<(u16, u16)>,
}

/// A host that clients can be told, a name that may hold `{node}` or an IP address, and ports where they are said.
pub(super) fn told(node: &Node) -> Result<Told, String> {
    let text = text(node).unwrap_or_default();
    // `2001:db8::5:9092` is an address as much as one with a port.
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return Err("an IPv6 address in brackets, whether ports follow or not, such as \"[2001:db8::5]\" or \
                    \"[2001:db8::5]:19300-19399\""
            .to_owned());
    }
    let parse = || {
        let (host, range) = match text.rsplit_once(':') {
            Some((host, range)) if !text.ends_with(']') => (host, Some(ports(range)?)),
            _ => (text, None),
        };
        let wildcard = unbracketed(host).parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let valid = is_host(host) || pattern(host).is_some();
        let host = HostPattern::new(unbracketed(host))?;
        (valid && !wildcard).then_some(Told { host, ports: range })
    };
    parse().ok_or_else(|| {
        "a host name or IP address that clients reach, such as \"weir.example.com\" or \"weir-{node}.example.com\", \
         with ports where they differ from those listened on, such as \"weir.example.com:19300-19399\""
            .to_owned()
    })
}

/// A host name for each broker, which clients say in TLS handshakes.
pub(super) fn broker_names(node: &Node) -> Result<HostPattern, String> {
    let pattern = text(node).ok().and_then(pattern).filter(|names| is_server_name(&names.host(0)));
    pattern.ok_or_else(|| {
        "a host name with `{node}` once, where the node id stands, with a dot and without `_`, since clients say no others \
         in a TLS handshake, such as \"b{node}.kafka.example.com\""
            .to_owned()
    })
}

/// Whether clients say this host in a TLS handshake. Java's say none without a dot; `_` is in no host name (RFC 1123, 2.1);
/// of an address nobody says one (RFC 6066, 3), nor can of what ends in a number, which reads as one.
pub(super) fn is_server_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    host.contains('.') && !host.contains('_') && !last.starts_with(|c: char| c.is_ascii_digit())
}

/// A name that holds `{node}` once and is one of the DNS with the longest node id there.
fn pattern(text: &str) -> Option<HostPattern> {
    let pattern = HostPattern::new(text).filter(HostPattern::names_brokers)?;
    is_host(&pattern.host(i32::MAX)).then_some(pattern)
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A name of the DNS, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return unbracketed(host).parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}
