//! The messages of a login, read and written (RFC 5802, 5 and 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Key, ScramError, check_iterations, check_salt};
use crate::limits::{SCRAM_MESSAGE_MAX, SCRAM_NONCE_MAX, SCRAM_USERNAME_MAX};

/// The client's first message: `n,,n=user,r=nonce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// As whom it wants to act, where it says so.
    pub authorization_id: Option<String>,
    /// Who logs in.
    pub username: String,
    pub(super) nonce: String,
    /// `n,,` or with an authorization id; repeated in the last message.
    pub(super) gs2_header: String,
    pub(super) bare: String,
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

    pub(super) fn new(username: &str, nonce: &str) -> Result<Self, ScramError> {
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
    pub(super) text: String,
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

    pub(super) fn new(nonce: String, salt: &[u8], iterations: u32) -> Self {
        let text = format!("r={nonce},s={},i={iterations}", BASE64.encode(salt));
        Self { nonce, salt: salt.to_vec(), iterations, text }
    }
}

/// The client's last message: `c=binding,r=nonce,p=proof`.
pub(super) struct ClientFinal<'a> {
    pub(super) channel_binding: &'a str,
    pub(super) nonce: &'a str,
    pub(super) proof: Key,
    pub(super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
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
pub(super) fn auth_message(first: &ClientFirst, challenge: &ServerFirst, without_proof: &str) -> String {
    [first.bare.as_str(), challenge.text.as_str(), without_proof].join(",")
}

pub(super) fn text(message: &[u8], malformed: ScramError) -> Result<&str, ScramError> {
    if message.len() > SCRAM_MESSAGE_MAX {
        return Err(ScramError::TooLong);
    }
    std::str::from_utf8(message).ok().filter(|text| !text.contains('\0')).ok_or(malformed)
}

pub(super) fn attribute<'a>(part: Option<&'a str>, name: &str) -> Option<&'a str> {
    part?.strip_prefix(name)
}

/// RFC 5802, 5.1: printable ASCII without the comma.
pub(super) fn checked_nonce(nonce: &str) -> Result<String, ScramError> {
    let lawful = nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if lawful && (1..=SCRAM_NONCE_MAX).contains(&nonce.len()) { Ok(nonce.into()) } else { Err(ScramError::Nonce) }
}

/// RFC 5802, 5.1 saslname: `,` is `=2C`, `=` is `=3D`.
pub(super) fn escape(name: &str) -> Result<String, ScramError> {
    if name.is_empty() || name.len() > SCRAM_USERNAME_MAX || name.contains('\0') {
        return Err(ScramError::Username);
    }
    Ok(name.replace('=', "=3D").replace(',', "=2C"))
}

pub(super) fn unescape(name: &str) -> Result<String, ScramError> {
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
