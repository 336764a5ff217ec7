//! Of the policy, what the pipeline asks for: recording and masking rules.

#[path = "../../src/policy/masking/mod.rs"]
mod masking;
#[path = "../../src/policy/patterns.rs"]
mod patterns;
#[path = "../../src/policy/recording.rs"]
mod recording;

pub use masking::*;
pub use patterns::Patterns;
pub use recording::*;
