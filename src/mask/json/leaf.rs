//! What an action makes of JSON's strings, numbers and booleans.
//!
//! Invariants:
//! - A string stays a string, a number a number that fits wherever the old one did, a date a date.
//! - But for hashes, nothing changes its length in bytes: numbers and booleans are filled up with spaces, which mean nothing
//!   there.

use super::text;
use crate::mask::action::{Action, Key, keep_first, keep_last, stars};

/// Masks what stands between a string's quotes. `room` is room to work in.
#[inline]
pub(super) fn mask_string(action: &Action, raw: &[u8], escaped: bool, room: &mut Vec<u8>, out: &mut Vec<u8>) {
    match action {
        Action::Hash(key) => hash(key, raw, escaped, room, out),
        Action::KeepFirst(n) if is_date(raw) => date(raw, *n as usize, out),
        _ if is_date(raw) => date(raw, 0, out),
        _ => mask_part(action, raw, escaped, room, out),
    }
}

/// Masks a part of a string, where a detector found something.
#[inline]
pub(super) fn mask_part(action: &Action, raw: &[u8], escaped: bool, room: &mut Vec<u8>, out: &mut Vec<u8>) {
    match action {
        Action::KeepFirst(n) => keep_first(raw, text::boundary(raw, *n, false), out),
        Action::KeepLast(n) => keep_last(raw, text::boundary(raw, *n, true), out),
        Action::Hash(key) => hash(key, raw, escaped, room, out),
        Action::Redact | Action::Null | Action::DropField | Action::DropRecord => stars(raw.len(), out),
    }
}

fn hash(key: &Key, raw: &[u8], escaped: bool, room: &mut Vec<u8>, out: &mut Vec<u8>) {
    if !escaped {
        return key.hash_text(raw, out);
    }
    room.clear();
    text::unescape(raw, room);
    key.hash_text(room, out);
}

/// Whether it is a date or a time of ISO 8601 in its extended form, as RFC 3339 has it, with or without an offset.
#[inline]
fn is_date(raw: &[u8]) -> bool {
    raw.get(4) == Some(&b'-') && is_shaped_as_date(raw)
}

fn is_shaped_as_date(raw: &[u8]) -> bool {
    let shaped = |text: &[u8], shape: &[u8]| {
        text.len() >= shape.len()
            && text
                .iter()
                .zip(shape)
                .all(|(byte, like)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like })
    };
    if !shaped(raw, b"0000-00-00") {
        return false;
    }
    let Some((b'T' | b't' | b' ', mut time)) = raw[10..].split_first() else { return raw.len() == 10 };
    if !shaped(time, b"00:00") {
        return false;
    }
    time = &time[5..];
    if shaped(time, b":00") {
        time = &time[3..];
        if shaped(time, b".0") {
            let digits = time[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            time = &time[1 + digits..];
        }
    }
    let Some((sign, offset)) = time.split_first() else { return true };
    match sign {
        b'Z' | b'z' => offset.is_empty(),
        b'+' | b'-' => {
            (shaped(offset, b"00:00") && offset.len() == 5) || (shaped(offset, b"0000") && offset.len() == 4)
        }
        _ => false,
    }
}

/// A date of the same form: the first of January 1970, midnight, or the year (and month) of the old one where its first four
/// (seven) characters are kept.
fn date(raw: &[u8], kept: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(raw.iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte }));
    let new = &mut out[start..];
    new[..10].copy_from_slice(b"1970-01-01");
    let kept = [7, 4].into_iter().find(|length| kept >= *length).unwrap_or(0);
    new[..kept].copy_from_slice(&raw[..kept]);
    // An offset of zero is written with a plus.
    if let Some(sign) = new[10..].iter_mut().find(|byte| matches!(byte, b'-' | b'+')) {
        *sign = b'+';
    }
}

/// Masks a number as it is written.
pub(super) fn mask_number(action: &Action, raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let whole = digits.iter().all(u8::is_ascii_digit);
    let fits = |n: &u32| (*n as usize) < digits.len();
    match action {
        Action::KeepFirst(n) if whole && *n > 0 && fits(n) => {
            let n = *n as usize;
            out.extend_from_slice(&digits[..n]);
            out.resize(out.len() + digits.len() - n, b'0');
        }
        Action::KeepLast(n) if whole && fits(n) => trimmed(&digits[digits.len() - *n as usize..], out),
        // One digit less than it had: smaller than the old number, so that it fits where that did.
        Action::Hash(key) if whole => {
            let hash = key.hash(digits);
            let number = hash.iter().take(8).fold(0, |all: u64, byte| all << 8 | u64::from(*byte));
            let length = (digits.len() - 1).min(18) as u32;
            out.extend_from_slice((number % 10u64.pow(length)).to_string().as_bytes());
        }
        _ if whole => out.push(b'0'),
        _ => out.extend_from_slice(b"0.0"),
    }
    let written = out.len() - start;
    out.resize(out.len() + raw.len().saturating_sub(written), b' ');
}

/// Writes what every boolean becomes, where one of so many bytes stood: `true`, which fits where either stood.
pub(super) fn mask_boolean(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"true");
    let spaces = length.saturating_sub(b"true".len());
    out.resize(out.len() + spaces, b' ');
}

/// Digits without the zeros in front of them, but one if there is nothing else.
fn trimmed(digits: &[u8], out: &mut Vec<u8>) {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    if zeros == digits.len() {
        out.push(b'0');
    } else {
        out.extend_from_slice(&digits[zeros..]);
    }
}

/// Digits of a number that is written with a fraction or an exponent: enough for whatever detectors look for.
const DIGITS_MAX: usize = 64;

