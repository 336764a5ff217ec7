//! JWTs in OAUTHBEARER and PLAIN: who is let in, for how long, and how a refusal is told.

use std::thread::sleep;
use std::time::{Duration, Instant};

use loadtest::wait_for;
use loadtest::weir::Gateway;
use serde_json::json;

use super::hazards_support::*;
use super::issuer::Issuer;
use super::{connect, let_in, options, refused};

const HOUR: Duration = Duration::from_secs(3600);

fn each_gateway(check: impl Fn(&Gateway, &Issuer)) {
    for runtime in RUNTIMES {
        let issuer = Issuer::up();
        check(&gateway(options(runtime, &["jwt"], &[&issuer.yaml("")])), &issuer);
    }
}

#[test]
fn a_jwt_logs_in_by_oauthbearer_and_by_plain_under_its_subject_or_a_word_for_it() {
    each_gateway(|gateway, issuer| {
        let token = issuer.token("ann", HOUR);
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&token).unwrap();
        let_in(&mut connection, &answer);
        assert!((3_500_000..=3_600_000).contains(&answer.session_lifetime_ms), "{answer:?}");
        for user in ["ann", "jwt"] {
            let mut connection = connect(gateway);
            let answer = connection.login_plain(user, &token).unwrap();
            let_in(&mut connection, &answer);
        }
        let mut connection = connect(gateway);
        let answer = connection.login_plain("bob", &token).unwrap();
        assert!(refused(gateway, &mut connection, answer).contains("is not the claimed user's"));
        wait_for("the session", SOON, || {
            let sessions = gateway.weir_json(&["sessions", "--identity", "ann"])?;
            let identity = sessions.first().map(|session| session["identity"].clone());
            let expected = json!({ "issuer": issuer.url(), "subject": "ann", "groups": ["dev"], "mechanism": "jwt" });
            Ok((identity == Some(expected)).then_some(()))
        })
        .unwrap();
    });
}

#[test]
fn a_refusal_is_told_as_rfc_7628_has_it_and_to_a_bare_token_by_a_close() {
    each_gateway(|gateway, issuer| {
        let token = issuer.sign(&{
            let mut claims = issuer.claims("ann", HOUR);
            claims["aud"] = json!("elsewhere");
            claims
        });
        let message = format!("n,,\x01auth=Bearer {token}\x01\x01");
        let mut connection = connect(gateway);
        connection.handshake(1, "OAUTHBEARER").unwrap();
        let first = connection.authenticate(message.as_bytes()).unwrap();
        assert_eq!((first.error_code, &first.auth_bytes[..]), (0, &br#"{"status":"invalid_token"}"#[..]));
        let last = connection.authenticate(b"\x01").unwrap();
        let words = refused(gateway, &mut connection, last);
        assert!(words.contains("is for audience elsewhere; expected kafka"), "{words}");

        let mut bare = connect(gateway);
        bare.handshake(0, "OAUTHBEARER").unwrap();
        bare.send_frame(message.as_bytes()).unwrap();
        assert_eq!(bare.receive_frame().unwrap().unwrap(), br#"{"status":"invalid_token"}"#[..]);
        bare.send_frame(b"\x01").unwrap();
        ends_saying(gateway, &mut bare, "is for audience elsewhere");

        let mut bare = connect(gateway);
        bare.handshake(0, "OAUTHBEARER").unwrap();
        bare.send_frame(format!("n,,\x01auth=Bearer {}\x01\x01", issuer.token("ann", HOUR)).as_bytes()).unwrap();
        assert_eq!(bare.receive_frame().unwrap().unwrap().len(), 0);
        bare.call(METADATA, &no_topics()).unwrap();
    });
}

#[test]
fn the_connection_ends_with_its_jwt_unless_it_authenticates_again() {
    each_gateway(|gateway, issuer| {
        let brief = Duration::from_secs(4);
        let (mut renewing, mut forgetful) = (connect(gateway), connect(gateway));
        for connection in [&mut renewing, &mut forgetful] {
            let answer = connection.login_bearer(&issuer.token("ann", brief)).unwrap();
            let_in(connection, &answer);
            assert!((1..=4000).contains(&answer.session_lifetime_ms), "{answer:?}");
        }
        let begun = Instant::now();
        let answer = renewing.login_bearer(&issuer.token("ann", HOUR)).unwrap();
        let_in(&mut renewing, &answer);
        ends_saying(gateway, &mut forgetful, "the JWT of ann has expired");
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}, a second after 4 is meant", begun.elapsed());
        renewing.call(METADATA, &no_topics()).unwrap();
    });
}

#[test]
fn nothing_is_forwarded_after_a_jwt_has_expired() {
    each_gateway(|gateway, issuer| {
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&issuer.token("ann", Duration::from_secs(2))).unwrap();
        let_in(&mut connection, &answer);
        sleep(Duration::from_millis(2_050));
        // The sweep or the request, whichever comes first, finds it expired.
        let sent = connection.send(METADATA, &no_topics());
        assert!(sent.is_err() || connection.closes_within(SOON).unwrap());
        logged(gateway, &connection, "the JWT of ann has expired");
    });
}

#[test]
fn again_means_as_the_same_subject_of_the_same_issuer_and_groups_may_change() {
    each_gateway(|gateway, issuer| {
        let mut connection = connect(gateway);
        let answer = connection.login_bearer(&issuer.token("ann", HOUR)).unwrap();
        let_in(&mut connection, &answer);
        let promoted = issuer.sign(&{
            let mut claims = issuer.claims("ann", HOUR);
            claims["groups"] = json!(["sre"]);
            claims
        });
        let answer = connection.login_bearer(&promoted).unwrap();
        let_in(&mut connection, &answer);
        wait_for("both sets of groups in the recording", SOON, || {
            let sessions = gateway.weir_json(&["sessions", "--identity", "ann"])?;
            let groups: Vec<_> = sessions.iter().map(|session| session["identity"]["groups"][0].clone()).collect();
            Ok((groups.contains(&json!("dev")) && groups.contains(&json!("sre"))).then_some(()))
        })
        .unwrap();
        let answer = connection.login_bearer(&issuer.token("bob", HOUR)).unwrap();
        assert!(refused(gateway, &mut connection, answer).contains("as the same principal only"));
    });
}
