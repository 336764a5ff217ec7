//! The SASL messages: what a client's PLAIN login says, what Weir answers, and what Weir says to a broker.
//!
//! Invariants:
//! - A password lives in memory that is wiped when it is dropped, and in no error, no `Debug` text, no growing buffer.
//! - Reading believes no length and copies nothing but the three parts of a login.
//!
//! Sources: RFC 4616 (PLAIN), KIP-12, KIP-152 (SaslAuthenticate), KIP-368 (session lifetime).

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};
use kafka_protocol::protocol::{Encodable, StrBytes};
use zeroize::Zeroizing;

use super::api::{self, Api, key};
use super::fields::{Fields, Stop, put_unsigned_varint};
use super::frame::FrameWriter;
use crate::limits::SASL_MESSAGE_MAX;

/// A login by PLAIN.
pub struct Plain {
    /// Who logs in.
    pub username: String,
    /// The secret, wiped on drop.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why a PLAIN message is none. The texts may be shown to the client; they hold nothing it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// Longer than [`SASL_MESSAGE_MAX`].
    #[error("the login message is longer than {SASL_MESSAGE_MAX} bytes")]
    TooLong,
    /// Not `[authzid] NUL username NUL password`.
    #[error("a PLAIN login has three parts separated by NUL, this one has {0}")]
    Parts(usize),
    /// Not UTF-8.
    #[error("the login message is not UTF-8")]
    NotUtf8,
    /// No user name.
    #[error("the user name is empty")]
    NoUsername,
    /// No password.
    #[error("the password is empty")]
    NoPassword,
    /// An authorization id that is not the user's own.
    #[error("logging in as one user to act as another is not supported: leave the authorization id empty")]
    ActsForAnother,
}

/// Parses a PLAIN message (RFC 4616, 2). As in Kafka, an authorization id other than the user name is refused.
pub fn parse_plain(message: &[u8]) -> Result<Plain, PlainError> {
    if message.len() > SASL_MESSAGE_MAX {
        return Err(PlainError::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| PlainError::NotUtf8)?;
    let mut parts = text.split('\0');
    let (Some(authzid), Some(username), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PlainError::Parts(text.split('\0').count()));
    };
    match () {
        () if username.is_empty() => Err(PlainError::NoUsername),
        () if password.is_empty() => Err(PlainError::NoPassword),
        () if !authzid.is_empty() && authzid != username => Err(PlainError::ActsForAnother),
        () => Ok(Plain { username: username.to_owned(), password: Zeroizing::new(password.to_owned()) }),
    }
}

/// Writes a PLAIN message.
pub fn plain_message(username: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(username.len() + password.len() + 2));
    for part in ["", username] {
        message.extend_from_slice(part.as_bytes());
        message.push(0);
    }
    message.extend_from_slice(password.as_bytes());
    message
}

/// The body of a SASL request is not of its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of the SASL request is malformed")]
pub struct Malformed;

impl From<Stop> for Malformed {
    fn from(_: Stop) -> Self {
        Malformed
    }
}

/// The mechanism that a SaslHandshake request (v0-1, of one layout) names.
pub fn handshake_mechanism(body: &[u8]) -> Result<&str, Malformed> {
    let mut fields = Fields::whole(body);
    let mechanism = fields.string()?;
    if fields.position() == body.len() { Ok(mechanism) } else { Err(Malformed) }
}

/// The token that a SaslAuthenticate request (v0-2) carries, borrowed from its frame.
pub fn authenticate_token(body: &[u8], version: i16) -> Result<&[u8], Malformed> {
    let mut fields = Fields::whole(body);
    let token = if is_flexible_authenticate(version) {
        let len = fields.compact_count()?.ok_or(Malformed)?;
        let token = fields.take(len)?;
        fields.skip_tagged()?;
        token
    } else {
        let len = usize::try_from(fields.int32()?).map_err(|_| Malformed)?;
        fields.take(len)?
    };
    if fields.position() == body.len() { Ok(token) } else { Err(Malformed) }
}

fn is_flexible_authenticate(version: i16) -> bool {
    api::lookup(key::SASL_AUTHENTICATE).is_some_and(|api| api.is_flexible(version))
}

/// A SaslHandshake answer (v0-1): the frame. `error` is 0, 33 (mechanism unknown) or 34 (not now). None for a version
/// that is not served.
pub fn handshake_response(version: i16, correlation_id: i32, error: i16, mechanisms: &[&str]) -> Option<Bytes> {
    let names = mechanisms.iter().map(|name| StrBytes::from_string((*name).to_owned()));
    let response = SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(names.collect());
    respond(key::SASL_HANDSHAKE, version, correlation_id, &response)
}

