//! SCRAM-SHA-256 and SCRAM-SHA-512: the broker never sees the password, and proves that it knows it too.
//!
//! Salting a password takes milliseconds of CPU. The upstream thread's pool does it, once for each salt that brokers
//! send; ten thousand connections that log in again after a broker's restart cost one derivation.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::{Answer, Answering, Conversation, Credential, CredentialError, Upkeep};
use crate::scram::{ClientExchange, ExpectedServer, Hash, Key, fresh_nonce, salt_password};

/// Salted passwords kept: a cluster has one salt for a user, and another after its password was set anew.
const SALTED_MAX: usize = 4;

/// Logins that may wait for a derivation; more wait for room in turn.
const ASKING_MAX: usize = 1024;

/// A user, and whom to ask for its salted password.
pub(super) struct Scram {
    hash: Hash,
    username: Arc<str>,
    salter: Salter,
}

/// Makes the credential and what salts for it.
pub(super) fn open(hash: Hash, username: String, password: Zeroizing<String>) -> (Scram, Upkeep) {
    let (asks, asked) = mpsc::channel(ASKING_MAX);
    let salter = Salter { asks, salted: Arc::default() };
    let upkeep = keep(hash, Arc::new(password), salter.salted.clone(), asked);
    (Scram { hash, username: username.into(), salter }, Box::pin(upkeep))
}

impl Credential for Scram {
    fn mechanism(&self) -> &'static str {
        self.hash.mechanism()
    }

    fn begin(&self) -> Box<dyn Conversation> {
        let (hash, username, salter) = (self.hash, self.username.clone(), self.salter.clone());
        Box::new(Talk { hash, username, salter, state: State::Start })
    }
}

/// A password salted as one broker asked for it: as good as the password there.
struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    key: Key,
}

#[derive(Clone)]
struct Salter {
    asks: mpsc::Sender<Ask>,
    salted: Arc<ArcSwap<Vec<Arc<Salted>>>>,
}

struct Ask {
    salt: Vec<u8>,
    iterations: u32,
    answer: oneshot::Sender<Result<Key, CredentialError>>,
}

fn find(salted: &[Arc<Salted>], salt: &[u8], iterations: u32) -> Option<Key> {
    salted.iter().find(|s| s.salt == salt && s.iterations == iterations).map(|s| s.key.clone())
}

impl Salter {
    async fn salt(&self, salt: &[u8], iterations: u32) -> Result<Key, CredentialError> {
        if let Some(key) = find(&self.salted.load(), salt, iterations) {
            return Ok(key);
        }
        let (answer, answered) = oneshot::channel();
        let ask = Ask { salt: salt.to_vec(), iterations, answer };
        self.asks.send(ask).await.map_err(|_| CredentialError::Gone)?;
        answered.await.map_err(|_| CredentialError::Gone)?
    }
}

/// Salts, one password at a time, until the credential is gone.
async fn keep(
    hash: Hash,
    password: Arc<Zeroizing<String>>,
    salted: Arc<ArcSwap<Vec<Arc<Salted>>>>,
    mut asked: mpsc::Receiver<Ask>,
) {
    while let Some(ask) = asked.recv().await {
        let Ask { salt, iterations, answer } = ask;
        // Whoever no longer waits is not worked for.
        if answer.is_closed() {
            continue;
        }
        let known = find(&salted.load(), &salt, iterations);
        let key = match known {
            Some(key) => Ok(key),
            None => {
                let (password, salt) = (password.clone(), salt.clone());
                let work = tokio::task::spawn_blocking(move || salt_password(hash, &password, &salt, iterations));
                work.await.map_err(|_| CredentialError::Gone).and_then(|key| key.map_err(CredentialError::from))
            }
        };
        if let Ok(key) = &key
            && find(&salted.load(), &salt, iterations).is_none()
        {
            let mut kept = salted.load().iter().take(SALTED_MAX - 1).cloned().collect::<Vec<_>>();
            kept.insert(0, Arc::new(Salted { salt, iterations, key: key.clone() }));
            salted.store(Arc::new(kept));
        }
        let _ = answer.send(key);
    }
}

enum State {
    Start,
    Begun(ClientExchange),
    Proven(ExpectedServer),
    Over,
}

struct Talk {
    hash: Hash,
    username: Arc<str>,
    salter: Salter,
    state: State,
}

