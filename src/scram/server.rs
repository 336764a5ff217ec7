//! A login seen from the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::messages::{ClientFinal, ClientFirst, ServerFirst, auth_message, checked_nonce};
use super::{Hash, Key, ScramError, Verifier};

/// A login seen from the server, after its first message.
#[derive(Debug)]
pub struct ServerExchange {
    hash: Hash,
    first: ClientFirst,
    challenge: ServerFirst,
}

impl ServerExchange {
    /// Answers the client's first message: the state to keep, and the message to send. `nonce` is a [`fresh_nonce`].
    pub fn begin(
        hash: Hash,
        first: ClientFirst,
        salt: &[u8],
        iterations: u32,
        nonce: &str,
    ) -> Result<(Self, String), ScramError> {
        let both = checked_nonce(&format!("{}{nonce}", first.nonce))?;
        let challenge = ServerFirst::new(both, salt, iterations);
        let message = challenge.text.clone();
        Ok((Self { hash, first, challenge }, message))
    }

    /// The hash of the mechanism.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Who logs in.
    pub fn username(&self) -> &str {
        &self.first.username
    }

    /// Reads the client's last message: its proof, to be held against what is kept of the user's passwords.
    pub fn proof(&self, message: &[u8]) -> Result<Proof, ScramError> {
        let last = ClientFinal::parse(message)?;
        if last.channel_binding != BASE64.encode(&self.first.gs2_header) {
            return Err(ScramError::ChannelBinding);
        }
        if last.nonce != self.challenge.nonce {
            return Err(ScramError::OtherNonce);
        }
        let signed = auth_message(&self.first, &self.challenge, last.without_proof);
        Ok(Proof { hash: self.hash, proof: last.proof, signed })
    }
}

/// A client's proof that it knows a password, not checked yet.
#[derive(Debug)]
pub struct Proof {
    hash: Hash,
    pub(super) proof: Key,
    signed: String,
}

impl Proof {
    /// Checks it, in a time that does not tell how much of it was right: the message that says yes to the client. What says
    /// no is the caller's.
    pub fn check(&self, verifier: &Verifier) -> Result<String, ScramError> {
        let signature = self.hash.hmac(&verifier.stored_key, self.signed.as_bytes());
        let client_key = self.proof.xor(&signature);
        if self.proof.0.len() != self.hash.bytes() || self.hash.digest(&client_key.0) != verifier.stored_key {
            return Err(ScramError::Proof);
        }
        let signature = self.hash.hmac(&verifier.server_key, self.signed.as_bytes());
        Ok(format!("v={}", BASE64.encode(signature.expose())))
    }
}
