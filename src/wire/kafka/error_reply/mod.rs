//! Error replies: what a stock client gets for a request that is not forwarded.
//!
//! The error stands where a broker would put it: per topic, partition, group or entry where the API has such a place,
//! else at the top, with a message where the API carries one. Clients then raise their ordinary exceptions.
//!
//! Invariants:
//! - None means that the protocol has no error form for this request (`acks=0`, an unknown layout, no place for an
//!   error): the caller closes the connection. Nothing is ever answered as if it had been done.
//! - The body's counts were checked before by a walk of its layout: `kafka-protocol` allocates by them. Anything else
//!   about the body may be wrong; it then has no reply.
//! - ApiVersions and the SASL APIs are answered by `versions` and `sasl`, errors included, and have none here.

mod admin;
mod beyond_codec;
mod data;
mod groups;
mod security;
mod top_level;
mod txn;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::api::{self, Api, key};
use super::frame::FrameWriter;

/// Answers a request with an error: the whole response frame, length prefix included.
///
/// `body` is the request without its header; `error` a Kafka error code; `message` goes where the API carries one.
pub fn refuse(
    api_key: i16,
    version: i16,
    correlation_id: i32,
    body: &[u8],
    error: i16,
    message: Option<&str>,
) -> Option<Bytes> {
    let api = api::lookup(api_key).filter(|api| api.defined.contains(version))?;
    let message = message.map(|text| StrBytes::from_string(text.to_owned()));
    let refusal = Refusal { api, version, correlation_id, body, error, message };
    top_level::reply(&refusal)
        .or_else(|| data::reply(&refusal))
        .or_else(|| groups::reply(&refusal))
        .or_else(|| txn::reply(&refusal))
        .or_else(|| admin::reply(&refusal))
        .or_else(|| security::reply(&refusal))
        .or_else(|| beyond_codec::reply(&refusal))
}

/// A request that is refused, and how.
struct Refusal<'a> {
    api: &'static Api,
    version: i16,
    correlation_id: i32,
    body: &'a [u8],
    error: i16,
    message: Option<StrBytes>,
}

impl Refusal<'_> {
    /// Decodes the request; none unless it fills the body exactly.
    fn request<R: Decodable>(&self) -> Option<R> {
        let mut body = self.body;
        let request = R::decode(&mut body, self.codec_version()).ok()?;
        body.is_empty().then_some(request)
    }

    /// The message, in versions that carry one; `since` is the first that does.
    fn message_since(&self, since: i16) -> Option<StrBytes> {
        self.message.clone().filter(|_| self.version >= since)
    }

    /// The response's frame.
    fn reply(&self, response: &impl Encodable) -> Option<Bytes> {
        self.write(|body| response.encode(body, self.codec_version()).ok())
    }

    /// The response's frame with a body of our own writing.
    fn write(&self, body: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<Bytes> {
        let header_version = self.api.response_header_version(self.version);
        let mut writer = FrameWriter::response(self.correlation_id, header_version);
        body(writer.body())?;
        writer.finish()
    }

    /// The version whose layout stands for this one in `kafka-protocol`: some newest versions, which it does not know,
    /// differ only in what is allowed in a field, or in fields that no error reply has.
    fn codec_version(&self) -> i16 {
        match (self.api.key, self.version) {
            (key::LIST_OFFSETS, 11) => 10,
            (key::DESCRIBE_LOG_DIRS, 5) => 4,
            (key::SHARE_FETCH, 2) => 1,
            (key::ADD_RAFT_VOTER, 1) | (key::DESCRIBE_SHARE_GROUP_OFFSETS, 1) => 0,
            (_, version) => version,
        }
    }
}

#[cfg(test)]
mod tests;
