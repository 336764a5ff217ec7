//! What happens to one exchange, in order: read its head, decide, walk its body, describe it, rewrite its answer. No I/O.
//!
//! [`request::Inbound`] and [`response::Outbound`] are fed whatever pieces the sockets gave and say, piece by piece, what
//! to do with them. An exchange is *relayed* (its pieces flow on as they come, a resumable walk reading along) or
//! *gathered* (held until whole, because something has to be decided or rewritten that needs all of it). What full
//! recording keeps of it is cut from the same pieces ([`capture`]). Where rules mask records, frames that carry any are
//! gathered and rewritten before anything else is done with them ([`masking`]); for which consumer groups a client reads is told
//! by exchanges of its other connections ([`membership`]).
//!
//! Invariants:
//! - Bytes that nothing rewrites leave exactly as they came.
//! - A request reaches [`request::Gate`] before its first byte is passed on, and is described before its last one is.
//! - An answer is matched to its request by order and correlation id before any of it is passed on.

pub mod access;
pub mod budget;
pub mod capture;
pub mod describe;
#[cfg(any(test, fuzzing))]
pub(crate) mod drive;
pub mod exchange;
pub mod fault;
pub mod guard;
pub mod head;
pub mod hold;
pub mod masking;
pub mod membership;
pub mod request;
pub mod response;
#[cfg(test)]
mod tests;
