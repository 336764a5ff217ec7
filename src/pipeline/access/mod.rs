//! Access on the wire: what a request may do, item by item, and what of an answer its reader may have.
//!
//! One judge serves every API: `table` says which rights one asks for, the layouts say what a body names. What may not be
//! done is taken out of the request and answered by Weir with the error a broker would give; what the reader may not know
//! of is taken out of the answer.
//!
//! Invariants:
//! - Where nothing is refused, request and answer pass byte for byte.
//! - What is not known is refused: an id without a name, a regular expression that the broker would evaluate.
//! - A request is judged by the rights in force when it arrives, a listing by those in force when its answer does; records
//!   that were asked for under older rights are looked at again.

mod amend;
mod judge;
mod peek;
pub mod recorded;
mod sessions;
mod standing;
pub mod table;

use super::guard::CLUSTER_AUTHORIZATION_FAILED;
use crate::wire::kafka::listing::TOPIC_AUTHORIZATION_FAILED;

pub use amend::{Amends, amend, without_unreadable};
pub use judge::{Judgement, Request, judge};
pub use peek::may_all_be_written;
pub use standing::Standing;

/// Kafka's UNKNOWN_TOPIC_OR_PARTITION.
pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// Kafka's GROUP_AUTHORIZATION_FAILED.
pub(super) const GROUP_AUTHORIZATION_FAILED: i16 = 30;
/// Kafka's TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
/// Kafka's OPERATION_NOT_ATTEMPTED.
const OPERATION_NOT_ATTEMPTED: i16 = 55;
/// Kafka's FETCH_SESSION_ID_NOT_FOUND.
pub const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
/// Kafka's UNKNOWN_TOPIC_ID.
pub(super) const UNKNOWN_TOPIC_ID: i16 = 100;
/// Kafka's SHARE_SESSION_NOT_FOUND.
pub const SHARE_SESSION_NOT_FOUND: i16 = 122;

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;
