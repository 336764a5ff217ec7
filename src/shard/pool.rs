//! Read buffers, borrowed from the shard only while bytes are there.
//!
//! Invariants:
//! - An idle connection holds no buffer.
//! - Memory in large buffers never passes the budget. Beyond it a connection works on with a small buffer, so that slow
//!   peers that sit on large ones cannot stop the others: the bound is the budget plus one small buffer a connection.
//! - What held records that are masked on their way is wiped before it goes back.
//! - Requests and responses have a pool each; requests that fill theirs never keep a response, which frees them, from
//!   being read.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::task::Poll;

use super::runtime::Stream;
use crate::wire::wipe;

/// A large buffer: 256 KiB is where the cost of a copied byte stops falling (the fewer system calls a byte, the better).
pub const LARGE_BYTES: usize = 256 * 1024;
/// A small one: enough for the usual request, and for progress when large ones have run out.
pub const SMALL_BYTES: usize = 16 * 1024;

/// One direction's buffers on one shard.
pub struct Pool {
    large_free: RefCell<Vec<Box<[u8]>>>,
    small_free: RefCell<Vec<Box<[u8]>>>,
    large_out: Cell<usize>,
    large_max: usize,
}

/// Buffers of a kind kept for reuse; more are given back to the allocator, so a burst does not stay in memory.
const FREE_MAX: usize = 8;

impl Pool {
    /// A pool that hands out at most `budget_bytes` of large buffers at a time, at least one.
    pub fn new(budget_bytes: usize) -> Rc<Self> {
        Rc::new(Pool {
            large_free: RefCell::default(),
            small_free: RefCell::default(),
            large_out: Cell::new(0),
            large_max: (budget_bytes / LARGE_BYTES).max(1),
        })
    }

    /// Borrows a buffer: large while the budget lasts, else small.
    pub fn take(self: &Rc<Self>) -> Buffer {
        let large = self.large_out.get() < self.large_max;
        let (free, size) = if large { (&self.large_free, LARGE_BYTES) } else { (&self.small_free, SMALL_BYTES) };
        if large {
            self.large_out.set(self.large_out.get() + 1);
        }
        let bytes = free.borrow_mut().pop().unwrap_or_else(|| vec![0u8; size].into_boxed_slice());
        Buffer { bytes, pool: self.clone() }
    }
}

/// Reads into a borrowed buffer once there is something to read: the buffer, and how many bytes it holds (0: the end).
pub async fn read<S: Stream>(stream: &S, pool: &Rc<Pool>) -> io::Result<(Buffer, usize)> {
    poll_fn(|cx| {
        let mut buffer = pool.take();
        let read = std::task::ready!(stream.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer, read)))
    })
    .await
}

/// A borrowed buffer; it goes back when dropped.
pub struct Buffer {
    bytes: Box<[u8]>,
    pool: Rc<Pool>,
}

impl Buffer {
    /// Overwrites its first bytes, which somebody else might find in it.
    pub fn wipe(&mut self, bytes: usize) {
        wipe(&mut self.bytes[..bytes]);
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let large = bytes.len() == LARGE_BYTES;
        if large {
            self.pool.large_out.set(self.pool.large_out.get() - 1);
        }
        let mut free = if large { &self.pool.large_free } else { &self.pool.small_free }.borrow_mut();
        if free.len() < FREE_MAX {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_budget_a_connection_still_gets_a_small_buffer() {
        let pool = Pool::new(2 * LARGE_BYTES);
        let held: Vec<_> = (0..4).map(|_| pool.take()).collect();
        let sizes: Vec<_> = held.iter().map(|b| b.len()).collect();
        assert_eq!(sizes, [LARGE_BYTES, LARGE_BYTES, SMALL_BYTES, SMALL_BYTES]);
        drop(held);
        assert_eq!(pool.take().len(), LARGE_BYTES);
    }

    #[test]
    fn a_burst_does_not_stay_in_memory() {
        let pool = Pool::new(100 * LARGE_BYTES);
        drop((0..100).map(|_| pool.take()).collect::<Vec<_>>());
        assert_eq!(pool.large_free.borrow().len(), FREE_MAX);
    }
}
