//! Addresses of hosts: IPv4 with four decimal numbers, IPv6 in the text forms of RFC 4291, 2.2.
//!
//! Versions, sections and fingerprints are written the same way; what stands beside them tells them apart.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::around;

/// The longest text of an IPv6 address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const IPV6_MAX: usize = 45;

/// The name of an interface behind a `%`, bytes (`IFNAMSIZ` of Linux).
const ZONE_MAX: usize = 15;

/// Words before four numbers that are no address.
const NOT_ADDRESSES: &[&str] = &[
    "version",
    "ver.",
    "ver ",
    "release",
    "firmware",
    "build",
    "section",
    "chapter",
    "clause",
    "paragraph",
    "==",
    "§",
];

/// What files in a certain version end in.
const FILE_ENDINGS: &[&str] =
    &["tar", "tgz", "gz", "zip", "jar", "whl", "deb", "rpm", "exe", "dll", "so", "dmg", "msi", "nupkg", "gem", "apk"];

/// The IPv4 address whose first digit stands at `at`.
pub(super) fn v4(text: &[u8], at: usize) -> Option<Range<usize>> {
    let end = at + v4_length(&text[at..])?;
    let further = text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    if further || around::word_after(text, end) || around::word_before(text, at) || text[..at].ends_with(b".") {
        return None;
    }
    (!is_version(text, at, end)).then_some(at..end)
}

/// How long the four numbers are that `text` begins with.
fn v4_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for part in 0..4 {
        if part > 0 {
            (text.get(at)? == &b'.').then_some(())?;
            at += 1;
        }
        let digits = text[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let value = text[at..at + digits].iter().fold(0u16, |sum, b| sum * 10 + u16::from(b - b'0'));
        if digits == 0 || digits > 3 || value > 255 || (digits > 1 && text[at] == b'0') {
            return None;
        }
        at += digits;
    }
    Some(at)
}

/// `1.2.3.4-beta`, `1.2.3.4+build`, `nginx-1.2.3.4`, `lib-1.2.3.4.tar.gz`, `Chrome/120.0.0.0`, `version 1.2.3.4`.
fn is_version(text: &[u8], start: usize, end: usize) -> bool {
    let letter = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphabetic);
    let letter_before = |mark: &[u8]| text[..start].ends_with(mark) && start >= 2 && letter(start - 2);
    let behind = match text.get(end) {
        Some(b'-' | b'_') => letter(end + 1),
        Some(b'+') => true,
        Some(b'.') => FILE_ENDINGS.iter().any(|ending| {
            let from = end + 1;
            let there = text.get(from..from + ending.len());
            there.is_some_and(|there| there.eq_ignore_ascii_case(ending.as_bytes())) && !letter(from + ending.len())
        }),
        _ => false,
    };
    let named = (letter_before(b"-") || letter_before(b"_")) && !ends_with_word(&text[..start - 1], b"ip");
    // Browsers say only the first number of their version; no host has such an address.
    let product = letter_before(b"/") && text[..end].ends_with(b".0.0");
    behind || named || product || around::said_before(text, start, NOT_ADDRESSES)
}

fn ends_with_word(text: &[u8], word: &[u8]) -> bool {
    let from = text.len().saturating_sub(word.len());
    text[from..].eq_ignore_ascii_case(word) && !around::word_before(text, from)
}

/// The IPv6 address whose first colon stands at `at`, with its zone.
pub(super) fn v6(text: &[u8], at: usize) -> Option<Range<usize>> {
    let hex = text[..at].iter().rev().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    let start = at - hex;
    if hex > 4 || around::word_before(text, start) || text[..start].ends_with(b".") {
        return None;
    }
    if text[..start].ends_with(b":") && !is_label(&text[..start - 1]) {
        return None;
    }
    let run = text[start..].iter().take(IPV6_MAX + 2);
    let mut length = run.take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')).count();
    // The end of a sentence, or what introduces what follows.
    let written = &text[start..start + length];
    if written.ends_with(b".") || (written.ends_with(b":") && !written.ends_with(b"::")) {
        length -= 1;
    }
    let end = start + length;
    let address = std::str::from_utf8(&text[start..end]).ok().filter(|text| text.parse::<Ipv6Addr>().is_ok())?;
    if around::word_after(text, end) || !is_address(address) {
        return None;
    }
    Some(start..end + zone(&text[end..]))
}

/// Whether what stands before a colon is a word or a quote (`ip:fe80::1`), and no part of an address.
fn is_label(text: &[u8]) -> bool {
    let hex = text.iter().rev().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    match text[..text.len() - hex].last() {
        Some(b) => b.is_ascii_alphabetic() || (hex == 0 && matches!(b, b'"' | b'\'')),
        None => false,
    }
}

/// Tells addresses from names in code (`ace::add`), slices (`1::2`) and fingerprints (eight pairs of digits).
fn is_address(address: &str) -> bool {
    let first = address.split(':').next().unwrap_or_default();
    let pairs = address.len() == 23 && address.split(':').all(|group| group.len() == 2);
    let digit = address.bytes().any(|b| b.is_ascii_digit());
    let compressed = address.contains("::");
    let known = first.len() >= 3
        || address == "::1"
        || address.starts_with("64:ff9b::")
        || address.contains('.')
        || address.bytes().filter(|b| *b == b':').count() >= 4;
    digit && !pairs && (!compressed || known)
}

/// How long the zone is that `text` begins with: `%eth0` (RFC 4007, 11).
fn zone(text: &[u8]) -> usize {
    let named = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    match text {
        [b'%', name @ ..] => match name.iter().take(ZONE_MAX).take_while(named).count() {
            0 => 0,
            length => length + 1,
        },
        _ => 0,
    }
}
