//! Detectors: what in a text is sensitive by its own form, whatever the field is called.
//!
//! [`Detectors`] compiles a set of them into one scan. Bytes that nothing sensitive lacks (a digit, an `@`, a colon, the
//! beginning of a key) are looked for first, many at a time; only there a detector looks closer, and each looks at a
//! bounded stretch, or at a word that none looks at twice. Hence:
//! - the time is linear in the text, whatever the text is;
//! - what holds nothing sensitive costs no allocation;
//! - any bytes are taken, UTF-8 or not. Text that is escaped (JSON, URLs) should be unescaped first: an escape in the
//!   middle of a number hides it.
//!
//! A file for each detector says what it takes for one and what not. `docs/masking.md` has how well they do.

mod around;
mod card;
mod cloud;
mod digits;
mod email;
mod iban;
mod ip;
mod jwt;
mod national;
mod pattern;
mod phone;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::str::FromStr;

use aho_corasick::{AhoCorasick, MatchKind};

pub use national::NationalId;

use super::lanes;
use digits::Groups;
use pattern::Pattern;

/// One kind of thing that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// Payment card numbers: issuer, length and Luhn's check digit.
    PaymentCard,
    /// Email addresses.
    Email,
    /// IBANs: country, length and check digits.
    Iban,
    /// Phone numbers, international and in national groupings.
    Phone,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// JSON Web Tokens.
    Jwt,
    /// Access keys of AWS, Google Cloud, Azure storage, GitHub and Slack.
    CloudKey,
    /// Numbers that states give people.
    NationalId(NationalId),
    /// What a regular expression matches (syntax of the `regex` crate, over bytes).
    Pattern(String),
}

/// The name is no detector's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no detector has this name")]
pub struct UnknownDetector;

/// A regular expression that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern `{pattern}` cannot be used: {why}")]
pub struct PatternError {
    /// Its first characters.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

const NAMED: &[(&str, Detector)] = &[
    ("payment_card", Detector::PaymentCard),
    ("email", Detector::Email),
    ("iban", Detector::Iban),
    ("phone", Detector::Phone),
    ("ipv4", Detector::Ipv4),
    ("ipv6", Detector::Ipv6),
    ("jwt", Detector::Jwt),
    ("cloud_key", Detector::CloudKey),
];

impl Detector {
    /// The names that policies use; patterns have none.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let national = NationalId::ALL.iter().map(|(name, _)| *name);
        NAMED.iter().map(|(name, _)| *name).chain(national)
    }

    /// The name that policies use; none for a pattern.
    pub fn name(&self) -> Option<&'static str> {
        Detector::names().find(|name| name.parse().as_ref() == Ok(self))
    }
}

impl FromStr for Detector {
    type Err = UnknownDetector;

    fn from_str(name: &str) -> Result<Self, UnknownDetector> {
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, detector)| detector.clone());
        let national = || {
            let id = NationalId::ALL.iter().find(|(known, _)| *known == name);
            id.map(|(_, id)| Detector::NationalId(*id))
        };
        named.or_else(national).ok_or(UnknownDetector)
    }
}

/// A set of detectors, compiled. The default finds nothing.
#[derive(Debug, Clone, Default)]
pub struct Detectors {
    card: bool,
    email: bool,
    iban: bool,
    phone: bool,
    ipv4: bool,
    ipv6: bool,
    jwt: bool,
    cloud_key: bool,
    national: Vec<NationalId>,
    anchors: Option<Anchors>,
    /// Those of them that are no digits.
    marks: Option<Anchors>,
    /// How many bytes, from its first digit on, something that has digits takes at least.
    reach: usize,
    literals: Option<Literals>,
    patterns: Vec<Pattern>,
}

/// The bytes at which something may begin: `first` and those after it, `width` together, and `other`.
#[derive(Debug, Clone, Copy)]
struct Anchors {
    first: u8,
    width: u8,
    other: u8,
}

/// What tokens and keys begin with, and which of them each is.
#[derive(Debug, Clone)]
struct Literals {
    automaton: AhoCorasick,
    kinds: Vec<Literal>,
}

#[derive(Debug, Clone, Copy)]
enum Literal {
    Jwt,
    CloudKey(cloud::Kind),
}

