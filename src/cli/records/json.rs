//! Records as JSON, an object a line; `docs/json.md` is the contract.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::content::{Missing, Part, Place};
use super::select::Selection;
use super::{Absent, Sink};
use crate::cli::error::CliError;
use crate::wire::kafka::records::{About, Control, Record, TimestampType};

/// Writes what an exchange holds, under the exchange's id.
pub(in crate::cli) struct Lines<'a, W> {
    pub(in crate::cli) out: &'a mut W,
    pub(in crate::cli) exchange: &'a str,
    pub(in crate::cli) selection: &'a Selection,
    /// Written before the first line, if there is one, where only exchanges that hold something are asked for.
    pub(in crate::cli) before: Option<&'a Value>,
}

#[derive(Serialize)]
struct MissingLine<'a> {
    event: &'static str,
    exchange: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    why: &'static str,
    detail: String,
}

impl<W: Write> Lines<'_, W> {
    fn put(&mut self, line: &impl Serialize) -> Result<(), CliError> {
        if let Some(before) = self.before.take() {
            writeln!(self.out, "{before}")?;
        }
        Ok(writeln!(self.out, "{}", serde_json::to_string(line)?)?)
    }
}

impl<W: Write> Sink for Lines<'_, W> {
    fn part(&mut self, part: Part<'_>) -> Result<(), CliError> {
        match part {
            Part::Record { place, about, record } if self.selection.takes_record(place, &record) => {
                self.put(&line(self.exchange, place, about, record))
            }
            Part::Missing { place, bytes, why } if self.selection.takes_place(place) => {
                let (topic, partition) = (place.map(|place| place.topic), place.map(|place| place.partition));
                let (exchange, detail, why) = (self.exchange, why.to_string(), word(&why));
                let event = "records_missing";
                self.put(&MissingLine { event, exchange, topic, partition, bytes: Some(bytes), why, detail })
            }
            _ => Ok(()),
        }
    }

    fn absent(&mut self, absent: Absent) -> Result<(), CliError> {
        let why = match absent {
            Absent::NotRecorded => "not_recorded",
            Absent::TooLong(_) => "too_long",
        };
        let (event, exchange, detail) = ("records_missing", self.exchange, absent.to_string());
        self.put(&MissingLine { event, exchange, topic: None, partition: None, bytes: None, why, detail })
    }
}

fn word(why: &Missing) -> &'static str {
    match why {
        Missing::Secret => "secret",
        Missing::NotAsked => "not_asked",
        Missing::Lost => "not_captured",
        Missing::CutOff => "cut_off",
        Missing::Unreadable(_) | Missing::Layout(_) => "unreadable",
    }
}

fn line(exchange: &str, place: Place<'_>, about: &About, record: Record<'_>) -> Value {
    let control = if about.control { record.control() } else { None };
    let timestamp = record.timestamp_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("event", json!("record"));
    put("exchange", json!(exchange));
    put("topic", json!(place.topic));
    put("partition", json!(place.partition));
    put("offset", json!(record.offset));
    put("timestamp", json!(timestamp.map(|time| time.to_string())));
    put("timestamp_ms", json!(record.timestamp_ms));
    put("timestamp_type", json!(timestamp_type(about.timestamp_type)));
    put("compression", json!(about.codec.name()));
    if about.transactional {
        put("transactional", json!(true));
    }
    if !about.checksum_holds {
        put("checksum_holds", json!(false));
    }
    if let Some(control) = control {
        put("control", control_word(control));
    }
    put_bytes(&mut line, "key", record.key);
    put_bytes(&mut line, "value", record.value);
    let headers = record.headers.map(|(name, value)| {
        let mut header = Map::new();
        put_bytes(&mut header, "name", Some(name));
        put_bytes(&mut header, "value", value);
        Value::Object(header)
    });
    line.insert("headers".to_owned(), headers.collect());
    Value::Object(line)
}

/// What is no UTF-8 goes under another name, so that nobody takes the one for the other.
pub(in crate::cli) fn put_bytes(to: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => to.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => to.insert(name.to_owned(), json!(text)),
        Some(Err(bytes)) => to.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
}

fn timestamp_type(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "create_time",
        TimestampType::LogAppendTime => "log_append_time",
    }
}

fn control_word(control: Control) -> Value {
    match control {
        Control::Abort => json!("abort"),
        Control::Commit => json!("commit"),
        Control::Other(number) => json!(number),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::kafka::compression::Codec;
    use crate::wire::kafka::records::Headers;

    #[test]
    fn bytes_that_are_no_text_stand_under_another_name() {
        let about = About {
            magic: 2,
            codec: Codec::Zstd,
            timestamp_type: TimestampType::CreateTime,
            control: false,
            transactional: true,
            producer_id: None,
            checksum_holds: true,
            bytes: 100,
        };
        let (key, value) = (Some(&b"\xff\x00"[..]), Some("grüße\u{1b}".as_bytes()));
        let record =
            Record { offset: 7, timestamp_ms: Some(1_700_000_000_123), key, value, headers: Headers::default() };
        let place = Place { topic: "orders", partition: 3 };
        let selection = Selection::default();
        let mut out = Vec::new();
        let mut lines = Lines { out: &mut out, exchange: "1-2", selection: &selection, before: None };
        lines.part(Part::Record { place, about: &about, record }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "event": "record", "exchange": "1-2", "topic": "orders", "partition": 3, "offset": 7,
            "timestamp": "2023-11-14T22:13:20.123Z", "timestamp_ms": 1_700_000_000_123i64,
            "timestamp_type": "create_time", "compression": "zstd", "transactional": true,
            "key_base64": "/wA=", "value": "grüße\u{1b}", "headers": [],
        });
        assert_eq!(line, expected);
    }
}
