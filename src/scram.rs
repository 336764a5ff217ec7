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

/// The client's first message: `n,,n=user,r=nonce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// As whom it wants to act, where it says so.
    pub authorization_id: Option<String>,
    /// Who logs in.
    pub username: String,
    nonce: String,
    /// `n,,` or with an authorization id; repeated in the last message.
    gs2_header: String,
    bare: String,
}

impl ClientFirst {
    /// Parses the message. `SCRAM_USERNAME_MAX` and the nonce's form hold afterwards.
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        const FIRST: ScramError = ScramError::Malformed("client's first message");
        let text = text(message, FIRST)?;
        let (binding, rest) = text.split_once(',').ok_or(FIRST)?;
        match binding {
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(FIRST),
        }
        let (authorization_id, bare) = rest.split_once(',').ok_or(FIRST)?;
        let authorization_id = match authorization_id {
            "" => None,
            named => Some(unescape(named.strip_prefix("a=").ok_or(FIRST)?)?),
        };
        let gs2_header = &text[..text.len() - bare.len()];
        // What follows the nonce are extensions, which RFC 5802 has servers ignore; `m=` before the name is mandatory.
        let mut attributes = bare.split(',');
        let username = unescape(attribute(attributes.next(), "n=").ok_or(FIRST)?)?;
        let nonce = checked_nonce(attribute(attributes.next(), "r=").ok_or(FIRST)?)?;
        Ok(Self { authorization_id, username, nonce, gs2_header: gs2_header.into(), bare: bare.into() })
    }

    fn new(username: &str, nonce: &str) -> Result<Self, ScramError> {
        let nonce = checked_nonce(nonce)?;
        let bare = format!("n={},r={nonce}", escape(username)?);
        Ok(Self { authorization_id: None, username: username.into(), nonce, gs2_header: "n,,".into(), bare })
    }
}

/// The server's first message: `r=nonce,s=salt,i=iterations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFirst {
    /// The client's nonce with the server's behind it.
    pub nonce: String,
    /// The salt.
    pub salt: Vec<u8>,
    /// The iterations.
    pub iterations: u32,
    text: String,
}

impl ServerFirst {
    /// Parses the message; its fields are within limits afterwards.
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        const FIRST: ScramError = ScramError::Malformed("server's first message");
        let text = text(message, FIRST)?;
        let mut attributes = text.split(',');
        let nonce = checked_nonce(attribute(attributes.next(), "r=").ok_or(FIRST)?)?;
        let salt = attribute(attributes.next(), "s=").ok_or(FIRST)?;
        let salt = BASE64.decode(salt).map_err(|_| FIRST)?;
        check_salt(&salt)?;
        let iterations = attribute(attributes.next(), "i=").and_then(|text| text.parse().ok()).ok_or(FIRST)?;
        check_iterations(iterations)?;
        Ok(Self { nonce, salt, iterations, text: text.into() })
    }

    fn new(nonce: String, salt: &[u8], iterations: u32) -> Self {
        let text = format!("r={nonce},s={},i={iterations}", BASE64.encode(salt));
        Self { nonce, salt: salt.to_vec(), iterations, text }
    }
}

/// The client's last message: `c=binding,r=nonce,p=proof`.
struct ClientFinal<'a> {
    channel_binding: &'a str,
    nonce: &'a str,
    proof: Key,
    without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        const LAST: ScramError = ScramError::Malformed("client's last message");
        let text = text(message, LAST)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(LAST)?;
        let mut attributes = without_proof.split(',');
        let channel_binding = attribute(attributes.next(), "c=").ok_or(LAST)?;
        let nonce = attribute(attributes.next(), "r=").ok_or(LAST)?;
        let proof = Key::new(BASE64.decode(proof).map_err(|_| LAST)?);
        Ok(Self { channel_binding, nonce, proof, without_proof })
    }
}

/// `AuthMessage` of RFC 5802, 3: what both sides sign.
fn auth_message(first: &ClientFirst, challenge: &ServerFirst, without_proof: &str) -> String {
    [first.bare.as_str(), challenge.text.as_str(), without_proof].join(",")
}

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
    proof: Key,
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

fn text(message: &[u8], malformed: ScramError) -> Result<&str, ScramError> {
    if message.len() > SCRAM_MESSAGE_MAX {
        return Err(ScramError::TooLong);
    }
    std::str::from_utf8(message).ok().filter(|text| !text.contains('\0')).ok_or(malformed)
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Option<&'a str> {
    part?.strip_prefix(name)
}

/// RFC 5802, 5.1: printable ASCII without the comma.
fn checked_nonce(nonce: &str) -> Result<String, ScramError> {
    let lawful = nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if lawful && (1..=SCRAM_NONCE_MAX).contains(&nonce.len()) { Ok(nonce.into()) } else { Err(ScramError::Nonce) }
}

fn check_salt(salt: &[u8]) -> Result<(), ScramError> {
    if (1..=SCRAM_SALT_MAX).contains(&salt.len()) { Ok(()) } else { Err(ScramError::Salt) }
}

fn check_iterations(iterations: u32) -> Result<(), ScramError> {
    let lawful = (SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(&iterations);
    if lawful { Ok(()) } else { Err(ScramError::Iterations(iterations)) }
}

/// RFC 5802, 5.1 saslname: `,` is `=2C`, `=` is `=3D`.
fn escape(name: &str) -> Result<String, ScramError> {
    if name.is_empty() || name.len() > SCRAM_USERNAME_MAX || name.contains('\0') {
        return Err(ScramError::Username);
    }
    Ok(name.replace('=', "=3D").replace(',', "=2C"))
}

fn unescape(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Username),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    if (1..=SCRAM_USERNAME_MAX).contains(&plain.len()) { Ok(plain) } else { Err(ScramError::Username) }
}

#[cfg(test)]
mod tests;
