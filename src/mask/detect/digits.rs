//! Digits as they stand in a text: in one run, or in groups that one kind of separator keeps apart.

/// Digits that are read from one place on; the longest number looked for, a payment card's, has 19.
const DIGITS_MAX: usize = 20;

/// Groups of them: `1 23 45 67 890 123 45` has seven.
const GROUPS_MAX: usize = 8;

/// The digits from a place on.
pub(super) struct Groups {
    /// Where the first digit stands.
    pub(super) start: usize,
    /// What stands between groups, where there are several.
    pub(super) separator: Option<u8>,
    digits: [u8; DIGITS_MAX],
    sizes: [u8; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    groups: usize,
}

impl Groups {
    /// Reads from `start`, where a run of digits begins. Groups that do not fit are left out whole; none fits where the
    /// first run is longer than any number.
    pub(super) fn read(text: &[u8], start: usize) -> Groups {
        let mut read = Groups {
            start,
            separator: None,
            digits: [0; DIGITS_MAX],
            sizes: [0; GROUPS_MAX],
            ends: [start; GROUPS_MAX],
            groups: 0,
        };
        let (mut at, mut total) = (start, 0);
        loop {
            let room = DIGITS_MAX - total;
            let run = text[at..].iter().take(room + 1).take_while(|b| b.is_ascii_digit()).count();
            if run == 0 || run > room {
                return read;
            }
            for (to, from) in read.digits[total..].iter_mut().zip(&text[at..at + run]) {
                *to = from - b'0';
            }
            (at, total) = (at + run, total + run);
            #[allow(clippy::cast_possible_truncation, reason = "at most DIGITS_MAX")]
            (read.sizes[read.groups] = run as u8);
            read.ends[read.groups] = at;
            read.groups += 1;
            let separator = text.get(at).copied().filter(|b| matches!(b, b' ' | b'-' | b'.'));
            if separator.is_none() || read.groups == GROUPS_MAX || (read.groups > 1 && read.separator != separator) {
                return read;
            }
            if text.get(at + 1).is_some_and(u8::is_ascii_digit) {
                read.separator = separator;
            }
            at += 1;
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups
    }

    /// How many digits each of the first `groups` groups has.
    pub(super) fn sizes(&self, groups: usize) -> &[u8] {
        &self.sizes[..groups]
    }

    /// The values of the digits of the first `groups` groups.
    pub(super) fn digits(&self, groups: usize) -> &[u8] {
        let count: usize = self.sizes(groups).iter().map(|size| usize::from(*size)).sum();
        &self.digits[..count]
    }

    /// Where the first `groups` groups end.
    pub(super) fn end(&self, groups: usize) -> usize {
        self.ends[groups - 1]
    }

    /// The digits of the first groups whose sizes are one of `layouts`, and where they end. In several groups they are no
    /// part of a longer row, as a card's number is: no further group as large as the last follows.
    pub(super) fn laid_out(&self, layouts: &[&[u8]]) -> Option<(&[u8], usize)> {
        let goes_on = |layout: &[u8]| layout.len() > 1 && self.sizes[..self.groups].get(layout.len()) == layout.last();
        let fits = |layout: &&&[u8]| layout.len() <= self.groups && self.sizes(layout.len()) == **layout;
        let layout = layouts.iter().find(|layout| fits(layout) && !goes_on(layout))?;
        Some((self.digits(layout.len()), self.end(layout.len())))
    }
}

/// The number that decimal digits say.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

/// Luhn's check (ISO/IEC 7812-1, annex B) over all digits, the check digit last.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let value = |(i, digit): (usize, &u8)| u32::from(if i % 2 == 1 { doubled(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}
