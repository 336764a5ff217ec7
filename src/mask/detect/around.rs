//! What stands around a candidate: the neighbours that make it a part of something else.
//!
//! A text is UTF-8 or any bytes. What is no character is nobody's letter, so that a number in binary matter is found.
//! Scripts that write words without spaces (Thai, Chinese, Japanese) and Korean, which hangs particles on numbers, end a
//! number like a space does.

/// How far back a word is looked for that tells what a number is, bytes: a name, a colon and some spaces.
pub(super) const SAID_WITHIN: usize = 24;

/// The character that ends at `at`; none at the beginning and where the bytes are no UTF-8.
pub(super) fn before(text: &[u8], at: usize) -> Option<char> {
    let last = *text.get(at.checked_sub(1)?)?;
    if last.is_ascii() {
        return Some(char::from(last));
    }
    let start = (at.saturating_sub(4)..at).rev().find(|&i| text[i] & 0xC0 != 0x80)?;
    std::str::from_utf8(&text[start..at]).ok()?.chars().next_back()
}

/// The character that begins at `at`; none at the end and where the bytes are no UTF-8.
pub(super) fn after(text: &[u8], at: usize) -> Option<char> {
    let first = *text.get(at)?;
    if first.is_ascii() {
        return Some(char::from(first));
    }
    let length = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    std::str::from_utf8(text.get(at..at + length)?).ok()?.chars().next()
}

/// A letter or digit of a script that separates words.
pub(super) fn is_word(c: char) -> bool {
    match c {
        '\0'..='\x7f' => c.is_ascii_alphanumeric(),
        '\u{80}'..='\u{dff}' | '\u{1e00}'..='\u{1fff}' => c.is_alphanumeric(),
        _ => false,
    }
}

/// Whether a word ends at `at`. The letter of an escape (`\n`) is none.
pub(super) fn word_before(text: &[u8], at: usize) -> bool {
    match before(text, at) {
        Some('b' | 'f' | 'n' | 'r' | 't') => !(at >= 2 && text[at - 2] == b'\\'),
        Some(c) => is_word(c),
        None => false,
    }
}

/// Whether a word begins at `at`.
pub(super) fn word_after(text: &[u8], at: usize) -> bool {
    after(text, at).is_some_and(is_word)
}

/// Whether `start..end` is no part of a longer word or number: no letter or digit beside it, and no digit behind a dot or
/// dash beside it.
pub(super) fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    !word_before(text, start) && !word_after(text, end) && !joined_before(text, start) && !joined_after(text, end)
}

/// Whether a digit and a dot or dash stand right before `at`: `1.` or `2024-`.
pub(super) fn joined_before(text: &[u8], at: usize) -> bool {
    at >= 2 && matches!(text[at - 1], b'.' | b'-') && text[at - 2].is_ascii_digit()
}

/// Whether a dot or dash and a digit stand right at `at`.
pub(super) fn joined_after(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b'.' | b'-')) && text.get(at + 1).is_some_and(u8::is_ascii_digit)
}

/// Whether one of `words` (lower case) stands in the [`SAID_WITHIN`] bytes before `at`, in whatever case.
pub(super) fn said_before(text: &[u8], at: usize, words: &[&str]) -> bool {
    let near = &text[at.saturating_sub(SAID_WITHIN)..at];
    words.iter().any(|word| near.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes())))
}
