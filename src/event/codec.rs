//! The one layout of an event, walked for both of its forms.
//!
//! `encode` and `decode` name every field once, in order, each with the column it belongs to. The journal's form
//! (`entry`) ignores columns and writes plain bytes straight into the caller's memory, fast and self-contained; the block's
//! form (`block`) keeps columns apart, counts from the previous value and writes a text once.
//!
//! Invariants:
//! - `decode(encode(event))` is the event, in both forms, but for texts and lists beyond their limit, which are cut and
//!   counted, and an IPv6 peer's flow label and scope, which are left out.
//! - An encoded event is at most `limits::EVENT_BYTES_MAX` long, whatever it holds.

use std::net::{IpAddr, SocketAddr};

use super::varint::{DecodeError, unzigzag, zigzag};
use super::{
    CloseReason, ConnectionNo, Event, EventKind, HeldStage, Identity, Item, Latency, Mechanism, Outcome, RequestPart,
    Resource, ResponsePart,
};
use crate::limits;

/// Where a field's values are gathered in a block. The numbers are the stored order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is named after the one field it holds")]
pub enum Column {
    Connection = 0,
    Time = 1,
    Kind = 2,
    Ordinal = 3,
    ApiKey = 4,
    ApiVersion = 5,
    Correlation = 6,
    RequestBytes = 7,
    ResponseBytes = 8,
    ItemCount = 9,
    ItemMask = 10,
    ItemName = 11,
    Partition = 12,
    Offset = 13,
    Records = 14,
    ItemBytes = 15,
    ErrorCode = 16,
    Outcome = 17,
    Throttle = 18,
    ClientTime = 19,
    WeirTime = 20,
    BrokerTime = 21,
    Address = 22,
    Text = 23,
    Rare = 24,
}

/// How many columns there are.
pub const COLUMNS: usize = 25;

/// Takes an event's fields in order.
pub trait Sink {
    /// The connection; first of all fields.
    fn connection(&mut self, connection: ConnectionNo);
    /// A time that grows slowly from event to event.
    fn time(&mut self, at_ns: u64);
    /// A number.
    fn put(&mut self, column: Column, value: u64);
    /// A number that follows from the last one of the same connection and `context`.
    fn delta(&mut self, column: Column, context: u64, value: i64);
    /// A text; the answer is a number that stands for it as a `context`.
    fn text(&mut self, column: Column, text: &str) -> u64;
}

/// Gives an event's fields back in the same order.
pub trait Source {
    /// See [`Sink::connection`].
    fn connection(&mut self) -> Result<ConnectionNo, DecodeError>;
    /// See [`Sink::time`].
    fn time(&mut self) -> Result<u64, DecodeError>;
    /// See [`Sink::put`].
    fn get(&mut self, column: Column) -> Result<u64, DecodeError>;
    /// See [`Sink::delta`].
    fn delta(&mut self, column: Column, context: u64) -> Result<i64, DecodeError>;
    /// See [`Sink::text`].
    fn text(&mut self, column: Column) -> Result<(String, u64), DecodeError>;
}

const OPENED: u64 = 0;
const IDENTIFIED: u64 = 1;
const LOGIN_FAILED: u64 = 2;
const NOTED: u64 = 3;
const EXCHANGE: u64 = 4;
const EXCHANGE_OF_NOTE: u64 = 5;
const NOT_CAPTURED: u64 = 6;
const CLOSED: u64 = 7;
const HELD: u64 = 8;

/// Bit of an item's mask; the resource's number takes the three bits below.
const HAS_PARTITION: u64 = 1 << 3;
const HAS_OFFSET: u64 = 1 << 4;
const HAS_RECORDS: u64 = 1 << 5;
const HAS_BYTES: u64 = 1 << 6;
const HAS_ERROR: u64 = 1 << 7;
const ITEM_MASK_MAX: u64 = 0xff;

