//! Fetch sessions under rules that hold reading: a request in a session names nothing that it reads, so there are none.
//!
//! Source: KIP-227. A client that asks for a session and is given none goes on with whole requests.

use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Direction, Role};
use crate::wire::kafka::tree::Tree;
use crate::wire::kafka::values::Structure;
use crate::wire::kafka::walk::Malformed;

/// What a Fetch says of its session.
#[derive(Debug, PartialEq, Eq)]
pub enum Session {
    /// It has none, and asks for none.
    None,
    /// It asks for one: the body that does not.
    NotAskedFor(Vec<u8>),
    /// It goes on with one, or closes it.
    GoesOn,
}

/// A whole fetch that opens no session.
const NO_SESSION: i64 = -1;
/// The first one of a session.
const FIRST: i64 = 0;

/// Looks at the session of a Fetch.
pub fn session(version: i16, body: &[u8]) -> Result<Session, Malformed> {
    let Some(tree) = Tree::read(key::FETCH, version, Direction::Request, body, false)? else {
        return Ok(Session::GoesOn);
    };
    let Some((epoch, at)) = tree.root.number(Role::SessionEpoch) else { return Ok(Session::None) };
    Ok(match epoch {
        NO_SESSION => Session::None,
        FIRST => {
            let mut without = tree.without();
            without.number(at, NO_SESSION);
            Session::NotAskedFor(without.done(body))
        }
        _ => Session::GoesOn,
    })
}

/// Whose a share session is: a group and a member, by which brokers keep them, whatever connection they are asked on.
pub type ShareMember = (String, String);

/// A share session as a ShareFetch leaves it (KIP-932).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSession {
    /// Whose it is.
    pub member: ShareMember,
    /// How far it has come.
    pub at: ShareEpoch,
    /// Topics that this request opens it with, or adds to it.
    pub topics: Vec<String>,
}

/// How far a share session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareEpoch {
    /// It is opened, in the place of any before it.
    Opens,
    /// It goes on: it reads what it was opened with, besides what the request names.
    GoesOn,
    /// It ends, and reads nothing more.
    Ends,
}

impl ShareSession {
    /// That of a ShareFetch whose topics' names are known.
    pub(super) fn of(said: &Structure, topics: Vec<String>) -> ShareSession {
        let text = |role| said.text(role).unwrap_or_default().to_owned();
        let at = match said.number(Role::SessionEpoch) {
            Some(FIRST) => ShareEpoch::Opens,
            Some(..FIRST) => ShareEpoch::Ends,
            _ => ShareEpoch::GoesOn,
        };
        ShareSession { member: (text(Role::GroupId), text(Role::MemberId)), at, topics }
    }
}
