//! The fetch sessions (KIP-227) and the share session (KIP-932) that a connection opened under the rights it has now.
//!
//! A session keeps at the broker what was once asked for, and later requests do not name it again. So one that was opened
//! under other rights, or by another connection, is as good as unknown here: its client opens another, and names
//! everything.

use std::collections::VecDeque;

use crate::limits;

/// Sessions of one connection.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    fetch: VecDeque<i32>,
    /// A share session is its member's own, and one at a time.
    pub share: bool,
}

impl Sessions {
    /// Whether the fetch session was opened by this connection.
    pub fn knows(&self, id: i32) -> bool {
        self.fetch.contains(&id)
    }

    /// A broker opened it for this connection. The oldest is forgotten where there are many: clients have one a broker.
    pub fn opened(&mut self, id: i32) {
        if id == 0 || self.knows(id) {
            return;
        }
        if self.fetch.len() >= limits::FETCH_SESSIONS_MAX {
            self.fetch.pop_front();
        }
        self.fetch.push_back(id);
    }
}
