//! Frames as full recording kept them, put together from their pieces.

use serde::Serialize;

use crate::event::ConnectionNo;
use crate::event::piece::{Way, Withheld};

/// One recorded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Which start of the gateway.
    pub boot: u32,
    /// Which of its shards.
    pub shard: u16,
    /// Which of the shard's connections.
    pub connection: ConnectionNo,
    /// The exchange it belongs to; counts the connection's exchanges from 0.
    pub ordinal: u64,
    /// Request or response.
    pub way: Way,
    /// When its first byte came from the client or went to it, ns since the Unix epoch.
    pub at_ns: u64,
    /// The frame with its length prefix; zeros where bytes were withheld or lost.
    pub bytes: Vec<u8>,
    /// The stretches that were withheld, in order.
    pub withheld: Vec<Stretch>,
    /// The stretches that should be there and are not, in order: the recording could not keep up.
    pub lost: Vec<Stretch>,
}

/// A stretch of a frame without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Place of its first byte in the frame.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Why they are not there; none where they were lost.
    pub why: Option<Withheld>,
}
