//! `kafka-protocol` as the decoder that knows nothing of Weir.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use loadtest::clients::Record;
use weir::event::piece::Way;
use weir::recorder::CapturedFrame;

use super::recording::{Connection, Session};

/// What a session's frames say.
#[derive(Debug, Default)]
pub struct Told {
    pub produced: BTreeSet<Record>,
    pub fetched: BTreeSet<Record>,
    /// Requests and answers by API and version.
    pub frames: BTreeMap<(i16, i16), usize>,
    /// Requests and answers that the codec does not have, by API and version.
    pub beyond: BTreeSet<(i16, i16)>,
}

impl Told {
    pub fn add(&mut self, other: Told) {
        self.produced.extend(other.produced);
        self.fetched.extend(other.fetched);
        self.beyond.extend(other.beyond);
        for (of, count) in other.frames {
            *self.frames.entry(of).or_default() += count;
        }
    }
}

macro_rules! decoders {
    ($($request:ty),* $(,)?) => {
        /// Decodes a body to its last byte; none where there is no decoder for the API.
        fn decode(api_key: i16, version: i16, way: Way, body: &mut Bytes) -> Option<Result<(), String>> {
            $(if api_key == <$request as Request>::KEY {
                return Some(match way {
                    Way::Request => whole::<$request>(version, body),
                    Way::Response => whole::<<$request as Request>::Response>(version, body),
                });
            })*
            None
        }

        fn header_version(api_key: i16, version: i16, way: Way) -> i16 {
            $(if api_key == <$request as Request>::KEY {
                return match way {
                    Way::Request => <$request as HeaderVersion>::header_version(version),
                    Way::Response => <<$request as Request>::Response as HeaderVersion>::header_version(version),
                };
            })*
            1
        }
    };
}

decoders!(
    ProduceRequest,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    FindCoordinatorRequest,
    JoinGroupRequest,
    HeartbeatRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
    SaslHandshakeRequest,
    ApiVersionsRequest,
    CreateTopicsRequest,
    InitProducerIdRequest,
    SaslAuthenticateRequest,
    DescribeConfigsRequest,
    ConsumerGroupHeartbeatRequest,
    GetTelemetrySubscriptionsRequest,
    PushTelemetryRequest,
    DescribeTopicPartitionsRequest,
    OffsetForLeaderEpochRequest,
);

fn whole<T: Decodable>(version: i16, body: &mut Bytes) -> Result<(), String> {
    T::decode(body, version).map_err(|error| error.to_string())?;
    if body.has_remaining() { Err(format!("{} bytes are left", body.remaining())) } else { Ok(()) }
}

/// Decodes every frame of a session; an error says which one cannot be.
pub fn told(session: &Session) -> Result<Told, String> {
    let mut told = Told::default();
    for connection in &session.connections {
        of_connection(connection, &mut told)?;
    }
    Ok(told)
}

fn of_connection(connection: &Connection, told: &mut Told) -> Result<(), String> {
    // An answer is read as its request's version says.
    let mut asked: BTreeMap<u64, (i16, i16, i32)> = BTreeMap::new();
    for frame in &connection.frames {
        let (mut bytes, way) = (Bytes::copy_from_slice(&frame.bytes[4..]), frame.way);
        let (api_key, version) = match way {
            Way::Request => {
                let (key, version) = (bytes.slice(..2).get_i16(), bytes.slice(2..4).get_i16());
                let header = RequestHeader::decode(&mut bytes, header_version(key, version, way));
                let header = header.map_err(|error| format!("the header of {frame:?}: {error}"))?;
                asked.insert(frame.ordinal, (key, version, header.correlation_id));
                (key, version)
            }
            Way::Response => {
                let (key, version, id) = *asked.get(&frame.ordinal).ok_or("an answer to nothing that was asked")?;
                let header = ResponseHeader::decode(&mut bytes, header_version(key, version, way));
                let header = header.map_err(|error| format!("the header of {frame:?}: {error}"))?;
                assert_eq!(header.correlation_id, id);
                (key, version)
            }
        };
        *told.frames.entry((api_key, version)).or_default() += 1;
        body(frame, api_key, version, bytes, told)?;
    }
    Ok(())
}

fn body(frame: &CapturedFrame, api_key: i16, version: i16, bytes: Bytes, told: &mut Told) -> Result<(), String> {
    // A client that is newer than Weir is told so in version 0 (KIP-511).
    let error_35 = frame.way == Way::Response && api_key == ApiKey::ApiVersions as i16 && bytes[..2] == [0, 35];
    let version = if error_35 { 0 } else { version };
    match decode(api_key, version, frame.way, &mut bytes.clone()) {
        None => told.beyond.extend([(api_key, version)]),
        Some(Err(why)) if why.contains("specified version not supported") => told.beyond.extend([(api_key, version)]),
        Some(decoded) => decoded.map_err(|why| format!("{api_key} v{version} {:?}: {why}", frame.way))?,
    }
    match (frame.way, api_key) {
        (Way::Request, ProduceRequest::KEY) => {
            for topic in ProduceRequest::decode(&mut bytes.clone(), version).unwrap().topic_data {
                for partition in topic.partition_data {
                    told.produced.extend(records(partition.records)?);
                }
            }
        }
        (Way::Response, FetchRequest::KEY) => {
            for topic in FetchResponse::decode(&mut bytes.clone(), version).unwrap().responses {
                for partition in topic.partitions {
                    told.fetched.extend(records(partition.records)?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn records(batches: Option<Bytes>) -> Result<Vec<Record>, String> {
    let mut batches = batches.unwrap_or_default();
    let mut records = Vec::new();
    while batches.has_remaining() {
        let inflate = |bytes: &mut Bytes, compression| Ok(inflate(bytes, compression)?);
        let set = RecordBatchDecoder::decode_with_custom_compression(&mut batches, Some(inflate));
        let set = set.map_err(|error| format!("a batch: {error}"))?;
        records.extend(set.records.into_iter().filter(|record| !record.control).map(record));
    }
    Ok(records)
}

fn record(record: kafka_protocol::records::Record) -> Record {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    Record {
        key: record.key.map(text),
        value: record.value.map(text),
        headers: record.headers.into_iter().map(|(name, value)| (name.to_string(), value.map(text))).collect(),
    }
}

fn inflate(bytes: &mut Bytes, compression: Compression) -> io::Result<Bytes> {
    let packed = bytes.split_off(0);
    let mut plain = Vec::new();
    match compression {
        Compression::None => return Ok(packed),
        Compression::Gzip => drop(flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut plain)?),
        Compression::Zstd => plain = zstd::decode_all(&packed[..])?,
        Compression::Lz4 => drop(lz4_flex::frame::FrameDecoder::new(&packed[..]).read_to_end(&mut plain)?),
        Compression::Snappy => plain = snappy(&packed)?,
    }
    Ok(plain.into())
}

/// Raw, or in the blocks of Java's xerial.
fn snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let Some(blocks) = packed.strip_prefix(b"\x82SNAPPY\0") else {
        return Ok(snap::raw::Decoder::new().decompress_vec(packed)?);
    };
    let mut blocks = Cursor::new(&blocks[8..]);
    let mut plain = Vec::new();
    while blocks.has_remaining() {
        let length = blocks.get_u32() as usize;
        let block = blocks.copy_to_bytes(length);
        plain.extend(snap::raw::Decoder::new().decompress_vec(&block)?);
    }
    Ok(plain)
}