/// Appends a number's digits as they are without sign, fraction and exponent: `4.111e3` is `4111`. Nothing where it has a
/// fraction that is not zero, or more than [`DIGITS_MAX`] digits.
pub(super) fn integer(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&digits[..at], std::str::from_utf8(&digits[at + 1..]).ok().and_then(|text| text.parse().ok())),
        None => (digits, Some(0i64)),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    let Some(exponent) = exponent.filter(|exponent| exponent.unsigned_abs() <= (DIGITS_MAX + raw.len()) as u64) else {
        return;
    };
    out.extend_from_slice(&mantissa[..point]);
    out.extend_from_slice(fraction);
    let length = point as i64 + exponent;
    let Ok(length) = usize::try_from(length) else { return out.truncate(start) };
    let written = out.len() - start;
    let lost = length < written && out[start + length..].iter().any(|digit| *digit != b'0');
    if lost || length > DIGITS_MAX.max(raw.len()) {
        return out.truncate(start);
    }
    out.resize(start + length, b'0');
    let zeros = out[start..].iter().take_while(|digit| **digit == b'0').count();
    out.drain(start..start + zeros);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> Action {
        Action::Hash(Key::new(&[7; 16]).unwrap())
    }

    fn string(action: &Action, raw: &str) -> String {
        let mut out = Vec::new();
        mask_string(action, raw.as_bytes(), raw.contains('\\'), &mut Vec::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn number(action: &Action, raw: &str) -> String {
        let mut out = Vec::new();
        mask_number(action, raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_keep_their_length_and_whole_characters() {
        assert_eq!(string(&Action::Redact, r"a\u0070\n"), "*********");
        assert_eq!(string(&Action::KeepLast(2), r"ab\u00e9\ud83d\ude00"), r"**\u00e9\ud83d\ude00");
        assert_eq!(string(&Action::KeepLast(1), r"ab\u00e9\ud83d\ude00"), r"********\ud83d\ude00");
        assert_eq!(string(&Action::KeepFirst(2), r"a\/b"), r"a\/*");
        assert_eq!(string(&Action::KeepFirst(3), r"a\/b"), "****");
        assert_eq!(string(&Action::Redact, ""), "");
    }

    #[test]
    fn escaped_and_plain_text_have_the_same_hash_of_one_length() {
        assert_eq!(string(&key(), r"\u0061bc"), string(&key(), "abc"));
        assert_ne!(string(&key(), "abd"), string(&key(), "abc"));
        for text in ["", "a", "2024-05-17", &"x".repeat(1000)] {
            assert_eq!(string(&key(), text).len(), Key::HASH_CHARS);
        }
    }

    #[test]
    fn dates_stay_dates() {
        for (old, new) in [
            ("2024-05-17", "1970-01-01"),
            ("2024-05-17T08:15:00Z", "1970-01-01T00:00:00Z"),
            ("2024-05-17 08:15", "1970-01-01 00:00"),
            ("2024-05-17T08:15:59.123456-07:30", "1970-01-01T00:00:00.000000+00:00"),
            ("2024-05-17T08:15:59+0200", "1970-01-01T00:00:00+0000"),
        ] {
            assert_eq!(string(&Action::Redact, old), new);
            assert_eq!(string(&Action::KeepLast(4), old), new);
            assert_eq!(string(&Action::KeepFirst(2), old), new);
        }
        assert_eq!(string(&Action::KeepFirst(4), "2024-05-17"), "2024-01-01");
        assert_eq!(string(&Action::KeepFirst(100), "2024-05-17T08:15:00Z"), "2024-05-01T00:00:00Z");
        for none in ["2024-05-171", "2024-05-17T", "2024-05-17T08", "2024-05-17T08:15:00ZZ", "2024-05-17x", "2024-5-17"]
        {
            assert_eq!(string(&Action::Redact, none), "*".repeat(none.len()));
        }
    }

    #[test]
    fn numbers_stay_numbers_no_larger_than_they_were() {
        for raw in [
            "4111",
            "-4111",
            "0",
            "1",
            "10",
            "4111111111111111",
            "12.50",
            "-0.1",
            "1e5",
            "4.1E+15",
            "1000000",
            "9223372036854775807",
            "123456789012345678901234567890",
            "1e400",
            "2147483647",
        ] {
            for action in [Action::Redact, Action::KeepFirst(2), Action::KeepLast(4), Action::KeepFirst(0), key()] {
                let masked = number(&action, raw);
                let (new, old): (f64, f64) = (masked.trim().parse().unwrap(), raw.parse().unwrap());
                serde_json::from_str::<serde_json::Value>(&masked).unwrap();
                assert!(new.abs() <= old.abs() && masked.len() == raw.len(), "{raw} {masked:?}");
                assert_eq!(raw.contains(['.', 'e', 'E']), masked.contains('.'), "{raw} {masked:?}");
            }
        }
        assert_eq!(number(&Action::Redact, "4111"), "0   ");
        assert_eq!(number(&Action::KeepLast(4), "4111111111111111"), "1111            ");
        assert_eq!(number(&Action::KeepLast(4), "4111111111110012"), "12              ");
        assert_eq!(number(&Action::KeepFirst(6), "4111111111111111"), "4111110000000000");
        assert_eq!(number(&Action::KeepLast(4), "1234"), "0   ");
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let plain = |raw: &str| {
            let mut out = Vec::new();
            integer(raw.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for raw in [
            "4.111111111111111e15",
            "41111111111111.11E2",
            "4111111111111111.0",
            "-4111111111111111",
            "4111111111111111000e-3",
            "0.4111111111111111e+16",
        ] {
            assert_eq!(plain(raw), "4111111111111111", "{raw}");
        }
        for raw in ["4.5", "1e-1", "1e999999999999999999999", "1e400", "0", "0.0"] {
            assert_eq!(plain(raw), "", "{raw}");
        }
    }
}