impl Conversation for Talk {
    fn answer<'a>(&'a mut self, challenge: Option<&'a [u8]>) -> Answering<'a> {
        Box::pin(async move {
            let state = std::mem::replace(&mut self.state, State::Over);
            match (state, challenge) {
                (State::Start, None) => {
                    let nonce = fresh_nonce().map_err(|_| CredentialError::Random)?;
                    let (exchange, first) = ClientExchange::begin(self.hash, &self.username, &nonce)?;
                    self.state = State::Begun(exchange);
                    Ok(Answer::Send(Zeroizing::new(first.into_bytes())))
                }
                (State::Begun(exchange), Some(message)) => {
                    let challenge = exchange.challenge(message)?;
                    let salted = self.salter.salt(&challenge.salt, challenge.iterations).await?;
                    let (last, expected) = exchange.respond(&challenge, &salted);
                    self.state = State::Proven(expected);
                    Ok(Answer::Send(Zeroizing::new(last.into_bytes())))
                }
                (State::Proven(expected), Some(message)) => {
                    expected.check(message)?;
                    Ok(Answer::Done)
                }
                _ => Err(CredentialError::OutOfTurn),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::time::Duration;

    use super::*;
    use crate::scram::{ClientFirst, ServerExchange, Verifier};

    const HASH: Hash = Hash::Sha512;

    async fn send(conversation: &mut dyn Conversation, challenge: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
        match conversation.answer(challenge).await.unwrap() {
            Answer::Send(message) => message,
            Answer::Done => panic!("the login is not over"),
        }
    }

    /// Logs in to a server that knows this of a password.
    async fn login(credential: &Scram, salt: &[u8], verifier: &Verifier) -> Result<Answer, CredentialError> {
        let mut conversation = credential.begin();
        let first = send(conversation.as_mut(), None).await;
        let (first, nonce) = (ClientFirst::parse(&first).unwrap(), fresh_nonce().unwrap());
        let (server, challenge) = ServerExchange::begin(HASH, first, salt, 4096, &nonce).unwrap();
        let last = send(conversation.as_mut(), Some(challenge.as_bytes())).await;
        let outcome = server.proof(&last)?.check(verifier)?;
        conversation.answer(Some(outcome.as_bytes())).await
    }

    fn verifier(password: &str, salt: &[u8]) -> Verifier {
        Verifier::derive(HASH, password, salt, 4096).unwrap()
    }

    fn credential() -> (Scram, Upkeep) {
        open(HASH, "weir".into(), Zeroizing::new("s3cret".into()))
    }

    #[tokio::test]
    async fn both_sides_prove_themselves() {
        let (credential, upkeep) = credential();
        tokio::spawn(upkeep);
        let good = verifier("s3cret", b"salt");
        assert!(matches!(login(&credential, b"salt", &good).await, Ok(Answer::Done)));
        let other = verifier("other", b"salt");
        assert_eq!(
            login(&credential, b"salt", &other).await.unwrap_err(),
            CredentialError::Scram(crate::scram::ScramError::Proof)
        );
        let mut liar = verifier("s3cret", b"salt");
        liar.server_key = Key::new(vec![7; 64]);
        let error = login(&credential, b"salt", &liar).await.unwrap_err();
        assert!(error.to_string().contains("server signature is wrong"), "{error}");
    }

    #[tokio::test]
    async fn whoever_answers_does_not_salt_and_a_thousand_logins_salt_once() {
        let (credential, upkeep) = credential();
        let known = verifier("s3cret", b"salt");
        let waits = login(&credential, b"salt", &known);
        assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err(), "nobody salts: it waits");
        tokio::spawn(upkeep);
        for _ in 0..1000 {
            assert!(matches!(login(&credential, b"salt", &known).await, Ok(Answer::Done)));
        }
        assert_eq!(credential.salter.salted.load().len(), 1);
        for salt in 0..10u8 {
            let known = verifier("s3cret", &[salt]);
            assert!(matches!(login(&credential, &[salt], &known).await, Ok(Answer::Done)));
        }
        assert_eq!(credential.salter.salted.load().len(), SALTED_MAX);
    }

    #[tokio::test]
    async fn when_nobody_salts_any_more_a_login_fails_at_once() {
        let (credential, upkeep) = credential();
        drop(upkeep);
        let known = verifier("s3cret", b"salt");
        assert_eq!(login(&credential, b"salt", &known).await.unwrap_err(), CredentialError::Gone);
    }
}
