//! What must come back on a connection, in order: the ring.
//!
//! Kafka answers the requests of a connection in the order they came. Some are forwarded, some are answered here, some are
//! our own (Weir logs in again between a client's requests); the ring keeps their places, so that an answer given here
//! waits for the broker's answers before it, and an answer to us is never passed on.
//!
//! Invariants:
//! - First in, first out; nothing overtakes.
//! - Never more than [`IN_FLIGHT_MAX`] entries, nor more than one answer given here beyond [`ANSWERED_BYTES_MAX`]: a full
//!   ring is no error, it is the moment to stop reading the client.
//! - A response that is not the one awaited is a [`Surprise`]: the connection ends, because whose answer it is can no
//!   longer be said.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits::{ANSWERED_BYTES_MAX, IN_FLIGHT_MAX};

/// A place in the ring. `T` is what the connection remembers of the exchange.
#[derive(Debug)]
enum Entry<T> {
    /// Forwarded under this correlation id; the broker's answer belongs here.
    Forwarded(i32, T),
    /// Answered by Weir: this frame goes out when its turn comes.
    AnsweredHere(Bytes, T),
    /// Asked by Weir itself under this correlation id; the client never hears of it.
    Own(i32),
}

/// A response that cannot be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Surprise {
    /// Nothing is awaited from the broker.
    #[error("the broker sent a response with correlation id {got} while none was awaited")]
    NothingAwaited {
        /// The id it carries.
        got: i32,
    },
    /// Another response is next.
    #[error("the broker sent a response with correlation id {got}, the next one awaited is {awaited}")]
    OutOfOrder {
        /// The id it carries.
        got: i32,
        /// The id that is next.
        awaited: i32,
    },
    /// An answer given here, or one to Weir itself, stands before it: take it first.
    #[error("a response with correlation id {got} was taken before the answer that is due ahead of it")]
    NotItsTurn {
        /// The id it carries.
        got: i32,
    },
}

/// The ring is full: the client has to wait for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{IN_FLIGHT_MAX} requests are in flight on this connection")]
pub struct Full;

/// The ordered ring of a connection.
#[derive(Debug)]
pub struct Ring<T> {
    entries: VecDeque<Entry<T>>,
    /// Bytes of the frames that wait among them.
    answered_bytes: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), answered_bytes: 0 }
    }
}

