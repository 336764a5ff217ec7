//! Fetch sessions under rules that hold reading: a request in a session names nothing that it reads, so there are none.
//!
//! Source: KIP-227. A client that asks for a session and is given none goes on with whole requests.

use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Direction, Role};
use crate::wire::kafka::tree::Tree;
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
    /// It goes on with a share session of which it is not known what it reads.
    Unknown,
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

/// Whether a ShareFetch goes on with a session (KIP-932): then it reads what that session was opened with, besides what it names.
pub fn goes_on_with_share_session(version: i16, body: &[u8]) -> Result<bool, Malformed> {
    let tree = Tree::read(key::SHARE_FETCH, version, Direction::Request, body, false)?;
    let epoch = tree.and_then(|tree| tree.root.number(Role::SessionEpoch)).map(|(epoch, _)| epoch);
    Ok(epoch.is_none_or(|epoch| epoch > FIRST))
}
