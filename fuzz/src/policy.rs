//! Of the policy, what the pipeline asks for: access, approval, recording and masking rules.

#[path = "../../src/policy/access/mod.rs"]
mod access;
#[path = "../../src/policy/approvals/mod.rs"]
mod approvals;
#[path = "../../src/policy/masking/mod.rs"]
mod masking;
#[path = "../../src/policy/patterns.rs"]
mod patterns;
#[path = "../../src/policy/recording.rs"]
mod recording;

pub use access::*;
pub use approvals::*;
pub use masking::*;
pub use patterns::Patterns;
pub use recording::*;
