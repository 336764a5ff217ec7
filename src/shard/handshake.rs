//! The TLS handshake, with a client and with a broker, and what to say when it fails.
//!
//! Invariants:
//! - A handshake is one connection's own affair: it is bounded in time (`limits.handshake` for clients, by the sweep; the
//!   wait for a broker by `dial`) and stops nobody else.
//! - One that fails ends with an alert that the peer can read, a log line that says whose doing it was, and a count.
//! - Where names tell brokers apart, the name of this very handshake counts: nothing is resumed, and a name that is none here
//!   is refused before it is answered.

use std::rc::Rc;
use std::sync::Arc;

use futures_lite::future::{or, yield_now};
use rustix::net::Shutdown;
use rustls::pki_types::ServerName;

use super::certificate;
use super::connection::Connection;
use super::runtime::{Runtime, Stream};
use super::tls::{HandshakeError, Scratch, TlsStream, Transport};
use crate::addressing::Brokers;
use crate::limits;
use crate::pipeline::fault::Fault;
use crate::tls::{ClientTls, Peer, explain, explain_io};
use crate::upstream::Endpoint;
use crate::wire::kafka::frame::{self, FrameError, LooksLike};

/// Finds out which broker the client asks for by its server name, on a listener whose brokers have names; false when it went
/// without having said anything. Whoever names no host, or the bootstrap one, is for any broker.
pub(super) async fn ask_for_broker<R: Runtime>(c: &Rc<Connection<R>>) -> Result<bool, Fault> {
    let (Brokers::Sni { bootstrap }, Transport::Tls(tls)) = (&c.door.listener.brokers, &c.client) else {
        return Ok(true);
    };
    let name = match tls.asked_name().await {
        Ok(name) => name,
        Err(error) => return failed(c, tls, error).await,
    };
    let names = &c.door.listener.advertised.host;
    match name {
        None => {}
        Some(name) if name.eq_ignore_ascii_case(bootstrap) => {}
        Some(name) => {
            c.node.set(names.node(&name));
            if c.node.get().is_none() {
                tls.refuse_name();
                farewell::<R>(tls).await;
                return Err(Fault::ClientTls(format!(
                    "TLS handshake refused: the client asks for {name:?}, and here are {bootstrap} and {names} (correct the \
                     client's bootstrap address, or `advertised` and `brokers` of the listener)"
                )));
            }
        }
    }
    Ok(true)
}

/// Shakes hands with a client where its listener speaks TLS; false when it went without having said anything.
pub(super) async fn with_client<R: Runtime>(c: &Rc<Connection<R>>) -> Result<bool, Fault> {
    let Transport::Tls(tls) = &c.client else { return Ok(true) };
    if let Err(error) = tls.handshake().await {
        return failed(c, tls, error).await;
    }
    if let Err(denied) = certificate::learn(c, tls) {
        c.record(certificate::failed(c, denied.subject, denied.why.clone())).await;
        return Err(Fault::Authentication(denied.why));
    }
    Ok(true)
}

/// What a handshake came to that did not come to its end: false when the client went without having said anything.
async fn failed<R: Runtime>(
    c: &Rc<Connection<R>>,
    tls: &TlsStream<R::Stream>,
    error: HandshakeError,
) -> Result<bool, Fault> {
    // Whoever ends the connection has said why.
    if c.is_ending() || matches!(error, HandshakeError::Closed { silent: true }) {
        return Ok(false);
    }
    let why = words(&error, Peer::Client);
    if let HandshakeError::Tls {
        error: rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented,
        ..
    } = error
    {
        c.record(certificate::failed(c, None, why.clone())).await;
    }
    farewell::<R>(tls).await;
    Err(Fault::ClientTls(format!("TLS handshake failed: {why}")))
}

/// Shakes hands with a broker that is expected to prove its host name.
pub(super) async fn with_broker<S: Stream>(
    stream: S,
    tls: &Arc<ClientTls>,
    endpoint: &Endpoint,
    scratch: &Rc<Scratch>,
) -> Result<Transport<S>, String> {
    let host = &*endpoint.host;
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name that a certificate can prove"))?;
    let stream = TlsStream::client(stream, tls.current(), name, scratch.clone()).map_err(|e| format!("TLS: {e}"))?;
    match stream.handshake().await {
        Ok(()) => Ok(Transport::Tls(Box::new(stream))),
        Err(error) => {
            tls.count_failure();
            Err(format!("TLS handshake with {host} failed: {}", words(&error, Peer::Broker)))
        }
    }
}

/// Lets the client read the alert before the connection goes: what it sends meanwhile is dropped.
async fn farewell<R: Runtime>(tls: &TlsStream<R::Stream>) {
    /// Reads, of at most 128 KiB each.
    const READS_MAX: usize = 64;
    let _ = rustix::net::shutdown(tls.fd(), Shutdown::Write);
    let gone = async {
        for _ in 0..READS_MAX {
            if !tls.discard().await {
                break;
            }
            yield_now().await;
        }
    };
    or(gone, R::sleep(limits::TLS_FAREWELL)).await;
}

fn words(error: &HandshakeError, peer: Peer) -> String {
    match error {
        HandshakeError::Io(error) => explain_io(error, peer),
        HandshakeError::Closed { .. } => match peer {
            Peer::Client => "the client closed within it: it may not trust the certificate that it was shown".into(),
            Peer::Broker => "the broker closed within it: its address may not be that of a TLS listener".into(),
        },
        HandshakeError::Tls { error, opening } => not_tls(opening).unwrap_or_else(|| explain(error, peer)),
    }
}

/// What the first bytes are when they are no TLS.
fn not_tls(opening: &[u8]) -> Option<String> {
    /// A request's length, for one that opens a connection: plainly not a TLS record, which begins with a byte above 0.
    const REQUEST_BYTES_MAX: usize = (16 << 20) - 1;
    let prefix = opening.first_chunk()?;
    match frame::frame_len(*prefix, REQUEST_BYTES_MAX) {
        Ok(_) => Some(
            "this is Kafka in plaintext, on a listener that speaks TLS (set security.protocol=SSL or SASL_SSL)".into(),
        ),
        Err(FrameError::TooLong { looks_like, .. } | FrameError::NoLength { looks_like, .. }) => match looks_like {
            LooksLike::Tls => None,
            LooksLike::Http => Some("this is HTTP, on a listener that speaks Kafka over TLS".into()),
            LooksLike::Garbage => Some("this is neither TLS nor Kafka".into()),
        },
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tls_is_called_by_its_name() {
        let says = |bytes: &[u8], what: &str| not_tls(bytes).is_some_and(|said| said.contains(what));
        assert!(says(b"\0\0\0\x2a\0\x12\0\x03", "Kafka in plaintext"));
        assert!(says(b"GET / HTTP/1.1", "HTTP"));
        assert!(says(b"\xff\xff\xff\xff", "neither"));
        assert_eq!(not_tls(b"\x16\x03\x01\x02\0\x01"), None);
        assert_eq!(not_tls(b"\x16"), None);
    }
}
