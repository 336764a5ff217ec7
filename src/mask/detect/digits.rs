//! Digits as they stand in a text: in one run, or in groups that one kind of separator keeps apart.

/// Groups of digits: `1 23 45 67 890 123 45` has seven.
const GROUPS_MAX: usize = 8;

/// Groups of digits, as they are read one after the other, of at most `MAX` digits together.
pub(super) struct Row<const MAX: usize> {
    digits: [u8; MAX],
    sizes: [u8; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    groups: usize,
    count: usize,
}

impl<const MAX: usize> Row<MAX> {
    /// None yet.
    pub(super) fn new() -> Self {
        Row { digits: [0; MAX], sizes: [0; GROUPS_MAX], ends: [0; GROUPS_MAX], groups: 0, count: 0 }
    }

    /// Takes the run of digits that begins at `at`, and says where it ends; none where there is none, or no room for it or
    /// for another group.
    pub(super) fn take(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let room = MAX - self.count;
        let run = text[at..].iter().take(room + 1).take_while(|b| b.is_ascii_digit()).count();
        if run == 0 || run > room || self.groups == GROUPS_MAX {
            return None;
        }
        for (to, from) in self.digits[self.count..].iter_mut().zip(&text[at..at + run]) {
            *to = from - b'0';
        }
        #[allow(clippy::cast_possible_truncation, reason = "a number's digits")]
        (self.sizes[self.groups] = run as u8);
        self.ends[self.groups] = at + run;
        self.groups += 1;
        self.count += run;
        Some(at + run)
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups
    }

    /// How many digits each of the first `groups` groups has.
    pub(super) fn sizes(&self, groups: usize) -> &[u8] {
        &self.sizes[..groups]
    }

    /// How many digits the first `groups` groups have.
    pub(super) fn count(&self, groups: usize) -> usize {
        self.sizes(groups).iter().map(|size| usize::from(*size)).sum()
    }

    /// The values of the digits of the first `groups` groups.
    pub(super) fn digits(&self, groups: usize) -> &[u8] {
        &self.digits[..self.count(groups)]
    }

    /// The values of all digits there may be; 0 for those that are not.
    pub(super) fn padded(&self) -> &[u8; MAX] {
        &self.digits
    }

    /// Where the first `groups` groups end.
    pub(super) fn end(&self, groups: usize) -> usize {
        self.ends[groups - 1]
    }
}

/// Digits that are read from one place on; the longest number looked for, a payment card's, has 19.
const DIGITS_MAX: usize = 20;

/// The digits from a place on.
pub(super) struct Groups {
    /// Where the first digit stands.
    pub(super) start: usize,
    /// What stands between groups, where there are several.
    pub(super) separator: Option<u8>,
    /// The groups.
    pub(super) row: Row<DIGITS_MAX>,
}

impl Groups {
    /// Reads from `start`, where a run of digits begins. Groups that do not fit are left out whole; none fits where the
    /// first run is longer than any number.
    pub(super) fn read(text: &[u8], start: usize) -> Groups {
        let mut read = Groups { start, separator: None, row: Row::new() };
        let mut at = start;
        while let Some(end) = read.row.take(text, at) {
            let separator = text.get(end).copied().filter(|b| matches!(b, b' ' | b'-' | b'.'));
            if separator.is_none() || (read.row.len() > 1 && read.separator != separator) {
                break;
            }
            if text.get(end + 1).is_some_and(u8::is_ascii_digit) {
                read.separator = separator;
            }
            at = end + 1;
        }
        read
    }

    /// The digits of the first groups whose sizes are one of `layouts`, and where they end. In several groups they are no
    /// part of a longer row, as a card's number is: no further group as large as the last follows.
    pub(super) fn laid_out(&self, layouts: &[&[u8]]) -> Option<(&[u8], usize)> {
        let row = &self.row;
        let goes_on = |layout: &[u8]| layout.len() > 1 && row.sizes(row.len()).get(layout.len()) == layout.last();
        let fits = |layout: &&&[u8]| layout.len() <= row.len() && row.sizes(layout.len()) == **layout;
        let layout = layouts.iter().find(|layout| fits(layout) && !goes_on(layout))?;
        Some((row.digits(layout.len()), row.end(layout.len())))
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
