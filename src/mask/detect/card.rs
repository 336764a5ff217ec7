//! Payment card numbers: an issuer's prefix at a length it uses, and Luhn's check digit.
//!
//! In one run, or in the groups that cards and forms print, by one space, dash or dot each. A number of 20 digits holds no
//! card, nor do the decimals of a fraction.

use std::ops::Range;

use super::around;
use super::digits::{self, Groups};

/// First and last prefix of an issuer and the lengths its numbers have (ISO/IEC 7812 registrations as the schemes
/// publish them). UATP, which begins with 1 as timestamps do, is left out.
const ISSUERS: &[(u64, u64, &[usize])] = &[
    (4, 4, &[13, 16, 19]),                       // Visa
    (51, 55, &[16]),                             // Mastercard
    (2221, 2720, &[16]),                         // Mastercard
    (34, 34, &[15]),                             // American Express
    (37, 37, &[15]),                             // American Express
    (300, 305, &[14, 16, 19]),                   // Diners Club
    (309, 309, &[14, 16, 19]),                   // Diners Club
    (36, 36, &[14, 15, 16, 17, 18, 19]),         // Diners Club
    (38, 39, &[14, 16, 17, 18, 19]),             // Diners Club
    (6011, 6011, &[16, 17, 18, 19]),             // Discover
    (644, 649, &[16, 17, 18, 19]),               // Discover
    (65, 65, &[16, 17, 18, 19]),                 // Discover, RuPay, Verve, Elo
    (3528, 3589, &[16, 17, 18, 19]),             // JCB
    (62, 62, &[16, 17, 18, 19]),                 // UnionPay
    (2200, 2204, &[16, 17, 18, 19]),             // Mir
    (5018, 5020, &[13, 14, 15, 16, 17, 18, 19]), // Maestro, Dankort
    (5038, 5038, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (5893, 5893, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (6304, 6304, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (6390, 6390, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (6759, 6763, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (506_099, 506_198, &[16, 18, 19]),           // Verve
    (5067, 5067, &[16]),                         // Elo
    (509, 509, &[16]),                           // Elo
    (627_780, 627_780, &[16]),                   // Elo
    (636_297, 636_368, &[16]),                   // Elo
    (508, 508, &[16]),                           // RuPay
    (60, 60, &[16]),                             // RuPay
    (81, 82, &[16]),                             // RuPay
    (637, 639, &[16]),                           // InstaPayment
    (9792, 9792, &[16]),                         // Troy
];

/// How the digits of a card are grouped, where they are.
const LAYOUTS: &[&[u8]] = &[
    &[4, 4, 4, 4, 3],
    &[6, 13],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4],
    &[8, 8],
    &[4, 12],
    &[6, 10],
    &[4, 6, 5],
    &[4, 4, 4, 3],
    &[4, 6, 4],
    &[4, 4, 4, 2],
    &[4, 4, 5],
    &[4, 3, 3, 3],
    &[4, 4, 4, 1],
];

/// The card number that begins where `groups` do.
pub(super) fn find(text: &[u8], groups: &Groups) -> Option<Range<usize>> {
    (1..=groups.row.len()).rev().find_map(|count| {
        let digits = groups.row.digits(count);
        let laid_out = count == 1 || LAYOUTS.contains(&groups.row.sizes(count));
        let end = groups.row.end(count);
        let fits = (13..=19).contains(&digits.len()) && laid_out && is_card(digits);
        (fits && has_place(text, groups, count, end)).then_some(groups.start..end)
    })
}

fn is_card(digits: &[u8]) -> bool {
    issued(digits) && digits::luhn(digits) && digits.iter().any(|digit| *digit != digits[0])
}

fn issued(digits: &[u8]) -> bool {
    ISSUERS.iter().any(|(low, high, lengths)| {
        let prefix = digits::number(&digits[..low.ilog10() as usize + 1]);
        (*low..=*high).contains(&prefix) && lengths.contains(&digits.len())
    })
}

/// Letters on one side are a label that stands too near; on both sides the digits are a part of a hash. Spaces end a number,
/// other separators go on with it.
fn has_place(text: &[u8], groups: &Groups, count: usize, end: usize) -> bool {
    let (start, separator) = (groups.start, groups.separator);
    let fraction = start >= 2 && text[start - 1] == b'.' && text[start - 2].is_ascii_digit();
    let within_a_word = around::word_before(text, start) && around::word_after(text, end);
    let longer =
        count > 1 && separator != Some(b' ') && (around::joined_before(text, start) || around::joined_after(text, end));
    !fraction && !within_a_word && !longer
}
