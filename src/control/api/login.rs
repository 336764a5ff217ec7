//! Logins to the API: `Authorization: Bearer` with a Weir token or a JWT, checked anew with each request, so that a
//! revocation or an end counts at once.
//!
//! Invariant: what was presented is in no answer and no log line; secrets are compared in constant time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, StatusCode, header};

use super::caller::{Caller, How};
use crate::control::problem::Problem;
use crate::limits::{JWKS_LOGIN_WAIT, JWT_BYTES_MAX};
use crate::policy::{
    IssuerTable, JwtLogin, JwtRefusal, Principal, Refusal, RoleGroups, TokenTable, looks_like_jwt, looks_like_token,
};

/// Who may log in to the API, and what they may do there.
pub struct LoginOptions {
    /// Which groups have which roles.
    pub roles: RoleGroups,
    /// The names of the issuers whose JWTs are taken.
    pub issuers: Vec<String>,
    /// The issuers and their keys.
    pub issuer_table: Arc<ArcSwap<IssuerTable>>,
    /// Has the keys of an issuer fetched, by its name; never blocks.
    pub refresh: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for LoginOptions {
    /// Nobody may do anything.
    fn default() -> Self {
        LoginOptions {
            roles: RoleGroups::default(),
            issuers: Vec::new(),
            issuer_table: Arc::default(),
            refresh: Arc::new(|_| {}),
        }
    }
}

/// Checks logins.
pub(in crate::control) struct Logins {
    pub(in crate::control) options: LoginOptions,
    pub(in crate::control) tokens: Arc<ArcSwap<TokenTable>>,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// There is no login at all.
    #[error("log in with `Authorization: Bearer` and a Weir token or a JWT")]
    Missing,
    /// It is not of the form.
    #[error("the Authorization header is not `Bearer` and a Weir token or a JWT")]
    Form,
    /// A token of Weir's that does not let in.
    #[error("{}", .0.for_client())]
    Token(Refusal),
    /// A JWT that does not let in.
    #[error("{}", .0.for_client())]
    Jwt(JwtRefusal),
}

impl LoginError {
    /// What the log says: more than is told to whoever tried.
    pub(super) fn for_operator(&self) -> String {
        match self {
            LoginError::Token(refusal) => refusal.to_string(),
            LoginError::Jwt(refusal) => refusal.to_string(),
            LoginError::Missing | LoginError::Form => self.to_string(),
        }
    }
}

/// How often a login that waits looks for new keys.
const LOOK: Duration = Duration::from_millis(25);

impl Logins {
    /// Who presents this `Authorization` header, from `address`.
    pub(super) async fn check(&self, header: &str, address: IpAddr) -> Result<Caller, LoginError> {
        let (scheme, credential) = header.split_once(' ').ok_or(LoginError::Form)?;
        let credential = credential.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || credential.len() > JWT_BYTES_MAX {
            return Err(LoginError::Form);
        }
        if looks_like_token(credential) {
            let table = self.tokens.load();
            let (login, record) = table.verify_bearer(credential, now_ns()).map_err(LoginError::Token)?;
            let how = How::WeirToken { id: login.token_id };
            let caller = self.caller(login.principal, how, address);
            return Ok(Caller { minted_by: record.minter.clone(), ..caller });
        }
        if looks_like_jwt(credential) {
            let JwtLogin { principal, .. } = self.jwt(credential).await.map_err(LoginError::Jwt)?;
            return Ok(self.caller(principal, How::Jwt, address));
        }
        Err(LoginError::Form)
    }

    /// Who says on the local socket who they are; none who does not.
    pub(in crate::control) async fn on_local_socket(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        let Some(presented) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let presented = presented.to_str().unwrap_or_default();
        let caller = self.check(presented, IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        caller.map(Some).map_err(|error| Problem::of(StatusCode::UNAUTHORIZED, error.to_string()))
    }

    fn caller(&self, principal: Principal, how: How, address: IpAddr) -> Caller {
        let roles = self.options.roles.of(&principal);
        let Principal { issuer, subject, groups, .. } = principal;
        Caller { issuer, subject, groups, roles, minted_by: None, how, address: Some(address) }
    }

    /// Checks a JWT. Where its key is unknown, keys are fetched again, unless they just were, and awaited for a while, as on
    /// the shards.
    async fn jwt(&self, token: &str) -> Result<JwtLogin, JwtRefusal> {
        let LoginOptions { issuers, issuer_table, refresh, .. } = &self.options;
        let looked_at = issuer_table.load_full();
        let refusal = match looked_at.verify(token, issuers, now_ns()) {
            Ok(login) => return Ok(login),
            Err(refusal) => refusal,
        };
        let Some(known) = refusal.wants_keys_of().and_then(|name| looked_at.get(name)) else { return Err(refusal) };
        let name = known.rules.name.as_str();
        let is_newer = || issuer_table.load().get(name).is_some_and(|issuer| issuer.attempts != known.attempts);
        if !is_newer() {
            if !known.may_refresh(now_ns()) {
                return Err(refusal);
            }
            refresh(name);
        }
        let mut waited = Duration::ZERO;
        while !is_newer() && waited < JWKS_LOGIN_WAIT {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
        if is_newer() { issuer_table.load().verify(token, issuers, now_ns()) } else { Err(refusal) }
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
