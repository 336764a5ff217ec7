//! JSON's tokens (RFC 8259), found and checked: where strings, numbers and whole values end.
//!
//! Nothing here is lenient. What two readers could read in two ways (control characters in strings, numbers with leading
//! zeros, escapes that are none) is no JSON, since it might be read otherwise behind the gateway.

use crate::mask::plan::Fault;

/// A string: where its closing quote stands, and whether an escape is in it.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub end: usize,
    pub escaped: bool,
}

/// The first place from `at` on that is not white space.
#[inline(always)]
pub(super) fn space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if *byte > b' ' => at,
        _ => spaces(bytes, at),
    }
}

#[inline(never)]
fn spaces(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Whether bytes are ASCII without controls, line ends included, and without escapes, as most documents are: one look finds
/// that out, which else takes three.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let (mut least, mut marks) = (u8::MAX, 0);
    for byte in bytes {
        least = least.min(*byte);
        marks |= byte | if *byte == b'\\' { 0x80 } else { 0 };
    }
    (least >= b' ') & (marks < 0x80)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the first of eight bytes that is a quote, a backslash or a control character, and perhaps some behind it.
#[inline]
fn special(eight: u64) -> u64 {
    let quote = eight ^ (ONES * b'"' as u64);
    let backslash = eight ^ (ONES * b'\\' as u64);
    let marks = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (eight.wrapping_sub(ONES * 0x20) & !eight);
    marks & HIGHS
}

/// The first place from `at` on that ends the plain part of a string.
#[inline(always)]
fn plain(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = special(u64::from_le_bytes(*eight));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | ..=0x1f)
    {
        at += 1;
    }
    at
}

/// The first quote from `at` on: where a string ends in a document that [`is_plain`].
#[inline(always)]
fn quote(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        // In ASCII only a quote, and perhaps what is behind it, has a highest bit then.
        let marks = (u64::from_le_bytes(*eight) ^ (ONES * b'"' as u64)).wrapping_sub(ONES) & HIGHS;
        if marks != 0 {
            return Some(bytes.len() - rest.len() + (marks.trailing_zeros() / 8) as usize);
        }
        rest = behind;
    }
    Some(bytes.len() - rest.len() + rest.iter().position(|byte| *byte == b'"')?)
}

/// A string, from behind its opening quote. `plain`: whether the document [`is_plain`].
#[inline(always)]
pub(super) fn string(bytes: &[u8], start: usize, plain: bool) -> Option<Text> {
    if plain {
        return quote(bytes, start).map(|end| Text { end, escaped: false });
    }
    escaped_string(bytes, start)
}

fn escaped_string(bytes: &[u8], start: usize) -> Option<Text> {
    let (mut at, mut escaped) = (plain(bytes, start), false);
    loop {
        match bytes.get(at)? {
            b'"' => return Some(Text { end: at, escaped }),
            b'\\' => {
                escaped = true;
                at = plain(bytes, escape(bytes, at)?);
            }
            _ => return None,
        }
    }
}

/// Behind the escape at `at`.
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => Some(at + 6),
        _ => None,
    }
}

/// Behind a number.
#[inline]
pub(super) fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(bytes, at + 1 + usize::from(sign))?;
    }
    Some(at)
}

/// Behind digits, of which there has to be one.
#[inline]
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while let Some(b'0'..=b'9') = bytes.get(end) {
        end += 1;
    }
    (end > at).then_some(end)
}

/// Behind `word`, if it stands there.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// Behind a value that is no object and no array.
#[inline]
pub(super) fn scalar(bytes: &[u8], at: usize, plain: bool) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => Some(string(bytes, at + 1, plain)?.end + 1),
        _ => word_or_number(bytes, at),
    }
}

/// Behind a number, `true`, `false` or `null`.
pub(super) fn word_or_number(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b't' => word(bytes, at, b"true"),
        b'f' => word(bytes, at, b"false"),
        b'n' => word(bytes, at, b"null"),
        _ => number(bytes, at),
    }
}

/// Behind a name and its colon, where its value begins.
#[inline]
fn name(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    colon(bytes, string(bytes, at + 1, false)?.end + 1)
}

