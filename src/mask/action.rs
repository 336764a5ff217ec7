//! What is put in the place of something sensitive: the actions, which of two is the stricter, and what each makes of text.
//!
//! What they make of JSON's numbers, booleans and dates is in `json/leaf.rs`.
//!
//! Invariants:
//! - A text that is redacted or of which a part is kept has as many bytes as before: one `*` for each byte that went.
//! - What is kept is counted in characters and never cuts one apart. A text that has no more than is to be kept keeps none.
//! - A hash depends on the key and the text alone, so that every gateway makes the same of it.

use std::cmp::Reverse;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What is done with something sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing of it is left but its length and type.
    Redact,
    /// So many characters at its beginning are left.
    KeepFirst(u32),
    /// So many characters at its end are left.
    KeepLast(u32),
    /// A keyed hash of it, by which equal values are still equal.
    Hash(Key),
    /// `null`, whatever it was.
    Null,
    /// The field is left out, name and all. What is in no field (an array's element, a whole value) becomes `null`.
    DropField,
    /// The whole record is left out.
    DropRecord,
}

impl Action {
    /// Orders actions by how little they leave; greater is stricter.
    pub fn strictness(&self) -> (u8, Reverse<u32>) {
        match self {
            Action::KeepFirst(n) | Action::KeepLast(n) => (0, Reverse(*n)),
            Action::Hash(_) => (1, Reverse(0)),
            Action::Redact => (2, Reverse(0)),
            Action::Null => (3, Reverse(0)),
            Action::DropField => (4, Reverse(0)),
            Action::DropRecord => (5, Reverse(0)),
        }
    }

    /// Whether it surely leaves no more than `other`, whatever the value.
    pub fn leaves_at_most(&self, other: &Action) -> bool {
        match (self, other) {
            (Action::KeepFirst(own), Action::KeepFirst(others)) | (Action::KeepLast(own), Action::KeepLast(others)) => {
                own <= others
            }
            (Action::KeepFirst(_) | Action::KeepLast(_), _) => false,
            (Action::Hash(own), Action::Hash(others)) => own == others,
            _ => self.strictness().0 >= other.strictness().0,
        }
    }

    /// Whether a text keeps its length under it.
    pub(super) fn keeps_length(&self) -> bool {
        matches!(self, Action::Redact | Action::KeepFirst(_) | Action::KeepLast(_))
    }

    /// Whether it takes an object or an array whole, instead of each leaf in it.
    pub(super) fn takes_whole(&self) -> bool {
        matches!(self, Action::Null | Action::DropField | Action::DropRecord)
    }
}

/// The key of [`Action::Hash`], ready for use. It is shown nowhere.
#[derive(Clone)]
pub struct Key {
    keyed: Hmac<Sha256>,
    /// Tells keys apart: the hash of nothing under it.
    mark: [u8; 32],
}

/// A key that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for hashing needs at least {} bytes of randomness", Key::BYTES_MIN)]
pub struct KeyTooShort;

impl Key {
    /// Card numbers and the like can all be tried; only the key stands against that. 128 bits.
    pub const BYTES_MIN: usize = 16;

    /// A hash in hexadecimal digits: half of SHA-256's, where two values in 2^64 would meet by chance.
    pub const HASH_CHARS: usize = 32;

    /// A key of at least [`Key::BYTES_MIN`] bytes.
    pub fn new(secret: &[u8]) -> Result<Key, KeyTooShort> {
        let keyed = <Hmac<Sha256> as Mac>::new_from_slice(secret).map_err(|_| KeyTooShort)?;
        if secret.len() < Self::BYTES_MIN {
            return Err(KeyTooShort);
        }
        let mark = keyed.clone().finalize().into_bytes().into();
        Ok(Key { keyed, mark })
    }

    /// HMAC-SHA-256 (RFC 2104) of `text`.
    pub(super) fn hash(&self, text: &[u8]) -> [u8; 32] {
        let mut keyed = self.keyed.clone();
        keyed.update(text);
        keyed.finalize().into_bytes().into()
    }

