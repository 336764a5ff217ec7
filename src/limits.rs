//! Every limit of the gateway, each with its reason. Sizes in bytes, times in their unit's suffix.

/// Requests in flight on one connection. Brokers work on one request of a connection at a time, so more in flight buys
/// no speed; librdkafka pipelines without a bound of its own, and each entry keeps what the recording will say of it.
pub const IN_FLIGHT_MAX: usize = 512;

/// A request's or response's header, bytes: a client id has 32 KiB at most and no tagged header field is defined, so
/// what has not ended by then is not waited for.
pub const HEADER_MAX: usize = 48 << 10;

/// A SASL message, bytes: a JWT with hundreds of groups fits, a flood before login does not.
pub const SASL_MESSAGE_MAX: usize = 64 << 10;
