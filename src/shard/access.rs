//! What a connection's client may do: looked up once it is known who it acts for, asked for each request and each listing.
//!
//! Invariants:
//! - Where no rule governs its listener and no scope its token, nothing here costs more than a look at an option.
//! - What was looked up goes with the policy and the login that it was looked up for. Rights are counted, so that what was
//!   asked for under earlier ones can be told from what was not.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use super::connection::Connection;
use super::runtime::Runtime;
use crate::pipeline::access::{self, Amends, Judgement, Request, Standing};
use crate::pipeline::exchange::Exchange;
use crate::policy::AccessClient;
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::walk::Malformed;

/// A connection's rights.
#[derive(Default)]
pub(super) struct Access {
    /// None until they were looked up; then none where nothing is decided here.
    standing: RefCell<Option<Option<Standing>>>,
    /// Counts up with each change.
    rights: Cell<u64>,
}

impl Access {
    /// They are looked up again.
    pub fn forget(&self) {
        self.standing.take();
        self.rights.set(self.rights.get() + 1);
    }
}

impl<R: Runtime> Connection<R> {
    /// Whether anything is decided for this client.
    pub fn is_governed(&self) -> bool {
        self.with_standing(|standing| standing.is_some())
    }

    /// Whether its client, which is known, may do nothing at all.
    pub fn may_do_nothing(&self) -> bool {
        let known = self.login.borrow().who.is_some() && self.client_id.get().is_some();
        known && self.with_standing(|standing| standing.is_some_and(|standing| standing.is_nothing()))
    }

    /// Judges a whole request by its client's rights.
    pub fn judge_rights(&self, exchange: &mut Exchange, body: &[u8]) -> Result<Judgement, Malformed> {
        let request = Request { api_key: exchange.api_key, version: exchange.version, body };
        let judged = self.with_standing(|standing| match standing {
            None => Ok(Judgement::Passes),
            Some(standing) => access::judge(request, standing, self),
        });
        exchange.rights = self.access.rights.get();
        judged
    }

    /// Whether a Produce may be relayed, by its beginning: all of it may be written.
    pub fn may_relay(&self, version: i16, beginning: &[u8], body_bytes: u64) -> bool {
        self.with_standing(|standing| {
            standing.is_none_or(|standing| access::may_all_be_written(version, beginning, body_bytes, standing, self))
        })
    }

    /// Whether rights that were counted so are others now.
    pub fn rights_changed(&self, since: u64) -> bool {
        // Hours may have begun or ended since.
        self.with_standing(|standing| standing.is_some()) && self.access.rights.get() != since
    }

    /// Whether what a share session brings has to be looked at: others, who may read more, can have a part in it.
    pub fn shares_with_others(&self) -> bool {
        self.with_standing(|standing| standing.is_some_and(|standing| !standing.reads_everything()))
    }

    /// An answer's body as its client may have it; none where it stays as it came.
    pub fn amend(&self, amends: &Amends, key: i16, version: i16, body: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        self.with_standing(|standing| access::amend(amends, key, version, body, standing, self))
    }

    /// Takes out of an answer what its client may not read any more.
    pub fn without_unreadable<'a>(&self, mut frame: Frame<'a>) -> Result<Cow<'a, [u8]>, Malformed> {
        self.with_standing(|standing| match standing {
            None => Ok(()),
            Some(standing) => {
                access::without_unreadable(&mut frame, standing, self, &mut self.shard.rewriter.borrow_mut())
            }
        })?;
        Ok(frame.bytes)
    }

    /// The broker opened a fetch session for this connection, or goes on with one.
    pub fn opened_session(&self, id: i32) {
        self.with_standing(|standing| standing.into_iter().for_each(|standing| standing.opened_session(id)));
    }

    fn with_standing<T>(&self, run: impl FnOnce(Option<&mut Standing>) -> T) -> T {
        let now_s = i64::try_from(self.clock.now_ns() / 1_000_000_000).unwrap_or(i64::MAX);
        let mut standing = self.access.standing.borrow_mut();
        let mut standing = standing.get_or_insert_with(|| self.look_up(now_s)).as_mut();
        if standing.as_mut().is_some_and(|standing| standing.at(now_s)) {
            self.access.rights.set(self.access.rights.get() + 1);
        }
        run(standing)
    }

    fn look_up(&self, now_s: i64) -> Option<Standing> {
        let login = self.login.borrow();
        let principal = &login.who.as_ref()?.principal;
        let client = AccessClient {
            listener: &self.door.listener.name,
            issuer: &principal.issuer,
            subject: &principal.subject,
            groups: &principal.groups,
            client_id: self.client_id.get().map(String::as_str).filter(|id| !id.is_empty()),
            address: self.peer.ip(),
            scopes: principal.scopes.as_deref(),
        };
        let rights = self.shard.policy.borrow().access.rights_of(&client)?;
        Some(Standing::new(rights, now_s))
    }
}
