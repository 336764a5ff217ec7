//! Whether one of many names could be a key in a text, whatever wrote that: what stands before each sign is compared with how
//! the names end.
//!
//! A sign is what a key is parted from its value by: a colon, an equals sign, and what stands beside them in ASCII (`;`, `<`,
//! `>`, `?`), since one comparison finds all six. Between a name and its sign may stand whatever is of no word: quotes of any
//! kind, alike or mixed, escaped or missing, brackets, white space.
//!
//! A text that does not begin and end as JSON does is of another notation, in which a name may stand before anything: there it
//! is found wherever it is a word.
//!
//! Invariants:
//! - A name that stands so before a sign, as a word, is found, however the text is made.
//! - The time grows with the text and its signs, not with the names: nearly every sign costs the same few instructions
//!   (`Tails`). White space and quotes are gone back over once.

use super::prefilter::is_of_word;
use crate::mask::lanes;
use crate::mask::names::Names;

/// Names that keys are looked up in.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    names: Names,
    longest: usize,
    /// The lengths of names that are more than one word.
    lengths: Vec<usize>,
    /// By byte: whether a name ends with it.
    lasts: Box<[bool; 256]>,
    tails: Tails,
}

impl Keys {
    pub(super) fn new(names: &[&str]) -> Keys {
        let (mut known, mut lasts, mut tails) = (Names::default(), Box::new([false; 256]), Tails::new());
        let mut lengths = Vec::new();
        for name in names.iter().map(|name| name.as_bytes()) {
            known.add(name);
            tails.add(name);
            name.last().iter().for_each(|last| lasts[usize::from(**last)] = true);
            if !name.iter().all(|byte| is_of_word(*byte)) {
                lengths.push(name.len());
            }
        }
        lengths.sort_unstable();
        lengths.dedup();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        Keys { names: known, longest, lengths, lasts, tails }
    }

    /// Whether one of the names stands where a key could.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        self.stand_before_signs(text) || (!seems_json(text) && self.are_words_in(text))
    }

    fn stand_before_signs(&self, text: &[u8]) -> bool {
        let mut room = [0; lanes::WINDOW];
        (0..text.len()).step_by(lanes::BLOCK).any(|start| {
            let window = lanes::window(text, start, &mut room);
            let signs = lanes::marks(window, is_sign);
            // All of a block are looked at without a branch; hardly ever is there one to look closer at.
            let some = signs.clone().fold(0, |some, place| some | self.tails.may_end_at(window, place));
            some != 0 && self.one_ends_in(text, window, start, signs)
        })
    }

    #[cold]
    fn one_ends_in(&self, text: &[u8], window: &lanes::Window, start: usize, mut signs: lanes::Marks) -> bool {
        signs.any(|place| self.tails.may_well_end_at(window, place) && self.one_ends_before(text, start + place))
    }

    /// Whether a name ends before the sign at `at`, with nothing of a word between them. What stands before another sign is
    /// that one's.
    fn one_ends_before(&self, text: &[u8], at: usize) -> bool {
        let mut end = at;
        while let Some(last) = end.checked_sub(1).and_then(|last| text.get(last)) {
            if self.one_ends_at(&text[..end], *last) {
                return true;
            }
            if is_of_word(*last) || is_sign(*last) {
                return false;
            }
            end -= 1;
        }
        false
    }

    #[cold]
    fn are_words_in(&self, text: &[u8]) -> bool {
        (1..=text.len()).any(|end| {
            let (last, next) = (text[end - 1], text.get(end));
            let goes_on = is_of_word(last) && next.is_some_and(|next| is_of_word(*next));
            !goes_on && self.one_ends_at(&text[..end], last)
        })
    }

    /// Whether a text ends with one of the names, as a word. Nothing of a word follows.
    fn one_ends_at(&self, text: &[u8], last: u8) -> bool {
        if !self.lasts[usize::from(last)] {
            return false;
        }
        // Never further back than a name is long, or the time would grow with the square of the length.
        let near = &text[text.len().saturating_sub(self.longest + 1)..];
        let word = near.iter().rposition(|byte| !is_of_word(*byte)).map_or(0, |before| before + 1);
        let composed = |length: &usize| {
            near.len().checked_sub(*length).is_some_and(|start| {
                let joined = is_of_word(near[start]) && start.checked_sub(1).is_some_and(|at| is_of_word(near[at]));
                !joined && self.names.find(&near[start..]).is_some()
            })
        };
        self.names.find(&near[word..]).is_some() || self.lengths.iter().any(composed)
    }
}

