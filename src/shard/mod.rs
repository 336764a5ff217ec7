//! The data plane: one pinned thread with its own executor, listener sockets and connections; nothing is shared between
//! shards but immutable snapshots.
//!
//! `runtime` is the seam to io_uring or epoll. `listener` accepts, `connection` is one client's connection from accept to
//! close, with its two halves `requests` (client to broker) and `responses` (broker to client); `tls` encrypts, `handshake`
//! begins that, `certificate` and `login` find out who it is, `dial` connects and logs in upstream, `renew` logs in again
//! there, `outgoing` writes, `recording` appends to the journal, `masking` masks for whoever is at hand, by the `policy` in
//! force; `members` knows for which consumer groups that may be. `pool` lends buffers, `sweep` looks for what has been idle, expired or revoked, `meter` counts.
//!
//! Invariants:
//! - A shard never blocks: no lock that is held across work, no file, no name look-up, no wait but on its executor.
//! - A connection never moves to another shard, and one that is slow stops nobody but itself.
//! - What a connection did is in the shard's journal before the client has the last byte of the answer.

mod access;
mod approvals;
mod census;
mod certificate;
mod clock;
mod connection;
mod dial;
mod handshake;
mod listener;
mod login;
mod masking;
mod members;
mod meter;
mod outgoing;
mod policy;
mod pool;
mod probe;
mod recording;
mod renew;
mod requests;
mod responses;
pub mod runtime;
mod state;
mod sweep;
mod tls;

pub use crate::pipeline::hold::Readings;
pub use census::Census;
pub use listener::{ListenerOptions, ListenerTls, Subjects, bind};
pub use login::Issuers;
pub use members::Members;
pub use policy::{Adopted, Policy};
pub use probe::{IoUring, probe_io_uring};
pub use recording::{Durability, OnOverload, RecordingOptions};
pub use state::{Command, Limits, ShardEar, ShardHandle, ShardOptions, start};
