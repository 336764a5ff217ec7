//! Length prefix and header of a frame, read together: what has to be known before the first byte is passed on.

use crate::limits::HEADER_MAX;
use crate::wire::kafka::frame::{self, FrameError, PREFIX_LEN, Parsed, RequestHeader};

/// A request's head.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// API key as sent.
    pub api_key: i16,
    /// API version as sent.
    pub api_version: i16,
    /// Correlation id.
    pub correlation_id: i32,
    /// Client id; none when null, or when the API or version is not one of Kafka's.
    pub client_id: Option<&'a str>,
    /// The whole frame with its length prefix, bytes.
    pub frame_bytes: u64,
    /// Length prefix and header, bytes.
    pub bytes: usize,
}

impl<'a> RequestHead<'a> {
    /// Bytes of a head of which more are not waited for.
    pub const BYTES_MAX: usize = PREFIX_LEN + HEADER_MAX;

    /// Reads a head; none when it is not whole.
    pub fn parse(bytes: &'a [u8], frame_bytes_max: u64) -> Result<Option<Self>, FrameError> {
        let Some(length) = length(bytes, frame_bytes_max)? else { return Ok(None) };
        let frame = &bytes[PREFIX_LEN..];
        let Parsed::Whole(header) = RequestHeader::parse(&frame[..frame.len().min(length)], length)? else {
            return Ok(None);
        };
        Ok(Some(RequestHead {
            api_key: header.prefix.api_key,
            api_version: header.prefix.api_version,
            correlation_id: header.prefix.correlation_id,
            client_id: header.client_id,
            frame_bytes: (PREFIX_LEN + length) as u64,
            bytes: PREFIX_LEN + header.len,
        }))
    }
}

/// A frame with the head of another, length prefix included, and a body of its own.
pub fn reframed(head: &[u8], body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(head.len() - PREFIX_LEN + body.len()).unwrap_or(i32::MAX);
    let mut frame = Vec::with_capacity(head.len() + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&head[PREFIX_LEN..]);
    frame.extend_from_slice(body);
    frame
}

/// A response's head.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead {
    /// Correlation id.
    pub correlation_id: i32,
    /// The whole frame with its length prefix, bytes.
    pub frame_bytes: u64,
    /// Length prefix and header, bytes.
    pub bytes: usize,
}

impl ResponseHead {
    /// Bytes of a head before which nothing can be said.
    pub const BYTES_MIN: usize = PREFIX_LEN + 4;

    /// Reads a head whose header has this version; none when it is not whole. With version 0 it ends at the correlation
    /// id, which is how the id is read before the version is known.
    pub fn parse(bytes: &[u8], header_version: i16, frame_bytes_max: u64) -> Result<Option<Self>, FrameError> {
        let Some(length) = length(bytes, frame_bytes_max)? else { return Ok(None) };
        let frame = &bytes[PREFIX_LEN..];
        let frame = &frame[..frame.len().min(length)];
        let Parsed::Whole(header) = frame::response_header_len(frame, length, header_version)? else {
            return Ok(None);
        };
        let Some(correlation_id) = frame::response_correlation_id(frame) else { return Ok(None) };
        Ok(Some(ResponseHead { correlation_id, frame_bytes: (PREFIX_LEN + length) as u64, bytes: PREFIX_LEN + header }))
    }
}

/// What the length prefix says, without its own bytes; none when it is not whole.
pub fn length(bytes: &[u8], frame_bytes_max: u64) -> Result<Option<usize>, FrameError> {
    let limit = usize::try_from(frame_bytes_max).unwrap_or(usize::MAX);
    bytes.first_chunk().map(|prefix| frame::frame_len(*prefix, limit)).transpose()
}
