//! Bytes only, a folder a protocol: framing, layouts, walks, addresses, error replies. No policy, no I/O.

pub mod kafka;
mod wipe;

pub use wipe::{make_room, wipe};