/// Behind the colon that follows a name, where its value begins.
#[inline(always)]
pub(super) fn colon(bytes: &[u8], at: usize) -> Option<usize> {
    let at = space(bytes, at);
    (bytes.get(at) == Some(&b':')).then(|| space(bytes, at + 1))
}

/// Behind the value at `at`, whatever it is, of which nothing matters but that it is one. It may nest `depth` deep. `open`
/// is room to work in.
pub(super) fn value(bytes: &[u8], at: usize, depth: usize, open: &mut Vec<u8>) -> Result<usize, Fault> {
    open.clear();
    let mut at = at;
    loop {
        // A value begins here.
        match bytes.get(at) {
            Some(bracket @ (b'{' | b'[')) => {
                if open.len() == depth {
                    return Err(Fault::TooDeep);
                }
                open.push(*bracket);
                let first = space(bytes, at + 1);
                // In ASCII a bracket and its counterpart are two apart.
                if bytes.get(first) != Some(&(bracket + 2)) {
                    at = if *bracket == b'{' { name(bytes, first).ok_or(Fault::Malformed)? } else { first };
                    continue;
                }
                at = first + 1;
                open.pop();
            }
            _ => at = scalar(bytes, at, false).ok_or(Fault::Malformed)?,
        }
        // A value has ended here.
        loop {
            let Some(bracket) = open.last() else { return Ok(at) };
            at = space(bytes, at);
            match bytes.get(at) {
                Some(b',') => {
                    at = space(bytes, at + 1);
                    if *bracket == b'{' {
                        at = name(bytes, at).ok_or(Fault::Malformed)?;
                    }
                    break;
                }
                Some(end) if *end == bracket + 2 => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(Fault::Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_stands() {
        for length in 0..40 {
            let text = format!("\"{}\" and more \" of it", "x".repeat(length));
            assert_eq!(string(text.as_bytes(), 1, false).unwrap().end, length + 1);
            let escaped = format!("\"{}\\\"\\u00e9\\\\\" and", "é".repeat(length));
            let found = string(escaped.as_bytes(), 1, false).unwrap();
            assert!(found.escaped && found.end == 2 * length + 11, "{length}");
        }
    }

    #[test]
    fn in_a_plain_document_a_string_ends_at_the_first_quote_whatever_is_around_it() {
        let others: Vec<u8> = (b' '..0x80).filter(|byte| !b"\"\\".contains(byte)).collect();
        for length in 0..20 {
            for other in &others {
                let text = [&vec![*other; length][..], b"\"", &[*other; 9]].concat();
                assert!(is_plain(&text));
                assert_eq!(string(&text, 0, true).unwrap().end, length, "{}", char::from(*other));
                assert!(string(&text[..length], 0, true).is_none());
            }
        }
        assert!(string(b"", 1, true).is_none());
        for byte in (0..b' ').chain([b'\\']).chain(0x80..=0xff) {
            assert!((0..70).all(|at| !is_plain(&[&vec![b'x'; at][..], &[byte], b"xx"].concat())), "{byte}");
        }
    }

    #[test]
    fn a_string_that_is_none_is_none() {
        for text in ["abc", "a\nb\"", "a\u{1f}\"", "\\x\"", "\\u12g4\"", "\\u123", "\\", "12345678\n\"", "\\u12\""] {
            assert!(string(text.as_bytes(), 0, false).is_none(), "{text:?}");
        }
    }

    #[test]
    fn values_are_what_a_strict_parser_takes() {
        let lawful =
            ["{}", "[]", "{\"a\":[1,{\"b\":null}],\"c\":\"\"}", "[ 1 , -0.5e+10 ]", "-0", "1E5", "0.0", "\"\\/\""];
        let broken = [
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "tru",
            "nul",
            "[1 2]",
            "{\"a\":1 \"b\":2}",
            "[}",
            "{]",
            "{,}",
            "[,1]",
            "'a'",
            "NaN",
            "{\"a\":}",
            "[[]",
            "{1:2}",
        ];
        let whole = |text: &str| value(text.as_bytes(), 0, 8, &mut Vec::new()).is_ok_and(|end| end == text.len());
        for text in lawful.iter().chain(&broken) {
            assert_eq!(whole(text), serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
        let deep = "[".repeat(9) + &"]".repeat(9);
        assert_eq!(value(deep.as_bytes(), 0, 8, &mut Vec::new()), Err(Fault::TooDeep));
    }
}
