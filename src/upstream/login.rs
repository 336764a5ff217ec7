//! Logging in to a broker, without I/O: the caller sends what it is handed and hands back what came.
//!
//! Invariants:
//! - A secret is in the frame handed out and nowhere else: not in an error, not in `Debug`.
//! - Nothing of a client is sent before [`LoginStep::Done`].
//! - A credential that has nothing to say fails before anything is sent: a connection that logs in again lives on then.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ResponseHeader, SaslAuthenticateResponse, SaslHandshakeResponse};
use kafka_protocol::protocol::Decodable;
use thiserror::Error;
use zeroize::Zeroizing;

use super::client::Nothing;
use super::credential::{Answer, Conversation, Credential, CredentialError};
use super::jitter;
use crate::limits;
use crate::wire::kafka::api::key;
use crate::wire::kafka::sasl;
use crate::wire::kafka::walk::Walker;

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
    /// The credential cannot answer.
    #[error("Weir's own login: {0}")]
    Credential(#[from] CredentialError),
}

/// What to do next.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this frame (length prefix included), then hand back the answer's frame without its prefix.
    Send(Zeroizing<Vec<u8>>),
    /// Logged in.
    Done(Session),
}

/// What a login is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Session {
    /// After this time the broker closes a connection that has not logged in again (KIP-368); none: it never does.
    pub lifetime: Option<Duration>,
}

impl Session {
    /// When to log in again: at 85 to 95 % of the session's life, as Kafka's own clients do, and no sooner than brokers
    /// allow, who refuse a second time within a second.
    pub fn renew_after(&self) -> Option<Duration> {
        let lifetime = self.lifetime?;
        Some(jitter::between(lifetime.mul_f64(0.85), lifetime.mul_f64(0.95)).max(limits::RELOGIN_PAUSE))
    }
}

enum State {
    Start,
    /// The mechanism was asked for; what will be said under it is ready.
    Handshake(Zeroizing<Vec<u8>>),
    Authenticate,
    Done(Session),
}

/// One login in progress.
pub struct Login {
    mechanism: &'static str,
    /// None where the cluster asks for no login.
    conversation: Option<Box<dyn Conversation>>,
    state: State,
    correlation_id: i32,
}

/// SaslHandshake v1 and SaslAuthenticate v1 carry framed tokens and error texts (KIP-152); every broker since 2.2 serves them.
const HANDSHAKE_VERSION: i16 = 1;
const AUTHENTICATE_VERSION: i16 = 1;

impl Login {
    /// Starts a login whose frames carry `correlation_id`; without a credential it is done at once.
    pub fn new(credential: Option<&dyn Credential>, correlation_id: i32) -> Self {
        Login {
            mechanism: credential.map_or("", Credential::mechanism),
            conversation: credential.map(Credential::begin),
            state: State::Start,
            correlation_id,
        }
    }

    /// Whether the broker has been told that a login is under way; before, a failure leaves the connection as it was.
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Start)
    }

    /// Takes the answer to what was sent last (none at the start) and says what comes next. It may take as long as the
    /// credential does; the caller bounds it.
    pub async fn next(&mut self, answer: Option<&[u8]>) -> Result<LoginStep, LoginError> {
        let Some(conversation) = &mut self.conversation else { return Ok(LoginStep::Done(Session::default())) };
        match (&mut self.state, answer) {
            (State::Start, _) => {
                let Answer::Send(first) = conversation.answer(None).await? else {
                    return Err(CredentialError::OutOfTurn.into());
                };
                let frame = sasl::handshake_request(self.correlation_id, "weir", self.mechanism);
                let frame = frame.ok_or(LoginError::Malformed)?;
                self.state = State::Handshake(first);
                Ok(LoginStep::Send(Zeroizing::new(frame.to_vec())))
            }
            (State::Handshake(first), Some(answer)) => {
                let first = std::mem::take(first);
                self.handshake_answered(answer)?;
                self.state = State::Authenticate;
                self.authenticate(&first)
            }
            (State::Authenticate, Some(answer)) => {
                let answer: SaslAuthenticateResponse = decode(answer, key::SASL_AUTHENTICATE, AUTHENTICATE_VERSION)?;
                if answer.error_code != 0 {
                    let message = answer.error_message.map(|m| m.to_string()).unwrap_or_default();
                    return Err(LoginError::Refused { code: answer.error_code, message });
                }
                match conversation.answer(Some(&answer.auth_bytes)).await? {
                    Answer::Send(message) => self.authenticate(&message),
                    Answer::Done => {
                        let lifetime = u64::try_from(answer.session_lifetime_ms).ok().filter(|ms| *ms > 0);
                        let session = Session { lifetime: lifetime.map(Duration::from_millis) };
                        self.state = State::Done(session);
                        Ok(LoginStep::Done(session))
                    }
                }
            }
            (State::Done(session), _) => Ok(LoginStep::Done(*session)),
            (_, None) => Err(LoginError::Malformed),
        }
    }

    fn authenticate(&self, message: &[u8]) -> Result<LoginStep, LoginError> {
        let frame = sasl::authenticate_request(AUTHENTICATE_VERSION, self.correlation_id, "weir", message);
        frame.map(LoginStep::Send).ok_or(LoginError::Malformed)
    }

    fn handshake_answered(&self, answer: &[u8]) -> Result<(), LoginError> {
        let answer: SaslHandshakeResponse = decode(answer, key::SASL_HANDSHAKE, HANDSHAKE_VERSION)?;
        if answer.error_code == 0 {
            return Ok(());
        }
        let offered = answer.mechanisms.iter().map(|m| m.to_string()).collect::<Vec<_>>().join(", ");
        Err(LoginError::Mechanism { wanted: self.mechanism, offered })
    }
}

