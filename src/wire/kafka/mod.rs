//! Kafka on the wire.

pub mod addresses;
pub mod batch;
mod edit;
pub mod layout;
#[cfg(test)]
mod samples;
pub mod walk;
pub mod api;
pub mod correlation;
pub mod error_reply;
mod fields;
pub mod frame;
pub mod sasl;
pub mod versions;
