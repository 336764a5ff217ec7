//! What rules of the policy file have in common: the names and patterns they hold for.

use super::reader::{Reader, Section, found, keys};
use super::value;
use crate::policy::Patterns;

/// What people call the rule.
pub(super) fn name(section: &Section<'_>, reader: &mut Reader) -> Option<Option<String>> {
    section.or(reader, "name", None, |node| value::text(node).map(|name| Some(name.to_owned())))
}

/// The listeners it holds on, which have to be there.
pub(super) fn listeners(section: &Section<'_>, reader: &mut Reader, known: &[String]) -> Option<Vec<String>> {
    names(section, reader, "listeners", "listener names", |name| match known {
        // None could be read: their own mistakes are told already.
        [] => Ok(()),
        known if known.iter().any(|listener| listener == name) => Ok(()),
        known => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Err(format!("no listener has this name; expected {}", keys(&known)))
        }
    })
}

/// Patterns of names that may be left out, which means all.
pub(super) fn patterns(section: &Section<'_>, reader: &mut Reader, key: &str, of: &str) -> Option<Patterns> {
    let patterns = names(section, reader, key, of, |pattern| Patterns::new(vec![pattern.to_owned()]).map(drop))?;
    // Each pattern was tried alone.
    Patterns::new(patterns).ok()
}

/// A list of names that may be left out; each is held against `check`, whose error says what is wrong with it.
pub(super) fn names(
    section: &Section<'_>,
    reader: &mut Reader,
    key: &str,
    of: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Option<Vec<String>> {
    let Some(node) = section.node(key) else { return Some(Vec::new()) };
    let path = section.path(key);
    let items = reader.list(node, &path, of)?;
    let mut read = Some(Vec::new());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = reader.scalar(item, &path, |node| value::text(node).map(str::to_owned));
        if let Some(Err(wrong)) = name.as_deref().map(&check) {
            reader.report(item.at, format!("{path}: found {}; {wrong}", found(item)));
            read = None;
            continue;
        }
        read = read.zip(name).map(|(mut read, name)| {
            read.push(name);
            read
        });
    }
    read
}
