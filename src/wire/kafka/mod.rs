//! Kafka on the wire.

pub mod api;
pub mod correlation;
mod fields;
pub mod frame;
pub mod sasl;
pub mod versions;
