//! Phone numbers: international ones (E.164), and the groupings that countries write their own in.
//!
//! A national number says little of itself, so it is taken in the groups that people write it in, or where a word before
//! it says what it is. Dates, addresses, versions and zero-padded numbers look much the same and are told apart by groups.

use std::ops::Range;

use super::around;
use super::digits::Row;

/// Digits of an international number, country code included (E.164, 6.2.1).
const E164_MAX: usize = 15;

/// Digits that are read: an international number behind `00`.
const DIGITS_MAX: usize = E164_MAX + 2;

/// Words before a number that say it is one.
const WORDS: &[&str] = &["phone", "tel", "mobil", "cell", "fax", "whatsapp", "handy", "msisdn"];

/// Country codes of two digits; those of one are 1 and 7, all others have three (E.164, annex D).
const TWO_DIGITS: &[u8] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62,
    63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// First two digits of country codes of three digits.
const THREE_DIGITS: &[u8] =
    &[21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99];

/// A number as it is written.
struct Written {
    row: Row<DIGITS_MAX>,
    separators: Separators,
    /// A dot stands between some.
    dots: bool,
    /// The first group stands in parentheses.
    area: bool,
}

/// What stands between groups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separators {
    None,
    One(u8),
    Several,
}

/// The phone number whose first digit stands at `at`.
pub(super) fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (plus, area, start) = lead(text, at);
    if around::word_before(text, start) || around::joined_before(text, start) || text[..start].ends_with(b"+") {
        return None;
    }
    let number = Written::read(text, at, area)?;
    let spaced = !area && start >= 2 && text[start - 1] == b' ' && text[start - 2].is_ascii_digit();
    if plus || (number.row.padded()[..2] == [0, 0] && number.sizes()[0] > 2 && !spaced) {
        return international(text, start, plus, &number);
    }
    let groups = number.row.len();
    let end = number.row.end(groups);
    if around::word_after(text, end) || goes_on(text, end) {
        return None;
    }
    let said = (7..=E164_MAX).contains(&number.row.count(groups)) && around::said_before(text, start, WORDS);
    let national =
        !spaced && (north_american(&number) || with_trunk(&number) || with_area(&number) || chinese(&number));
    (said || national).then_some(start..end)
}

/// Whether a plus and a parenthesis stand before the digit at `at`, and where what belongs to the number begins.
fn lead(text: &[u8], at: usize) -> (bool, bool, usize) {
    match &text[..at] {
        [.., b'+', b'('] => (true, true, at - 2),
        [.., b'+'] => (true, false, at - 1),
        [.., b'('] => (false, true, at - 1),
        _ => (false, false, at),
    }
}

/// Whether what follows a number makes it a part of something longer: a time, a fraction, a further group.
fn goes_on(text: &[u8], end: usize) -> bool {
    let digit = text.get(end + 1).is_some_and(u8::is_ascii_digit);
    digit && matches!(text[end], b':' | b'-' | b'.' | b'/' | b',')
}

impl Written {
    fn read(text: &[u8], start: usize, area: bool) -> Option<Written> {
        let mut read = Written { row: Row::new(), separators: Separators::None, dots: false, area: false };
        let mut at = start;
        while let Some(end) = read.row.take(text, at) {
            let Some(next) = read.separate(text, end, area) else { break };
            at = next;
        }
        (read.row.len() > 0 && (read.area || !area)).then_some(read)
    }

    /// Where the next group begins behind what may stand between two.
    fn separate(&mut self, text: &[u8], at: usize, area: bool) -> Option<usize> {
        let (separator, skipped) = match &text[at..] {
            [b')', b' ' | b'-', ..] if area && self.row.len() == 1 => (b')', 2),
            [b')', ..] if area && self.row.len() == 1 => (b')', 1),
            // The trunk prefix that is not dialled from abroad: +49 (0)30 123456.
            [b' ', b'(', ..] if self.row.len() == 1 => (b' ', 2),
            [b')', b' ' | b'-', ..] if self.row.len() == 2 => (b' ', 2),
            [b')', ..] if self.row.len() == 2 => (b' ', 1),
            [b' ' | b'-' | b'.' | b'/', ..] => (text[at], 1),
            _ => return None,
        };
        // Who writes dashes or dots ends with the first space.
        let unlike = separator == b' ' && matches!(self.separators, Separators::One(b'-' | b'.' | b'/'));
        if !text.get(at + skipped)?.is_ascii_digit() || (unlike && self.row.count(self.row.len()) >= 7) {
            return None;
        }
        if separator == b')' {
            self.area = true;
        } else {
            self.dots |= separator == b'.';
            self.separators = match self.separators {
                Separators::None => Separators::One(separator),
                Separators::One(same) if same == separator => Separators::One(same),
                _ => Separators::Several,
            };
        }
        Some(at + skipped)
    }

