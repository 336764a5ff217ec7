//! Pieces of frames as they passed over the wire: what full recording keeps beside the events.
//!
//! A frame is cut wherever reads and writes cut it; its pieces say where they belong and together cover it from its length
//! prefix to its last byte. Bytes that may not be kept are not there: a withheld piece says how many they were and why, so
//! that a reader can put zeros in their place and feed the frame to a decoder.
//!
//! Invariants:
//! - No piece holds a secret. What is withheld is counted, never stored.
//! - Pieces of one frame come in order; a place that no piece covers is detail that was lost, and was counted as such.

use serde::{Deserialize, Serialize};

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Way {
    /// From the client, as it sent it.
    Request = 0,
    /// To the client, as it got it.
    Response = 1,
}

/// Why bytes of a frame are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Withheld {
    /// A password, token or other credential.
    Secret = 0,
    /// Records of a topic that no rule asks to keep.
    NotAsked = 1,
}

/// A stretch of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The exchange it belongs to; counts the connection's exchanges from 0.
    pub ordinal: u64,
    /// Which of the exchange's two frames.
    pub way: Way,
    /// Place of its first byte in the frame, the length prefix included.
    pub at: u64,
    /// What was there.
    pub content: Content<'a>,
}

/// What a piece holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// So many bytes that are not kept.
    Withheld {
        /// How many.
        bytes: u64,
        /// Why.
        why: Withheld,
    },
}
