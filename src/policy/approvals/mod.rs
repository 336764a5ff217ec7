//! Approvals: what is held until people have said yes, who they are, and what follows.
//!
//! A rule of the policy file holds an operation ([`ApprovalRules`]). What somebody wants to do is an [`Action`]; reviewers see it,
//! and a grant is bound to its [`Digest`]. [`Case`] has the three objects of an approval (request, decisions, grant) and says
//! what may be done with them; [`Desk`] is where held exchanges ask.
//!
//! Invariant: all of it is pure. The time is passed in, and who keeps a case writes it down before anybody is told.

mod action;
mod approvers;
mod desk;
mod operation;
mod person;
mod request;
mod rule;
#[cfg(test)]
mod tests;

pub use action::{Action, ActionItem, ActionKind, Digest, DigestKey, Parameter, WITHHELD};
pub use approvers::Approvers;
pub use desk::{Answer, Ask, Desk, Listener, Open, OpenTable};
pub use operation::HeldOperation;
pub use person::Person;
pub use request::{
    AccessRequest, CannotDecide, Case, Decision as ReviewDecision, Effect as ActionEffect, Fact, Grant, Origin,
    RequestState, Requester, Revoked, Said, Use,
};
pub use rule::{ApprovalMistake, ApprovalRule, ApprovalRules, HeldRules, Terms, Volume, When};
