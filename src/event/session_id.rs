//! The id of a session: 64 bits that sort by time, printed as short text that survives being read aloud.
//!
//! The text is Crockford's base32 (no I, L, O, U) in lower case, thirteen characters and one check character, so that a
//! mistyped id is told apart from one that does not exist.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// One session of one node. Ordered by the time at which the session started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 13;
/// Ids made within one of these share their time part: about a millisecond.
const TIME_UNIT_BITS: u32 = 20;

/// Why a text is no session id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionIdError {
    /// Too short or too long.
    #[error("a session id has 14 characters, this has {0}; `weir sessions` lists them")]
    Length(usize),
    /// A character that no id contains.
    #[error("'{0}' occurs in no session id (0-9 and a-z without i, l, o and u)")]
    Character(char),
    /// The check character does not fit the others.
    #[error("this session id is mistyped: its last character does not fit the others")]
    Check,
}

impl SessionId {
    /// The id for a session that starts at `started_ns`, given the last one handed out: unique and in order even when
    /// the clock steps back.
    pub fn next(started_ns: u64, last: Option<SessionId>) -> SessionId {
        let by_time = started_ns >> TIME_UNIT_BITS << TIME_UNIT_BITS;
        SessionId(last.map_or(by_time, |last| by_time.max(last.0.wrapping_add(1))))
    }

    /// From its 64 bits.
    pub fn from_u64(bits: u64) -> SessionId {
        SessionId(bits)
    }

    /// Its 64 bits.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    fn digits(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = (rest & 31) as u8;
            rest >>= 5;
        }
        digits
    }
}

/// A weighted sum modulo the prime 31: another character or two swapped ones give another sum (0 and z alone collide).
fn check_digit(digits: &[u8]) -> u8 {
    let sum: u32 = (1u32..).zip(digits).map(|(weight, digit)| weight * u32::from(*digit)).sum();
    (sum % 31) as u8
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        let mut text = String::with_capacity(DIGITS + 1);
        for digit in digits.iter().chain([&check_digit(&digits)]) {
            text.push(char::from(ALPHABET[usize::from(*digit)]));
        }
        f.pad(&text)
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let length = text.chars().count();
        if length != DIGITS + 1 {
            return Err(SessionIdError::Length(length));
        }
        let mut digits = [0u8; DIGITS + 1];
        for (digit, character) in digits.iter_mut().zip(text.chars()) {
            let plain = match character.to_ascii_lowercase() {
                'i' | 'l' => '1',
                'o' => '0',
                other => other,
            };
            let place = ALPHABET.iter().position(|letter| char::from(*letter) == plain);
            *digit = place.ok_or(SessionIdError::Character(character))? as u8;
        }
        let (digits, check) = digits.split_at(DIGITS);
        if check_digit(digits) != check[0] || digits[0] > 15 {
            return Err(SessionIdError::Check);
        }
        Ok(SessionId(digits.iter().fold(0, |bits, digit| bits << 5 | u64::from(*digit))))
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_text_comes_back_and_sorts_as_the_number_does(a: u64, b: u64) {
            let (a, b) = (SessionId(a), SessionId(b));
            prop_assert_eq!(a.to_string().to_uppercase().parse::<SessionId>().unwrap(), a);
            prop_assert_eq!(a.to_string()[..13].cmp(&b.to_string()[..13]), a.cmp(&b));
        }

        #[test]
        fn one_wrong_character_is_noticed(bits: u64, place in 0usize..13, other in 1u8..31) {
            let id = SessionId(bits);
            let mut digits = id.digits();
            let wrong = (digits[place] + other) % 32;
            prop_assume!(wrong.abs_diff(digits[place]) != 31);
            digits[place] = wrong;
            prop_assert_ne!(check_digit(&digits), check_digit(&id.digits()));
        }
    }

    #[test]
    fn ids_stay_unique_and_in_order_when_the_clock_steps_back() {
        let first = SessionId::next(1_700_000_000_000_000_000, None);
        let second = SessionId::next(1_700_000_000_000_000_000, Some(first));
        let third = SessionId::next(1_600_000_000_000_000_000, Some(second));
        assert!(first < second && second < third);
    }

    #[test]
    fn a_text_that_is_no_id_is_told_why() {
        assert_eq!("abc".parse::<SessionId>(), Err(SessionIdError::Length(3)));
        assert_eq!("0123456789abc!".parse::<SessionId>(), Err(SessionIdError::Character('!')));
        assert_eq!("00000000000001".parse::<SessionId>(), Err(SessionIdError::Check));
    }
}
