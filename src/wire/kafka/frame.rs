//! The frame: a length prefix, a header, and a body that is somebody else's matter.
//!
//! Invariants:
//! - A length is judged before a byte is kept for it; what it looks like (TLS, HTTP) is told, because that is nearly
//!   always the reason.
//! - Header parsing copies nothing, is safe on any bytes and on any split: it asks for more or says what is wrong.
//! - API key, version and correlation id of a request are known from its first eight bytes, whatever follows, so that
//!   even an API that nobody knows can be answered.
//!
//! Source: <https://kafka.apache.org/protocol>, header versions by KIP-482.

use bytes::{BufMut, Bytes};

use super::api::{self, Api};
use super::fields::{Fields, Stop};
use crate::limits::{HEADER_MAX, HEADER_TAGS_MAX};

/// Bytes of the length prefix.
pub const PREFIX_LEN: usize = 4;

/// Bytes of a request that tell API key, version and correlation id.
const REQUEST_PREFIX_LEN: usize = 8;

/// Why bytes are not a lawful frame. None of them can be answered: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix is zero or negative.
    #[error("the length prefix says {length} bytes, which no Kafka frame has{looks_like}")]
    NoLength {
        /// What the prefix says.
        length: i32,
        /// What the bytes seem to be instead.
        looks_like: LooksLike,
    },
    /// The length prefix is above the limit.
    #[error("the length prefix says {length} bytes, the limit is {limit}{looks_like}")]
    TooLong {
        /// What the prefix says.
        length: usize,
        /// The limit that applies.
        limit: usize,
        /// What the bytes seem to be instead.
        looks_like: LooksLike,
    },
    /// The header would end after its frame.
    #[error("the frame ends within its header")]
    Truncated,
    /// The header is longer than any client's.
    #[error("the header is longer than {HEADER_MAX} bytes")]
    HeaderTooLong,
    /// A length or a count within the header that no writer produces.
    #[error("a length within the header is not lawful")]
    BadLength,
    /// A client id that is not UTF-8.
    #[error("the client id is not UTF-8")]
    ClientIdNotUtf8,
}

impl From<Stop> for FrameError {
    /// `NeedMore` is handled before; past the limit for a header it means that nothing more is worth waiting for.
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NeedMore => FrameError::HeaderTooLong,
            Stop::Truncated => FrameError::Truncated,
            Stop::BadLength => FrameError::BadLength,
            Stop::NotUtf8 => FrameError::ClientIdNotUtf8,
        }
    }
}

/// What a frame's first bytes seem to be when they make no sensible length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    /// A TLS record: one side speaks TLS, the other does not.
    Tls,
    /// An HTTP request or answer.
    Http,
    /// Nothing in particular.
    Garbage,
}

impl LooksLike {
    fn judge(prefix: [u8; PREFIX_LEN]) -> Self {
        match &prefix {
            // Record types change_cipher_spec to application_data, protocol version 3.x (RFC 8446, 5.1).
            [0x14..=0x17, 0x03, _, _] => LooksLike::Tls,
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PATC" | b"CONN" | b"PRI " | b"HTTP" => {
                LooksLike::Http
            }
            _ => LooksLike::Garbage,
        }
    }
}

impl std::fmt::Display for LooksLike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LooksLike::Tls => ": this is TLS, on a connection that is plaintext here (check security.protocol)",
            LooksLike::Http => ": this is HTTP, on a port that speaks Kafka",
            LooksLike::Garbage => ": this is not the Kafka protocol",
        })
    }
}

/// Judges a length prefix. The result is the frame's length without the prefix, 1 to `limit` bytes.
pub fn frame_len(prefix: [u8; PREFIX_LEN], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(len) if len > limit => Err(FrameError::TooLong { length: len, limit, looks_like: LooksLike::judge(prefix) }),
        Ok(len) if len > 0 => Ok(len),
        _ => Err(FrameError::NoLength { length, looks_like: LooksLike::judge(prefix) }),
    }
}

/// What came of parsing bytes that may not all be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<T> {
    /// All of it.
    Whole(T),
    /// More bytes are needed.
    NeedMore,
}

