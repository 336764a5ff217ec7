//! Masking: pure functions over bytes. What is sensitive in a text, and what is put in its place.
//!
//! Uses nothing of the crate and does no I/O. A [`Plan`] is compiled of rules and then asked about values, keys and headers;
//! `detect/` finds what is sensitive by its own form, `json/` what is by the name of its field.

mod action;
mod fields;
mod json;
mod lanes;
mod names;
mod path;
mod plan;
#[cfg(test)]
mod tests;

pub mod detect;

pub use action::{Action, Key, KeyTooShort};
pub use path::{Path, PathError, PathProblem, Segment, Target};
pub use plan::{Counts, Fault, HeaderOutcome, Outcome, Plan, Rule, Scratch, Unparsable};
