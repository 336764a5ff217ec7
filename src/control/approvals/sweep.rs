//! What comes to pass by time alone: requests run out, and what has been over for long is forgotten.
//!
//! Invariant: that a request ran out is told once, written with the notice of it.

use super::registry::Registry;
use super::{ApprovalError, rows, view};
use crate::control::notices::NoticeKind;
use crate::policy::{AccessRequest, Case, RequestState};

impl Registry {
    /// Looks through all requests.
    pub fn look_through(&self) -> Result<(), ApprovalError> {
        self.tell_what_has_run_out()?;
        self.forget_old()
    }

    fn tell_what_has_run_out(&self) -> Result<(), ApprovalError> {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let untold = |case: &&mut Case| !case.request.expiry_told && case.state(now_ns) == RequestState::Expired;
        for case in kept.cases.values_mut().filter(untold) {
            let next = AccessRequest { expiry_told: true, ..case.request.clone() };
            let data = view::notice(case, now_ns, self.options.url.as_deref(), None);
            let notice = self.options.outbox.prepare(NoticeKind::RequestDecided, data);
            self.options.store.write([rows::request(&next)?, notice.change()])?;
            case.request = next;
            tracing::info!(request = case.request.id, "nobody decided in time: {}", case.request.action);
        }
        Ok(())
    }

    /// Removes what has been over for longer than it is kept.
    fn forget_old(&self) -> Result<(), ApprovalError> {
        let now_ns = self.now_ns();
        let mut kept = self.kept();
        let is_old = |case: &Case| {
            let ends = case.grant.as_ref().map_or(case.request.expires_ns, |grant| grant.until_ns);
            !case.is_to_be_reviewed() && ends.saturating_add(self.options.kept_ns) < now_ns
        };
        let old: Vec<String> = kept.cases.iter().filter(|(_, case)| is_old(case)).map(|(id, _)| id.clone()).collect();
        for id in old {
            let Some(case) = kept.cases.get(&id) else { continue };
            self.options.store.write(rows::all_of(case))?;
            kept.remove(&id);
        }
        Ok(())
    }
}
