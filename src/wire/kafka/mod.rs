//! Kafka on the wire.

pub mod batch;
pub mod layout;
#[cfg(test)]
mod samples;
pub mod walk;