/// The longest start of `text` that is at most `max` bytes and whole characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Writes `event` to `sink`.
pub fn encode<S: Sink>(event: &Event, sink: &mut S) {
    sink.connection(event.connection);
    sink.time(event.at_ns);
    match &event.kind {
        EventKind::Opened { listener, peer, broker } => {
            sink.put(Column::Kind, OPENED);
            sink.text(Column::Text, cut(listener, limits::EVENT_NAME_BYTES_MAX));
            put_address(sink, peer);
            sink.put(Column::Rare, broker.map_or(0, |id| zigzag(id.into()) + 1));
        }
        EventKind::Identified { identity, client_id } => {
            sink.put(Column::Kind, IDENTIFIED);
            put_identity(sink, identity);
            put_optional_text(sink, client_id.as_deref());
        }
        EventKind::LoginFailed { mechanism, claimed, reason } => {
            sink.put(Column::Kind, LOGIN_FAILED);
            sink.text(Column::Text, cut(mechanism, limits::EVENT_MECHANISM_BYTES_MAX));
            put_optional_text(sink, claimed.as_deref());
            sink.text(Column::Text, cut(reason, limits::EVENT_REASON_BYTES_MAX));
        }
        EventKind::Noted { ordinal, request } => {
            sink.put(Column::Kind, NOTED);
            sink.delta(Column::Ordinal, 0, *ordinal as i64);
            put_request(sink, request);
        }
        EventKind::Exchange { ordinal, request, response } => {
            sink.put(Column::Kind, if request.is_some() { EXCHANGE } else { EXCHANGE_OF_NOTE });
            sink.delta(Column::Ordinal, 0, *ordinal as i64);
            if let Some(request) = request {
                put_request(sink, request);
            }
            put_response(sink, response);
        }
        EventKind::Held { ordinal, request, stage } => {
            sink.put(Column::Kind, HELD);
            sink.delta(Column::Ordinal, 0, *ordinal as i64);
            sink.text(Column::Text, cut(request, limits::EVENT_NAME_BYTES_MAX));
            sink.put(Column::Rare, *stage as u64);
        }
        EventKind::NotCaptured { events } => {
            sink.put(Column::Kind, NOT_CAPTURED);
            sink.put(Column::Rare, *events);
        }
        EventKind::Closed { reason, bytes_in, bytes_out } => {
            sink.put(Column::Kind, CLOSED);
            sink.put(Column::Rare, *reason as u64);
            sink.put(Column::Rare, *bytes_in);
            sink.put(Column::Rare, *bytes_out);
        }
    }
}

/// Reads the next event of `source`.
pub fn decode<S: Source>(source: &mut S) -> Result<Event, DecodeError> {
    let connection = source.connection()?;
    let at_ns = source.time()?;
    let kind = match source.get(Column::Kind)? {
        OPENED => EventKind::Opened {
            listener: source.text(Column::Text)?.0,
            peer: get_address(source)?,
            broker: match source.get(Column::Rare)? {
                0 => None,
                id => Some(narrow("a broker id", unzigzag(id - 1))?),
            },
        },
        IDENTIFIED => EventKind::Identified { identity: get_identity(source)?, client_id: get_optional_text(source)? },
        LOGIN_FAILED => EventKind::LoginFailed {
            mechanism: source.text(Column::Text)?.0,
            claimed: get_optional_text(source)?,
            reason: source.text(Column::Text)?.0,
        },
        NOTED => EventKind::Noted { ordinal: source.delta(Column::Ordinal, 0)? as u64, request: get_request(source)? },
        EXCHANGE => EventKind::Exchange {
            ordinal: source.delta(Column::Ordinal, 0)? as u64,
            request: Some(get_request(source)?),
            response: get_response(source)?,
        },
        EXCHANGE_OF_NOTE => EventKind::Exchange {
            ordinal: source.delta(Column::Ordinal, 0)? as u64,
            request: None,
            response: get_response(source)?,
        },
        HELD => EventKind::Held {
            ordinal: source.delta(Column::Ordinal, 0)? as u64,
            request: source.text(Column::Text)?.0,
            stage: held_stage(source.get(Column::Rare)?)?,
        },
        NOT_CAPTURED => EventKind::NotCaptured { events: source.get(Column::Rare)? },
        CLOSED => EventKind::Closed {
            reason: close_reason(source.get(Column::Rare)?)?,
            bytes_in: source.get(Column::Rare)?,
            bytes_out: source.get(Column::Rare)?,
        },
        value => {
            return Err(DecodeError::Value { what: "an event's kind", value });
        }
    };
    Ok(Event { connection, at_ns, kind })
}

