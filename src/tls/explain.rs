//! Errors of TLS in words that say what failed and what to do about it.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client of a listener.
    Client,
    /// A broker of a cluster.
    Broker,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Client => "the client",
            Peer::Broker => "the broker",
        })
    }
}

/// What an error means.
pub fn explain(error: &Error, peer: Peer) -> String {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why, peer),
        Error::NoCertificatesPresented => {
            format!("{peer} shows no certificate, and one is asked for (`auth: [mtls]`)")
        }
        Error::AlertReceived(alert) => of_alert(*alert, peer),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => format!("{peer} speaks no version of TLS that is taken here ({error})"),
        Error::InvalidMessage(_) | Error::DecryptError => format!("what {peer} sent is no proper TLS ({error})"),
        other => format!("{other}"),
    }
}

/// The same for an error that came up through a stream; others are told as they are.
pub fn explain_io(error: &io::Error, peer: Peer) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => explain(tls, peer),
        None => error.to_string(),
    }
}

/// Whether an error that came up through a stream is one of TLS, and not of the socket below.
pub fn is_at_fault(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

fn of_certificate(why: &CertificateError, peer: Peer) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            format!("{peer}'s certificate comes from no authority that is trusted here")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{peer}'s certificate has expired ({why})")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{peer}'s certificate is for another host ({why})")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("{peer}'s certificate is not meant for this use ({why})")
        }
        other => format!("{peer}'s certificate is not taken: {other}"),
    }
}

fn of_alert(alert: AlertDescription, peer: Peer) -> String {
    use AlertDescription as A;
    match (alert, peer) {
        (
            A::UnknownCA | A::BadCertificate | A::CertificateUnknown | A::CertificateExpired | A::AccessDenied,
            Peer::Client,
        ) => {
            format!("the client does not take the certificate that it was shown (alert {alert:?})")
        }
        // Java's brokers have one alert for both.
        (A::BadCertificate, Peer::Broker) => {
            format!("the broker does not take our certificate, or asks for one and was shown none (alert {alert:?})")
        }
        (A::UnknownCA | A::CertificateUnknown | A::CertificateExpired | A::AccessDenied, Peer::Broker) => {
            format!("the broker does not take our certificate (alert {alert:?})")
        }
        (A::CertificateRequired, _) => format!("{peer} asks for a certificate and was shown none (alert {alert:?})"),
        (A::ProtocolVersion, _) => format!("{peer} speaks no version of TLS that is offered here (alert {alert:?})"),
        (other, _) => format!("{peer} ended it with the alert {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_misses_our_certificate_is_told_apart_from_one_that_dislikes_it() {
        let alert = |a| explain(&Error::AlertReceived(a), Peer::Broker);
        assert!(alert(AlertDescription::CertificateRequired).contains("shown none"));
        assert!(alert(AlertDescription::UnknownCA).contains("does not take our certificate"));
    }

    #[test]
    fn an_error_below_tls_is_told_as_it_is() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(explain_io(&reset, Peer::Client), reset.to_string());
        let inner = io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError);
        assert!(explain_io(&inner, Peer::Client).contains("no proper TLS"));
    }
}
