//! Who the client is: a SASL login by one of the mechanisms its listener offers, or anonymous where the listener lets
//! anybody in. What a certificate says of it was found out before, by `certificate`.
//!
//! Order (KIP-43, KIP-152, KIP-368): SaslHandshake names the mechanism, SaslAuthenticate carries its messages, one for
//! PLAIN and two for the others where they fail or SCRAM; after a version 0 handshake the messages come bare. A connection
//! may authenticate again, as the same principal only. `plain`, `scram` and `oauthbearer` are the mechanisms; `jwt` checks
//! what two of them may carry; here is what they have in common.
//!
//! Invariants:
//! - No answer, log line or event holds a password, a token or a proof.
//! - A login that fails is answered, then the connection ends. It is counted and recorded once.
//! - What a connection may do ends with what it logged in with: `in_force` is asked before each request, and by the sweep.

mod jwt;
mod oauthbearer;
mod plain;
mod scram;

use std::rc::Rc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::census::Place;
use super::certificate::{self, CertificateHold};
use super::connection::Connection;
use super::listener::ListenerOptions;
use super::meter::Standing;
use super::runtime::Runtime;
use crate::event::{self, EventKind, Identity};
use crate::limits;
use crate::policy::{self, Principal};
use crate::scram::{Hash, ServerExchange};
use crate::wire::kafka::sasl::{self, AuthenticateAnswer};

pub use jwt::Issuers;

/// Kafka's UNSUPPORTED_SASL_MECHANISM.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
/// Kafka's ILLEGAL_SASL_STATE.
const ILLEGAL_SASL_STATE: i16 = 34;
/// Kafka's SASL_AUTHENTICATION_FAILED.
pub(super) const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// Counted where a login ends before one was agreed on.
const NO_MECHANISM: &str = "none";

/// A SASL mechanism that Weir speaks as a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram(Hash),
    OauthBearer,
}

impl Mechanism {
    const ALL: [Mechanism; 4] =
        [Mechanism::Plain, Mechanism::Scram(Hash::Sha256), Mechanism::Scram(Hash::Sha512), Mechanism::OauthBearer];

    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(hash) => hash.mechanism(),
            Mechanism::OauthBearer => "OAUTHBEARER",
        }
    }

    fn is_offered(self, listener: &ListenerOptions) -> bool {
        match self {
            Mechanism::Plain => listener.weir_token || listener.jwt,
            Mechanism::Scram(_) => listener.scram,
            Mechanism::OauthBearer => listener.jwt,
        }
    }
}

fn offered(listener: &ListenerOptions) -> Vec<&'static str> {
    Mechanism::ALL.into_iter().filter(|m| m.is_offered(listener)).map(Mechanism::name).collect()
}

/// How far a connection's login has come.
#[derive(Default)]
pub(super) struct Login {
    stage: Stage,
    /// What the client's certificate says, where it showed one.
    pub certificate: Option<CertificateHold>,
    /// Who it is, once known.
    pub who: Option<Who>,
    /// The recording knows of it as somebody's.
    pub told: bool,
    /// What the recording knows is not true any more: it authenticated again, with other groups or by other means.
    changed: bool,
}

impl Login {
    /// Whether a login has begun and not ended.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    /// The mechanism was agreed on, its first message is due.
    Agreed(Mechanism),
    /// SCRAM's challenge went out, the proof is due.
    Challenged(Box<ServerExchange>),
    /// OAUTHBEARER's token was refused; the client has to acknowledge that before it is told why.
    Refused(Box<Denied>),
}

impl Stage {
    fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Stage::Idle => None,
            Stage::Agreed(mechanism) => Some(*mechanism),
            Stage::Challenged(exchange) => Some(Mechanism::Scram(exchange.hash())),
            Stage::Refused(_) => Some(Mechanism::OauthBearer),
        }
    }
}

/// Somebody who was let in.
#[derive(Clone)]
pub(super) struct Who {
    pub principal: Principal,
    hold: Option<Hold>,
    place: Rc<Place>,
}

/// What a login rests on.
#[derive(Clone)]
struct Hold {
    expires_ns: u64,
    /// The Weir token, where it is one: those can be revoked.
    token: Option<TokenHold>,
}

#[derive(Clone)]
struct TokenHold {
    id: String,
    /// The token table that was last asked.
    generation: u64,
}

/// Who a mechanism found the client to be.
struct Proven {
    principal: Principal,
    hold: Hold,
    /// The mechanism's last message.
    message: Vec<u8>,
}

