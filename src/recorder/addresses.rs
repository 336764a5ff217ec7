//! Client addresses as they are asked for: one, or all that share a prefix.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An address, or a network in CIDR notation (RFC 4632): `10.1.2.3`, `10.1.0.0/16`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: Ipv6Addr,
    last: Ipv6Addr,
    asked: (IpAddr, u8),
}

/// An address as indexes have it: IPv4 in IPv6's mapped form.
pub(super) fn ipv6_form(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl AddressRange {
    /// The first and the last address, in IPv6's form.
    pub(super) fn bounds(&self) -> (Ipv6Addr, Ipv6Addr) {
        (self.first, self.last)
    }

    /// True for an address in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        (self.first..=self.last).contains(&ipv6_form(address))
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let complain = || format!("'{text}' is no address and no network: 10.1.2.3, 10.1.0.0/16, 2001:db8::/32");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse::<IpAddr>().map_err(|_| complain())?.to_canonical();
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse()).ok().filter(|bits| *bits <= width);
        let bits = bits.ok_or_else(complain)?;
        let mask = u128::MAX.checked_shl(u32::from(width - bits)).unwrap_or(0);
        let whole = u128::from(ipv6_form(address));
        let (first, last) = (Ipv6Addr::from(whole & mask), Ipv6Addr::from(whole | !mask));
        Ok(AddressRange { first, last, asked: (address, bits) })
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.asked.0, self.asked.1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_stands_for_itself_and_a_network_for_its_own() {
        let holds =
            |range: &str, address: &str| range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap());
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("10.1.2.3", "::ffff:10.1.2.3") && holds("::ffff:10.1.2.3", "10.1.2.3"));
        assert!(holds("10.1.0.0/16", "10.1.255.9") && !holds("10.1.0.0/16", "10.2.0.0"));
        assert!(holds("10.1.77.1/16", "10.1.0.0"));
        assert!(holds("0.0.0.0/0", "255.1.2.3") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::5") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("::/0", "10.1.2.3"));
        for wrong in ["", "10.1.2", "10.1.2.3/33", "::/129", "10.0.0.0/-1", "a/8", "10.0.0.0/"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }
}
