//! A login seen from the client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::messages::{ClientFirst, ServerFirst, attribute, auth_message, text};
use super::{Hash, Key, ScramError};

/// A login seen from the client, after its first message.
#[derive(Debug)]
pub struct ClientExchange {
    hash: Hash,
    first: ClientFirst,
}

impl ClientExchange {
    /// The state to keep, and the first message to send. `nonce` is a [`fresh_nonce`].
    pub fn begin(hash: Hash, username: &str, nonce: &str) -> Result<(Self, String), ScramError> {
        let first = ClientFirst::new(username, nonce)?;
        let message = format!("{}{}", first.gs2_header, first.bare);
        Ok((Self { hash, first }, message))
    }

    /// Reads the server's first message, whose salt and iterations [`salt_password`] takes.
    pub fn challenge(&self, message: &[u8]) -> Result<ServerFirst, ScramError> {
        let challenge = ServerFirst::parse(message)?;
        let continues = challenge.nonce.strip_prefix(&self.first.nonce).is_some_and(|theirs| !theirs.is_empty());
        if continues { Ok(challenge) } else { Err(ScramError::OtherNonce) }
    }

    /// The last message to send, and what will tell whether the server knows the password as well.
    pub fn respond(self, challenge: &ServerFirst, salted: &Key) -> (String, ExpectedServer) {
        let without_proof = format!("c={},r={}", BASE64.encode(&self.first.gs2_header), challenge.nonce);
        let signed = auth_message(&self.first, challenge, &without_proof);
        let client_key = self.hash.hmac(salted, b"Client Key");
        let stored_key = self.hash.digest(&client_key.0);
        let proof = client_key.xor(&self.hash.hmac(&stored_key, signed.as_bytes()));
        let server_key = self.hash.hmac(salted, b"Server Key");
        let signature = self.hash.hmac(&server_key, signed.as_bytes());
        (format!("{without_proof},p={}", BASE64.encode(proof.expose())), ExpectedServer(signature))
    }
}

/// The signature that only a server with this user's keys can send.
#[derive(Debug)]
pub struct ExpectedServer(Key);

impl ExpectedServer {
    /// Checks the server's last message: `v=signature`, or `e=error`.
    pub fn check(&self, message: &[u8]) -> Result<(), ScramError> {
        const LAST: ScramError = ScramError::Malformed("server's last message");
        let text = text(message, LAST)?;
        let mut attributes = text.split(',');
        let first = attributes.next();
        if attribute(first, "e=").is_some() {
            return Err(ScramError::Refused);
        }
        let signature = attribute(first, "v=").ok_or(LAST)?;
        let signature = Key::new(BASE64.decode(signature).map_err(|_| LAST)?);
        if signature == self.0 { Ok(()) } else { Err(ScramError::ServerSignature) }
    }
}
