//! A change of Weir's own policy as an action: which policy takes the place of which, and what changes in which file.
//!
//! Invariants:
//! - A grant is bound to one text in the place of one other, by the hashes of both.
//! - Every line that changes is shown. What looks like a secret is withheld, word by word and no further, so that nobody
//!   hides a rule behind it; a policy has no place for secrets, it names where they are.

use std::ops::Range;

use super::text_diff::unified;
use super::{
    Action, ActionItem, ActionKind, Detector, Detectors, HeldOperation, Parameter, PolicyText, WITHHELD,
    looks_like_token,
};

/// What stands before a value that nobody should see, in small letters.
const SECRETIVE: &[&str] = &["password", "passwd", "secret", "token", "credential", "api_key", "apikey", "private_key"];

/// A policy's hash and its files.
pub type PolicyState<'a> = ([u8; 32], &'a [PolicyText]);

/// The action of putting one policy in the place of another. It is of no cluster.
pub fn policy_change((from, old): PolicyState<'_>, (to, new): PolicyState<'_>) -> Action {
    // Both are compiled in and have no pattern of anybody's that could be wrong.
    let detectors = Detectors::new([Detector::Jwt, Detector::CloudKey]).unwrap_or_default();
    let text =
        |files: &[PolicyText], name: &str| files.iter().find(|file| file.name == name).map(|file| file.text.clone());
    let mut names: Vec<&String> = old.iter().chain(new).map(|file| &file.name).collect();
    names.sort();
    names.dedup();
    let item = |name: &String| {
        let (before, after) = (text(old, name), text(new, name));
        let becomes = match (&before, &after) {
            (None, _) => "added",
            (_, None) => "removed",
            (before, after) if before == after => return None,
            _ => "changed",
        };
        let shown = |line: &str| without_secrets(line, &detectors);
        let diff = unified(&before.unwrap_or_default(), &after.unwrap_or_default(), shown);
        let parameters = vec![parameter("file", becomes), parameter("diff", &diff)];
        Some(ActionItem { kind: ActionKind::Policy, name: name.clone(), parameters })
    };
    let items = names.into_iter().filter_map(item).collect();
    let hashes = vec![parameter("from", &hex(&from)), parameter("to", &hex(&to))];
    Action::new("", HeldOperation::ChangePolicy, items, hashes)
}

fn parameter(name: &str, value: &str) -> Parameter {
    (name.to_owned(), value.to_owned())
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn without_secrets(line: &str, detectors: &Detectors) -> String {
    let mut found = Vec::new();
    detectors.find(line.as_bytes(), &mut found);
    found.extend(words(line).filter(|word| looks_like_token(&line[word.clone()])));
    found.extend(named_secrets(line));
    found.sort_by_key(|range| range.start);
    let (mut shown, mut at) = (String::new(), 0);
    for range in found {
        // Detectors find bytes; a range that cuts a character, or one within another, is none.
        let Some(before) = line.get(at..range.start).filter(|_| line.is_char_boundary(range.end)) else { continue };
        shown.push_str(before);
        shown.push_str(WITHHELD);
        at = range.end;
    }
    shown.push_str(&line[at..]);
    shown
}

/// Words that stand right behind `password:` and the like. What begins with a bracket, such as `{ env: NAME }`, is none.
fn named_secrets(line: &str) -> Vec<Range<usize>> {
    let small = line.to_ascii_lowercase();
    let ends = SECRETIVE.iter().flat_map(|name| small.match_indices(name).map(|(at, name)| at + name.len()));
    let behind = |end: usize| {
        let rest = line[end..].trim_start_matches(['"', '\'', ' ']);
        let value = rest.strip_prefix([':', '='])?.trim_start_matches(['"', '\'', ' ']);
        let start = line.len() - value.len();
        let word = value.split(is_edge).next().filter(|word| !word.is_empty())?;
        Some(start..start + word.len())
    };
    ends.filter_map(behind).collect()
}

/// What stands between edges.
fn words(line: &str) -> impl Iterator<Item = Range<usize>> {
    let parts = line.split(is_edge).filter(|part| !part.is_empty());
    parts.map(move |part| {
        let start = part.as_ptr() as usize - line.as_ptr() as usize;
        start..start + part.len()
    })
}

/// Spaces, quotes, commas and brackets.
fn is_edge(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | '{' | '}' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> PolicyText {
        PolicyText { name: name.to_owned(), text: text.to_owned() }
    }

    fn shown(line: &str) -> String {
        without_secrets(line, &Detectors::new([Detector::Jwt, Detector::CloudKey]).unwrap_or_default())
    }

    #[test]
    fn each_file_that_changes_is_shown_and_no_other() {
        let old = [file("a.yaml", "x: 1\n"), file("b.yaml", "y: 1\n"), file("c.yaml", "z: 1\n")];
        let new = [file("b.yaml", "y: 1\n"), file("c.yaml", "z: 2\n"), file("d.yaml", "w: 1\n")];
        let action = policy_change(([1; 32], &old), ([2; 32], &new));
        let told: Vec<(&str, &str)> =
            action.items.iter().map(|item| (item.name.as_str(), item.parameters[1].1.as_str())).collect();
        assert_eq!(told, [("a.yaml", "removed"), ("c.yaml", "changed"), ("d.yaml", "added")]);
        assert_eq!(action.items[1].parameters[0].1, "@@ -1 +1 @@\n-z: 1\n+z: 2\n \n");
        assert_eq!(action.to_string(), "change policy a.yaml, c.yaml, d.yaml");
        let other = policy_change(([3; 32], &old), ([2; 32], &new));
        assert_ne!(action.parameters, other.parameters, "over another policy it is another action");
    }

    #[test]
    fn what_looks_like_a_secret_is_withheld_and_nothing_beside_it() {
        assert_eq!(
            shown("# the password: hunter2 of ann, topics: [a]"),
            "# the password: (withheld) of ann, topics: [a]"
        );
        assert_eq!(
            shown("{ name: \"token=abc\", topics: [\"*\"] }"),
            "{ name: \"token=(withheld)\", topics: [\"*\"] }"
        );
        assert_eq!(shown("# weir_5f2zj4fo_77kwabcdefgh"), "# (withheld)");
        assert_eq!(shown("# AKIAIOSFODNN7EXAMPLE é"), "# (withheld) é");
        for plain in
            ["action: { hash: { key: { env: SECRET } } }", "secret: { file: /run/key }", "detect: [email]", "é: ü"]
        {
            assert_eq!(shown(plain), plain);
        }
    }
}
