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
/// The smallest journal of a shard: a handful of the longest events, so that a full one can drain while it fills.
pub const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;
/// Journal bytes after which a shard wakes the writer before its tick: few wakes a second, small blocks avoided.
pub const JOURNAL_WAKE_BYTES: u64 = 512 * 1024;
/// Bytes of a node's name: it stands in every block.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// Rows gathered for one write of the store: bounds the writer's memory and what one failed write has to repeat.
pub const WRITE_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Topics a session names; the rest are counted. The list is rewritten with each block, so it stays short.
pub const SESSION_TOPICS_MAX: usize = 64;
/// Listeners a session names: a client bootstraps through few and then meets one address per broker.
pub const SESSION_LISTENERS_MAX: usize = 16;
/// Topics remembered per session and hour as indexed already; beyond, rows are written again (harmless, just work).
pub const SESSION_INDEXED_TOPICS_MAX: usize = 4096;
/// Blocks remembered of a connection that has not identified itself: a login takes a few; a connection that chats
/// through more is listed as unidentified until it does.
pub const UNIDENTIFIED_BLOCKS_MAX: usize = 64;
