//! `store`: where recordings are kept and what is promised about them.

use super::reader::{NOT_YET, Reader, Section, found};
use super::{Durability, OnOverload, Store, value};

/// A month, after which a question about last month can still be answered.
const RETENTION_DAYS_DEFAULT: u32 = 30;

/// Some seconds of a busy shard's events: enough for the writer to hiccup, small enough to replay within a second.
const JOURNAL_BYTES_DEFAULT: u64 = 64 << 20;

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Option<Store> {
    let node = root.needed(reader, "store", "`store: { path: ./weir-data }`")?;
    let known = ["path", "durability", "on_overload", "retention", "journal"];
    let section = reader.section(node, "store", &known, &[])?;

    let path = section.required(reader, "path", "the folder that recordings are kept in", |node| {
        value::text(node).map(str::to_owned)
    });
    let path = path.map(|path| reader.resolve(&path));
    let durability = promise(&section, reader, "durability", "flushed", &["synced", "relaxed"], Durability::Flushed);
    let on_overload = promise(&section, reader, "on_overload", "block", &["metadata"], OnOverload::Block);
    let retention_days = section.or(reader, "retention", RETENTION_DAYS_DEFAULT, value::days);
    let journal_bytes = section.or(reader, "journal", JOURNAL_BYTES_DEFAULT, value::size("1MiB", "4GiB"));
    Some(Store {
        path: path?,
        durability: durability?,
        on_overload: on_overload?,
        retention_days: retention_days?,
        journal_bytes: journal_bytes?,
    })
}

/// A promise with one meaning today; the others that DESIGN names are told apart from typing errors.
fn promise<T>(
    section: &Section<'_>,
    reader: &mut Reader,
    key: &str,
    today: &str,
    later: &[&str],
    meaning: T,
) -> Option<T> {
    let Some(node) = section.node(key) else {
        return Some(meaning);
    };
    match value::text(node) {
        Ok(word) if word == today => return Some(meaning),
        Ok(word) if later.contains(&word) => {
            reader.report(node.at, format!("{}: `{word}` is {NOT_YET}; expected `{today}`", section.path(key)));
        }
        _ => {
            let what = format!("{}: found {}; expected `{today}`", section.path(key), found(node));
            reader.report(node.at, what);
        }
    }
    None
}
