//! Kafka on the wire.

pub mod api;
pub mod correlation;
pub mod error_reply;
mod fields;
pub mod frame;
pub mod sasl;
pub mod versions;
