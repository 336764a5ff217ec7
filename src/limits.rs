//! Every limit of the gateway, each with its reason. Sizes in bytes, times in their unit's suffix.

/// Items kept per side of an exchange: enough for what clients ask in practice, and few enough that an event fits
/// [`EVENT_BYTES_MAX`] however many partitions a request names; the rest are counted.
pub const EVENT_ITEMS_MAX: usize = 64;
/// Bytes kept of a topic, group, user or client name: Kafka ends topic names at 249, other names are anybody's.
pub const EVENT_NAME_BYTES_MAX: usize = 256;
/// Bytes kept of a SASL mechanism's name as the client sent it: the registry's longest has 20.
pub const EVENT_MECHANISM_BYTES_MAX: usize = 64;
/// Bytes kept of a reason in words: a sentence or two for an operator.
pub const EVENT_REASON_BYTES_MAX: usize = 512;
/// Groups kept of an identity: directories that state more than this state roles, not groups.
pub const EVENT_GROUPS_MAX: usize = 64;
/// The longest encoded event: two sides of [`EVENT_ITEMS_MAX`] items with the longest name and every number at its
/// longest (about 41 KiB), rounded up.
pub const EVENT_BYTES_MAX: usize = 48 * 1024;
/// Encoded bytes at which a block is closed: large enough to compress well and to make its index rows cheap, small enough
/// that reading one event does not inflate much.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// What a block may inflate to: [`BLOCK_BYTES`] and the one event that went over, with its texts.
pub const BLOCK_INFLATED_BYTES_MAX: usize = 256 * 1024;
