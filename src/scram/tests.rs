//! RFC 7677's vector, both sides against each other, and what neither may be talked into.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

/// What the four messages of a login of `user` with `pencil` are.
fn login(hash: Hash, expected: [&str; 4]) {
    let salt = BASE64.decode(SALT).unwrap();
    let (client, first) = ClientExchange::begin(hash, "user", CLIENT_NONCE).unwrap();
    let verifier = Verifier::derive(hash, "pencil", &salt, 4096).unwrap();
    let parsed = ClientFirst::parse(first.as_bytes()).unwrap();
    let (server, challenge) = ServerExchange::begin(hash, parsed, &salt, 4096, SERVER_NONCE).unwrap();
    assert_eq!(server.username(), "user");
    let read = client.challenge(challenge.as_bytes()).unwrap();
    let salted = salt_password(hash, "pencil", &read.salt, read.iterations).unwrap();
    let (last, expected_server) = client.respond(&read, &salted);
    let outcome = server.proof(last.as_bytes()).unwrap().check(&verifier).unwrap();
    assert_eq!([first.as_str(), &challenge, &last, &outcome], expected);
    assert_eq!(expected_server.check(outcome.as_bytes()), Ok(()));
}

#[test]
fn sha_256_is_as_in_rfc_7677() {
    login(
        Hash::Sha256,
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    );
}

/// The same login as Python's hashlib and hmac compute it.
#[test]
fn sha_512_is_as_another_implementation_has_it() {
    login(
        Hash::Sha512,
        [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ],
    );
}

fn finish(server: &ServerExchange, message: &[u8]) -> Result<String, ScramError> {
    server.proof(message)?.check(&Verifier::derive(Hash::Sha256, "pencil", b"salt", 4096)?)
}

fn server(username: &str) -> (ServerExchange, ClientExchange, ServerFirst) {
    let hash = Hash::Sha256;
    let (client, first) = ClientExchange::begin(hash, username, CLIENT_NONCE).unwrap();
    let parsed = ClientFirst::parse(first.as_bytes()).unwrap();
    let (server, challenge) = ServerExchange::begin(hash, parsed, b"salt", 4096, SERVER_NONCE).unwrap();
    let challenge = client.challenge(challenge.as_bytes()).unwrap();
    (server, client, challenge)
}

#[test]
fn another_password_nonce_or_binding_is_refused() {
    let (exchange, client, challenge) = server("user");
    let wrong = salt_password(Hash::Sha256, "pencils", b"salt", 4096).unwrap();
    let (last, _) = client.respond(&challenge, &wrong);
    assert_eq!(finish(&exchange, last.as_bytes()), Err(ScramError::Proof));
    let right = salt_password(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
    for (from, to, error) in [
        ("c=biws", "c=eSws", ScramError::ChannelBinding),
        (",r=r", ",r=R", ScramError::OtherNonce),
        ("k0,p=", "k0,p=AAAA", ScramError::Proof),
    ] {
        let (exchange, client, challenge) = server("user");
        let (last, _) = client.respond(&challenge, &right);
        assert_eq!(finish(&exchange, last.replacen(from, to, 1).as_bytes()), Err(error), "{from}");
    }
}

#[test]
fn a_server_without_the_keys_is_found_out() {
    let (_, client, challenge) = server("user");
    let salted = salt_password(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
    let (_, expected) = client.respond(&challenge, &salted);
    let forged = format!("v={}", BASE64.encode([7; 32]));
    assert_eq!(expected.check(forged.as_bytes()), Err(ScramError::ServerSignature));
    assert_eq!(expected.check(b"v="), Err(ScramError::ServerSignature));
    assert_eq!(expected.check(b"e=invalid-proof"), Err(ScramError::Refused));
    assert_eq!(expected.check(b""), Err(ScramError::Malformed("server's last message")));
}

#[test]
fn a_server_cannot_make_a_client_burn_cpu_nor_weaken_the_hash() {
    let (client, _) = ClientExchange::begin(Hash::Sha512, "user", "abc").unwrap();
    for (message, error) in [
        ("r=abcd,s=AAAA,i=4095", ScramError::Iterations(4095)),
        ("r=abcd,s=AAAA,i=1000001", ScramError::Iterations(1_000_001)),
        ("r=abcd,s=AAAA,i=99999999999", ScramError::Malformed("server's first message")),
        ("r=abc,s=AAAA,i=4096", ScramError::OtherNonce),
        ("r=xyz,s=AAAA,i=4096", ScramError::OtherNonce),
        ("r=abcd,s=,i=4096", ScramError::Salt),
        ("m=x,r=abcd,s=AAAA,i=4096", ScramError::Malformed("server's first message")),
    ] {
        assert_eq!(client.challenge(message.as_bytes()).unwrap_err(), error, "{message}");
    }
    let long = "x".repeat(SCRAM_MESSAGE_MAX + 1);
    assert_eq!(client.challenge(long.as_bytes()).unwrap_err(), ScramError::TooLong);
    assert_eq!(salt_password(Hash::Sha256, "p", b"s", u32::MAX).unwrap_err(), ScramError::Iterations(u32::MAX));
}

#[test]
fn names_with_commas_and_equals_signs_are_escaped() {
    let (_, first) = ClientExchange::begin(Hash::Sha256, "a=b,c=2C", "abc").unwrap();
    assert_eq!(first, "n,,n=a=3Db=2Cc=3D2C,r=abc");
    assert_eq!(ClientFirst::parse(first.as_bytes()).unwrap().username, "a=b,c=2C");
}

#[test]
fn a_clients_first_message_is_taken_as_rfc_5802_has_it() {
    let first = ClientFirst::parse(b"y,a=other,n=user,r=abc,tokenauth=true").unwrap();
    assert_eq!((first.authorization_id.as_deref(), first.username.as_str()), (Some("other"), "user"));
    for (message, error) in [
        (&b""[..], ScramError::Malformed("client's first message")),
        (b"n,,n=user", ScramError::Malformed("client's first message")),
        (b"n,x,n=user,r=abc", ScramError::Malformed("client's first message")),
        (b"n,,m=x,n=user,r=abc", ScramError::Malformed("client's first message")),
        (b"n,,n=us\0er,r=abc", ScramError::Malformed("client's first message")),
        (b"p=tls-unique,,n=user,r=abc", ScramError::ChannelBinding),
        (b"n,,n=,r=abc", ScramError::Username),
        (b"n,,n=a=2Db,r=abc", ScramError::Username),
        (b"n,,n=user,r=", ScramError::Nonce),
        (b"n,,n=user,r=a b", ScramError::Nonce),
    ] {
        assert_eq!(ClientFirst::parse(message).unwrap_err(), error, "{}", message.escape_ascii());
    }
}

#[test]
fn no_debug_text_holds_a_key() {
    let (exchange, client, challenge) = server("user");
    let salted = salt_password(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
    let verifier = Verifier::derive(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
    let (last, expected) = client.respond(&challenge, &salted);
    let proof = exchange.proof(last.as_bytes()).unwrap();
    let shown = format!("{exchange:?} {salted:?} {expected:?} {verifier:?} {proof:?}");
    for key in [&verifier.stored_key, &verifier.server_key, &salted, &proof.proof] {
        assert!(!shown.contains(&format!("{:?}", key.expose())) && !shown.contains("pencil"), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = ClientFirst::parse(&message);
        let _ = ServerFirst::parse(&message);
        let _ = ClientFinal::parse(&message);
    }

    #[test]
    fn every_name_survives_its_escape(name in "[^\0]{1,100}") {
        prop_assert_eq!(unescape(&escape(&name).unwrap()), Ok(name));
    }
}
