//! From a certificate's subject to a name, by rules in the form of Kafka's `ssl.principal.mapping.rules` (KIP-371).
//!
//! A rule is `DEFAULT` (the subject as it is) or `RULE:pattern/replacement/` with `L` or `U` behind it for lower or
//! upper case. The first rule whose pattern matches the whole subject decides; where none does, nobody is let in.
//!
//! Invariants:
//! - A rule that is taken means here what it means to Kafka's `SslPrincipalMapper`; what cannot be held to that (look-around,
//!   back-references, possessive quantifiers) is refused when it is read, never read differently.
//! - A subject with control characters or line separators matches nothing: patterns disagree about them.

mod pattern;

use regex::Regex;

/// An ordered list of rules. The default is Kafka's: the subject as it is.
#[derive(Debug, Clone)]
pub struct SubjectMapping(Vec<Rule>);

/// Why a rule cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Neither of the two forms.
    #[error("a rule is `DEFAULT` or `RULE:pattern/replacement/`, with `L` or `U` behind it or nothing")]
    Form,
    /// The pattern is no regular expression, or says what only Java's understand.
    #[error("the pattern cannot be used: {0}")]
    Pattern(String),
    /// The replacement refers to what the pattern does not capture.
    #[error("the replacement cannot be used: {0}")]
    Replacement(String),
}

#[derive(Debug, Clone)]
enum Rule {
    Default,
    Replace(Box<Replace>),
}

#[derive(Debug, Clone)]
struct Replace {
    /// The pattern, for the whole subject.
    whole: Regex,
    /// The pattern as it stands: Kafka replaces wherever it is found, once the whole matched.
    within: Regex,
    replacement: Vec<Piece>,
    case: Case,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Keep,
    Lower,
    Upper,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Default for SubjectMapping {
    fn default() -> Self {
        Self(vec![Rule::Default])
    }
}

impl SubjectMapping {
    /// Reads rules in order. An error names the rule by its index.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, RuleError)> {
        let read = |(index, text)| Rule::parse(text).map_err(|error| (index, error));
        rules.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The name that the first fitting rule makes of a subject in RFC 2253 text; none where no rule fits, or the name
    /// would be empty.
    pub fn name(&self, subject: &str) -> Option<String> {
        let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if subject.chars().any(odd) {
            return None;
        }
        self.0.iter().find_map(|rule| rule.apply(subject)).filter(|name| !name.is_empty())
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        if text == "DEFAULT" {
            return Ok(Rule::Default);
        }
        let rest = text.strip_prefix("RULE:").ok_or(RuleError::Form)?;
        let (pattern, rest) = up_to_slash(rest).ok_or(RuleError::Form)?;
        let (replacement, flag) = up_to_slash(rest).ok_or(RuleError::Form)?;
        let case = match flag {
            "" => Case::Keep,
            "L" => Case::Lower,
            "U" => Case::Upper,
            _ => return Err(RuleError::Form),
        };
        let translated = pattern::translate(pattern)?;
        let compile = |pattern: &str| Regex::new(pattern).map_err(|e| RuleError::Pattern(last_line(&e.to_string())));
        let within = compile(&translated)?;
        let whole = compile(&format!(r"\A(?:{translated})\z"))?;
        let replacement = read_replacement(replacement, &within)?;
        Ok(Rule::Replace(Box::new(Replace { whole, within, replacement, case })))
    }

    fn apply(&self, subject: &str) -> Option<String> {
        match self {
            Rule::Default => Some(subject.to_owned()),
            Rule::Replace(replace) if replace.whole.is_match(subject) => {
                let name = replace.all(subject);
                Some(match replace.case {
                    Case::Keep => name,
                    Case::Lower => name.to_lowercase(),
                    Case::Upper => name.to_uppercase(),
                })
            }
            Rule::Replace(_) => None,
        }
    }
}

impl Replace {
    /// Java's `replaceAll`: an empty match right behind another one counts too, which `Regex::replace_all` skips.
    fn all(&self, subject: &str) -> String {
        let (mut name, mut copied, mut from) = (String::new(), 0, 0);
        while from <= subject.len() {
            let Some(captures) = self.within.captures_at(subject, from) else { break };
            let Some(found) = captures.get(0) else { break };
            name.push_str(&subject[copied..found.start()]);
            for piece in &self.replacement {
                match piece {
                    Piece::Text(text) => name.push_str(text),
                    Piece::Group(group) => name.push_str(captures.get(*group).map_or("", |m| m.as_str())),
                }
            }
            copied = found.end();
            let step = if found.is_empty() { subject[copied..].chars().next().map_or(1, char::len_utf8) } else { 0 };
            from = copied + step;
        }
        name.push_str(&subject[copied..]);
        name
    }
}

/// The text before the next slash that has no backslash before it, and the text behind it.
fn up_to_slash(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '/' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Reads a replacement as Java's `Matcher` does: `\x` is x itself, `$n` the group. A group beyond the pattern's last one
/// is plain text, as Kafka has it.
fn read_replacement(text: &str, pattern: &Regex) -> Result<Vec<Piece>, RuleError> {
    let groups = pattern.captures_len() - 1;
    let refused = |what: &str| Err(RuleError::Replacement(what.to_owned()));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => match rest.chars().next() {
                Some(escaped) => {
                    push_text(&mut pieces, escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
                None => return refused("it ends with a backslash"),
            },
            '$' if rest.starts_with('{') => {
                let Some((name, behind)) = rest[1..].split_once('}') else { return refused("`${` is not closed") };
                let Some(group) = pattern.capture_names().position(|n| n == Some(name)) else {
                    return refused("no group has that name");
                };
                pieces.push(Piece::Group(group));
                rest = behind;
            }
            '$' => match group_number(rest, groups) {
                Some((group, digits)) => {
                    pieces.push(Piece::Group(group));
                    rest = &rest[digits..];
                }
                None if groups > 0 && rest.starts_with(|c: char| c.is_ascii_digit()) => push_text(&mut pieces, '$'),
                None => {
                    return refused("`$` must be followed by the number of a group of the pattern (`\\$` is a dollar)");
                }
            },
            plain => push_text(&mut pieces, plain),
        }
    }
    Ok(pieces)
}

/// The longest number of a group that there is, and how many digits it has.
fn group_number(text: &str, groups: usize) -> Option<(usize, usize)> {
    let (mut number, mut digits) = (0usize, 0);
    for c in text.chars() {
        let Some(next) = c.to_digit(10).map(|digit| number * 10 + digit as usize).filter(|n| *n <= groups) else {
            break;
        };
        (number, digits) = (next, digits + 1);
    }
    (digits > 0).then_some((number, digits))
}

fn push_text(pieces: &mut Vec<Piece>, c: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(c),
        _ => pieces.push(Piece::Text(c.to_string())),
    }
}

/// The regex crate draws the place over several lines; the last one says what is wrong.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