fn put_address<S: Sink>(sink: &mut S, peer: &SocketAddr) {
    match peer.ip() {
        IpAddr::V4(ip) => {
            sink.put(Column::Address, 4);
            sink.put(Column::Address, u64::from(u32::from(ip)));
        }
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            sink.put(Column::Address, 6);
            sink.put(Column::Address, (bits >> 64) as u64);
            sink.put(Column::Address, bits as u64);
        }
    }
    sink.put(Column::Address, peer.port().into());
}

fn get_address<S: Source>(source: &mut S) -> Result<SocketAddr, DecodeError> {
    let ip = match source.get(Column::Address)? {
        4 => IpAddr::from(small::<u32>("an IPv4 address", source.get(Column::Address)?)?.to_be_bytes()),
        6 => {
            let high = u128::from(source.get(Column::Address)?);
            IpAddr::from((high << 64 | u128::from(source.get(Column::Address)?)).to_be_bytes())
        }
        value => {
            return Err(DecodeError::Value { what: "an address family", value });
        }
    };
    Ok(SocketAddr::new(ip, small("a port", source.get(Column::Address)?)?))
}

fn put_optional_text<S: Sink>(sink: &mut S, text: Option<&str>) {
    sink.put(Column::Rare, text.is_some().into());
    if let Some(text) = text {
        sink.text(Column::Text, cut(text, limits::EVENT_NAME_BYTES_MAX));
    }
}

fn get_optional_text<S: Source>(source: &mut S) -> Result<Option<String>, DecodeError> {
    Ok(if source.get(Column::Rare)? == 0 { None } else { Some(source.text(Column::Text)?.0) })
}

fn put_identity<S: Sink>(sink: &mut S, identity: &Identity) {
    sink.text(Column::Text, cut(&identity.issuer, limits::EVENT_NAME_BYTES_MAX));
    sink.text(Column::Text, cut(&identity.subject, limits::EVENT_NAME_BYTES_MAX));
    sink.put(Column::Rare, identity.mechanism as u64);
    let groups = &identity.groups[..identity.groups.len().min(limits::EVENT_GROUPS_MAX)];
    sink.put(Column::Rare, groups.len() as u64);
    for group in groups {
        sink.text(Column::Text, cut(group, limits::EVENT_NAME_BYTES_MAX));
    }
}

fn get_identity<S: Source>(source: &mut S) -> Result<Identity, DecodeError> {
    let issuer = source.text(Column::Text)?.0;
    let subject = source.text(Column::Text)?.0;
    let number = source.get(Column::Rare)?;
    let mechanism =
        Mechanism::from_number(number).ok_or(DecodeError::Value { what: "a login mechanism", value: number })?;
    let count = bounded("a count of groups", source.get(Column::Rare)?, limits::EVENT_GROUPS_MAX)?;
    let groups = (0..count).map(|_| Ok(source.text(Column::Text)?.0)).collect::<Result<_, DecodeError>>()?;
    Ok(Identity { issuer, subject, groups, mechanism })
}

fn put_request<S: Sink>(sink: &mut S, request: &RequestPart) {
    sink.put(Column::ApiKey, zigzag(request.api_key.into()));
    sink.put(Column::ApiVersion, zigzag(request.api_version.into()));
    sink.delta(Column::Correlation, 0, request.correlation_id.into());
    sink.put(Column::RequestBytes, request.bytes << 1 | u64::from(request.secret_withheld));
    put_items(sink, &request.items, request.items_omitted);
}

