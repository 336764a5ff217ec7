//! What a walk works in: kept from one value to the next, so that nothing is allocated for most.
//!
//! Raw values stand in it. It is zeroized before its memory is given back, when it is dropped and when one value made it
//! larger than others need.

use std::ops::Range;

use zeroize::Zeroize;

use super::walk::Frame;
use crate::mask::fields::{ActionId, Place};

/// What a walk works in, kept for the next one.
#[derive(Default)]
pub(in crate::mask) struct Buffers {
    /// The masked document, as far as it is written.
    pub out: Vec<u8>,
    /// Sets of places, one behind the other.
    pub places: Vec<Place>,
    pub(super) frames: Vec<Frame>,
    /// A text without its escapes.
    pub(super) plain: Vec<u8>,
    pub(super) room: Vec<u8>,
    pub(super) open: Vec<u8>,
    pub found: Vec<Range<usize>>,
    pub hits: Vec<(Range<usize>, ActionId)>,
    /// For JSON in a string: that document, and what its walk works in.
    pub(super) source: Vec<u8>,
    pub(super) inner: Option<Box<Buffers>>,
}

/// A text that needed more room than this is not kept for the next one, bytes: more than brokers take by default
/// (`message.max.bytes`, 1 MiB), so that few are.
const KEPT_MAX: usize = 2 << 20;

impl Buffers {
    /// Those that hold what values hold.
    fn texts(&mut self) -> [&mut Vec<u8>; 4] {
        [&mut self.out, &mut self.plain, &mut self.room, &mut self.source]
    }

    pub(super) fn clear(&mut self) {
        for text in self.texts() {
            if text.capacity() > KEPT_MAX {
                text.zeroize();
                *text = Vec::new();
            }
        }
        self.out.clear();
        self.places.clear();
        self.frames.clear();
    }
}

impl Drop for Buffers {
    /// Raw values are not left behind in memory that is given back.
    fn drop(&mut self) {
        self.texts().into_iter().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_large_value_is_not_kept() {
        let mut buffers = Buffers::default();
        buffers.texts().into_iter().for_each(|text| text.resize(KEPT_MAX + 1, b'4'));
        buffers.clear();
        assert!(buffers.texts().iter().all(|text| text.capacity() == 0));
        buffers.texts().into_iter().for_each(|text| text.reserve_exact(KEPT_MAX));
        buffers.clear();
        assert!(buffers.texts().iter().all(|text| text.capacity() == KEPT_MAX && text.is_empty()));
    }
}
