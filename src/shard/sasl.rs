//! Who the client is: SASL/PLAIN with tokens that Weir issued, or anonymous where the listener lets anybody in.
//!
//! Order (KIP-43, KIP-152, KIP-368): SaslHandshake names the mechanism, SaslAuthenticate carries the token; after a
//! version 0 handshake the token comes bare. A connection may authenticate again, as the same principal only.
//!
//! Invariants:
//! - No answer, log line or event holds a password or a token.
//! - A login that fails is answered, then the connection ends.
//! - What a connection may do ends with its token: `in_force` is asked before each request, and by the sweep.

use std::rc::Rc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::census::Place;
use super::certificate::{self, CertificateHold};
use super::connection::Connection;
use super::meter::Standing;
use super::runtime::Runtime;
use crate::event::{self, EventKind, Identity};
use crate::policy::{Mechanism, Principal};
use crate::wire::kafka::sasl::{self, AuthenticateAnswer};

/// Kafka's UNSUPPORTED_SASL_MECHANISM.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
/// Kafka's ILLEGAL_SASL_STATE.
const ILLEGAL_SASL_STATE: i16 = 34;
/// Kafka's SASL_AUTHENTICATION_FAILED.
pub(super) const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// How far a connection's login has come.
#[derive(Default)]
pub(super) struct Login {
    /// What the client's certificate says, where it showed one.
    pub certificate: Option<CertificateHold>,
    /// The mechanism was agreed on, a token is due.
    pub handshaken: bool,
    /// Who it is, once known.
    pub who: Option<Who>,
    /// The recording knows who it is.
    pub told: bool,
}

/// Somebody who was let in.
#[derive(Clone)]
pub(super) struct Who {
    pub principal: Principal,
    pub token: Option<TokenHold>,
    place: Rc<Place>,
}

/// The token a login rests on.
#[derive(Clone)]
pub(super) struct TokenHold {
    pub id: String,
    pub expires_ns: u64,
    /// The token table that was last asked.
    pub generation: u64,
}

/// What a login message led to.
pub(super) struct Answer {
    /// The frame for the client; none after a bare token that was good or has no error form.
    pub frame: Option<Bytes>,
    /// The connection ends after it.
    pub fatal: Option<String>,
    /// For the recording.
    pub event: Option<EventKind>,
}

/// Answers SaslHandshake.
pub(super) fn handshake<R: Runtime>(c: &Connection<R>, version: i16, correlation_id: i32, body: &[u8]) -> Answer {
    let offered: &[&str] = if c.door.listener.weir_token { &["PLAIN"] } else { &[] };
    let mechanism = sasl::handshake_mechanism(body).unwrap_or_default();
    if !offered.contains(&mechanism) {
        let shown: String = mechanism.chars().filter(|ch| ch.is_ascii_graphic()).take(32).collect();
        let frame = sasl::handshake_response(version, correlation_id, UNSUPPORTED_SASL_MECHANISM, offered);
        let reason = match offered {
            [] => "this listener takes no login: connect without SASL".to_owned(),
            _ => format!("SASL mechanism {shown:?} is not offered here, {} is", offered.join(", ")),
        };
        let event = failed(c, shown, None, reason.clone());
        return Answer { frame, fatal: Some(reason), event };
    }
    c.login.borrow_mut().handshaken = true;
    Answer { frame: sasl::handshake_response(version, correlation_id, 0, offered), fatal: None, event: None }
}

/// Answers SaslAuthenticate.
pub(super) fn authenticate<R: Runtime>(c: &Connection<R>, version: i16, correlation_id: i32, body: &[u8]) -> Answer {
    if !c.login.borrow().handshaken {
        let message = "SaslHandshake has to come before SaslAuthenticate";
        let answer = AuthenticateAnswer { error: ILLEGAL_SASL_STATE, message: Some(message), ..Default::default() };
        let frame = sasl::authenticate_response(version, correlation_id, answer);
        return Answer { frame, fatal: Some(message.into()), event: failed(c, "PLAIN".into(), None, message.into()) };
    }
    let checked = match sasl::authenticate_token(body, version) {
        Ok(token) => check(c, token),
        Err(malformed) => {
            Err(Denied { claimed: None, for_client: malformed.to_string(), for_log: malformed.to_string() })
        }
    };
    match checked {
        Ok(lifetime_ms) => {
            let answer = AuthenticateAnswer { session_lifetime_ms: lifetime_ms, ..Default::default() };
            Answer { frame: sasl::authenticate_response(version, correlation_id, answer), fatal: None, event: None }
        }
        Err(denied) => {
            let message = Some(denied.for_client.as_str());
            let answer = AuthenticateAnswer { error: SASL_AUTHENTICATION_FAILED, message, ..Default::default() };
            let frame = sasl::authenticate_response(version, correlation_id, answer);
            let event = failed(c, "PLAIN".into(), denied.claimed, denied.for_log.clone());
            Answer { frame, fatal: Some(denied.for_log), event }
        }
    }
}

/// Takes a bare token after a version 0 handshake: an empty frame says yes, a close says no.
pub(super) fn bare_token<R: Runtime>(c: &Connection<R>, token: &Zeroizing<Vec<u8>>) -> Answer {
    match check(c, token) {
        Ok(_) => Answer { frame: Some(Bytes::from_static(&[0, 0, 0, 0])), fatal: None, event: None },
        Err(denied) => {
            let event = failed(c, "PLAIN".into(), denied.claimed, denied.for_log.clone());
            Answer { frame: None, fatal: Some(denied.for_log), event }
        }
    }
}