fn decode<R: Decodable>(answer: &[u8], api_key: i16, version: i16) -> Result<R, LoginError> {
    let mut bytes = Bytes::copy_from_slice(answer);
    ResponseHeader::decode(&mut bytes, 0).map_err(|_| LoginError::Malformed)?;
    // The codec allocates by the counts it reads; a walk has to find them lawful first.
    let mut walker = Walker::response(api_key, version, bytes.len() as u64).ok_or(LoginError::Malformed)?;
    walker.feed(&bytes, &mut Nothing).and_then(|()| walker.finish()).map_err(|_| LoginError::Malformed)?;
    R::decode(&mut bytes, version).map_err(|_| LoginError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;

    use super::super::credential::{self, CredentialOptions};
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::protocol::{Encodable, StrBytes};

    fn answer<R: Encodable>(response: &R, version: i16) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        ResponseHeader::default().encode(&mut buffer, 0).unwrap();
        response.encode(&mut buffer, version).unwrap();
        buffer.to_vec()
    }

    fn plain() -> Arc<dyn Credential> {
        let password = Arc::new(Zeroizing::new("s3cret".into()));
        credential::open("main", CredentialOptions::Plain { username: "weir".into(), password }).unwrap().credential
    }

    async fn begun() -> Login {
        let mut login = Login::new(Some(&*plain()), 7);
        login.next(None).await.unwrap();
        login
    }

    #[tokio::test]
    async fn without_a_credential_there_is_nothing_to_send() {
        let done = Login::new(None, 0).next(None).await;
        assert!(matches!(done, Ok(LoginStep::Done(Session { lifetime: None }))));
    }

    #[tokio::test]
    async fn plain_shows_the_secret_only_after_the_broker_agreed_to_the_mechanism() {
        let mut login = Login::new(Some(&*plain()), 7);
        assert!(!login.has_begun());
        let Ok(LoginStep::Send(first)) = login.next(None).await else { panic!("a handshake comes first") };
        assert!(login.has_begun() && !first.windows(6).any(|w| w == b"s3cret"));
        let agreed = answer(&SaslHandshakeResponse::default(), 1);
        let Ok(LoginStep::Send(second)) = login.next(Some(&agreed)).await else { panic!("then the credential") };
        assert!(second.ends_with(b"\0\0\0\x0c\0weir\0s3cret"));
        let done = answer(&SaslAuthenticateResponse::default().with_session_lifetime_ms(60_000), 1);
        let Ok(LoginStep::Done(session)) = login.next(Some(&done)).await else { panic!("then it is done") };
        assert_eq!(session.lifetime, Some(Duration::from_secs(60)));
        let renewal = session.renew_after().unwrap();
        assert!((51.0..=57.0).contains(&renewal.as_secs_f64()), "{renewal:?}");
    }

    #[tokio::test]
    async fn a_refusal_tells_the_brokers_words_and_never_the_secret() {
        let mut login = begun().await;
        login.next(Some(&answer(&SaslHandshakeResponse::default(), 1))).await.unwrap();
        let refused = SaslAuthenticateResponse::default()
            .with_error_code(58)
            .with_error_message(Some(StrBytes::from_static_str("Invalid username or password")));
        let error = login.next(Some(&answer(&refused, 1))).await.unwrap_err();
        assert!(error.to_string().contains("Invalid username or password"));
        assert!(!format!("{error:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_broker_that_does_not_offer_the_mechanism_is_told_apart() {
        let offered = vec![StrBytes::from_static_str("GSSAPI")];
        let refused = SaslHandshakeResponse::default().with_error_code(33).with_mechanisms(offered);
        let error = begun().await.next(Some(&answer(&refused, 1))).await.unwrap_err();
        assert!(error.to_string().contains("does not offer SASL/PLAIN (it offers: GSSAPI)"), "{error}");
    }

    #[tokio::test]
    async fn a_count_beyond_the_answer_is_an_error_before_anything_is_allocated_for_it() {
        let mechanisms = [0, 0, 0, 7, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(begun().await.next(Some(&mechanisms)).await.unwrap_err(), LoginError::Malformed);
        let mut login = begun().await;
        login.next(Some(&answer(&SaslHandshakeResponse::default(), 1))).await.unwrap();
        let token = [0, 0, 0, 7, 0, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(login.next(Some(&token)).await.unwrap_err(), LoginError::Malformed);
    }

    #[tokio::test]
    async fn garbage_for_an_answer_is_an_error_not_a_panic() {
        assert_eq!(begun().await.next(Some(&[1, 2, 3])).await.unwrap_err(), LoginError::Malformed);
        assert_eq!(begun().await.next(None).await.unwrap_err(), LoginError::Malformed);
    }
}