/// Why a mechanism lets nobody in.
struct Denied {
    claimed: Option<String>,
    for_client: String,
    for_log: String,
    /// It was counted and recorded already.
    told: bool,
}

impl Denied {
    /// The same words for both.
    fn plainly(claimed: Option<&str>, text: impl ToString) -> Self {
        Self::new(claimed, text.to_string(), text.to_string())
    }

    fn new(claimed: Option<&str>, for_client: String, for_log: String) -> Self {
        let claimed = claimed.map(|name| name.chars().take(limits::EVENT_NAME_BYTES_MAX).collect());
        Self { claimed, for_client, for_log, told: false }
    }
}

/// What a step of a login comes to.
enum Step {
    /// The client is due; this is for it.
    GoOn { message: Vec<u8>, next: Stage },
    /// It is somebody.
    Proven(Proven),
}

/// What a login message led to.
pub(super) struct Answer {
    /// The frame for the client; none after a bare message that has no error form.
    pub frame: Option<Bytes>,
    /// The connection ends after it.
    pub fatal: Option<String>,
    /// For the recording.
    pub event: Option<EventKind>,
    /// Another message of the same login is due.
    pub goes_on: bool,
}

/// Answers SaslHandshake.
pub(super) fn handshake<R: Runtime>(c: &Connection<R>, version: i16, correlation_id: i32, body: &[u8]) -> Answer {
    let listener = &c.door.listener;
    let offered = offered(listener);
    if let Stage::Refused(denied) = std::mem::take(&mut c.login.borrow_mut().stage) {
        // It failed already; a new start would let a connection guess for as long as it likes.
        return refused(c, Some(Mechanism::OauthBearer), *denied, |_| {
            sasl::handshake_response(version, correlation_id, ILLEGAL_SASL_STATE, &offered)
        });
    }
    let asked = sasl::handshake_mechanism(body).unwrap_or_default();
    let agreed = Mechanism::ALL.into_iter().find(|m| m.name() == asked && m.is_offered(listener));
    let Some(mechanism) = agreed else {
        let shown: String = asked.chars().filter(|ch| ch.is_ascii_graphic()).take(32).collect();
        let frame = sasl::handshake_response(version, correlation_id, UNSUPPORTED_SASL_MECHANISM, &offered);
        let reason = match offered.as_slice() {
            [] => "this listener takes no login: connect without SASL".to_owned(),
            [only] => format!("SASL mechanism {shown:?} is not offered here, {only} is"),
            several => format!("SASL mechanism {shown:?} is not offered here, {} are", several.join(", ")),
        };
        count(c, NO_MECHANISM, false);
        let event = Some(EventKind::LoginFailed { mechanism: shown, claimed: None, reason: reason.clone() });
        return Answer { frame, fatal: Some(reason), event, goes_on: false };
    };
    c.login.borrow_mut().stage = Stage::Agreed(mechanism);
    let frame = sasl::handshake_response(version, correlation_id, 0, &offered);
    Answer { frame, fatal: None, event: None, goes_on: true }
}

/// Answers SaslAuthenticate. It may wait a moment for an issuer's keys.
pub(super) async fn authenticate<R: Runtime>(
    c: &Connection<R>,
    version: i16,
    correlation_id: i32,
    body: &[u8],
) -> Answer {
    let stage = std::mem::take(&mut c.login.borrow_mut().stage);
    let Some(mechanism) = stage.mechanism() else {
        let denied = Denied::plainly(None, "SaslHandshake has to come before SaslAuthenticate");
        return refused(c, None, denied, |message| {
            let answer = AuthenticateAnswer { error: ILLEGAL_SASL_STATE, message: Some(message), ..Default::default() };
            sasl::authenticate_response(version, correlation_id, answer)
        });
    };
    let step = match sasl::authenticate_token(body, version) {
        Ok(message) => step(c, stage, message).await,
        Err(malformed) => Err(Denied::plainly(None, malformed)),
    };
    match taken(c, mechanism, step) {
        Ok(Taken { message, lifetime_ms, event, goes_on }) => {
            let answer = AuthenticateAnswer { token: &message, session_lifetime_ms: lifetime_ms, ..Default::default() };
            Answer { frame: sasl::authenticate_response(version, correlation_id, answer), fatal: None, event, goes_on }
        }
        Err(denied) => refused(c, Some(mechanism), denied, |message| {
            let error = SASL_AUTHENTICATION_FAILED;
            let answer = AuthenticateAnswer { error, message: Some(message), ..Default::default() };
            sasl::authenticate_response(version, correlation_id, answer)
        }),
    }
}

