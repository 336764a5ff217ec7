//! What of a request is held until people have said yes: found before it goes on, cut out of it where they have not.
//!
//! `table` says what each API can be held as, `action` puts its own words into a form that people read and grants are bound to,
//! `wanted` holds it against the rules, `cut` takes what may not be done out of the request.
//!
//! Invariants:
//! - Where no rule holds anything of a request it passes byte for byte.
//! - What is not known is held: a topic of which it is not known whether it exists, a position that cannot be looked up.
//! - What cannot be shown to people as a whole cannot be approved, and is refused.

mod action;
mod cut;
mod reading;
pub mod recorded;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod wanted;

pub use cut::{POLICY_VIOLATION, Refusal, code_of_all, cut};
pub use reading::{Passed, Readings};
pub use session::{Session, ShareEpoch, ShareMember, ShareSession, session};
pub use table::operation;
pub use wanted::{Circumstances, Held, Unshowable, Wanted, look};
