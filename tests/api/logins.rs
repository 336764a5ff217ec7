//! Logins: Weir tokens and JWTs, checked anew with each request; whose tokens those are that somebody mints.

use std::time::Duration;

use loadtest::wait_for;
use serde_json::json;

use crate::issuer::Issuer;
use crate::rig::{ROLES, gateway, gateway_with, get, login, post, send};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_token_lets_in_until_it_is_revoked_or_ends() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    let ask = |body: &str| post(&gateway, "tokens", &admin, body).json();
    let created = ask(r#"{"subject":"bob","groups":["audit"],"ttl_seconds":600}"#);
    let bob = format!("Authorization: Bearer {}", created["token"].as_str().unwrap());
    let who = get(&gateway, "caller", &bob).json();
    assert_eq!(
        who,
        json!({ "issuer": "weir", "subject": "bob", "groups": ["audit"], "roles": ["auditor"], "how": "weir_token",
                "minted_by": { "issuer": "weir", "subject": "ann" } })
    );
    let path = format!("/api/v1/tokens/{}", created["id"].as_str().unwrap());
    let revoked = send(gateway.control(), "DELETE", &path, &[&admin], "");
    assert_eq!((revoked.status, &revoked.json()["state"]), (200, &json!("revoked")));
    let refused = get(&gateway, "caller", &bob);
    assert_eq!(refused.status, 401);
    assert!(refused.problem().contains("was revoked"), "{refused:?}");
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer"), "{challenge}");

    let created = ask(r#"{"subject":"eve","groups":["audit"],"ttl_seconds":2}"#);
    let eve = format!("Authorization: Bearer {}", created["token"].as_str().unwrap());
    assert_eq!(get(&gateway, "caller", &eve).status, 200);
    let ended = || Ok((get(&gateway, "caller", &eve).status == 401).then_some(()));
    wait_for("the token's end", SOON, ended).unwrap();
}

#[test]
fn a_token_that_a_minted_token_mints_is_of_both_persons() {
    let gateway = gateway();
    let by_ann = login(&gateway, "ann", "platform");
    let mint = |login: &str, subject: &str| {
        let body = json!({ "subject": subject, "groups": ["platform"], "ttl_seconds": 600 }).to_string();
        let created = post(&gateway, "tokens", login, &body).json();
        (format!("Authorization: Bearer {}", created["token"].as_str().unwrap()), created)
    };
    let (robot, first) = mint(&by_ann, "robot");
    let (_, second) = mint(&robot, "robots-robot");
    let ann = json!({ "issuer": "weir", "subject": "ann" });
    assert_eq!((&first["minter"], first["minted_by"].as_str()), (&ann, Some("ann")));
    assert_eq!(second["minter"], json!({ "issuer": "weir", "subject": "robot", "minted_by": ann }));
    assert_eq!(second["minted_by"], "robot (with a token by ann)");
    let local = gateway.weir_json(&["token", "list"]).unwrap();
    let of_ann = local.iter().find(|token| token["subject"] == "ann").unwrap();
    assert!(of_ann["minted_by"].as_str().unwrap().starts_with("uid ") && of_ann["minter"].is_null(), "{of_ann}");
}

#[test]
fn a_token_that_is_narrowed_opens_nothing() {
    let gateway = gateway();
    let args = ["token", "create", "--subject", "ann", "--groups", "platform", "--topics", "orders.*", "--ttl", "1h"];
    let narrowed = gateway.weir_json(&args).unwrap();
    let narrowed = format!("Authorization: Bearer {}", narrowed[0]["token"].as_str().unwrap());
    let refused = get(&gateway, "tokens", &narrowed);
    assert_eq!(refused.status, 403);
    assert!(refused.problem().contains("narrowed by scopes"), "{refused:?}");
}

#[test]
fn a_jwt_of_a_trusted_issuer_lets_in_by_its_groups_and_others_do_not() {
    let issuer = Issuer::up();
    let gateway = gateway_with(&["roles: { auditor: [dev] }"], &[issuer.yaml("")]);
    let bearer = |jwt: &str| format!("Authorization: Bearer {jwt}");
    let good = bearer(&issuer.token("carol", Duration::from_secs(60)));
    wait_for("the issuer's keys", SOON, || Ok((get(&gateway, "caller", &good).status == 200).then_some(()))).unwrap();
    let who = get(&gateway, "caller", &good).json();
    assert_eq!((&who["issuer"], &who["subject"]), (&json!(issuer.url()), &json!("carol")));
    assert_eq!((&who["how"], &who["minted_by"]), (&json!("jwt"), &json!(null)));

    // A key that nobody has seen yet costs no login.
    issuer.rotate("key-2");
    assert_eq!(get(&gateway, "caller", &bearer(&issuer.token("dave", Duration::from_secs(60)))).status, 200);

    let claims = issuer.claims("mallory", Duration::from_secs(60));
    let mut other_audience = claims.clone();
    other_audience["aud"] = json!(["somebody-else"]);
    let mut over = claims.clone();
    over["exp"] = json!(1_600_000_000);
    for wrong in [issuer.forge("key-2", &claims), issuer.sign(&other_audience), issuer.sign(&over)] {
        let refused = get(&gateway, "caller", &bearer(&wrong));
        assert_eq!(refused.status, 401);
        assert!(!refused.body.contains(&wrong), "what was presented is not repeated");
    }
}

#[test]
fn whoever_guesses_is_slowed_down_and_others_at_the_same_address_are_not() {
    let gateway = gateway_with(&[ROLES], &[]);
    let known = login(&gateway, "ann", "platform");
    assert_eq!(get(&gateway, "caller", &known).status, 200);
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let refused = get(&gateway, "caller", &format!("Authorization: Bearer weir_aaaaaaaa_guess{guess}"));
        if refused.status == 429 {
            assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1, "{refused:?}");
        }
        refused.problem();
        statuses.push(refused.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[11], 429);
    assert_eq!(get(&gateway, "caller", &known).status, 200, "who has logged in before is not locked out");
    assert_eq!(
        get(&gateway, "caller", &login(&gateway, "bob", "platform")).status,
        429,
        "a guess that is right tells nothing"
    );
    let log = gateway.log();
    assert!(log.contains("a login to the API failed") && !log.contains("guess"), "secrets are not in the log");
}

#[test]
fn a_caller_who_asks_too_often_is_told_when_to_ask_again() {
    let gateway = gateway();
    let (busy, calm) = (login(&gateway, "busy", "overseers"), login(&gateway, "calm", "overseers"));
    let refused = (0..2000).map(|_| get(&gateway, "policy", &busy)).find(|answer| answer.status != 200);
    let refused = refused.expect("a limit");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some() && refused.problem().contains("too many requests"), "{refused:?}");
    assert_eq!(get(&gateway, "policy", &calm).status, 200, "others are not held up");
}
