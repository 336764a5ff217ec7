//! IBANs (ISO 13616): a country's code, two check digits, as many letters and digits as that country has, in one piece or
//! in groups of four, and the remainder modulo 97.

use std::ops::Range;

use super::around;

/// Countries with their lengths, sorted, from the registry that SWIFT keeps.
const COUNTRIES: &[&[u8; 4]] = &[
    b"AD24", b"AE23", b"AL28", b"AT20", b"AZ28", b"BA20", b"BE16", b"BG22", b"BH22", b"BI27", b"BR29", b"BY28",
    b"CH21", b"CR22", b"CY28", b"CZ24", b"DE22", b"DJ27", b"DK18", b"DO28", b"EE20", b"EG29", b"ES24", b"FI18",
    b"FK18", b"FO18", b"FR27", b"GB22", b"GE22", b"GI23", b"GL18", b"GR27", b"GT28", b"HR21", b"HU28", b"IE22",
    b"IL23", b"IQ23", b"IS26", b"IT27", b"JO30", b"KW30", b"KZ20", b"LB28", b"LC32", b"LI21", b"LT20", b"LU20",
    b"LV21", b"LY25", b"MC27", b"MD24", b"ME22", b"MK19", b"MN20", b"MR27", b"MT31", b"MU30", b"NI28", b"NL18",
    b"NO15", b"OM23", b"PK24", b"PL28", b"PS29", b"PT25", b"QA29", b"RO24", b"RS22", b"RU33", b"SA24", b"SC31",
    b"SD18", b"SE24", b"SI19", b"SK24", b"SM27", b"SO23", b"ST25", b"SV28", b"TL23", b"TN24", b"TR26", b"UA29",
    b"VA22", b"VG24", b"XK20", b"YE30",
];

/// The IBAN whose check digits begin at `at`.
pub(super) fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(2)?;
    let country = [text[start].to_ascii_uppercase(), text[start + 1].to_ascii_uppercase()];
    if !country[1].is_ascii_uppercase() || !text.get(at + 1)?.is_ascii_digit() || around::word_before(text, start) {
        return None;
    }
    let row = COUNTRIES.binary_search_by_key(&country, |row| [row[0], row[1]]).ok()?;
    let length = length(COUNTRIES[row]);
    let end = compact(text, start, length).or_else(|| grouped(text, start, length))?;
    (!around::word_after(text, end)).then_some(start..end)
}

fn length(row: &[u8; 4]) -> usize {
    usize::from(row[2] - b'0') * 10 + usize::from(row[3] - b'0')
}

fn compact(text: &[u8], start: usize, length: usize) -> Option<usize> {
    let iban = text.get(start..start + length)?;
    (iban.iter().all(u8::is_ascii_alphanumeric) && checks(iban.iter().copied())).then_some(start + length)
}

/// In groups of four, by a space or dash each.
fn grouped(text: &[u8], start: usize, length: usize) -> Option<usize> {
    let separator = *text.get(start + 4).filter(|b| matches!(b, b' ' | b'-'))?;
    let written = length + (length - 1) / 4;
    let iban = text.get(start..start + written)?;
    let in_place = |(i, b): (usize, &u8)| if i % 5 == 4 { *b == separator } else { b.is_ascii_alphanumeric() };
    let characters = iban.iter().copied().filter(|b| *b != separator);
    (iban.iter().enumerate().all(in_place) && checks(characters)).then_some(start + written)
}

/// ISO 7064 MOD 97-10 with the first four characters moved to the end; letters count from 10.
fn checks(iban: impl Iterator<Item = u8> + Clone) -> bool {
    let rotated = iban.clone().skip(4).chain(iban.take(4));
    let remainder = rotated.fold(0u32, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        _ => (rest * 100 + u32::from(b.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    remainder == 1
}