/// Takes a bare message after a version 0 handshake; the answers are bare as well, and a close says no.
pub(super) async fn bare<R: Runtime>(c: &Connection<R>, message: &Zeroizing<Vec<u8>>) -> Answer {
    let stage = std::mem::take(&mut c.login.borrow_mut().stage);
    let Some(mechanism) = stage.mechanism() else {
        return refused(c, None, Denied::plainly(None, "no mechanism was agreed on"), |_| None);
    };
    let step = step(c, stage, message).await;
    match taken(c, mechanism, step) {
        Ok(Taken { message, event, goes_on, .. }) => {
            Answer { frame: sasl::bare_message(&message), fatal: None, event, goes_on }
        }
        Err(denied) => refused(c, Some(mechanism), denied, |_| None),
    }
}

/// The next step of the login that is under way.
async fn step<R: Runtime>(c: &Connection<R>, stage: Stage, message: &[u8]) -> Result<Step, Denied> {
    match stage {
        Stage::Idle => Err(Denied::plainly(None, "no mechanism was agreed on")),
        Stage::Agreed(Mechanism::Plain) => plain::login(c, message).await.map(Step::Proven),
        Stage::Agreed(Mechanism::Scram(hash)) => scram::challenge(hash, message),
        Stage::Challenged(exchange) => scram::login(c, &exchange, message).map(Step::Proven),
        Stage::Agreed(Mechanism::OauthBearer) => oauthbearer::login(c, message).await,
        // Whatever it says to it.
        Stage::Refused(denied) => Err(*denied),
    }
}

/// What the client is told where its login goes on or is done.
struct Taken {
    message: Vec<u8>,
    lifetime_ms: i64,
    event: Option<EventKind>,
    goes_on: bool,
}

fn taken<R: Runtime>(c: &Connection<R>, mechanism: Mechanism, step: Result<Step, Denied>) -> Result<Taken, Denied> {
    match step? {
        Step::GoOn { message, mut next } => {
            // A client that never acknowledges its refusal is on record all the same.
            let event = match &mut next {
                Stage::Refused(denied) => tell(c, Some(mechanism), denied),
                _ => None,
            };
            c.login.borrow_mut().stage = next;
            Ok(Taken { message, lifetime_ms: 0, event, goes_on: true })
        }
        Step::Proven(proven) => {
            let message = proven.message.clone();
            let lifetime_ms = admit(c, proven)?;
            count(c, mechanism.name(), true);
            Ok(Taken { message, lifetime_ms, event: None, goes_on: false })
        }
    }
}

/// Lets somebody in; for how long, ms.
fn admit<R: Runtime>(c: &Connection<R>, proven: Proven) -> Result<i64, Denied> {
    let Proven { principal, hold, .. } = proven;
    let mut login = c.login.borrow_mut();
    certificate::agrees(&login, &principal).map_err(|why| Denied::plainly(Some(&principal.subject), why))?;
    let before = login.who.as_ref();
    if before.is_some_and(|who| !who.principal.is_same_as(&principal)) {
        let text = "a connection may authenticate again as the same principal only";
        return Err(Denied::plainly(Some(&principal.subject), text));
    }
    let changed = before.is_some_and(|who| who.principal != principal);
    let Some(place) = place(c, before, &principal) else {
        let (who, limit) = (&principal.subject, c.shard.census.limit());
        let text = format!("{who} has {limit} connections already, more are not taken");
        return Err(Denied::plainly(Some(who), text));
    };
    // The connection ends with the first of them.
    let ends_ns = login.certificate.as_ref().map_or(u64::MAX, |held| held.expires_ns).min(hold.expires_ns);
    let left_ns = ends_ns.saturating_sub(c.clock.now_ns());
    login.changed |= changed;
    login.who = Some(Who { principal, hold: Some(hold), place });
    if changed {
        // Rules go by groups.
        *c.scope.borrow_mut() = None;
        *c.masking.borrow_mut() = None;
    }
    // What it was before, it may have been nobody.
    c.access.forget();
    c.approvals.forget();
    // 0 would mean for ever.
    Ok(i64::try_from(left_ns / 1_000_000).unwrap_or(i64::MAX).max(1))
}

/// The place of a connection among its identity's; one that authenticates again keeps its own.
fn place<R: Runtime>(c: &Connection<R>, who: Option<&Who>, principal: &Principal) -> Option<Rc<Place>> {
    match who {
        Some(who) => Some(who.place.clone()),
        None => c.shard.census.place(principal).map(Rc::new),
    }
}