/// Whether what stands behind a text's first bracket, and before its last one, stands there in JSON.
fn seems_json(text: &[u8]) -> bool {
    let begins = match text.trim_ascii_start().split_first() {
        Some((b'{', inner)) => matches!(inner.trim_ascii_start().first(), Some(b'"' | b'}')),
        Some((b'[', inner)) => match inner.trim_ascii_start() {
            [b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9', ..] => true,
            word => [&b"true"[..], b"false", b"null"].iter().any(|known| word.starts_with(known)),
        },
        _ => false,
    };
    let inner = text.trim_ascii_end().split_last().map(|(_, inner)| inner.trim_ascii_end());
    let ends = matches!(inner, Some([.., b'"' | b'{' | b'}' | b'[' | b']' | b'e' | b'l' | b'0'..=b'9']));
    begins && ends
}

#[inline(always)]
fn is_sign(byte: u8) -> bool {
    // From `:` to `?`, moved to where signed bytes begin: one comparison.
    (byte.wrapping_add(0x80 - b':') as i8) < i8::MIN + 6
}

/// How names end. What stands before nearly every sign is told from all of them by its last four bytes; where it is not, by
/// the last eight.
#[derive(Debug, Clone)]
struct Tails {
    /// By a hash of the last four bytes: 1 where some name ends so.
    fours: Box<[u8; FOURS]>,
    eights: Bits<1024>,
    /// A name of so few bytes that what is before it counts among the last eight.
    shorts: Bits<1024>,
    /// By the byte right before a sign, and by the one before the quote there: 1 where only a closer look tells.
    closer: Box<[[u8; 256]; 2]>,
}

/// Bytes of a table that stays in a core's first cache; of 512 names every thirtieth is set.
const FOURS: usize = 1 << 14;

impl Tails {
    fn new() -> Tails {
        let of_no_word: [u8; 256] = std::array::from_fn(|byte| u8::from(!is_of_word(byte as u8)));
        let mut closer = Box::new([of_no_word; 2]);
        closer[0][usize::from(b'"')] = 0;
        Tails { fours: Box::new([0; FOURS]), eights: Bits::new(), shorts: Bits::new(), closer }
    }

    fn add(&mut self, name: &[u8]) {
        let Some(last) = name.last() else { return };
        self.closer[0][usize::from(*last)] = 1;
        if let Some(eight) = name.last_chunk() {
            self.eights.set(of_eight(u64::from_le_bytes(*eight)));
        }
        if let Some(four) = name.last_chunk() {
            self.add_four(*four, name.len() < 8);
        } else if let [first, second, third] = *name {
            // What stands before it is one of these bytes, or the name would be part of a longer word.
            let before = (0..=u8::MAX).filter(|before| !(is_of_word(first) && is_of_word(*before)));
            before.for_each(|before| self.add_four([before, first, second, third], true));
        } else {
            self.closer[1][usize::from(*last)] = 1;
        }
    }

    fn add_four(&mut self, four: [u8; 4], short: bool) {
        let hash = of_four(u32::from_le_bytes(four));
        self.fours[hash as usize >> (32 - FOURS.ilog2())] = 1;
        if short {
            self.shorts.set(hash);
        }
    }

    /// Whether a name could end before the sign at this place of the block, by what is right before it: 0 if not.
    #[inline(always)]
    fn may_end_at(&self, window: &lanes::Window, place: usize) -> u8 {
        let Some([four @ .., quote]) = window.get(place + 4..).and_then(<[u8]>::first_chunk::<5>) else { return 1 };
        let four = u32::from_le_bytes(*four);
        self.fours[of_four(four) as usize >> (32 - FOURS.ilog2())]
            | self.closer[0][usize::from(*quote)]
            | self.closer[1][(four >> 24) as usize]
    }

    /// The same by more of it.
    fn may_well_end_at(&self, window: &lanes::Window, place: usize) -> bool {
        let Some([eight @ .., quote]) = window.get(place..).and_then(<[u8]>::first_chunk::<9>) else { return true };
        let last = (self.closer[0][usize::from(*quote)] | self.closer[1][usize::from(eight[7])]) == 1;
        let eight = u64::from_le_bytes(*eight);
        last || self.eights.get(of_eight(eight)) || self.shorts.get(of_four((eight >> 32) as u32))
    }
}

/// What spreads bits over the higher ones of a product (Fibonacci hashing), of which only the highest depend on all of what
/// was multiplied.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

fn of_eight(eight: u64) -> u32 {
    (eight.wrapping_mul(MIXER) >> 32) as u32
}

#[inline(always)]
fn of_four(four: u32) -> u32 {
    four.wrapping_mul((MIXER >> 32) as u32)
}

/// A bit for each hash, in so many words, a power of two.
#[derive(Debug, Clone)]
struct Bits<const WORDS: usize>(Box<[u64; WORDS]>);

impl<const WORDS: usize> Bits<WORDS> {
    fn new() -> Self {
        Bits(Box::new([0; WORDS]))
    }

    fn bit(hash: u32) -> usize {
        (hash >> (32 - (64 * WORDS).ilog2())) as usize
    }

    fn set(&mut self, hash: u32) {
        let bit = Self::bit(hash);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn get(&self, hash: u32) -> bool {
        let bit = Self::bit(hash);
        (self.0[bit / 64] >> (bit % 64)) & 1 == 1
    }
}