    /// The hash as text, [`Key::HASH_CHARS`] long.
    pub(super) fn hash_text(&self, text: &[u8], out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in &self.hash(text)[..Self::HASH_CHARS / 2] {
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl Eq for Key {}

/// Masks a text that is nothing but text: a key, a header, a value that is no JSON. Nothing is left of it where the action
/// is to make it `null` or to drop it.
pub(super) fn mask_text(action: &Action, text: &[u8], out: &mut Vec<u8>) {
    match action {
        Action::Redact => stars(text.len(), out),
        Action::KeepFirst(n) => keep_first(text, boundary(text, *n, false), out),
        Action::KeepLast(n) => keep_last(text, boundary(text, *n, true), out),
        Action::Hash(key) => key.hash_text(text, out),
        Action::Null | Action::DropField | Action::DropRecord => {}
    }
}

/// So many stars.
pub(super) fn stars(count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count, b'*');
}

/// Keeps what is before `end`, or nothing where there is no such place.
pub(super) fn keep_first(text: &[u8], end: Option<usize>, out: &mut Vec<u8>) {
    let end = end.unwrap_or(0);
    out.extend_from_slice(&text[..end]);
    stars(text.len() - end, out);
}

/// Keeps what is from `start` on, or nothing where there is no such place.
pub(super) fn keep_last(text: &[u8], start: Option<usize>, out: &mut Vec<u8>) {
    let start = start.unwrap_or(text.len());
    stars(start, out);
    out.extend_from_slice(&text[start..]);
}

/// Where the first (or the last) `n` characters of a text end (or begin); none where it has no more than those. Bytes that
/// are no UTF-8 count one each.
fn boundary(text: &[u8], n: u32, from_end: bool) -> Option<usize> {
    let n = n as usize;
    let place = |count: usize| if from_end { count.checked_sub(n) } else { Some(n) };
    match std::str::from_utf8(text) {
        Ok(_) if text.is_ascii() => place(text.len()).filter(|_| n < text.len()),
        Ok(text) => {
            let count = text.chars().count();
            let at = place(count).filter(|_| n < count)?;
            text.char_indices().nth(at).map(|(at, _)| at)
        }
        Err(_) => place(text.len()).filter(|_| n < text.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn masked(action: &Action, text: &str) -> String {
        let mut out = Vec::new();
        mask_text(action, text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_kept_is_counted_in_characters_and_the_length_stays() {
        assert_eq!(masked(&Action::KeepLast(4), "4111111111111111"), "************1111");
        assert_eq!(masked(&Action::KeepFirst(6), "4111111111111111"), "411111**********");
        assert_eq!(masked(&Action::Redact, "grün"), "*****");
        assert_eq!(masked(&Action::KeepFirst(3), "grün"), "grü*");
        assert_eq!(masked(&Action::KeepLast(2), "grün"), "**ün");
        assert_eq!(masked(&Action::KeepLast(0), "abc"), "***");
        assert_eq!(masked(&Action::KeepFirst(0), "abc"), "***");
        assert_eq!(masked(&Action::KeepFirst(1), ""), "");
    }

    #[test]
    fn a_text_that_would_be_kept_whole_is_not_kept_at_all() {
        for text in ["1", "1234", "äöüß"] {
            assert_eq!(masked(&Action::KeepLast(4), text), "*".repeat(text.len()));
            assert_eq!(masked(&Action::KeepFirst(u32::MAX), text), "*".repeat(text.len()));
        }
    }

    #[test]
    fn a_hash_is_of_the_key_and_the_text_and_the_key_is_shown_nowhere() {
        let key = |byte| Key::new(&[byte; 16]).unwrap();
        // RFC 4231, test case 1.
        let rfc = Key::new(&[0x0b; 20]).unwrap();
        assert_eq!(masked(&Action::Hash(rfc), "Hi There"), "b0344c61d8db38535ca8afceaf0bf12b");
        assert_eq!(masked(&Action::Hash(key(1)), "a"), masked(&Action::Hash(key(1)), "a"));
        assert_ne!(masked(&Action::Hash(key(1)), "a"), masked(&Action::Hash(key(2)), "a"));
        assert!(key(1) == key(1) && key(1) != key(2));
        assert_eq!(format!("{:?}", Action::Hash(key(1))), "Hash(Key(…))");
        assert_eq!(Key::new(&[1; 15]).unwrap_err(), KeyTooShort);
    }

    #[test]
    fn the_stricter_of_two_actions_leaves_less() {
        let hash = Action::Hash(Key::new(&[1; 16]).unwrap());
        let order = [
            Action::KeepLast(6),
            Action::KeepFirst(4),
            hash,
            Action::Redact,
            Action::Null,
            Action::DropField,
            Action::DropRecord,
        ];
        assert!(order.is_sorted_by(|a, b| a.strictness() < b.strictness()));
    }
}
