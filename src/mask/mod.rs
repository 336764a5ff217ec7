//! Masking: pure functions over bytes. What is sensitive in a text, and what is put in its place.
//!
//! Uses nothing of the crate and does no I/O.

pub mod detect;
