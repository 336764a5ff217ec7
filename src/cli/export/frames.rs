//! The container of bare frames, laid out in `docs/frames.md`: simple enough for a reader of twenty lines.

use std::io::Write;

use super::Frames;
use crate::cli::error::CliError;
use crate::event::piece::{Way, Withheld};
use crate::recorder::{CapturedFrame, Stretch};

/// What a file begins with: a name and the layout's version.
const MAGIC: &[u8; 8] = b"WEIRFRM\x01";

/// The reason of a stretch that was lost.
const LOST: u8 = 255;

/// Bytes of an entry before its stretches, without its length.
const ENTRY_HEAD: usize = 51;

/// Bytes of a stretch.
const STRETCH: usize = 17;

pub(super) fn write(mut frames: Frames<'_>, out: &mut impl Write) -> Result<(), CliError> {
    out.write_all(MAGIC)?;
    while let Some(frame) = frames.next()? {
        out.write_all(&entry_head(&frame))?;
        out.write_all(&frame.bytes)?;
    }
    Ok(())
}

/// Everything of an entry but the frame's bytes.
fn entry_head(frame: &CapturedFrame) -> Vec<u8> {
    let mut stretches: Vec<&Stretch> = frame.withheld.iter().chain(&frame.lost).collect();
    stretches.sort_by_key(|stretch| stretch.at);
    let length = ENTRY_HEAD + STRETCH * stretches.len() + frame.bytes.len();
    let mut head = Vec::with_capacity(8 + ENTRY_HEAD + STRETCH * stretches.len());
    head.extend((length as u64).to_be_bytes());
    head.extend(frame.at_ns.to_be_bytes());
    head.extend(frame.boot.to_be_bytes());
    head.extend(frame.shard.to_be_bytes());
    head.extend(frame.connection.0.to_be_bytes());
    head.extend(frame.ordinal.to_be_bytes());
    head.push(match frame.way {
        Way::Request => 0,
        Way::Response => 1,
    });
    head.extend(frame.at.to_be_bytes());
    head.extend(frame.frame_bytes.unwrap_or(0).to_be_bytes());
    head.extend((stretches.len() as u32).to_be_bytes());
    debug_assert_eq!(head.len(), 8 + ENTRY_HEAD);
    for stretch in stretches {
        head.push(match stretch.why {
            Some(Withheld::Secret) => 0,
            Some(Withheld::NotAsked) => 1,
            None => LOST,
        });
        head.extend(stretch.at.to_be_bytes());
        head.extend(stretch.bytes.to_be_bytes());
    }
    head
}
