//! Every mechanism on one listener, each for who asks for it; and no secret of any of them left anywhere.

use std::time::Duration;

use kafka_protocol::messages::SaslHandshakeRequest;
use kafka_protocol::protocol::StrBytes;
use loadtest::weir::Gateway;
use loadtest::{http, wait_for};
use weir::scram::Hash;

use super::hazards_support::*;
use super::issuer::Issuer;
use super::{connect, let_in, options, refused, scram};

const HOUR: Duration = Duration::from_secs(3600);

fn each_gateway(check: impl Fn(&Gateway, &Issuer)) {
    for runtime in RUNTIMES {
        let issuer = Issuer::up();
        check(&gateway(options(runtime, &["weir_token", "scram", "jwt"], &[&issuer.yaml("")])), &issuer);
    }
}

#[test]
fn all_mechanisms_share_a_listener_and_the_recording_tells_them_apart() {
    each_gateway(|gateway, issuer| {
        let asked = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("GSSAPI"));
        let answer = connect(gateway).call(1, &asked).unwrap();
        let offered: Vec<_> = answer.mechanisms.iter().map(|m| m.as_str()).collect();
        assert_eq!((answer.error_code, offered), (33, vec!["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]));

        let by_plain = gateway.token("by-plain", "dev").unwrap();
        let by_scram = gateway.token("by-scram", "dev").unwrap();
        let mut connection = connect(gateway);
        let answer = connection.login_plain("by-plain", &by_plain.token).unwrap();
        let_in(&mut connection, &answer);
        let mut connection = connect(gateway);
        let answer = scram::login(&mut connection, Hash::Sha256, "by-scram", &by_scram.token);
        let_in(&mut connection, &answer);
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&issuer.token("by-bearer", HOUR)).unwrap();
        let_in(&mut connection, &answer);
        let mut connection = connect(gateway);
        let answer = connection.login_plain("jwt", &issuer.token("by-jwt", HOUR)).unwrap();
        let_in(&mut connection, &answer);
        // What is neither gets the words for tokens, the more common mistake.
        let mut connection = connect(gateway);
        let answer = connection.login_plain("by-plain", "hunter2").unwrap();
        assert!(refused(gateway, &mut connection, answer).contains("not a Weir token"));

        let expected =
            [("by-plain", "plain_token"), ("by-scram", "scram_token"), ("by-bearer", "jwt"), ("by-jwt", "jwt")];
        wait_for("the sessions", SOON, || {
            let sessions = gateway.weir_json(&["sessions"])?;
            let told = |(subject, mechanism): &(&str, &str)| {
                let identity = |s: &serde_json::Value| {
                    s["identity"]["subject"] == *subject && s["identity"]["mechanism"] == *mechanism
                };
                sessions.iter().any(identity)
            };
            Ok(expected.iter().all(told).then_some(()))
        })
        .unwrap();
        let counted = |mechanism, outcome| {
            gateway.metrics().unwrap().sum("weir_logins_total", &[("mechanism", mechanism), ("outcome", outcome)])
        };
        assert_eq!(counted("PLAIN", "succeeded"), Some(2.0));
        assert_eq!(counted("PLAIN", "failed"), Some(1.0));
        assert_eq!(counted("SCRAM-SHA-256", "succeeded"), Some(1.0));
        assert_eq!(counted("OAUTHBEARER", "succeeded"), Some(1.0));
    });
}

#[test]
fn an_identity_proven_anew_by_another_mechanism_is_the_same_identity() {
    each_gateway(|gateway, issuer| {
        let token = gateway.token("ann", "dev").unwrap();
        let mut connection = connect(gateway);
        let answer = connection.login_plain("ann", &token.token).unwrap();
        let_in(&mut connection, &answer);
        let answer = scram::login(&mut connection, Hash::Sha512, "ann", &token.token);
        let_in(&mut connection, &answer);
        // Another issuer's `ann` is somebody else.
        let answer = connection.login_bearer(&issuer.token("ann", HOUR)).unwrap();
        assert!(refused(gateway, &mut connection, answer).contains("as the same principal only"));
    });
}

#[test]
fn no_token_and_no_proof_is_kept_or_told() {
    each_gateway(|gateway, issuer| {
        let token = gateway.token("careful", "dev").unwrap();
        let good = issuer.token("careful", HOUR);
        let forged = issuer.forge("key-1", &issuer.claims("careful", HOUR));
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&good).unwrap();
        let_in(&mut connection, &answer);
        connection.call(PRODUCE, &produce("careful-topic", -1, batch(1, 10))).unwrap();
        let mut connection = connect(gateway);
        let answer = connection.login_plain("jwt", &forged).unwrap();
        refused(gateway, &mut connection, answer);
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&forged).unwrap();
        refused(gateway, &mut connection, answer);
        let (proof, answer) = scram::login_with_proof(&mut connect(gateway), "careful", "weir_wrong_one");
        assert_eq!(answer.error_code, super::SASL_AUTHENTICATION_FAILED);
        let (good_proof, answer) = scram::login_with_proof(&mut connect(gateway), "careful", &token.token);
        assert_eq!(answer.error_code, 0);

        let shown = wait_for("the session in the recording", SOON, || {
            let sessions = gateway.weir_json(&["sessions", "--identity", "careful"])?;
            let mut shown = String::new();
            for session in &sessions {
                shown += &gateway.weir(&["show", session["id"].as_str().unwrap(), "--json"])?.stdout;
            }
            Ok(shown.contains("careful-topic").then_some(shown))
        })
        .unwrap();
        let (_, metrics) = http::get(gateway.control(), "/metrics").unwrap();
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        let body = |token: &str| token.split('.').nth(1).unwrap().to_owned();
        for secret in [signature(&good), signature(&forged), body(&good), body(&forged), proof, good_proof] {
            for (place, text) in [("show", &shown), ("log", &gateway.log()), ("metrics", &metrics)] {
                assert!(!text.contains(&secret), "a secret is in {place}");
            }
            assert_eq!(files_with(&gateway.store_path(), secret.as_bytes()), Vec::<String>::new());
        }
        // The search does find what is there.
        assert!(!files_with(&gateway.store_path(), b"careful-topic").is_empty());
    });
}
