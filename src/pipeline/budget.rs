//! Bytes that may be gathered at a time, reserved before the first of them is kept.
//!
//! Requests and responses have a budget each (requests that fill a common one would keep out the responses that free
//! it). What was gathered may come out larger than it was: then the budget is overdrawn, and nothing new is gathered until
//! that has been given back.
//!
//! Invariants:
//! - What is reserved is given back when the reservation is dropped, whatever ended the exchange.
//! - What goes beyond the budget is the growth of frames that were within it.

use std::cell::Cell;
use std::rc::Rc;

/// A shard's budget for one direction.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Rc<Used>,
    total: u64,
}

#[derive(Debug, Default)]
struct Used {
    bytes: Cell<u64>,
    /// Somebody found no room since this was last asked.
    short: Cell<bool>,
}

/// Bytes set aside for one frame.
#[derive(Debug)]
pub struct Reservation {
    used: Rc<Used>,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Budget { used: Rc::default(), total }
    }

    /// Sets `bytes` aside; none when they are not free now. A frame larger than the whole budget never gets any: the
    /// caller's frame limit has to lie below it.
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let used = self.in_use().saturating_add(bytes);
        if used > self.total {
            self.used.short.set(true);
            return None;
        }
        self.used.bytes.set(used);
        Some(Reservation { used: self.used.clone(), bytes })
    }

    /// Bytes set aside at the moment.
    pub fn in_use(&self) -> u64 {
        self.used.bytes.get()
    }

    /// Whether anybody has found no room since this was last asked.
    pub fn take_shortage(&self) -> bool {
        self.used.short.take()
    }
}

impl Reservation {
    /// Bytes that it stands for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Stands for these bytes from now on: they are there already, whether or not as many were free.
    pub fn of(mut self, frame: &Vec<u8>) -> Self {
        self.resize(frame.capacity() as u64);
        self
    }

    fn resize(&mut self, bytes: u64) {
        self.used.bytes.set(self.used.bytes.get() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.resize(0);
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

    #[test]
    fn what_a_frame_grows_to_is_counted_and_paid_back_before_the_next_is_gathered() {
        let budget = Budget::new(100);
        let (mut grows, other) = (budget.reserve(40).unwrap(), budget.reserve(40).unwrap());
        assert!(!budget.take_shortage());
        grows.resize(200);
        assert_eq!(budget.in_use(), 240);
        assert!(budget.reserve(0).is_none() && budget.take_shortage() && !budget.take_shortage());
        drop(other);
        assert!(budget.reserve(1).is_none());
        grows.resize(30);
        assert!(budget.reserve(70).is_some());
        drop(grows);
        assert_eq!(budget.in_use(), 0);
    }
}
