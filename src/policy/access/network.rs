//! Where a client connects from: networks in CIDR form.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that share their first bits. An IPv4 address that came mapped into IPv6 counts as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                shift == 32 || first.to_bits() >> shift == address.to_bits() >> shift
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                shift == 128 || first.to_bits() >> shift == address.to_bits() >> shift
            }
            _ => false,
        }
    }

    /// Whether it surely holds all of `inner`.
    pub(super) fn covers(&self, inner: &Network) -> bool {
        self.bits <= inner.bits && self.contains(inner.first)
    }
}

impl FromStr for Network {
    type Err = String;

    /// `10.0.0.0/8`, `2001:db8::/32`, or one address. The error says what was expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a network or an address, such as `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`";
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| expected.to_owned())?;
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.map_or(Ok(most), str::parse).map_err(|_| expected.to_owned())?;
        if bits > most {
            return Err(format!("an address of this kind has {most} bits; {expected}"));
        }
        let network = match address.to_canonical() {
            first @ IpAddr::V4(_) if address.is_ipv6() && bits >= 96 => Network { first, bits: bits - 96 },
            _ => Network { first: address, bits },
        };
        let first = network.masked();
        if first != network.first {
            return Err(format!("bits are set behind the first {}; expected `{}`", bits, Network { first, ..network }));
        }
        Ok(network)
    }
}

impl Network {
    fn masked(&self) -> IpAddr {
        let bits = u32::from(self.bits);
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() & !u32::MAX.checked_shr(bits).unwrap_or(0)).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() & !u128::MAX.checked_shr(bits).unwrap_or(0)).into()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_in_the_networks_that_begin_as_it_does() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "::ffff:10.1.2.3", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), is_in, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_would_be_one() {
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10/8", "example.com", "2001:db8::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        assert!("10.1.2.3/8".parse::<Network>().unwrap_err().contains("`10.0.0.0/8`"));
        assert!("2001:db8::1/32".parse::<Network>().unwrap_err().contains("`2001:db8::/32`"));
    }

    #[test]
    fn a_network_covers_those_within_it() {
        let covers =
            |outer: &str, inner: &str| outer.parse::<Network>().unwrap().covers(&inner.parse::<Network>().unwrap());
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && covers("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!covers("10.1.0.0/16", "10.0.0.0/8") && !covers("0.0.0.0/0", "::/0"));
    }
}
