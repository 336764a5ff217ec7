//! Who may do what: identities and rules as immutable, versioned snapshots. Pure: no clock, no randomness, no I/O.
//!
//! Shards hold a snapshot through an `arc-swap` and never wait for anybody who changes one.

mod access;
mod approvals;
mod change;
mod issuer_table;
mod jwt;
mod key_set;
mod masking;
mod patterns;
mod principal;
mod reach;
mod recording;
mod roles;
mod snapshot;
mod subject;
mod text_diff;
mod token;
mod token_table;

pub use crate::mask::detect::{Detector, Detectors};
pub use crate::mask::{Action as MaskAction, Key as HashKey, Path as FieldPath, Unparsable};
pub use access::{
    AccessClient, AccessExemption, AccessMistake, AccessRule, AccessRules, DecidedBy, Decision, Effect, HOURS_DAYS,
    Hours, NamePattern, NamePatterns, Network, Operation, Operations, ResourceKind, Rights, Scope, ScopeText, Scopes,
};
pub use approvals::{
    AccessRequest, Action, ActionEffect, ActionItem, ActionKind, Answer, ApprovalMistake, ApprovalRule, ApprovalRules,
    Approvers, Ask, CannotDecide, Case, Desk, Digest, DigestKey, Fact, Grant, HeldOperation, HeldRules, Listener, Open,
    OpenTable, Origin, Parameter, Person, RequestState, Requester, ReviewDecision, Revoked, Said, Terms, Use, Volume,
    WITHHELD, When,
};
pub use change::{PolicyState, policy_change};
pub use issuer_table::{Attempt, Issuer, IssuerTable, is_loopback};
pub use jwt::{ClaimPath, IssuerRules, JwtLogin, JwtRefusal, ScopeMapping, USERNAME as JWT_USERNAME, looks_like_jwt};
pub use key_set::{ALGORITHMS, KeySet, KeySetError};
pub use masking::{
    Direction, MaskClient, MaskDecision, MaskDirections, MaskExemption, MaskMistake, MaskNamed, MaskingRule,
    MaskingRules, RuleSet,
};
pub use patterns::Patterns;
pub use principal::{Mechanism, Principal};
pub use reach::confined;
pub use recording::{Keep, RecordingMode, RecordingPlan, RecordingRule, RecordingRules, Sample, TopicPatterns};
pub use roles::{Role, RoleGroups, Roles};
pub use snapshot::{PolicySnapshot, PolicyText};
pub use subject::{RuleError, SubjectMapping};
pub use token::{
    Minted, SCRAM_ITERATIONS, ScramVerifiers, TOKEN_RANDOM_BYTES, TokenRecord, TokenRequest, TokenRequestError,
    looks_like_token, scram_salt, short_id,
};
pub use token_table::{Login, Refusal, TokenTable};
