//! Which addresses only machines nearby can reach: where a URL must not lead Weir unless its operator says so, since what
//! answers there trusts whoever is near (SSRF).
//!
//! Invariant: an address that holds another one, as IPv6 has several for IPv4, is what the other one is.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890) as of 2026, RFC 4291, RFC 6052.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why the address is not one of the internet at large; none for one that is.
pub fn confined(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => confined_v4(address),
        IpAddr::V6(address) => confined_v6(address),
    }
}

fn confined_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "of this host",
        [127, ..] => "loopback",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "of a provider's own network",
        [169, 254, ..] => "link-local, where clouds keep credentials",
        [192, 0, 0, _] | [192, 88, 99, _] => "of a protocol",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "for documentation",
        [198, 18..=19, ..] => "for measurements",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved or broadcast",
        _ => return None,
    })
}

fn confined_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let [.., high, low] = segments;
    let embedded = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    Some(match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => "of this host",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        // IPv4-mapped, and NAT64's own prefix: what is reached is the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => return confined_v4(embedded),
        [0x64, 0xff9b, 1, ..] => "of a translator of this network",
        [0xfc00..=0xfdff, ..] => "unique local",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] => "site-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2001, 0..=0x1ff, ..] => "of a protocol",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "for documentation",
        [0x2002, ..] => "a tunnel to an IPv4 address",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Networks of the registries that are not globally reachable, and what lies outside global unicast.
    const CONFINED: &[(&str, u32)] = &[
        ("0.0.0.0", 8),
        ("10.0.0.0", 8),
        ("100.64.0.0", 10),
        ("127.0.0.0", 8),
        ("169.254.0.0", 16),
        ("172.16.0.0", 12),
        ("192.0.0.0", 24),
        ("192.0.2.0", 24),
        ("192.88.99.0", 24),
        ("192.168.0.0", 16),
        ("198.18.0.0", 15),
        ("198.51.100.0", 24),
        ("203.0.113.0", 24),
        ("224.0.0.0", 4),
        ("240.0.0.0", 4),
        ("::", 96),
        ("64:ff9b:1::", 48),
        ("100::", 64),
        ("2001::", 23),
        ("2001:db8::", 32),
        ("2002::", 16),
        ("3fff::", 20),
        ("5f00::", 16),
        ("fc00::", 7),
        ("fe80::", 10),
        ("fec0::", 10),
        ("ff00::", 8),
    ];

    /// By comparing bits with the networks, where the code above goes by segments.
    fn in_a_network(address: IpAddr) -> bool {
        CONFINED.iter().any(|(network, bits)| match (address, network.parse().unwrap()) {
            (IpAddr::V4(a), IpAddr::V4(n)) => (u32::from(a) ^ u32::from(n)) >> (32 - bits) == 0,
            (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a) ^ u128::from(n)) >> (128 - bits) == 0,
            _ => false,
        })
    }

    fn v6(high: u128, v4: Ipv4Addr) -> IpAddr {
        Ipv6Addr::from(high << 32 | u128::from(u32::from(v4))).into()
    }

    #[test]
    fn each_class_is_told_by_its_name() {
        for (address, class) in [
            ("127.0.0.1", "loopback"),
            ("10.1.2.3", "private"),
            ("192.168.0.1", "private"),
            ("169.254.169.254", "link-local, where clouds keep credentials"),
            ("::ffff:169.254.169.254", "link-local, where clouds keep credentials"),
            ("64:ff9b::a9fe:a9fe", "link-local, where clouds keep credentials"),
            ("100.100.100.200", "of a provider's own network"),
            ("0.0.0.0", "of this host"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link-local"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "reserved or broadcast"),
            ("2002:7f00:1::", "a tunnel to an IPv4 address"),
            ("::7f00:1", "reserved"),
        ] {
            assert_eq!(confined(address.parse().unwrap()), Some(class), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert_eq!(confined(address.parse().unwrap()), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_lies_in_a_confined_network_is_confined_and_nothing_else(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let expected = in_a_network(address.into());
            prop_assert_eq!(confined(address.into()).is_some(), expected);
            // ::ffff:0:0/96 and 64:ff9b::/96 lead to the IPv4 address.
            for high in [0xffff, 0x64_ff9b << 64] {
                prop_assert_eq!(confined(v6(high, address)).is_some(), expected);
            }
        }

        #[test]
        fn addresses_within_each_network_are_confined(index in 0..CONFINED.len(), noise in any::<u128>()) {
            let (network, bits) = CONFINED[index];
            let address: IpAddr = match network.parse().unwrap() {
                IpAddr::V4(n) => Ipv4Addr::from(u32::from(n) | noise as u32 & (u32::MAX >> bits)).into(),
                IpAddr::V6(n) => Ipv6Addr::from(u128::from(n) | noise & (u128::MAX >> bits)).into(),
            };
            prop_assert!(confined(address).is_some(), "{}", address);
        }

        #[test]
        fn of_ipv6_only_global_unicast_passes(bits in any::<u128>(), global in any::<bool>()) {
            let bits = if global { bits >> 3 | 1 << 125 } else { bits };
            let address = Ipv6Addr::from(bits);
            let mapped = bits >> 32 == 0xffff || bits >> 32 == 0x64_ff9b << 64;
            let expected = in_a_network(address.into()) || bits >> 125 != 1;
            prop_assert!(mapped || confined(address.into()).is_some() == expected, "{}", address);
        }
    }
}
