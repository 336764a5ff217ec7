//! `webhooks`: what each format needs, and what a wrong section is told; no problem repeats a secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use weir::config::{Config, Webhook, WebhookEvent, WebhookFormat};

const URL: &str = "https://hooks.slack.com/services/T0/B0/open-sesame";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn load(webhooks: &str) -> Result<Vec<Webhook>, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("slack", URL);
    secret("inside", "https://10.0.0.1/services/open-sesame");
    secret("none", "open-sesame");
    secret("signing", &format!("{SIGNING}\n"));
    secret("short", "whsec_b3Blbi1zZXNhbWU=");
    secret("key", "0pensesame0000000000000000000000");
    let text = format!(
        "store: {{ path: ./data }}\ncontrol: {{ bind: \"127.0.0.1:9280\" }}\n\
         clusters: [{{ name: main, bootstrap: [\"127.0.0.1:19092\"] }}]\n\
         listeners:\n  - {{ name: main, cluster: main, bind: \"127.0.0.1:9292\", brokers: \"127.0.0.1:9300-9399\", \
         auth: [anonymous] }}\nwebhooks: {webhooks}\n"
    );
    let file = folder.path().join("weir.yaml");
    fs::write(&file, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let config = Config::load(&file);
    config
        .map(|config| {
            let shown = format!("{config:?}");
            assert!(!shown.contains("sesame") && !shown.contains("MfKQ9r8"), "{shown}");
            config.webhooks
        })
        .map_err(|problems| {
            let problems = problems.to_string();
            assert!(!problems.to_lowercase().contains("sesame") && !problems.contains("b3Blb"), "{problems}");
            problems.lines().map(|line| line.replace(&prefix, "")).collect()
        })
}

/// The one problem of a webhook with these keys beside its name.
fn problem(keys: &str) -> String {
    let problems = load(&format!("[{{ name: ops, {keys} }}]")).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn every_format_loads() {
    let webhooks = load(
        "\n  - { name: ops, url: \"https://ops.example.com/weir\", format: cloudevents, secret: { file: signing } }\
         \n  - { name: moving, url: \"https://ops.example.com/weir\", format: cloudevents, events: [break_glass], \
         secret: [{ file: signing }, { file: signing }] }\
         \n  - { name: slack, url: { file: slack }, format: slack }\
         \n  - { name: pager, format: pagerduty, secret: { file: key } }\
         \n  - { name: near, url: \"http://127.0.0.1:8080/\", format: cloudevents, secret: { file: signing }, \
         allow_private: true }",
    )
    .unwrap();
    let [ops, moving, slack, pager, near] = webhooks.as_slice() else { panic!("{webhooks:?}") };
    let WebhookFormat::CloudEvents { keys } = &ops.format else { panic!("{ops:?}") };
    assert_eq!((keys.len(), keys[0].share().len(), ops.events.len()), (1, 24, 5));
    let WebhookFormat::CloudEvents { keys } = &moving.format else { panic!("{moving:?}") };
    assert_eq!((keys.len(), moving.events.as_slice()), (2, &[WebhookEvent::BreakGlass][..]));
    assert_eq!(slack.url.expose(), URL);
    assert!(matches!(pager.format, WebhookFormat::PagerDuty { .. }));
    assert_eq!(pager.url.expose(), "https://events.pagerduty.com/v2/enqueue");
    assert!(!pager.events.contains(&WebhookEvent::GrantUsed) && !pager.events.contains(&WebhookEvent::GrantRevoked));
    assert!(near.allow_private);
    assert!(
        load("[{ name: a, format: slack, url: { file: slack } }, { name: a, format: slack, url: { file: slack } }]")
            .is_err()
    );
}

#[test]
fn a_url_has_to_be_a_private_way_out() {
    let with = |url: &str| problem(&format!("format: cloudevents, secret: {{ file: signing }}, url: {url}"));
    let at = "weir.yaml:6:78: webhooks[0].url:";
    assert_eq!(
        with("\"http://ops.example.com/\""),
        format!(
            "{at} expected a URL that begins with https:// (http:// only to this machine, with `allow_private: true`)"
        )
    );
    for (url, class) in [
        ("https://127.0.0.1/", "127.0.0.1 is loopback"),
        ("https://localhost/", "localhost is loopback"),
        ("https://169.254.169.254/", "169.254.169.254 is link-local, where clouds keep credentials"),
        ("https://[fd00::1]/", "[fd00::1] is unique local"),
        ("https://0x0a000001/", "10.0.0.1 is private"),
    ] {
        let expected = format!("{at} {class}; expected a host of the internet, or `allow_private: true`");
        assert_eq!(with(&format!("\"{url}\"")), expected);
    }
    assert!(
        with("\"https://user:open-sesame@ops.example.com/\"").contains("found a user name, a password or a fragment")
    );
    assert!(with("\"http://10.0.0.1/\", allow_private: true").contains("expected a URL that begins with https://"));
    assert!(with("{ file: none }").contains("this is no URL"));
    assert!(with("{ file: inside }").contains("10.0.0.1 is private"));
}

#[test]
fn secrets_are_references_of_the_right_kind() {
    let ops = "format: cloudevents, url: \"https://ops.example.com/\"";
    assert!(problem(ops).contains("webhooks[0].secret: missing; expected `{ env: NAME }` or `{ file: PATH }`"));
    assert!(problem(&format!("{ops}, secret: open-sesame")).contains("secrets do not belong in this file"));
    for wrong in ["none", "short", "key"] {
        let what = problem(&format!("{ops}, secret: {{ file: {wrong} }}"));
        assert!(
            what.contains("no secret of Standard Webhooks, which is `whsec_` and 24 to 64 bytes in base64"),
            "{what}"
        );
    }
    assert!(
        problem("format: slack, url: \"https://hooks.slack.com/services/open-sesame\"").contains("whoever has it post")
    );
    assert!(problem("format: slack, url: { file: slack }, secret: { file: key }").contains("the secret is the URL"));
    assert!(problem("format: pagerduty").contains("the integration's routing key"));
    assert!(problem("format: pagerduty, secret: { file: none }").contains("no routing key"));
}

#[test]
fn unknown_formats_and_events_are_told_what_there_is() {
    assert_eq!(
        problem("format: teams, url: \"https://ops.example.com/\""),
        "weir.yaml:6:33: webhooks[0].format: found `teams`; expected `cloudevents`, `slack` or `pagerduty`"
    );
    let events = |format: &str, events: &str| problem(&format!("{format}, events: {events}"));
    let slack = "format: slack, url: { file: slack }";
    assert!(events(slack, "[request.made]").ends_with(
        "events[0]: found `request.made`; expected `request.created`, `request.decided`, `grant.used`, `grant.revoked` or `break_glass`"
    ));
    assert!(events(slack, "[]").contains("found an empty list"));
    assert!(events(slack, "[break_glass, break_glass]").contains("a second time"));
    let pager = "format: pagerduty, secret: { file: key }";
    assert!(events(pager, "[grant.used]").contains("expected `request.created`, `request.decided` or `break_glass`"));
}
