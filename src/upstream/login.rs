//! Logging in to a broker, without I/O: the caller sends what it is handed and hands back what came.
//!
//! Invariants:
//! - A secret is in the frame handed out and nowhere else: not in an error, not in `Debug`.
//! - Nothing of a client is sent before [`LoginStep::Done`].

use bytes::Bytes;
use kafka_protocol::messages::{ResponseHeader, SaslAuthenticateResponse, SaslHandshakeResponse};
use kafka_protocol::protocol::Decodable;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::wire::kafka::sasl;

/// What Weir shows a cluster.
#[derive(Clone)]
pub enum Credential {
    /// SASL/PLAIN (RFC 4616).
    Plain {
        /// The user Weir logs in as.
        username: String,
        /// Its password.
        password: Zeroizing<String>,
    },
}

impl Credential {
    fn mechanism(&self) -> &'static str {
        match self {
            Credential::Plain { .. } => "PLAIN",
        }
    }

    fn first_message(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Credential::Plain { username, password } => sasl::plain_message(username, password),
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credential::Plain { username, .. } => write!(f, "Plain({username:?}, …)"),
        }
    }
}

/// Why a broker did not let Weir in.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// The broker does not offer the mechanism.
    #[error("the broker does not offer SASL/{wanted} (it offers: {offered}); change the cluster's `sasl.mechanism`")]
    Mechanism {
        /// What the configuration asks for.
        wanted: &'static str,
        /// What the broker lists.
        offered: String,
    },
    /// The broker refused the credential.
    #[error("the broker refused Weir's own login (error {code}): {message}; check the cluster's `sasl` section")]
    Refused {
        /// Kafka error code.
        code: i16,
        /// The broker's words.
        message: String,
    },
    /// The answer was not what the protocol says.
    #[error("the broker's answer to Weir's login cannot be read; is the cluster's address a Kafka SASL listener?")]
    Malformed,
}

/// What to do next.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this frame (length prefix included), then hand back the answer's frame without its prefix.
    Send(Zeroizing<Vec<u8>>),
    /// Logged in.
    Done,
}

enum State {
    Start,
    Handshake,
    Authenticate,
    Done,
}

/// One login in progress.
pub struct Login<'a> {
    credential: Option<&'a Credential>,
    state: State,
}

/// SaslHandshake v1 and SaslAuthenticate v1 carry framed tokens and error texts (KIP-152); every broker since 2.2 serves them.
const HANDSHAKE_VERSION: i16 = 1;
const AUTHENTICATE_VERSION: i16 = 1;

impl<'a> Login<'a> {
    /// Starts a login; without a credential it is done at once.
    pub fn new(credential: Option<&'a Credential>) -> Self {
        Login { credential, state: State::Start }
    }

    /// Takes the answer to what was sent last (none at the start) and says what comes next.
    pub fn next(&mut self, answer: Option<&[u8]>) -> Result<LoginStep, LoginError> {
        let Some(credential) = self.credential else { return Ok(LoginStep::Done) };
        match (&self.state, answer) {
            (State::Start, _) => {
                self.state = State::Handshake;
                let frame = sasl::handshake_request(0, "weir", credential.mechanism()).ok_or(LoginError::Malformed)?;
                Ok(LoginStep::Send(Zeroizing::new(frame.to_vec())))
            }
            (State::Handshake, Some(answer)) => {
                self.handshake_answered(credential, answer)?;
                self.state = State::Authenticate;
                let message = credential.first_message();
                let frame = sasl::authenticate_request(AUTHENTICATE_VERSION, 0, "weir", &message);
                frame.map(LoginStep::Send).ok_or(LoginError::Malformed)
            }
            (State::Authenticate, Some(answer)) => {
                let answer: SaslAuthenticateResponse = decode(answer, AUTHENTICATE_VERSION)?;
                if answer.error_code != 0 {
                    let message = answer.error_message.map(|m| m.to_string()).unwrap_or_default();
                    return Err(LoginError::Refused { code: answer.error_code, message });
                }
                self.state = State::Done;
                Ok(LoginStep::Done)
            }
            (State::Done, _) => Ok(LoginStep::Done),
            (_, None) => Err(LoginError::Malformed),
        }
    }

    fn handshake_answered(&self, credential: &Credential, answer: &[u8]) -> Result<(), LoginError> {
        let answer: SaslHandshakeResponse = decode(answer, HANDSHAKE_VERSION)?;
        if answer.error_code == 0 {
            return Ok(());
        }
        let offered = answer.mechanisms.iter().map(|m| m.to_string()).collect::<Vec<_>>().join(", ");
        Err(LoginError::Mechanism { wanted: credential.mechanism(), offered })
    }
}

fn decode<R: Decodable>(answer: &[u8], version: i16) -> Result<R, LoginError> {
    let mut bytes = Bytes::copy_from_slice(answer);
    ResponseHeader::decode(&mut bytes, 0).map_err(|_| LoginError::Malformed)?;
    R::decode(&mut bytes, version).map_err(|_| LoginError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    fn answer<R: Encodable>(response: &R, version: i16) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        ResponseHeader::default().encode(&mut buffer, 0).unwrap();
        response.encode(&mut buffer, version).unwrap();
        buffer.to_vec()
    }

    fn plain() -> Credential {
        Credential::Plain { username: "weir".into(), password: Zeroizing::new("s3cret".into()) }
    }

    #[test]
    fn without_a_credential_there_is_nothing_to_send() {
        assert!(matches!(Login::new(None).next(None), Ok(LoginStep::Done)));
    }

    #[test]
    fn plain_shows_the_secret_only_after_the_broker_agreed_to_the_mechanism() {
        let credential = plain();
        let mut login = Login::new(Some(&credential));
        let Ok(LoginStep::Send(first)) = login.next(None) else { panic!("a handshake comes first") };
        assert!(!first.windows(6).any(|w| w == b"s3cret"));
        let agreed = answer(&SaslHandshakeResponse::default(), 1);
        let Ok(LoginStep::Send(second)) = login.next(Some(&agreed)) else { panic!("then the credential") };
        assert!(second.ends_with(b"\0\0\0\x0c\0weir\0s3cret"));
        let done = answer(&SaslAuthenticateResponse::default(), 1);
        assert!(matches!(login.next(Some(&done)), Ok(LoginStep::Done)));
    }

    #[test]
    fn a_refusal_tells_the_brokers_words_and_never_the_secret() {
        let credential = plain();
        let mut login = Login::new(Some(&credential));
        login.next(None).unwrap();
        login.next(Some(&answer(&SaslHandshakeResponse::default(), 1))).unwrap();
        let refused = SaslAuthenticateResponse::default()
            .with_error_code(58)
            .with_error_message(Some(StrBytes::from_static_str("Invalid username or password")));
        let error = login.next(Some(&answer(&refused, 1))).unwrap_err();
        assert!(error.to_string().contains("Invalid username or password"));
        assert!(!format!("{error:?} {credential:?}").contains("s3cret"));
    }

    #[test]
    fn garbage_for_an_answer_is_an_error_not_a_panic() {
        let credential = plain();
        let mut login = Login::new(Some(&credential));
        login.next(None).unwrap();
        assert_eq!(login.next(Some(&[1, 2, 3])).unwrap_err(), LoginError::Malformed);
    }
}
