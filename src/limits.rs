//! Every limit of the gateway, each with its reason. Sizes in bytes, times in their unit's suffix.

/// Largest answer Weir's own Kafka client takes: a Metadata of 100,000 partitions is about 5 MiB; bytes.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long connecting and logging in to a broker may take before the client is told by a close; clients wait 10-30 s.
pub const UPSTREAM_CONNECT_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Topic ids asked for in one Metadata request of our own; a client that makes ids up costs no more than this a time.
pub const TOPIC_LOOKUPS_MAX: usize = 256;

/// Largest answer whose broker addresses are rewritten, which needs it whole: Metadata of about 300,000 partitions; bytes.
pub const GATHERED_RESPONSE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Largest tail behind the records of a fetched answer: the endpoints of some 1,000 brokers; bytes.
pub const TAIL_BYTES_MAX: u64 = 128 * 1024;

/// Longest answer taken from a broker: what its length prefix can say.
pub const RESPONSE_FRAME_BYTES_MAX: u64 = i32::MAX as u64;

/// A bare SASL token of a version 0 handshake: a PLAIN message with a token of Weir's is below 1 KiB, a JWT below 16; bytes.
pub const SASL_TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Read buffers of one direction on one shard: 256 connections that wait for a slow peer with a large buffer each, after
/// which others go on with small ones; bytes.
pub const SHARD_BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// Gathered frames of one direction on one shard; at least twice the largest frame, so that one cannot stop all; bytes.
pub const SHARD_GATHER_BYTES: u64 = 64 * 1024 * 1024;

/// Largest request that is gathered: an OffsetCommit of some 100,000 partitions. Produce is relayed at any size; bytes.
pub const GATHERED_REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a request may take to come in while bytes of it are kept; a client that sends a byte a second ends here.
pub const KEPT_REQUEST_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// After a client closed with requests in flight, how long their answers are awaited, for the recording's sake.
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(3);

/// How long a connection waits before it tries again to append to a full journal; the writer needs about as long a block.
pub const JOURNAL_RETRY: std::time::Duration = std::time::Duration::from_millis(2);
/// Requests in flight on one connection. Brokers work on one request of a connection at a time, so more in flight buys
/// no speed; librdkafka pipelines without a bound of its own, and each entry keeps what the recording will say of it.
pub const IN_FLIGHT_MAX: usize = 512;

/// A request's or response's header, bytes: a client id has 32 KiB at most and no tagged header field is defined, so
/// what has not ended by then is not waited for.
pub const HEADER_MAX: usize = 48 << 10;

/// A SASL message, bytes: a JWT with hundreds of groups fits, a flood before login does not.
pub const SASL_MESSAGE_MAX: usize = 64 << 10;
