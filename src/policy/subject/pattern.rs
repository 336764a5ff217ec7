//! Java's regular expressions as those of the `regex` crate, as far as both mean the same.
//!
//! Java's `\d`, `\w` and `\s` are ASCII; the crate's are Unicode, so they are written out. What only one of the two
//! understands, or what each understands differently, is refused.

use super::RuleError;

/// Rewrites a pattern, or says what in it cannot be honoured.
pub(super) fn translate(pattern: &str) -> Result<String, RuleError> {
    let refused = |what: &str| Err(RuleError::Pattern(what.to_owned()));
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class_depth = 0usize;
    let mut quantified = false;
    while let Some(c) = chars.next() {
        let mut quantifier = false;
        match c {
            '\\' => {
                let Some(escaped) = chars.next() else { return refused("it ends with a backslash") };
                match escaped {
                    'd' => out.push_str("[0-9]"),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str("[a-zA-Z0-9_]"),
                    'W' => out.push_str("[^a-zA-Z0-9_]"),
                    's' => out.push_str(r"[ \t\n\x0B\f\r]"),
                    'S' => out.push_str(r"[^ \t\n\x0B\f\r]"),
                    '0'..='9' => return refused("back-references are not supported"),
                    'b' | 't' | 'n' | 'r' | 'f' | 'a' | 'x' => out.extend(['\\', escaped]),
                    letter if letter.is_ascii_alphabetic() => {
                        return refused(&format!("`\\{letter}` is not supported"));
                    }
                    other if other.is_ascii() => out.extend(['\\', other]),
                    other => out.push(other),
                }
            }
            '[' => {
                class_depth += 1;
                out.push(c);
            }
            ']' => {
                class_depth = class_depth.saturating_sub(1);
                out.push(c);
            }
            '-' | '~' if class_depth > 0 && chars.peek() == Some(&c) => {
                return refused("`--` and `~~` inside brackets are not supported");
            }
            '+' if class_depth == 0 && quantified => return refused("possessive quantifiers are not supported"),
            '*' | '+' | '?' | '}' if class_depth == 0 => {
                quantifier = true;
                out.push(c);
            }
            _ => out.push(c),
        }
        quantified = quantifier;
    }
    Ok(out)
}
