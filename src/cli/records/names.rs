//! Names of topics that a frame knows by their ids only: the gateway resolved them when it described the exchange.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cli::view::Item;
use crate::wire::kafka::records::locate::Topic;

/// Names by id that were met so far.
#[derive(Debug, Default)]
pub(in crate::cli) struct KnownNames(HashMap<[u8; 16], Arc<str>>);

/// The names of one exchange's topics.
#[derive(Debug)]
pub(in crate::cli) struct Names<'a> {
    known: &'a mut KnownNames,
    /// What the exchange's event says of the same side, in the frame's order.
    items: &'a [Item],
    next: usize,
}

impl<'a> Names<'a> {
    pub(in crate::cli) fn new(known: &'a mut KnownNames, items: &'a [Item]) -> Self {
        Names { known, items, next: 0 }
    }

    /// The name of the topic whose partition holds so many bytes of records; the id's text where nobody knew it.
    pub(super) fn name(&mut self, topic: &Topic, partition: i32, bytes: u64) -> Arc<str> {
        let id = match topic {
            Topic::Name(name) => return name.clone(),
            Topic::Id(id) => id,
        };
        let described = |item: &Item| {
            item.resource == "topic" && item.partition == Some(partition) && item.bytes.is_none_or(|size| size == bytes)
        };
        // Items stand in the frame's order; those without records were left out of either.
        if let Some(at) = self.items[self.next..].iter().position(described) {
            let item = &self.items[self.next + at];
            self.next += at + 1;
            self.known.0.insert(*id, Arc::from(item.name.as_str()));
        }
        let name = self.known.0.get(id).cloned();
        name.unwrap_or_else(|| Arc::from(uuid::Uuid::from_bytes(*id).to_string()))
    }
}
