//! `store`: where recordings are kept and what is promised about them.

use super::reader::{Reader, Section};
use super::{Durability, OnOverload, Store, value};

/// A month, after which a question about last month can still be answered.
const RETENTION_DAYS_DEFAULT: u32 = 30;

/// Some seconds of a busy shard's events: enough for the writer to hiccup, small enough to replay within a second.
const JOURNAL_BYTES_DEFAULT: u64 = 64 << 20;

const DURABILITY: &[(&str, Durability)] =
    &[("flushed", Durability::Flushed), ("synced", Durability::Synced), ("relaxed", Durability::Relaxed)];

const ON_OVERLOAD: &[(&str, OnOverload)] = &[("block", OnOverload::Block), ("metadata", OnOverload::Metadata)];

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Option<Store> {
    let node = root.needed(reader, "store", "`store: { path: ./weir-data }`")?;
    let known = ["path", "durability", "on_overload", "retention", "journal"];
    let section = reader.section(node, "store", &known, &[])?;

    let path = section.required(reader, "path", "the folder that recordings are kept in", |node| {
        value::text(node).map(str::to_owned)
    });
    let path = path.map(|path| reader.resolve(&path));
    let durability = section.or(reader, "durability", Durability::Flushed, value::one_of(DURABILITY));
    let on_overload = section.or(reader, "on_overload", OnOverload::Block, value::one_of(ON_OVERLOAD));
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
