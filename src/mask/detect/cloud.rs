//! Keys that let their holder into a cloud: found by what their makers begin them with.
//!
//! A secret of AWS begins with nothing: it is taken beside an access key's id. A storage key of Azure looks like any 64
//! bytes in base64, a digest for one: it is taken by the mark that newer ones carry, or where a word says what it is.

use std::ops::Range;

use super::around;

/// What candidates begin with, or end with, each with its kind.
pub(super) const LITERALS: &[(&str, Kind)] = &[
    ("AKIA", Kind::Aws),
    ("ASIA", Kind::Aws),
    ("AIza", Kind::Google),
    ("ghp_", Kind::GitHub),
    ("gho_", Kind::GitHub),
    ("ghu_", Kind::GitHub),
    ("ghs_", Kind::GitHub),
    ("ghr_", Kind::GitHub),
    ("github_pat_", Kind::GitHubFine),
    ("xoxb-", Kind::Slack),
    ("xoxp-", Kind::Slack),
    ("xoxa-", Kind::Slack),
    ("xoxr-", Kind::Slack),
    ("xoxs-", Kind::Slack),
    ("xapp-", Kind::Slack),
    ("==", Kind::Azure),
];

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Aws,
    Google,
    GitHub,
    GitHubFine,
    Slack,
    Azure,
}

/// How far from its id a secret of AWS is looked for, on either side, bytes: a line of a credentials file, or a field of a
/// small object.
const BESIDE: usize = 160;

/// Characters of a secret of AWS.
const AWS_SECRET: usize = 40;

/// Characters of a storage key of Azure before its `==`: 64 bytes.
const AZURE_KEY: usize = 86;

/// Where newer storage keys carry their mark, and the mark.
const AZURE_MARK: (usize, &[u8]) = (76, b"+ASt");

/// Pushes the key whose literal stands at `at`, and what belongs to it.
pub(super) fn find(text: &[u8], kind: Kind, at: usize, found: &mut Vec<Range<usize>>) {
    let key = match kind {
        Kind::Aws => return aws(text, at, found),
        Kind::Azure => azure(text, at),
        Kind::Google => prefixed(text, at, 4, 35..=35, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
        Kind::GitHub => prefixed(text, at, 4, 36..=36, |b| b.is_ascii_alphanumeric()),
        Kind::GitHubFine => prefixed(text, at, 11, 82..=82, |b| b.is_ascii_alphanumeric() || b == b'_'),
        Kind::Slack => prefixed(text, at, 5, 10..=250, |b| b.is_ascii_alphanumeric() || b == b'-'),
    };
    found.extend(key);
}

/// The key of so many characters behind its `prefix` bytes.
fn prefixed(
    text: &[u8],
    start: usize,
    prefix: usize,
    lengths: std::ops::RangeInclusive<usize>,
    has: impl Fn(u8) -> bool,
) -> Option<Range<usize>> {
    let rest = &text[start + prefix..];
    let length = rest.iter().take(lengths.end() + 1).take_while(|b| has(**b)).count();
    let end = start + prefix + length;
    let alone = !around::word_before(text, start) && !around::word_after(text, end);
    (lengths.contains(&length) && alone).then_some(start..end)
}

/// An access key's id, 16 characters of base32 behind four, and secrets beside it.
fn aws(text: &[u8], start: usize, found: &mut Vec<Range<usize>>) {
    let base32 = |b: u8| matches!(b, b'A'..=b'Z' | b'2'..=b'7');
    let Some(id) = prefixed(text, start, 4, 16..=16, base32) else { return };
    let near = id.start.saturating_sub(BESIDE)..text.len().min(id.end + BESIDE);
    found.push(id);
    let mut at = near.start;
    while at < near.end {
        let length = text[at..near.end].iter().take_while(|b| is_base64(**b)).count();
        if length == AWS_SECRET && is_secret(text, at) {
            found.push(at..at + length);
        }
        at += length + 1;
    }
}

/// Whether the 40 characters at `start` are all of a word, and as mixed as chance makes them.
fn is_secret(text: &[u8], start: usize) -> bool {
    let secret = &text[start..start + AWS_SECRET];
    let cut = start > 0 && is_base64(text[start - 1]);
    let goes_on = text.get(start + AWS_SECRET).is_some_and(|b| is_base64(*b) || *b == b'=');
    let has = |kind: fn(&u8) -> bool| secret.iter().any(kind);
    !cut && !goes_on && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

/// The storage key that ends with the `==` at `at`.
fn azure(text: &[u8], at: usize) -> Option<Range<usize>> {
    let length = text[..at].iter().rev().take(AZURE_KEY + 1).take_while(|b| is_base64(**b)).count();
    let start = at.checked_sub(AZURE_KEY)?;
    let goes_on = text.get(at + 2).is_some_and(|b| is_base64(*b) || *b == b'=');
    let marked = text[start + AZURE_MARK.0..].starts_with(AZURE_MARK.1);
    let told = marked || around::said_before(text, start, &["key"]);
    (length == AZURE_KEY && !goes_on && told).then_some(start..at + 2)
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')
}
