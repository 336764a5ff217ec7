//! Keys and values as people read them: JSON laid out, text as text, everything else as hexadecimal.
//!
//! Invariants:
//! - Nothing that a record holds reaches the terminal as a control sequence: see `terminal::escaped`.
//! - JSON is laid out by its tokens and otherwise left as it is: order, repeated keys and long numbers stay.

use serde::de::IgnoredAny;

use crate::cli::terminal::{bytes, escaped};

/// Lines and bytes of a value that are shown unless all of it is asked for.
const LINES_SHOWN: usize = 24;
const BYTES_SHOWN: usize = 2048;
/// Bytes of hexadecimal that are shown in one line.
const HEX_LINE: usize = 32;
/// JSON and text of up to so many characters stay in one line.
const ONE_LINE: usize = 60;

/// A key, a header's value, or anything else that gets one line.
pub(in crate::cli) fn inline(content: Option<&[u8]>, full: bool) -> String {
    let Some(content) = content else { return "null".to_owned() };
    match std::str::from_utf8(content) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) if full || text.len() <= BYTES_SHOWN / 8 => escaped(text),
        Ok(text) => {
            let shown = up_to(text, BYTES_SHOWN / 8);
            format!("{}… ({} more)", escaped(shown), bytes((text.len() - shown.len()) as u64))
        }
        Err(_) => {
            let shown = if full { content } else { &content[..content.len().min(HEX_LINE / 2)] };
            let more = content.len() - shown.len();
            let more = if more > 0 { format!("… ({} more)", bytes(more as u64)) } else { String::new() };
            format!("0x{}{more}", hex(shown))
        }
    }
}

