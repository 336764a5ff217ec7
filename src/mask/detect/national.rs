//! Numbers that states give people: each by its form and, where it has one, its check digit.
//!
//! All of them stand alone: a letter or digit beside them, or a digit behind a dash or dot, makes them a part of something
//! else. Where neither form nor check says enough, a word before has to.

use std::ops::Range;

use super::around;
use super::digits::{Groups, luhn, number};

/// Whose number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NationalId {
    /// Social Security number, United States: no check digit, so in its three groups, or behind a word that says so.
    UsSsn,
    /// National Insurance number, United Kingdom: no check digit, prefixes that are not given out.
    UkNino,
    /// Numéro d'inscription au répertoire (INSEE), France: key modulo 97.
    FrNir,
    /// Steuerliche Identifikationsnummer, Germany: ISO 7064 MOD 11,10 and how often digits may repeat.
    DeTaxId,
    /// DNI and NIE, Spain: letter modulo 23.
    EsDni,
    /// Codice fiscale, Italy: check letter.
    ItCodiceFiscale,
    /// PESEL, Poland: a date and a weighted sum.
    PlPesel,
    /// Personnummer, Sweden: a date and Luhn's check digit.
    SePersonnummer,
    /// CPF, Brazil: two check digits.
    BrCpf,
    /// Aadhaar, India: Verhoeff's check digit.
    InAadhaar,
}

impl NationalId {
    /// All of them, with the names that policies use.
    pub const ALL: &[(&str, NationalId)] = &[
        ("us_ssn", NationalId::UsSsn),
        ("uk_nino", NationalId::UkNino),
        ("fr_nir", NationalId::FrNir),
        ("de_tax_id", NationalId::DeTaxId),
        ("es_dni", NationalId::EsDni),
        ("it_codice_fiscale", NationalId::ItCodiceFiscale),
        ("pl_pesel", NationalId::PlPesel),
        ("se_personnummer", NationalId::SePersonnummer),
        ("br_cpf", NationalId::BrCpf),
        ("in_aadhaar", NationalId::InAadhaar),
    ];
}

/// The number of this kind whose first digit is the first of `groups`; letters may stand before it.
pub(super) fn find(text: &[u8], id: NationalId, groups: &Groups) -> Option<Range<usize>> {
    let at = groups.start;
    let range = match id {
        NationalId::UsSsn => us_ssn(text, groups),
        NationalId::UkNino => uk_nino(text, at),
        NationalId::FrNir => fr_nir(text, at),
        NationalId::DeTaxId => laid_out(groups, &[&[2, 3, 3, 3], &[11]], de_tax_id),
        NationalId::EsDni => es_dni(text, at),
        NationalId::ItCodiceFiscale => it_codice_fiscale(text, at),
        NationalId::PlPesel => laid_out(groups, &[&[11]], pl_pesel),
        NationalId::SePersonnummer => laid_out(groups, &[&[6, 4], &[8, 4], &[10], &[12]], se_personnummer),
        NationalId::BrCpf => br_cpf(text, groups),
        NationalId::InAadhaar => laid_out(groups, &[&[4, 4, 4], &[12]], in_aadhaar),
    }?;
    // Digits and a space before a group: it is in the middle of a row of them.
    let row = text[range.clone()].contains(&b' ') && range.start >= 2 && text[range.start - 1] == b' ';
    let in_row = row && range.start == at && text[range.start - 2].is_ascii_digit();
    (!in_row && around::stands_alone(text, range.start, range.end)).then_some(range)
}

fn laid_out(groups: &Groups, layouts: &[&[u8]], checks: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    let (digits, end) = groups.laid_out(layouts)?;
    checks(digits).then_some(groups.start..end)
}

/// `123-45-6789`: no area 000, 666 or 9xx, no group 00, no serial 0000, and none of the two that were printed as examples.
fn us_ssn(text: &[u8], groups: &Groups) -> Option<Range<usize>> {
    let (digits, end) = groups.laid_out(&[&[3, 2, 4], &[9]])?;
    let grouped = end - groups.start > digits.len() && groups.separator != Some(b'.');
    let said = || around::said_before(text, groups.start, &["ssn", "social"]);
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    let given = !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0;
    let printed = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999));
    (given && !printed && (grouped || said())).then_some(groups.start..end)
}

