//! The policy changed through the API: judged by the policy in force, written to the files, and taken over as a reload does.
//!
//! Invariants:
//! - Nobody writes over what they have not seen: neither another policy in force, nor files that say something else than it.
//! - Where rules of the policy in force hold the change, a use of its grant is on the disk before a byte of it is written; a
//!   policy that takes these rules away is held by them.
//! - What cannot be taken over is not left in the files: they are put back, and the answer says so.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::{Kept, PolicyKeeper, in_force, problems, text, told};
use crate::config::{PolicyPutError, PutPolicy};
use crate::control::{PolicyChange, PolicyChangeError, PolicyReloaded};
use crate::limits;
use crate::policy::{
    AccessClient, Action, Answer, HeldOperation, PolicySnapshot, PolicyText, Requester, Terms, policy_change,
};
use crate::recorder::PolicyHash;

impl PolicyKeeper {
    pub(super) fn change_to(&self, change: PolicyChange<'_>) -> Result<PolicyReloaded, PolicyChangeError> {
        let PolicyChange { files, by, seen, ask } = change;
        let path = self.config.policy.path.as_deref().ok_or(PolicyChangeError::NoFile)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let old = Arc::clone(&kept.in_force);
        if !seen(&in_force(&old)) {
            let what = "the policy in force is another by now; look at it again (GET policy/text), then change that";
            return Err(PolicyChangeError::NotSeen(what.to_owned()));
        }
        let put = PutPolicy::new(path, files.into_iter().map(text).collect());
        let put = put.map_err(|error| PolicyChangeError::Names(error.to_string()))?;
        self.checked(put.files.clone()).map_err(PolicyChangeError::Wrong)?;
        if put.hash() == old.hash {
            return Ok(told(&old));
        }
        self.is_on_the_disk(path, &old)?;
        let request = granted(&old, &put, by, ask)?;
        // Only now, and for nobody who may not change it: it tells which files there are.
        self.config.read_policy_to_put(&put).map_err(|wrong| PolicyChangeError::Wrong(problems(wrong)))?;
        put.put(&old.files).map_err(unwritten)?;
        let (from, to) = (PolicyHash(old.hash).to_string(), PolicyHash(put.hash()).to_string());
        tracing::info!(by = ?by.person.to_string(), from, to, request, "the policy's files were changed through the API");
        self.take_over_what_was_put(&mut kept, &put, &old.files)
    }

    /// Whether the files say what is in force: somebody may have edited them, and nobody has taken that over yet.
    fn is_on_the_disk(&self, path: &Path, old: &PolicySnapshot) -> Result<(), PolicyChangeError> {
        let not_made_yet = old.files.is_empty() && !path.is_symlink() && !path.exists();
        if not_made_yet || self.config.policy_on_disk() == Some(old.hash) {
            return Ok(());
        }
        let what = "the policy's files say something else than the policy in force; somebody is changing them. Take that over \
                    (POST policy/reload) or put it right first";
        Err(PolicyChangeError::NotSeen(what.to_owned()))
    }

    fn take_over_what_was_put(
        &self,
        kept: &mut Kept,
        put: &PutPolicy,
        old: &[PolicyText],
    ) -> Result<PolicyReloaded, PolicyChangeError> {
        let why = match self.reload_kept(kept) {
            Ok(reloaded) => return Ok(reloaded),
            Err(error) => error.to_string(),
        };
        put.put_back(old).map_err(|error| {
            PolicyChangeError::Broken(format!("{why}\nthe policy's files cannot be put back: {error}"))
        })?;
        Err(PolicyChangeError::PutBack(why))
    }
}

/// The request whose grant was claimed; none where no rule holds the change.
fn granted(
    old: &PolicySnapshot,
    put: &PutPolicy,
    by: &Requester,
    ask: &dyn Fn(Action, Vec<Terms>) -> Answer,
) -> Result<Option<String>, PolicyChangeError> {
    let terms = terms(old, by);
    if terms.is_empty() {
        return Ok(None);
    }
    let action = policy_change((old.hash, &old.files), (put.hash(), &put.files));
    if action.bytes() > limits::ACTION_BYTES_MAX {
        return Err(PolicyChangeError::TooLarge);
    }
    match ask(action, terms) {
        Answer::Granted { request, .. } => Ok(Some(request)),
        answer => Err(PolicyChangeError::Held(answer)),
    }
}

/// What has to be met before somebody changes the policy.
fn terms(policy: &PolicySnapshot, by: &Requester) -> Vec<Terms> {
    // It is no listener's, and rules about it name none.
    let client = AccessClient {
        listener: "",
        issuer: &by.person.issuer,
        subject: &by.person.subject,
        groups: &by.groups,
        client_id: None,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        scopes: None,
    };
    let Some(rules) = policy.approvals.about(&client) else { return Vec::new() };
    rules.of(HeldOperation::ChangePolicy).map(|rule| rule.terms.clone()).collect()
}

fn unwritten(error: PolicyPutError) -> PolicyChangeError {
    match error {
        PolicyPutError::Half { .. } => PolicyChangeError::Broken(error.to_string()),
        _ => PolicyChangeError::Unwritable(error.to_string()),
    }
}
