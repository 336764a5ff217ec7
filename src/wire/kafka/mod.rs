//! Kafka on the wire.

pub mod api;
