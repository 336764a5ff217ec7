//! Ports that nobody else takes while we use them.
//!
//! Asking the kernel for a free port and closing it again invites another process to take it before the broker binds. So
//! ports come in blocks outside the kernel's ephemeral range (no outgoing connection lands there), and the first port of a
//! block is its lock: we listen on it for as long as the block lives, and whoever finds it taken moves on. The lock
//! leaves no file behind and goes with the process, however that ends.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use crate::{Failure, Result};

/// Ports in a block, the lock included.
pub const BLOCK_LEN: u16 = 32;

/// Blocks start here, well below 32768 where Linux's ephemeral range begins.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 380;

/// A run of ports on 127.0.0.1 and ::1 that are ours until this is dropped.
#[derive(Debug)]
pub struct Block {
    lock: TcpListener,
    base: u16,
    next: u16,
}

impl Block {
    /// Finds a block whose ports are all free. The search starts at a place of this process's own, so that suites
    /// started together seldom try the same one.
    pub fn claim() -> Result<Self> {
        let start = (std::process::id() % u32::from(BLOCKS)) as u16;
        (0..BLOCKS)
            .map(|i| FIRST + (start + i) % BLOCKS * BLOCK_LEN)
            .find_map(Self::try_claim)
            .ok_or_else(|| Failure::new(format!("no {BLOCK_LEN} free ports in a row between {FIRST} and 32159")))
    }

    fn try_claim(base: u16) -> Option<Self> {
        let lock = bind(base)?;
        let rest_free = (base + 1..base + BLOCK_LEN).all(|port| bind(port).is_some() && is_free_on_ipv6(port));
        rest_free.then_some(Self { lock, base, next: base + 1 })
    }

    /// The next port of the block that was not given out yet.
    pub fn take(&mut self) -> Result<u16> {
        let port = self.next;
        if port >= self.base + BLOCK_LEN {
            return Err(Failure::new(format!(
                "all {BLOCK_LEN} ports of the block at {} are given out",
                self.lock_port()
            )));
        }
        self.next += 1;
        Ok(port)
    }

    /// What is left of the block, first and last port inclusive.
    pub fn rest(&mut self) -> Result<(u16, u16)> {
        let first = self.take()?;
        self.next = self.base + BLOCK_LEN;
        Ok((first, self.next - 1))
    }

    fn lock_port(&self) -> u16 {
        self.lock.local_addr().map_or(self.base, |a| a.port())
    }
}

/// Also where there is no IPv6.
fn is_free_on_ipv6(port: u16) -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, port)).map_or_else(|e| e.kind() != ErrorKind::AddrInUse, |_| true)
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_blocks_never_share_a_port() {
        let (mut a, mut b) = (Block::claim().unwrap(), Block::claim().unwrap());
        let (a, b) = (a.rest().unwrap(), b.rest().unwrap());
        assert!(a.1 < b.0 || b.1 < a.0, "{a:?} {b:?}");
    }

    #[test]
    fn a_block_with_one_port_taken_is_passed_over() {
        let block = Block::claim().unwrap();
        let base = block.base;
        drop(block);
        let _squatter = bind(base + 7).unwrap();
        assert!(Block::try_claim(base).is_none());
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
