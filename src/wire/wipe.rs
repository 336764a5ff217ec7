//! Overwriting what nobody needs any more and nobody should find: records as they were before they were masked.

use std::hint::black_box;

/// Overwrites bytes before their memory is given back. Unlike a wipe byte by byte, whose order is guaranteed, it costs what
/// filling memory costs; [`black_box`] keeps it from being left out as of no effect.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

/// Makes room for `more` bytes. A vector that grows by itself leaves what it held where it was; this one wipes it.
pub fn make_room(bytes: &mut Vec<u8>, more: usize) {
    if bytes.capacity() - bytes.len() < more {
        let mut grown = Vec::with_capacity((bytes.len() + more).max(2 * bytes.capacity()));
        grown.extend_from_slice(bytes);
        wipe(bytes);
        *bytes = grown;
    }
}
