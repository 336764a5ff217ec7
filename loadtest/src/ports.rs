//! Ports that nobody else takes while we use them.
//!
//! Asking the kernel for a free port and closing it again invites another process to take it before the broker binds. So
//! ports come in blocks outside the kernel's ephemeral range (no outgoing connection lands there), and the first port of a
//! block is its lock: it is bound for as long as the block lives, and whoever finds it taken moves on. The lock
//! leaves no file behind and goes with the process, however that ends.
//!
//! A port is free when it can be bound on all addresses of both kinds without SO_REUSEADDR: then nobody listens on any of
//! them, and no connection of somebody's who was there before is left.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Failure, Result};

/// Ports in a block, the lock included.
pub const BLOCK_LEN: u16 = 32;

/// Where blocks may lie: above what services are registered for, for the most part.
const PORTS: RangeInclusive<u16> = 20_000..=65_535;

/// Linux's default, where it does not say.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// A run of ports on all addresses of this machine that are ours until this is dropped.
#[derive(Debug)]
pub struct Block {
    _lock: Socket,
    base: u16,
    next: u16,
}

impl Block {
    /// Finds a block whose ports are all free. The search starts at a place of this process's own, so that suites
    /// started together seldom try the same one.
    pub fn claim() -> Result<Self> {
        let mut bases = bases(&ephemeral());
        if bases.is_empty() {
            // Connections may take any port here: that all of a block are free has to do.
            bases = self::bases(&(0..=0));
        }
        let start = std::process::id() as usize % bases.len();
        bases.rotate_left(start);
        let found = bases.into_iter().find_map(Self::try_claim);
        found.ok_or_else(|| Failure::new(format!("no {BLOCK_LEN} free ports in a row in {PORTS:?}")))
    }

    fn try_claim(base: u16) -> Option<Self> {
        let lock = bind(base)?;
        let rest_free = (base + 1..=base + (BLOCK_LEN - 1)).all(|port| bind(port).is_some());
        rest_free.then_some(Self { _lock: lock, base, next: base + 1 })
    }

    /// The next port of the block that was not given out yet.
    pub fn take(&mut self) -> Result<u16> {
        let port = self.next;
        if port > self.last() {
            return Err(Failure::new(format!("all {BLOCK_LEN} ports of the block at {} are given out", self.base)));
        }
        self.next += 1;
        Ok(port)
    }

    /// What is left of the block, first and last port inclusive.
    pub fn rest(&mut self) -> Result<(u16, u16)> {
        let first = self.take()?;
        self.next = self.last() + 1;
        Ok((first, self.last()))
    }

    fn last(&self) -> u16 {
        self.base + (BLOCK_LEN - 1)
    }
}

/// Where outgoing connections get their ports.
fn ephemeral() -> RangeInclusive<u16> {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = said.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(low)), Some(Ok(high))) => low..=high,
        _ => EPHEMERAL,
    }
}

/// The first ports of all blocks that no outgoing connection lands in.
fn bases(ephemeral: &RangeInclusive<u16>) -> Vec<u16> {
    // The last one would end with the last port there is, which leaves no number for what comes after it.
    let all = PORTS.step_by(usize::from(BLOCK_LEN)).filter(|base| *base < u16::MAX - BLOCK_LEN);
    all.filter(|base| base + (BLOCK_LEN - 1) < *ephemeral.start() || base > ephemeral.end()).collect()
}

/// Binds a port on all addresses, IPv4 and IPv6, without listening; none where anybody has it on any of them.
fn bind(port: u16) -> Option<Socket> {
    let on = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into()).map(|()| socket)
    };
    match on((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if error.kind() != ErrorKind::AddrInUse => on((Ipv4Addr::UNSPECIFIED, port).into()).ok(),
        bound => bound.ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{IpAddr, TcpListener};

    use super::*;

    #[test]
    fn two_blocks_never_share_a_port() {
        let (mut a, mut b) = (Block::claim().unwrap(), Block::claim().unwrap());
        let (a, b) = (a.rest().unwrap(), b.rest().unwrap());
        assert!(a.1 < b.0 || b.1 < a.0, "{a:?} {b:?}");
    }

    #[test]
    fn a_block_with_one_port_taken_on_any_address_is_passed_over() {
        let somewhere = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]), Ipv4Addr::UNSPECIFIED.into()];
        let six = [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED].map(IpAddr::from);
        let mut tried = 0;
        for address in somewhere.into_iter().chain(six) {
            let block = Block::claim().unwrap();
            let base = block.base;
            drop(block);
            // As servers bind, so that others may.
            let Ok(_squatter) = TcpListener::bind((address, base + 7)) else { continue };
            assert!(Block::try_claim(base).is_none(), "{address}");
            tried += 1;
        }
        assert!(tried >= 3, "there may be no IPv6, but IPv4");
    }

    #[test]
    fn no_block_lies_where_outgoing_connections_get_their_ports() {
        for ephemeral in [EPHEMERAL, 1024..=65_535, 15_000..=30_000, 50_000..=65_535, ephemeral()] {
            for base in bases(&ephemeral) {
                let ports = base..=base + (BLOCK_LEN - 1);
                assert!(ports.clone().all(|port| !ephemeral.contains(&port)), "{ports:?} {ephemeral:?}");
            }
        }
        assert!(bases(&EPHEMERAL).len() > 400);
        assert!(bases(&(1024..=65_535)).is_empty());
    }

    #[test]
    fn an_exhausted_block_says_so() {
        let mut block = Block::claim().unwrap();
        for _ in 1..BLOCK_LEN {
            block.take().unwrap();
        }
        assert!(block.take().is_err());
    }
}
