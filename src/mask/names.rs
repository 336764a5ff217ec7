//! Sets of names, which each key of each document is looked up in.
//!
//! Nearly all keys are none of the names, and how a key ends tells most of them apart: so the last bytes before its closing
//! quote are read at once, cut off at its opening quote if that is among them, and a bit looked at.

use std::ops::Range;

/// A name, by its number.
pub(super) type NameId = u32;

/// A set of names, asked for each key of each document: how a key ends tells for most that it is none of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: Vec<Box<[u8]>>,
    /// Open addressing, at most a quarter full. A slot holds a name's fingerprint and its number; an empty one [`EMPTY`].
    slots: Vec<(u64, NameId)>,
    ends: Ends,
}

const EMPTY: NameId = NameId::MAX;

impl Names {
    /// The number of a name, which is added if it is new.
    pub(super) fn add(&mut self, name: &[u8]) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.names.len() as NameId;
        self.names.push(name.into());
        self.ends.add(name);
        if self.slots.len() < 4 * self.names.len() {
            let places = (8 * self.names.len()).next_power_of_two();
            self.slots = vec![(0, EMPTY); places];
            (0..=id).for_each(|id| self.place(id));
        } else {
            self.place(id);
        }
        id
    }

    /// How many there are; their numbers are below that.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of a name.
    pub(super) fn find(&self, name: &[u8]) -> Option<NameId> {
        self.look_up(name, End::of_name(name))
    }

    /// The number of the name that stands at `at` in a text, behind a quote.
    #[inline(always)]
    pub(super) fn find_quoted(&self, text: &[u8], at: Range<usize>) -> Option<NameId> {
        let end = match text[..at.end].last_chunk() {
            Some(eight) => End::of(eight),
            None => End::of_name(&text[at.clone()]),
        };
        (self.ends.may_hold(end) == 1).then(|| self.look_up(&text[at], end)).flatten()
    }

    fn look_up(&self, name: &[u8], end: End) -> Option<NameId> {
        let fingerprint = fingerprint(name, end);
        let mut at = fingerprint as usize & self.slots.len().checked_sub(1)?;
        loop {
            let (known, id) = self.slots[at];
            if id == EMPTY {
                return None;
            }
            if known == fingerprint && *self.names[id as usize] == *name {
                return Some(id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn place(&mut self, id: NameId) {
        let name = &self.names[id as usize];
        let fingerprint = fingerprint(name, End::of_name(name));
        let mut at = fingerprint as usize & (self.slots.len() - 1);
        while self.slots[at].1 != EMPTY {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = (fingerprint, id);
    }
}

/// How names end: a bit for each hash of it.
#[derive(Debug, Clone)]
struct Ends(Box<[u64; Ends::WORDS]>);

impl Default for Ends {
    fn default() -> Self {
        Ends(Box::new([0; Ends::WORDS]))
    }
}

impl Ends {
    /// 2 KiB: of some hundred names every thirtieth bit is set.
    const WORDS: usize = 256;

    fn add(&mut self, name: &[u8]) {
        let bit = End::of_name(name).hash(64 * Self::WORDS);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Whether some name ends like this, as far as a hash can tell: 1 or 0.
    #[inline(always)]
    fn may_hold(&self, end: End) -> u8 {
        let bit = end.hash(64 * Self::WORDS);
        (self.0[bit / 64 % Self::WORDS] >> (bit % 64)) as u8 & 1
    }
}

/// How a name in quotes ends: its last eight bytes, or all of them and the quote before them.
#[derive(Clone, Copy)]
struct End(u64);

impl End {
    /// Of the eight bytes at a name's end, and before it where it is shorter.
    #[inline(always)]
    fn of(eight: &[u8; 8]) -> End {
        const ONES: u64 = u64::from_le_bytes([1; 8]);
        // The first byte becomes the highest, so that the last quote is the first in the order of bits.
        let eight = u64::from_be_bytes(*eight);
        let others = eight ^ (ONES * b'"' as u64);
        let quotes = others.wrapping_sub(ONES) & !others & (ONES << 7);
        End(eight & quotes.wrapping_sub(1) & !quotes)
    }

    /// A number below so many, a power of two; others may have it too.
    #[inline(always)]
    fn hash(self, below: usize) -> usize {
        // Only a product's highest bits depend on all of what was multiplied.
        (self.0.wrapping_mul(MIXER) >> (64 - below.ilog2())) as usize
    }

    fn of_name(name: &[u8]) -> End {
        match name.last_chunk() {
            Some(eight) => End::of(eight),
            None => {
                let mut eight = [b'"'; 8];
                eight[8 - name.len()..].copy_from_slice(name);
                End::of(&eight)
            }
        }
    }
}

/// What spreads bits over the higher ones of a product (Fibonacci hashing).
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Of a name's length, its first and last bytes: names that differ elsewhere only are told apart by comparing them.
fn fingerprint(name: &[u8], end: End) -> u64 {
    let first = name.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let mixed = (end.0 ^ first.rotate_left(29) ^ name.len() as u64).wrapping_mul(MIXER);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_found_again() {
        let mut names = Names::default();
        assert_eq!(names.find(b"abc"), None);
        let all: Vec<String> =
            (0..600).map(|n| "abcdefghij".repeat(2 + n / 100)[..n % 20].to_owned() + &n.to_string()).collect();
        let ids: Vec<NameId> = all.iter().map(|name| names.add(name.as_bytes())).collect();
        assert!(all.iter().zip(&ids).all(|(name, id)| names.find(name.as_bytes()) == Some(*id)));
        for (before, behind) in [("\"", "\""), ("{\"", "\": 1"), ("{\"key\": 1, \"", "")] {
            let within = |name: &String| {
                let text = before.to_owned() + name + behind;
                names.find_quoted(text.as_bytes(), before.len()..before.len() + name.len())
            };
            assert!(all.iter().zip(&ids).all(|(name, id)| within(name) == Some(*id)));
        }
        assert_eq!(names.find(b""), None);
        assert_eq!(names.add(b""), 600);
        assert_eq!(names.find(b""), Some(600));
        assert_eq!(names.find(b"abc"), None);
    }

    #[test]
    fn names_that_differ_in_their_middle_or_length_only_are_told_apart() {
        let mut names = Names::default();
        let long = |middle: &str| format!("beginning{middle}the_ending");
        let all = [long("a"), long("b"), long(""), "the_ending".to_owned(), "_ending".to_owned(), "g".to_owned()];
        let ids: Vec<NameId> = all.iter().map(|name| names.add(name.as_bytes())).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
        assert!(all.iter().zip(0..).all(|(name, id)| names.find(name.as_bytes()) == Some(id)));
        for other in [long("c"), "e_ending".to_owned(), "ending".to_owned(), "ng".to_owned()] {
            assert_eq!(names.find(other.as_bytes()), None);
        }
    }
}
