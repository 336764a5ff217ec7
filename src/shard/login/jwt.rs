//! Checking a JWT on a shard, and waiting for an issuer's keys where that may help.
//!
//! Verifying a signature takes tens of microseconds of the shard; it happens once a login. Invariant: a token with a key
//! that nobody knows has keys fetched at most every [`JWKS_REFRESH_PAUSE`](limits::JWKS_REFRESH_PAUSE) an issuer, and
//! holds its own connection only.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{Hold, Proven};
use crate::limits;
use crate::policy::{Issuer, IssuerTable, JwtLogin, JwtRefusal};
use crate::shard::connection::Connection;
use crate::shard::runtime::Runtime;

/// The identity providers, as shards see them.
#[derive(Clone)]
pub struct Issuers {
    /// Their rules and keys, replaced as a whole.
    pub table: Arc<ArcSwap<IssuerTable>>,
    /// Has the keys of an issuer fetched, by its name in the configuration; never blocks.
    pub refresh: Arc<dyn Fn(&str) + Send + Sync>,
}

/// How often a login that waits looks for new keys.
const LOOK: Duration = Duration::from_millis(25);

/// Checks a token. Where its key is unknown, keys are fetched again, unless they just were, and awaited for a while: so
/// that an issuer's new key costs no failed login.
pub(super) async fn check<R: Runtime>(c: &Connection<R>, token: &str) -> Result<Proven, JwtRefusal> {
    let looked_at = c.shard.issuers.table.load_full();
    let refusal = match verify(c, &looked_at, token) {
        Ok(proven) => return Ok(proven),
        Err(refusal) => refusal,
    };
    let asked = refusal.wants_keys_of().and_then(|name| looked_at.get(name));
    match asked {
        Some(issuer) if fetched_since(c, issuer).await => verify(c, &c.shard.issuers.table.load(), token),
        _ => Err(refusal),
    }
}

fn verify<R: Runtime>(c: &Connection<R>, issuers: &IssuerTable, token: &str) -> Result<Proven, JwtRefusal> {
    let JwtLogin { principal, expires_ns } = issuers.verify(token, &c.door.listener.issuers, c.clock.now_ns())?;
    Ok(Proven { principal, hold: Hold { expires_ns, token: None }, message: Vec::new() })
}

/// Has an issuer's keys fetched, unless it may not be, and waits for that; whether anything came of it since `known`.
async fn fetched_since<R: Runtime>(c: &Connection<R>, known: &Issuer) -> bool {
    let name = known.rules.name.as_str();
    let is_newer = || c.shard.issuers.table.load().get(name).is_some_and(|issuer| issuer.attempts != known.attempts);
    if !is_newer() {
        if !known.may_refresh(c.clock.now_ns()) {
            return false;
        }
        (c.shard.issuers.refresh)(name);
    }
    let mut waited = Duration::ZERO;
    while !is_newer() && waited < limits::JWKS_LOGIN_WAIT && !c.is_ending() {
        R::sleep(LOOK).await;
        waited += LOOK;
    }
    is_newer()
}
