//! An issuer's keys: rotated without a restart, never asked for too often, kept while the issuer is ill.

use std::time::Duration;

use loadtest::weir::Gateway;
use loadtest::{http, wait_for};

use super::hazards_support::*;
use super::issuer::{Health, Issuer};
use super::{connect, let_in, options, refused};

const HOUR: Duration = Duration::from_secs(3600);

fn readyz(gateway: &Gateway) -> (u16, String) {
    http::get(gateway.control(), "/readyz").unwrap()
}

#[test]
fn a_new_key_costs_no_failed_login_and_made_up_ones_cost_the_issuer_nothing() {
    for runtime in RUNTIMES {
        let issuer = Issuer::up();
        let gateway = gateway(options(runtime, &["jwt"], &[&issuer.yaml("")]));
        let before = issuer.asked();
        issuer.rotate("key-2");
        let mut connection = connect(&gateway);
        let answer = connection.login_bearer(&issuer.token("ann", HOUR)).unwrap();
        let_in(&mut connection, &answer);
        assert_eq!(issuer.asked(), before + 1);
        for n in 0..20 {
            let mut connection = connect(&gateway);
            let forged = issuer.forge(&format!("made-up-{n}"), &issuer.claims("ann", HOUR));
            let answer = connection.login_bearer(&forged).unwrap();
            let words = refused(&gateway, &mut connection, answer);
            assert!(words.contains("which issuer double does not have"), "{words}");
        }
        assert_eq!(issuer.asked(), before + 1, "one fetch out of turn in half a minute");
    }
}

#[test]
fn an_issuer_that_is_down_at_start_is_waited_for_and_keeps_nobody_else_out() {
    let issuer = Issuer::down();
    let options = options("auto", &["jwt", "weir_token"], &[&issuer.yaml("")]);
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    gateway.start_unready().unwrap();
    let (status, body) = wait_for("a first attempt", SOON, || {
        let (status, body) = readyz(&gateway);
        Ok(body.contains("Connection refused").then_some((status, body)))
    })
    .unwrap();
    assert!(status == 503 && body.contains("issuer double"), "{body}");
    let mut connection = connect(&gateway);
    let answer = connection.login_bearer(&issuer.token("ann", HOUR)).unwrap();
    let words = refused(&gateway, &mut connection, answer);
    assert!(words.contains("the keys of issuer double cannot be had at the moment"), "{words}");
    logged(&gateway, &connection, "Connection refused");
    // Who needs no issuer is not kept out.
    let token = gateway.token("named", "dev").unwrap();
    let mut connection = connect(&gateway);
    let answer = connection.login_plain("named", &token.token).unwrap();
    let_in(&mut connection, &answer);

    issuer.listen();
    let ready = || Ok((readyz(&gateway).0 == 200).then_some(()));
    wait_for("the gateway being ready", Duration::from_secs(40), ready).unwrap();
    let mut connection = connect(&gateway);
    let answer = connection.login_bearer(&issuer.token("ann", HOUR)).unwrap();
    let_in(&mut connection, &answer);
}

/// An answer of another kind each time; tokens of known keys are taken through all of it.
#[test]
fn an_issuer_that_falls_ill_later_is_not_needed() {
    let issuer = Issuer::up();
    let gateway = gateway(options("auto", &["jwt"], &[&issuer.yaml("")]));
    let login = |token: &str| {
        let mut connection = connect(&gateway);
        let answer = connection.login_bearer(token).unwrap();
        (connection, answer)
    };
    for (health, told) in [
        (Health::Status(500), "answered 500"),
        (Health::Status(302), "answered 302"),
        (Health::Says("<html>maintenance</html>"), "is not a discovery document"),
        (Health::KeysSay("{\"keys\":[]}"), "none of its 0 keys verifies signatures"),
        (Health::PosesAs("https://evil.example.com"), "is the discovery document of"),
    ] {
        issuer.falls(health);
        let known = issuer.token("ann", HOUR);
        let (_, answer) = login(&known);
        assert_eq!(answer.error_code, 0, "{answer:?}");
        // Something unknown makes it ask, at most once in half a minute; the rest follows from retrying.
        let (mut connection, answer) = login(&issuer.forge("unknown", &issuer.claims("ann", HOUR)));
        refused(&gateway, &mut connection, answer);
        wait_for(&format!("the words {told:?}"), Duration::from_secs(60), || {
            Ok(gateway.log().contains(told).then_some(()))
        })
        .unwrap();
        let (mut connection, answer) = login(&known);
        let_in(&mut connection, &answer);
    }
    let (status, body) = readyz(&gateway);
    assert!(status == 200 && body.contains("working with the keys fetched before"), "{body}");
    let metrics = gateway.metrics().unwrap();
    let fetches = |outcome| metrics.sum("weir_issuer_fetches_total", &[("issuer", "double"), ("outcome", outcome)]);
    assert!(fetches("failed") >= Some(5.0) && fetches("succeeded") >= Some(1.0));
}

#[test]
fn a_login_that_waits_for_a_slow_issuer_holds_nobody_else() {
    for runtime in RUNTIMES {
        let issuer = Issuer::up();
        let mut options = options(runtime, &["jwt"], &[&issuer.yaml("")]);
        options.top.push("shards: 1".to_owned());
        let gateway = gateway(options);
        let known = issuer.token("ann", HOUR);
        let mut bystander = connect(&gateway);
        let answer = bystander.login_bearer(&known).unwrap();
        let_in(&mut bystander, &answer);
        issuer.falls(Health::Slow(Duration::from_secs(20)));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let mut connection = connect(&gateway);
                let answer = connection.login_bearer(&issuer.forge("new", &issuer.claims("ann", HOUR))).unwrap();
                refused(&gateway, &mut connection, answer)
            });
            let mut others = 0;
            while !waits.is_finished() {
                bystander.call(METADATA, &no_topics()).unwrap();
                let mut connection = connect(&gateway);
                let answer = connection.login_bearer(&known).unwrap();
                let_in(&mut connection, &answer);
                others += 1;
            }
            let words = waits.join().unwrap();
            assert!(words.contains("which issuer double does not have"), "{words}");
            assert!(others > 3, "{others} others were served meanwhile");
        });
    }
}
