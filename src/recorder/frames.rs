//! Frames as full recording kept them, put together from their pieces.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::ConnectionNo;
use crate::event::piece::{Way, Withheld};

/// One recorded frame, or one part of a frame of more than [`crate::limits::FRAME_PART_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFrame {
    /// Its place, from which reading can go on.
    pub id: FrameCursor,
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
    /// Place of `bytes` in the frame: 0 but for the later parts of a long one.
    pub at: u64,
    /// The frame with its length prefix, or the part; zeros where bytes were withheld or lost.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub bytes: Vec<u8>,
    /// Length of the whole frame, its prefix included, as the prefix says; none where the prefix is not kept.
    pub frame_bytes: Option<u64>,
    /// The stretches that were withheld, in order.
    pub withheld: Vec<Stretch>,
    /// The stretches that should be there and are not, in order: the recording could not keep up.
    pub lost: Vec<Stretch>,
}

impl CapturedFrame {
    /// True for a frame that is here from its first byte to its last, whatever is withheld or lost between them. False for
    /// a part of a long one, and for one that the connection's end cut off.
    pub fn is_whole(&self) -> bool {
        self.at == 0 && self.frame_bytes == Some(self.bytes.len() as u64)
    }
}

/// A stretch of a frame without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Place of its first byte in the frame.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Why they are not there; none where they were lost.
    pub why: Option<Withheld>,
}

/// Frames in the order in which they began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePage {
    /// The frames.
    pub frames: Vec<CapturedFrame>,
    /// Where to go on: behind the last frame, or where reading began when there is none.
    pub next: FrameCursor,
    /// Nothing more is recorded at this moment, but for frames that are still on their way.
    pub is_last: bool,
}

/// The place of a frame among all of its node's, for good. The default is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FrameCursor {
    /// When its first piece passed.
    pub(super) at_ns: u64,
    /// The block that holds that piece.
    pub(super) boot: u32,
    pub(super) shard: u16,
    pub(super) sequence: u32,
    /// The piece's place in its block, from 1.
    pub(super) place: u32,
    /// Which part of its frame; two may begin with the same piece.
    pub(super) part: u32,
    /// When the first of the frames began that were on their way at that time: who goes on from here reads from there, to
    /// know what is left of them for what it is.
    pub(super) look_from_ns: u64,
}

impl FrameCursor {
    /// Before all frames that begin at `at_ns` or later; of those on their way then, what is left comes as a frame whose
    /// beginning was lost.
    pub fn at(at_ns: u64) -> FrameCursor {
        FrameCursor { at_ns, look_from_ns: at_ns, ..FrameCursor::default() }
    }

    /// What orders frames.
    pub(super) fn order(&self) -> (u64, u32, u16, u32, u32, u32) {
        (self.at_ns, self.boot, self.shard, self.sequence, self.place, self.part)
    }
}

impl fmt::Display for FrameCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrameCursor { at_ns, boot, shard, sequence, place, part, look_from_ns } = self;
        write!(f, "{at_ns:x}-{boot:x}-{shard:x}-{sequence:x}-{place:x}-{part:x}-{look_from_ns:x}")
    }
}

impl FromStr for FrameCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<u64> = text.split('-').map_while(|part| u64::from_str_radix(part, 16).ok()).collect();
        let read = || {
            let [at_ns, boot, shard, sequence, place, part, look_from_ns] = *parts.as_slice() else {
                return None;
            };
            let (boot, shard, sequence) = (boot.try_into().ok()?, shard.try_into().ok()?, sequence.try_into().ok()?);
            let (place, part) = (place.try_into().ok()?, part.try_into().ok()?);
            Some(FrameCursor { at_ns, boot, shard, sequence, place, part, look_from_ns })
        };
        read().ok_or_else(|| format!("'{text}' is no frame's id"))
    }
}

impl Serialize for FrameCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
}
