//! The fetch sessions (KIP-227) and share sessions (KIP-932) that a connection opened under the rights it has now.
//!
//! A session keeps at the broker what was once asked for, and later requests do not name it again. So one that was opened
//! under other rights, or by another connection, is as good as unknown here: its client opens another, and names
//! everything.

use std::collections::VecDeque;

use crate::limits;

/// Sessions of one connection. The oldest are forgotten where there are many: clients have one a broker.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    fetch: VecDeque<i32>,
    /// By group and member.
    share: VecDeque<(String, String)>,
}

impl Sessions {
    /// Whether the fetch session was opened by this connection.
    pub fn knows(&self, id: i32) -> bool {
        self.fetch.contains(&id)
    }

    /// Whether the share session was.
    pub fn shares(&self, member: &(String, String)) -> bool {
        self.share.contains(member)
    }

    /// A broker opened a fetch session for this connection; 0 stands for none.
    pub fn opened(&mut self, id: i32) {
        if id != 0 {
            keep(&mut self.fetch, id);
        }
    }

    /// This connection opened a share session.
    pub fn share_opened(&mut self, member: (String, String)) {
        keep(&mut self.share, member);
    }
}

fn keep<T: PartialEq>(kept: &mut VecDeque<T>, new: T) {
    if kept.contains(&new) {
        return;
    }
    if kept.len() >= limits::SESSIONS_KNOWN_MAX {
        kept.pop_front();
    }
    kept.push_back(new);
}
