//! Email addresses: what people have, not all that RFC 5322 allows.
//!
//! Found from the `@`: a local part without quotes, and a domain of at least two labels whose last is no number and no
//! ending of a file. What would read on into a query string or a path (`=`, `&`, `/`, `?`) ends the local part.

use std::ops::Range;

use super::around;

/// A local part, bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;

/// A domain, bytes (RFC 5321, 4.5.3.1.2).
const DOMAIN_MAX: usize = 255;

/// A label of a domain, bytes (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;

/// Files in two sizes have an `@` in their name (`icon@2x.png`). None of these is a top-level domain.
const FILE_ENDINGS: &[&str] = &["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "html", "pdf"];

/// The address around the `@` at `at`.
pub(super) fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = local(text, at)?;
    let end = domain(text, at + 1)?;
    Some(start..end)
}

/// Where the local part before `at` begins. It is of one kind of letters: who writes without spaces has text before it.
fn local(text: &[u8], at: usize) -> Option<usize> {
    let last = around::before(text, at)?;
    let spaced = last.is_ascii() || around::is_word(last);
    let mut start = at;
    while let Some(c) = around::before(text, start) {
        let taken = match c {
            '.' | '_' | '%' | '+' | '-' | '\'' | '~' | '!' | '#' | '$' | '*' | '^' => true,
            _ if spaced => around::is_word(c),
            _ => c.is_alphanumeric(),
        };
        if !taken || at - start + c.len_utf8() > LOCAL_MAX {
            break;
        }
        start -= c.len_utf8();
    }
    // Quotes, list marks and dots before an address are not its own.
    while start < at && matches!(text[start], b'.' | b'\'' | b'-' | b'*' | b'!' | b'#') {
        start += 1;
    }
    // Nor is the letter of an escape.
    if start > 0 && text[start - 1] == b'\\' && start + 1 < at && matches!(text[start], b'n' | b'r' | b't') {
        start += 1;
    }
    (start < at && !text[start..at].ends_with(b".")).then_some(start)
}

/// Where the domain that begins at `start` ends.
fn domain(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut label, mut end) = (start, start, None);
    let mut spaced = true;
    while at - start <= DOMAIN_MAX {
        let c = around::after(text, at);
        if let Some(c) = c.filter(|c| *c == '-' || c.is_alphanumeric()) {
            // Each label, too, is of one kind of letters.
            let kind = c == '-' || around::is_word(c);
            if at == label || kind == spaced {
                spaced = kind;
                at += c.len_utf8();
                continue;
            }
        }
        if !is_label(&text[label..at]) {
            break;
        }
        if label > start && is_top_level(&text[label..at]) {
            end = Some(at);
        }
        if c != Some('.') {
            break;
        }
        at += 1;
        label = at;
    }
    end
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.len() <= LABEL_MAX && !label.starts_with(b"-") && !label.ends_with(b"-")
}

fn is_top_level(label: &[u8]) -> bool {
    let letters = label.iter().all(|b| b.is_ascii_alphabetic() || !b.is_ascii());
    let ending = FILE_ENDINGS.iter().any(|ending| label.eq_ignore_ascii_case(ending.as_bytes()));
    label.len() >= 2 && !ending && (letters || label.starts_with(b"xn--"))
}