/// What a SaslAuthenticate answer says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuthenticateAnswer<'a> {
    /// 0, or 58 (SASL_AUTHENTICATION_FAILED), 34 (ILLEGAL_SASL_STATE).
    pub error: i16,
    /// Shown to whoever logs in; never holds what they sent as a secret.
    pub message: Option<&'a str>,
    /// The mechanism's next token; empty for PLAIN.
    pub token: &'a [u8],
    /// After how many ms the client must authenticate again, 0 for never (KIP-368; not said in v0).
    pub session_lifetime_ms: i64,
}

/// A SaslAuthenticate answer (v0-2): the frame. None for a version that is not served.
pub fn authenticate_response(version: i16, correlation_id: i32, answer: AuthenticateAnswer<'_>) -> Option<Bytes> {
    let response = SaslAuthenticateResponse::default()
        .with_error_code(answer.error)
        .with_error_message(answer.message.map(|text| StrBytes::from_string(text.to_owned())))
        .with_auth_bytes(Bytes::copy_from_slice(answer.token))
        .with_session_lifetime_ms(if version >= 1 { answer.session_lifetime_ms } else { 0 });
    respond(key::SASL_AUTHENTICATE, version, correlation_id, &response)
}

/// A mechanism's message without a frame's header, as version 0 handshakes have them: the frame.
pub fn bare_message(message: &[u8]) -> Option<Bytes> {
    let len = i32::try_from(message.len()).ok()?;
    Some([&len.to_be_bytes()[..], message].concat().into())
}

fn respond(key: i16, version: i16, correlation_id: i32, response: &impl Encodable) -> Option<Bytes> {
    let api = served(key, version)?;
    let mut writer = FrameWriter::response(correlation_id, api.response_header_version(version));
    response.encode(writer.body(), version).ok()?;
    writer.finish()
}

/// A SaslHandshake request of Weir's own, v1: SaslAuthenticate carries what follows.
pub fn handshake_request(correlation_id: i32, client_id: &str, mechanism: &str) -> Option<Bytes> {
    let len = i16::try_from(mechanism.len()).ok()?;
    let mut writer = FrameWriter::request(served(key::SASL_HANDSHAKE, 1)?, 1, correlation_id, client_id, 0);
    writer.body().put_i16(len);
    writer.body().put_slice(mechanism.as_bytes());
    writer.finish()
}

/// A SaslAuthenticate request of Weir's own (v0-2) in a buffer that is wiped on drop: the token is a secret.
pub fn authenticate_request(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    token: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    const LENGTH_AND_TAGS: usize = 6;
    let api = served(key::SASL_AUTHENTICATE, version)?;
    let len = i32::try_from(token.len()).ok().filter(|_| token.len() <= SASL_MESSAGE_MAX)?;
    let mut writer = FrameWriter::request(api, version, correlation_id, client_id, token.len() + LENGTH_AND_TAGS);
    let body = writer.body();
    if api.is_flexible(version) {
        put_unsigned_varint(body, len.unsigned_abs() + 1);
        body.put_slice(token);
        body.put_u8(0);
    } else {
        body.put_i32(len);
        body.put_slice(token);
    }
    writer.into_vec().map(Zeroizing::new)
}

