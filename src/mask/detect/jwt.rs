//! JSON Web Tokens in the compact forms: three parts (JWS, RFC 7515, 3.1) or five (JWE, RFC 7516, 3.1), in base64url, of
//! which the first is a JSON object that names an algorithm.

use std::ops::Range;

use super::around;

/// What a header's base64url begins with: `{"`, `{ `, and `{` with the end of a line.
pub(super) const LITERALS: &[&str] = &["eyJ", "eyA", "ewo", "ew0K"];

/// Parts of the longer form.
const PARTS_MAX: usize = 5;

/// The token that begins at `start`.
pub(super) fn find(text: &[u8], start: usize) -> Option<Range<usize>> {
    // The letter of an escape is in the alphabet, too.
    let in_token = start > 0 && sextet(text[start - 1]).is_some();
    if in_token && (around::word_before(text, start) || !text[start - 1].is_ascii_alphanumeric()) {
        return None;
    }
    let header = part(text, start);
    let payload = next(text, header)?;
    let mut end = next(text, payload)?;
    if payload == header + 1 && end == payload + 1 {
        return None;
    }
    for _ in 3..PARTS_MAX {
        match next(text, end) {
            Some(further) if further > end + 1 => end = further,
            _ => break,
        }
    }
    is_header(&text[start..header]).then_some(start..end)
}

/// Where the part ends that begins at `start`.
fn part(text: &[u8], start: usize) -> usize {
    start + text[start..].iter().take_while(|b| sextet(**b).is_some()).count()
}

/// Where the part ends behind the dot at `at`.
fn next(text: &[u8], at: usize) -> Option<usize> {
    (text.get(at) == Some(&b'.')).then(|| part(text, at + 1))
}

/// The value of a character of base64url (RFC 4648, 5).
fn sextet(b: u8) -> Option<u8> {
    match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Whether it decodes to an object with `alg` in it, which all headers have; read as it decodes, whatever its length.
fn is_header(encoded: &[u8]) -> bool {
    const ALGORITHM: &[u8; 5] = b"\"alg\"";
    let (mut bits, mut held) = (0u32, 0u32);
    let (mut window, mut first, mut last, mut algorithm) = ([0u8; 5], None, 0u8, false);
    for sextet in encoded.iter().filter_map(|b| sextet(*b)) {
        bits = (bits << 6 | u32::from(sextet)) & 0xFFFF;
        held += 6;
        if held < 8 {
            continue;
        }
        held -= 8;
        #[allow(clippy::cast_possible_truncation, reason = "the byte above the bits still held")]
        let byte = (bits >> held) as u8;
        if byte.is_ascii_control() && !byte.is_ascii_whitespace() {
            return false;
        }
        if !byte.is_ascii_whitespace() {
            first = first.or(Some(byte));
            last = byte;
        }
        window.rotate_left(1);
        window[4] = byte;
        algorithm |= window == *ALGORITHM;
    }
    first == Some(b'{') && last == b'}' && algorithm
}