/// `QQ 12 34 56 C` (HMRC NIM39110): the prefix stands before `at`, the suffix is A to D.
fn uk_nino(text: &[u8], at: usize) -> Option<Range<usize>> {
    let spaced = usize::from(at > 0 && text[at - 1] == b' ');
    let start = at.checked_sub(2 + spaced)?;
    let prefix = [text[start].to_ascii_uppercase(), text[start + 1].to_ascii_uppercase()];
    let given = prefix.iter().all(|b| b.is_ascii_uppercase() && !b"DFIQUV".contains(b))
        && prefix[1] != b'O'
        && !matches!(&prefix, b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ");
    let mut end = at;
    for pair in 0..3 {
        end += usize::from(pair > 0 && spaced == 1 && text.get(end) == Some(&b' '));
        text.get(end..end + 2)?.iter().all(u8::is_ascii_digit).then_some(())?;
        end += 2;
    }
    end += usize::from(spaced == 1 && text.get(end) == Some(&b' '));
    let suffix = text.get(end)?.to_ascii_uppercase();
    (given && (b'A'..=b'D').contains(&suffix)).then_some(start..end + 1)
}

/// `1 85 05 78 006 084 36`: sex, year, month, department (2A and 2B are Corsica's), commune, order, and a key that makes
/// the whole a multiple of 97 away from it.
fn fr_nir(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (mut written, mut end) = ([0u8; 15], at);
    for (i, to) in written.iter_mut().enumerate() {
        if matches!(i, 1 | 3 | 5 | 7 | 10 | 13) && text.get(end) == Some(&b' ') {
            end += 1;
        }
        let b = text.get(end)?.to_ascii_uppercase();
        let in_place = b.is_ascii_digit() || (i == 6 && matches!(b, b'A' | b'B'));
        *to = in_place.then_some(b)?;
        end += 1;
    }
    let corsica = match written[6] {
        b'A' => 1_000_000,
        b'B' => 2_000_000,
        _ => 0,
    };
    let digits = written.map(|b| if b.is_ascii_digit() { b - b'0' } else { 0 });
    if corsica != 0 && digits[5] != 2 {
        return None;
    }
    // 2A counts as 19 and 2B as 18, which are 20 less one and less two; the place is worth a million.
    let value = number(&digits[..13]) - corsica;
    let month = number(&digits[3..5]);
    let sex = matches!(digits[0], 1..=4 | 7 | 8);
    let in_year = matches!(month, 1..=12 | 20..=42 | 50..=99);
    (sex && in_year && number(&digits[13..]) == 97 - value % 97).then_some(at..end)
}

/// Eleven digits, the first no 0; of the ten before the check digit one appears twice or three times, the others once at
/// most.
fn de_tax_id(digits: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    digits[..10].iter().for_each(|digit| counts[usize::from(*digit)] += 1);
    let repeated: (u8, u8) =
        counts.iter().fold((0, 0), |(some, most), count| (some + u8::from(*count > 1), most.max(*count)));
    let product = digits[..10].iter().fold(10u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let check = (11 - product) % 10;
    digits[0] != 0 && repeated.0 == 1 && (2..=3).contains(&repeated.1) && u32::from(digits[10]) == check
}

/// `12345678Z`, `12.345.678-Z`, `X1234567L`.
fn es_dni(text: &[u8], at: usize) -> Option<Range<usize>> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let dashed = usize::from(at > 0 && text[at - 1] == b'-');
    let series = at.checked_sub(1 + dashed).map(|i| text[i].to_ascii_uppercase()).filter(|b| (b'X'..=b'Z').contains(b));
    let (start, count, first) = match series {
        Some(letter) => (at - 1 - dashed, 7, u64::from(letter - b'X')),
        None => (at, 8, 0),
    };
    let (mut value, mut seen, mut end) = (first, 0, at);
    while seen < count {
        let b = *text.get(end)?;
        match b {
            b'0'..=b'9' => (value, seen) = (value * 10 + u64::from(b - b'0'), seen + 1),
            b'.' if (count - seen) % 3 == 0 && seen > 0 => {}
            _ => return None,
        }
        end += 1;
    }
    end += usize::from(matches!(text.get(end), Some(b'-' | b' ')));
    let letter = text.get(end)?.to_ascii_uppercase();
    (LETTERS[(value % 23) as usize] == letter).then_some(start..end + 1)
}

/// `RSSMRA85T10A562S`: six letters before `at`; letters in place of digits tell namesakes apart.
fn it_codice_fiscale(text: &[u8], at: usize) -> Option<Range<usize>> {
    /// What characters in odd places count, by the value of the digit or letter (decree of 23 December 1976).
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let start = at.checked_sub(6)?;
    let code = text.get(start..start + 16)?;
    let is_number = |b: u8| b.is_ascii_digit() || b"LMNPQRSTUV".contains(&b.to_ascii_uppercase());
    let in_place = code.iter().enumerate().all(|(i, b)| match i {
        0..=5 | 11 | 15 => b.is_ascii_alphabetic(),
        8 => b"ABCDEHLMPRST".contains(&b.to_ascii_uppercase()),
        _ => is_number(*b),
    });
    let value = |b: u8| u32::from(if b.is_ascii_digit() { b - b'0' } else { b.to_ascii_uppercase() - b'A' });
    let counted = |(i, b): (usize, &u8)| if i % 2 == 0 { ODD[value(*b) as usize] } else { value(*b) };
    let sum = || code[..15].iter().enumerate().map(counted).sum::<u32>();
    (in_place && sum() % 26 == value(code[15])).then_some(start..start + 16)
}

/// Eleven digits that begin with a day of birth, the century in the month.
fn pl_pesel(digits: &[u8]) -> bool {
    let sum: u32 =
        digits.iter().zip([1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    let month = number(&digits[2..4]) % 20;
    sum.is_multiple_of(10) && is_day(month, number(&digits[4..6]))
}

/// `850709-9805` and with the century; a coordination number has 60 more in its day.
fn se_personnummer(digits: &[u8]) -> bool {
    let century = digits.len() - 10;
    let lived = century == 0 || matches!(digits[..2], [1, 8 | 9] | [2, 0]);
    let digits = &digits[century..];
    lived && is_day(number(&digits[2..4]), number(&digits[4..6]) % 60) && luhn(digits)
}

fn is_day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// `123.456.789-09`, or eleven digits.
fn br_cpf(text: &[u8], groups: &Groups) -> Option<Range<usize>> {
    let (start, mut digits, mut end) = (groups.start, [0u8; 11], groups.row.end(1));
    if groups.row.sizes(1) == [11] {
        digits.copy_from_slice(groups.row.digits(1));
    } else {
        let written = text.get(start..start + 14)?;
        let mut seen = 0;
        for (i, b) in written.iter().enumerate() {
            match (i, b) {
                (3 | 7, b'.') | (11, b'-') => {}
                (3 | 7 | 11, _) => return None,
                (_, b'0'..=b'9') => {
                    digits[seen] = b - b'0';
                    seen += 1;
                }
                _ => return None,
            }
        }
        end = start + 14;
    }
    let check = |of: &[u8]| {
        let weighted = of.iter().rev().zip(2u32..).map(|(digit, weight)| u32::from(*digit) * weight);
        weighted.sum::<u32>() * 10 % 11 % 10
    };
    let same = digits.iter().all(|digit| *digit == digits[0]);
    let checks = check(&digits[..9]) == u32::from(digits[9]) && check(&digits[..10]) == u32::from(digits[10]);
    (!same && checks).then_some(start..end)
}

/// Twelve digits, the first no 0 or 1.
fn in_aadhaar(digits: &[u8]) -> bool {
    digits[0] > 1 && verhoeff(digits)
}

/// Verhoeff's check: multiplication in the dihedral group of order 10 over permuted digits, the check digit last.
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted = |place: usize, digit: u8| (0..place % 8).fold(digit, |digit, _| PERMUTED[usize::from(digit)]);
    let product =
        digits.iter().rev().enumerate().fold(0, |product, (place, digit)| dihedral(product, permuted(place, *digit)));
    product == 0
}

/// Rotations are 0 to 4, reflections 5 to 9.
fn dihedral(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a - 5 + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}