fn served(key: i16, version: i16) -> Option<&'static Api> {
    api::lookup(key).filter(|api| api.serves(version))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::kafka::frame::{PREFIX_LEN, Parsed, RequestHeader, response_header_len};
    use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
    use kafka_protocol::protocol::Decodable;
    use proptest::prelude::*;

    #[test]
    fn a_plain_login_is_three_parts() {
        for message in [&b"\0analyst-7\0s3cret"[..], b"analyst-7\0analyst-7\0s3cret"] {
            let login = parse_plain(message).unwrap();
            assert_eq!((login.username.as_str(), login.password.as_str()), ("analyst-7", "s3cret"));
        }
        assert_eq!(&plain_message("u", "p")[..], b"\0u\0p");
        for (message, error) in [
            (&b""[..], PlainError::Parts(1)),
            (b"u\0p", PlainError::Parts(2)),
            (b"\0u\0p\0", PlainError::Parts(4)),
            (b"\0\0p", PlainError::NoUsername),
            (b"\0u\0", PlainError::NoPassword),
            (b"root\0u\0p", PlainError::ActsForAnother),
            (b"\0u\0\xff", PlainError::NotUtf8),
            (&vec![0; SASL_MESSAGE_MAX + 1], PlainError::TooLong),
        ] {
            assert_eq!(parse_plain(message).unwrap_err(), error);
        }
    }

    #[test]
    fn no_error_and_no_debug_text_holds_the_secret() {
        let login = parse_plain(b"\0u\0s3cret").unwrap();
        assert!(!format!("{login:?}").contains("s3cret"));
        for message in [&b"s3cret\0u\0s3cret"[..], b"\0\0s3cret", b"s3cret", b"s3cret\0s3cret\0s3cret\0"] {
            let error = parse_plain(message).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    fn body_of(frame: &[u8], header_version: i16) -> &[u8] {
        let frame = &frame[PREFIX_LEN..];
        match response_header_len(frame, frame.len(), header_version).unwrap() {
            Parsed::Whole(len) => &frame[len..],
            Parsed::NeedMore => panic!("a whole frame"),
        }
    }

    #[test]
    fn login_answers_are_read_by_a_stock_client_in_every_version() {
        for version in 0..=1 {
            let frame = handshake_response(version, 3, 33, &["PLAIN"]).unwrap();
            let read = SaslHandshakeResponse::decode(&mut body_of(&frame, 0), version).unwrap();
            assert_eq!((read.error_code, read.mechanisms[0].as_str()), (33, "PLAIN"));
        }
        for version in 0..=2 {
            let answer = AuthenticateAnswer {
                error: 58,
                message: Some("the token is revoked"),
                token: b"next",
                session_lifetime_ms: 60_000,
            };
            let frame = authenticate_response(version, 3, answer).unwrap();
            let mut body = body_of(&frame, if version >= 2 { 1 } else { 0 });
            let read = SaslAuthenticateResponse::decode(&mut body, version).unwrap();
            assert!(body.is_empty());
            assert_eq!((read.error_code, read.error_message.as_deref()), (58, Some("the token is revoked")));
            assert_eq!(
                (&read.auth_bytes[..], read.session_lifetime_ms),
                (&b"next"[..], if version >= 1 { 60_000 } else { 0 })
            );
        }
        assert_eq!(handshake_response(2, 3, 0, &[]), None);
        assert_eq!(authenticate_response(3, 3, AuthenticateAnswer::default()), None);
    }

    #[test]
    fn our_own_login_is_read_back_by_codec_and_by_our_reader() {
        let frame = handshake_request(1, "weir", "PLAIN").unwrap();
        let header = request_header(&frame);
        let mut body = &frame[PREFIX_LEN + header..];
        assert_eq!(handshake_mechanism(body), Ok("PLAIN"));
        assert_eq!(SaslHandshakeRequest::decode(&mut body, 1).unwrap().mechanism.as_str(), "PLAIN");
        for (version, size) in [(0, 9), (1, 9), (2, 9), (2, 126), (2, 127), (2, 20_000), (1, 20_000)] {
            let token = vec![b'x'; size];
            let frame = authenticate_request(version, 2, "weir", &token).unwrap();
            let mut body = &frame[PREFIX_LEN + request_header(&frame)..];
            assert_eq!(authenticate_token(body, version), Ok(&token[..]));
            assert_eq!(SaslAuthenticateRequest::decode(&mut body, version).unwrap().auth_bytes, token);
            assert!(body.is_empty());
        }
    }

    fn request_header(frame: &[u8]) -> usize {
        match RequestHeader::parse(&frame[PREFIX_LEN..], frame.len() - PREFIX_LEN).unwrap() {
            Parsed::Whole(header) => header.len,
            Parsed::NeedMore => panic!("a whole frame"),
        }
    }

    #[test]
    fn a_secret_is_never_copied_by_a_growing_buffer() {
        for version in 0..=2 {
            let frame = authenticate_request(version, 2, "weir", &[b'x'; 4000]).unwrap();
            let grown = frame.capacity() > frame.len() + 16;
            assert!(!grown, "the buffer was reserved once, for what it holds");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_login_parsing_panic(
            body in proptest::collection::vec(any::<u8>(), 0..64),
            version in 0i16..3,
        ) {
            let _ = parse_plain(&body);
            let _ = handshake_mechanism(&body);
            let _ = authenticate_token(&body, version);
        }
    }
}
