//! Who a client is by its certificate: what `auth: [mtls]` means on a shard.
//!
//! A client that shows a certificate is whom the listener's rules make of its subject, from its first request on. It may
//! log in with SASL besides, and then is whom the login says, with the login's groups: but only as the subject that the
//! certificate names, so that neither proof can be used to pass for another.
//!
//! Invariants:
//! - A certificate whose subject no rule names lets nobody in, whatever else the listener accepts.
//! - A connection ends with the certificate it was opened with.

use super::connection::Connection;
use super::login::{self, Login};
use super::runtime::Runtime;
use super::tls::TlsStream;
use crate::event::EventKind;
use crate::policy::{Mechanism, Principal};
use crate::tls::CertificateSubject;

/// The issuer of principals that certificates name.
const ISSUER: &str = "certificate";

/// Where others have the name of a SASL mechanism.
const MECHANISM: &str = "CERTIFICATE";

/// What a client's certificate says.
#[derive(Debug, Clone)]
pub(super) struct CertificateHold {
    pub principal: Principal,
    /// When it ends, ns since the Unix epoch.
    pub expires_ns: u64,
}

/// A certificate that is good and names nobody.
pub(super) struct Denied {
    pub subject: Option<String>,
    pub why: String,
}

/// Notes whom the client's certificate names, where one was shown and the listener asks.
pub(super) fn learn<R: Runtime>(c: &Connection<R>, tls: &TlsStream<R::Stream>) -> Result<(), Denied> {
    let subjects = c.door.listener.tls.as_ref().and_then(|tls| tls.subjects.as_ref());
    let (Some(subjects), Some(certificate)) = (subjects, tls.peer_certificate()) else { return Ok(()) };
    let read = CertificateSubject::of(&certificate).map_err(|e| Denied { subject: None, why: e.to_string() })?;
    let Some(name) = subjects.mapping.name(&read.name) else {
        let why = format!("no rule of `principal_mapping` makes a name of the certificate's subject {:?}", read.name);
        return Err(Denied { subject: Some(read.name), why });
    };
    let mut groups = if subjects.units_are_groups { read.units } else { Vec::new() };
    groups.sort_unstable();
    groups.dedup();
    let issuer = ISSUER.to_owned();
    let principal =
        Principal { issuer, subject: name, groups, mechanism: Mechanism::Certificate, minted_by: None, scopes: None };
    login::count(c, MECHANISM, true);
    c.login.borrow_mut().certificate = Some(CertificateHold { principal, expires_ns: read.expires_ns });
    Ok(())
}

/// What the recording keeps of a certificate that let nobody in.
pub(super) fn failed<R: Runtime>(c: &Connection<R>, claimed: Option<String>, reason: String) -> EventKind {
    login::count(c, MECHANISM, false);
    EventKind::LoginFailed { mechanism: MECHANISM.to_owned(), claimed, reason }
}

/// Whether a SASL login goes with the certificate that was shown; why not, if not.
pub(super) fn agrees(login: &Login, principal: &Principal) -> Result<(), String> {
    match &login.certificate {
        Some(held) if held.principal.subject != principal.subject => Err(format!(
            "the login is {:?}'s, the certificate {:?}'s: they have to be the same",
            principal.subject, held.principal.subject
        )),
        _ => Ok(()),
    }
}

/// Whether the certificate still holds; why not, if not.
pub(super) fn in_force(login: &Login, now_ns: u64) -> Result<(), String> {
    match &login.certificate {
        Some(held) if now_ns >= held.expires_ns => {
            Err(format!("the certificate of {:?} has expired", held.principal.subject))
        }
        _ => Ok(()),
    }
}