fn refused<R: Runtime>(
    c: &Connection<R>,
    mechanism: Option<Mechanism>,
    mut denied: Denied,
    frame: impl FnOnce(&str) -> Option<Bytes>,
) -> Answer {
    let event = tell(c, mechanism, &mut denied);
    Answer { frame: frame(&denied.for_client), fatal: Some(denied.for_log), event, goes_on: false }
}

/// Counts a failed login, and puts it into words for the recording; once.
fn tell<R: Runtime>(c: &Connection<R>, mechanism: Option<Mechanism>, denied: &mut Denied) -> Option<EventKind> {
    if std::mem::replace(&mut denied.told, true) {
        return None;
    }
    let mechanism = mechanism.map_or(NO_MECHANISM, Mechanism::name);
    count(c, mechanism, false);
    let mechanism = mechanism.to_owned();
    Some(EventKind::LoginFailed { mechanism, claimed: denied.claimed.clone(), reason: denied.for_log.clone() })
}

/// Counts a login.
pub(super) fn count<R: Runtime>(c: &Connection<R>, mechanism: &str, succeeded: bool) {
    let listener = c.door.listener.name.clone();
    let outcome = if succeeded { "succeeded" } else { "failed" };
    let labels = [("listener", listener), ("mechanism", mechanism.to_owned()), ("outcome", outcome.to_owned())];
    metrics::counter!("weir_logins_total", &labels).increment(1);
}

/// Lets a client in by its certificate, or as anonymous where the listener says so; why nobody is there, if nobody is.
pub(super) fn is_somebody<R: Runtime>(c: &Connection<R>) -> Result<(), String> {
    let mut login = c.login.borrow_mut();
    if login.who.is_some() {
        return Ok(());
    }
    let principal = match &login.certificate {
        Some(held) => held.principal.clone(),
        None if c.door.listener.anonymous => Principal::anonymous(),
        None => {
            let offered = offered(&c.door.listener).join(", SASL/");
            return Err(format!("this listener asks for a login first (SASL/{offered})"));
        }
    };
    let Some(place) = place(c, None, &principal) else {
        let (who, limit) = (&principal.subject, c.shard.census.limit());
        return Err(format!("{who} has {limit} connections already, more are not taken"));
    };
    login.who = Some(Who { principal, hold: None, place });
    Ok(())
}

/// Whether what the login rests on still holds; why not, if not.
pub(super) fn in_force<R: Runtime>(c: &Connection<R>, now_ns: u64) -> Result<(), String> {
    let mut login = c.login.borrow_mut();
    certificate::in_force(&login, now_ns)?;
    let Some(who) = login.who.as_mut() else { return Ok(()) };
    let Some(hold) = who.hold.as_mut() else { return Ok(()) };
    let ended = now_ns >= hold.expires_ns;
    match &mut hold.token {
        Some(token) if ended => Err(format!("token {} has expired", token.id)),
        None if ended => Err(format!("the JWT of {} has expired", who.principal.subject)),
        None => Ok(()),
        Some(token) => {
            let tokens = c.shard.tokens.load();
            if tokens.generation() != token.generation {
                tokens.still_valid(&token.id, now_ns).map_err(|refusal| refusal.to_string())?;
                token.generation = tokens.generation();
            }
            Ok(())
        }
    }
}

/// What the recording has to be told: who the connection acts for, at first and when that changed.
pub(super) fn introduce<R: Runtime>(c: &Connection<R>, client_id: Option<&str>) -> Option<EventKind> {
    let mut login = c.login.borrow_mut();
    if login.told && !login.changed {
        return None;
    }
    let who = login.who.as_ref()?;
    let identity = Identity {
        issuer: who.principal.issuer.clone(),
        subject: who.principal.subject.clone(),
        groups: who.principal.groups.clone(),
        mechanism: match who.principal.mechanism {
            policy::Mechanism::Anonymous => event::Mechanism::Anonymous,
            policy::Mechanism::PlainToken => event::Mechanism::PlainToken,
            policy::Mechanism::ScramToken => event::Mechanism::ScramToken,
            policy::Mechanism::Jwt => event::Mechanism::Jwt,
            policy::Mechanism::Certificate => event::Mechanism::Certificate,
        },
    };
    login.changed = false;
    if !std::mem::replace(&mut login.told, true) {
        let (meter, listener) = (&c.shard.meter, &c.door.listener.name);
        meter.connections(listener, Standing::Unidentified, -1);
        meter.connections(listener, Standing::Identified, 1);
    }
    Some(EventKind::Identified { identity, client_id: client_id.map(str::to_owned) })
}