/// The part of a request's header that stands first in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPrefix {
    /// API key as sent; it may be one that nobody knows.
    pub api_key: i16,
    /// API version as sent.
    pub api_version: i16,
    /// The client's correlation id.
    pub correlation_id: i32,
}

/// A request's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// API key, version, correlation id.
    pub prefix: RequestPrefix,
    /// The table's row; none where no definition says how the header goes on: then only the prefix was read.
    pub api: Option<&'static Api>,
    /// The client id; none when null, or not read.
    pub client_id: Option<&'a str>,
    /// Bytes of the header: the body starts here.
    pub len: usize,
}

impl<'a> RequestHeader<'a> {
    /// Parses a request's header from the start of a frame of `frame_len` bytes of which `arrived` are here. A header
    /// of an API or version that Kafka 4.3 does not define is parsed as far as its prefix, with `api: None`.
    pub fn parse(arrived: &'a [u8], frame_len: usize) -> Result<Parsed<Self>, FrameError> {
        match Self::read(&mut Fields::new(arrived, frame_len)) {
            Ok(header) => Ok(Parsed::Whole(header)),
            Err(Stop::NeedMore) if arrived.len() < HEADER_MAX => Ok(Parsed::NeedMore),
            Err(stop) => Err(stop.into()),
        }
    }

    fn read(fields: &mut Fields<'a>) -> Result<Self, Stop> {
        let prefix =
            RequestPrefix { api_key: fields.int16()?, api_version: fields.int16()?, correlation_id: fields.int32()? };
        let api = api::lookup(prefix.api_key).filter(|api| api.defined.contains(prefix.api_version));
        let Some(known) = api else {
            return Ok(Self { prefix, api, client_id: None, len: fields.position() });
        };
        let client_id = fields.nullable_string()?;
        if known.request_header_version(prefix.api_version) >= 2 {
            fields.skip_tagged_of(HEADER_TAGS_MAX)?;
        }
        Ok(Self { prefix, api, client_id, len: fields.position() })
    }
}

