//! What stands between the quotes of a JSON string: its characters, escaped and not.

use std::ops::Range;

/// One character of a string as it is written.
struct Unit {
    /// A lone surrogate, which no text has, is U+FFFD.
    char: char,
    /// Bytes it is written with.
    len: usize,
}

/// The character at `at` of a string that is well formed.
fn unit(raw: &[u8], at: usize) -> Unit {
    let rest = &raw[at..];
    let simple = |char| Unit { char, len: 2 };
    match (rest[0], rest.get(1)) {
        (b'\\', Some(b'u')) => unicode(rest),
        (b'\\', Some(b'n')) => simple('\n'),
        (b'\\', Some(b't')) => simple('\t'),
        (b'\\', Some(b'r')) => simple('\r'),
        (b'\\', Some(b'b')) => simple('\u{8}'),
        (b'\\', Some(b'f')) => simple('\u{c}'),
        (b'\\', Some(other)) => simple(char::from(*other)),
        (byte, _) if byte.is_ascii() => Unit { char: char::from(byte), len: 1 },
        _ => {
            let end = (1..4.min(rest.len())).find(|i| rest[*i] & 0xc0 != 0x80).unwrap_or(4.min(rest.len()));
            let char = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.chars().next());
            Unit { char: char.unwrap_or(char::REPLACEMENT_CHARACTER), len: end }
        }
    }
}

/// `\uXXXX`, or two of them that are one character.
fn unicode(rest: &[u8]) -> Unit {
    let four = |at: usize| {
        let digits = std::str::from_utf8(rest.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = four(2).unwrap_or(0xfffd);
    if let Some(char) = char::from_u32(first) {
        return Unit { char, len: 6.min(rest.len()) };
    }
    if first < 0xdc00
        && rest[6..].starts_with(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = four(8)
    {
        let char = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        return Unit { char: char.unwrap_or(char::REPLACEMENT_CHARACTER), len: 12 };
    }
    Unit { char: char::REPLACEMENT_CHARACTER, len: 6 }
}

/// Appends the text that `raw` stands for.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        let plain = memchr::memchr(b'\\', &raw[at..]).unwrap_or(raw.len() - at);
        out.extend_from_slice(&raw[at..at + plain]);
        at += plain;
        if at < raw.len() {
            let Unit { char, len } = unit(raw, at);
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            at += len;
        }
    }
}

/// Appends `text`, UTF-8, as it is written between quotes.
pub(super) fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            ..0x20 => {
                out.extend(b"\\u00");
                out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            _ => out.push(*byte),
        }
    }
}

/// Where in `raw` the characters begin, its end included, if it is not so that each byte is one.
fn starts(raw: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    let mut starts = Vec::with_capacity(raw.len() + 1);
    let mut at = 0;
    while at < raw.len() {
        starts.push(at);
        at += unit(raw, at).len;
    }
    starts.push(raw.len());
    starts.into_iter()
}

/// Where the first (or the last) `n` characters of `raw` end (or begin); none where it has no more than those.
pub(super) fn boundary(raw: &[u8], n: u32, from_end: bool) -> Option<usize> {
    let n = n as usize;
    if n >= raw.len() {
        return None;
    }
    if raw.is_ascii() && !raw.contains(&b'\\') {
        return Some(if from_end { raw.len() - n } else { n });
    }
    let at = if from_end { starts(raw).rev().nth(n) } else { starts(raw).nth(n) };
    at.filter(|at| if from_end { *at > 0 } else { *at < raw.len() })
}

/// The part of `raw` that holds the part `decoded` of its text: whole characters.
pub(super) fn written(raw: &[u8], escaped: bool, decoded: &Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (0, raw.len());
    if !escaped {
        (start, end) = (decoded.start.min(raw.len()), decoded.end.min(raw.len()));
        let inside = |at: usize| raw.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        while inside(start) && start > 0 {
            start -= 1;
        }
        while inside(end) {
            end += 1;
        }
        return start..end;
    }
    let (mut at, mut place) = (0, 0);
    while at < raw.len() {
        let Unit { char, len } = unit(raw, at);
        if place <= decoded.start {
            start = at;
        }
        (at, place) = (at + len, place + char.len_utf8());
        if place >= decoded.end {
            end = at;
            break;
        }
    }
    start..end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn unescaped(raw: &str) -> String {
        let mut out = Vec::new();
        unescape(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_read_as_serde_json_reads_them() {
        for raw in [r"a\u0070b", r"\/\\\b\f\n\r\t\u0022", r"\ud83d\ude00x", r"\uD834\uDD1E", "é😀", "", r"\u0000"] {
            let expected: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(unescaped(raw), expected, "{raw}");
        }
        assert_eq!(unescaped(r"a\ud83dx\ude00\ud83d\ud83d\ude00"), "a\u{fffd}x\u{fffd}\u{fffd}😀");
    }

    #[test]
    fn what_is_escaped_is_read_as_the_same() {
        let text = (0u8..0x80).map(char::from).collect::<String>() + "é😀";
        let mut out = Vec::new();
        escape(text.as_bytes(), &mut out);
        let read: String = serde_json::from_str(&format!("\"{}\"", String::from_utf8(out).unwrap())).unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn a_boundary_never_cuts_a_character_or_an_escape() {
        let raw = r"a\u00e9é\ud83d\ude00\n".as_bytes();
        let places = [0, 1, 7, 9, 21];
        for (n, place) in places.into_iter().enumerate() {
            assert_eq!(boundary(raw, n as u32, false), Some(place));
            assert_eq!(boundary(raw, n as u32, true), Some([23, 21, 9, 7, 1][n]));
        }
        assert_eq!((boundary(raw, 5, false), boundary(raw, 5, true)), (None, None));
        assert_eq!(
            (boundary(b"abc", 3, true), boundary(b"abc", 2, true), boundary(b"", 0, true)),
            (None, Some(1), None)
        );
    }

    #[test]
    fn a_part_of_a_text_is_found_where_it_is_written() {
        let raw = r"x\u0034\u0031é1y".as_bytes();
        // x41é1y
        assert_eq!(written(raw, true, &(1..3)), 1..13);
        assert_eq!(written(raw, true, &(0..1)), 0..1);
        assert_eq!(written(raw, true, &(4..6)), 13..16);
        assert_eq!(written(raw, true, &(6..7)), 16..17);
        assert_eq!(written("aéb".as_bytes(), false, &(2..3)), 1..3);
    }
}
