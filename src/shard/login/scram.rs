//! SASL/SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677, KIP-84): the password is a token of Weir's, the user name its subject.
//!
//! The challenge follows from the user name alone, so that it is the same whoever exists; the proof may be of any of the
//! subject's tokens. Whatever is wrong with a login is told after the proof, in the same words.

use super::{Denied, Proven, Stage, Step, plain};
use crate::policy::{SCRAM_ITERATIONS, scram_salt};
use crate::scram::{ClientFirst, Hash, ServerExchange, fresh_nonce};
use crate::shard::connection::Connection;
use crate::shard::runtime::Runtime;

/// Answers the client's first message.
pub(super) fn challenge(hash: Hash, message: &[u8]) -> Result<Step, Denied> {
    let first = ClientFirst::parse(message).map_err(|error| Denied::plainly(None, error))?;
    let username = first.username.clone();
    if first.authorization_id.as_ref().is_some_and(|other| *other != username) {
        let text = "logging in as one user to act as another is not supported: leave the authorization id empty";
        return Err(Denied::plainly(Some(&username), text));
    }
    let nonce = fresh_nonce().map_err(|error| {
        let text = format!("the operating system gives no random bytes: {error}");
        Denied::new(Some(&username), "authentication failed: a fault of the gateway's own".into(), text)
    })?;
    let salt = scram_salt(&username);
    let begun = ServerExchange::begin(hash, first, &salt, SCRAM_ITERATIONS, &nonce);
    let (exchange, message) = begun.map_err(|error| Denied::plainly(Some(&username), error))?;
    Ok(Step::GoOn { message: message.into_bytes(), next: Stage::Challenged(Box::new(exchange)) })
}

/// Checks the proof.
pub(super) fn login<R: Runtime>(
    c: &Connection<R>,
    exchange: &ServerExchange,
    message: &[u8],
) -> Result<Proven, Denied> {
    let username = exchange.username();
    let proof = exchange.proof(message).map_err(|error| Denied::plainly(Some(username), error))?;
    let tokens = c.shard.tokens.load();
    let verified = tokens.verify_scram(exchange.hash(), username, &proof, c.clock.now_ns());
    let (login, message) =
        verified.map_err(|refusal| Denied::new(Some(username), refusal.for_client(), refusal.to_string()))?;
    Ok(plain::by_token(login, tokens.generation(), message.into_bytes()))
}
