//! Own patterns: regular expressions over bytes, in time linear in the text.
//!
//! One search takes linear time; many, each of which looks far ahead, together do not. Hence a text is searched in
//! stretches, each at most so many times: whoever crafts a text to exceed that has the rest of the stretch masked.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use super::PatternError;

/// What a pattern compiles to, bytes: room for a few hundred alternatives or a bounded repetition of a Unicode class.
const COMPILED_MAX: usize = 1 << 20;

/// Nested groups: nobody writes more by hand.
const NESTED_MAX: u32 = 32;

/// The pattern's text, bytes.
const TEXT_MAX: usize = 4096;

/// The stretch of a text in which matches begin.
const STRETCH: usize = 8 << 10;

/// How far behind a stretch its last match may reach: a private key in PEM form has 3 KiB. A longer one is found up to
/// there, if at all.
const OVERHANG: usize = 8 << 10;

/// Matches in a stretch, one in 64 bytes: what is searched is at most 256 times the text.
const MATCHES_MAX: usize = STRETCH / 64;

/// One compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Pattern, PatternError> {
        let refused = |why: String| PatternError { pattern: text.chars().take(60).collect(), why };
        if text.len() > TEXT_MAX {
            return Err(refused(format!("longer than {TEXT_MAX} bytes")));
        }
        let built = RegexBuilder::new(text).size_limit(COMPILED_MAX).nest_limit(NESTED_MAX).build();
        let regex = built.map_err(|error| {
            refused(match error {
                regex::Error::CompiledTooBig(_) => format!("compiles to more than {COMPILED_MAX} bytes"),
                // The crate's text draws the place over several lines; the last says what it is.
                other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            })
        })?;
        if regex.is_match(b"") {
            return Err(refused("it matches the empty text, so everywhere".to_owned()));
        }
        Ok(Pattern(regex))
    }

    /// Pushes where it matches, in order.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        for start in (0..text.len()).step_by(STRETCH) {
            let stretch_end = text.len().min(start + STRETCH);
            let seen = &text[..text.len().min(stretch_end + OVERHANG)];
            at = at.max(start);
            let mut matches = 0;
            while at < stretch_end
                && let Some(hit) = self.0.find_at(seen, at)
                && hit.start() < stretch_end
            {
                matches += 1;
                let end = if matches > MATCHES_MAX { stretch_end.max(hit.end()) } else { hit.end() };
                if end > hit.start() {
                    found.push(hit.start()..end);
                }
                at = end.max(at + 1);
            }
        }
    }
}