    fn sizes(&self) -> &[u8] {
        self.row.sizes(self.row.len())
    }

    fn digits(&self) -> &[u8] {
        self.row.digits(self.row.len())
    }
}

/// `+49 30 123456`, `0049 30 123456`: a country code that is assigned and 8 to 15 digits, as many groups as fit.
fn international(text: &[u8], start: usize, plus: bool, number: &Written) -> Option<Range<usize>> {
    let prefix = if plus { 0 } else { 2 };
    let code = &number.row.padded()[prefix..prefix + 2];
    if !is_assigned(code[0], code[1]) {
        return None;
    }
    let most = if code[0] == 1 { 11 } else { E164_MAX };
    let least = if code[0] == 1 { 11 } else { 8 };
    let fits = |groups: &usize| (least..=most).contains(&(number.row.count(*groups).saturating_sub(prefix)));
    // A number in one piece ends with it; what follows a space is another.
    let groups = if fits(&1) { 1 } else { (1..=number.row.len()).rev().find(fits)? };
    let end = number.row.end(groups);
    // Without a plus only groups or its length tell it from a number that is padded with zeros.
    let told = plus || groups > 1 || (11..=14).contains(&number.row.count(1));
    (told && !around::word_after(text, end) && !text.get(end).is_some_and(u8::is_ascii_digit)).then_some(start..end)
}

fn is_assigned(first: u8, second: u8) -> bool {
    let two = 10 * first + second;
    matches!(first, 1 | 7) || TWO_DIGITS.contains(&two) || THREE_DIGITS.contains(&two)
}

/// `(212) 555-0123`, `212-555-0123`, `1 212 555 0123`: neither area nor exchange begins with 0 or 1 or ends in 11 (NANPA).
fn north_american(number: &Written) -> bool {
    let digits = match (number.sizes(), number.area) {
        ([3, 3, 4], _) => &number.row.padded()[..10],
        ([1, 3, 3, 4], false) if number.row.padded()[0] == 1 => &number.row.padded()[1..11],
        _ => return false,
    };
    let one_kind = number.area || matches!(number.separators, Separators::One(b' ' | b'-' | b'.'));
    let code = |code: &[u8]| code[0] >= 2 && code[1..3] != [1, 1];
    one_kind && code(&digits[..3]) && code(&digits[3..6])
}

/// `030 1234567`, `020 7946 0958`, `06.12.34.56.78`: a trunk prefix 0 and 9 to 12 digits in groups.
fn with_trunk(number: &Written) -> bool {
    let (digits, sizes) = (number.digits(), number.sizes());
    let led = number.row.padded()[0] == 0 && number.row.padded()[1] != 0 && (9..=12).contains(&digits.len());
    let grouped = sizes.len() >= 2 && sizes.iter().all(|size| *size >= 2) && sizes[0] <= 5;
    // A date; a Social Security number; a number in fours, as order ids are.
    let other = matches!(sizes, [2, 2, 4, ..] | [3, 2, 4] | [4, 4, 4]);
    let pairs = sizes.iter().all(|size| *size == 2);
    let separated = match number.separators {
        Separators::None => number.area,
        Separators::One(b'.') => pairs && sizes.len() == 5,
        Separators::One(b'/') => sizes.len() == 2,
        Separators::One(_) => true,
        Separators::Several => !number.dots,
    };
    led && grouped && !other && separated
}

/// `(11) 91234-5678`: an area code in parentheses, which is no year, and 6 to 9 digits in groups of three or more.
fn with_area(number: &Written) -> bool {
    let (digits, sizes) = (number.digits(), number.sizes());
    let year = sizes[0] == 4 && matches!(digits[..2], [1, 9] | [2, 0]);
    let rest = digits.len() - usize::from(sizes[0]);
    number.area
        && (2..=5).contains(&sizes[0])
        && !year
        && (6..=9).contains(&rest)
        && (2..=4).contains(&sizes.len())
        && sizes[1..].iter().all(|size| *size >= 3)
}

/// `138 1234 5678`: a mobile number of China.
fn chinese(number: &Written) -> bool {
    let kind = matches!(number.separators, Separators::One(b' ' | b'-'));
    kind && !number.area && number.sizes() == [3, 4, 4] && number.row.padded()[0] == 1 && number.row.padded()[1] >= 3
}
