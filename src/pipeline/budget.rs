//! Bytes that may be gathered at a time, reserved before the first of them is kept.
//!
//! Requests and responses have a budget each (requests that fill a common one would keep out the responses that free
//! it). Invariant: what is reserved is given back when the reservation is dropped, whatever ended the exchange.

use std::cell::Cell;
use std::rc::Rc;

/// A shard's budget for one direction.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Rc<Cell<u64>>,
    total: u64,
}

/// Bytes set aside for one frame.
#[derive(Debug)]
pub struct Reservation {
    free: Rc<Cell<u64>>,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Budget { free: Rc::new(Cell::new(total)), total }
    }

    /// Sets `bytes` aside; none when they are not free now. A frame larger than the whole budget never gets any: the
    /// caller's frame limit has to lie below it.
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let left = self.free.get().checked_sub(bytes)?;
        self.free.set(left);
        Some(Reservation { free: self.free.clone(), bytes })
    }

    /// Bytes set aside at the moment.
    pub fn in_use(&self) -> u64 {
        self.total - self.free.get()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.free.set(self.free.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reservation_is_given_back_when_its_exchange_ends_anyhow() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).unwrap();
        assert!(budget.reserve(60).is_none());
        drop(first);
        assert_eq!(budget.in_use(), 0);
        assert!(budget.reserve(100).is_some());
    }
}