fn get_request<S: Source>(source: &mut S) -> Result<RequestPart, DecodeError> {
    let api_key = narrow("an API key", unzigzag(source.get(Column::ApiKey)?))?;
    let api_version = narrow("an API version", unzigzag(source.get(Column::ApiVersion)?))?;
    let correlation_id = narrow("a correlation id", source.delta(Column::Correlation, 0)?)?;
    let bytes = source.get(Column::RequestBytes)?;
    let (items, items_omitted) = get_items(source)?;
    let (bytes, secret_withheld) = (bytes >> 1, bytes & 1 == 1);
    Ok(RequestPart { api_key, api_version, correlation_id, bytes, items, items_omitted, secret_withheld })
}

fn put_response<S: Sink>(sink: &mut S, response: &ResponsePart) {
    sink.put(Column::Outcome, response.outcome as u64);
    sink.put(Column::ResponseBytes, response.bytes);
    sink.put(Column::ErrorCode, zigzag(response.error_code.into()));
    put_items(sink, &response.items, response.items_omitted);
    sink.put(Column::Throttle, response.throttle_ms.into());
    sink.put(Column::ClientTime, response.latency.client_ns);
    sink.put(Column::WeirTime, response.latency.weir_ns);
    sink.put(Column::BrokerTime, response.latency.broker_ns);
}

fn get_response<S: Source>(source: &mut S) -> Result<ResponsePart, DecodeError> {
    let outcome = outcome(source.get(Column::Outcome)?)?;
    let bytes = source.get(Column::ResponseBytes)?;
    let error_code = narrow("an error code", unzigzag(source.get(Column::ErrorCode)?))?;
    let (items, items_omitted) = get_items(source)?;
    let throttle_ms = small("a throttle time", source.get(Column::Throttle)?)?;
    let latency = Latency {
        client_ns: source.get(Column::ClientTime)?,
        weir_ns: source.get(Column::WeirTime)?,
        broker_ns: source.get(Column::BrokerTime)?,
    };
    Ok(ResponsePart { outcome, bytes, error_code, items, items_omitted, throttle_ms, latency })
}

fn put_items<S: Sink>(sink: &mut S, items: &[Item], omitted: u32) {
    let kept = &items[..items.len().min(limits::EVENT_ITEMS_MAX)];
    let omitted = u64::from(omitted) + (items.len() - kept.len()) as u64;
    sink.put(Column::ItemCount, (kept.len() as u64) << 1 | u64::from(omitted > 0));
    if omitted > 0 {
        sink.put(Column::Rare, omitted.min(u32::MAX.into()));
    }
    for item in kept {
        put_item(sink, item);
    }
}

fn get_items<S: Source>(source: &mut S) -> Result<(Vec<Item>, u32), DecodeError> {
    let count = source.get(Column::ItemCount)?;
    let omitted = if count & 1 == 1 { small("a count of items", source.get(Column::Rare)?)? } else { 0 };
    let count = bounded("a count of items", count >> 1, limits::EVENT_ITEMS_MAX)?;
    let items = (0..count).map(|_| get_item(source)).collect::<Result<_, _>>()?;
    Ok((items, omitted))
}

fn put_item<S: Sink>(sink: &mut S, item: &Item) {
    let mask = item.resource as u64
        | if item.partition.is_some() { HAS_PARTITION } else { 0 }
        | if item.offset.is_some() { HAS_OFFSET } else { 0 }
        | if item.records.is_some() { HAS_RECORDS } else { 0 }
        | if item.bytes.is_some() { HAS_BYTES } else { 0 }
        | if item.error_code != 0 { HAS_ERROR } else { 0 };
    sink.put(Column::ItemMask, mask);
    let name = sink.text(Column::ItemName, cut(&item.name, limits::EVENT_NAME_BYTES_MAX));
    if let Some(partition) = item.partition {
        sink.put(Column::Partition, zigzag(partition.into()));
    }
    if let Some(offset) = item.offset {
        sink.delta(Column::Offset, offset_context(name, item.partition), offset);
    }
    if let Some(records) = item.records {
        sink.put(Column::Records, records.into());
    }
    if let Some(bytes) = item.bytes {
        sink.put(Column::ItemBytes, bytes);
    }
    if item.error_code != 0 {
        sink.put(Column::ErrorCode, zigzag(item.error_code.into()));
    }
}

