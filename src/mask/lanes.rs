//! Bytes looked at many at a time: loops without a branch over blocks of one size, which become vector instructions.
//!
//! Written for what compilers make of it, without `std::arch`: that would take `unsafe`, and a second way for each
//! machine that has other instructions.

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// Whether some of the bytes is taken by `is`.
#[inline(always)]
pub(super) fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, byte| any | is(*byte))
}

/// The bit that stands for a byte's place in a block: for places eight apart those of one byte of the marks, so that the
/// marks are put together without moving bits about.
const BITS: [u8; BLOCK] = {
    let mut bits = [0; BLOCK];
    let mut place = 0;
    while place < BLOCK {
        bits[place] = 1 << (place / 8);
        place += 1;
    }
    bits
};

/// The places in a window's block of the bytes that are taken by `is`, in no order.
#[inline(always)]
pub(super) fn marks(window: &Window, is: impl Fn(u8) -> bool) -> Marks {
    let mut lanes = [0; BLOCK];
    for ((lane, byte), bit) in lanes.iter_mut().zip(&window[BEFORE..]).zip(&BITS) {
        *lane = if is(*byte) { *bit } else { 0 };
    }
    let (words, _) = lanes.as_chunks();
    Marks(words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)))
}

/// Places in a block.
#[derive(Clone)]
pub(super) struct Marks(u64);

impl Iterator for Marks {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize % BLOCK;
        self.0 &= self.0.wrapping_sub(1);
        Some((bit % 8) * 8 + bit / 8)
    }
}

/// Bytes before a block that are seen with it.
pub(super) const BEFORE: usize = 9;

/// Bytes of a window.
pub(super) const WINDOW: usize = BEFORE + BLOCK;

/// A block behind what stands before it.
pub(super) type Window = [u8; WINDOW];

/// The window of the block that begins at `start`, with zeros where no text is; `room` is where it is put together then.
#[inline(always)]
pub(super) fn window<'a>(text: &'a [u8], start: usize, room: &'a mut Window) -> &'a Window {
    match start.checked_sub(BEFORE).and_then(|from| text[from..].first_chunk()) {
        Some(window) => window,
        None => {
            fill(text, start, room);
            room
        }
    }
}

#[inline(never)]
fn fill(text: &[u8], start: usize, room: &mut Window) {
    let from = start.saturating_sub(BEFORE);
    let there = &text[from..text.len().min(start + BLOCK)];
    room.fill(0);
    room[BEFORE + from - start..][..there.len()].copy_from_slice(there);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_looked_for_is_marked_wherever_it_stands() {
        for length in 0..3 * BLOCK {
            let text: Vec<u8> =
                (0..length).map(|at| if at % 7 == length % 7 { b':' } else { at as u8 | 0x80 }).collect();
            let (mut places, mut room) = (Vec::new(), [7; BEFORE + BLOCK]);
            for start in (0..length).step_by(BLOCK) {
                let window = window(&text, start, &mut room);
                for place in marks(window, |byte| byte == b':') {
                    let at = start + place;
                    let near = &text[at.saturating_sub(BEFORE)..at];
                    assert!(window[place..place + BEFORE].ends_with(near), "{length}");
                    places.push(at);
                }
            }
            places.sort_unstable();
            let expected: Vec<usize> = (0..length).filter(|at| text[*at] == b':').collect();
            assert_eq!(places, expected, "{length}");
            assert_eq!(any(&text, |byte| byte == b':'), !expected.is_empty());
        }
    }
}
