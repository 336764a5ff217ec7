//! The messages of SASL/OAUTHBEARER, as the server reads and writes them.
//!
//! A client sends its token in its first message. When it is good, the answer is empty. When it is not, the answer is a
//! JSON object, which the client acknowledges with a single byte, and only then the login fails: Kafka's clients follow
//! that to the letter.
//!
//! Sources: RFC 7628 (OAUTHBEARER), RFC 5801 (the GS2 header), KIP-255, KIP-342 (extensions, which are not used here).

/// What the client acknowledges a failure with.
pub const ACKNOWLEDGEMENT: &[u8] = b"\x01";

/// The answer to a token that is not taken (RFC 7628, 3.2.2).
pub const INVALID_TOKEN: &[u8] = br#"{"status":"invalid_token"}"#;

/// The client's message; borrowed, since the token is a secret.
pub struct Bearer<'a> {
    /// As whom it wants to act, where it says so.
    pub authorization_id: Option<String>,
    /// The token.
    pub token: &'a str,
}

/// Why a message is none. The texts may be shown to the client; they hold nothing it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Not `n,[a=…],^A key=value ^A … ^A`.
    #[error("the OAUTHBEARER message is malformed")]
    Malformed,
    /// Channel binding, which Kafka has no mechanism for.
    #[error("OAUTHBEARER with channel binding is not supported")]
    ChannelBinding,
    /// There is no `auth=Bearer …` in it.
    #[error("the OAUTHBEARER message carries no bearer token")]
    NoToken,
}

/// Reads a client's message: `n,,^Aauth=Bearer TOKEN^A^A`, extensions ignored.
pub fn parse(message: &[u8]) -> Result<Bearer<'_>, BearerError> {
    let text = std::str::from_utf8(message).map_err(|_| BearerError::Malformed)?;
    let (header, pairs) = text.split_once('\x01').ok_or(BearerError::Malformed)?;
    let mut header = header.split(',');
    match header.next() {
        Some("n" | "y") => {}
        Some(binding) if binding.starts_with("p=") => return Err(BearerError::ChannelBinding),
        _ => return Err(BearerError::Malformed),
    }
    let authorization_id = match (header.next(), header.next(), header.next()) {
        (Some(""), Some(""), None) => None,
        (Some(named), Some(""), None) => Some(unescaped(named.strip_prefix("a=").ok_or(BearerError::Malformed)?)),
        _ => return Err(BearerError::Malformed),
    };
    let pairs = pairs.strip_suffix("\x01\x01").ok_or(BearerError::Malformed)?;
    let authorization = pairs.split('\x01').find_map(|pair| pair.strip_prefix("auth=")).ok_or(BearerError::NoToken)?;
    let (scheme, token) = authorization.split_once(' ').ok_or(BearerError::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(BearerError::NoToken);
    }
    Ok(Bearer { authorization_id, token: token.trim() })
}

/// RFC 5801, 4: `,` is `=2C`, `=` is `=3D`. What is not escaped well names nobody.
fn unescaped(name: &str) -> String {
    name.replace("=2C", ",").replace("=3D", "=")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_token_is_found_as_each_client_family_sends_it() {
        for message in [
            "n,,\x01auth=Bearer a.b.c\x01\x01",
            "n,,\x01auth=Bearer a.b.c\x01logicalCluster=lkc-1\x01\x01",
            "n,,\x01host=k\x01port=9092\x01auth=bearer a.b.c\x01\x01",
        ] {
            let bearer = parse(message.as_bytes()).unwrap();
            assert_eq!((bearer.token, bearer.authorization_id), ("a.b.c", None));
        }
        let named = parse(b"n,a=some=2Cbody,\x01auth=Bearer t\x01\x01").unwrap();
        assert_eq!(named.authorization_id.as_deref(), Some("some,body"));
    }

    #[test]
    fn what_is_no_such_message_is_refused() {
        let refused = |message: &[u8]| parse(message).err().unwrap();
        for message in
            [&b""[..], b"\x01", b"n,,", b"n\x01auth=Bearer t\x01\x01", b"n,,\x01auth=Bearer t\x01", b"\xff\x01"]
        {
            assert_eq!(refused(message), BearerError::Malformed, "{}", message.escape_ascii());
        }
        assert_eq!(refused(b"n,x,\x01auth=Bearer t\x01\x01"), BearerError::Malformed);
        assert_eq!(refused(b"p=tls-unique,,\x01auth=Bearer t\x01\x01"), BearerError::ChannelBinding);
        for message in [&b"n,,\x01\x01\x01"[..], b"n,,\x01auth=Basic t\x01\x01", b"n,,\x01auth=Bearer \x01\x01"] {
            assert_eq!(refused(message), BearerError::NoToken, "{}", message.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&message);
        }
    }
}
