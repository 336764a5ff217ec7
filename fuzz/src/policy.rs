//! Of the policy, what the pipeline asks for: recording rules.

#[path = "../../src/policy/patterns.rs"]
mod patterns;
#[path = "../../src/policy/recording.rs"]
mod recording;

pub use recording::*;