impl Detectors {
    /// Compiles a set; naming one twice changes nothing. The error is about an own pattern.
    pub fn new(detectors: impl IntoIterator<Item = Detector>) -> Result<Detectors, PatternError> {
        let mut set = Detectors::default();
        for detector in detectors {
            match detector {
                Detector::PaymentCard => set.card = true,
                Detector::Email => set.email = true,
                Detector::Iban => set.iban = true,
                Detector::Phone => set.phone = true,
                Detector::Ipv4 => set.ipv4 = true,
                Detector::Ipv6 => set.ipv6 = true,
                Detector::Jwt => set.jwt = true,
                Detector::CloudKey => set.cloud_key = true,
                Detector::NationalId(id) if set.national.contains(&id) => {}
                Detector::NationalId(id) => set.national.push(id),
                Detector::Pattern(text) => set.patterns.push(Pattern::new(&text)?),
            }
        }
        Ok(set.compiled())
    }

    /// The detectors of several sets.
    pub(super) fn of_all<'a>(sets: impl IntoIterator<Item = &'a Detectors>) -> Detectors {
        let mut all = Detectors::default();
        for set in sets {
            all.card |= set.card;
            all.email |= set.email;
            all.iban |= set.iban;
            all.phone |= set.phone;
            all.ipv4 |= set.ipv4;
            all.ipv6 |= set.ipv6;
            all.jwt |= set.jwt;
            all.cloud_key |= set.cloud_key;
            let new = set.national.iter().filter(|id| !all.national.contains(id)).copied().collect::<Vec<_>>();
            all.national.extend(new);
            all.patterns.extend_from_slice(&set.patterns);
        }
        all.compiled()
    }

    fn compiled(mut self) -> Detectors {
        let mut literals: Vec<(&str, Literal)> = Vec::new();
        if self.jwt {
            literals.extend(jwt::LITERALS.iter().map(|text| (*text, Literal::Jwt)));
        }
        if self.cloud_key {
            literals.extend(cloud::LITERALS.iter().map(|(text, kind)| (*text, Literal::CloudKey(*kind))));
        }
        self.literals = Literals::new(&literals);
        self.anchors = self.anchors();
        self.marks = self.marks();
        self.reach = self.reach();
        self
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_none() && self.literals.is_none() && self.patterns.is_empty()
    }

    /// Appends what is sensitive in `text`: sorted, neither overlapping nor touching one another.
    pub fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let before = found.len();
        if let Some(anchors) = self.anchors {
            self.find_anchored(anchors, text, found);
        }
        if let Some(literals) = &self.literals {
            literals.find(text, found);
        }
        self.patterns.iter().for_each(|pattern| pattern.find(text, found));
        if found.len() > before + 1 {
            merge(found, before);
        }
    }

    /// A payment card has 13 digits or more, an IBAN 13 characters behind its country (Norway's), an IPv4 address at least
    /// four digits and three dots.
    fn reach(&self) -> usize {
        match self {
            Detectors { phone: true, .. } => 1,
            _ if !self.national.is_empty() => 1,
            Detectors { ipv4: true, .. } => 7,
            _ => 13,
        }
    }

    fn marks(&self) -> Option<Anchors> {
        match (self.ipv6, self.email) {
            (true, email) => Some(Anchors { first: b':', width: 1, other: if email { b'@' } else { b':' } }),
            (false, true) => Some(Anchors { first: b'@', width: 1, other: b'@' }),
            (false, false) => None,
        }
    }

    /// Whether surely nothing is sensitive in `text`. `room` is room to work in. What begins as a token does is not read on.
    pub(super) fn find_nothing_in(&self, text: &[u8], room: &mut Vec<Range<usize>>) -> bool {
        room.clear();
        if let Some(anchors) = self.anchors {
            self.find_anchored(anchors, text, room);
        }
        let literal = || self.literals.as_ref().is_some_and(|literals| literals.automaton.is_match(text));
        room.is_empty() && !literal() && {
            self.patterns.iter().for_each(|pattern| pattern.find(text, room));
            room.is_empty()
        }
    }

    fn anchors(&self) -> Option<Anchors> {
        let digits = self.card || self.iban || self.phone || self.ipv4 || !self.national.is_empty();
        // The colon follows the digits in ASCII.
        let other = if self.email { b'@' } else { b'0' };
        if digits { Some(Anchors { first: b'0', width: 10 + u8::from(self.ipv6), other }) } else { self.marks() }
    }

    fn find_anchored(&self, anchors: Anchors, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        // What begins later with a digit has no room.
        let digits_end = text.len().saturating_sub(self.reach - 1);
        let next = |at: usize| {
            let any = if at < digits_end { anchors.next(&text[..digits_end], at) } else { None };
            any.or_else(|| self.marks?.next(text, at.max(digits_end)))
        };
        while let Some(anchor) = next(at) {
            let before = found.len();
            at = anchor + 1;
            match text[anchor] {
                b'@' => found.extend(email::find(text, anchor)),
                b':' => found.extend(ip::v6(text, anchor)),
                _ => {
                    self.find_at_digit(text, anchor, found);
                    // The rest of the run is the middle of a number.
                    at += text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                }
            }
            at = found[before..].iter().fold(at, |at, hit| at.max(hit.end));
        }
    }

    /// `at`: where a run of digits begins.
    fn find_at_digit(&self, text: &[u8], at: usize, found: &mut Vec<Range<usize>>) {
        // Nobody prints fewer than four digits of a card together.
        let begins_card = || text[at..].iter().take(4).all(u8::is_ascii_digit);
        if (self.card && begins_card()) || !self.national.is_empty() {
            let groups = Groups::read(text, at);
            if groups.row.len() > 0 {
                found.extend(self.card.then(|| card::find(text, &groups)).flatten());
                found.extend(self.national.iter().filter_map(|id| national::find(text, *id, &groups)));
            }
        }
        found.extend(self.iban.then(|| iban::find(text, at)).flatten());
        found.extend(self.phone.then(|| phone::find(text, at)).flatten());
        found.extend(self.ipv4.then(|| ip::v4(text, at)).flatten());
    }
}

