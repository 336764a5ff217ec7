//! Kafka on the wire.

pub mod addresses;
pub mod batch;
mod edit;
pub mod layout;
#[cfg(test)]
mod samples;
pub mod walk;