/// The correlation id of a response: its first four bytes in every header version.
pub fn response_correlation_id(arrived: &[u8]) -> Option<i32> {
    arrived.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// Length of a response's header of the given version (0: correlation id; 1: with tagged fields).
pub fn response_header_len(arrived: &[u8], frame_len: usize, version: i16) -> Result<Parsed<usize>, FrameError> {
    let mut fields = Fields::new(arrived, frame_len);
    let read = fields.int32().and_then(|_| if version >= 1 { fields.skip_tagged_of(HEADER_TAGS_MAX) } else { Ok(()) });
    match read {
        Ok(()) => Ok(Parsed::Whole(fields.position())),
        Err(Stop::NeedMore) if arrived.len() < HEADER_MAX => Ok(Parsed::NeedMore),
        Err(stop) => Err(stop.into()),
    }
}

/// Writes a whole frame of our own: an answer given here, or a request of our own client.
#[derive(Debug)]
pub struct FrameWriter(Vec<u8>);

impl FrameWriter {
    /// Starts a response. `header_version` is the table's [`Api::response_header_version`].
    pub fn response(correlation_id: i32, header_version: i16) -> Self {
        let mut frame = vec![0; PREFIX_LEN];
        frame.put_i32(correlation_id);
        if header_version >= 1 {
            frame.put_u8(0);
        }
        Self(frame)
    }

    /// Starts a request. `body_len` reserves room, so that a body that holds a secret is never copied by growth.
    pub fn request(api: &Api, version: i16, correlation_id: i32, client_id: &str, body_len: usize) -> Self {
        let client_id = &client_id.as_bytes()[..client_id.len().min(i16::MAX as usize)];
        let mut frame = Vec::with_capacity(PREFIX_LEN + REQUEST_PREFIX_LEN + 2 + client_id.len() + 1 + body_len);
        frame.put_slice(&[0; PREFIX_LEN]);
        frame.put_i16(api.key);
        frame.put_i16(version);
        frame.put_i32(correlation_id);
        frame.put_i16(client_id.len() as i16);
        frame.put_slice(client_id);
        if api.request_header_version(version) >= 2 {
            frame.put_u8(0);
        }
        Self(frame)
    }

    /// Where the body goes.
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The frame with its length prefix; none when no prefix can say its length.
    pub fn finish(self) -> Option<Bytes> {
        self.into_vec().map(Bytes::from)
    }

    /// As [`FrameWriter::finish`], in a buffer of its own that can be wiped.
    pub fn into_vec(mut self) -> Option<Vec<u8>> {
        let length = i32::try_from(self.0.len() - PREFIX_LEN).ok()?;
        self.0[..PREFIX_LEN].copy_from_slice(&length.to_be_bytes());
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::{ApiKey, RequestHeader as CodecHeader};
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    const LIMIT: usize = 100 << 20;

    #[test]
    fn a_tls_hello_and_http_on_the_kafka_port_are_called_by_their_name() {
        for (prefix, expected) in [
            ([0x16, 0x03, 0x01, 0x02], LooksLike::Tls),
            ([0x15, 0x03, 0x03, 0x00], LooksLike::Tls),
            (*b"GET ", LooksLike::Http),
            (*b"POST", LooksLike::Http),
            (*b"HTTP", LooksLike::Http),
            ([0x7f, 0xff, 0xff, 0xff], LooksLike::Garbage),
        ] {
            match frame_len(prefix, LIMIT) {
                Err(FrameError::TooLong { looks_like, .. }) => assert_eq!(looks_like, expected),
                other => panic!("{prefix:?}: {other:?}"),
            }
        }
        let told = frame_len(*b"GET ", LIMIT).unwrap_err().to_string();
        assert!(told.contains("HTTP") && told.contains("1195725856"), "{told}");
    }

    #[test]
    fn zero_and_negative_lengths_are_refused_and_the_limit_is_inclusive() {
        for length in [0i32, -1, i32::MIN] {
            let refused = frame_len(length.to_be_bytes(), LIMIT);
            assert!(matches!(refused, Err(FrameError::NoLength { length: told, .. }) if told == length));
        }
        assert_eq!(frame_len((LIMIT as i32).to_be_bytes(), LIMIT), Ok(LIMIT));
        assert!(frame_len((LIMIT as i32 + 1).to_be_bytes(), LIMIT).is_err());
    }

    fn codec_header(key: ApiKey, version: i16, client_id: Option<&str>) -> BytesMut {
        let header = CodecHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(77)
            .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes, key.request_header_version(version)).unwrap();
        bytes
    }

    #[test]
    fn a_header_of_every_api_and_version_parses_the_same_at_every_split() {
        for key in ApiKey::iter() {
            let versions = key.valid_versions();
            for (version, client_id) in (versions.min..=versions.max).flat_map(|v| [(v, None), (v, Some("rdkafka"))]) {
                let header = codec_header(key, version, client_id);
                let mut frame = header.to_vec();
                frame.extend_from_slice(b"the body");
                for split in 0..frame.len() {
                    let parsed = RequestHeader::parse(&frame[..split], frame.len()).unwrap();
                    if split < header.len() {
                        assert_eq!(parsed, Parsed::NeedMore);
                        assert!(RequestHeader::parse(&frame[..split], split).is_err());
                        continue;
                    }
                    let Parsed::Whole(whole) = parsed else { panic!("{key:?} v{version} at {split}") };
                    let prefix = RequestPrefix { api_key: key as i16, api_version: version, correlation_id: 77 };
                    assert_eq!((whole.prefix, whole.client_id, whole.len), (prefix, client_id, header.len()));
                }
            }
        }
    }

    #[test]
    fn an_unknown_api_or_version_still_tells_its_correlation_id() {
        for (key, version) in [(999i16, 0i16), (-1, 0), (18, 5), (0, 14), (0, -3), (4, 0)] {
            let mut frame = BytesMut::new();
            frame.put_i16(key);
            frame.put_i16(version);
            frame.put_i32(31);
            frame.put_slice(&[0xff; 9]);
            let Ok(Parsed::Whole(header)) = RequestHeader::parse(&frame, frame.len()) else {
                panic!("{key} v{version}")
            };
            assert_eq!((header.prefix.correlation_id, header.api, header.len), (31, None, REQUEST_PREFIX_LEN));
        }
    }

    #[test]
    fn a_header_that_never_ends_is_not_waited_for() {
        let mut frame = codec_header(ApiKey::Metadata, 12, Some("x"));
        frame.truncate(frame.len() - 1);
        frame.put_slice(&[1, 0, 0xff, 0xff, 0xff, 0x07]);
        frame.resize(HEADER_MAX - 1, 0);
        assert_eq!(RequestHeader::parse(&frame, LIMIT), Ok(Parsed::NeedMore));
        frame.put_u8(0);
        assert_eq!(RequestHeader::parse(&frame, LIMIT), Err(FrameError::HeaderTooLong));
    }

    #[test]
    fn a_header_of_endless_empty_tags_is_refused_at_its_count() {
        let mut frame = codec_header(ApiKey::Metadata, 12, Some("x"));
        frame.truncate(frame.len() - 1);
        let lawful = [&frame[..], &[16], &[0; 32]].concat();
        assert!(
            matches!(RequestHeader::parse(&lawful, LIMIT), Ok(Parsed::Whole(header)) if header.len == lawful.len())
        );
        // 60,000 of them, of which none has come yet.
        frame.put_slice(&[0xe0, 0xd4, 0x03]);
        assert_eq!(RequestHeader::parse(&frame, LIMIT), Err(FrameError::BadLength));
        assert_eq!(response_header_len(&[0, 0, 0, 9, 17], LIMIT, 1), Err(FrameError::BadLength));
    }

    #[test]
    fn a_client_id_that_is_not_text_is_refused() {
        let mut frame = codec_header(ApiKey::Metadata, 1, Some("ab"));
        let last = frame.len() - 1;
        frame[last] = 0xc3;
        assert_eq!(RequestHeader::parse(&frame, frame.len()), Err(FrameError::ClientIdNotUtf8));
    }

    #[test]
    fn response_headers_are_as_long_as_their_version_says() {
        let frame = [0, 0, 0, 9, 1, 0, 2, 0xaa, 0xbb, 0x55];
        assert_eq!(response_correlation_id(&frame), Some(9));
        assert_eq!(response_correlation_id(&frame[..3]), None);
        assert_eq!(response_header_len(&frame, frame.len(), 0), Ok(Parsed::Whole(4)));
        assert_eq!(response_header_len(&frame, frame.len(), 1), Ok(Parsed::Whole(9)));
        for split in 0..9 {
            assert_eq!(response_header_len(&frame[..split], frame.len(), 1), Ok(Parsed::NeedMore));
            assert_eq!(response_header_len(&frame[..split], split, 1), Err(FrameError::Truncated));
        }
    }

    #[test]
    fn a_frame_we_write_is_one_we_read() {
        let metadata = api::lookup(api::key::METADATA).unwrap();
        for version in [0, 9] {
            let mut writer = FrameWriter::request(metadata, version, 5, "weir", 4);
            writer.body().put_slice(b"body");
            let frame = writer.finish().unwrap();
            let len = frame_len(*frame.first_chunk().unwrap(), LIMIT).unwrap();
            assert_eq!(len, frame.len() - PREFIX_LEN);
            let Ok(Parsed::Whole(header)) = RequestHeader::parse(&frame[PREFIX_LEN..], len) else { panic!() };
            assert_eq!((header.client_id, header.prefix.correlation_id), (Some("weir"), 5));
            assert_eq!(&frame[PREFIX_LEN + header.len..], b"body");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_header_parsing_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..96),
            extra in 0usize..64,
        ) {
            let _ = RequestHeader::parse(&bytes, bytes.len() + extra);
            let _ = response_header_len(&bytes, bytes.len() + extra, 1);
            if let Some(prefix) = bytes.first_chunk() {
                let _ = frame_len(*prefix, LIMIT);
            }
        }
    }
}
