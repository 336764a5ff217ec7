//! The messages of logins, on either side: PLAIN, OAUTHBEARER, SCRAM, and the requests that carry them.

use super::input::Input;
use crate::scram::{ClientExchange, ClientFirst, Hash, Key, ServerExchange, Verifier};
use crate::wire::kafka::{oauthbearer, sasl};

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// A byte chooses what is read.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte();
    match choice % 6 {
        0 => {
            if let Ok(login) = sasl::parse_plain(input.rest()) {
                let written = sasl::plain_message(&login.username, &login.password);
                let again = sasl::parse_plain(&written).expect("what was read can be written");
                assert_eq!((again.username, again.password), (login.username, login.password));
            }
        }
        1 => drop(sasl::handshake_mechanism(input.rest())),
        2 => {
            let version = i16::from(choice / 6 % 3);
            let body = input.rest();
            if let Ok(token) = sasl::authenticate_token(body, version) {
                assert!(token.len() <= body.len());
            }
        }
        3 => {
            let message = input.rest();
            if let Ok(bearer) = oauthbearer::parse(message) {
                assert!(!bearer.token.is_empty() && bearer.token.len() < message.len());
            }
        }
        4 => server(&mut input),
        _ => client(&mut input),
    }
}

/// A client's two messages: without knowing a password, none of them gets in.
fn server(input: &mut Input<'_>) {
    let length = input.number();
    let Ok(first) = ClientFirst::parse(input.take(length)) else { return };
    assert!(!first.username.is_empty());
    let Ok((exchange, challenge)) = ServerExchange::begin(Hash::Sha256, first, b"salt", 4096, NONCE) else { return };
    assert!(challenge.contains(NONCE));
    if let Ok(proof) = exchange.proof(input.rest()) {
        let verifier = Verifier { stored_key: Key::new(vec![1; 32]), server_key: Key::new(vec![2; 32]) };
        assert!(proof.check(&verifier).is_err(), "nobody knows the password of this hash");
    }
}

/// A server's two messages: without the keys, none of them is taken for the server's.
fn client(input: &mut Input<'_>) {
    let (exchange, _) = ClientExchange::begin(Hash::Sha512, "analyst,7=", NONCE).expect("lawful");
    let length = input.number();
    let Ok(challenge) = exchange.challenge(input.take(length)) else { return };
    assert!(challenge.nonce.starts_with(NONCE) && challenge.nonce.len() > NONCE.len());
    let (_, expected) = exchange.respond(&challenge, &Key::new(vec![3; 64]));
    assert!(expected.check(input.rest()).is_err());
}

fn two(choice: u8, first: &[u8], last: &[u8]) -> Vec<u8> {
    [&[choice], &(first.len() as u16).to_be_bytes()[..], first, last].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let first = format!("r={NONCE}3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
    let last = format!("c=biws,r={NONCE}{NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let bearer = b"n,a=jwt,\x01auth=Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln\x01traceparent=00\x01\x01";
    vec![
        b"\0\0analyst-7\0s3cret".to_vec(),
        b"\0a\0a\0b".to_vec(),
        b"\x01\0\x0dSCRAM-SHA-256".to_vec(),
        b"\x02\0\0\0\x05token".to_vec(),
        b"\x0e\x06token\0".to_vec(),
        b"\x0e\x06token\x01\x07\x02ab".to_vec(),
        [b"\x03", &bearer[..]].concat(),
        two(4, format!("n,,n=analyst,r={NONCE}").as_bytes(), last.as_bytes()),
        two(4, b"y,a=other=2C,n=an=3Dalyst,r=x,ext=1", b"c=eSws,r=x,p=AA=="),
        two(5, first.as_bytes(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        two(5, first.as_bytes(), b"e=invalid-proof"),
    ]
}