impl Anchors {
    /// Bytes that are looked at together: the loop over them has no branch, so that it becomes vector instructions.
    const TOGETHER: usize = 64;

    /// Bytes that are looked at one by one first: most texts are short.
    const NEAR: usize = 16;

    fn next(self, text: &[u8], from: usize) -> Option<usize> {
        let is_anchor = |b: u8| (b.wrapping_sub(self.first) < self.width) | (b == self.other);
        let (near, far) = text[from..].split_at(text.len().min(from + Self::NEAR) - from);
        if let Some(place) = near.iter().position(|b| is_anchor(*b)) {
            return Some(from + place);
        }
        let mut at = from + near.len();
        for chunk in far.chunks(Self::TOGETHER) {
            if lanes::any(chunk, is_anchor) {
                return chunk.iter().position(|b| is_anchor(*b)).map(|place| at + place);
            }
            at += chunk.len();
        }
        None
    }
}

impl Literals {
    fn new(literals: &[(&str, Literal)]) -> Option<Literals> {
        let texts = literals.iter().map(|(text, _)| *text);
        // Some twenty short literals: there is no limit to exceed.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(texts).ok()?;
        let kinds: Vec<Literal> = literals.iter().map(|(_, kind)| *kind).collect();
        (!kinds.is_empty()).then_some(Literals { automaton, kinds })
    }

    fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        for hit in self.automaton.find_iter(text) {
            match self.kinds[hit.pattern().as_usize()] {
                Literal::Jwt => found.extend(jwt::find(text, hit.start())),
                Literal::CloudKey(kind) => cloud::find(text, kind, hit.start(), found),
            }
        }
    }
}

/// Sorts what was found from `from` on and makes one of what overlaps or touches.
fn merge(found: &mut Vec<Range<usize>>, from: usize) {
    found[from..].sort_unstable_by_key(|range| (range.start, range.end));
    let mut kept = from;
    for i in from + 1..found.len() {
        if found[i].start <= found[kept].end {
            found[kept].end = found[kept].end.max(found[i].end);
        } else {
            kept += 1;
            found.swap(kept, i);
        }
    }
    found.truncate(kept + 1);
}
