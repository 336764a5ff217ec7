//! SCRAM: the messages and the mathematics of both sides, for clients that log in here and for Weir where it logs in.
//!
//! Invariants:
//! - No I/O. What costs (salting a password) is one function, [`salt_password`], for callers to run where it may block.
//! - A password, and what it could be replaced by, lives in memory that is wiped on drop, and in no error or `Debug` text.
//! - Neither side can make the other burn CPU or memory: every field and the iterations are bounded, secrets are compared
//!   in constant time.
//!
//! Sources: RFC 5802 (SCRAM), RFC 7677 (SHA-256, iterations), KIP-84 (Kafka: also SHA-512; no channel binding; passwords
//! are taken as UTF-8 without SASLprep).

mod client;
mod messages;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::limits::{
    SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN, SCRAM_MESSAGE_MAX, SCRAM_NONCE_MAX, SCRAM_SALT_MAX, SCRAM_USERNAME_MAX,
};

pub use client::{ClientExchange, ExpectedServer};
pub use messages::{ClientFirst, ServerFirst};
pub use server::{Proof, ServerExchange};

/// Why a SCRAM exchange goes no further. The texts may be shown to the other side; they hold nothing it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Longer than [`SCRAM_MESSAGE_MAX`].
    #[error("the SCRAM message is longer than {SCRAM_MESSAGE_MAX} bytes")]
    TooLong,
    /// A message that is not of its form.
    #[error("the SCRAM {0} is malformed")]
    Malformed(&'static str),
    /// The client insists on channel binding, which Kafka has no mechanism for.
    #[error("SCRAM with channel binding is not supported")]
    ChannelBinding,
    /// A user name that is empty, too long or not escaped as RFC 5802 asks.
    #[error("the SCRAM user name is not 1 to {SCRAM_USERNAME_MAX} bytes in the form of RFC 5802")]
    Username,
    /// A nonce that is empty, too long, or has characters it may not have.
    #[error("the SCRAM nonce is not 1 to {SCRAM_NONCE_MAX} printable characters without a comma")]
    Nonce,
    /// A nonce that does not continue the one it answers.
    #[error("the SCRAM nonce is not the one of this login")]
    OtherNonce,
    /// A salt that is empty or too long.
    #[error("the SCRAM salt is not 1 to {SCRAM_SALT_MAX} bytes")]
    Salt,
    /// Too few iterations to protect the password, or enough to burn our CPU.
    #[error("{0} SCRAM iterations are outside {SCRAM_ITERATIONS_MIN} to {SCRAM_ITERATIONS_MAX}")]
    Iterations(u32),
    /// The proof is wrong: another password.
    #[error("the SCRAM proof is wrong")]
    Proof,
    /// The server's signature is wrong: it does not know the password's keys.
    #[error("the SCRAM server signature is wrong: the server does not know this user's keys")]
    ServerSignature,
    /// The server refused the login (RFC 5802, 7: server-error).
    #[error("the server refused the SCRAM login")]
    Refused,
}

/// The hash of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512 (KIP-84).
    Sha512,
}

impl Hash {
    /// The SASL mechanism's name.
    pub fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash of a SASL mechanism's name, where it is SCRAM.
    pub fn of_mechanism(name: &str) -> Option<Self> {
        [Hash::Sha256, Hash::Sha512].into_iter().find(|hash| hash.mechanism() == name)
    }

    /// Length of the hash and of every key, bytes.
    pub fn bytes(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha512 => 64,
        }
    }

    fn digest(self, bytes: &[u8]) -> Key {
        Key(Zeroizing::new(match self {
            Hash::Sha256 => Sha256::digest(bytes).to_vec(),
            Hash::Sha512 => Sha512::digest(bytes).to_vec(),
        }))
    }

    fn hmac(self, key: &Key, message: &[u8]) -> Key {
        // HMAC takes keys of every length: the error cannot come, and an empty key would never match.
        Key(Zeroizing::new(match self {
            Hash::Sha256 => Hmac::<Sha256>::new_from_slice(&key.0)
                .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
            Hash::Sha512 => Hmac::<Sha512>::new_from_slice(&key.0)
                .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
                .unwrap_or_default(),
        }))
    }
}

/// A hash or a key of the exchange: wiped on drop, shown by nothing, compared in constant time.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Takes over bytes that were stored.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for storing them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    fn xor(&self, other: &Key) -> Key {
        Key(Zeroizing::new(self.0.iter().zip(other.0.iter()).map(|(a, b)| a ^ b).collect()))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

/// Kept in base64.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(BASE64.encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        BASE64.decode(text.as_str()).map(Key::new).map_err(|_| D::Error::custom("a key in base64 is expected"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// `SaltedPassword` of RFC 5802, 3. It is as good as the password wherever the same salt is used. Milliseconds of CPU:
/// never on a shard.
pub fn salt_password(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Result<Key, ScramError> {
    check_salt(salt)?;
    check_iterations(iterations)?;
    let mut salted = Zeroizing::new(vec![0; hash.bytes()]);
    match hash {
        Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted),
        Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut salted),
    }
    Ok(Key(salted))
}

/// What a server keeps of a password, beside salt and iterations: enough to check a proof, not enough to make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// `H(ClientKey)`: what a proof is checked against.
    pub stored_key: Key,
    /// What the server proves itself with.
    pub server_key: Key,
}

impl Verifier {
    /// Derives it from a password; as slow as [`salt_password`].
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Result<Self, ScramError> {
        let salted = salt_password(hash, password, salt, iterations)?;
        Ok(Self {
            stored_key: hash.digest(&hash.hmac(&salted, b"Client Key").0),
            server_key: hash.hmac(&salted, b"Server Key"),
        })
    }
}

/// A nonce of 192 random bits, one for each login.
pub fn fresh_nonce() -> Result<String, getrandom::Error> {
    let mut random = [0u8; 24];
    getrandom::fill(&mut random)?;
    Ok(BASE64.encode(random))
}

fn check_salt(salt: &[u8]) -> Result<(), ScramError> {
    if (1..=SCRAM_SALT_MAX).contains(&salt.len()) { Ok(()) } else { Err(ScramError::Salt) }
}

fn check_iterations(iterations: u32) -> Result<(), ScramError> {
    let lawful = (SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(&iterations);
    if lawful { Ok(()) } else { Err(ScramError::Iterations(iterations)) }
}
