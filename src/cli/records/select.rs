//! Which events and records are asked for: `--topic`, `--since`, `--until`, `--grep`.

use super::content::Place;
use crate::cli::view::{Event, EventKind};
use crate::wire::kafka::records::Record;

/// All that are given must hold.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Selection {
    pub(in crate::cli) topic: Option<String>,
    pub(in crate::cli) since_ns: Option<u64>,
    pub(in crate::cli) until_ns: Option<u64>,
    /// Bytes that a record's key, value or one of its headers holds.
    pub(in crate::cli) grep: Option<String>,
}

impl Selection {
    /// Whether an event is asked for, its records aside.
    pub(in crate::cli) fn takes(&self, event: &Event) -> bool {
        let in_time = self.since_ns.is_none_or(|since| event.at_ns >= since) && !self.is_past(event);
        in_time && self.topic.as_deref().is_none_or(|topic| touches(event, topic))
    }

    /// Whether nothing that follows an event can be asked for.
    pub(in crate::cli) fn is_past(&self, event: &Event) -> bool {
        self.until_ns.is_some_and(|until| event.at_ns > until)
    }

    /// Whether a topic's records are asked for.
    pub(in crate::cli) fn takes_place(&self, place: Option<Place<'_>>) -> bool {
        match (&self.topic, place) {
            (Some(topic), Some(place)) => topic == place.topic,
            _ => true,
        }
    }

    /// Whether a record is asked for.
    pub(in crate::cli) fn takes_record(&self, place: Place<'_>, record: &Record<'_>) -> bool {
        let holds = |bytes: &[u8]| self.grep.as_deref().is_none_or(|text| contains(bytes, text.as_bytes()));
        let mut headers = record.headers;
        let found = self.grep.is_none()
            || record.key.is_some_and(holds)
            || record.value.is_some_and(holds)
            || headers.any(|(name, value)| holds(name) || value.is_some_and(holds));
        found && self.takes_place(Some(place))
    }
}

fn touches(event: &Event, topic: &str) -> bool {
    let (request, response) = match &event.kind {
        EventKind::Exchange { request, response, .. } => (request.as_ref(), Some(response)),
        EventKind::Noted { request } => (Some(request), None),
        _ => return false,
    };
    let asked = request.map_or(&[][..], |request| &request.items);
    let answered = response.map_or(&[][..], |response| &response.items);
    asked.iter().chain(answered).any(|item| item.resource == "topic" && item.name == topic)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kafka::records::Headers;

    #[test]
    fn text_is_looked_for_in_keys_and_values() {
        let record = |key, value| Record { offset: 0, timestamp_ms: None, key, value, headers: Headers::default() };
        let selection = Selection { grep: Some("r-7".to_owned()), ..Selection::default() };
        let place = Place { topic: "orders", partition: 0 };
        assert!(selection.takes_record(place, &record(Some(b"user-7"), None)));
        assert!(selection.takes_record(place, &record(None, Some(b"\xffuser-7\xff"))));
        assert!(!selection.takes_record(place, &record(Some(b"user-8"), Some(b"r-"))));
        let other = Selection { topic: Some("payments".to_owned()), ..selection };
        assert!(!other.takes_record(place, &record(Some(b"user-7"), None)));
        assert!(other.takes_place(None));
    }
}
