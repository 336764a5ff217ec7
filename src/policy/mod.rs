//! Who may do what: identities and rules as immutable, versioned snapshots. Pure: no clock, no randomness, no I/O.
//!
//! Shards hold a snapshot through an `arc-swap` and never wait for anybody who changes one.

mod principal;
mod recording;
mod snapshot;
mod token;
mod token_table;

pub use principal::{Mechanism, Principal};
pub use recording::{Keep, RecordingMode, RecordingPlan, RecordingRule, RecordingRules, Sample, TopicPatterns};
pub use snapshot::PolicySnapshot;
pub use token::{Minted, TOKEN_RANDOM_BYTES, TokenRecord, TokenRequest, TokenRequestError};
pub use token_table::{Login, Refusal, TokenTable};