/// A value, in lines.
pub(in crate::cli) fn block(content: &[u8], full: bool) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(content) else { return binary(content, full) };
    if text.is_empty() {
        return vec!["(empty)".to_owned()];
    }
    let cut = if full { text } else { up_to(text, BYTES_SHOWN) };
    // Laid out only where it is JSON to its end; a long one then goes to the cut.
    let mut lines: Vec<String> = match is_json(text) {
        true if text.chars().count() > ONE_LINE || text.contains('\n') => laid_out(cut),
        true => vec![escaped(text)],
        false => cut.lines().map(escaped).collect(),
    };
    let mut left = text.len() - cut.len();
    if !full && lines.len() > LINES_SHOWN {
        left += lines[LINES_SHOWN..].iter().map(|line| line.trim_start().len()).sum::<usize>();
        lines.truncate(LINES_SHOWN);
    }
    if left > 0 {
        lines.push(format!("… {} more, --full shows all", bytes(left as u64)));
    }
    lines
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The longest beginning of at most `length` bytes.
fn up_to(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn binary(content: &[u8], full: bool) -> Vec<String> {
    let shown = if full { content } else { &content[..content.len().min(2 * HEX_LINE)] };
    let mut lines = vec![format!("binary, {}", bytes(content.len() as u64))];
    lines.extend(shown.chunks(HEX_LINE).map(hex));
    if shown.len() < content.len() {
        lines.push(format!("… {} more, --full shows all", bytes((content.len() - shown.len()) as u64)));
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lays out the tokens of JSON, or of the beginning of JSON. Recursion-free: nesting costs a number.
fn laid_out(text: &str) -> Vec<String> {
    const INDENT_MAX: usize = 32;
    let mut lines = Vec::new();
    let (mut line, mut depth) = (String::new(), 0usize);
    let mut rest = text;
    let mut end_line = |line: &mut String, depth: usize| {
        let done = std::mem::replace(line, " ".repeat(2 * depth.min(INDENT_MAX)));
        lines.push(done);
    };
    while let Some(first) = rest.chars().next() {
        let token = token(rest);
        rest = &rest[token.len()..];
        match first {
            '{' | '[' if rest.trim_start().starts_with(['}', ']']) => line.push(first),
            '{' | '[' => {
                line.push(first);
                depth += 1;
                end_line(&mut line, depth);
            }
            '}' | ']' if line.ends_with(['{', '[']) => line.push(first),
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                end_line(&mut line, depth);
                line.push(first);
            }
            ',' => {
                line.push(first);
                end_line(&mut line, depth);
            }
            ':' => line.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            _ => line.push_str(&escaped(token)),
        }
    }
    lines.push(line);
    lines
}

/// The token that the text begins with: a string with its quotes, a sign, white space, or everything up to the next.
fn token(text: &str) -> &str {
    if !text.starts_with('"') {
        let signs = |c: char| matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '"') || c.is_ascii_whitespace();
        let length = if text.starts_with(signs) { 1 } else { text.find(signs).unwrap_or(text.len()) };
        return &text[..length];
    }
    let mut is_escape = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escape => return &text[..=at],
            b'\\' => is_escape = !is_escape,
            _ => is_escape = false,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_json_stays_in_a_line_and_long_json_is_laid_out() {
        assert_eq!(block(br#"{"n": 1}"#, false), [r#"{"n": 1}"#]);
        let long = br#"{"id":12345678901234567890,"tags":["a","b"],"none":{},"empty":[ ],"id":2,"text":"a \"quoted\": {brace}"}"#;
        let expected = [
            "{",
            "  \"id\": 12345678901234567890,",
            "  \"tags\": [",
            "    \"a\",",
            "    \"b\"",
            "  ],",
            "  \"none\": {},",
            "  \"empty\": [],",
            "  \"id\": 2,",
            "  \"text\": \"a \\\"quoted\\\": {brace}\"",
            "}",
        ];
        assert_eq!(block(long, false), expected);
    }

    #[test]
    fn what_is_no_json_is_text_with_its_lines_or_hexadecimal() {
        assert_eq!(block(b"{not json\nat all", false), ["{not json", "at all"]);
        assert_eq!(block(&[0, 0xff, 0x1b], false), ["binary, 3 B", "00ff1b"]);
        assert_eq!(block(b"", false), ["(empty)"]);
        assert_eq!(inline(None, false), "null");
        assert_eq!(inline(Some(b""), false), "\"\"");
        assert_eq!(inline(Some(b"user-7"), false), "user-7");
        assert_eq!(inline(Some(&[0xfe; 20]), false), format!("0x{}… (4 B more)", "fe".repeat(16)));
    }

    #[test]
    fn long_values_are_cut_with_what_is_left_and_shown_whole_when_asked() {
        let text = "é".repeat(5000);
        let cut = block(text.as_bytes(), false);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[1], "… 7.7 KiB more, --full shows all");
        assert_eq!(block(text.as_bytes(), true), [text]);
        let lines = "x\n".repeat(100);
        assert_eq!(block(lines.as_bytes(), false).len(), LINES_SHOWN + 1);
        assert_eq!(block(&[0xff; 1000], false).last().unwrap(), "… 936 B more, --full shows all");
        assert_eq!(block(&[0xff; 1000], true).len(), 1 + 1000usize.div_ceil(HEX_LINE));
    }

    #[test]
    fn nothing_in_a_record_steers_the_terminal() {
        for hostile in ["\u{1b}[2J", "\u{9b}31m", "\u{202e}evil", "a\rb", "\u{7}", "\u{7f}"] {
            let json = format!("{{\"k\": \"{}{}\"}}", hostile.replace(|c: char| c < ' ', ""), "x".repeat(100));
            for shown in [
                block(hostile.as_bytes(), false),
                block(json.as_bytes(), false),
                vec![inline(Some(hostile.as_bytes()), true)],
            ] {
                let steers = |c: char| c.is_control() || c == '\u{202e}';
                assert!(!shown.concat().contains(steers), "{shown:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn laid_out_json_is_the_same_json(value in json()) {
            let text = value.to_string();
            let laid: String = laid_out(&text).join("\n");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&laid).unwrap(), value);
        }

        #[test]
        fn any_text_is_laid_out_without_a_panic(text in "[\\[\\]{}:,\"\\\\ a0\u{1b}é]{0,60}") {
            laid_out(&text);
            block(text.as_bytes(), false);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(Into::into),
            "[a-z\"\\\\{}\\[\\], :]{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-z\"]{0,5}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
