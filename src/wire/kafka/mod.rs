//! Kafka on the wire.

pub mod addresses;
pub mod api;
pub mod batch;
pub mod compression;
pub mod correlation;
mod edit;
pub mod error_reply;
mod fields;
pub mod frame;
pub mod items;
pub mod layout;
pub mod listing;
pub mod oauthbearer;
pub mod records;
#[cfg(any(test, fuzzing))]
pub(crate) mod samples;
pub mod sasl;
pub mod tree;
pub mod values;
pub mod versions;
pub mod walk;