impl<T> Ring<T> {
    /// Entries in the ring.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is owed to the client.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the client has to wait; ask before reading the next request.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= IN_FLIGHT_MAX || self.answered_bytes >= ANSWERED_BYTES_MAX
    }

    /// Takes the place of a request that is forwarded and will be answered by the broker.
    pub fn push_forwarded(&mut self, correlation_id: i32, exchange: T) -> Result<(), Full> {
        self.push(Entry::Forwarded(correlation_id, exchange))
    }

    /// Takes the place of a request that is answered here with `frame` (length prefix included).
    pub fn push_answered(&mut self, frame: Bytes, exchange: T) -> Result<(), Full> {
        let bytes = frame.len();
        self.push(Entry::AnsweredHere(frame, exchange))?;
        self.answered_bytes += bytes;
        Ok(())
    }

    /// Takes the place of a request of Weir's own.
    pub fn push_own(&mut self, correlation_id: i32) -> Result<(), Full> {
        self.push(Entry::Own(correlation_id))
    }

    /// Whether the broker's next response is one to Weir itself.
    pub fn awaits_own(&self) -> bool {
        matches!(self.entries.front(), Some(Entry::Own(_)))
    }

    /// Takes the place of Weir's own request out of the ring, which this response answers.
    pub fn take_own(&mut self, correlation_id: i32) -> Result<(), Surprise> {
        let got = correlation_id;
        match self.entries.front() {
            Some(Entry::Own(awaited)) if *awaited == got => {
                self.entries.pop_front();
                Ok(())
            }
            Some(Entry::Own(awaited) | Entry::Forwarded(awaited, _)) => {
                Err(Surprise::OutOfOrder { got, awaited: *awaited })
            }
            Some(Entry::AnsweredHere(..)) => Err(Surprise::NotItsTurn { got }),
            None => Err(Surprise::NothingAwaited { got }),
        }
    }

    /// The exchange that a broker's response answers. It leaves the ring; what follows it must wait until the response
    /// has been passed on to its last byte, which is the caller's to keep.
    pub fn take_forwarded(&mut self, correlation_id: i32) -> Result<T, Surprise> {
        let got = correlation_id;
        match self.entries.pop_front() {
            Some(Entry::Forwarded(awaited, exchange)) if awaited == got => Ok(exchange),
            None => Err(Surprise::NothingAwaited { got }),
            Some(other) => {
                let surprise = match &other {
                    Entry::Forwarded(awaited, _) => Surprise::OutOfOrder { got, awaited: *awaited },
                    Entry::AnsweredHere(..) | Entry::Own(_) => Surprise::NotItsTurn { got },
                };
                self.entries.push_front(other);
                Err(surprise)
            }
        }
    }

    /// The next answer given here, when its turn has come; none while a broker's answer stands before it.
    pub fn pop_answered(&mut self) -> Option<(Bytes, T)> {
        match self.entries.pop_front()? {
            Entry::AnsweredHere(frame, exchange) => {
                self.answered_bytes -= frame.len();
                Some((frame, exchange))
            }
            awaited => {
                self.entries.push_front(awaited);
                None
            }
        }
    }

    /// What is left when the connection ends, in order; `true` where it was forwarded and its outcome is unknown.
    pub fn drain(&mut self) -> impl Iterator<Item = (bool, T)> + '_ {
        self.answered_bytes = 0;
        self.entries.drain(..).filter_map(|entry| match entry {
            Entry::Forwarded(_, exchange) => Some((true, exchange)),
            Entry::AnsweredHere(_, exchange) => Some((false, exchange)),
            Entry::Own(_) => None,
        })
    }

    fn push(&mut self, entry: Entry<T>) -> Result<(), Full> {
        if self.entries.len() >= IN_FLIGHT_MAX {
            return Err(Full);
        }
        self.entries.push_back(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_given_here_waits_for_the_brokers_answers_before_it() {
        let mut ring = Ring::default();
        ring.push_forwarded(1, "fetch").unwrap();
        ring.push_answered(Bytes::from_static(b"here"), "versions").unwrap();
        ring.push_forwarded(2, "produce").unwrap();
        assert_eq!(ring.pop_answered(), None);
        assert_eq!(ring.take_forwarded(1), Ok("fetch"));
        assert_eq!(ring.take_forwarded(2), Err(Surprise::NotItsTurn { got: 2 }));
        assert_eq!(ring.pop_answered(), Some((Bytes::from_static(b"here"), "versions")));
        assert_eq!(ring.pop_answered(), None);
        assert_eq!(ring.take_forwarded(2), Ok("produce"));
        assert!(ring.is_empty());
    }

    #[test]
    fn an_answer_to_weir_itself_has_its_place_and_is_nobody_elses() {
        let mut ring = Ring::default();
        ring.push_forwarded(1, "fetch").unwrap();
        ring.push_own(-7).unwrap();
        ring.push_answered(Bytes::from_static(b"here"), "versions").unwrap();
        assert!(!ring.awaits_own());
        assert_eq!(ring.take_own(-7), Err(Surprise::OutOfOrder { got: -7, awaited: 1 }));
        assert_eq!(ring.take_forwarded(1), Ok("fetch"));
        assert!(ring.awaits_own());
        assert_eq!(ring.pop_answered(), None);
        assert_eq!(ring.take_forwarded(-7), Err(Surprise::NotItsTurn { got: -7 }));
        assert_eq!(ring.take_own(-8), Err(Surprise::OutOfOrder { got: -8, awaited: -7 }));
        assert_eq!(ring.take_own(-7), Ok(()));
        assert_eq!(ring.pop_answered(), Some((Bytes::from_static(b"here"), "versions")));
        ring.push_own(-7).unwrap();
        assert_eq!(ring.drain().count(), 0, "there is nothing to tell of what Weir asked itself");
    }

    #[test]
    fn a_response_that_is_not_the_awaited_one_is_a_surprise_and_loses_nothing() {
        let mut ring = Ring::default();
        assert_eq!(ring.take_forwarded(9), Err(Surprise::NothingAwaited { got: 9 }));
        ring.push_forwarded(1, 'a').unwrap();
        ring.push_forwarded(2, 'b').unwrap();
        assert_eq!(ring.take_forwarded(2), Err(Surprise::OutOfOrder { got: 2, awaited: 1 }));
        assert_eq!(ring.drain().collect::<Vec<_>>(), [(true, 'a'), (true, 'b')]);
    }

    #[test]
    fn a_full_ring_takes_no_more_until_an_answer_left() {
        let mut ring = Ring::default();
        for id in 0..IN_FLIGHT_MAX as i32 {
            ring.push_forwarded(id, ()).unwrap();
        }
        assert!(ring.is_full());
        assert_eq!(ring.push_forwarded(-1, ()), Err(Full));
        assert_eq!(ring.push_answered(Bytes::new(), ()), Err(Full));
        ring.take_forwarded(0).unwrap();
        assert_eq!(ring.push_forwarded(-1, ()), Ok(()));
    }

    #[test]
    fn answers_given_here_that_wait_are_bounded_in_bytes() {
        let answer = || Bytes::from_static(&[0; ANSWERED_BYTES_MAX / 4]);
        let mut ring = Ring::default();
        ring.push_forwarded(1, ()).unwrap();
        for _ in 0..4 {
            assert!(!ring.is_full());
            ring.push_answered(answer(), ()).unwrap();
        }
        assert!(ring.is_full(), "a broker that does not answer keeps the answers behind it back");
        ring.take_forwarded(1).unwrap();
        ring.pop_answered().unwrap();
        assert!(!ring.is_full());
        ring.push_answered(answer(), ()).unwrap();
        assert_eq!(ring.drain().count(), 4);
        assert!(!ring.is_full());
    }

    proptest! {
        /// Any mix, answered as early as order allows: everything comes out once, in the order it went in.
        #[test]
        fn everything_comes_out_once_and_in_order(forwarded in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut ring = Ring::default();
            for (n, is_forwarded) in forwarded.iter().enumerate() {
                // The same correlation id again and again is lawful, though no client does it.
                match is_forwarded {
                    true => ring.push_forwarded(7, n).unwrap(),
                    false => ring.push_answered(Bytes::new(), n).unwrap(),
                }
            }
            let mut out = Vec::new();
            while !ring.is_empty() {
                while let Some((_, n)) = ring.pop_answered() { out.push(n) }
                if let Ok(n) = ring.take_forwarded(7) { out.push(n) }
            }
            prop_assert_eq!(out, (0..forwarded.len()).collect::<Vec<_>>());
        }
    }
}