struct Denied {
    claimed: Option<String>,
    for_client: String,
    for_log: String,
}

/// Checks a PLAIN message; how long the login lasts, ms.
fn check<R: Runtime>(c: &Connection<R>, token: &[u8]) -> Result<i64, Denied> {
    let plain = sasl::parse_plain(token).map_err(|e| Denied {
        claimed: None,
        for_client: e.to_string(),
        for_log: e.to_string(),
    })?;
    let claimed = Some(plain.username.chars().take(256).collect::<String>());
    let now_ns = c.clock.now_ns();
    let tokens = c.shard.tokens.load();
    let login = tokens.verify(&plain.username, &plain.password, now_ns).map_err(|refusal| Denied {
        claimed: claimed.clone(),
        for_client: refusal.for_client(),
        for_log: refusal.to_string(),
    })?;
    let mut state = c.login.borrow_mut();
    state.handshaken = false;
    certificate::agrees(&state, &login.principal).map_err(|text| Denied {
        claimed: claimed.clone(),
        for_client: text.clone(),
        for_log: text,
    })?;
    if state.who.as_ref().is_some_and(|who| who.principal != login.principal) {
        let text = "a connection may authenticate again as the same principal only".to_owned();
        return Err(Denied { claimed, for_client: text.clone(), for_log: text });
    }
    let Some(place) = place(c, state.who.as_ref(), &login.principal) else {
        let text = format!(
            "{} has {} connections already, more are not taken",
            claimed_name(&claimed),
            c.shard.census.limit()
        );
        return Err(Denied { claimed, for_client: text.clone(), for_log: text });
    };
    let token = TokenHold { id: login.token_id, expires_ns: login.expires_ns, generation: tokens.generation() };
    let lifetime_ms = i64::try_from(login.expires_ns.saturating_sub(now_ns) / 1_000_000).unwrap_or(i64::MAX);
    state.who = Some(Who { principal: login.principal, token: Some(token), place });
    Ok(lifetime_ms)
}

fn claimed_name(claimed: &Option<String>) -> &str {
    claimed.as_deref().unwrap_or("this user")
}

/// The place of a connection among its identity's; one that authenticates again keeps its own.
fn place<R: Runtime>(c: &Connection<R>, who: Option<&Who>, principal: &Principal) -> Option<Rc<Place>> {
    match who {
        Some(who) => Some(who.place.clone()),
        None => c.shard.census.place(principal).map(Rc::new),
    }
}

fn failed<R: Runtime>(
    c: &Connection<R>,
    mechanism: String,
    claimed: Option<String>,
    reason: String,
) -> Option<EventKind> {
    let listener = c.door.listener.name.clone();
    metrics::counter!("weir_authentication_failures_total", "listener" => listener).increment(1);
    Some(EventKind::LoginFailed { mechanism, claimed, reason })
}

/// Lets a client in by its certificate, or as anonymous where the listener says so; why nobody is there, if nobody is.
pub(super) fn is_somebody<R: Runtime>(c: &Connection<R>) -> Result<(), String> {
    let mut state = c.login.borrow_mut();
    if state.who.is_some() {
        return Ok(());
    }
    let principal = match &state.certificate {
        Some(held) => held.principal.clone(),
        None if c.door.listener.anonymous => Principal::anonymous(),
        None => return Err("this listener asks for a login first (SASL/PLAIN)".into()),
    };
    let Some(place) = place(c, None, &principal) else {
        return Err(format!(
            "{} has {} connections already, more are not taken",
            principal.subject,
            c.shard.census.limit()
        ));
    };
    state.who = Some(Who { principal, token: None, place });
    Ok(())
}

/// Whether what the login rests on still holds; why not, if not.
pub(super) fn in_force<R: Runtime>(c: &Connection<R>, now_ns: u64) -> Result<(), String> {
    let mut state = c.login.borrow_mut();
    certificate::in_force(&state, now_ns)?;
    let Some(token) = state.who.as_mut().and_then(|who| who.token.as_mut()) else { return Ok(()) };
    if now_ns >= token.expires_ns {
        return Err(format!("token {} has expired", token.id));
    }
    let tokens = c.shard.tokens.load();
    if tokens.generation() != token.generation {
        tokens.still_valid(&token.id, now_ns).map_err(|refusal| refusal.to_string())?;
        token.generation = tokens.generation();
    }
    Ok(())
}

/// What the recording has to be told, once: who the connection acts for.
pub(super) fn introduce<R: Runtime>(c: &Connection<R>, client_id: Option<&str>) -> Option<EventKind> {
    let mut state = c.login.borrow_mut();
    if state.told {
        return None;
    }
    let who = state.who.as_ref()?;
    let identity = Identity {
        issuer: who.principal.issuer.clone(),
        subject: who.principal.subject.clone(),
        groups: who.principal.groups.clone(),
        mechanism: match who.principal.mechanism {
            Mechanism::Anonymous => event::Mechanism::Anonymous,
            Mechanism::PlainToken => event::Mechanism::PlainToken,
            Mechanism::ScramToken => event::Mechanism::ScramToken,
            Mechanism::Jwt => event::Mechanism::Jwt,
            Mechanism::Certificate => event::Mechanism::Certificate,
        },
    };
    state.told = true;
    let (meter, listener) = (&c.shard.meter, &c.door.listener.name);
    meter.connections(listener, Standing::Unidentified, -1);
    meter.connections(listener, Standing::Identified, 1);
    Some(EventKind::Identified { identity, client_id: client_id.map(str::to_owned) })
}