fn get_item<S: Source>(source: &mut S) -> Result<Item, DecodeError> {
    let mask = source.get(Column::ItemMask)?;
    if mask > ITEM_MASK_MAX {
        return Err(DecodeError::Value { what: "an item's mask", value: mask });
    }
    let resource = resource(mask & 7)?;
    let (name, context) = source.text(Column::ItemName)?;
    let has = |bit: u64| mask & bit != 0;
    let mut item = Item { resource, name, ..Item::default() };
    if has(HAS_PARTITION) {
        item.partition = Some(narrow("a partition", unzigzag(source.get(Column::Partition)?))?);
    }
    if has(HAS_OFFSET) {
        item.offset = Some(source.delta(Column::Offset, offset_context(context, item.partition))?);
    }
    if has(HAS_RECORDS) {
        item.records = Some(small("a count of records", source.get(Column::Records)?)?);
    }
    if has(HAS_BYTES) {
        item.bytes = Some(source.get(Column::ItemBytes)?);
    }
    if has(HAS_ERROR) {
        item.error_code = narrow("an error code", unzigzag(source.get(Column::ErrorCode)?))?;
    }
    Ok(item)
}

/// Offsets follow each other within a topic's partition.
fn offset_context(name: u64, partition: Option<i32>) -> u64 {
    name << 32 | u64::from(partition.unwrap_or(-1) as u32)
}

fn narrow<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, DecodeError> {
    T::try_from(value).map_err(|_| DecodeError::Value { what, value: value as u64 })
}

fn small<T: TryFrom<u64>>(what: &'static str, value: u64) -> Result<T, DecodeError> {
    T::try_from(value).map_err(|_| DecodeError::Value { what, value })
}

fn bounded(what: &'static str, value: u64, max: usize) -> Result<usize, DecodeError> {
    usize::try_from(value).ok().filter(|count| *count <= max).ok_or(DecodeError::Value { what, value })
}

fn outcome(value: u64) -> Result<Outcome, DecodeError> {
    Ok(match value {
        0 => Outcome::Answered,
        1 => Outcome::NoAnswer,
        2 => Outcome::AnsweredHere,
        3 => Outcome::Refused,
        4 => Outcome::Unknown,
        value => {
            return Err(DecodeError::Value { what: "an outcome", value });
        }
    })
}

fn held_stage(value: u64) -> Result<HeldStage, DecodeError> {
    HeldStage::from_number(value).ok_or(DecodeError::Value { what: "a stage of an approval", value })
}

fn resource(value: u64) -> Result<Resource, DecodeError> {
    Ok(match value {
        0 => Resource::Topic,
        1 => Resource::Group,
        2 => Resource::TransactionalId,
        3 => Resource::Cluster,
        4 => Resource::Broker,
        5 => Resource::User,
        6 => Resource::DelegationToken,
        value => {
            return Err(DecodeError::Value { what: "a resource", value });
        }
    })
}

fn close_reason(value: u64) -> Result<CloseReason, DecodeError> {
    Ok(match value {
        0 => CloseReason::Client,
        1 => CloseReason::Upstream,
        2 => CloseReason::Malformed,
        3 => CloseReason::Authentication,
        4 => CloseReason::Idle,
        5 => CloseReason::Limit,
        6 => CloseReason::Drained,
        7 => CloseReason::Internal,
        8 => CloseReason::UpstreamUnreachable,
        9 => CloseReason::Refused,
        value => {
            return Err(DecodeError::Value { what: "a reason for closing", value });
        }
    })
}
