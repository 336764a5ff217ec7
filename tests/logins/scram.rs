//! SCRAM with the gateway's own tokens.

use bytes::Bytes;
use kafka_protocol::messages::SaslAuthenticateResponse;
use loadtest::weir::{Gateway, Token};
use loadtest::wire::Connection;
use weir::scram::{ClientExchange, ExpectedServer, Hash, fresh_nonce, salt_password};

use super::hazards_support::*;
use super::{connect, let_in, options, refused};

/// The client's side up to its proof: that, what tells whether the server knows the token too, and the challenge.
fn prove(hash: Hash, user: &str, password: &str, challenge: impl FnOnce(&str) -> Bytes) -> (String, ExpectedServer) {
    let (client, first) = ClientExchange::begin(hash, user, &fresh_nonce().unwrap()).unwrap();
    let challenge = client.challenge(&challenge(&first)).unwrap();
    let salted = salt_password(hash, password, &challenge.salt, challenge.iterations).unwrap();
    client.respond(&challenge, &salted)
}

pub fn login(connection: &mut Connection, hash: Hash, user: &str, password: &str) -> SaslAuthenticateResponse {
    try_login(connection, hash, user, password).1
}

/// The same, and the proof that was sent.
pub fn login_with_proof(connection: &mut Connection, user: &str, password: &str) -> (String, SaslAuthenticateResponse) {
    let (message, answer) = try_login(connection, Hash::Sha256, user, password);
    (message.rsplit_once(",p=").unwrap().1.to_owned(), answer)
}

fn try_login(
    connection: &mut Connection,
    hash: Hash,
    user: &str,
    password: &str,
) -> (String, SaslAuthenticateResponse) {
    connection.handshake(1, hash.mechanism()).unwrap();
    let (proof, server) = prove(hash, user, password, |first| {
        let answer = connection.authenticate(first.as_bytes()).unwrap();
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.auth_bytes
    });
    let answer = connection.authenticate(proof.as_bytes()).unwrap();
    if answer.error_code == 0 {
        server.check(&answer.auth_bytes).unwrap();
    }
    (proof, answer)
}

fn each_gateway(check: impl Fn(&Gateway)) {
    for runtime in RUNTIMES {
        check(&gateway(options(runtime, &["scram"], &[])));
    }
}

#[test]
fn a_token_logs_in_by_either_hash_for_as_long_as_it_lives() {
    each_gateway(|gateway| {
        let token = gateway.token("careful", "dev").unwrap();
        for hash in [Hash::Sha256, Hash::Sha512] {
            let mut connection = connect(gateway);
            let answer = login(&mut connection, hash, "careful", &token.token);
            let_in(&mut connection, &answer);
            assert!(answer.session_lifetime_ms > 23 * 3_600_000, "{answer:?}");
        }
        gateway.weir(&["token", "revoke", &token.id]).unwrap();
        let mut connection = connect(gateway);
        let answer = login(&mut connection, Hash::Sha256, "careful", &token.token);
        assert!(refused(gateway, &mut connection, answer).contains(&format!("token {} was revoked", token.id)));
    });
}

#[test]
fn a_subject_with_several_tokens_is_let_in_by_each_and_locked_out_by_none() {
    each_gateway(|gateway| {
        let tokens: Vec<Token> = (0..3).map(|_| gateway.token("rotating", "dev").unwrap()).collect();
        gateway.weir(&["token", "revoke", &tokens[1].id]).unwrap();
        for token in [&tokens[0], &tokens[2]] {
            let mut connection = connect(gateway);
            let answer = login(&mut connection, Hash::Sha512, "rotating", &token.token);
            let_in(&mut connection, &answer);
        }
    });
}

#[test]
fn who_exists_is_not_told_by_challenge_nor_by_refusal() {
    each_gateway(|gateway| {
        let token = gateway.token("somebody", "dev").unwrap();
        let wrong = format!("{}x", &token.token[..token.token.len() - 1]);
        let words = |user: &str, password: &str| {
            let mut connection = connect(gateway);
            let answer = login(&mut connection, Hash::Sha256, user, password);
            refused(gateway, &mut connection, answer)
        };
        assert_eq!(words("somebody", &wrong), words("nobody", &token.token));
        // Asked again, whoever does not exist has the same salt, as somebody has.
        let challenge = |user: &str| {
            let mut connection = connect(gateway);
            connection.handshake(1, "SCRAM-SHA-256").unwrap();
            let answer = connection.authenticate(format!("n,,n={user},r=abc").as_bytes()).unwrap();
            let text = String::from_utf8(answer.auth_bytes.to_vec()).unwrap();
            assert!(text.starts_with("r=abc") && text.ends_with(",i=4096"), "{text}");
            text.split(',').nth(1).unwrap().to_owned()
        };
        assert_eq!(challenge("nobody"), challenge("nobody"));
        assert_eq!(challenge("nobody").len(), challenge("somebody").len());
        assert_ne!(challenge("nobody"), challenge("nobody-else"));
    });
}

#[test]
fn bare_messages_behind_a_version_0_handshake_log_in_or_are_closed() {
    each_gateway(|gateway| {
        let token = gateway.token("old", "dev").unwrap();
        for password in [token.token.as_str(), "weir_wrong_one"] {
            let mut connection = connect(gateway);
            connection.handshake(0, "SCRAM-SHA-512").unwrap();
            let (proof, server) = prove(Hash::Sha512, "old", password, |first| {
                connection.send_frame(first.as_bytes()).unwrap();
                connection.receive_frame().unwrap().unwrap()
            });
            connection.send_frame(proof.as_bytes()).unwrap();
            if password == token.token {
                server.check(&connection.receive_frame().unwrap().unwrap()).unwrap();
                connection.call(METADATA, &no_topics()).unwrap();
            } else {
                ends_saying(gateway, &mut connection, "the SCRAM proof fits no token of the claimed subject");
            }
        }
    });
}

#[test]
fn what_is_no_scram_is_refused_at_once() {
    each_gateway(|gateway| {
        for (message, why) in [
            (&b"\0user\0password"[..], "the SCRAM client's first message is malformed"),
            (b"p=tls-unique,,n=user,r=abc", "SCRAM with channel binding is not supported"),
            (b"n,a=other,n=user,r=abc", "logging in as one user to act as another is not supported"),
        ] {
            let mut connection = connect(gateway);
            connection.handshake(1, "SCRAM-SHA-256").unwrap();
            let answer = connection.authenticate(message).unwrap();
            assert!(refused(gateway, &mut connection, answer).contains(why));
        }
        // A proof of another login is none here.
        let token = gateway.token("replayed", "dev").unwrap();
        let mut proofs = Vec::new();
        for _ in 0..2 {
            let mut connection = connect(gateway);
            connection.handshake(1, "SCRAM-SHA-256").unwrap();
            let (proof, _) = prove(Hash::Sha256, "replayed", &token.token, |first| {
                connection.authenticate(first.as_bytes()).unwrap().auth_bytes
            });
            proofs.push((connection, proof));
        }
        let (_, old) = proofs.remove(0);
        let (mut connection, _) = proofs.remove(0);
        let answer = connection.authenticate(old.as_bytes()).unwrap();
        assert!(refused(gateway, &mut connection, answer).contains("the SCRAM nonce is not the one of this login"));
    });
}
