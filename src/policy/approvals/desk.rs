//! Where held exchanges ask: the one way from the data plane to whoever keeps requests and grants.
//!
//! Invariant: asking blocks nobody, and what was claimed is on the disk before anybody is told of it.

use std::sync::Arc;

use super::action::{Action, Digest, DigestKey};
use super::person::Person;
use super::request::{Origin, Requester};
use super::rule::Terms;

/// What a held exchange asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who.
    pub requester: Requester,
    /// Where from.
    pub origin: Origin,
    /// For what.
    pub action: Action,
    /// What a grant of it has to be bound to.
    pub digest: Digest,
    /// What has to be met: each rule that holds it.
    pub terms: Vec<Terms>,
    /// Why, if the client says so.
    pub reason: Option<String>,
    /// The connection, as its gateway names it: stands in the use of a grant.
    pub connection: String,
    /// Claim a use where one can be had, instead of only saying so.
    pub claim: bool,
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go ahead: a use of this grant was claimed.
    Granted {
        /// The request it followed from.
        request: String,
        /// The grant.
        grant: String,
    },
    /// Enough have said yes; ask again to claim a use.
    Approved {
        /// The request.
        request: String,
    },
    /// Reviewers are asked.
    Pending {
        /// The request.
        request: String,
        /// Where to look at it.
        url: Option<String>,
        /// A reason is asked for and not given.
        needs_reason: bool,
    },
    /// No.
    Denied {
        /// The request.
        request: String,
        /// In the reviewer's words.
        why: Option<String>,
    },
    /// It cannot even be asked for, in words for the client.
    Refused(String),
}

/// Is told where it stands: at once, and with each change.
pub trait Listener: Send {
    /// Never blocks.
    fn tell(&self, answer: Answer);

    /// Nobody listens any more.
    fn is_gone(&self) -> bool;
}

/// Keeps requests, decisions and grants.
pub trait Desk: Send + Sync {
    /// Claims a use of a grant, or joins a pending request, or makes one. Comes back at once.
    fn ask(&self, ask: Ask, listener: Box<dyn Listener>);

    /// Times that uses have opened and that go on: looked at with each exchange, so they are handed out as a snapshot.
    fn open(&self) -> Arc<OpenTable>;

    /// The key of digests.
    fn key(&self) -> DigestKey;
}

/// A time that a use of a grant has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The request it followed from.
    pub request: String,
    /// For whom.
    pub person: Person,
    /// For what.
    pub digest: Digest,
    /// The rules that were met for it.
    pub terms: Vec<Terms>,
    /// Until when, ns since the Unix epoch.
    pub until_ns: u64,
}

/// All times that are open.
#[derive(Debug, Default)]
pub struct OpenTable(pub Vec<Open>);

impl OpenTable {
    /// Whether a time is open for somebody to do something that these rules hold.
    pub fn has(&self, person: &Person, digest: Digest, terms: &[Terms], now_ns: u64) -> bool {
        self.0.iter().any(|open| {
            open.digest == digest
                && now_ns < open.until_ns
                && open.person == *person
                && terms.iter().all(|asked| open.terms.contains(asked))
        })
    }
}
