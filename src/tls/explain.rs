//! Errors of TLS in words that say what failed and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What an error means, told of the peer: `peer` is "the client" or "the broker".
pub fn explain(error: &Error, peer: &str) -> String {
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
pub fn explain_io(error: &io::Error, peer: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => explain(tls, peer),
        None => error.to_string(),
    }
}

/// Whether an error that came up through a stream is one of TLS, and not of the socket below.
pub fn is_at_fault(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

fn of_certificate(why: &CertificateError, peer: &str) -> String {
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

fn of_alert(alert: AlertDescription, peer: &str) -> String {
    use AlertDescription as A;
    match alert {
        A::UnknownCA | A::BadCertificate | A::CertificateUnknown | A::CertificateExpired => {
            format!("{peer} does not take the certificate that it was shown (alert {alert:?})")
        }
        A::CertificateRequired => format!("{peer} asks for a certificate and was shown none (alert {alert:?})"),
        A::AccessDenied => format!("{peer} denies access to the certificate that it was shown (alert {alert:?})"),
        A::ProtocolVersion => format!("{peer} speaks no version of TLS that is offered here (alert {alert:?})"),
        other => format!("{peer} ended it with the alert {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_misses_our_certificate_is_told_apart_from_one_that_dislikes_it() {
        let alert = |a| explain(&Error::AlertReceived(a), "the broker");
        assert!(alert(AlertDescription::CertificateRequired).contains("shown none"));
        assert!(alert(AlertDescription::UnknownCA).contains("does not take the certificate"));
    }

    #[test]
    fn an_error_below_tls_is_told_as_it_is() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(explain_io(&reset, "the client"), reset.to_string());
        let inner = io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError);
        assert!(explain_io(&inner, "the client").contains("no proper TLS"));
    }
}
